"""A pooler in front of PostgreSQL, as far as a client can tell it from the server: it lends its connections out.

By session a client keeps the one that it was given; by transaction it has another's, or none, between any two. As a
pooler does, it refuses what it does not know of a start-up message.
"""

import asyncio
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.loopback import accept_no_more

ENCRYPTION = (80877103, 80877104)
"""Codes of the two questions for an encrypted connection."""
KNOWN = {"user", "database", "client_encoding", "application_name", "datestyle", "timezone"}


@dataclass
class Lent:
    """A connection to the server, and what it said when it was made."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    greeting: bytes = b""

    async def message(self) -> bytes:
        head = await self.reader.readexactly(5)
        return head + await self.reader.readexactly(struct.unpack("!i", head[1:])[0] - 4)


class Pooler:
    def __init__(self, server: Path, *, by_transaction: bool) -> None:
        self._server = server
        self._by_transaction = by_transaction
        self._idle: list[Lent] = []
        self.refused: list[set[str]] = []
        self._opened: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._opened.append(writer)
        # Cancelled when the test is through, which this kind of task must not tell of.
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            startup = await self._startup(reader, writer)
            if startup is None:
                return
            lent = await self._lend(startup)
            writer.write(lent.greeting)
            if self._by_transaction:
                self._idle.append(lent)
                while True:
                    await self._transaction(startup, reader, writer)
            copies = (_copy(reader, lent.writer), _copy(lent.reader, writer))
            tasks = [asyncio.ensure_future(copy) for copy in copies]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            lent.writer.close()
        writer.close()

    async def aclose(self) -> None:
        for writer in self._opened:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _transaction(self, startup: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lent: Lent | None = None
        while True:
            head = await reader.readexactly(5)
            lent = lent or await self._lend(startup)
            lent.writer.write(head + await reader.readexactly(struct.unpack("!i", head[1:])[0] - 4))
            if head[:1] not in (b"Q", b"S"):
                continue
            answer = b""
            while answer[:1] != b"Z":
                answer = await lent.message()
                writer.write(answer)
            if answer[5:] == b"I":
                self._idle.append(lent)
                return

    async def _startup(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes | None:
        while True:
            size, code = struct.unpack("!ii", await reader.readexactly(8))
            body = await reader.readexactly(size - 8)
            if code not in ENCRYPTION:
                break
            writer.write(b"N")
        names = {name.decode().lower() for name in body.rstrip(b"\0").split(b"\0")[::2]}
        if unknown := names - KNOWN:
            self.refused.append(unknown)
            fields = f"SFATAL\0C08P01\0Munsupported startup parameter: {', '.join(unknown)}\0\0".encode()
            writer.write(b"E" + struct.pack("!i", len(fields) + 4) + fields)
            await writer.drain()
            return None
        return struct.pack("!ii", size, code) + body

    async def _lend(self, startup: bytes) -> Lent:
        if self._idle:
            return self._idle.pop()
        lent = Lent(*await asyncio.open_unix_connection(self._server))
        self._opened.append(lent.writer)
        lent.writer.write(startup)
        while not lent.greeting.endswith(b"Z\0\0\0\5I"):
            lent.greeting += await lent.message()
        return lent


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


@contextmanager
def pooled(url: str, *, by_transaction: bool) -> Iterator[tuple[str, Pooler]]:
    """Gives the address of a pooler in front of the database at `url`, which is on a socket of this machine.

    It has a thread of its own, since the engine connects within the loop's.
    """
    parts = urlsplit(url)
    pooler = Pooler(Path(parse_qs(parts.query)["host"][0]) / ".s.PGSQL.5432", by_transaction=by_transaction)
    started: Future[tuple[int, Callable[[], object]]] = Future()

    async def serve() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(pooler.serve, "127.0.0.1", 0)
        started.set_result((server.sockets[0].getsockname()[1], lambda: loop.call_soon_threadsafe(stop.set)))
        await stop.wait()
        await accept_no_more(server)
        await pooler.aclose()

    thread = threading.Thread(target=asyncio.run, args=[serve()], name="pooler")
    thread.start()
    port, stop = started.result(60)
    try:
        yield f"postgresql://postgres@127.0.0.1:{port}{parts.path}", pooler
    finally:
        stop()
        thread.join()
