"""Stores assets under names that are never overwritten: the same bytes again are adopted, others are refused."""

from collections.abc import AsyncIterator
from dataclasses import replace

from evergreen_storage.checksums import extend_crc32c
from evergreen_storage.scenes.description import describe
from evergreen_storage.scenes.errors import AssetConflict
from evergreen_storage.scenes.values import Asset
from evergreen_storage.storage import AlreadyExists, BodyMismatch, Sealed, Storage, check_body


async def store(
    storage: Storage, key: str, path: str, data: bytes, content_type: str, *, sealed: Sealed | None = None
) -> Asset:
    """Stores a small asset. Raises AssetConflict."""
    crc32c = extend_crc32c(0, data)
    if sealed is not None:
        await sealed(len(data), crc32c)
    try:
        meta = await storage.put(key, data, content_type=content_type, if_absent=True)
    except AlreadyExists:
        return await _adopt(storage, key, path, size=len(data), crc32c=crc32c, content_type=content_type)
    return replace(await describe(storage, path, replace(meta, crc32c=crc32c)), content_type=content_type)


async def store_stream(
    storage: Storage,
    key: str,
    path: str,
    chunks: AsyncIterator[bytes],
    *,
    size: int | None,
    content_type: str,
    crc32c: int | None = None,
    overwrite: bool = False,
    sealed: Sealed | None = None,
) -> Asset:
    """Stores an asset of any size. Raises BodyMismatch, AssetConflict."""
    try:
        meta = await storage.put_stream(
            key, chunks, size=size, content_type=content_type, crc32c=crc32c, if_absent=not overwrite, sealed=sealed
        )
    except AlreadyExists as exc:
        # An engine may refuse before it has read the body, which is needed for the comparison.
        read, found = exc.size, exc.crc32c
        async for chunk in chunks:
            read += len(chunk)
            found = extend_crc32c(found, chunk)
            if size is not None and read > size:
                raise BodyMismatch(f"the body of {key!r} has more than the {size} bytes announced") from None
        check_body(key, size=read, crc32c=found, wanted_size=size, wanted_crc32c=crc32c)
        return await _adopt(storage, key, path, size=read, crc32c=found, content_type=content_type)
    return replace(await describe(storage, path, meta), content_type=content_type)


def compare(found: Asset, path: str, *, size: int, crc32c: int) -> None:
    """Raises AssetConflict unless an asset has this content."""
    if (found.size_bytes, found.crc32c) != (size, crc32c):
        raise AssetConflict(
            f"{path!r} exists already with another content: {found.size_bytes} bytes with CRC32C "
            f"{found.crc32c:08x}, not {size} bytes with {crc32c:08x}"
        )


async def _adopt(storage: Storage, key: str, path: str, *, size: int, crc32c: int, content_type: str) -> Asset:
    meta = await storage.stat(key)
    if meta is None:
        raise AssetConflict(f"{path!r} was deleted while it was stored again")
    found = await describe(storage, path, meta)
    compare(found, path, size=size, crc32c=crc32c)
    return replace(found, content_type=content_type)
