"""Just enough HTTP/2 to load a gRPC server cheaply, or to stop reading from it at will.

A full client costs more than the server that it is to measure, and reads on behind one's back.
"""

import asyncio
from collections.abc import Callable

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
WIDEST = 2**31 - 1
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
BROKEN = -1
"""The status of a stream that ended without one: reset, refused, or cut off with its connection."""


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def window_update(stream: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, increment.to_bytes(4, "big"))


def envelope(message: bytes) -> bytes:
    """Puts gRPC's prefix before a message."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def _text(text: str) -> bytes:
    assert len(text) < 127
    return bytes((len(text),)) + text.encode()


class Connection(asyncio.Protocol):
    """One connection, on which any number of calls of one method may be open.

    `received(stream, message)` and `ended(stream, status)` are called for each message and at each end.
    """

    def __init__(
        self,
        path: str,
        *,
        received: Callable[[int, bytes], None],
        ended: Callable[[int, int], None],
        stream_window: int = WIDEST,
    ) -> None:
        # Indexed POST and http, then literals that enter no table: the same bytes serve every call.
        self._head = b"\x83\x86\x04" + _text(path) + b"\x01" + _text("localhost")
        self._head += b"\x0f\x10" + _text("application/grpc") + b"\x00" + _text("te") + _text("trailers")
        self._received = received
        self._ended = ended
        self._stream_window = stream_window
        self._next = 1
        self._rest = b""
        self._partial: dict[int, bytes] = {}
        self._consumed = 0
        self.open: set[int] = set()
        self.transport: asyncio.Transport

    def call(self, message: bytes) -> int:
        """Starts a call with one request message and gives its stream."""
        stream, self._next = self._next, self._next + 2
        self.open.add(stream)
        head = frame(HEADERS, END_HEADERS, stream, self._head)
        self.transport.write(head + frame(DATA, END_STREAM, stream, envelope(message)))
        return stream

    def add_header(self, name: str, value: bytes) -> None:
        """Adds a header to the calls to come."""
        assert len(value) < 127
        self._head += b"\x00" + _text(name) + bytes((len(value),)) + value

    def begin(self, data: bytes | None = None, *, end: bool = False) -> int:
        """Starts a call with whatever bytes, or only with its head, and gives its stream."""
        stream, self._next = self._next, self._next + 2
        self.open.add(stream)
        last = END_STREAM if end else 0
        if data is None:
            self.transport.write(frame(HEADERS, END_HEADERS | last, stream, self._head))
        else:
            head = frame(HEADERS, END_HEADERS, stream, self._head)
            self.transport.write(head + frame(DATA, last, stream, data))
        return stream

    def allow(self, stream: int, octets: int) -> None:
        """Lets the server send so many more octets on a stream."""
        self.transport.write(window_update(stream, octets))

    def cancel(self, stream: int) -> None:
        self.transport.write(frame(RST_STREAM, 0, stream, (8).to_bytes(4, "big")))
        self._end(stream, BROKEN)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        # No dynamic header table, so that trailers come as they are.
        settings = b"\0\1" + (0).to_bytes(4, "big") + b"\0\4" + self._stream_window.to_bytes(4, "big")
        transport.write(PREFACE + frame(SETTINGS, 0, 0, settings) + window_update(0, WIDEST - 65535))

    def connection_lost(self, exc: Exception | None) -> None:
        for stream in list(self.open):
            self._end(stream, BROKEN)

    def data_received(self, data: bytes) -> None:
        data, at = self._rest + data, 0
        while len(data) - at >= 9:
            end = at + 9 + int.from_bytes(data[at : at + 3], "big")
            if end > len(data):
                break
            self._take(data[at + 3], data[at + 4], int.from_bytes(data[at + 5 : at + 9], "big"), data[at + 9 : end])
            at = end
        self._rest = data[at:]
        if self._consumed > 2**24:
            self.transport.write(window_update(0, self._consumed))
            self._consumed = 0

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == DATA:
            self._consumed += len(payload)
            self._messages(stream, payload)
        elif kind == HEADERS and flags & END_STREAM:
            self._end(stream, _status(payload))
        elif kind == RST_STREAM:
            self._end(stream, BROKEN)
        elif kind == PING and not flags & ACK:
            self.transport.write(frame(PING, ACK, 0, payload))
        elif kind == SETTINGS and not flags & ACK:
            self.transport.write(frame(SETTINGS, ACK, 0, b""))

    def _messages(self, stream: int, payload: bytes) -> None:
        payload = self._partial.pop(stream, b"") + payload
        at = 0
        while len(payload) - at >= 5:
            end = at + 5 + int.from_bytes(payload[at + 1 : at + 5], "big")
            if end > len(payload):
                break
            self._received(stream, payload[at + 5 : end])
            at = end
        if at < len(payload):
            self._partial[stream] = payload[at:]

    def _end(self, stream: int, status: int) -> None:
        if stream in self.open:
            self.open.discard(stream)
            self._partial.pop(stream, None)
            self._ended(stream, status)


def _status(trailers: bytes) -> int:
    name = trailers.find(b"grpc-status")
    if name < 0:
        return BROKEN
    value = name + len(b"grpc-status")
    return int(trailers[value + 1 : value + 1 + trailers[value]])


async def connect(
    address: str,
    path: str,
    *,
    received: Callable[[int, bytes], None],
    ended: Callable[[int, int], None],
    stream_window: int = WIDEST,
) -> Connection:
    """Opens a connection to `host:port`; close it by its transport."""
    host, _, port = address.rpartition(":")
    _, connection = await asyncio.get_running_loop().create_connection(
        lambda: Connection(path, received=received, ended=ended, stream_window=stream_window), host, int(port)
    )
    return connection
