"""A proxy of TCP connections as balancers have them: each goes to the server that has fewest."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.loopback import listening

BLOCK = 64 * 1024


class Balancer:
    """Gives each connection to the server that has fewest; `open` counts them by the server's address."""

    def __init__(self) -> None:
        self.address = ""
        self.open: dict[str, int] = {}
        self._news = asyncio.Event()

    def add(self, server: str) -> None:
        self.open[server] = 0

    async def until_each_has(self, count: int) -> None:
        """Waits until every server has so many connections."""
        while min(self.open.values()) < count:
            self._news.clear()
            await self._news.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = min(self.open, key=self.open.__getitem__)
        self._count(server, 1)
        try:
            host, _, port = server.rpartition(":")
            there_reader, there_writer = await asyncio.open_connection(host, int(port))
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(_pass_on(reader, there_writer))
                    both.create_task(_pass_on(there_reader, writer))
            finally:
                there_writer.transport.abort()
        finally:
            self._count(server, -1)

    def _count(self, server: str, change: int) -> None:
        self.open[server] += change
        self._news.set()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(BLOCK):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def balancing() -> AsyncIterator[Balancer]:
    """Opens a balancer without servers."""
    balancer = Balancer()
    async with listening(balancer._serve) as port:
        balancer.address = f"127.0.0.1:{port}"
        yield balancer
