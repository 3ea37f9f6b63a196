"""The feed: what happens to jobs, told to watchers in order and without gaps.

The table is the truth. A commit only marks its project; the loader then reads the project's new events once,
into a window shared by all its watchers. A watcher holds a cursor and a wake flag, so a slow reader costs
nothing but its place, and reads the table when the window has moved on.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import sqlalchemy as sa

from evergreen_server.jobs.database import Database, job_events, jobs, projects
from evergreen_server.jobs.model import FINAL, EventKind, Job, JobError, JobNotFound
from evergreen_server.jobs.rows import job_from_row
from evergreen_server.jobs.store import Change

WINDOW = 1024
PAGE = 500
CHECKPOINT_SECONDS = 15.0
REREAD_SECONDS = 5.0
WAKES_AT_ONCE = 200
_FINAL = frozenset(state.value for state in FINAL)


class CursorAhead(JobError):
    """The cursor is of a revision that the project has not reached."""


class CursorCompacted(JobError):
    """The history that the cursor needs is no longer kept."""


class Draining(JobError):
    """The server stops; watch again, with the cursor, elsewhere or later."""


class MixedProjects(JobError):
    """The watched jobs are not all of one project."""


class Wire(Protocol):
    """Turns what is told into the bytes that go on the wire."""

    def event(self, kind: EventKind, job: Job, at: datetime) -> bytes: ...

    def checkpoint(self, revision: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Entry:
    """One event as kept in a window."""

    revision: int
    job_id: str
    progress: bool
    final: bool
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a watch starts from, read in one snapshot of the database."""

    project_id: str
    revision: int
    compacted: int
    jobs: tuple[Job, ...]


class Watcher:
    """One open watch: whom it concerns and whether there is something to read."""

    __slots__ = ("_future", "_woken", "job_ids", "sent_at", "ticked")

    def __init__(self, job_ids: frozenset[str]) -> None:
        self.job_ids = job_ids
        self.sent_at = time.monotonic()
        self.ticked = False
        self._woken = False
        self._future: asyncio.Future[None] | None = None

    def wake(self) -> None:
        self._woken = True
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    async def wait(self) -> None:
        if not self._woken:
            self._future = asyncio.get_running_loop().create_future()
            try:
                await self._future
            finally:
                self._future = None
        self._woken = False


class Topic:
    """A watched project: its last events and its watchers. `revision` is None until the first was read."""

    def __init__(self) -> None:
        self.revision: int | None = None
        self.window: list[Entry] = []
        self.watchers: set[Watcher] = set()

    def extend(self, entries: Sequence[Entry]) -> None:
        self.window += entries
        self.revision = entries[-1].revision
        if len(self.window) > 2 * WINDOW:
            del self.window[:-WINDOW]

    def after(self, cursor: int) -> Sequence[Entry] | None:
        """Gives the events after `cursor`, or None where the window does not reach back so far."""
        if self.revision is None or cursor >= self.revision:
            return ()
        start = cursor + 1 - self.window[0].revision if self.window else -1
        return self.window[start:] if start >= 0 else None


