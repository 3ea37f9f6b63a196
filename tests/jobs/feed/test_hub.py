"""The hub over a real database, where events can come faster and in greater number than jobs make them."""

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.schema import job_events, projects
from evergreen_server.jobs.feed.hub import CursorCompacted, WatchHub
from evergreen_server.jobs.feed.window import AT_ONCE, WINDOW, Entry
from evergreen_server.jobs.model.change import Change
from tests.jobs.feed.films import GivenFilms

JOB = "01900000-0000-7000-8000-000000000001"


def now() -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC)


class Plain:
    """Says a checkpoint by its revision."""

    def event(self, kind: object, job: object, at: object) -> bytes:
        raise AssertionError("no job is in this database")

    def checkpoint(self, revision: int) -> bytes:
        return b"checkpoint %d" % revision


class Scene:
    """A hub and a database into which events are written as the store would, but many at once."""

    def __init__(self, database: Database, checkpoint_seconds: float) -> None:
        self._database = database
        self._revisions: dict[str, int] = {}
        self.found: list[tuple[str, int]] = []
        self.hub = WatchHub(
            database=database,
            films=GivenFilms(),
            wire=Plain(),
            clock=now,
            on_events_read=self._note,
            checkpoint_seconds=checkpoint_seconds,
        )

    def _note(self, entries: Iterable[Entry]) -> None:
        self.found += [(entry.job_id, entry.revision) for entry in entries]

    async def happen(
        self, kinds: list[str], *, project: str = "film", padding: int = 0, announced: bool = True
    ) -> None:
        first = self._revisions.get(project, 0) + 1
        rows = [
            {
                "project_id": project,
                "revision": first + number,
                "job_id": JOB,
                "kind": kind,
                "state": "RUNNING",
                "event": b"%d %s" % (first + number, kind.encode()) + b" " * padding,
                "created_at": 0,
            }
            for number, kind in enumerate(kinds)
        ]
        last = self._revisions[project] = first + len(rows) - 1

        def write(db: sa.Connection) -> None:
            known = db.execute(projects.update().where(projects.c.project_id == project).values(revision=last))
            if not known.rowcount:
                db.execute(projects.insert().values(project_id=project, revision=last, created_at=0))
            db.execute(job_events.insert(), rows)

        await self._database.write(write)
        if announced:
            self.hub.on_commit([Change(project_id=project, job_id=JOB)])

    async def compact(self, revision: int) -> None:
        def write(db: sa.Connection) -> None:
            db.execute(projects.update().values(compacted_revision=revision))
            db.execute(job_events.delete().where(job_events.c.revision <= revision))

        await self._database.write(write)

    async def watch(self, project: str = "film", after: int | None = None) -> AsyncGenerator[bytes, None]:
        """Reads a watch one message at a time; the hub waits while nobody reads."""
        messages = asyncio.Queue[bytes](1)
        asked = {"project_id": project, "job_ids": frozenset[str](), "after": after, "include_finished": False}
        watching = asyncio.create_task(self.hub.watch(messages.put, **asked))
        try:
            while True:
                reading = asyncio.ensure_future(messages.get())
                await asyncio.wait([reading, watching], return_when=asyncio.FIRST_COMPLETED)
                if not reading.done():
                    reading.cancel()
                    await watching
                yield await reading
        finally:
            watching.cancel()
            await asyncio.wait([watching])


@asynccontextmanager
async def opened(path: Path, checkpoint_seconds: float = 15.0) -> AsyncIterator[Scene]:
    async with open_database(f"sqlite:///{path / 'hub.sqlite'}") as database:
        scene = Scene(database, checkpoint_seconds)
        running = asyncio.create_task(scene.hub.run())
        try:
            async with asyncio.timeout(120):
                yield scene
        finally:
            running.cancel()
            await asyncio.wait([running])


async def gather(messages: AsyncGenerator[bytes, None], received: list[bytes]) -> None:
    while True:
        received.append(await anext(messages))


async def test_a_quiet_watch_gets_checkpoints_while_another_project_never_rests(tmp_path: Path) -> None:
    async with opened(tmp_path, checkpoint_seconds=0.3) as scene:
        loop, resting = asyncio.get_running_loop(), asyncio.Event()

        async def never_rest() -> None:
            while not resting.is_set():
                await scene.happen(["STAGE_CHANGED"], project="busy")

        async with (
            asyncio.TaskGroup() as group,
            aclosing(scene.watch("busy")) as busy,
            aclosing(scene.watch()) as quiet,
        ):
            assert await anext(busy) == await anext(quiet) == b"checkpoint 0"
            group.create_task(never_rest())
            start = loop.time()
            for _ in range(3):
                assert await anext(quiet) == b"checkpoint 0"
            elapsed = loop.time() - start
            resting.set()

        assert 0.3 < elapsed < 20


