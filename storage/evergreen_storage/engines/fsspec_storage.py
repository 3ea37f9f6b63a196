"""The engine for every other filesystem that fsspec knows, or that a third party registered with it.

Its blocking calls run in threads. A body is gathered in a temporary file first, since hardly any of these can take it
piece by piece. What is known to publish a file only when it is whole (the asynchronous filesystems, which are clients
of object stores) is written directly; others get it under a hidden name beside its target, which is then renamed.
"""

import functools
import mimetypes
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeVar

from evergreen_storage.checksums import extend_crc32c, token_of
from evergreen_storage.content_types import content_type_of, is_run
from evergreen_storage.engines.body import BLOCK, Body
from evergreen_storage.engines.copies import local_copy
from evergreen_storage.engines.fsspec_files import FsspecFiles, translated
from evergreen_storage.engines.walking import walk
from evergreen_storage.keys import check_folder, check_key
from evergreen_storage.storage import (
    Json,
    Meta,
    NotFound,
    Sealed,
    TooLarge,
    Unavailable,
    Unsupported,
    check_present,
)
from evergreen_storage.threads import Threads

T = TypeVar("T")

_THREADS: Final = 8


class FsspecStorage:
    """Keeps objects in a filesystem of fsspec. It has no conditional writes: `SerializedStorage` adds them."""

    def __init__(self, files: FsspecFiles, threads: Threads, *, temp_dir: Path | None = None) -> None:
        self._files = files
        self._temp_dir = temp_dir
        self._threads = threads

    @classmethod
    async def open(cls, url: str, options: Mapping[str, Json], *, temp_dir: Path | None = None) -> "FsspecStorage":
        """Opens `SCHEME://…` with options for that filesystem. Raises Unsupported, Unavailable."""
        threads = Threads(size=_THREADS)
        try:
            return cls(await threads.run(FsspecFiles.open, url, options), threads, temp_dir=temp_dir)
        except BaseException:
            threads.close()
            raise

    async def put(
        self,
        key: str,
        data: bytes,
        *,
        content_type: str | None = None,
        if_absent: bool = False,
        if_token: str | None = None,
    ) -> Meta:
        if if_absent or if_token is not None:
            raise Unsupported("this storage has no conditional writes")
        check_key(key)
        meta = await self._run(key, "written", self._files.put_bytes, key, data)
        return replace(
            meta,
            token=token_of(data),
            crc32c=extend_crc32c(0, data),
            content_type=content_type or content_type_of(key),
        )

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
        if if_absent:
            raise Unsupported("this storage has no conditional writes")
        check_key(key)
        body = Body(key, chunks, size=size, crc32c=crc32c)
        async with AsyncExitStack() as resources:
            temporary = functools.partial(tempfile.NamedTemporaryFile, prefix="evergreen-", dir=self._temp_dir)
            spool = await self._run(key, "gathered", temporary)
            resources.push_async_callback(self._run, key, "gathered", spool.close)
            async with aclosing(body.blocks()) as blocks:
                async for block in blocks:
                    await self._run(key, "gathered", spool.write, block)
            await self._run(key, "gathered", spool.flush)
            if sealed is not None:
                await sealed(body.size, body.crc32c)
            meta = await self._run(key, "written", self._files.put_file, key, spool.name)
        return replace(meta, crc32c=body.crc32c, content_type=content_type or content_type_of(key))

    async def get(self, key: str, *, max_bytes: int) -> tuple[bytes, Meta]:
        check_key(key)
        data, meta = await self._run(key, "read", self._files.get, key, max_bytes)
        if len(data) > max_bytes:
            raise TooLarge(f"{key!r} has more than the {max_bytes} bytes asked for")
        return data, replace(meta, size=len(data), token=token_of(data), crc32c=extend_crc32c(0, data))

    async def stream(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        check_key(key)
        stat = check_present(key, await self.stat(key))
        stop = stat.size if end is None else min(end, stat.size)
        if start >= stop:
            return
        file = await self._run(key, "read", self._files.reading, key, start)
        try:
            while start < stop:
                block = await self._run(key, "read", file.read, min(BLOCK, stop - start))
                if not block:
                    raise Unavailable(f"{key!r} became shorter while it was read")
                start += len(block)
                yield block
        finally:
            await self._run(key, "read", file.close)

    async def stat(self, key: str) -> Meta | None:
        check_key(key)
        try:
            return await self._run(key, "read", self._files.stat, key)
        except NotFound:
            return None

    async def delete(self, key: str) -> None:
        check_key(key)
        with suppress(NotFound):
            await self._run(key, "deleted", self._files.delete, key)

    async def make_folders(self, prefixes: Sequence[str]) -> None:
        for prefix in prefixes:
            check_folder(prefix)
            await self._run(prefix, "made", self._files.make, prefix)

    async def clear(self, prefix: str, *, keep: str = "") -> Sequence[str]:
        check_folder(prefix)
        return await self._run(prefix, "removed", self._files.clear, prefix, keep)

    async def sweep(self) -> int:
        return 0

    async def sign(self, key: str, *, ttl: timedelta) -> str | None:
        check_key(key)
        # Some filesystems serve files with the content type that the system has for their names.
        if is_run(mimetypes.guess_type(key)[0] or ""):
            return None
        return await self._run(key, "signed", self._files.sign, key, int(ttl.total_seconds()))

    @asynccontextmanager
    async def local_path(self, key: str) -> AsyncGenerator[Path, None]:
        check_present(key, await self.stat(key))
        run = functools.partial(self._run, key, "read")
        async with aclosing(self.stream(key)) as blocks, local_copy(run, key, blocks, temp_dir=self._temp_dir) as path:
            yield path

    async def close(self) -> None:
        self._threads.close()

    async def _run(self, what: str, doing: str, call: Callable[..., T], *arguments: object) -> T:
        def guarded() -> T:
            with translated(what, doing):
                return call(*arguments)

        return await self._threads.run(guarded)

    async def list(self, prefix: str, *, delimiter: bool = False, after: str = "") -> AsyncGenerator[Meta, None]:
        check_folder(prefix)

        async def entries(folder: str) -> Sequence[Meta]:
            return await self._run(folder or "the storage", "listed", self._files.entries, folder)

        async with aclosing(walk(entries, prefix, delimiter=delimiter, after=after)) as found:
            async for meta in found:
                yield meta
