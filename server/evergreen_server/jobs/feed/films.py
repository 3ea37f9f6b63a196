"""What a watch of films begins with. Their events lie among those of jobs, under the same revisions."""

from collections.abc import Collection, Sequence
from functools import partial
from typing import Final, Protocol

import sqlalchemy as sa

from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.feed.snapshots import Page
from evergreen_server.jobs.feed.window import Entry

FILM: Final = "FILM"
"""The kind of a film's events, where those of a job have what it makes."""


def subject_of(film_id: str) -> str:
    """Returns what stands for a film where an event has the id of its job, which has no slash."""
    return f"film/{film_id}"


def id_of(subject: str) -> str:
    """Returns the film that a subject stands for."""
    return subject.removeprefix("film/")


class FilmRows(Protocol):
    """Reads films as the snapshots that watchers are sent."""

    def named(self, db: sa.Connection, *, project_id: str, subjects: Collection[str]) -> Sequence[Entry]:
        """Returns these films; raises JobError naming those that the project does not have."""
        ...

    def page(self, db: sa.Connection, page: Page) -> Sequence[Entry]:
        """Returns a page of the project's films."""
        ...


async def films_named(
    database: Database, rows: FilmRows, project_id: str, subjects: Collection[str]
) -> Sequence[Entry]:
    """Returns films by rising revision, some of which may have changed since a watch of them began."""
    if not subjects:
        return ()
    work = partial(rows.named, project_id=project_id, subjects=subjects)
    return sorted(await database.read_in_turn(work, owner=project_id), key=lambda entry: entry.revision)
