"""Threads for blocking calls: a pool of its own, since the loop's default one belongs to others and may end first."""

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import ParamSpec, Self, TypeVar

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


class Ahead:
    """Runs calls in a thread one after another, the latest while its caller goes on; as a context, it ends with it."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._task: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether the last call is still under way."""
        return self._task is not None and not self._task.done()

    async def run(self, call: Callable[P, None], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Begins a call once the one before has ended. Raises what that one raised."""
        await self.finish()
        self._task = asyncio.create_task(self._threads.run(call, *args, **kwargs), name="storage write")

    async def finish(self) -> None:
        """Waits for the last call. Raises what it raised."""
        if self._task is not None:
            await self._task
            self._task = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is None:
            return
        task, self._task = self._task, None
        # Whoever leaves early has a reason of its own; this call's does not count any more.
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            while not task.done():
                with suppress(asyncio.CancelledError):  # the first one is raised below
                    await asyncio.wait([task])
            raise
        finally:
            if not task.cancelled():
                task.exception()
