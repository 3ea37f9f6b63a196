"""Lists a tree of folders in the order of its keys, one folder at a time."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

from evergreen_storage.storage import Meta


async def walk(
    entries: Callable[[str], Awaitable[Sequence[Meta]]], prefix: str, *, delimiter: bool, after: str
) -> AsyncGenerator[Meta, None]:
    """Yields what `Storage.list` does; `entries` returns what is in one folder, sorted by key."""
    # A stack in reverse order: the content of a folder comes before its parent's next entry.
    waiting = list(reversed(await entries(prefix)))
    while waiting:
        meta = waiting.pop()
        if meta.key.endswith("/") and not delimiter:
            if meta.key > after or after.startswith(meta.key):
                waiting += reversed(await entries(meta.key))
        elif meta.key > after:
            yield meta
