"""Snapshots of a project, a page at a time: shared by all watches that open at the same revision."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.event_columns import EVENT_COLUMNS, job_of_event
from evergreen_server.jobs.db.schema import jobs
from evergreen_server.jobs.feed.window import AT_ONCE, Entry
from evergreen_server.jobs.model.job import Job

KEPT = 16
"""Pages kept for later watches, of AT_ONCE jobs each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Up to AT_ONCE of what a project has, by rising revision, above `after` and up to `upto`."""

    project_id: str
    after: int
    upto: int
    include_finished: bool


class Snapshots:
    """Reads snapshots of jobs or of films. What two watches ask for at the same time is read once."""

    def __init__(
        self, *, database: Database, read: Callable[[sa.Connection, Page], Sequence[Entry]], single: bool = False
    ) -> None:
        """`single` means that `read` makes a single query."""
        self._database = database
        self._read_page = read
        self._single = single
        self._pages: OrderedDict[Page, asyncio.Future[Sequence[Entry]]] = OrderedDict()

    async def of(
        self, project_id: str, revision: int, *, include_finished: bool
    ) -> AsyncGenerator[Sequence[Entry], None]:
        """Yields what the project has by rising revision, up to `revision`, and has not ended, or all.

        What changes meanwhile may leave this range: then its event is sent instead. For the same reason a page that was
        read for an earlier watch is as good: whatever changed since is sent to both.
        """
        reached = 0
        while True:
            page = Page(project_id=project_id, after=reached, upto=revision, include_finished=include_finished)
            entries = await self._read(page)
            yield entries
            if len(entries) < AT_ONCE:
                return
            reached = entries[-1].revision

    async def _read(self, page: Page) -> Sequence[Entry]:
        reading = self._pages.get(page)
        if reading is None or (reading.done() and (reading.cancelled() or reading.exception())):
            reading = self._database.read_in_turn(
                lambda db: self._read_page(db, page), owner=page.project_id, single=self._single
            )
            self._pages[page] = reading
            if len(self._pages) > KEPT:
                self._pages.popitem(last=False)
        # The watch that asked first may end while others wait for the same page.
        return await asyncio.shield(reading)


def read_jobs(db: sa.Connection, page: Page, *, snapshot: Callable[[Job], Entry]) -> Sequence[Entry]:
    """Returns a page of the project's jobs."""
    query = (
        sa.select(*EVENT_COLUMNS)
        .where(jobs.c.project_id == page.project_id)
        .where(jobs.c.revision > page.after, jobs.c.revision <= page.upto)
        .order_by(jobs.c.revision)
        .limit(AT_ONCE)
    )
    if not page.include_finished:
        query = query.where(jobs.c.ended_at.is_(None))
    found = db.execute(query)
    names = tuple(found.keys())
    # A mapping of SQLAlchemy's would take as long to read as the job takes to build.
    return [snapshot(job_of_event(dict(zip(names, values, strict=True)))) for values in found]
