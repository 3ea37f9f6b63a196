"""The storage as scenes see it, with every call timed by its operation and what came of it."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from prometheus_client import CollectorRegistry, Histogram

from evergreen_server.metrics.buckets import CALLS
from evergreen_storage import Meta, Sealed, Storage, StorageError

T = TypeVar("T")


class StorageMetrics:
    """Calls of the storage."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "evergreen_storage_seconds",
            "Seconds that calls of the storage took, by operation and outcome.",
            ["operation", "outcome"],
            buckets=CALLS,
            registry=registry,
        )

    @contextmanager
    def of(self, operation: str) -> Iterator[None]:
        """Times a call."""
        began, outcome = time.monotonic(), "CANCELLED"
        try:
            yield
            outcome = "OK"
        except StorageError as exc:
            outcome = type(exc).__name__
            raise
        except Exception:
            # Such as what fails in the source of a body.
            outcome = "OTHER"
            raise
        finally:
            self._seconds.labels(operation, outcome).observe(time.monotonic() - began)


class MeteredStorage:
    """A storage whose calls are timed; implements `evergreen_storage.Storage`.

    Of what is read in parts, the time to the first part: how fast the rest is taken is up to the reader.
    """

    def __init__(self, storage: Storage, metrics: StorageMetrics) -> None:
        self._storage = storage
        self._of = metrics.of

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
        return await self._timed("put", put)

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
        return await self._timed("put_stream", put)

    async def get(self, key: str, *, max_bytes: int) -> tuple[bytes, Meta]:
        return await self._timed("get", self._storage.get(key, max_bytes=max_bytes))

    def stream(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        return self._begun("stream", self._storage.stream(key, start=start, end=end))

    async def stat(self, key: str) -> Meta | None:
        return await self._timed("stat", self._storage.stat(key))

    def list(self, prefix: str, *, delimiter: bool = False, after: str = "") -> AsyncGenerator[Meta, None]:
        return self._begun("list", self._storage.list(prefix, delimiter=delimiter, after=after))

    async def delete(self, key: str) -> None:
        await self._timed("delete", self._storage.delete(key))

    async def make_folders(self, prefixes: Sequence[str]) -> None:
        await self._timed("make_folders", self._storage.make_folders(prefixes))

    async def clear(self, prefix: str, *, keep: str = "") -> Sequence[str]:
        return await self._timed("clear", self._storage.clear(prefix, keep=keep))

    async def sweep(self) -> int:
        return await self._timed("sweep", self._storage.sweep())

    async def sign(self, key: str, *, ttl: timedelta) -> str | None:
        return await self._timed("sign", self._storage.sign(key, ttl=ttl))

    @asynccontextmanager
    async def local_path(self, key: str) -> AsyncIterator[Path]:
        async with AsyncExitStack() as stack:
            with self._of("local_path"):
                path = await stack.enter_async_context(self._storage.local_path(key))
            yield path

    async def close(self) -> None:
        await self._storage.close()

    async def _timed(self, operation: str, call: Awaitable[T]) -> T:
        with self._of(operation):
            return await call

    async def _begun(self, operation: str, parts: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        async with aclosing(parts):
            with self._of(operation):
                first = await anext(parts, None)
            if first is not None:
                yield first
            async for part in parts:
                yield part
