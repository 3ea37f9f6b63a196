"""Opens the storage that a URL names."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .local import LocalStorage
from .memory import MemoryStorage
from .storage import Storage, Unsupported


def _utc_now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def open_storage(
    url: str, *, clock: Callable[[], datetime] = _utc_now, **options: str
) -> AsyncGenerator[Storage, None]:
    """Opens `file:///absolute/folder` or `memory://`, and closes it at the end.

    Raises Unsupported for what no engine here offers, and Unavailable if the folder cannot be written.
    """
    storage = await _open(url, clock, options)
    try:
        yield storage
    finally:
        await storage.close()


async def _open(url: str, clock: Callable[[], datetime], options: dict[str, str]) -> Storage:
    # A URL may carry credentials: no text here repeats it.
    parts = urlsplit(url)
    if parts.scheme not in ("file", "memory"):
        raise Unsupported(
            f"the storage scheme {parts.scheme or '(none)'!r} is not supported: use file:///FOLDER or memory://"
        )
    if options or parts.query or parts.fragment:
        names = ", ".join(sorted(options)) or "those after the folder"
        raise Unsupported(f"{parts.scheme}:// storage has no options, so these are not supported: {names}")
    if parts.scheme == "memory":
        if parts.netloc or parts.path.strip("/"):
            raise Unsupported("memory:// storage has no host and no path")
        return MemoryStorage(clock=clock)
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/") or "\0" in unquote(parts.path):
        raise Unsupported("file:// storage needs an absolute folder and no host: file:///FOLDER")
    return await LocalStorage.open(Path(unquote(parts.path)), clock=clock)
