"""A folder for this process's temporary files; leftovers of processes that are gone are removed."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


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
