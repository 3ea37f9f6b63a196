"""What every storage engine can do: the protocol, its values and its errors.

Keys are relative, joined by "/", and checked by `keys.py`. Whatever an engine writes appears whole or not at all.

    StorageError
      NotFound        no object has this key
      AlreadyExists   the key was to be created and is taken
      Conflict        the object changed since its token was read
      BodyMismatch    the body's length or checksum is not the announced one; nothing was stored
      TooLarge        the object is larger than the reader's bound
      Unavailable     the medium failed for now: disk full, not writable, I/O error; another try may work
      InvalidKey      the key breaks a rule, or leads out of the storage
        NameTaken     the disk takes the name for another one that exists, since they differ only by case
      Unsupported     the URL or an option names what no engine here offers
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Protocol, TypeAlias

Sealed: TypeAlias = Callable[[int, int], Awaitable[None]]
"""Takes the size and the CRC32C of a body that is complete, just before its key becomes visible."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""The time of what has none, such as a folder of a listing."""

MOST_LEFT: Final = 100
"""The most paths that `Storage.clear` returns."""

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """One object as an engine knows it; a key that ends in "/" is a folder of a delimited listing.

    `token` names this content for `put(if_token=…)`. `get` and `put` always return it and the checksum; `stat` and
    `list` leave both None where they would cost a read.
    """

    key: str
    size: int
    modified: datetime
    token: str | None = None
    crc32c: int | None = None
    content_type: str | None = None


class Storage(Protocol):
    """A place for objects. Every method raises InvalidKey for a bad key and Unavailable where the medium fails."""

    async def put(
        self,
        key: str,
        data: bytes,
        *,
        content_type: str | None = None,
        if_absent: bool = False,
        if_token: str | None = None,
    ) -> Meta:
        """Stores a small object, durably. Raises AlreadyExists (if_absent) and Conflict (if_token)."""
        ...

    async def put_stream(
        self,
        key: str,
        chunks: AsyncIterator[bytes],
        *,
        size: int | None,
        content_type: str | None = None,
        crc32c: int | None = None,
        if_absent: bool = False,
        sealed: Sealed | None = None,
    ) -> Meta:
        """Stores a body of any size in bounded memory, durably; when cancelled, it leaves nothing.

        Raises BodyMismatch if the body is not of `size` and `crc32c` where given, AlreadyExists (if_absent), and
        whatever `chunks` raises, or `sealed`, which is called at most once.
        """
        ...

    async def get(self, key: str, *, max_bytes: int) -> tuple[bytes, Meta]:
        """Reads a whole small object. Raises NotFound, TooLarge."""
        ...

    def stream(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        """Reads the bytes from `start` up to, not including, `end`. Raises NotFound at the first step."""
        ...

    async def stat(self, key: str) -> Meta | None:
        """Describes an object without reading it; None if there is none."""
        ...

    def list(self, prefix: str, *, delimiter: bool = False, after: str = "") -> AsyncGenerator[Meta, None]:
        """Lists what is below `prefix` ("" or a folder ending in "/"), sorted by key, only keys beyond `after`.

        With `delimiter` one level deep, folders included. An empty folder may be listed or not. Names that no key
        can have are left out.
        """
        ...

    async def delete(self, key: str) -> None:
        """Removes an object; a missing one is no error."""
        ...

    async def make_folders(self, prefixes: Sequence[str]) -> None:
        """Makes folders (each ending in "/"), where the engine has folders."""
        ...

    async def clear(self, prefix: str, *, keep: str = "") -> Sequence[str]:
        """Removes a folder (ending in "/") with all that is below it, of any origin, except the key `keep`.

        Returns the paths in it, at most MOST_LEFT, of what the engine may not or cannot remove.
        """
        ...

    async def sweep(self) -> int:
        """Removes files that killed writers left a day ago. Returns the number; 0 where there can be none."""
        ...

    async def sign(self, key: str, *, ttl: timedelta) -> str | None:
        """Returns a URL that reads the object without credentials; None where the engine cannot sign."""
        ...

    def local_path(self, key: str) -> AbstractAsyncContextManager[Path]:
        """Yields the path of a file with the object's content, which is valid within the context. Raises NotFound."""
        ...

    async def close(self) -> None:
        """Closes the engine; no call may be under way."""
        ...


class StorageError(Exception):
    """A storage call failed. The text names the key and the cause, and is safe to show to a caller."""


class NotFound(StorageError):
    """No object has this key."""


class AlreadyExists(StorageError):
    """The key was to be created and is taken. `size` and `crc32c` are of what was read of a stream until then."""

    def __init__(self, message: str, *, size: int = 0, crc32c: int = 0) -> None:
        super().__init__(message)
        self.size = size
        self.crc32c = crc32c


class Conflict(StorageError):
    """The object changed since its token was read."""


class BodyMismatch(StorageError):
    """The body's length or checksum is not the announced one; nothing was stored."""


class TooLarge(StorageError):
    """The object is larger than the reader's bound."""


class Unavailable(StorageError):
    """The medium failed for now; the text names the cause. `status` is what an object store answered, if it did."""

    def __init__(self, message: str, *, errno: int | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.errno = errno
        self.status = status


class InvalidKey(StorageError):
    """The key breaks a rule, or leads out of the storage."""


class NameTaken(InvalidKey):
    """The disk takes the name for another one that exists, since they differ only by case; no later try will do."""


class Unsupported(StorageError):
    """The URL or an option names what no engine here offers."""


def check_body(key: str, *, size: int, crc32c: int, wanted_size: int | None, wanted_crc32c: int | None) -> None:
    """Raises BodyMismatch unless a body that was read to its end is the announced one."""
    if wanted_size is not None and size != wanted_size:
        raise BodyMismatch(f"the body of {key!r} has {size} bytes where {wanted_size} were announced")
    if wanted_crc32c is not None and crc32c != wanted_crc32c:
        raise BodyMismatch(f"the body of {key!r} has the CRC32C {crc32c:08x} where {wanted_crc32c:08x} was announced")


def check_present(key: str, meta: Meta | None) -> Meta:
    """Returns what `stat` found. Raises NotFound if that is nothing."""
    if meta is None:
        raise NotFound(f"there is no {key!r}")
    return meta


def check_absent(key: str, meta: Meta | None) -> None:
    """Raises AlreadyExists if `stat` found something."""
    if meta is not None:
        raise AlreadyExists(f"{key!r} exists already")
