"""Films as their rows say, each with its newest run."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa

from evergreen_server.film.assembling.store import Export, exports_in
from evergreen_server.film.errors import FilmBusy, FilmNotFound
from evergreen_server.film.runs.queries import newest_runs, of_film
from evergreen_server.film.runs.run import FilmRun
from evergreen_server.jobs.db.film_schema import films
from evergreen_server.jobs.db.mapping import from_micros

__all__ = ["Film", "FilmState", "film_in", "film_of", "with_exports"]


class FilmState(StrEnum):
    """How far a film is: as its newest run."""

    PLANNED = "PLANNED"
    """It had no run yet."""
    RUNNING = "RUNNING"
    AWAITING_APPROVAL = "AWAITING_APPROVAL"
    NEEDS_ATTENTION = "NEEDS_ATTENTION"
    CANCELLING = "CANCELLING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """A film as its row says."""

    project_id: str
    film_id: str
    title: str
    state: FilmState
    plan_revision: int
    """Of its newest plan."""
    run: FilmRun | None = None
    """The newest; None before the first."""
    revision: int
    """Of the project, at its last event."""
    created_at: datetime
    updated_at: datetime
    exports: tuple[Export, ...] = ()
    """Of the newest run once all of them are rendered, in the order of its profiles; empty where nobody looked."""

    def check_plannable(self) -> None:
        """Raises FilmBusy while a run is under way. While it waits for people, its plan may be changed."""
        if self.state in (FilmState.RUNNING, FilmState.CANCELLING):
            raise FilmBusy(self.film_id, self.state)

    def check_over(self) -> None:
        """Raises FilmBusy while a run is on, also while that waits for people."""
        if self.run is not None and not self.run.ended:
            raise FilmBusy(self.film_id, self.state)


def film_in(db: sa.Connection, project_id: str, film_id: str) -> Film:
    """Returns a film without its plan. Raises FilmNotFound."""
    row = db.execute(sa.select(films).where(*of_film(films, project_id, film_id))).mappings().one_or_none()
    if row is None:
        raise FilmNotFound(project_id, film_id)
    return film_of(row, newest_runs(db, project_id, {film_id: row["run"]}).get(film_id))


def with_exports(db: sa.Connection, film: Film) -> Film:
    """Returns a film with the exports of its newest run."""
    if film.run is None or not film.run.exports:
        return film
    found = exports_in(db, film.project_id, film.film_id, film.run.exports)
    return replace(film, exports=tuple(found[digest] for digest in film.run.exports if digest in found))


def film_of(row: sa.RowMapping, run: FilmRun | None) -> Film:
    """Returns the film of a row of `films`, with its newest run."""
    return Film(
        project_id=row["project_id"],
        film_id=row["film_id"],
        title=row["title"],
        state=FilmState(row["state"]),
        plan_revision=row["plan_revision"],
        run=run,
        revision=row["revision"],
        created_at=from_micros(row["created_at"]),
        updated_at=from_micros(row["updated_at"]),
    )
