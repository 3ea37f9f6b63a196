"""The hub where there is much: many projects that change at once, long histories, many watches that open at once."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.schema import job_events, jobs, projects
from evergreen_server.jobs.feed.history import STRETCH, most_of_each
from evergreen_server.jobs.feed.hub import WatchHub
from evergreen_server.jobs.feed.window import AT_ONCE, Entry
from evergreen_server.jobs.model.change import Change
from evergreen_server.jobs.model.job import Job
from tests.history import START, job_id_of, write_history
from tests.jobs.feed.films import GivenFilms
from tests.jobs.tools import away
from tests.postgres import Postgres


class Wire:
    def event(self, kind: object, job: Job, at: object) -> bytes:
        return f"{job.revision} {job.job_id} {job.request.labels}".encode()

    def checkpoint(self, revision: int) -> bytes:
        return b"checkpoint %d" % revision


@dataclass
class Case:
    """A hub that never looks again by itself within a test."""

    database: Database
    hub: WatchHub
    hook: Callable[[], None] = lambda: None
    reads: list[str] = field(default_factory=list)

    def on_events_read(self, _entries: Iterable[Entry]) -> None:
        hook, self.hook = self.hook, lambda: None
        hook()

    def happen(self, project: str, first: int, count: int = 1) -> None:
        rows = [
            {
                "project_id": project,
                "revision": first + number,
                "job_id": job_id_of(1),
                "kind": "STAGE_CHANGED",
                "state": "RUNNING",
                "event": b"event %d" % (first + number),
                "created_at": 0,
            }
            for number in range(count)
        ]
        with self.database.engine.begin() as db:
            last = first + count - 1
            known = db.execute(projects.update().where(projects.c.project_id == project).values(revision=last))
            if not known.rowcount:
                db.execute(projects.insert().values(project_id=project, revision=last, created_at=0))
            db.execute(job_events.insert(), rows)

    def changed(self, names: Iterable[str]) -> None:
        self.hub.on_commit([Change(project_id=name, job_id="") for name in names])

    @asynccontextmanager
    async def watch(
        self, project: str = "", job_ids: Sequence[str] = (), **asked: object
    ) -> "AsyncIterator[asyncio.Queue[bytes]]":
        received: asyncio.Queue[bytes] = asyncio.Queue()
        usual = {"after": None, "include_finished": False}
        asked = {**usual, **asked, "project_id": project, "job_ids": frozenset(job_ids)}
        watching = asyncio.create_task(self.hub.watch(received.put, **asked))
        try:
            async with asyncio.timeout(60):
                yield received
        finally:
            watching.cancel()
            await asyncio.wait([watching])


@pytest.fixture(params=["sqlite", "postgresql"])
async def case(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Case]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'hub.sqlite'}"
    else:
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.create()
    async with open_database(url) as database:
        hub = WatchHub(
            database=database,
            films=GivenFilms(),
            wire=Wire(),
            clock=lambda: START,
            on_events_read=lambda entries: opened.on_events_read(entries),
            checkpoint_seconds=3600.0,
        )
        opened = Case(database, hub)

        def count(_db: object, _cursor: object, statement: str, *_rest: object) -> None:
            opened.reads.append(statement)

        sa.event.listen(database.engine, "before_cursor_execute", count)
        running = asyncio.create_task(hub.run())
        try:
            yield opened
        finally:
            running.cancel()
            await asyncio.wait([running])


async def test_what_is_committed_while_the_first_watch_opens_is_told_at_once(case: Case) -> None:
    case.happen("film", 1)
    # Between the reading that the watch opens with, and the moment from which commits are announced to it.
    case.hook = lambda: case.happen("film", 2)

    async with case.watch("film") as received:
        assert b"event 2" in [await received.get(), await received.get()]


async def test_many_projects_that_change_at_once_are_read_together(case: Case) -> None:
    names = [f"film-{number}" for number in range(60)]
    async with asyncio.TaskGroup() as group:
        release = asyncio.Event()
        ready = asyncio.Barrier(len(names) + 1)

        async def watch(name: str) -> None:
            async with case.watch(name) as received:
                assert await received.get() == b"checkpoint 0"
                await ready.wait()
                assert await received.get() == b"event 1"
                await release.wait()

        for name in names:
            group.create_task(watch(name))
        await ready.wait()
        for name in names:
            case.happen(name, 1)
        case.reads.clear()
        case.changed(names)
        release.set()

    asked = [statement for statement in case.reads if "job_events" in statement]
    assert len(asked) == (1 if case.database.shared else len(names))
    assert sum(statement.startswith("BEGIN") for statement in case.reads) <= 1, "in one transaction"


async def test_a_project_where_much_happens_keeps_nobody_waiting(case: Case) -> None:
    much = 3 * most_of_each(2)
    async with case.watch("busy") as busy, case.watch("quiet") as quiet:
        assert [await busy.get(), await quiet.get()] == [b"checkpoint 0", b"checkpoint 0"]
        case.happen("busy", 1, much)
        case.happen("quiet", 1)
        case.changed(["busy", "quiet"])
        assert await quiet.get() == b"event 1"
        assert busy.qsize() < much
        assert [await busy.get() for _ in range(much)] == [b"event %d" % number for number in range(1, much + 1)]


async def test_a_watch_that_is_left_and_another_that_comes_do_not_share_a_place(case: Case) -> None:
    case.happen("film", 1, 5)
    async with case.watch("film", after=0) as received:
        for number in range(1, 6):
            assert await received.get() == b"event %d" % number
    async with case.watch("film", after=2) as received:
        for number in range(3, 6):
            assert await received.get() == b"event %d" % number
        assert await received.get() == b"checkpoint 5"


async def test_one_job_is_followed_through_a_long_history_in_stretches(case: Case) -> None:
    await case.database.write(partial(write_history, count=2, projects_in_all=1, open_every=1))
    case.happen("film-0", 3, 3 * STRETCH)
    mine = sa.update(job_events).where(job_events.c.revision.in_([3, 2 * STRETCH + 5])).values(job_id=job_id_of(0))
    await case.database.write(lambda db: db.execute(mine))

    async with case.watch("film-0", [job_id_of(0)], after=1) as received:
        assert await received.get() == b"event 3"
        assert await received.get() == b"event %d" % (2 * STRETCH + 5)
        assert await received.get() == b"checkpoint %d" % (3 * STRETCH + 2)


@pytest.mark.parametrize("include_finished", [False, True])
async def test_watches_that_open_together_read_their_project_once(case: Case, include_finished: bool) -> None:
    count = 3 * AT_ONCE
    await case.database.write(partial(write_history, count=2 * count, projects_in_all=1, open_every=2))
    expected = [number for number in range(2 * count) if include_finished or number % 2 == 0]
    case.reads.clear()

    async def watch() -> None:
        async with case.watch("film-0", include_finished=include_finished) as received:
            for number in expected:
                assert (await received.get()).split()[:2] == [b"%d" % (number + 1), job_id_of(number).encode()]
            assert await received.get() == b"checkpoint %d" % (2 * count)

    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(watch())

    pages = [statement for statement in case.reads if "FROM jobs" in statement]
    assert len(pages) == len(expected) // AT_ONCE + 1
    assert not any("spec" in statement for statement in pages), "of a request events tell nothing"


async def test_a_watch_that_comes_later_reads_what_changed_since(case: Case) -> None:
    await case.database.write(partial(write_history, count=4, projects_in_all=1, open_every=1))
    async with case.watch("film-0") as received:
        for _ in range(5):
            await received.get()

    def change(db: sa.Connection) -> None:
        db.execute(jobs.update().where(jobs.c.job_id == job_id_of(0)).values(revision=5, labels={"a": "b"}))
        db.execute(projects.update().values(revision=5))

    await case.database.write(change)
    async with case.watch("film-0") as received:
        last = [await received.get() for _ in range(5)][3]
    assert last == f"5 {job_id_of(0)} {{'a': 'b'}}".encode()


async def test_whoever_reads_first_may_leave_while_others_wait_for_the_same(case: Case) -> None:
    await case.database.write(partial(write_history, count=AT_ONCE, projects_in_all=1, open_every=1))
    async with case.watch("film-0") as received:
        await received.get()
    async with case.watch("film-0") as first, case.watch("film-0") as second:
        await first.get()
        assert len([await second.get() for _ in range(AT_ONCE)]) == AT_ONCE


async def test_what_could_not_be_read_while_the_database_was_away_is_told_once_it_is_back(
    case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    async with case.watch("film") as received:
        assert await received.get() == b"checkpoint 0"
        case.happen("film", 1)
        reads, refused = len(case.reads), asyncio.Event()

        def tried(*_: object) -> None:
            refused.set()

        sa.event.listen(case.database.engine, "before_cursor_execute", tried)
        with away(case.database):
            case.changed(["film"])
            await refused.wait()
        sa.event.remove(case.database.engine, "before_cursor_execute", tried)

        assert await received.get() == b"event 1"
    assert "events not read" in caplog.text
    assert len(case.reads) > reads
