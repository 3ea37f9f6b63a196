"""What a replica does while its database is away: it says so once, goes on by itself, and promises nothing."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence

import pytest
import sqlalchemy as sa

from evergreen_server.jobs.cluster.lease import Lease
from evergreen_server.jobs.cluster.notifier import LARGEST, Notifier
from evergreen_server.jobs.cluster.storage_locks import StorageLocks
from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.shared_schema import storage_locks
from evergreen_server.jobs.model.change import Change
from evergreen_storage import Unavailable
from tests.jobs.tools import Said, away
from tests.postgres import Postgres

WAIT_SECONDS = 40


@pytest.fixture
async def database(postgres: Postgres) -> AsyncIterator[Database]:
    async with open_database(postgres.create()) as opened:
        yield opened


@pytest.fixture
async def said() -> AsyncIterator[Said]:
    handler, logger = Said(), logging.getLogger("evergreen_server.jobs.cluster")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


async def test_a_lease_is_renewed_as_soon_as_the_database_is_back(database: Database, said: Said) -> None:
    lease = Lease(database, "replica-1", boottime=time.monotonic)
    async with lease.open():
        with away(database):
            await said.until("lease not renewed")
        await said.until("lease renewed")

        lease.guard()()
    assert said.messages.count("lease not renewed") == 1


async def test_a_lease_that_cannot_be_released_runs_out_by_itself(database: Database, said: Said) -> None:
    lease = Lease(database, "replica-1", boottime=time.monotonic)
    opened = lease.open()
    await opened.__aenter__()
    with away(database):
        await opened.__aexit__(None, None, None)

    assert "lease not released" in said.messages


async def test_no_lock_is_taken_while_the_database_is_away(database: Database) -> None:
    lease = Lease(database, "replica-1", boottime=time.monotonic)
    locks = StorageLocks(database=database, replica_id="replica-1", guard=lease.guard)
    async with lease.open():
        with away(database), pytest.raises(Unavailable, match="the database is away"):
            await locks.held("projects/p/s/metadata/scene.json").__aenter__()


async def test_a_lock_that_could_not_be_released_goes_with_the_next_one(database: Database, said: Said) -> None:
    def held(db: sa.Connection) -> list[str]:
        return list(db.execute(sa.select(storage_locks.c.key)).scalars())

    lease = Lease(database, "replica-1", boottime=time.monotonic)
    locks = StorageLocks(database=database, replica_id="replica-1", guard=lease.guard)
    async with lease.open():
        first = locks.held("first")
        await first.__aenter__()
        with away(database):
            await first.__aexit__(None, None, None)
        assert "lock not released" in said.messages
        assert await database.read(held) == ["first"]

        async with locks.held("second"):
            pass

        assert await database.read(held) == []


async def test_others_are_told_of_many_changes_at_once_and_of_their_own_nobody(database: Database, said: Said) -> None:
    """Also after a notification that the database did not take: others find its changes by themselves."""
    heard: dict[str, list[Change]] = {"replica-1": [], "replica-2": []}
    listening = {name: asyncio.Event() for name in heard}
    arrived = asyncio.Event()
    jobs = [f"job-{number:04}" for number in range(2 * LARGEST // 10)]

    def notifier(name: str) -> Notifier:
        def changed(changes: Sequence[Change]) -> None:
            heard[name] += changes
            if len(heard[name]) >= len(jobs) + 1:
                arrived.set()

        return Notifier(database=database, replica_id=name, on_changes=changed, on_resync=listening[name].set)

    one, two = notifier("replica-1"), notifier("replica-2")
    async with asyncio.timeout(WAIT_SECONDS), asyncio.TaskGroup() as group:
        tasks = [group.create_task(work()) for work in (one.send, one.listen, two.listen)]
        for event in listening.values():
            await event.wait()
        with away(database):
            one.publish([Change(project_id="lost", job_id="lost", external=True)])
            await said.until("notification not sent")
        one.publish([Change(project_id="film", job_id=job_id, external=True) for job_id in jobs])
        await arrived.wait()
        for task in tasks:
            task.cancel()

    assert [change.job_id for change in heard["replica-2"] if change.external] == jobs
    assert [change.project_id for change in heard["replica-2"] if not change.external] == ["film"]
    assert heard["replica-1"] == []
