"""Threads for blocking calls: a pool of its own, since the loop's default one is shared and may end first."""

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, Queue
from typing import Final, Generic, ParamSpec, Self, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_IN_A_ROW: Final = 8
_LINGER_SECONDS: Final = 0.002


class Threads:
    """Runs blocking calls off the event loop."""

    def __init__(self, *, size: int) -> None:
        self._pool = ThreadPoolExecutor(max_workers=size, thread_name_prefix="evergreen-storage")

    async def run(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs a call in a thread; when cancelled, ends only after the call did.

        A thread cannot be stopped, and the caller that cancels must be able to close what the call was using.
        """
        future = asyncio.get_running_loop().run_in_executor(self._pool, functools.partial(call, *args, **kwargs))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await _ended(future)
            raise

    def close(self) -> None:
        """Ends the threads; quick, because `run` never leaves a call unfinished."""
        self._pool.shutdown(wait=True)


class Prefetch(Generic[T]):
    """Runs one call in a thread while its owner does something else; leaving the context waits for it."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._task: asyncio.Task[T] | None = None

    def begin(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Starts a call; the one before must have ended."""
        self._task = asyncio.create_task(self._threads.run(call, *args, **kwargs), name="storage call")

    async def result(self) -> T:
        """Waits for the call's result. Raises what it raised."""
        assert self._task is not None, "nothing was begun"
        return await self._task

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await _ended(self._task)


class WriteBehind(Generic[T]):
    """Passes items to a call in a thread, in order, while its owner goes on; leaving the context waits for it."""

    def __init__(self, threads: Threads, call: Callable[[T], None], *, most: int) -> None:
        self._threads = threads
        self._call = call
        self._most = most
        # Not a SimpleQueue, whose get() may wait for ever where its thread was held up past its timeout (CPython 3.11).
        self._waiting: Queue[tuple[T, int] | None] = Queue()
        self._taken = self._done = 0
        self._room = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def put(self, thing: T, weight: int) -> None:
        """Adds an item; waits first while items of `most` weight are pending.

        Raises what the call raised for an earlier item.
        """
        while self._taken - self._done >= self._most and self._task is not None and not self._task.done():
            self._room.clear()
            await self._room.wait()
        if self._task is not None and self._task.done():
            await self.finish()
        self._taken += weight
        self._waiting.put((thing, weight))
        if self._task is None:
            self._task = asyncio.create_task(self._work(), name="storage write")

    async def finish(self) -> None:
        """Waits until everything is done. Raises what the call raised."""
        if self._task is not None:
            self._waiting.put(None)
            await self._task
            self._task = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        # Leaving early has a cause of its own: the rest is dropped, and failures of the call are ignored.
        with suppress(Empty):
            while True:
                self._waiting.get_nowait()
        await _ended(self._task)

    async def _work(self) -> None:
        try:
            while not self._waiting.empty():
                await self._threads.run(self._some)
                self._room.set()
        finally:
            self._room.set()

    def _some(self) -> None:
        # The thread waits briefly for more items, which spares the loop a turn for each; but not for so long that
        # others starve.
        with suppress(Empty):
            for _ in range(_IN_A_ROW):
                found = self._waiting.get(timeout=_LINGER_SECONDS)
                if found is None:
                    return
                thing, weight = found
                self._call(thing)
                self._done += weight


async def _ended(future: "asyncio.Future[T] | None") -> None:
    """Waits until a call in a thread has ended, whether it failed or not; a cancellation is raised afterwards."""
    if future is None:
        return
    try:
        await asyncio.wait([future])
    except asyncio.CancelledError:
        while not future.done():
            with suppress(asyncio.CancelledError):  # the first one is raised below
                await asyncio.wait([future])
        raise
    finally:
        if not future.cancelled():
            future.exception()
