"""Replicas on a storage that cannot compare: a lock in the database lets one of them write at a time."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evergreen_server.jobs.cluster.lease import Lease
from evergreen_server.jobs.cluster.storage_locks import StorageLocks
from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.replicas import TTL_SECONDS
from evergreen_storage import SceneStore, Unavailable, open_storage
from tests.postgres import Postgres

KEY = "projects/p/s/metadata/scene.json"


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
async def database(postgres: Postgres) -> AsyncIterator[Database]:
    async with open_database(postgres.create()) as opened:
        yield opened


class Replica:
    """One replica's lease, which can be stopped, and its locks."""

    def __init__(self, database: Database, name: str) -> None:
        self.stopped = 0.0
        self.lease = Lease(database, name, boottime=lambda: time.monotonic() + self.stopped)
        self.locks = StorageLocks(database=database, replica_id=name, guard=self.lease.guard)


@asynccontextmanager
async def replicas(database: Database, number: int) -> AsyncIterator[list[Replica]]:
    async with AsyncExitStack() as stack:
        made = [Replica(database, f"replica-{each}") for each in range(number)]
        for replica in made:
            await stack.enter_async_context(replica.lease.open())
        yield made


async def test_replicas_that_change_one_scene_at_once_lose_nothing(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with replicas(database, 3) as three, AsyncExitStack() as stack:
        writers = [
            SceneStore(
                await stack.enter_async_context(
                    open_storage(f"fsspec+file://{tmp_path}", clock=now, lock=replica.locks.held)
                ),
                clock=now,
            )
            for replica in three
        ]

        async with asyncio.TaskGroup() as tasks:
            for number in range(24):
                tasks.create_task(writers[number % 3].record_request("p", f"s{number % 2}", f"job-{number}"))

        scenes = [await writers[0].get("p", f"s{number}") for number in range(2)]
    assert sorted(job for scene in scenes for job in scene.video_requests) == sorted(f"job-{n}" for n in range(24))
    assert "storage has no compare-and-swap, so its writers wait for a lock" in caplog.messages


async def test_a_lock_is_one_replicas_until_it_is_left(database: Database) -> None:
    order = []
    async with replicas(database, 2) as (first, second), asyncio.TaskGroup() as tasks:

        async def wait() -> None:
            async with second.locks.held(KEY):
                order.append("second")

        async with first.locks.held(KEY) as check:
            waiting = tasks.create_task(wait())
            async with second.locks.held("projects/p/other/metadata/scene.json"):
                order.append("another key")
            check()
            assert not waiting.done()
            order.append("first")
        await waiting

    assert order == ["another key", "first", "second"]


async def test_a_caller_that_gives_up_holds_nobody_up(database: Database) -> None:
    async with replicas(database, 2) as (first, second):
        async with first.locks.held(KEY):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2), second.locks.held(KEY):
                    raise AssertionError("two hold it")
        with pytest.raises(ConnectionResetError):
            async with first.locks.held(KEY):
                raise ConnectionResetError

        async with asyncio.timeout(60), second.locks.held(KEY) as check:
            check()


async def test_the_lock_of_a_dead_replica_is_taken_over(database: Database) -> None:
    async with replicas(database, 1) as (living,):
        dead = Replica(database, "dead")
        async with AsyncExitStack() as stack:
            async with dead.lease.open():
                await stack.enter_async_context(dead.locks.held(KEY))

            async with asyncio.timeout(60), living.locks.held(KEY) as check:
                check()


async def test_a_replica_that_was_stopped_writes_nothing_under_a_lock_that_another_may_hold(database: Database) -> None:
    async with replicas(database, 1) as (replica,), replica.locks.held(KEY) as check:
        check()

        replica.stopped = TTL_SECONDS + 1

        with pytest.raises(Unavailable, match="lease"):
            check()
