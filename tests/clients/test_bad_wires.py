"""Watches of the real server over connections that are cut, half closed and slow, and a reader that is slow itself."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing

import pytest

from evergreen import DeadlineExceeded, Reconnect, WireClient
from tests.clients.restarts import Change, change
from tests.clients.wire import Wire
from tests.serving import SPEED, Api, Control

QUICK = Reconnect(first_delay=0.02, max_delay=0.2, patience=60)


async def truth(api: Api, job_id: str) -> list[Change]:
    """All that was to be told of a final job, over a connection that nothing happens to."""
    return [
        found
        async for message in api.events(job_ids=[job_id], after_revision=0)
        if (found := change(message)) is not None
    ]


async def told(client: WireClient, job_id: str, each: Callable[[], None] = lambda: None) -> list[Change]:
    seen: list[Change] = []
    async with asyncio.timeout(90), aclosing(client.watch(job_ids=[job_id], after_revision=0)) as messages:
        async for message in messages:
            seen += [found] if (found := change(message)) else []
            each()
    return seen


@pytest.mark.parametrize("ill", [Wire.cut, Wire.half_close], ids=["cut", "half closed"])
async def test_a_watch_over_a_connection_that_breaks_after_every_message_tells_all_once(
    api: Api, sandbox: Control, ill: Callable[[Wire], None]
) -> None:
    job = await api.generate()
    async with Wire.to(api.address) as wire, WireClient(wire.address, reconnect=QUICK) as client:
        seen = await told(client, job.job_id, lambda: ill(wire))

        assert wire.connections > 2
    assert seen == await truth(api, job.job_id)


async def test_a_slow_connection_and_a_slow_reader_lose_nothing(api: Api, sandbox: Control) -> None:
    jobs = [await api.generate() for _ in range(3)]
    async with Wire.to(api.address) as wire, WireClient(wire.address, reconnect=QUICK) as client:
        wire.delay_seconds = 0.05
        seen: list[Change] = []
        async with (
            asyncio.timeout(90),
            aclosing(client.watch(job_ids=[job.job_id for job in jobs], after_revision=0)) as messages,
        ):
            async for message in messages:
                seen += [found] if (found := change(message)) else []
                await asyncio.sleep(0.1)

        assert wire.connections == 1
    expected = sorted([each for job in jobs for each in await truth(api, job.job_id)])
    assert seen == expected


async def test_a_call_over_a_connection_that_carries_nothing_ends_by_its_deadline(api: Api) -> None:
    job = await api.generate()
    async with Wire.to(api.address) as wire, WireClient(wire.address, timeout=3.0) as client:
        assert (await client.status(job.job_id)).job_id == job.job_id
        wire.delay_seconds = 30.0

        with pytest.raises(DeadlineExceeded):
            await client.status(job.job_id)


async def test_a_cancelled_wait_ends_at_once_and_leaves_the_job_alone(api: Api, sandbox: Control) -> None:
    await sandbox.fault("throttle", operation="create", seconds=2 * SPEED)
    job = await api.generate()
    async with WireClient(api.address) as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.wait(job.job_id), 0.3)

        assert (await asyncio.wait_for(client.wait(job.job_id), 60)).job_id == job.job_id