class Feed:
    """Serves watches. `run` must run beside them; `changed` is called on the loop after each commit."""

    def __init__(self, *, database: Database, wire: Wire, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._wire = wire
        self._clock = clock
        self._topics: dict[str, Topic] = {}
        self._dirty: set[str] = set()
        self._news = asyncio.Event()
        self._draining = False

    def changed(self, changes: Iterable[Change]) -> None:
        """Marks the projects of a commit to be read again."""
        self._dirty.update(change.project_id for change in changes if change.project_id in self._topics)
        if self._dirty:
            self._news.set()

    def drain(self) -> None:
        """Ends every watch, now and from now on, with a checkpoint and Draining."""
        self._draining = True
        for topic in self._topics.values():
            for watcher in topic.watchers:
                watcher.wake()

    @property
    def watchers(self) -> int:
        """Tells how many watches are open."""
        return sum(len(topic.watchers) for topic in self._topics.values())

    async def run(self) -> None:
        """Loads new events and wakes watchers; every few seconds looks again without being told."""
        while True:
            try:
                async with asyncio.timeout(REREAD_SECONDS):
                    await self._news.wait()
            except TimeoutError:
                self._dirty.update(self._topics)
                self._tick()
            self._news.clear()
            dirty, self._dirty = self._dirty, set()
            for project_id in dirty:
                await self._load(project_id)

    async def watch(
        self, *, project_id: str, job_ids: frozenset[str], after: int | None, include_finished: bool
    ) -> AsyncGenerator[bytes, None]:
        """Tells a project's events, or those of some of its jobs, then ends if all of those are final.

        Raises JobNotFound, MixedProjects, CursorAhead, CursorCompacted before the first message, Draining at any.
        """
        opening = await self._open(project_id, job_ids, include_finished)
        topic = self._topics.setdefault(opening.project_id, Topic())
        watcher = Watcher(job_ids)
        topic.watchers.add(watcher)
        try:
            if topic.revision is None:
                topic.revision = opening.revision
            # What was committed between the reading and the subscription must not wait for the next change.
            self._dirty.add(opening.project_id)
            self._news.set()
            cursor = opening.revision if after is None else after
            if cursor > opening.revision:
                raise CursorAhead(f"the project is at revision {opening.revision}, the cursor at {cursor}")
            if cursor < opening.compacted:
                raise CursorCompacted(f"events up to revision {opening.compacted} are no longer kept")
            remaining = set(job_ids)
            for job in opening.jobs:
                if after is None or (job.final and job.revision <= after):
                    yield self._wire.event(EventKind.SNAPSHOT, job, self._clock())
                    if job.final:
                        remaining.discard(job.job_id)
            caught_up = False
            while remaining or not job_ids:
                entries = topic.after(cursor)
                end = topic.revision or 0
                if entries is None:
                    entries, end = await self._page(opening.project_id, cursor, job_ids)
                for entry in _told(entries, job_ids):
                    yield entry.data
                    watcher.sent_at = time.monotonic()
                    if entry.final:
                        remaining.discard(entry.job_id)
                cursor = max(cursor, end)
                if job_ids and not remaining:
                    return
                if cursor < (topic.revision or 0):
                    continue
                if self._draining or watcher.ticked or not caught_up:
                    caught_up, watcher.ticked = True, False
                    watcher.sent_at = time.monotonic()
                    yield self._wire.checkpoint(cursor)
                if self._draining:
                    raise Draining("the server is stopping; watch again from the last revision")
                await watcher.wait()
        finally:
            topic.watchers.discard(watcher)
            if not topic.watchers and self._topics.get(opening.project_id) is topic:
                del self._topics[opening.project_id]

    async def _open(self, project_id: str, job_ids: frozenset[str], include_finished: bool) -> Opening:
        def read(db: sa.Connection) -> Opening:
            query = sa.select(jobs)
            if job_ids:
                query = query.where(jobs.c.job_id.in_(job_ids))
            if project_id:
                query = query.where(jobs.c.project_id == project_id)
            if not job_ids and not include_finished:
                query = query.where(jobs.c.state.not_in(_FINAL))
            found = [job_from_row(row) for row in db.execute(query).mappings()]
            owners = {job.request.project_id for job in found} | ({project_id} if project_id else set())
            missing = sorted(job_ids - {job.job_id for job in found})
            if missing:
                raise JobNotFound(", ".join(missing))
            if len(owners) > 1:
                raise MixedProjects("all jobs of a watch must belong to one project")
            owner = owners.pop()
            columns = sa.select(projects.c.revision, projects.c.compacted_revision)
            row = db.execute(columns.where(projects.c.project_id == owner)).one_or_none()
            revision, compacted = (row.revision, row.compacted_revision) if row else (0, 0)
            found.sort(key=lambda job: job.revision)
            return Opening(project_id=owner, revision=revision, compacted=compacted, jobs=tuple(found))

        return await self._database.read(read)

    async def _load(self, project_id: str) -> None:
        topic = self._topics.get(project_id)
        while topic is not None and topic.revision is not None:
            entries, _ = await self._page(project_id, topic.revision, frozenset())
            if not entries:
                return
            topic.extend(entries)
            concerned = {entry.job_id for entry in entries}
            for number, watcher in enumerate(list(topic.watchers), start=1):
                if not watcher.job_ids or not concerned.isdisjoint(watcher.job_ids):
                    watcher.wake()
                if number % WAKES_AT_ONCE == 0:
                    await asyncio.sleep(0)

    async def _page(self, project_id: str, cursor: int, job_ids: frozenset[str]) -> tuple[Sequence[Entry], int]:
        """Reads up to PAGE events after `cursor`, and the revision up to which that is complete."""
        columns = (
            job_events.c.revision,
            job_events.c.job_id,
            job_events.c.kind,
            job_events.c.state,
            job_events.c.event,
        )
        query = sa.select(*columns).where(job_events.c.project_id == project_id, job_events.c.revision > cursor)
        if job_ids:
            query = query.where(job_events.c.job_id.in_(job_ids))
        latest = sa.select(projects.c.revision).where(projects.c.project_id == project_id)

        def read(db: sa.Connection) -> tuple[Sequence[Entry], int]:
            rows = db.execute(query.order_by(job_events.c.revision).limit(PAGE)).all()
            entries = [
                Entry(row.revision, row.job_id, row.kind == EventKind.PROGRESS, row.state in _FINAL, row.event)
                for row in rows
            ]
            end = entries[-1].revision if len(entries) == PAGE else int(db.execute(latest).scalar() or 0)
            return entries, end

        return await self._database.read(read)

    def _tick(self) -> None:
        # A third of the time is left for a watcher to be looked at again and its checkpoint to be written.
        due = time.monotonic() - CHECKPOINT_SECONDS + REREAD_SECONDS
        for topic in self._topics.values():
            for watcher in topic.watchers:
                if watcher.sent_at <= due:
                    watcher.ticked = True
                    watcher.wake()


def _told(entries: Sequence[Entry], job_ids: frozenset[str]) -> Iterable[Entry]:
    """Picks what concerns a watch, leaving out a percentage where a later event of the same job follows."""
    if len(entries) == 1 and (not job_ids or entries[0].job_id in job_ids):
        return entries
    told: list[Entry] = []
    later: set[str] = set()
    for entry in reversed(entries):
        if job_ids and entry.job_id not in job_ids:
            continue
        if not (entry.progress and entry.job_id in later):
            told.append(entry)
        later.add(entry.job_id)
    told.reverse()
    return told
