"""A way to a server on which the answers to the first requests for a clip get lost, after they were carried out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.loopback import listening

BLOCK = 64 << 10


class Lossy:
    """Counts what it has lost; `left` more are to be."""

    def __init__(self, server: str) -> None:
        self._host, _, self._port = server.removeprefix("http://").rpartition(":")
        self.left = 0
        self.lost = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(self._host, int(self._port))
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._there(reader, there_writer))
                both.create_task(self._back(there_reader, writer))
        finally:
            there_writer.transport.abort()
            writer.transport.abort()

    async def _there(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(BLOCK):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(BLOCK):
                if self.left and b'"object": "video"' in data:
                    self.left -= 1
                    self.lost += 1
                    break
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


@asynccontextmanager
async def lossy_to(server: str) -> AsyncIterator[Lossy]:
    lossy = Lossy(server)
    async with listening(lossy.serve) as port:
        lossy.url = f"http://127.0.0.1:{port}"
        yield lossy