async def test_a_busy_watch_gets_checkpoints_between_its_events(tmp_path: Path) -> None:
    async with opened(tmp_path, checkpoint_seconds=0.3) as scene, aclosing(scene.watch()) as messages:
        received = [await anext(messages)]
        while sum(message.startswith(b"checkpoint") for message in received) < 4:
            await scene.happen(["STAGE_CHANGED"])
            received.append(await anext(messages))

        events = [int(message.split()[0]) for message in received if not message.startswith(b"checkpoint")]
        assert events == list(range(1, len(events) + 1))


async def test_a_commit_that_nobody_announced_is_found_all_the_same(tmp_path: Path) -> None:
    async with opened(tmp_path, checkpoint_seconds=0.3) as scene, aclosing(scene.watch()) as messages:
        await anext(messages)
        await scene.happen(["CREATED"], announced=False)

        received = [await anext(messages)]
        while received[-1].startswith(b"checkpoint"):
            received.append(await anext(messages))

        assert received[-1] == b"1 CREATED"


async def test_a_percentage_is_left_out_only_where_a_later_event_is_at_hand(tmp_path: Path) -> None:
    async with opened(tmp_path) as scene, aclosing(scene.watch(after=0)) as messages:
        assert await anext(messages) == b"checkpoint 0"
        await scene.happen(["CREATED", "PROGRESS", "WARNING", "PROGRESS", "PROGRESS"])
        received = [await anext(messages) for _ in range(3)]
        await scene.happen(["PROGRESS"])
        received.append(await anext(messages))

        assert received == [b"1 CREATED", b"3 WARNING", b"5 PROGRESS", b"6 PROGRESS"]


async def test_a_reader_left_behind_by_the_window_loses_nothing_but_percentages(tmp_path: Path) -> None:
    async with opened(tmp_path) as scene, aclosing(scene.watch()) as slow, aclosing(scene.watch()) as quick:
        assert await anext(slow) == await anext(quick) == b"checkpoint 0"
        kinds = ["STAGE_CHANGED", "PROGRESS", "PROGRESS"] * WINDOW
        for start in range(0, len(kinds), 300):
            await scene.happen(kinds[start : start + 300])
        last = b"%d PROGRESS" % len(kinds)
        for reader in (quick, slow):
            received = [await anext(reader)]
            while received[-1] != last:
                received.append(await anext(reader))

            revisions = [int(message.split()[0]) for message in received]
            assert revisions == sorted(set(revisions))
            assert [revision for revision in revisions if revision % 3 == 1] == list(range(1, len(kinds), 3))


async def test_a_reader_whose_place_is_compacted_away_is_told_so(tmp_path: Path) -> None:
    async with opened(tmp_path) as scene, aclosing(scene.watch()) as slow, aclosing(scene.watch()) as quick:
        assert await anext(slow) == await anext(quick) == b"checkpoint 0"
        for _ in range(5):
            await scene.happen(["STAGE_CHANGED"] * WINDOW)
        last = b"%d STAGE_CHANGED" % (5 * WINDOW)
        while await anext(quick) != last:
            pass
        await scene.compact(WINDOW)

        received: list[bytes] = []
        with pytest.raises(CursorCompacted):
            await gather(slow, received)
        assert received == [b"%d STAGE_CHANGED" % number for number in range(1, len(received) + 1)]
        assert len(received) <= AT_ONCE


async def test_readers_that_stop_hold_little_however_much_happens(tmp_path: Path) -> None:
    size, readers = 1000, 50
    async with opened(tmp_path) as scene:
        stalled = [scene.watch() for _ in range(readers)]
        for reader in stalled:
            assert await anext(reader) == b"checkpoint 0"
        await scene.happen(["STAGE_CHANGED"] * WINDOW, padding=size)
        for reader in stalled:
            await anext(reader)
        async with aclosing(scene.watch()) as quick:
            await anext(quick)
            gc.collect()
            tracemalloc.start()
            happened = 0
            for _ in range(20):
                await scene.happen(["STAGE_CHANGED"] * WINDOW, padding=size)
                happened += WINDOW * size
                while not (await anext(quick)).startswith(b"%d " % (WINDOW + happened // size)):
                    pass
            for reader in stalled:
                await anext(reader)
            gc.collect()
            held, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        for reader in stalled:
            await reader.aclose()

        assert happened > 20_000_000
        assert held < (2 * WINDOW + readers * AT_ONCE) * (size + 300)


async def test_what_is_read_is_made_known_before_it_is_told(tmp_path: Path) -> None:
    async with opened(tmp_path) as scene, aclosing(scene.watch()) as messages:
        await anext(messages)
        await scene.happen(["CREATED"])

        assert await anext(messages) == b"1 CREATED"
        assert scene.found == [(JOB, 1)]


async def test_a_watch_that_is_left_is_forgotten(tmp_path: Path) -> None:
    async with opened(tmp_path) as scene:
        async with aclosing(scene.watch()) as messages:
            await anext(messages)
            assert scene.hub.watchers == 1

        assert scene.hub.watchers == 0
