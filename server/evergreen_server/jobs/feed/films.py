"""What a watch of films begins with. Their events lie among those of jobs, under the same revisions."""

from collections.abc import AsyncGenerator, Collection, Sequence
from functools import partial
from typing import Final, Protocol

import sqlalchemy as sa

from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.feed.window import AT_ONCE, Entry

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

    def page(
        self, db: sa.Connection, *, project_id: str, after: int, upto: int, include_finished: bool, limit: int
    ) -> Sequence[Entry]:
        """Returns the project's films of revisions above `after` up to `upto`, by revision."""
        ...


class FilmSnapshots:
    """Reads the films of a project for a watch."""

    def __init__(self, *, database: Database, rows: FilmRows) -> None:
        self._database = database
        self._rows = rows

    async def named(self, project_id: str, subjects: Collection[str]) -> Sequence[Entry]:
        """Returns films by rising revision, some of which may have changed since the watch began."""
        if not subjects:
            return ()
        work = partial(self._rows.named, project_id=project_id, subjects=subjects)
        found = await self._database.read_in_turn(work, owner=project_id)
        return sorted(found, key=lambda entry: entry.revision)

    async def of(
        self, project_id: str, revision: int, *, include_finished: bool
    ) -> AsyncGenerator[Sequence[Entry], None]:
        """Yields the project's films by rising revision, up to `revision`; one that has changed since has an event."""
        reached = 0
        while True:
            work = partial(
                self._rows.page,
                project_id=project_id,
                after=reached,
                upto=revision,
                include_finished=include_finished,
                limit=AT_ONCE,
            )
            entries = await self._database.read_in_turn(work, owner=project_id)
            yield entries
            if len(entries) < AT_ONCE:
                return
            reached = entries[-1].revision
