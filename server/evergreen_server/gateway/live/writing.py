"""Writes to readers of events: how long they take nothing is stamped, and what is kept for them bounded."""

import asyncio
import socket
import sys
from contextlib import suppress

from aiohttp import web

__all__ = ["Frames", "SocketWriter", "Writing", "bound_buffers"]

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


class Frames:
    """Texts as frames of the protocol: of one that goes to many sockets, made once. Used on one loop."""

    __slots__ = ("_data", "_frame")

    def __init__(self) -> None:
        self._data = self._frame = b""

    def of(self, data: bytes) -> bytes:
        """Returns the frame of a text, from a server and not compressed."""
        if data is not self._data:
            self._data, self._frame = data, b"\x81" + _length(len(data)) + data
        return self._frame


class SocketWriter:
    """Writes frames to one WebSocket, for any number of tasks, each of which may be cancelled while it waits.

    Raises ConnectionError.
    """

    __slots__ = ("_frames", "_loop", "_response", "_taking", "_tasks", "_transport", "_writer", "_writing")

    def __init__(
        self,
        request: web.Request,
        response: "web.WebSocketResponse[bool]",
        *,
        tasks: asyncio.TaskGroup,
        frames: Frames,
    ) -> None:
        if request.transport is None:
            raise ConnectionResetError("the client has left")
        self._response = response
        self._transport, self._writer = request.transport, request.writer
        self._tasks = tasks
        self._frames = frames
        self._taking: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._writing = Writing()

    async def send(self, data: bytes) -> None:
        """Sends a text, as soon as little is unread before it. Raises ConnectionError."""
        # Nothing else here waits, and the stamps would cost a tenth of it.
        if self._transport.get_write_buffer_size() > BUFFER_BYTES:
            await self._room()
        if self._response.closed or self._transport.is_closing():
            raise ConnectionResetError("the socket is closed")
        self._transport.write(self._frames.of(data))

    def note(self, data: bytes) -> None:
        """Sends a text that may be left out, as it is while others wait."""
        if not (self._response.closed or self._transport.is_closing() or self._transport.get_write_buffer_size()):
            self._transport.write(self._frames.of(data))

    def stalled(self, now: float) -> float:
        """Returns for how many seconds nothing was taken; 0 while nothing waits."""
        return self._writing.stalled(now)

    def ping(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(PING)

    def abort(self) -> None:
        """Cuts the connection, with what is unread."""
        self._transport.abort()

    def end(self) -> None:
        """Waits for the reader no more."""
        if self._taking is not None:
            self._taking.cancel()

    async def _room(self) -> None:
        """Waits until the reader has taken most of it, once for all who wait."""
        self._writing.begin(self._loop.time())
        try:
            while self._transport.get_write_buffer_size() > BUFFER_BYTES:
                if self._taking is None or self._taking.done():
                    self._taking = self._tasks.create_task(self._drained(), name="reader")
                await asyncio.shield(self._taking)
        finally:
            self._writing.end(self._loop.time())

    async def _drained(self) -> None:
        with suppress(ConnectionError):
            await self._writer.drain()


def _length(size: int) -> bytes:
    if size < 126:
        return bytes((size,))
    return b"\x7e" + size.to_bytes(2, "big") if size < 1 << 16 else b"\x7f" + size.to_bytes(8, "big")


def bound_buffers(request: web.Request) -> None:
    """Bounds what is kept for a reader that takes nothing, by the kernel and here."""
    if request.transport is not None:
        request.transport.set_write_buffer_limits(high=BUFFER_BYTES)
        if (found := request.transport.get_extra_info("socket")) is not None:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
