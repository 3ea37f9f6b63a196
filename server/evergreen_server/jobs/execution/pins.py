"""Pins of files: what is checked, kept and sent must be the same bytes. All but `Source` blocks."""

import hashlib
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from evergreen_server.jobs.model.job import Pin
from evergreen_server.runtime.threads import OwnThreads

CHUNK_BYTES = 1024 * 1024


def pin_of(path: Path) -> Pin:
    """Returns the pin of a file, which is read completely. Blocks."""
    size, digest = 0, hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            size += len(chunk)
            digest.update(chunk)
    return Pin(size_bytes=size, sha256=digest.hexdigest())


def spool(path: Path, data: bytes) -> Pin:
    """Writes a new file and returns its pin. Blocks."""
    with path.open("xb") as file:
        file.write(data)
    return Pin(size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


@dataclass(slots=True, kw_only=True)
class Source:
    """A local file that is read piece by piece from its start, more than once if needed, in turns of its owner."""

    files: OwnThreads
    path: Path
    owner: str
    _size: int = 0
    _digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    async def read(self, offset: int, size: int) -> bytes:
        """Returns up to `size` bytes from `offset`, which is 0 or where the last piece ended. Raises OSError."""
        return await self.files.run(partial(self._read, offset, size), owner=self.owner)

    @property
    def pin(self) -> Pin:
        """Returns the pin of all that was read since the start."""
        return Pin(size_bytes=self._size, sha256=self._digest.hexdigest())

    def _read(self, offset: int, size: int) -> bytes:
        # Opened for each piece, so that a read that its caller no longer waits for leaves nothing open.
        with self.path.open("rb") as file:
            file.seek(offset)
            data = file.read(size)
        if offset == 0:
            self._size, self._digest = 0, hashlib.sha256()
        self._size += len(data)
        self._digest.update(data)
        return data
