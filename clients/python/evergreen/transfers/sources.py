"""The source of an upload: a file, bytes, or a stream that can be read only once."""

import asyncio
import io
import os
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from os import PathLike
from typing import BinaryIO, TypeAlias

FileOrBytes: TypeAlias = "str | PathLike[str] | bytes"
Source: TypeAlias = "str | PathLike[str] | bytes | AsyncIterable[bytes]"

READ_BYTES = 4 * 1024 * 1024
"""The size of one read from a file; large, since each read runs in a thread."""


class Supply:
    """Provides the bytes of a source, from the beginning each time it is opened."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._taken = False

    @property
    def spent(self) -> bool:
        """Returns whether bytes were read that cannot be read again."""
        return self._taken and isinstance(self._source, AsyncIterable)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[tuple[int | None, AsyncGenerator[bytes, None]]]:
        """Yields the number of bytes (None for a stream) and the bytes in blocks. Raises OSError."""
        if isinstance(self._source, AsyncIterable):
            yield None, self._stream(self._source)
            return
        file = await asyncio.to_thread(_open, self._source)
        with file:
            size = await asyncio.to_thread(file.seek, 0, os.SEEK_END)
            await asyncio.to_thread(file.seek, 0)
            yield size, _blocks(file)

    async def _stream(self, source: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
        async for block in source:
            self._taken = True
            yield block


def _open(source: FileOrBytes) -> BinaryIO:
    return io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb")


async def _blocks(file: BinaryIO) -> AsyncGenerator[bytes, None]:
    while block := await asyncio.to_thread(file.read, READ_BYTES):
        yield block
