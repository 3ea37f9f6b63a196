"""A file that a job needs is not taken away under it, and no job is accepted on a file that is being taken away."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from evergreen_server.jobs.cluster.lease import Lease
from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.db.schema import jobs
from evergreen_server.jobs.db.shared_schema import asset_claims
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.model.states import State
from evergreen_server.jobs.store.jobs import JobStore
from evergreen_server.jobs.store.project_lock import SceneBusy
from evergreen_server.ports.specs import Media, Role
from evergreen_server.runtime.ids import JobIds
from evergreen_server.scenes.writers import CountedWriters, RecordedWriters, SceneWriters
from tests.jobs.tools import request_at, store_of
from tests.postgres import Postgres

PATH = "images/hero.png"
SCENE = ("film", "scene-1")


def now() -> datetime:
    return datetime.now(UTC)


class Replica:
    """What accepts jobs, and what claims files."""

    def __init__(self, store: JobStore, writers: SceneWriters, stack: AsyncExitStack) -> None:
        self.store = store
        self.writers = writers
        self.stack = stack
        self._ids = JobIds(now)

    async def accept(self, path: str = PATH) -> Job:
        job_id, usual = self._ids.new(), request_at(now())
        spec = replace(usual.spec, media=(Media(role=Role.REFERENCE, asset=path),))
        request = replace(usual, request_id=job_id, digest=job_id, spec=spec)
        return await self.store.accept(request, job_id=job_id, estimated_millicredits=None, inline={})

    async def end(self, job: Job) -> None:
        await self.store.command(job.job_id, lambda job: job.ended(State.FAILED))

    async def named(self) -> int:
        """Counts the jobs that are not final."""
        query = sa.select(sa.func.count()).where(jobs.c.ended_at.is_(None))
        return await self.store._database.read(lambda db: db.execute(query).scalar_one())


@pytest.fixture(params=["sqlite", "postgresql"])
async def two(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Replica, Replica]]:
    """Two replicas of one database; on SQLite, which has one server, the same one twice."""
    shared = request.param == "postgresql"
    url = f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    if shared:
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.create()
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(url))
        made: list[Replica] = []
        for name in ("one", "two")[: 2 if shared else 1]:
            leased = await stack.enter_async_context(AsyncExitStack())
            if shared:
                await leased.enter_async_context(Lease(database, name, boottime=time.monotonic).open())
            writers: SceneWriters = CountedWriters(database=database)
            if shared:
                writers = RecordedWriters(database=database, replica_id=name, clock=now)
            store = store_of(database, clock=now, refuse=writers.refuse)
            made.append(Replica(store, writers, leased))
        yield made[0], made[-1]


async def test_a_claimed_file_is_named_by_no_new_job_until_its_writer_has_left(two: tuple[Replica, Replica]) -> None:
    one, other = two
    async with one.writers.hold(*SCENE) as claim:
        await claim(PATH)

        with pytest.raises(SceneBusy, match="at this moment"):
            await other.accept()
        with pytest.raises(SceneBusy, match="at this moment"):
            await other.accept(PATH.upper().replace("IMAGES", "images"))
        await other.accept("images/another.png")

    job = await other.accept()
    async with one.writers.hold(*SCENE) as claim:
        with pytest.raises(SceneBusy, match=f"job {job.job_id}"):
            await claim(PATH)
    await other.end(job)
    async with one.writers.hold(*SCENE) as claim:
        await claim(PATH)


async def test_a_refused_claim_holds_nobody_up(two: tuple[Replica, Replica]) -> None:
    one, other = two
    first = await other.accept()
    async with one.writers.hold(*SCENE) as claim:
        with pytest.raises(SceneBusy):
            await claim(PATH)
    await other.accept()
    await other.end(first)
    database = one.store._database
    assert await database.read(lambda db: db.execute(sa.select(asset_claims)).all()) == []


async def test_of_a_job_and_a_claim_that_come_at_once_one_gives_way(two: tuple[Replica, Replica]) -> None:
    one, other = two
    claims = accepted = 0

    async def take_away() -> None:
        nonlocal claims
        with suppress(SceneBusy):
            async with one.writers.hold(*SCENE) as claim:
                await claim(PATH)
                claims += 1
                # While the file is claimed, no job that is not final names it.
                assert await one.named() == 0
                await asyncio.sleep(0)
                assert await one.named() == 0

    async def make() -> None:
        nonlocal accepted
        with suppress(SceneBusy):
            job = await other.accept()
            accepted += 1
            await other.end(job)

    for rounds in range(400):
        async with asyncio.TaskGroup() as tasks:
            for work in (take_away, make, take_away, make):
                tasks.create_task(work())
        if rounds >= 40 and claims and accepted:
            # On a busy machine the same of the two may be first for long.
            break

    assert claims > 0
    assert accepted > 0


@pytest.mark.parametrize("two", ["postgresql"], indirect=True)
async def test_a_claim_ends_with_its_replica(two: tuple[Replica, Replica]) -> None:
    one, other = two
    async with one.writers.hold(*SCENE) as claim:
        await claim(PATH)
        await one.stack.aclose()

        await other.accept()


@pytest.mark.parametrize("two", ["postgresql"], indirect=True)
async def test_a_claim_whose_writer_left_without_the_database_ends_with_the_next_sweep(
    two: tuple[Replica, Replica],
) -> None:
    here, other = two
    engine = here.store._database.engine

    async def write() -> None:
        async with here.writers.hold(*SCENE) as claim:
            await claim(PATH)
            blocker.execute(sa.text("LOCK TABLE asset_claims IN ACCESS EXCLUSIVE MODE"))

    with engine.connect() as blocker:
        writing = asyncio.create_task(write())
        await asyncio.to_thread(end_who_waits, engine)
        await writing
        blocker.rollback()
    with pytest.raises(SceneBusy):
        await other.accept()

    await here.writers.tidy()

    assert (await other.accept()).state is State.QUEUED


def end_who_waits(engine: sa.Engine) -> None:
    """Ends the connection of whoever waits for a lock, as soon as somebody does."""
    ends = sa.text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with engine.connect() as db:
            if db.execute(ends).all():
                return
    raise AssertionError("nobody waits for a lock")
