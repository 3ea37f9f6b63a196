"""Blocking file operations below one root folder, for the `file://` engine.

Every folder is entered by its name from its parent's descriptor and never through a symbolic link, so that nothing
outside of the root can be reached, not even by someone who changes the tree meanwhile. Bodies are written to a
hidden `.NAME.RANDOM.part` beside their target, synced, then renamed; a lock file in the folder makes the comparison
with a token and the rename one step, between processes too.
"""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from evergreen_storage.content_types import content_type_of
from evergreen_storage.engines.descriptors import (
    FOLDER_FLAGS,
    READ_FLAGS,
    content_token,
    exists,
    is_link,
    locked,
    translated,
)
from evergreen_storage.engines.hidden import part_name, removed_name
from evergreen_storage.engines.trees import clear, sweep
from evergreen_storage.keys import is_name
from evergreen_storage.storage import (
    EPOCH,
    AlreadyExists,
    Conflict,
    InvalidKey,
    Meta,
    NameTaken,
    NotFound,
    Unavailable,
)

# Some disks keep times of any year.
_LATEST_SECONDS: Final = 253_402_300_799
_NO_LINKS: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What differs between disks: whether `A` and `a` are two files, and whether a file may have two names."""

    case_sensitive: bool
    hard_links: bool


def meta_of(key: str, status: os.stat_result, *, token: str | None = None, crc32c: int | None = None) -> Meta:
    """Returns the description of a file as an object."""
    return Meta(
        key=key,
        size=status.st_size,
        modified=EPOCH + timedelta(microseconds=min(max(status.st_mtime_ns // 1000, 0), _LATEST_SECONDS * 10**6)),
        token=token,
        crc32c=crc32c,
        content_type=content_type_of(key),
    )


class Disk:
    """The files below one root folder."""

    def __init__(self, root: Path, *, traits: Traits) -> None:
        self.root = root
        self.traits = traits

    @classmethod
    def open(cls, root: Path, *, traits: Traits | None = None) -> "Disk":
        """Makes the root folder if need be and finds out, by trying, what the disk can do."""
        with translated(str(root), "opened as a storage folder"):
            root.mkdir(parents=True, exist_ok=True)
            root = root.resolve(strict=True)
            return cls(root, traits=_probe(root) if traits is None else traits)

    @contextmanager
    def folder(self, parts: Sequence[str], *, create: bool) -> Iterator[int]:
        """Opens a folder and yields its descriptor. Raises FileNotFoundError, NotADirectoryError, InvalidKey."""
        try:
            here = os.open(self.root, FOLDER_FLAGS)
        except FileNotFoundError as exc:
            raise Unavailable("the storage folder itself is gone", errno=errno.ENOENT) from exc
        try:
            for part in parts:
                inner = self._enter(here, part, create=create)
                os.close(here)
                here = inner
            yield here
        finally:
            os.close(here)

    def check_case(self, folder: int, name: str) -> None:
        """Raises NameTaken for a second name that differs only by case, where the disk takes both for one."""
        if not self.traits.case_sensitive:
            for other in os.listdir(folder):
                if other != name and other.casefold() == name.casefold():
                    raise NameTaken(f"{name!r} differs only by case from {other!r}, which exists on this disk")

    @contextmanager
    def reading(self, parts: Sequence[str]) -> Iterator[int]:
        """Opens a file for reading and yields its descriptor. Raises NotFound."""
        key = "/".join(parts)
        with translated(key, "read"):
            try:
                with self.folder(parts[:-1], create=False) as folder:
                    self.check_case(folder, parts[-1])
                    file = os.open(parts[-1], READ_FLAGS, dir_fd=folder)
            except (FileNotFoundError, NotADirectoryError) as exc:
                raise NotFound(f"there is no {key!r}") from exc
            except OSError as exc:
                if exc.errno == errno.ELOOP:
                    raise InvalidKey(f"{key!r} is a symbolic link, which is not followed") from exc
                raise
            try:
                if not stat.S_ISREG(os.fstat(file).st_mode):
                    raise NotFound(f"there is no {key!r}")
                yield file
            finally:
                os.close(file)

    def stat(self, parts: Sequence[str]) -> Meta | None:
        """Describes a file; None if there is none."""
        try:
            with self.reading(parts) as file:
                return meta_of("/".join(parts), os.fstat(file))
        except NotFound:
            return None

    def entries(self, parts: Sequence[str]) -> list[Meta]:
        """Lists one folder, sorted by key, without what no key can name: hidden files, links, other characters."""
        prefix = "".join(f"{part}/" for part in parts)
        found = []
        with translated(prefix or "the storage folder", "listed"):
            try:
                with self.folder(parts, create=False) as folder, os.scandir(folder) as scan:
                    for entry in scan:
                        key = prefix + entry.name
                        if not is_name(entry.name):
                            continue
                        if entry.is_dir(follow_symlinks=False):
                            found.append(Meta(key=f"{key}/", size=0, modified=EPOCH))
                        elif entry.is_file(follow_symlinks=False):
                            with suppress(FileNotFoundError):  # deleted meanwhile
                                found.append(meta_of(key, entry.stat(follow_symlinks=False)))
            except (FileNotFoundError, NotADirectoryError):
                return []
        return sorted(found, key=lambda meta: meta.key)

    def delete(self, parts: Sequence[str]) -> None:
        """Removes a file, durably; a missing one is no error."""
        with (
            translated("/".join(parts), "deleted"),
            suppress(FileNotFoundError, NotADirectoryError),
            self.folder(parts[:-1], create=False) as folder,
        ):
            self.check_case(folder, parts[-1])
            os.stat(parts[-1], dir_fd=folder, follow_symlinks=False)
            with locked(folder):
                os.unlink(parts[-1], dir_fd=folder)
            os.fsync(folder)

    def make_folders(self, folders: Sequence[Sequence[str]]) -> None:
        """Makes folders, and those above them."""
        for parts in folders:
            with translated("/".join(parts), "made"), self.folder(parts, create=True):
                pass

    def sweep(self, before: datetime) -> int:
        """Removes what killed writers left before a time. Returns the number of files."""
        with translated("the storage folder", "swept"):
            return sweep(lambda parts: self.folder(parts, create=False), before)

    def clear(self, parts: Sequence[str], *, keep: str = "") -> list[str]:
        """Removes all that is in a folder, and the folder, except the file `keep`. Returns what was left."""
        with translated("/".join(parts), "removed"), suppress(FileNotFoundError, NotADirectoryError):
            with self.folder(parts, create=False) as folder:
                left = clear(folder, keep=keep, unlink=self.unlink)
            if not keep:
                with self.folder(parts[:-1], create=False) as above:
                    self._remove_emptied(above, parts[-1], hide=not left)
            return left
        return []

    def unlink(self, name: str, folder: int) -> None:
        """Removes a file of an open folder."""
        os.unlink(name, dir_fd=folder)

    def _remove_emptied(self, above: int, name: str, *, hide: bool) -> None:
        try:
            os.rmdir(name, dir_fd=above)
        except OSError as exc:
            if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            if hide:
                # It holds only removed files that are still open somewhere: the sweep removes the rest.
                os.rename(name, removed_name(), src_dir_fd=above, dst_dir_fd=above)
        os.fsync(above)

    def publish(self, folder: int, part: str, name: str, *, key: str, if_absent: bool, if_token: str | None) -> None:
        """Moves a finished part to its name. Raises AlreadyExists, Conflict."""
        self.check_case(folder, name)
        try:
            if if_absent and self.traits.hard_links:
                os.link(part, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
                os.unlink(part, dir_fd=folder)
            else:
                with locked(folder):
                    if if_absent and exists(folder, name):
                        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
                    if if_token is not None and content_token(folder, name) != if_token:
                        raise Conflict(f"{key!r} changed since it was read")
                    os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)
        except FileExistsError as exc:
            raise AlreadyExists(f"{key!r} exists already") from exc
        os.fsync(folder)

    def _enter(self, folder: int, name: str, *, create: bool) -> int:
        self.check_case(folder, name)
        try:
            return os.open(name, FOLDER_FLAGS, dir_fd=folder)
        except FileNotFoundError:
            if not create:
                raise
        except OSError as exc:
            if exc.errno in (errno.ELOOP, errno.ENOTDIR) and is_link(folder, name):
                raise InvalidKey(f"the folder {name!r} is a symbolic link, which is not followed") from exc
            raise
        with suppress(FileExistsError):  # another writer was quicker
            os.mkdir(name, dir_fd=folder)
            os.fsync(folder)
        return self._enter(folder, name, create=False)


def _probe(root: Path) -> Traits:
    folder = os.open(root, FOLDER_FLAGS)
    lower = part_name("probe")
    upper, second = lower.replace("probe", "PROBE"), part_name("probe")
    try:
        os.close(os.open(lower, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666, dir_fd=folder))
        case_sensitive = not exists(folder, upper)
        try:
            os.link(lower, second, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError as exc:
            if exc.errno not in _NO_LINKS:
                raise
            return Traits(case_sensitive=case_sensitive, hard_links=False)
        return Traits(case_sensitive=case_sensitive, hard_links=True)
    finally:
        for name in (lower, second):
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=folder)
        os.close(folder)
