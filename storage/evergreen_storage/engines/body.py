"""A body being stored: gathered into blocks of a useful size, counted, and verified at its end."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

from evergreen_storage.checksums import extend_crc32c
from evergreen_storage.storage import BodyMismatch, check_body

BLOCK: Final = 1 << 20


class Body:
    """A body, which can be read once."""

    def __init__(self, key: str, chunks: AsyncIterator[bytes], *, size: int | None, crc32c: int | None) -> None:
        self._key = key
        self._chunks = chunks
        self._wanted_size = size
        self._wanted_crc32c = crc32c
        self.size = 0
        self.crc32c = 0

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        """Yields the body in blocks of 1 MiB and more. Raises BodyMismatch as soon as it is not the announced one."""
        held: list[bytes] = []
        length = 0
        async for chunk in self._chunks:
            held.append(chunk)
            length += len(chunk)
            if self._wanted_size is not None and self.size + length > self._wanted_size:
                raise BodyMismatch(f"the body of {self._key!r} has more than the {self._wanted_size} bytes announced")
            if length >= BLOCK:
                yield self._counted(held)
                held, length = [], 0
        last = self._counted(held)
        check_body(
            self._key,
            size=self.size,
            crc32c=self.crc32c,
            wanted_size=self._wanted_size,
            wanted_crc32c=self._wanted_crc32c,
        )
        if last:
            yield last

    def _counted(self, held: list[bytes]) -> bytes:
        block = b"".join(held)
        self.size += len(block)
        self.crc32c = extend_crc32c(self.crc32c, block)
        return block
