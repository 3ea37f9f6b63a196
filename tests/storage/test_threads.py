"""Blocking calls in threads: a cancelled caller waits for them, and a failure is raised at the next call."""

import asyncio
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from evergreen_storage.threads import Threads, WriteBehind


def let_others_run() -> None:
    time.sleep(0.001)


def hold_others_up(*, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


@pytest.fixture
def threads() -> Iterator[Threads]:
    made = Threads(size=2)
    yield made
    made.close()


async def test_whoever_is_cancelled_again_and_again_still_ends_after_the_call(threads: Threads) -> None:
    begun, go_on, ended = asyncio.Event(), threading.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def call() -> None:
        loop.call_soon_threadsafe(begun.set)
        go_on.wait(120)
        ended.set()

    waiting = asyncio.create_task(threads.run(call))
    await begun.wait()
    for _ in range(3):
        waiting.cancel()
        await asyncio.wait([waiting], timeout=0)

    assert not waiting.done()

    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert ended.is_set()


async def test_after_a_failure_the_next_thing_is_refused_and_not_kept(threads: Threads) -> None:
    written: list[str] = []
    tried = asyncio.Event()
    loop = asyncio.get_running_loop()

    def write(thing: str) -> None:
        loop.call_soon_threadsafe(tried.set)
        written.append(thing)
        raise OSError("the disk is full")

    async with WriteBehind(threads, write, most=1) as writes:
        await writes.put("first", 1)
        await tried.wait()

        # There is room for nothing more until the first is written: it waits for that, and learns how it ended.
        with pytest.raises(OSError, match="the disk is full"):
            await writes.put("second", 1)

    assert written == ["first"]


async def test_leaving_ends_however_long_its_thread_was_held_up(threads: Threads) -> None:
    written = asyncio.Event()
    loop = asyncio.get_running_loop()
    interval = sys.getswitchinterval()
    # The thread finds nothing when it may run again, and the time for which it looks is over.
    sys.setswitchinterval(10)
    try:
        for _ in range(20):
            written.clear()
            async with WriteBehind(threads, lambda _: loop.call_soon_threadsafe(written.set), most=9) as writes:
                await writes.put("first", 1)
                await asyncio.wait_for(written.wait(), 60)
                let_others_run()
                await writes.put("second", 1)
                hold_others_up(seconds=0.004)
    finally:
        sys.setswitchinterval(interval)
