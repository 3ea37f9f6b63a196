"""A small web server on the loopback whose answers are raw bytes, so that they can be as wrong as a test needs."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self, TypeAlias

from aiohttp.abc import AbstractResolver, ResolveResult

from tests.loopback import listening

Answer: TypeAlias = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Web:
    """Serves `routes` by path and records each request's head and each connection."""

    def __init__(self) -> None:
        self.routes: dict[str, bytes | Answer] = {}
        self.requests: list[str] = []
        self.connections = 0
        self.sent = 0
        self.closed_by_client = asyncio.Event()
        self._probed = asyncio.Event()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self.port = await self._stack.enter_async_context(listening(self._serve))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def was_untouched(self) -> bool:
        """Connects once itself: connections are accepted in order, so an earlier one would be counted by then."""
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"PROBE / HTTP/1.1\r\n\r\n")
        async with asyncio.timeout(60):
            await self._probed.wait()
        writer.close()
        await writer.wait_closed()
        return self.connections == 1

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, path, _ = head.split(" ", 2)
            if method == "PROBE":
                self._probed.set()
                return
            self.requests.append(head)
            answer = self.routes.get(path.partition("?")[0], response(b"", status=404))
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.closed_by_client.set()

    def endless(self, head: bytes, chunk: bytes) -> Answer:
        """An answer that sends `chunk` until the client goes away."""

        async def send(writer: asyncio.StreamWriter) -> None:
            writer.write(head)
            while True:
                writer.write(chunk)
                self.sent += len(chunk)
                await writer.drain()

        return send


def response(body: bytes, *, status: int = 200, length: int | None = None, **headers: str) -> bytes:
    """One whole HTTP answer; header names are written with underscores."""
    fields = {"content_length": str(len(body) if length is None else length), **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Answer\r\n{lines}\r\n".encode() + body


async def silent(writer: asyncio.StreamWriter) -> None:
    """An answer that never comes."""
    await asyncio.Event().wait()


class Names(AbstractResolver):
    """Answers names from a table, one entry per look-up, the last one again and again."""

    def __init__(self) -> None:
        self.table: dict[str, list[list[str]]] = {}

    def add(self, name: str, *look_ups: list[str]) -> None:
        self.table[name] = list(look_ups)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        look_ups = self.table.get(host)
        if look_ups is None:
            raise OSError(None, "no such name")
        addresses = look_ups[0] if len(look_ups) == 1 else look_ups.pop(0)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        pass
