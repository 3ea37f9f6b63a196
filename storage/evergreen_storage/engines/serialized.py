"""Conditional writes for an engine that has none: one writer of a key at a time, within the reach of the locks."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path

from evergreen_storage.locks import KeyLocks
from evergreen_storage.storage import Conflict, Meta, NotFound, Sealed, Storage, check_absent

_MOST_BYTES = 64 << 20


class SerializedStorage:
    """Checks, then writes, and holds a lock on the key meanwhile."""

    def __init__(self, inner: Storage, locks: KeyLocks) -> None:
        self._inner = inner
        self._locks = locks

    async def put(
        self,
        key: str,
        data: bytes,
        *,
        content_type: str | None = None,
        if_absent: bool = False,
        if_token: str | None = None,
    ) -> Meta:
        conditional = if_absent or if_token is not None
        async with self._locks.held(key, between_processes=conditional) as check:
            if if_absent:
                check_absent(key, await self._inner.stat(key))
            if if_token is not None and await self._token(key) != if_token:
                raise Conflict(f"{key!r} changed since it was read")
            check()
            return await self._inner.put(key, data, content_type=content_type)

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
        async def checked(found_size: int, found_crc32c: int) -> None:
            if sealed is not None:
                await sealed(found_size, found_crc32c)
            check()

        async with self._locks.held(key, between_processes=if_absent) as check:
            if if_absent:
                check_absent(key, await self._inner.stat(key))
            return await self._inner.put_stream(
                key, chunks, size=size, content_type=content_type, crc32c=crc32c, sealed=checked
            )

    async def get(self, key: str, *, max_bytes: int) -> tuple[bytes, Meta]:
        return await self._inner.get(key, max_bytes=max_bytes)

    def stream(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        return self._inner.stream(key, start=start, end=end)

    async def stat(self, key: str) -> Meta | None:
        return await self._inner.stat(key)

    def list(self, prefix: str, *, delimiter: bool = False, after: str = "") -> AsyncGenerator[Meta, None]:
        return self._inner.list(prefix, delimiter=delimiter, after=after)

    async def delete(self, key: str) -> None:
        async with self._locks.held(key, between_processes=False):
            await self._inner.delete(key)

    async def make_folders(self, prefixes: Sequence[str]) -> None:
        await self._inner.make_folders(prefixes)

    async def clear(self, prefix: str, *, keep: str = "") -> Sequence[str]:
        return await self._inner.clear(prefix, keep=keep)

    async def sweep(self) -> int:
        return await self._inner.sweep()

    async def sign(self, key: str, *, ttl: timedelta) -> str | None:
        return await self._inner.sign(key, ttl=ttl)

    def local_path(self, key: str) -> AbstractAsyncContextManager[Path]:
        return self._inner.local_path(key)

    async def close(self) -> None:
        await self._inner.close()

    async def _token(self, key: str) -> str | None:
        try:
            return (await self._inner.get(key, max_bytes=_MOST_BYTES))[1].token
        except NotFound:
            return None
