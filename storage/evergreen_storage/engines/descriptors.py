"""Single operations on open folders and files, for the `file://` engine."""

import errno
import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from evergreen_storage.storage import Unavailable

LOCK: Final = ".lock"
FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a named pipe that somebody put here must not wait for its writer.
READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK

_LOCK_SECONDS: Final = 10.0
_BLOCK: Final = 1 << 20


@contextmanager
def translated(what: str, doing: str) -> Iterator[None]:
    """Translates an OSError into Unavailable, with a text that names the cause, but no path outside of the storage."""
    try:
        yield
    except OSError as exc:
        name = errno.errorcode.get(exc.errno or 0, "no errno")
        raise Unavailable(f"{what!r} cannot be {doing}: {exc.strerror or exc} ({name})", errno=exc.errno) from exc


@contextmanager
def locked(folder: int) -> Iterator[None]:
    """Keeps every other writer, of any process, from replacing or deleting in this folder."""
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        # A file and not the folder itself: network file systems lock only what is open for writing.
        lock = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=folder)
        try:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.002)
            # A writer that removed the folder's last file removed the lock file too: then others lock a new one.
            if os.fstat(lock).st_nlink:
                yield
                return
        finally:
            os.close(lock)


def exists(folder: int, name: str) -> bool:
    """Returns whether a folder has an entry of this name."""
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def is_link(folder: int, name: str) -> bool:
    """Returns whether an entry is a symbolic link."""
    with suppress(FileNotFoundError):
        return stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    return False


def content_token(folder: int, name: str) -> str | None:
    """Returns the token of what a file holds; None if there is no file."""
    try:
        file = os.open(name, READ_FLAGS, dir_fd=folder)
    except FileNotFoundError:
        return None
    digest = hashlib.sha256()
    try:
        while block := os.read(file, _BLOCK):
            digest.update(block)
    finally:
        os.close(file)
    return digest.hexdigest()
