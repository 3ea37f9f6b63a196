"""The `file://` engine: real files below a root folder, written whole or not at all, and durable once written."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import ExitStack, aclosing, asynccontextmanager, closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from evergreen_storage.checksums import extend_crc32c, token_of
from evergreen_storage.engines.descriptors import translated
from evergreen_storage.engines.disk import Disk, Traits, meta_of
from evergreen_storage.engines.part import Part
from evergreen_storage.engines.walking import walk
from evergreen_storage.keys import check_folder, check_key
from evergreen_storage.storage import BodyMismatch, Meta, Sealed, TooLarge, Unavailable, check_body, check_present
from evergreen_storage.threads import Prefetch, Threads, WriteBehind

# Small enough to stay in the processor's cache until it is written, large enough that a switch of threads is cheap.
_BLOCK = 1 << 19
_READ = 1 << 20
# The most of a body that is held while the disk is busy.
_MOST = 12 << 20
_PART_AGE = timedelta(days=1)


class LocalStorage:
    """Keeps objects as files; the blocking calls run in threads of its own."""

    def __init__(self, *, disk: Disk, threads: Threads, clock: Callable[[], datetime]) -> None:
        self._disk = disk
        self._threads = threads
        self._clock = clock

    @classmethod
    async def open(
        cls, root: Path, *, clock: Callable[[], datetime], traits: Traits | None = None, threads: int = 8
    ) -> "LocalStorage":
        """Opens a root folder, making it if need be, and removes what writers killed a day ago left.

        `traits` are found out by trying, unless given. Raises Unavailable if the folder is not writable.
        """
        pool = Threads(size=threads)
        try:
            storage = cls(disk=await pool.run(Disk.open, root, traits=traits), threads=pool, clock=clock)
            await storage.sweep()
        except BaseException:
            pool.close()
            raise
        return storage

    async def sweep(self) -> int:
        """Removes the hidden files of writers killed a day ago. Returns their number."""
        return await self._threads.run(self._disk.sweep, self._clock() - _PART_AGE)

    async def put(
        self,
        key: str,
        data: bytes,
        *,
        content_type: str | None = None,
        if_absent: bool = False,
        if_token: str | None = None,
    ) -> Meta:
        meta = await self._threads.run(_put, self._disk, check_key(key), data, if_absent=if_absent, if_token=if_token)
        return replace(meta, content_type=content_type or meta.content_type)

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
        part = Part(self._disk, check_key(key))
        try:
            await self._threads.run(part.open)
            held: list[bytes] = []
            length = read = 0
            async with WriteBehind(self._threads, part.write, most=_MOST) as writes:
                async for chunk in chunks:
                    held.append(chunk)
                    length += len(chunk)
                    read += len(chunk)
                    if size is not None and read > size:
                        raise BodyMismatch(f"the body of {key!r} has more than the {size} bytes announced")
                    if length >= _BLOCK:
                        await writes.put(held, length)
                        held, length = [], 0
                await writes.put(held, length)
                await writes.finish()
            check_body(key, size=part.size, crc32c=part.crc32c, wanted_size=size, wanted_crc32c=crc32c)
            if sealed is not None:
                await sealed(part.size, part.crc32c)
            meta = await self._threads.run(part.publish, if_absent=if_absent)
        finally:
            await self._threads.run(part.close)
        return replace(meta, content_type=content_type or meta.content_type)

    async def get(self, key: str, *, max_bytes: int) -> tuple[bytes, Meta]:
        return await self._threads.run(_get, self._disk, check_key(key), max_bytes)

    async def stream(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        parts = check_key(key)
        with ExitStack() as resources:
            file = await self._threads.run(resources.enter_context, self._disk.reading(parts))
            whole = os.fstat(file).st_size
            stop = whole if end is None else min(end, whole)
            # What the system has in memory is read at once: switching threads would cost more than reading.
            while start < stop and _in_memory(file, start, size := min(_BLOCK, stop - start)):
                block = _read(key, file, start, size)
                start += len(block)
                # Lets other tasks run while a long file is read from memory.
                await asyncio.sleep(0)
                yield block
            async with Prefetch[bytes](self._threads) as prefetch:
                if start < stop:
                    prefetch.begin(_read, key, file, start, min(_READ, stop - start))
                while start < stop:
                    block = await prefetch.result()
                    start += len(block)
                    if start < stop:
                        prefetch.begin(_read, key, file, start, min(_READ, stop - start))
                    yield block

    async def stat(self, key: str) -> Meta | None:
        return await self._threads.run(self._disk.stat, check_key(key))

    async def list(self, prefix: str, *, delimiter: bool = False, after: str = "") -> AsyncGenerator[Meta, None]:
        async def entries(folder: str) -> Sequence[Meta]:
            return await self._threads.run(self._disk.entries, check_folder(folder))

        async with aclosing(walk(entries, prefix, delimiter=delimiter, after=after)) as found:
            async for meta in found:
                yield meta

    async def delete(self, key: str) -> None:
        await self._threads.run(self._disk.delete, check_key(key))

    async def make_folders(self, prefixes: Sequence[str]) -> None:
        await self._threads.run(self._disk.make_folders, [check_folder(prefix) for prefix in prefixes])

    async def clear(self, prefix: str, *, keep: str = "") -> Sequence[str]:
        parts = check_folder(prefix)
        return await self._threads.run(self._disk.clear, parts, keep=keep.removeprefix(prefix))

    async def sign(self, key: str, *, ttl: timedelta) -> str | None:
        check_key(key)
        return None

    @asynccontextmanager
    async def local_path(self, key: str) -> AsyncGenerator[Path, None]:
        check_present(key, await self.stat(key))
        yield self._disk.root.joinpath(*check_key(key))

    async def close(self) -> None:
        self._threads.close()


def _put(disk: Disk, parts: Sequence[str], data: bytes, *, if_absent: bool, if_token: str | None) -> Meta:
    with closing(Part(disk, parts)) as part:
        part.open()
        part.write([data])
        return part.publish(if_absent=if_absent, if_token=if_token, token=token_of(data))


def _get(disk: Disk, parts: Sequence[str], max_bytes: int) -> tuple[bytes, Meta]:
    key = "/".join(parts)
    with disk.reading(parts) as file:
        status = os.fstat(file)
        blocks = []
        left = max_bytes + 1
        while left and (block := os.read(file, min(_READ, left))):
            blocks.append(block)
            left -= len(block)
    if not left:
        raise TooLarge(f"{key!r} has more than the {max_bytes} bytes asked for")
    data = b"".join(blocks)
    meta = meta_of(key, status, token=token_of(data), crc32c=extend_crc32c(0, data))
    return data, replace(meta, size=len(data))


def _in_memory(file: int, start: int, size: int) -> bool:
    """Returns whether a range can be read without waiting for the disk, judging by its last byte; only Linux knows."""
    if not hasattr(os, "RWF_NOWAIT"):
        return False
    try:
        return os.preadv(file, [bytearray(1)], start + size - 1, os.RWF_NOWAIT) == 1
    except OSError:
        # Not at once, or not supported by this filesystem.
        return False


def _read(key: str, file: int, start: int, size: int) -> bytes:
    with translated(key, "read"):
        block = os.pread(file, size, start)
    if not block:
        raise Unavailable(f"{key!r} became shorter while it was read")
    return block
