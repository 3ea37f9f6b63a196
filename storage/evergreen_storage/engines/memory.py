"""The `memory://` engine: objects in a dictionary, for tests and trials. Nothing outlives the process."""

import asyncio
from bisect import bisect_left, bisect_right, insort
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

from evergreen_storage.checksums import extend_crc32c
from evergreen_storage.content_types import content_type_of
from evergreen_storage.engines.copies import local_copy
from evergreen_storage.keys import check_folder, check_key
from evergreen_storage.storage import (
    EPOCH,
    AlreadyExists,
    BodyMismatch,
    Conflict,
    Meta,
    NotFound,
    Sealed,
    TooLarge,
    check_body,
)
from evergreen_storage.threads import Threads

_BLOCK = 1 << 20


class MemoryStorage:
    """Keeps objects in memory. Each call yields to the loop once first, as an engine with real I/O does."""

    def __init__(self, *, clock: Callable[[], datetime], temp_dir: Path | None = None) -> None:
        self._clock = clock
        self._temp_dir = temp_dir
        self._objects: dict[str, tuple[bytes, Meta]] = {}
        self._keys: list[str] = []
        self._revisions = count(1)
        self._threads = Threads(size=1)

    async def put(
        self,
        key: str,
        data: bytes,
        *,
        content_type: str | None = None,
        if_absent: bool = False,
        if_token: str | None = None,
    ) -> Meta:
        check_key(key)
        await asyncio.sleep(0)
        held = self._objects.get(key)
        if if_absent and held is not None:
            raise AlreadyExists(f"{key!r} exists already")
        if if_token is not None and (held is None or held[1].token != if_token):
            raise Conflict(f"{key!r} changed since it was read")
        meta = Meta(
            key=key,
            size=len(data),
            modified=self._clock(),
            token=str(next(self._revisions)),
            crc32c=extend_crc32c(0, data),
            content_type=content_type or content_type_of(key),
        )
        if held is None:
            insort(self._keys, key)
        self._objects[key] = (data, meta)
        return meta

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
        check_key(key)
        body = bytearray()
        async for chunk in chunks:
            body += chunk
            if size is not None and len(body) > size:
                raise BodyMismatch(f"the body of {key!r} has more than the {size} bytes announced")
        data = bytes(body)
        found = extend_crc32c(0, data)
        check_body(key, size=len(data), crc32c=found, wanted_size=size, wanted_crc32c=crc32c)
        if sealed is not None:
            await sealed(len(data), found)
        try:
            return await self.put(key, data, content_type=content_type, if_absent=if_absent)
        except AlreadyExists as exc:
            exc.size, exc.crc32c = len(data), found
            raise

    async def get(self, key: str, *, max_bytes: int) -> tuple[bytes, Meta]:
        check_key(key)
        await asyncio.sleep(0)
        data, meta = self._held(key)
        if len(data) > max_bytes:
            raise TooLarge(f"{key!r} has {len(data)} bytes, more than the {max_bytes} asked for")
        return data, meta

    async def stream(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        check_key(key)
        data, _ = self._held(key)
        stop = len(data) if end is None else min(end, len(data))
        for position in range(start, stop, _BLOCK):
            await asyncio.sleep(0)
            yield data[position : min(position + _BLOCK, stop)]

    async def stat(self, key: str) -> Meta | None:
        check_key(key)
        await asyncio.sleep(0)
        held = self._objects.get(key)
        return held[1] if held else None

    async def list(self, prefix: str, *, delimiter: bool = False, after: str = "") -> AsyncGenerator[Meta, None]:
        check_folder(prefix)
        # Each step searches again, so that concurrent writes do no harm. "0" is the character after "/".
        index = bisect_left(self._keys, prefix)
        if after > prefix:
            folder, slash, _ = after.removeprefix(prefix).partition("/")
            beyond = f"{prefix}{folder}0" if delimiter and slash and after.startswith(prefix) else after
            index = bisect_right(self._keys, beyond)
        while index < len(self._keys) and self._keys[index].startswith(prefix):
            key = self._keys[index]
            folder, slash, _ = key[len(prefix) :].partition("/")
            if delimiter and slash:
                yield Meta(key=f"{prefix}{folder}/", size=0, modified=EPOCH)
                index = bisect_left(self._keys, f"{prefix}{folder}0")
            else:
                yield self._objects[key][1]
                index = bisect_right(self._keys, key)

    async def delete(self, key: str) -> None:
        check_key(key)
        await asyncio.sleep(0)
        if self._objects.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]

    async def make_folders(self, prefixes: Sequence[str]) -> None:
        for prefix in prefixes:
            check_folder(prefix)

    async def clear(self, prefix: str, *, keep: str = "") -> Sequence[str]:
        for key in [meta.key async for meta in self.list(prefix)]:
            if key != keep:
                await self.delete(key)
        return ()

    async def sweep(self) -> int:
        return 0

    async def sign(self, key: str, *, ttl: timedelta) -> str | None:
        check_key(key)
        return None

    @asynccontextmanager
    async def local_path(self, key: str) -> AsyncGenerator[Path, None]:
        async with (
            aclosing(self.stream(key)) as blocks,
            local_copy(self._threads.run, key, blocks, temp_dir=self._temp_dir) as path,
        ):
            yield path

    async def close(self) -> None:
        self._threads.close()

    def _held(self, key: str) -> tuple[bytes, Meta]:
        held = self._objects.get(key)
        if held is None:
            raise NotFound(f"there is no {key!r}")
        return held
