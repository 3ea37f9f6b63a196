"""Looks once a second after every connection that is told of events: who takes nothing, and who is not there any more.

One look at all of them costs less than a timer with every message of each.
"""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol, Self

from aiohttp import web

__all__ = ["BUFFER_BYTES", "Sweep", "Swept", "Writing", "bound_buffers"]

SWEEP_SECONDS = 1.0
SEND_BUFFER_BYTES = 256 << 10
"""Otherwise the kernel takes megabytes for a reader that has long been asleep."""

BUFFER_BYTES = 64 << 10


class Swept(Protocol):
    """A connection that is looked after."""

    def look(self, now: float) -> None:
        """Does what is due."""


class Sweep:
    """All of them. A context; used on one loop."""

    def __init__(self) -> None:
        self._swept: set[Swept] = set()

    async def __aenter__(self) -> Self:
        self._tasks = asyncio.TaskGroup()
        await self._tasks.__aenter__()
        self._task = self._tasks.create_task(self._run(), name="sweep of event streams")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        await self._tasks.__aexit__(None, None, None)

    @contextmanager
    def of(self, swept: Swept) -> Iterator[None]:
        """Looks after one more."""
        self._swept.add(swept)
        try:
            yield
        finally:
            self._swept.discard(swept)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            for each in list(self._swept):
                each.look(loop.time())


class Writing:
    """The sends of one connection that are under way: since when nothing was taken of them."""

    __slots__ = ("_number", "_since")

    def __init__(self) -> None:
        self._number = 0
        self._since = 0.0

    def begin(self, now: float) -> None:
        self._number += 1
        if self._number == 1:
            self._since = now

    def end(self, now: float) -> None:
        self._number -= 1
        self._since = now

    def stalled(self, now: float) -> float:
        """Returns for how many seconds nothing was taken; 0 while nothing waits."""
        return now - self._since if self._number else 0.0


def bound_buffers(request: web.Request) -> None:
    """Bounds what is kept for a reader that takes nothing, by the kernel and here."""
    if request.transport is not None:
        request.transport.set_write_buffer_limits(high=BUFFER_BYTES)
        if (found := request.transport.get_extra_info("socket")) is not None:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
