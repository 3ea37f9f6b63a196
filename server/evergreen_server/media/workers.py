"""Runs blocking work on a few threads of its own, with one bound on waiting for a turn and one on the work."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

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
        self._wait_seconds = wait_seconds
        self._work_seconds = work_seconds

    async def run(self, work: Callable[[], T]) -> T:
        """Does `work` and returns its result. Raises Busy, TooSlow, and what `work` raises."""
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
