"""A folder for this process's temporary files; leftovers of processes that are gone are removed."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISDIR
from uuid import uuid4

LONGEST_PARENT = 40
"""A socket's path may have 107 bytes: this, the user's number, 32 for the folder, and the socket's name."""


@contextmanager
def temp_folder(parent: Path) -> Iterator[Path]:
    """Makes a new folder in `parent` that is removed at the end, if not by this process then by the next."""
    parent.mkdir(parents=True, exist_ok=True)
    path = parent / uuid4().hex
    # The parent is locked meanwhile, so that no process mistakes a folder that is not locked yet for a leftover.
    with _locked(parent):
        for left in parent.iterdir():
            _remove_if_left(left)
        path.mkdir()
        lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


@contextmanager
def socket_folder(system: str) -> Iterator[Path]:
    """Makes a new folder that no other user can open, with a path short enough for a socket in it: in `system`, the
    folder for temporary files, or in /tmp if its path is too long.

    Raises PermissionError if another user made the folder that it stands in.
    """
    parent = Path(system if len(system) <= LONGEST_PARENT else "/tmp") / f"evergreen-{os.getuid()}"
    parent.mkdir(mode=0o700, exist_ok=True)
    stat = parent.lstat()
    if stat.st_uid != os.getuid() or stat.st_mode & 0o77 or not S_ISDIR(stat.st_mode):
        raise PermissionError(f"{parent} must be a folder of this user that nobody else can open; remove it")
    with temp_folder(parent) as path:
        yield path


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _remove_if_left(path: Path) -> None:
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    else:
        shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(handle)
