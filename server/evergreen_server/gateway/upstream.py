"""The gRPC server as the gateway calls it: bytes in, bytes out."""

import asyncio
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import grpc
from grpc_health.v1 import health_pb2

__all__ = ["MAX_MESSAGE_BYTES", "Metadata", "Upstream"]

Metadata = tuple[tuple[str, str], ...]

MAX_MESSAGE_BYTES = 4 * 1024 * 1024 + 64 * 1024
"""As the server takes it."""
STREAMS_OF_A_CHANNEL = 2000
"""What the server allows on a connection; more would wait, unseen, for one to end."""
HEALTH_SECONDS = 2.0
HEALTH = "/grpc.health.v1.Health/Check"
OPTIONS: list[tuple[str, int]] = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # A connection of its own for each channel.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    # An intent to pay must not be sent twice behind the caller's back.
    ("grpc.enable_retries", 0),
    # Of a server that is gone without a word a quiet watch would never hear.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
]


class Upstream:
    """Channels to one server: for calls with one answer, for uploads, and as many as `streams` streams need."""

    def __init__(self, target: str, *, streams: int, credentials: grpc.ChannelCredentials | None = None) -> None:
        """Takes the credentials of TLS; without, there is none."""
        self._target = target
        self._credentials = credentials
        self._number = -(-streams // STREAMS_OF_A_CHANNEL)
        self._asking: asyncio.Task[bool] | None = None

    async def __aenter__(self) -> Self:
        self._stack = AsyncExitStack()
        self._calls = await self._open()
        self._uploads = await self._open()
        self._streams = [await self._open() for _ in range(self._number)]
        self._open_streams = [0] * self._number
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])
        await self._stack.aclose()

    async def call(self, path: str, message: bytes, metadata: Metadata, seconds: float) -> bytes:
        """Returns the answer of a method. Raises grpc.aio.AioRpcError."""
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._calls.unary_unary(path)
        return await method(message, metadata=metadata, timeout=seconds)

    def stream(
        self, path: str, message: bytes, metadata: Metadata, seconds: float | None
    ) -> "grpc.aio.UnaryStreamCall[bytes, bytes]":
        """Returns a call whose answers are to be iterated over; to be cancelled at the end, whatever happens."""
        free = (index for index, number in enumerate(self._open_streams) if number < STREAMS_OF_A_CHANNEL)
        index = next(free, 0)
        method: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = self._streams[index].unary_stream(path)
        call = method(message, metadata=metadata, timeout=seconds)
        self._open_streams[index] += 1

        def ended(_: object) -> None:
            self._open_streams[index] -= 1

        call.add_done_callback(ended)
        return call

    def upload(self, path: str, metadata: Metadata) -> "grpc.aio.StreamUnaryCall[bytes, bytes]":
        """Returns a call to which messages are written; to be cancelled at the end, whatever happens."""
        method: grpc.aio.StreamUnaryMultiCallable[bytes, bytes] = self._uploads.stream_unary(path)
        return method(metadata=metadata)

    async def healthy(self) -> bool:
        """Returns whether the server says that it is serving; one question for all who ask meanwhile."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask(), name="gateway health")
        return await asyncio.shield(self._asking)

    async def _ask(self) -> bool:
        try:
            data = await self.call(HEALTH, b"", (), HEALTH_SECONDS)
        except grpc.aio.AioRpcError:
            return False
        answer = health_pb2.HealthCheckResponse.FromString(data)
        return answer.status == health_pb2.HealthCheckResponse.SERVING

    async def _open(self) -> grpc.aio.Channel:
        if self._credentials is None:
            channel = grpc.aio.insecure_channel(self._target, options=OPTIONS)
        else:
            channel = grpc.aio.secure_channel(self._target, self._credentials, options=OPTIONS)
        return await self._stack.enter_async_context(channel)
