"""What the store has of a film: which files of callers, by their content, and which made outputs are gone."""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import Final

from evergreen_server.film.composing.compose import File
from evergreen_server.film.runs.looking import Store
from evergreen_server.film.runs.rows import FilmOutput
from evergreen_server.runtime.threads import OwnThreads
from evergreen_storage import Meta, NotFound, SceneStore
from evergreen_storage.checksums import extend_crc32c

__all__ = ["Surveyor"]

MOST_HASHES: Final = 10_000
"""Files whose content is remembered."""


class Surveyor:
    """Reads files of scenes. Projects get the threads for it in turn."""

    def __init__(self, *, scenes: SceneStore, threads: OwnThreads) -> None:
        self._scenes = scenes
        self._threads = threads
        self._hashes: dict[tuple[str, str, str, int, datetime], str] = {}

    async def survey(self, project_id: str, files: Iterable[File], outputs: Iterable[FilmOutput]) -> Store:
        """Returns what is there of these files, and of these outputs. Raises StorageError."""
        found: dict[File, str] = {}
        for scene_id, asset in sorted(set(files)):
            if (sha256 := await self.sha256(project_id, scene_id, asset)) is not None:
                found[scene_id, asset] = sha256
        gone, unknown = await self._compare(project_id, outputs)
        return Store(files=found, gone=gone, unknown=unknown)

    async def glance(self, project_id: str, files: Iterable[File], outputs: Iterable[FilmOutput]) -> Store:
        """Returns what `survey` does; a file that has its size and time of before is not read again.

        For callers to see, not to decide by: within the resolution of such a time another file may have come. Raises
        StorageError.
        """
        found: dict[File, str] = {}
        wanted = sorted(set(files))
        for scene_id in sorted({scene_id for scene_id, _ in wanted}):
            listed = await self._scenes.files(project_id, scene_id)
            for place in (place for place in wanted if place[0] == scene_id):
                meta = (listed.get(place[1].partition("/")[0]) or {}).get(place[1])
                if meta is not None and (sha256 := await self._known(project_id, place, meta)) is not None:
                    found[place] = sha256
        gone, unknown = await self._compare(project_id, outputs)
        return Store(files=found, gone=gone, unknown=unknown)

    async def _known(self, project_id: str, place: File, meta: Meta) -> str | None:
        key = (project_id, *place, meta.size, meta.modified)
        # Moved to the end, so that what was not asked for for long goes first.
        sha256 = self._hashes.pop(key, None) or await self.sha256(project_id, *place)
        if sha256 is not None:
            self._hashes[key] = sha256
            if len(self._hashes) > MOST_HASHES:
                del self._hashes[next(iter(self._hashes))]
        return sha256

    async def _compare(self, project_id: str, outputs: Iterable[FilmOutput]) -> tuple[frozenset[File], frozenset[File]]:
        """Returns which files of outputs are not there, or not as long as recorded, and of which nobody can tell."""
        made = {(row.source.scene_id, row.source.asset): row.size_bytes for row in outputs if row.source is not None}
        gone, unknown = set[File](), set[File]()
        for scene_id in sorted({scene_id for scene_id, _ in made}):
            listed = await self._scenes.files(project_id, scene_id)
            for place in made:
                if place[0] != scene_id:
                    continue
                here = _in_folder(listed, place[1])
                if here is None:
                    unknown.add(place)
                elif here != made[place]:
                    gone.add(place)
        return frozenset(gone), frozenset(unknown)

    async def sha256(self, project_id: str, scene_id: str, asset: str, *, crc32c: int | None = None) -> str | None:
        """Returns the SHA-256 (hex) of a file; None if there is none, or one of another checksum.

        Raises StorageError.
        """
        content = _Content()
        try:
            async for chunk in self._scenes.open(project_id, scene_id, asset):
                await self._threads.run(partial(content.read, chunk), owner=project_id)
        except NotFound:
            return None
        return content.digest.hexdigest() if crc32c in (None, content.crc32c) else None


class _Content:
    """What is known of the bytes that were read so far."""

    def __init__(self) -> None:
        self.digest, self.crc32c = hashlib.sha256(), 0

    def read(self, chunk: bytes) -> None:
        self.digest.update(chunk)
        self.crc32c = extend_crc32c(self.crc32c, chunk)


def _in_folder(listed: Mapping[str, Mapping[str, Meta] | None], asset: str) -> int | None:
    """Returns the size of a listed file; -1 if there is none, None if its folder could not be listed."""
    folder = listed.get(asset.partition("/")[0])
    if folder is None:
        return None
    return folder[asset].size if asset in folder else -1
