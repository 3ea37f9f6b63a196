"""A small HTTP proxy: tunnels by CONNECT, passes plain requests on, asks for a password, records requests."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.loopback import listening

PASSWORD = "p@ss:word"
CREDENTIALS = "studio:p%40ss%3Aword"


@dataclass
class Passed:
    """What went through: (method, target) of each request."""

    url: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)
    refused: int = 0


@asynccontextmanager
async def proxy(leads_to: Mapping[str, int] | None = None) -> AsyncIterator[Passed]:
    """Serves a proxy on a free port; `leads_to` maps authorities that do not exist to local ports."""
    passed = Passed()
    right = "Basic " + b64encode(f"studio:{PASSWORD}".encode()).decode()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        method, target, _ = lines[0].split(" ")
        if f"Proxy-Authorization: {right}" not in lines:
            passed.refused += 1
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        passed.asked.append((method, target))
        authority = target if method == "CONNECT" else target.split("/")[2]
        port = (leads_to or {}).get(authority) or int(authority.rpartition(":")[2])
        further, onward = await asyncio.open_connection("127.0.0.1", port)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            onward.write(head.replace(target.encode(), b"/" + target.split("/", 3)[3].encode(), 1))
        async with asyncio.TaskGroup() as pipes:
            pipes.create_task(_pipe(reader, onward))
            pipes.create_task(_pipe(further, writer))

    async with listening(handle) as port:
        passed.url = f"http://{CREDENTIALS}@127.0.0.1:{port}"
        yield passed


async def _pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    except ConnectionError:
        pass
    finally:
        sink.close()
