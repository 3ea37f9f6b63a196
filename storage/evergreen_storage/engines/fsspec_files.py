"""Blocking operations on a filesystem of fsspec, for the engine that serves any of them."""

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol, cast
from urllib.parse import urlsplit

import fsspec

from evergreen_storage.content_types import content_type_of
from evergreen_storage.engines.hidden import part_name
from evergreen_storage.keys import is_name
from evergreen_storage.storage import EPOCH, MOST_LEFT, Json, Meta, NotFound, StorageError, Unavailable, Unsupported

# Filesystems agree on the name and size of an entry, but not on the name of its time.
_TIMES: Final = ("mtime", "LastModified", "last_modified", "modified", "updated", "timeModified", "created")


class File(Protocol):
    """An open file of such a filesystem."""

    def read(self, size: int) -> bytes: ...
    def seek(self, position: int) -> int: ...
    def close(self) -> None: ...


class _Filesystem(Protocol):
    """The part of fsspec that is used: no call that expands patterns in a path."""

    async_impl: bool

    def info(self, path: str) -> dict[str, object]: ...
    def ls(self, path: str, detail: bool) -> list[dict[str, object]]: ...
    def open(self, path: str, mode: str) -> File: ...
    def put_file(self, local: str, path: str) -> None: ...
    def pipe_file(self, path: str, value: bytes) -> None: ...
    def mv(self, path: str, target: str) -> None: ...
    def rm_file(self, path: str) -> None: ...
    def rmdir(self, path: str) -> None: ...
    def makedirs(self, path: str, exist_ok: bool) -> None: ...
    def modified(self, path: str) -> object: ...
    def sign(self, path: str, expiration: int) -> str: ...
    def invalidate_cache(self, path: str | None = None) -> None: ...


