"""An event loop in a thread of its own, for those who have none."""

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator
from concurrent.futures import CancelledError
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from evergreen.connection.home import FORKED

CLOSE_SECONDS = 10.0

A = TypeVar("A")
P = ParamSpec("P")
T = TypeVar("T")


class Portal:
    """Runs coroutines for other threads, any number at a time, in one thread."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._closed = False
        # A thread that never ended would hold the interpreter at its exit.
        self._thread = threading.Thread(target=self._loop.run_forever, name="evergreen", daemon=True)
        self._thread.start()

    def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Returns what the coroutine does, and raises what it raises. An interrupt of the caller cancels it.

        Raises RuntimeError in a forked process, when closed, and from a callback, where it would wait for itself.
        """
        if os.getpid() != self._process:
            raise RuntimeError(FORKED)
        if threading.current_thread() is self._thread:
            raise RuntimeError("a callback of the client runs in its own thread, and cannot call the client")
        if self._closed:
            raise RuntimeError("the client is closed")
        future = asyncio.run_coroutine_threadsafe(_called(work), self._loop)
        try:
            return future.result()
        except CancelledError:
            raise RuntimeError("the client was closed during the call") from None
        except BaseException:
            future.cancel()
            raise

    def iterate(self, begin: Callable[[], AsyncIterator[T]]) -> Generator[T, None, None]:
        """Yields what the iterator that `begin` returns does; one that is left early is closed at once."""
        items: list[AsyncIterator[T]] = []

        async def step() -> tuple[T, ...]:
            if not items:
                items.append(begin())
            try:
                return (await anext(items[0]),)
            except StopAsyncIteration:
                return ()

        async def close() -> None:
            for each in items:
                if isinstance(each, AsyncGenerator):
                    await each.aclose()

        try:
            while item := self.run(step):
                yield item[0]
        finally:
            if not self._closed and os.getpid() == self._process:
                self.run(close)

    def close(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Runs `last`, ends whatever still runs, and the thread; within 20 s. Does nothing in a forked process."""
        if self._closed or os.getpid() != self._process:
            return
        self._closed = True
        ending = asyncio.run_coroutine_threadsafe(self._end(last), self._loop)
        try:
            ending.result(CLOSE_SECONDS)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(CLOSE_SECONDS)
            if not self._thread.is_alive():
                self._loop.close()

    async def _end(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        if rest:
            await asyncio.wait(rest, timeout=CLOSE_SECONDS / 2)
        await last()
        await self._loop.shutdown_asyncgens()


async def _called(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    # What belongs to the loop, such as a stub, may be touched in it alone.
    return await work()


class Blocking(Generic[A]):
    """Has the verbs of `A`, without `await`."""

    def __init__(self, portal: "Callable[[], Portal]", inner: "Callable[[], A]") -> None:
        self._portal = portal
        self._inner = inner


def blocking(
    verb: Callable[Concatenate[A, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Blocking[A], P], T]:
    """Returns the verb as one that returns when the answer is there."""

    @wraps(verb)
    def call(self: Blocking[A], /, *arguments: P.args, **fields: P.kwargs) -> T:
        return self._portal().run(lambda: verb(self._inner(), *arguments, **fields))

    return call


def iterating(
    verb: Callable[Concatenate[A, P], AsyncIterator[T]],
) -> Callable[Concatenate[Blocking[A], P], Generator[T, None, None]]:
    """Returns the verb as one whose results are iterated without `async`."""

    @wraps(verb)
    def call(self: Blocking[A], /, *arguments: P.args, **fields: P.kwargs) -> Generator[T, None, None]:
        return self._portal().iterate(lambda: verb(self._inner(), *arguments, **fields))

    return call
