"""Watches: events of jobs, sent to watchers in order and without gaps.

The table is the source of truth. A commit only marks its project; `run` then reads the project's new events once, into
a window shared by all its watchers. A watcher holds a cursor and a wake flag, so a slow reader costs nothing but its
place, and reads the table once the window has moved on.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import aclosing
from datetime import datetime
from functools import partial
from itertools import chain, islice
from typing import Protocol

from evergreen_server.jobs.db.database import TRANSIENT_ERRORS, Database
from evergreen_server.jobs.feed.films import FILM, FilmRows, films_named
from evergreen_server.jobs.feed.history import most_of_each, new_events, old_events
from evergreen_server.jobs.feed.opening import Openings
from evergreen_server.jobs.feed.snapshots import Snapshots, read_jobs
from evergreen_server.jobs.feed.starts import WatchStarts
from evergreen_server.jobs.feed.window import AT_ONCE, Entry, ProjectWindow, Watcher, select_for
from evergreen_server.jobs.model.change import Change
from evergreen_server.jobs.model.errors import JobError
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.model.states import EventKind
from evergreen_server.ports.specs import MediaKind

PROJECTS_AT_ONCE = 1000
AWAY_SECONDS = 1.0
CHECKPOINT_SECONDS = 15.0
WAKES_AT_ONCE = 200

logger = logging.getLogger(__name__)


class CursorAhead(JobError):
    """The cursor is of a revision that the project has not reached."""


class CursorCompacted(JobError):
    """The history that the cursor needs is no longer kept. `compacted` is the oldest cursor that is still valid."""

    def __init__(self, compacted: int) -> None:
        super().__init__(f"events up to revision {compacted} are no longer kept")
        self.compacted = compacted


class Draining(JobError):
    """The server is stopping; watch again, with the cursor, elsewhere or later."""


class WatchAged(JobError):
    """The watch has lasted as long as one may; watch again, with the cursor, maybe on another server."""


class Wire(Protocol):
    """Encodes events and checkpoints as the bytes that go on the wire."""

    def event(self, kind: EventKind, job: Job, at: datetime) -> bytes: ...

    def checkpoint(self, revision: int) -> bytes: ...


class WatchHub:
    """Serves watches. `run` must run in the background; `on_commit` is called on the loop after each commit.

    `on_events_read` is called with all events that were read, before they are sent: they can be read before their
    commit is announced. `on_sent` is called after each read that woke watchers, with the age in seconds of its first
    event.
    """

    def __init__(
        self,
        *,
        database: Database,
        wire: Wire,
        clock: Callable[[], datetime],
        on_events_read: Callable[[Sequence[Entry]], None],
        films: FilmRows,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        on_sent: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._database = database
        self._wire = wire
        self._clock = clock
        self._on_events_read = on_events_read
        self._checkpoint_seconds = checkpoint_seconds
        self._on_sent = on_sent
        self._starts = WatchStarts(database=database, snapshot=self._snapshot)
        self._films = films
        self._openings = Openings(
            jobs=Snapshots(database=database, read=partial(read_jobs, snapshot=self._snapshot), single=True),
            films=Snapshots(database=database, read=films.page),
            on_read=on_events_read,
        )
        self._windows: dict[str, ProjectWindow] = {}
        self._dirty: set[str] = set()
        self._news = asyncio.Event()
        self._draining = False

    def on_commit(self, changes: Iterable[Change]) -> None:
        """Marks the projects of a commit to be read again."""
        self._dirty.update(change.project_id for change in changes if change.project_id in self._windows)
        if self._dirty:
            self._news.set()

    def on_resync(self) -> None:
        """Marks every watched project to be read again, since notifications of other servers may have been lost."""
        self._dirty.update(self._windows)
        self._news.set()

    def check_draining(self) -> None:
        """Raises Draining once `drain` was called."""
        if self._draining:
            raise Draining("the server is stopping; call again elsewhere or later")

    def drain(self) -> None:
        """Ends every watch, now and from now on, with a checkpoint and Draining."""
        self._draining = True
        for window in self._windows.values():
            for watcher in window.watchers:
                watcher.wake()

    @property
    def watchers(self) -> int:
        """Returns how many watches are open."""
        return sum(len(window.watchers) for window in self._windows.values())

    async def run(self) -> None:
        """Loads new events and wakes watchers; polls every third of the checkpoint interval, in case news were lost."""
        every = self._checkpoint_seconds / 3
        due = time.monotonic() + every
        while True:
            try:
                async with asyncio.timeout(due - time.monotonic()):
                    await self._news.wait()
            except TimeoutError:
                pass
            if time.monotonic() >= due:
                due = time.monotonic() + every
                self._dirty.update(self._windows)
                await self._tick(every)
            self._news.clear()
            dirty, self._dirty = self._dirty, set()
            try:
                if more := await self._load(dirty):
                    self._dirty |= more
                    self._news.set()
            except TRANSIENT_ERRORS as exc:
                # The watchers keep their places, and what they missed is read once the database is back.
                logger.warning("events not read", extra={"cause": type(exc).__name__})
                self._dirty |= dirty
                self._news.set()
                await asyncio.sleep(AWAY_SECONDS)

    async def watch(
        self,
        send: Callable[[bytes], Awaitable[object]],
        *,
        project_id: str,
        job_ids: frozenset[str],
        after: int | None,
        include_finished: bool,
        kinds: Collection[MediaKind] = frozenset(MediaKind),
        films: bool = False,
        subjects: frozenset[str] = frozenset(),
        projects: Collection[str] | None = None,
        seconds: float = math.inf,
    ) -> None:
        """Sends the events of a project's jobs of these kinds, and with `films` those of its films; or, by `job_ids`
        and `subjects`, those of some of its jobs and films, and returns when all of these are final: a film when the
        run is that was its last, or any later one.

        With `projects`, jobs of other projects are treated as if they did not exist. After `seconds` it ends with a
        checkpoint and WatchAged.

        `send` is awaited with each message, and takes as long as its reader does. This is not a generator, since
        thousands of watchers would pay for one with every event.
        Raises JobNotFound, MixedProjects, CursorAhead, CursorCompacted, Draining, WatchAged; all but the last three
        before the first message.
        """
        start = await self._starts.read(project_id, job_ids, projects)
        self._on_events_read(start.snapshots)
        project_id, cursor = start.project_id, start.revision if after is None else after
        if cursor > start.revision:
            raise CursorAhead(f"the project is at revision {start.revision}, the cursor at {cursor}")
        _check_kept(cursor, start.compacted)
        window = self._windows.get(project_id)
        if window is None:
            window = self._windows[project_id] = ProjectWindow(start.revision)
            # What was committed since that read went unnoticed, and must not wait for the next change.
            self._dirty.add(project_id)
            self._news.set()
        own = job_ids | subjects
        watcher, made = Watcher(own, time.monotonic()), {kind.value for kind in kinds} | ({FILM} if films else set())
        window.join(watcher)
        aging = None if seconds == math.inf else asyncio.get_running_loop().call_later(seconds, watcher.age)
        try:
            named = await films_named(self._database, self._films, project_id, subjects)
            # A film's run may end and be followed by another, which this watch is about.
            since = {entry.job_id: entry.revision for entry in named}
            remaining = set(own)
            opening = self._openings.of(start, named, after, films=films, include_finished=include_finished)
            async with aclosing(opening) as snapshots:
                async for entry in snapshots:
                    if not own and entry.kind not in made:
                        continue
                    await send(entry.data)
                    if entry.final:
                        remaining.discard(entry.job_id)
            del start
            caught_up = False
            while remaining or not own:
                entries, cursor = window.after(cursor) or await self._read_missed(project_id, cursor, own)
                for entry in select_for(entries, own, made):
                    await send(entry.data)
                    if entry.final and entry.revision >= since.get(entry.job_id, 0):
                        remaining.discard(entry.job_id)
                if own and not remaining:
                    return
                if cursor < window.revision:
                    continue
                if self._draining or watcher.aged or watcher.ticked or not caught_up:
                    caught_up, watcher.ticked = True, False
                    watcher.checked_at = time.monotonic()
                    await send(self._wire.checkpoint(cursor))
                if self._draining:
                    raise Draining("the server is stopping; watch again from the last revision")
                if watcher.aged:
                    raise WatchAged("the watch has lasted long enough; watch again from the last revision")
                entries = ()
                if not watcher.woken:
                    await watcher.sleep()
                watcher.woken = False
        finally:
            if aging is not None:
                aging.cancel()
            window.leave(watcher)
            if not window.watchers and self._windows.get(project_id) is window:
                del self._windows[project_id]

    def _snapshot(self, job: Job) -> Entry:
        data = self._wire.event(EventKind.SNAPSHOT, job, self._clock())
        return Entry(job.revision, job.job_id, False, job.final, job.request.spec.kind.value, data)

    async def _load(self, dirty: Iterable[str]) -> set[str]:
        """Reads the new events of these projects, many at once, and wakes the watchers that they concern.

        Returns the projects that have more to read: after the others, however much happens in one of them.
        """
        more: set[str] = set()
        watched = ((name, self._windows[name]) for name in dirty if name in self._windows)
        while some := dict(islice(watched, PROJECTS_AT_ONCE)):
            cursors = {name: window.revision for name, window in some.items()}
            # No snapshot of all is needed: each project is read by one query.
            found, most = await self._database.fetch(partial(new_events, cursors=cursors)), most_of_each(len(some))
            for name, (entries, _) in found.items():
                self._on_events_read(entries)
                some[name].extend(entries)
                if len(entries) == most:
                    more.add(name)
            await _wake(chain.from_iterable(some[name].concerned(entries) for name, (entries, _) in found.items()))
            for _, written_at in found.values():
                self._on_sent((self._clock() - written_at).total_seconds())
        return more

    async def _read_missed(self, project_id: str, cursor: int, job_ids: frozenset[str]) -> tuple[Sequence[Entry], int]:
        """Reads the events after a cursor that the window has passed; returns them and the revision they reach."""
        work = partial(old_events, project_id=project_id, cursor=cursor, job_ids=job_ids, most=AT_ONCE)
        entries, end, compacted = await self._database.read_in_turn(work, owner=project_id)
        _check_kept(cursor, compacted)
        self._on_events_read(entries)
        return entries, end

    async def _tick(self, every: float) -> None:
        # One tick early, so that no watcher is checked only after its checkpoint was due.
        due = time.monotonic() - self._checkpoint_seconds + every
        late = [
            watcher for window in self._windows.values() for watcher in window.watchers if watcher.checked_at <= due
        ]
        for watcher in late:
            watcher.ticked = True
        await _wake(late)


async def _wake(watchers: Iterable[Watcher]) -> None:
    """Wakes watchers in batches, so that other work on the loop does not wait until all of them have sent."""
    for number, watcher in enumerate(watchers, start=1):
        watcher.wake()
        if number % WAKES_AT_ONCE == 0:
            await asyncio.sleep(0)


def _check_kept(cursor: int, compacted: int) -> None:
    if cursor < compacted:
        raise CursorCompacted(compacted)
