"""The storage as scenes see it, with every call timed by its operation and what came of it."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from prometheus_client import CollectorRegistry

from evergreen_server.metrics.timed import TimedCalls
from evergreen_storage import Meta, Sealed, Storage, StorageError

T = TypeVar("T")


def storage_calls(registry: CollectorRegistry) -> TimedCalls:
    """Returns the calls of the storage; what else fails, such as the source of a body, is `OTHER`."""
    return TimedCalls(
        registry,
        name="evergreen_storage_seconds",
        of="storage",
        outcome=lambda exc: type(exc).__name__ if isinstance(exc, StorageError) else "OTHER",
    )


class MeteredStorage:
    """A storage whose calls are timed; implements `evergreen_storage.Storage`.

    Of what is read in parts, the time to the first part: how fast the rest is taken is up to the reader.
    """

    def __init__(self, storage: Storage, calls: TimedCalls) -> None:
        self._storage = storage
        self._calls = calls

    async def put(
        self,
        key: str,
        data: bytes,
        *,
        content_type: str | None = None,
        if_absent: bool = False,
        if_token: str | None = None,
    ) -> Meta:
        put = self._storage.put(key, data, content_type=content_type, if_absent=if_absent, if_token=if_token)
        return await self._calls.timed("put", put)

    async def put_stream(
        self,
        key: str,
        chunks: AsyncIterator[bytes],
        *,
        size: int | None,
        content_type: str | None = None,
        crc32c: int | None = None,
        if_absent: bool = False,
        sealed: Sealed | None = None,
    ) -> Meta:
        put = self._storage.put_stream(
            key, chunks, size=size, content_type=content_type, crc32c=crc32c, if_absent=if_absent, sealed=sealed
        )
        return await self._calls.timed("put_stream", put)

    async def get(self, key: str, *, max_bytes: int) -> tuple[bytes, Meta]:
        return await self._calls.timed("get", self._storage.get(key, max_bytes=max_bytes))

    def stream(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        return self._begun("stream", self._storage.stream(key, start=start, end=end))

    async def stat(self, key: str) -> Meta | None:
        return await self._calls.timed("stat", self._storage.stat(key))

    def list(self, prefix: str, *, delimiter: bool = False, after: str = "") -> AsyncGenerator[Meta, None]:
        return self._begun("list", self._storage.list(prefix, delimiter=delimiter, after=after))

    async def delete(self, key: str) -> None:
        await self._calls.timed("delete", self._storage.delete(key))

    async def make_folders(self, prefixes: Sequence[str]) -> None:
        await self._calls.timed("make_folders", self._storage.make_folders(prefixes))

    async def clear(self, prefix: str, *, keep: str = "") -> Sequence[str]:
        return await self._calls.timed("clear", self._storage.clear(prefix, keep=keep))

    async def sweep(self) -> int:
        return await self._calls.timed("sweep", self._storage.sweep())

    async def sign(self, key: str, *, ttl: timedelta) -> str | None:
        return await self._calls.timed("sign", self._storage.sign(key, ttl=ttl))

    @asynccontextmanager
    async def local_path(self, key: str) -> AsyncIterator[Path]:
        async with AsyncExitStack() as stack:
            with self._calls.of("local_path"):
                path = await stack.enter_async_context(self._storage.local_path(key))
            yield path

    async def close(self) -> None:
        await self._storage.close()

    async def _begun(self, operation: str, parts: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        async with aclosing(parts):
            with self._calls.of(operation):
                first = await anext(parts, None)
            if first is not None:
                yield first
            async for part in parts:
                yield part
