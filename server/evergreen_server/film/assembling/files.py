"""Brings files of scenes to this machine's disk, each checked to be the one that was looked at."""

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

from evergreen_server.film.assembling.material import CutRefused, FileLost
from evergreen_server.ports.timeline import Source
from evergreen_server.runtime.threads import OwnThreads
from evergreen_storage import NotFound, SceneStore
from evergreen_storage.parallel import map_concurrently

__all__ = ["LocalFiles", "local_files"]


@asynccontextmanager
async def local_files(
    *, scenes: SceneStore, threads: OwnThreads, project_id: str, work: Path, most_bytes: int
) -> "AsyncIterator[LocalFiles]":
    """Opens a folder for copies within `work`, which lasts as long as the context."""
    folder = work / f"film-{uuid4().hex}"
    folder.mkdir()
    try:
        yield LocalFiles(scenes=scenes, threads=threads, project_id=project_id, folder=folder, most_bytes=most_bytes)
    finally:
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))


class LocalFiles:
    """Copies in a folder that belongs to one film, and is removed by whoever made it.

    Copies, since a file of a scene may change while it is read again and again. They take `most_bytes` at most.
    """

    def __init__(
        self, *, scenes: SceneStore, threads: OwnThreads, project_id: str, folder: Path, most_bytes: int
    ) -> None:
        self._scenes = scenes
        self._threads = threads
        self._project_id = project_id
        self.folder = folder
        self._most_bytes = most_bytes
        self._bytes = 0
        self._paths: dict[str, Path] = {}

    async def path(self, source: Source) -> Path:
        """Returns the copy of a file. Raises FileLost, CutRefused where there is too much, and StorageError."""
        if source.sha256 not in self._paths:
            self._paths[source.sha256] = await self._bring(source)
        return self._paths[source.sha256]

    async def paths(self, sources: Iterable[Source]) -> Mapping[str, Path]:
        """Returns the copies of many files, by their SHA-256. Raises what `path` raises."""
        # Each content once, wherever it lies.
        contents = {source.sha256: source for source in sources}
        found = await map_concurrently(self.path, contents.values())
        return dict(zip(contents, found, strict=True))

    async def _bring(self, source: Source) -> Path:
        path, digest = self.folder / f"{source.sha256}.copy", hashlib.sha256()
        path.touch()
        try:
            async for chunk in self._scenes.open(self._project_id, source.scene_id, source.asset):
                self._bytes += len(chunk)
                if self._bytes > self._most_bytes:
                    text = f"its files have more than the {self._most_bytes:,} bytes that one film may have"
                    raise CutRefused(text, code="RENDER_FAILED")
                await self._threads.run(partial(_keep, path, chunk, digest.update), owner=self._project_id)
        except NotFound as exc:
            raise FileLost((source.scene_id, source.asset)) from exc
        if digest.hexdigest() != source.sha256:
            raise FileLost((source.scene_id, source.asset))
        return path


def _keep(path: Path, chunk: bytes, digest: Callable[[bytes], None]) -> None:
    # Opened for each chunk: nobody could close a file whose thread outlives its caller.
    with path.open("ab") as file:
        file.write(chunk)
    digest(chunk)
