"""Pages and event sources that cost the measuring process little: they count what comes, and answer a close."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal

Kind = Literal["page", "source"]

PATIENCE_SECONDS = 120
WORDS = (b'"type":"event"', b'"type":"checkpoint"', b'"type":"welcome"')
LONGEST = max(map(len, WORDS))
MASK = bytes(4)
CLOSING = b"DRAINING"
CLOSED = b"\x88\x82" + MASK + b"\x03\xe8"
HEAD = "Host: 127.0.0.1\r\n"
UPGRADE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


def text_frame(text: str) -> bytes:
    """A frame of a client, with a mask of zeros."""
    data = text.encode()
    size = bytes((0x80 | len(data),)) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
    return b"\x81" + size + MASK + data


class _Listener(asyncio.Protocol):
    def __init__(self, crowd: "Listeners", kind: Kind, project_id: str) -> None:
        self._crowd = crowd
        self._kind = kind
        self._project_id = project_id
        self._rest = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self._kind == "page":
            transport.write(f"GET /api/v1/socket HTTP/1.1\r\n{HEAD}{UPGRADE}\r\n".encode())
        else:
            path = f"/api/v1/projects/{self._project_id}/events"
            transport.write(f"GET {path} HTTP/1.1\r\n{HEAD}Accept: text/event-stream\r\n\r\n".encode())

    def say(self, text: str) -> None:
        self.transport.write(text_frame(text))

    def data_received(self, data: bytes) -> None:
        # A word may be cut in two by a packet's end.
        seen = self._rest + data
        self._crowd.heard(*map(seen.count, WORDS))
        last = max(map(seen.rfind, WORDS))
        self._rest = seen[max(last + 1, len(seen) - LONGEST) :]
        if self._kind == "page" and CLOSING in data:
            self.transport.write(CLOSED)
            self.transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        self._crowd.gone()


class Listeners:
    """A crowd of pages or of event sources, all of which count together."""

    def __init__(self) -> None:
        self.events = self.settled = self.welcomed = self.open = 0
        self._changed = asyncio.Event()
        self._listeners: list[_Listener] = []

    async def connect(self, url: str, kind: Kind, number: int, project_id: str = "film") -> None:
        """Opens so many; pages follow nothing yet, and have their welcome."""
        host, port = url.removeprefix("http://").split(":")
        loop = asyncio.get_running_loop()
        for _ in range(number):
            _, listener = await loop.create_connection(lambda: _Listener(self, kind, project_id), host, int(port))
            self._listeners.append(listener)
            self.open += 1
        await self.until(lambda: (self.welcomed if kind == "page" else self.settled) >= number)

    async def follow(self, project_ids: Sequence[str]) -> None:
        """Lets each page follow projects, and waits until each is settled."""
        wanted = self.settled + len(self._listeners) * len(project_ids)
        for listener in self._listeners:
            for project_id in project_ids:
                listener.say(f'{{"type":"subscribe","projectId":"{project_id}"}}')
        await self.until(lambda: self.settled >= wanted)

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not reached():
                self._changed.clear()
                await self._changed.wait()

    def heard(self, events: int, settled: int, welcomed: int) -> None:
        self.events += events
        self.settled += settled
        self.welcomed += welcomed
        self._changed.set()

    def gone(self) -> None:
        self.open -= 1
        self._changed.set()

    def close(self) -> None:
        for listener in self._listeners:
            listener.transport.close()
