"""The engine for object stores, on obstore: streams bodies in bounded memory and compares before it swaps.

A body of up to one part is one request. A longer one is a multipart upload, which is aborted when the body breaks off,
is not the announced one, or the task is cancelled. Only a killed process leaves one: a rule of the bucket that ends
incomplete uploads after a day removes it.

Creating a longer body only where there is none: obstore takes no condition for the request that completes a multipart
upload. So the engine first checks that there is no such object, and holds a lock over both: within the process, and
between processes where one is given.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import obstore

from evergreen_storage.checksums import extend_crc32c
from evergreen_storage.content_types import content_type_of, headers_of
from evergreen_storage.engines.body import BLOCK, Body
from evergreen_storage.engines.buckets.bucket import Bucket
from evergreen_storage.engines.buckets.clearing import clear
from evergreen_storage.engines.buckets.errors import translated
from evergreen_storage.engines.buckets.listing import Listing, folders, level, tree
from evergreen_storage.engines.buckets.multipart import Upload
from evergreen_storage.engines.copies import local_copy
from evergreen_storage.keys import check_folder, check_key
from evergreen_storage.locks import KeyLocks
from evergreen_storage.storage import (
    EPOCH,
    AlreadyExists,
    Meta,
    NotFound,
    Sealed,
    TooLarge,
    Unavailable,
    check_absent,
    check_present,
)
from evergreen_storage.threads import Threads

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta, PutMode, PutResult

# The least that S3 takes as a part.
_PART: Final = 5 << 20
_UPLOADS_AT_ONCE: Final = 16
UploadTurn: TypeAlias = Callable[[str], AbstractAsyncContextManager[None]]
"""Holds a slot for one body being uploaded, which takes up to 20 MiB of memory, for a project."""


class ObjectStorage:
    """Keeps objects in a bucket."""

    def __init__(
        self,
        bucket: Bucket,
        *,
        clock: Callable[[], datetime],
        locks: KeyLocks,
        temp_dir: Path | None = None,
        upload_turn: UploadTurn | None = None,
    ) -> None:
        self._bucket = bucket
        self._temp_dir = temp_dir
        self._locks = locks
        self._store = bucket.store
        self._clock = clock
        uploads = asyncio.Semaphore(_UPLOADS_AT_ONCE)
        self._upload_turn: UploadTurn = upload_turn or (lambda _project: uploads)
        self._threads = Threads(size=2)

    async def put(
        self,
        key: str,
        data: bytes,
        *,
        content_type: str | None = None,
        if_absent: bool = False,
        if_token: str | None = None,
    ) -> Meta:
        path = self._path(key)
        mode: PutMode = "create" if if_absent else "overwrite"
        if if_token is not None:
            mode = {"e_tag": if_token} if self._bucket.token == "e_tag" else {"version": if_token}
        return await self._put(key, path, data, content_type, mode)

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
        path = self._path(key)
        body = Body(key, chunks, size=size, crc32c=crc32c)

        async def seal() -> None:
            if sealed is not None:
                await sealed(body.size, body.crc32c)

        try:
            # No time limit here: the sender of the body decides how long it takes.
            async with self._upload_turn(_project_of(key)), aclosing(body.blocks()) as blocks:
                held: deque[bytes] = deque()
                while body.size <= _PART:
                    block = await anext(blocks, None)
                    if block is None:
                        mode: PutMode = "create" if if_absent else "overwrite"
                        await seal()
                        return await self._put(key, path, b"".join(held), content_type, mode)
                    held.append(block)
                if if_absent:
                    check_absent(key, await self.stat(key))
                await self._upload(key, path, held, blocks, content_type, seal, if_absent=if_absent)
        except AlreadyExists as exc:
            exc.size, exc.crc32c = body.size, body.crc32c
            raise
        stat = await self.stat(key)
        if stat is None:
            raise Unavailable(f"{key!r} was deleted as soon as it was written")
        return replace(stat, crc32c=body.crc32c, content_type=content_type or content_type_of(key))

    async def get(self, key: str, *, max_bytes: int) -> tuple[bytes, Meta]:
        with translated(key, "read"):
            result = await obstore.get_async(self._store, self._path(key))
            if result.meta["size"] > max_bytes:
                raise TooLarge(f"{key!r} has {result.meta['size']} bytes, more than the {max_bytes} asked for")
            data = bytes(await result.bytes_async())
        stated = result.attributes.get("Content-Type")
        meta = self._meta(result.meta, token=result.meta.get(self._bucket.token))
        return data, replace(meta, crc32c=extend_crc32c(0, data), content_type=stated or content_type_of(key))

    async def stream(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        path = self._path(key)
        if end is not None and end <= start:
            check_present(key, await self.stat(key))
            return
        options: GetOptions = {}
        if end is not None:
            options = {"range": (start, end)}
        elif start:
            options = {"range": {"offset": start}}
        try:
            with translated(key, "read"):
                result = await obstore.get_async(self._store, path, options=options)
        except Unavailable:
            # Stores do not agree on how to answer a read that starts after the end.
            if not options or check_present(key, await self.stat(key)).size > start:
                raise
            return
        with translated(key, "read"):
            async for block in result.stream(min_chunk_size=BLOCK):
                yield bytes(block)

    async def stat(self, key: str) -> Meta | None:
        path = self._path(key)
        with suppress(NotFound), translated(key, "read"):
            return self._meta(await obstore.head_async(self._store, path))
        # The answer to HEAD has no body, and only the body distinguishes a missing key from a missing bucket.
        with suppress(NotFound), translated(key, "read"):
            return self._meta((await obstore.get_async(self._store, path)).meta)
        return None

    async def list(self, prefix: str, *, delimiter: bool = False, after: str = "") -> AsyncGenerator[Meta, None]:
        check_folder(prefix)
        where, since = self._bucket.prefix + prefix, self._bucket.prefix + after if after else ""
        async with aclosing(self._listing(delimiter)(self._store, where, since)) as found:
            async for entry in found:
                if isinstance(entry, str):
                    key = entry.removeprefix(self._bucket.prefix)
                    if key > after:
                        yield Meta(key=key, size=0, modified=EPOCH)
                    continue
                meta = self._meta(entry)
                # The marker of a folder, an empty object "FOLDER/", is listed as if it were an empty file "FOLDER".
                if meta.key > after and (meta.size or await self.stat(meta.key)):
                    yield meta

    async def delete(self, key: str) -> None:
        path = self._path(key)
        with suppress(NotFound), translated(key, "deleted"):
            await obstore.delete_async(self._store, path)

    async def make_folders(self, prefixes: Sequence[str]) -> None:
        for prefix in prefixes:
            check_folder(prefix)

    async def clear(self, prefix: str, *, keep: str = "") -> Sequence[str]:
        check_folder(prefix)
        folder, kept = self._bucket.prefix + prefix, self._bucket.prefix + keep
        with translated(prefix, "removed"):
            return [path.removeprefix(folder) or "/" for path in await clear(self._store, folder, keep=kept)]

    async def sweep(self) -> int:
        return 0

    async def sign(self, key: str, *, ttl: timedelta) -> str | None:
        path = self._path(key)
        if not self._bucket.signs:
            return None
        with translated(key, "signed"):
            return await obstore.sign_async(self._store, "GET", path, ttl)

    @asynccontextmanager
    async def local_path(self, key: str) -> AsyncGenerator[Path, None]:
        async with (
            aclosing(self.stream(key)) as blocks,
            local_copy(self._threads.run, key, blocks, temp_dir=self._temp_dir) as path,
        ):
            yield path

    async def close(self) -> None:
        self._threads.close()

    async def _put(self, key: str, path: str, data: bytes, content_type: str | None, mode: "PutMode") -> Meta:
        content_type = content_type or content_type_of(key)
        with translated(key, "written"):
            result: PutResult = await obstore.put_async(
                self._store, path, data, attributes=headers_of(content_type), mode=mode, use_multipart=False
            )
        modified = self._clock()
        if not isinstance(mode, dict):
            # The store's own time, so that the same object always has the same time. Nothing uses the time of a
            # document that is replaced.
            stat = await self.stat(key)
            modified = modified if stat is None else stat.modified
        return Meta(
            key=key,
            size=len(data),
            modified=modified,
            token=result.get(self._bucket.token),
            crc32c=extend_crc32c(0, data),
            content_type=content_type,
        )

    async def _upload(
        self,
        key: str,
        path: str,
        held: deque[bytes],
        rest: AsyncIterator[bytes],
        content_type: str | None,
        seal: Callable[[], Awaitable[None]],
        *,
        if_absent: bool,
    ) -> None:
        upload = Upload(self._store, key=key, path=path, content_type=content_type or content_type_of(key), part=_PART)
        async with upload:
            while held:
                await upload.write(held.popleft())
            async for block in rest:
                await upload.write(block)
            await seal()
            if not if_absent:
                await upload.finish()
                return
            async with self._locks.held(key) as check:
                check_absent(key, await self.stat(key))
                check()
                await upload.finish()

    def _listing(self, delimiter: bool) -> Listing:
        if not delimiter:
            return tree
        return folders if self._bucket.seeks else level

    def _path(self, key: str) -> str:
        check_key(key)
        return f"{self._bucket.prefix}{key}"

    def _meta(self, meta: "ObjectMeta", *, token: str | None = None) -> Meta:
        key = meta["path"].removeprefix(self._bucket.prefix)
        return Meta(
            key=key,
            size=meta["size"],
            # Some stores return fractions of a second in listings only.
            modified=meta["last_modified"].replace(microsecond=0),
            token=token,
            content_type=content_type_of(key),
        )


def _project_of(key: str) -> str:
    return "/".join(key.split("/", 2)[:2])
