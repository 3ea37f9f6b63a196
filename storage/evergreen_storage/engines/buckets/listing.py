"""Lists an object store through obstore: sorted, lazily, and in spite of keys that this service does not write.

obstore fails a whole page of a listing for one key with an empty, `.` or `..` part, or a control character. A page
that fails is therefore listed again folder by folder, so that only the folder which holds such a key itself is left.
There such keys sort before every valid name, so the listing continues after them.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, Protocol

import obstore

from evergreen_storage.engines.buckets.errors import UnreadableKey, translated
from evergreen_storage.keys import is_name
from evergreen_storage.storage import NotFound, Unavailable

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore

_PAGE: Final = 1000
# Sorts after every valid name, and before the "0" that follows "/".
_LAST: Final = "~"


class Listing(Protocol):
    """Lists a folder ("" or ending in "/") beyond a key, sorted by key; folders are texts that end in "/"."""

    def __call__(
        self, store: "ObjectStore", folder: str, after: str
    ) -> "AsyncGenerator[ObjectMeta | str, None] | AsyncGenerator[ObjectMeta, None]": ...


async def tree(store: "ObjectStore", folder: str, after: str) -> "AsyncGenerator[ObjectMeta, None]":
    """Lists all objects below a folder ("" or ending in "/") beyond a key, sorted by key; only valid keys."""
    last = after
    try:
        async with aclosing(_pages(store, folder, after)) as pages:
            async for meta in pages:
                if is_key(meta["path"]):
                    yield meta
                    last = meta["path"]
        return
    except UnreadableKey:
        pass
    async with aclosing(level(store, folder, last)) as entries:
        async for entry in entries:
            if not isinstance(entry, str):
                yield entry
                continue
            async with aclosing(tree(store, entry, last)) as inside:
                async for meta in inside:
                    yield meta


async def level(store: "ObjectStore", folder: str, after: str) -> "AsyncGenerator[ObjectMeta | str, None]":
    """Lists what is directly in a folder, folders as texts that end in "/"; those that contain `after` are repeated."""
    prefix = folder.removesuffix("/")
    try:
        with translated(folder or "the storage", "listed"):
            found = await obstore.list_with_delimiter_async(store, prefix or None)
    except UnreadableKey:
        async for entry in _after_unreadable_keys(store, folder, after):
            yield entry
        return
    entries: dict[str, ObjectMeta | str] = {meta["path"]: meta for meta in found["objects"]}
    entries |= {f"{path}/": f"{path}/" for path in found["common_prefixes"]}
    for key in sorted(entries):
        inside = key.removeprefix(folder).removesuffix("/")
        if key.startswith(folder) and is_name(inside) and (key > after or after.startswith(key)):
            yield entries[key]


async def folders(store: "ObjectStore", folder: str, after: str) -> "AsyncGenerator[ObjectMeta | str, None]":
    """Lists like `level`, lazily and beyond `after`: reads from folder to folder, and skips long ones."""
    seen = after
    position = f"{after}{_LAST}" if after.endswith("/") else after
    while True:
        read, jump = 0, ""
        try:
            async with aclosing(_pages(store, folder, position)) as pages:
                async for meta in pages:
                    read += 1
                    name, slash, _ = meta["path"].removeprefix(folder).partition("/")
                    entry = f"{folder}{name}{slash}"
                    if entry != seen and entry > after and is_name(name):
                        yield entry if slash else meta
                        seen = entry
                    elif slash and read >= _PAGE:
                        jump = f"{entry}{_LAST}"
                        break
        except UnreadableKey:
            async for other in level(store, folder, seen):
                if (other if isinstance(other, str) else other["path"]) > seen:
                    yield other
            return
        if not jump or jump == position:
            return
        position = jump


def is_key(path: str) -> bool:
    """Returns whether a key is one that this service could have written."""
    return all(map(is_name, path.split("/")))


async def _pages(store: "ObjectStore", folder: str, after: str) -> "AsyncGenerator[ObjectMeta, None]":
    offset = after if after > folder else None
    with translated(folder or "the storage", "listed"):
        async for page in obstore.list(store, folder.removesuffix("/") or None, offset=offset, chunk_size=_PAGE):
            for meta in page:
                # The folder's own marker, an empty object "FOLDER/", comes without its slash.
                if meta["path"].startswith(folder):
                    yield meta


async def _after_unreadable_keys(
    store: "ObjectStore", folder: str, after: str
) -> "AsyncGenerator[ObjectMeta | str, None]":
    # Of the valid names only "0" itself does not sort after this.
    first = f"{folder}0"
    seen = after
    try:
        if first > after:
            try:
                with translated(first, "listed"):
                    yield await obstore.head_async(store, first)
            except NotFound:
                pass
        async for meta in _pages(store, folder, max(first, after)):
            name, slash, _ = meta["path"].removeprefix(folder).partition("/")
            entry = f"{folder}{name}{slash}"
            if entry != seen and is_name(name):
                yield entry if slash else meta
                seen = entry
    except UnreadableKey as exc:
        raise Unavailable(
            f"the folder {folder!r} cannot be listed because of a foreign key in it, {exc}: remove or rename it"
        ) from None
