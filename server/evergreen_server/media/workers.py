"""Runs blocking work on a few threads of its own, in turn for each owner, with a bound on the wait and on the work."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import TypeVar

from evergreen_server.turns import Turns

T = TypeVar("T")


class Busy(Exception):
    """No thread became free in time; the work was not begun."""


class TooSlow(Exception):
    """The work did not end in time; its result is thrown away."""


class Workers:
    """A pool of `at_once` threads.

    A thread cannot be killed. Work that outlives its bound is given up here, and keeps its thread until it
    returns by itself: so the memory stays bounded by `at_once`, and what runs here must end on its own.
    """

    def __init__(self, *, name: str, at_once: int, wait_seconds: float, work_seconds: float) -> None:
        self._executor = ThreadPoolExecutor(at_once, thread_name_prefix=name)
        self._turns = Turns(at_once)
        self._wait_seconds = wait_seconds
        self._work_seconds = work_seconds

    async def run(self, work: Callable[[], T], *, owner: str) -> T:
        """Does `work` when it is the owner's turn. Raises Busy, TooSlow, and what `work` raises."""
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self._wait_seconds):
                    await stack.enter_async_context(self._turns.of(owner))
            except TimeoutError:
                raise Busy from None
            return await self._run(work)

    async def _run(self, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        begun = asyncio.Event()

        def begin() -> T:
            loop.call_soon_threadsafe(begun.set)
            return work()

        result = loop.run_in_executor(self._executor, begin)
        try:
            try:
                async with asyncio.timeout(self._wait_seconds):
                    await begun.wait()
            except TimeoutError:
                raise Busy from None
            done, _ = await asyncio.wait({result}, timeout=self._work_seconds)
            if not done:
                raise TooSlow
            return result.result()
        finally:
            result.cancel()

    def close(self) -> None:
        """Takes no more work, drops what has not begun, and does not wait for what has."""
        self._executor.shutdown(wait=False, cancel_futures=True)
