"""Gives clips that go on where another one ends their first frame: the last of that clip, as a picture of their scene.

The same clip makes the same picture under the same name, so that a step which is taken again finds it.
"""

from dataclasses import replace
from pathlib import Path
from typing import Final

from evergreen_server.film.assembling.files import local_files
from evergreen_server.film.assembling.material import CutRefused
from evergreen_server.film.composing.compose import Composed
from evergreen_server.jobs.model.names import choices, first_frame_path
from evergreen_server.ports.media import MediaRefused, MediaTools, Picture
from evergreen_server.ports.timeline import Source
from evergreen_server.runtime.threads import OwnThreads
from evergreen_server.runtime.turns import Turns
from evergreen_server.scenes.writers import SceneWriters
from evergreen_storage import AssetConflict, SceneStore

__all__ = ["AT_ONCE", "Beginnings"]

AT_ONCE: Final = 2
"""Clips that lie on the disk for it at a time."""
MOST_BYTES: Final = 512 * 1024 * 1024
"""Of one clip."""
_EXTENSIONS: Final = {"image/png": "png", "image/jpeg": "jpg"}


class Beginnings:
    """Takes last frames out of clips, for projects in turn."""

    def __init__(
        self, *, scenes: SceneStore, writers: SceneWriters, tools: MediaTools, threads: OwnThreads, work: Path
    ) -> None:
        self._scenes = scenes
        self._writers = writers
        self._tools = tools
        self._threads = threads
        self._work = work
        self._turns = Turns(AT_ONCE)

    async def of(self, composed: Composed, clip: Source, project_id: str, scene_id: str) -> Composed:
        """Returns the request for a clip that goes on where `clip` ends, with the picture that it begins with.

        Raises MediaRefused for a clip of which no frame can be taken, FileLost for one that has changed or is gone, and
        SceneBusy, StorageError, MediaUnreachable and OSError, which may pass.
        """
        async with self._turns.of(project_id), self._writers.hold(project_id, scene_id):
            picture = await self._last_frame(clip, project_id)
            path = first_frame_path(composed.item_id, clip.sha256, _EXTENSIONS.get(picture.content_type, "png"))
            asset = await self._keep(picture, path, project_id, scene_id)
        (media,) = composed.spec.media
        return replace(composed, spec=replace(composed.spec, media=(replace(media, scene_id="", asset=asset),)))

    async def _last_frame(self, clip: Source, project_id: str) -> Picture:
        async with local_files(
            scenes=self._scenes,
            threads=self._threads,
            project_id=project_id,
            work=self._work,
            most_bytes=MOST_BYTES,
        ) as files:
            try:
                path = await files.path(clip)
            except CutRefused as exc:
                raise MediaRefused(f"the clip has more than {MOST_BYTES:,} bytes", reason="MEDIA_REFUSED") from exc
            return await self._tools.last_frame(path, owner=project_id)

    async def _keep(self, picture: Picture, path: str, project_id: str, scene_id: str) -> str:
        """Stores a picture, under the next name where the first is another file's; returns its path."""
        # It may be the first that the scene gets.
        await self._scenes.create(project_id, scene_id)
        for name in choices(path):
            try:
                stored = await self._scenes.add(project_id, scene_id, name, picture.data, picture.content_type)
            except AssetConflict:
                continue
            named = replace(stored, content_type=picture.content_type, width=picture.width, height=picture.height)
            await self._scenes.attach(project_id, scene_id, [named])
            return name
        raise MediaRefused(f"every name for {path} is another file's", reason="MEDIA_REFUSED")
