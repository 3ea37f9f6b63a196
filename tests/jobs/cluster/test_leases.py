"""What a lease permits: who was away for longer than it lives may send nothing that was meant to be sent before."""

import asyncio
import time

import pytest
import sqlalchemy as sa

from evergreen_server.jobs.cluster.lease import Lease
from evergreen_server.jobs.cluster.reaper import Reaper
from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.replicas import TTL_SECONDS, live_replicas
from evergreen_server.jobs.db.shared_schema import replicas
from evergreen_server.ports.provider import NotSent
from tests.postgres import Postgres


async def test_what_was_meant_before_a_lease_ran_out_is_not_sent_after_it_is_renewed(postgres: Postgres) -> None:
    stopped = 0.0
    async with open_database(postgres.create()) as database:
        lease = Lease(database, "replica-1", boottime=lambda: time.monotonic() + stopped)
        async with lease.open():
            before = lease.guard()
            before()

            stopped = TTL_SECONDS + 1
            with pytest.raises(NotSent):
                before()
            await renewed(lease)

            with pytest.raises(NotSent):
                before()
            lease.guard()()


async def test_a_dead_replica_does_not_live_on_because_the_database_clock_was_set_back(postgres: Postgres) -> None:
    async with open_database(postgres.create()) as database:
        lease = Lease(database, "replica-1", boottime=time.monotonic)
        ahead = (time.time() + 86_400) * 1_000_000
        row = {"replica_id": "replica-2", "beat_at": int(ahead)}
        await database.write(lambda db: db.execute(replicas.insert().values(**row)))
        async with lease.open():
            live = await database.read(lambda db: list(db.execute(live_replicas()).scalars()))

    assert live == ["replica-1"]


class NothingRuns:
    """An engine without workflows."""

    def pending(self, _replica_ids: object) -> list[tuple[str, str]]:
        return []

    def requeue(self, _workflow_ids: object) -> None:
        raise AssertionError("there is nothing to give back")


async def test_replicas_that_have_gone_leave_no_row_behind(postgres: Postgres) -> None:
    async with open_database(postgres.create()) as database:
        for number in range(3):
            async with Lease(database, f"gone-{number}", boottime=time.monotonic).open():
                pass
        lease = Lease(database, "replica-1", boottime=time.monotonic)
        async with lease.open():
            reaper = Reaper(database=database, lease=lease, handover=NothingRuns(), taken_over=lambda _: None)
            reaping = asyncio.create_task(reaper.run())
            async with asyncio.timeout(60):
                while (left := await replicas_in(database)) != ["replica-1"]:
                    assert "replica-1" in left
            reaping.cancel()
            await asyncio.wait({reaping})


async def replicas_in(database: Database) -> list[str]:
    return await database.read(lambda db: list(db.execute(sa.select(replicas.c.replica_id)).scalars()))


async def renewed(lease: Lease) -> None:
    async with asyncio.timeout(60):
        while not lease.live:
            assert not lease.settled
            await asyncio.sleep(0.05)
