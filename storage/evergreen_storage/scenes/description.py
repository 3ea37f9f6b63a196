"""Describes stored objects as assets."""

from evergreen_storage.checksums import extend_crc32c
from evergreen_storage.content_types import content_type_of
from evergreen_storage.scenes.values import Asset
from evergreen_storage.storage import Meta, Storage


async def describe(storage: Storage, path: str, meta: Meta) -> Asset:
    """Describes a stored object as an asset, reading it where the engine does not know its checksum."""
    crc32c = meta.crc32c
    if crc32c is None:
        crc32c = 0
        async for block in storage.stream(meta.key):
            crc32c = extend_crc32c(crc32c, block)
    return Asset(
        path=path,
        content_type=meta.content_type or content_type_of(path),
        size_bytes=meta.size,
        crc32c=crc32c,
        created_at=meta.modified,
    )
