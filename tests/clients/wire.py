"""A TCP proxy between client and server, which cuts, delays and half-closes as a test asks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from tests.loopback import listening


class Wire:
    """Passes bytes on. `delay_seconds` holds back each piece on its way to the client."""

    def __init__(self, target: str) -> None:
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self._open: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self.delay_seconds = 0.0
        self.connections = 0
        self.address = ""

    def cut(self) -> None:
        """Resets every connection on both sides."""
        for pair in self._open:
            for writer in pair:
                writer.transport.abort()

    def half_close(self) -> None:
        """Tells every client that the server will send no more, and leaves the rest of the connection open."""
        for to_client, _ in self._open:
            to_client.write_eof()

    async def serve(self, reader: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            there, to_server = await asyncio.open_connection(self._host, self._port)
        except OSError:
            to_client.transport.abort()
            return
        self.connections += 1
        pair = (to_client, to_server)
        self._open.add(pair)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, to_server, back=False))
                group.create_task(self._pump(there, to_client, back=True))
        except* (OSError, RuntimeError):
            # Cut, or written to after it was half closed.
            pass
        finally:
            self._open.discard(pair)
            for writer in pair:
                writer.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, back: bool) -> None:
        while data := await source.read(65536):
            if back and self.delay_seconds:
                await asyncio.sleep(self.delay_seconds)
            target.write(data)
            await target.drain()
        raise ConnectionAbortedError

    @classmethod
    @asynccontextmanager
    async def to(cls, target: str) -> AsyncIterator[Self]:
        wire = cls(target)
        async with listening(wire.serve) as port:
            wire.address = f"127.0.0.1:{port}"
            yield wire
