"""Copies an object into a temporary file, for engines whose objects are not files of this machine."""

import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol, TypeVar

T = TypeVar("T")


class Run(Protocol):
    """Runs a blocking call in a thread."""

    async def __call__(self, call: Callable[..., T], /, *args: object) -> T: ...


@asynccontextmanager
async def local_copy(
    run: Run, key: str, blocks: AsyncIterator[bytes], *, temp_dir: Path | None
) -> AsyncGenerator[Path, None]:
    """Yields a file of the object's name and content, which is removed when the context ends.

    Raises what `blocks` raises.
    """
    first = await anext(blocks, b"")
    folder = await run(_temporary_folder, temp_dir)
    try:
        path = Path(folder.name, key.rpartition("/")[2])
        await run(path.write_bytes, first)
        async for block in blocks:
            await run(_append, path, block)
        yield path
    finally:
        await run(folder.cleanup)


def _temporary_folder(temp_dir: Path | None) -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="evergreen-", dir=temp_dir)


def _append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)
