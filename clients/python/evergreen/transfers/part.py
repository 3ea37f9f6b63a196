"""The hidden file of a download beside its target, which a later try goes on with, also after a crash."""

import asyncio
import errno
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from evergreen.transfers.checksums import Checksum

READ_BYTES = 4 * 1024 * 1024


class Part:
    """What has come so far of one file: its size, and its CRC32C."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self.size = 0
        self.checksum = Checksum()

    @classmethod
    @asynccontextmanager
    async def opened(cls, target: Path, source: str) -> AsyncIterator["Part"]:
        """Opens what an earlier try left of `source`, or a new file. It stays for the next try if it has any bytes.

        Raises OSError. Where another download of the same file is on, this one has a file of its own.
        """
        part = await asyncio.to_thread(cls._open, target, source)
        try:
            with part._file:
                yield part
                await asyncio.to_thread(part._file.flush)
        finally:
            if not part.size:
                await asyncio.to_thread(part._path.unlink, missing_ok=True)

    @classmethod
    def _open(cls, target: Path, source: str) -> "Part":
        path = target.with_name(f".{target.name}.{sha256(source.encode()).hexdigest()[:8]}.part")
        try:
            file = path.open("a+b")
        except OSError as error:
            # Of the file that the caller named: nobody knows of the hidden one.
            raise OSError(error.errno, error.strerror, str(target)) from None
        if not _locked(file):
            file.close()
            path = target.with_name(f".{target.name}.{uuid4().hex[:8]}.part")
            file = path.open("x+b")
        part = cls(path, file)
        file.seek(0)
        while block := file.read(READ_BYTES):
            part._count(block)
        return part

    async def write(self, data: bytes) -> None:
        """Adds the next bytes. Raises OSError."""
        await asyncio.to_thread(self._file.write, data)
        self._count(data)

    async def clear(self) -> None:
        """Drops all bytes."""
        await asyncio.to_thread(self._file.truncate, 0)
        await asyncio.to_thread(self._file.seek, 0)
        self.size, self.checksum = 0, Checksum()

    async def become(self, target: Path, *, overwrite: bool) -> None:
        """Makes this the target. Raises FileExistsError without `overwrite`, OSError."""
        await asyncio.to_thread(self._file.flush)
        await asyncio.to_thread(self._path.replace if overwrite else self._link, target)

    def _link(self, target: Path) -> None:
        try:
            os.link(self._path, target)
        except FileExistsError:
            raise exists(target) from None
        except OSError:
            # A file system without hard links; here two that finish at one moment could replace each other.
            check_free(target)
            self._path.replace(target)
        else:
            self._path.unlink()

    def _count(self, data: bytes) -> None:
        self.size += len(data)
        self.checksum.extend(data)


def check_free(target: Path) -> None:
    """Raises FileExistsError if there is anything."""
    if os.path.lexists(target):
        raise exists(target)


def exists(target: Path) -> FileExistsError:
    """Returns the error of a target that is there."""
    return FileExistsError(errno.EEXIST, "it exists; name another file, or say overwrite", str(target))


def _locked(file: BinaryIO) -> bool:
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
