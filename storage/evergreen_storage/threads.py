"""Threads for blocking calls: a pool of its own, since the loop's default one belongs to others and may end first."""

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """Runs blocking calls off the event loop."""

    def __init__(self, *, size: int) -> None:
        self._pool = ThreadPoolExecutor(max_workers=size, thread_name_prefix="evergreen-storage")

    async def run(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs a call in a thread; when cancelled, ends only after the call did.

        A thread cannot be stopped, and whoever cancelled must be able to close what the call was using.
        """
        future = asyncio.get_running_loop().run_in_executor(self._pool, functools.partial(call, *args, **kwargs))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            while not future.done():
                with suppress(asyncio.CancelledError):  # the first one is raised below
                    await asyncio.wait([future])
            raise

    def close(self) -> None:
        """Ends the threads; quick, because `run` never leaves a call behind."""
        self._pool.shutdown(wait=True)
