"""Writes to readers of events: how long they take nothing is stamped, and what is kept for them bounded."""

import asyncio
import socket
import sys
from contextlib import suppress

from aiohttp import WSMsgType, web

__all__ = ["SocketWriter", "Writing", "bound_buffers"]

SEND_BUFFER_BYTES = 256 << 10
"""Otherwise the kernel takes megabytes for a reader that has long been asleep."""
BUFFER_BYTES = 64 << 10
UNBOUNDED = sys.maxsize
"""For aiohttp, which would wait for the reader itself, and with the first who is cancelled lose all who wait."""
PING = b"\x89\x00"
"""A ping frame of the protocol, from a server."""


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


class SocketWriter:
    """Writes frames to one WebSocket, for any number of tasks, each of which may be cancelled while it waits.

    Raises ConnectionError.
    """

    def __init__(self, request: web.Request, response: "web.WebSocketResponse[bool]", tasks: asyncio.TaskGroup) -> None:
        if request.transport is None:
            raise ConnectionResetError("the client has left")
        self._response = response
        self._transport, self._writer = request.transport, request.writer
        self._tasks = tasks
        self._taking: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._writing = Writing()

    async def send(self, data: bytes) -> None:
        """Sends a text, as soon as little is unread before it. Raises ConnectionError."""
        self._writing.begin(self._loop.time())
        try:
            while self._transport.get_write_buffer_size() > BUFFER_BYTES:
                await self._taken()
            await self._response.send_frame(data, WSMsgType.TEXT)
        finally:
            self._writing.end(self._loop.time())

    def stalled(self, now: float) -> float:
        """Returns for how many seconds nothing was taken; 0 while nothing waits."""
        return self._writing.stalled(now)

    def ping(self) -> None:
        self._transport.write(PING)

    def abort(self) -> None:
        """Cuts the connection, with what is unread."""
        self._transport.abort()

    def end(self) -> None:
        """Waits for the reader no more."""
        if self._taking is not None:
            self._taking.cancel()

    async def _taken(self) -> None:
        """Waits until the reader has taken most of it, once for all who wait."""
        if self._taking is None or self._taking.done():
            self._taking = self._tasks.create_task(self._drained(), name="reader")
        await asyncio.shield(self._taking)

    async def _drained(self) -> None:
        with suppress(ConnectionError):
            await self._writer.drain()


def bound_buffers(request: web.Request) -> None:
    """Bounds what is kept for a reader that takes nothing, by the kernel and here."""
    if request.transport is not None:
        request.transport.set_write_buffer_limits(high=BUFFER_BYTES)
        if (found := request.transport.get_extra_info("socket")) is not None:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