class FsspecFiles:
    """The files below one folder of a filesystem."""

    def __init__(self, filesystem: _Filesystem, root: str) -> None:
        self._filesystem = filesystem
        self._root = root.rstrip("/")
        inner: object = filesystem
        while isinstance(wrapped := getattr(inner, "fs", None), fsspec.spec.AbstractFileSystem):
            inner = wrapped
        self._publishes_whole = bool(getattr(inner, "async_impl", False))

    @classmethod
    def open(cls, url: str, options: Mapping[str, Json]) -> "FsspecFiles":
        """Makes the filesystem that a URL names, and its folder. Raises Unsupported, Unavailable."""
        files = cls(*_filesystem(url, options))
        with translated("the storage", "opened"):
            files.make("")
        return files

    def reading(self, key: str, start: int) -> "File":
        """Opens a file to read it from a position on. The caller closes it."""
        file = self._filesystem.open(self._path(key), "rb")
        if start:
            file.seek(start)
        return file

    def delete(self, key: str) -> None:
        """Removes a file. Raises FileNotFoundError."""
        self._filesystem.rm_file(self._path(key))

    def put_bytes(self, key: str, data: bytes) -> Meta:
        """Writes a file, which appears whole."""
        return self._put(key, lambda path: self._filesystem.pipe_file(path, data))

    def put_file(self, key: str, local: str) -> Meta:
        """Writes a file from one on this machine; it appears whole."""
        return self._put(key, lambda path: self._filesystem.put_file(local, path))

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}" if self._root else key

    def make(self, prefix: str) -> None:
        """Makes a folder, where there are such things."""
        path = self._path(prefix).rstrip("/")
        if path:
            # Where folders are only parts of keys, this does nothing or is not supported.
            with suppress(NotImplementedError, FileExistsError):
                self._filesystem.makedirs(path, exist_ok=True)

    def _put(self, key: str, write: Callable[[str], None]) -> Meta:
        folder, _, name = key.rpartition("/")
        self.make(folder)
        path = self._path(key)
        if self._publishes_whole:
            write(path)
        else:
            part = self._path(f"{folder}/{part_name(name)}".removeprefix("/"))
            try:
                write(part)
                self._filesystem.mv(part, path)
            except BaseException:
                with suppress(FileNotFoundError):
                    self._filesystem.rm_file(part)
                raise
        return self.stat(key)

    def get(self, key: str, max_bytes: int) -> tuple[bytes, Meta]:
        """Reads up to one byte more than is allowed. Raises FileNotFoundError."""
        meta = self.stat(key)
        file = self._filesystem.open(self._path(key), "rb")
        try:
            return file.read(max_bytes + 1), meta
        finally:
            file.close()

    def stat(self, key: str) -> Meta:
        """Describes a file. Raises FileNotFoundError."""
        path = self._path(key)
        # Another process may have written since the filesystem's own cache was filled.
        self._filesystem.invalidate_cache()
        info = self._filesystem.info(path)
        if info.get("type") != "file":
            raise FileNotFoundError(key)
        return _meta(key, info, lambda: self._filesystem.modified(path))

    def entries(self, prefix: str) -> list[Meta]:
        """Lists one folder, sorted by key, without what no key can name."""
        path = self._path(prefix).rstrip("/")
        self._filesystem.invalidate_cache()
        try:
            infos = self._filesystem.ls(path, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        found: dict[str, Meta] = {}
        for info in infos:
            name = str(info["name"]).rstrip("/").rpartition("/")[2]
            key = f"{prefix}{name}"
            if not is_name(name) or str(info["name"]).strip("/") == path.strip("/"):
                continue
            if info.get("type") == "directory":
                found[f"{key}/"] = Meta(key=f"{key}/", size=0, modified=EPOCH)
            elif info.get("type") == "file" and not str(info["name"]).endswith("/"):
                found[key] = _meta(key, info, functools.partial(self._filesystem.modified, self._path(key)))
        return sorted(found.values(), key=lambda meta: meta.key)

    def clear(self, prefix: str, keep: str) -> list[str]:
        """Removes all that is below a folder except a key. Returns what was left, at most MOST_LEFT paths."""
        folders: list[str] = []
        left: list[str] = []
        waiting = [self._path(prefix).rstrip("/")]
        while waiting:
            here = waiting.pop()
            folders.append(here)
            self._filesystem.invalidate_cache()
            with suppress(FileNotFoundError, NotADirectoryError):
                for info in self._filesystem.ls(here, detail=True):
                    name = str(info["name"]).rstrip("/")
                    path = f"{here}/{name.rpartition('/')[2]}"
                    if name.strip("/") == here.strip("/") or path == self._path(keep):
                        continue
                    if info.get("type") == "directory":
                        waiting.append(path)
                        continue
                    try:
                        self._filesystem.rm_file(path)
                    except FileNotFoundError:
                        pass
                    except PermissionError:
                        left.append(path.removeprefix(self._path(prefix)))
        for folder in reversed(folders):
            # What is not empty, missing, or only a part of keys, stays.
            with suppress(OSError, NotImplementedError):
                self._filesystem.rmdir(folder)
        return left[:MOST_LEFT]

    def sign(self, key: str, seconds: int) -> str | None:
        """Returns a URL that reads a file; None where the filesystem cannot sign."""
        try:
            return self._filesystem.sign(self._path(key), expiration=seconds)
        except NotImplementedError:
            return None


def _filesystem(url: str, options: Mapping[str, Json]) -> tuple[_Filesystem, str]:
    scheme = urlsplit(url).scheme
    try:
        kind = fsspec.get_filesystem_class(scheme)
    except ValueError:
        raise Unsupported(
            f"fsspec knows no filesystem {scheme!r}: install the package that brings it, or register it with fsspec"
        ) from None
    except ImportError as exc:
        raise Unsupported(f"{scheme}:// storage: {exc}") from exc
    with translated("the storage", "opened"):
        # An instance of its own: a shared one could be closed or configured by others.
        filesystem = kind(**{**kind._get_kwargs_from_urls(url), **options, "skip_instance_cache": True})
        return cast(_Filesystem, filesystem), str(kind._strip_protocol(url))


@contextmanager
def translated(what: str, doing: str) -> Iterator[None]:
    """Translates whatever a filesystem raises into the storage's own errors."""
    try:
        yield
    except (StorageError, NotImplementedError):
        raise
    except FileNotFoundError as exc:
        raise NotFound(f"there is no {what!r}") from exc
    except PermissionError as exc:
        raise Unavailable(f"{what!r} cannot be {doing}: access was denied", errno=exc.errno) from exc
    except OSError as exc:
        reason = exc.strerror or type(exc).__name__
        raise Unavailable(f"{what!r} cannot be {doing}: {reason}", errno=exc.errno) from exc
    except Exception as exc:  # a third party's filesystem raises whatever its own library does
        # Only the kind: the text may hold an address with a signature, or a key.
        raise Unavailable(f"{what!r} cannot be {doing}: {type(exc).__name__}") from exc


def _meta(key: str, info: Mapping[str, object], ask: Callable[[], object]) -> Meta:
    time = next((info[name] for name in _TIMES if info.get(name) is not None), None)
    if time is None:
        with suppress(NotImplementedError):
            time = ask()
    if isinstance(time, int | float):
        modified = EPOCH + timedelta(microseconds=int(time * 1e6))
    elif isinstance(time, datetime):
        modified = time if time.tzinfo else time.replace(tzinfo=UTC)
    elif isinstance(time, str):
        modified = datetime.fromisoformat(time)
    else:
        modified = EPOCH
    size = info.get("size")
    return Meta(
        key=key, size=size if isinstance(size, int) else 0, modified=modified, content_type=content_type_of(key)
    )
