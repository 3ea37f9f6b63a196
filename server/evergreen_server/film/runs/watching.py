"""Films as those who watch them are shown them first: as they are now."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime

import sqlalchemy as sa

from evergreen_server.film.errors import FilmNotFound
from evergreen_server.film.runs.events import FilmEventKind, FilmWire
from evergreen_server.film.runs.films import Film, film_of, with_exports
from evergreen_server.film.runs.queries import newest_runs
from evergreen_server.jobs.db.film_schema import NOT_OVER, films
from evergreen_server.jobs.feed.films import FILM, id_of, subject_of
from evergreen_server.jobs.feed.snapshots import Page
from evergreen_server.jobs.feed.window import AT_ONCE, Entry

__all__ = ["WatchedFilms"]


class WatchedFilms:
    """Reads films as snapshots."""

    def __init__(self, *, wire: FilmWire, clock: Callable[[], datetime]) -> None:
        self._wire = wire
        self._clock = clock

    def named(self, db: sa.Connection, *, project_id: str, subjects: Collection[str]) -> Sequence[Entry]:
        """Returns these films. Raises FilmNotFound for the first that there is not."""
        film_ids = sorted(map(id_of, subjects))
        query = sa.select(films).where(films.c.project_id == project_id, films.c.film_id.in_(film_ids))
        found = self._read(db, project_id, query)
        there = {entry.job_id for entry in found}
        for film_id in film_ids:
            if subject_of(film_id) not in there:
                raise FilmNotFound(project_id, film_id)
        return found

    def page(self, db: sa.Connection, page: Page) -> Sequence[Entry]:
        """Returns a page of the project's films."""
        query = sa.select(films).where(films.c.project_id == page.project_id)
        query = query.where(films.c.revision > page.after, films.c.revision <= page.upto)
        if not page.include_finished:
            query = query.where(NOT_OVER)
        return self._read(db, page.project_id, query.order_by(films.c.revision).limit(AT_ONCE))

    def _read(self, db: sa.Connection, project_id: str, query: "sa.Select[tuple[object, ...]]") -> Sequence[Entry]:
        rows = db.execute(query).mappings().all()
        runs = newest_runs(db, project_id, {row["film_id"]: row["run"] for row in rows})
        films_of = [film_of(row, runs.get(row["film_id"])) for row in rows]
        return [self._entry(with_exports(db, film)) for film in films_of]

    def _entry(self, film: Film) -> Entry:
        data = self._wire.film_event(FilmEventKind.SNAPSHOT, film, film.revision, self._clock())
        over = film.run is not None and film.run.ended
        return Entry(film.revision, subject_of(film.film_id), False, over, FILM, data)
