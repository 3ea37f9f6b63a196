"""A file being written by the `file://` engine: hidden until it is complete, removed if it never is."""

import os
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import Final

from evergreen_storage.checksums import extend_crc32c
from evergreen_storage.engines.descriptors import translated
from evergreen_storage.engines.disk import Disk, meta_of
from evergreen_storage.engines.hidden import part_name
from evergreen_storage.storage import AlreadyExists, Meta

# After so many bytes the disk starts to write while the rest is received, which keeps the final sync short.
_FLUSHED: Final = 1 << 22


class Part:
    """One body being written. `open`, `write`, `publish`, `close` block and are called one after another."""

    def __init__(self, disk: Disk, parts: Sequence[str]) -> None:
        self._disk = disk
        self._parts = parts
        self._key = "/".join(parts)
        self._part = part_name(parts[-1])
        self._resources = ExitStack()
        self._folder = self._file = -1
        self._begun = 0
        self.size = 0
        self.crc32c = 0

    def open(self) -> None:
        """Makes the folders and the hidden file."""
        with translated(self._key, "written"):
            self._folder = self._resources.enter_context(self._disk.folder(self._parts[:-1], create=True))
            self._disk.check_case(self._folder, self._parts[-1])
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            self._file = os.open(self._part, flags, 0o666, dir_fd=self._folder)
            self._resources.callback(os.close, self._file)
            self._resources.callback(self._discard)

    def write(self, blocks: Sequence[bytes]) -> None:
        """Writes blocks at the end of the hidden file."""
        with translated(self._key, "written"):
            for block in blocks:
                left = memoryview(block)
                while left:
                    left = left[os.write(self._file, left) :]
                self.crc32c = extend_crc32c(self.crc32c, block)
                self.size += len(block)
            if self.size - self._begun >= _FLUSHED and hasattr(os, "posix_fadvise"):
                # This makes Linux start to write the pages out. It is only advice: the sync must succeed, and it also
                # reports what could not be written before.
                with suppress(OSError):
                    os.posix_fadvise(self._file, self._begun, self.size - self._begun, os.POSIX_FADV_DONTNEED)
                self._begun = self.size

    def publish(self, *, if_absent: bool = False, if_token: str | None = None, token: str | None = None) -> Meta:
        """Publishes the file under its name, durably. Raises AlreadyExists, Conflict."""
        with translated(self._key, "written"):
            os.fsync(self._file)
            name = self._parts[-1]
            try:
                self._disk.publish(
                    self._folder, self._part, name, key=self._key, if_absent=if_absent, if_token=if_token
                )
            except AlreadyExists as exc:
                exc.size, exc.crc32c = self.size, self.crc32c
                raise
            return meta_of(self._key, os.fstat(self._file), token=token, crc32c=self.crc32c)

    def close(self) -> None:
        """Closes all descriptors, and removes the hidden file if it was not published."""
        with translated(self._key, "written"):
            self._resources.close()

    def _discard(self) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self._part, dir_fd=self._folder)
