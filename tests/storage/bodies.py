"""Bodies to store, and what a storage lists."""

from collections.abc import AsyncIterator

from evergreen_storage import Storage

MIB = 1 << 20


async def chunks_of(*chunks: bytes) -> AsyncIterator[bytes]:
    """Yields these chunks."""
    for chunk in chunks:
        yield chunk


async def blocks(count: int) -> AsyncIterator[bytes]:
    """Yields `count` MiB in chunks of a quarter."""
    for number in range(count * 4):
        yield bytes([number % 256]) * (MIB // 4)


async def keys(storage: Storage, prefix: str = "", *, delimiter: bool = False, after: str = "") -> list[str]:
    """Returns the keys that a storage lists."""
    return [meta.key async for meta in storage.list(prefix, delimiter=delimiter, after=after)]
