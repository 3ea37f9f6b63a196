"""Work that runs to its end though its caller is cancelled."""

import asyncio

import pytest

from evergreen_server.runtime.shield import run_to_end


@pytest.mark.parametrize("fails", [False, True])
async def test_a_caller_that_is_cancelled_twice_waits_for_the_end(fails: bool) -> None:
    begun, go, ended = asyncio.Event(), asyncio.Event(), []

    async def work() -> None:
        begun.set()
        await go.wait()
        ended.append(True)
        if fails:
            raise OSError

    task = asyncio.create_task(run_to_end(work()))
    await begun.wait()
    for _ in range(2):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    go.set()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]


async def test_a_caller_that_is_not_cancelled_gets_what_comes_of_it() -> None:
    async def work(*, fails: bool) -> int:
        if fails:
            raise BlockingIOError
        return 7

    assert await run_to_end(work(fails=False)) == 7
    with pytest.raises(BlockingIOError):
        await run_to_end(work(fails=True))
