"""Removes all that is below a folder of an object store, also under keys that this service does not write.

obstore has no way to name a key with an empty, `.` or `..` part or a control character, nor the marker of a folder,
an empty object "FOLDER/". Such are left, and returned.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import obstore

from evergreen_storage.engines.buckets.errors import UnreadableKey, translated
from evergreen_storage.parallel import map_concurrently
from evergreen_storage.storage import MOST_LEFT, NotFound

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore

_PAGE: Final = 1000


async def clear(store: "ObjectStore", folder: str, *, keep: str) -> list[str]:
    """Removes what is below a folder (ending in "/") except the key `keep`. Returns up to MOST_LEFT keys left."""
    left: list[str] = []

    async def remove(meta: "ObjectMeta") -> None:
        path = meta["path"]
        if path == keep:
            return
        if not meta["size"] and await _is_marker(store, path):
            left.append(f"{path}/")
            return
        with translated(path, "deleted"):
            await obstore.delete_async(store, path)

    async with aclosing(_pages(store, folder, left)) as pages:
        async for page in pages:
            await map_concurrently(remove, page)
    return sorted(set(left))[:MOST_LEFT]


async def _pages(store: "ObjectStore", folder: str, left: list[str]) -> "AsyncGenerator[Sequence[ObjectMeta], None]":
    """Lists a folder by pages; where a key cannot be read, folder by folder as far as possible."""
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            async for page in _listed(store, here, ""):
                yield page
            continue
        except UnreadableKey as exc:
            bad = str(exc).strip('"')
        try:
            with translated(here, "listed"):
                found = await obstore.list_with_delimiter_async(store, here.removesuffix("/"))
        except UnreadableKey:
            left.append(bad)
            # Such a key sorts before "0"; other keys there may be left with it.
            async for page in _listed(store, here, f"{here}0"):
                yield page
            continue
        yield found["objects"]
        waiting += [f"{inner}/" for inner in found["common_prefixes"]]


async def _listed(store: "ObjectStore", folder: str, after: str) -> "AsyncGenerator[Sequence[ObjectMeta], None]":
    with translated(folder, "listed"):
        async for page in obstore.list(store, folder.removesuffix("/"), offset=after or None, chunk_size=_PAGE):
            # The folder's own marker is listed without its slash, as if it were beside the folder.
            yield [meta for meta in page if f"{meta['path']}/".startswith(folder)]


async def _is_marker(store: "ObjectStore", path: str) -> bool:
    try:
        with translated(path, "read"):
            await obstore.head_async(store, path)
    except NotFound:
        return True
    return False
