"""Removes whole trees of folders on a disk, of any origin and depth: blocking, with few descriptors."""

import errno
import logging
import os
import re
import stat
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from typing import Final, TypeAlias

from evergreen_storage.engines.descriptors import FOLDER_FLAGS
from evergreen_storage.engines.hidden import is_part, is_removed, removed_name
from evergreen_storage.keys import is_name
from evergreen_storage.storage import MOST_LEFT, StorageError

logger = logging.getLogger(__name__)

Unlink: TypeAlias = Callable[[str, int], None]
"""Removes a file of a folder, given by its descriptor."""

# What NFS and FUSE call a file that was removed while open; it disappears once it is closed.
_SILLY: Final = re.compile(r"\.(nfs|fuse_hidden)[0-9a-f]+")
_NOT_OURS: Final = frozenset({errno.EACCES, errno.EPERM, errno.EBUSY, errno.ENOTEMPTY, errno.EEXIST, errno.EXDEV})
_DEEPEST: Final = 16
_MOST_LOGGED: Final = 10


def sweep(enter: Callable[[Sequence[str]], AbstractContextManager[int]], before: datetime) -> int:
    """Removes what killed writers left before a time, and what deletions had to leave. Returns the number.

    What cannot be read is logged and left out. Raises StorageError for the root itself.
    """
    limit, removed, errors = before.timestamp(), 0, 0
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        parts = waiting.pop()
        try:
            with enter(parts) as folder:
                for entry in list(os.scandir(folder)):
                    if is_part(entry.name):
                        removed += _remove_old(folder, entry.name, limit)
                    elif is_removed(entry.name):
                        removed += _remove_rest(folder, entry.name)
                    elif len(parts) < _DEEPEST and is_name(entry.name) and entry.is_dir(follow_symlinks=False):
                        waiting.append((*parts, entry.name))
        except FileNotFoundError:
            continue  # removed meanwhile
        except (OSError, StorageError) as exc:
            if not parts:
                raise
            errors += 1
            if errors <= _MOST_LOGGED:
                logger.warning("folder not swept", extra={"folder": "/".join(parts), "cause": str(exc)})
    return removed


def clear(folder: int, *, keep: str = "", unlink: Unlink | None = None) -> list[str]:
    """Removes all that is in a folder except the file `keep`. Returns what was left, at most MOST_LEFT paths.

    That is what may not be removed, and the mount points of other disks. Raises OSError for anything else.
    """
    left: list[str] = []
    # Very deep folders are moved up, so that neither descriptors nor the stack run out.
    deep: deque[tuple[str, str]] = deque()
    _clear(folder, "", keep, folder, deep, left, unlink or _unlink)
    while deep:
        name, path = deep.popleft()
        with _inside(folder, name) as inner:
            _clear(inner, path, "", folder, deep, left, unlink or _unlink)
        with _left(path, left):
            os.rmdir(name, dir_fd=folder)
    return left


def _clear(
    folder: int, path: str, keep: str, top: int, deep: "deque[tuple[str, str]]", left: list[str], unlink: Unlink
) -> None:
    for entry in list(os.scandir(folder)):
        inside = f"{path}{entry.name}"
        if inside == keep:
            continue
        if not entry.is_dir(follow_symlinks=False):
            with _left(inside, left):
                unlink(entry.name, folder)
            continue
        with _left(f"{inside}/", left):
            if path.count("/") >= _DEEPEST:
                name = removed_name()
                os.rename(entry.name, name, src_dir_fd=folder, dst_dir_fd=top)
                deep.append((name, f"…/{entry.name}/"))
                continue
            with _inside(folder, entry.name) as inner:
                _clear(inner, f"{inside}/", keep, top, deep, left, unlink)
            with suppress(FileNotFoundError):
                os.rmdir(entry.name, dir_fd=folder)


@contextmanager
def _left(path: str, left: list[str]) -> Iterator[None]:
    """Records what may not be removed; a folder that is not empty is explained by what it holds."""
    try:
        yield
    except FileNotFoundError:
        pass
    except OSError as exc:
        if exc.errno not in _NOT_OURS:
            raise
        explained = exc.errno in (errno.ENOTEMPTY, errno.EEXIST) or _SILLY.fullmatch(path.rpartition("/")[2])
        if not explained and len(left) < MOST_LEFT:
            left.append(os.fsencode(path).decode(errors="replace"))


@contextmanager
def _inside(folder: int, name: str) -> Iterator[int]:
    inner = os.open(name, FOLDER_FLAGS, dir_fd=folder)
    try:
        yield inner
    finally:
        os.close(inner)


def _unlink(name: str, folder: int) -> None:
    os.unlink(name, dir_fd=folder)


def _remove_old(folder: int, name: str, limit: float) -> int:
    with suppress(OSError):  # another process sweeps too, or the folder is not ours to change
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISREG(status.st_mode) and status.st_mtime < limit:
            os.unlink(name, dir_fd=folder)
            return 1
    return 0


def _remove_rest(folder: int, name: str) -> int:
    with suppress(OSError):  # what is open somewhere on such a disk is for the next time
        with _inside(folder, name) as inner:
            clear(inner)
        os.rmdir(name, dir_fd=folder)
        return 1
    return 0
