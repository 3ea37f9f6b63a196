"""Connections are asked to be opened anew after a while, so that a new server gets its share; no watch notices."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import grpc
import pytest

import evergreen
from evergreen.v1 import video_pb2
from tests.balancer import Balancer, balancing
from tests.postgres import Postgres
from tests.serving import WAIT_SECONDS, Api, Control, ServerProcess, reason_of, serving

CLIENTS = 8
AGE_SECONDS = 4
MARGIN_SECONDS = 20
"""How much later it may be on a busy machine."""
OF_ITS_OWN = (("grpc.use_local_subchannel_pool", 1),)
"""Clients in one process would share a connection."""


@pytest.fixture
async def balancer() -> AsyncIterator[Balancer]:
    async with balancing() as opened:
        yield opened


class Watches:
    """What the watchers of a project were told."""

    def __init__(self, count: int) -> None:
        self.revisions: list[list[int]] = [[] for _ in range(count)]
        self.caught_up = asyncio.Semaphore(0)
        self._news = asyncio.Event()

    async def watch(self, number: int, address: str) -> None:
        async with (
            evergreen.WireClient(address, options=OF_ITS_OWN) as client,
            aclosing(client.watch(project_id="film")) as messages,
        ):
            async for message in messages:
                if message.HasField("checkpoint"):
                    self.caught_up.release()
                else:
                    self.revisions[number].append(message.revision)
                    self._news.set()

    async def all_at(self, revision: int) -> None:
        """Waits until all were told of a revision."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not all(told and told[-1] == revision for told in self.revisions):
                self._news.clear()
                await self._news.wait()


async def test_watches_are_spread_over_a_new_server_within_twice_the_age(
    tmp_path: Path, sandbox: Control, postgres: Postgres, balancer: Balancer
) -> None:
    changes = {
        "EVERGREEN_DATABASE_URL": postgres.create(),
        "EVERGREEN_STORAGE_URL": (tmp_path / "scenes").as_uri(),
        "EVERGREEN_CONNECTION_AGE_SECONDS": str(AGE_SECONDS),
    }
    watches = Watches(CLIENTS)
    async with AsyncExitStack() as stack:
        first, second = [
            await stack.enter_async_context(ServerProcess(tmp_path / name, sandbox.url, changes))
            for name in ("first", "second")
        ]
        api, other = await asyncio.gather(first.start(), second.start())
        balancer.add(api.address)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(watches.watch(number, balancer.address)) for number in range(CLIENTS)]
            for _ in tasks:
                await watches.caught_up.acquire()
            assert balancer.open == {api.address: CLIENTS}
            balancer.add(other.address)

            async with asyncio.timeout(2 * AGE_SECONDS + MARGIN_SECONDS):
                await balancer.until_each_has(CLIENTS // 2 - 1)

            job = await api.generate()
            await watches.all_at(await final_revision(api, job.job_id))
            for task in tasks:
                task.cancel()

    # Only progress may be left out, and nothing comes twice.
    assert all(told[0] == 1 and told == sorted(set(told)) for told in watches.revisions)


async def test_a_watch_ends_with_a_checkpoint_before_its_connection_is_cut_off(
    tmp_path: Path, sandbox: Control
) -> None:
    async with serving(tmp_path / "data", sandbox.url, EVERGREEN_CONNECTION_AGE_SECONDS="2") as api:
        job = await api.generate()
        told, error = await told_until_the_end(api)
        rest, _ = await told_until_the_end(api, after_revision=told[-1].revision)

        final = await final_revision(api, job.job_id)
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    assert told[-1].HasField("checkpoint")
    assert rest[-1].HasField("checkpoint")
    assert all(message.revision > told[-1].revision for message in rest if message.HasField("event"))
    assert rest[-1].revision <= final


async def final_revision(api: Api, job_id: str) -> int:
    """Waits for the job's end, however often the watch of it ends by its age."""
    async with evergreen.WireClient(api.address, options=OF_ITS_OWN) as client:
        return (await client.wait(job_id)).revision


async def told_until_the_end(
    api: Api, **fields: int
) -> tuple[list[video_pb2.WatchProgressResponse], grpc.aio.AioRpcError]:
    """Reads a watch that the server ends, and gives what it told and how it ended."""
    call = api.video.WatchProgress(video_pb2.WatchProgressRequest(project_id="film", **fields))
    told = []
    async with asyncio.timeout(WAIT_SECONDS):
        try:
            while True:
                told.append(await call.read())
        except grpc.aio.AioRpcError as error:
            return told, error
