"""A raw HTTP server that answers each request by the next act of its script, and records what it was sent."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum

from evergreen_server.providers.runway.http.client import RunwayClient, Timeouts
from evergreen_server.providers.runway.http.proxies import Proxies
from evergreen_server.providers.runway.http.retry import RetryPolicy
from tests.loopback import listening

KEY = "key_" + "0a" * 64
NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
TASK_ID = "3f0c2f6e-6a0b-4c57-9a0e-0d8d9f1f6b11"


class Act(Enum):
    """What a server may do instead of answering, after it has read the whole request."""

    CLOSE = "close"
    HANG = "hang"


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Partial:
    """Some bytes of an answer, then silence on an open connection."""

    data: bytes


@dataclass
class Script:
    """The acts still to come and the requests that came; without an act left a request is answered by 599."""

    acts: list[bytes | Act | Partial]
    url: str = ""
    requests: list[Request] = field(default_factory=list)
    connections: int = 0


def answer(status: int, body: object = b"", headers: Mapping[str, str] | None = None) -> bytes:
    """Makes the bytes of an answer; a body that is not bytes becomes JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"Content-Length": str(len(data)), "Content-Type": "application/json"} | dict(headers or {})
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} Said\r\n{head}\r\n".encode() + data


@asynccontextmanager
async def scripted(*acts: bytes | Act | Partial) -> AsyncIterator[Script]:
    """Serves a script on a free port of the loopback."""
    script = Script(list(acts))
    ended = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script.connections += 1
        while True:
            request = await _read(reader)
            script.requests.append(request)
            match script.acts.pop(0) if script.acts else answer(599):
                case Act.CLOSE:
                    return
                case Act.HANG:
                    await ended.wait()
                    return
                case Partial(data):
                    writer.write(data)
                    await ended.wait()
                    return
                case bytes() as data:
                    writer.write(data)
                    await writer.drain()
                    if b"Connection: close" in data or request.headers.get("connection") == "close":
                        return

    async with listening(handle) as port:
        script.url = f"http://127.0.0.1:{port}"
        try:
            yield script
        finally:
            ended.set()


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    method, target, _ = head[0].split(" ")
    headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in head[1:] if line}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, target, headers, body)


class Naps:
    """A double of sleeping: records how long, and takes no time."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def client_for(
    url: str,
    *,
    naps: Naps | None = None,
    timeouts: Timeouts | None = None,
    policy: RetryPolicy | None = None,
    random: float = 0.0,
    proxies: Proxies | None = None,
    key: str = KEY,
) -> RunwayClient:
    return RunwayClient(
        base_url=url,
        api_key=key,
        timeouts=timeouts or Timeouts(),
        retries=policy or RetryPolicy(),
        proxies=proxies or Proxies(),
        random=lambda: random,
        now=lambda: NOW,
        monotonic=lambda: 0.0,
        sleep=naps or Naps(),
    )
