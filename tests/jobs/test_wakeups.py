"""Signals wake whoever waits for news of a job."""

import asyncio

from evergreen_server.jobs.wakeups import Wakeups


async def test_what_was_told_before_the_wait_is_heard_once() -> None:
    signal = Wakeups().of("job-1")
    signal.set()

    assert await signal.wait(60)
    assert not await signal.wait(0)


async def test_two_that_wait_for_one_job_are_both_woken() -> None:
    wakeups = Wakeups()
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        waits = [group.create_task(wakeups.of("job-1").wait(3600)) for _ in range(2)]
        await asyncio.sleep(0)
        wakeups.wake("job-1")

    assert [wait.result() for wait in waits] == [True, True]


async def test_who_is_cancelled_leaves_the_others_waiting() -> None:
    wakeups = Wakeups()
    first, second = (asyncio.create_task(wakeups.of("job-1").wait(3600)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait({first})
    assert not second.done()

    wakeups.wake("job-1")

    async with asyncio.timeout(60):
        assert await second


async def test_nobody_is_woken_for_another_job() -> None:
    wakeups = Wakeups()
    wakeups.of("job-1")

    wakeups.wake("job-2")

    assert not await wakeups.of("job-1").wait(0)
