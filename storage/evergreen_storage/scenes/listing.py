"""Lists a project's scenes, and what is in the folders of one."""

import errno
import logging
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Final

from evergreen_storage.keys import FOLDERS, id_error, path_error
from evergreen_storage.parallel import map_concurrently
from evergreen_storage.scenes.errors import UnsupportedSchema
from evergreen_storage.scenes.index import INDEX, SceneIndex, scene_folder
from evergreen_storage.scenes.values import SceneSummary
from evergreen_storage.storage import EPOCH, InvalidKey, Meta, NotFound, Storage, TooLarge, Unavailable

logger = logging.getLogger(__name__)

_MOST_FILES: Final = 50_000
# Errors of one file or folder, such as a missing permission.
_OF_ONE_FILE: Final = frozenset(
    {errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EIO, errno.EUCLEAN, errno.EBADMSG}
)


async def list_files(storage: Storage, folder: str) -> Mapping[str, Mapping[str, Meta] | None]:
    """Lists what is in each folder of a scene under names that an asset can have, by path, up to 50,000 in all.

    None for a folder that cannot be listed, or not to its end.
    """
    found: dict[str, Mapping[str, Meta] | None] = {}
    left = _MOST_FILES
    for name in FOLDERS:
        files: Mapping[str, Meta] | None
        try:
            files = await _files(storage, folder, name, most=left)
        except InvalidKey:
            files = {}  # a symbolic link, in which no file of ours can lie
        except Unavailable as exc:
            if exc.errno not in _OF_ONE_FILE:
                raise
            logger.warning("folder cannot be listed", extra={"folder": f"{folder}{name}/", "cause": str(exc)})
            files = None
        found[name] = files
        left -= len(files or ())
    return found


async def _files(storage: Storage, folder: str, name: str, *, most: int) -> Mapping[str, Meta] | None:
    found: dict[str, Meta] = {}
    async with aclosing(storage.list(f"{folder}{name}/", delimiter=True)) as entries:
        async for meta in entries:
            path = meta.key.removeprefix(folder)
            if path_error(path) is None:
                if len(found) == most:
                    return None
                found[path] = meta
    return found


async def list_scenes(
    storage: Storage, index: SceneIndex, project_id: str, *, limit: int, after: str
) -> Sequence[SceneSummary]:
    """Lists up to `limit` scenes of a project beyond the id `after`, in the order of their folders."""
    prefix = f"projects/{project_id}/"
    found: list[SceneSummary] = []
    async with aclosing(storage.list(prefix, delimiter=True, after=f"{prefix}{after}/" if after else "")) as folders:
        while len(found) < limit:
            scene_ids: list[str] = []
            async for meta in folders:
                scene_id = meta.key.removeprefix(prefix).removesuffix("/")
                if meta.key.endswith("/") and id_error("scene", scene_id) is None:
                    scene_ids.append(scene_id)
                if len(scene_ids) == limit - len(found):
                    break
            if not scene_ids:
                break
            summaries = await map_concurrently(
                lambda scene_id: _summary(storage, index, project_id, scene_id), scene_ids
            )
            found += [summary for summary in summaries if summary is not None]
    return found


async def _summary(storage: Storage, index: SceneIndex, project_id: str, scene_id: str) -> SceneSummary | None:
    try:
        scene = await index.read(project_id, scene_id)
    except NotFound:
        return None  # a folder that is not ours
    except UnsupportedSchema:
        meta = await storage.stat(f"{scene_folder(project_id, scene_id)}{INDEX}")
        return None if meta is None else _unread(project_id, scene_id, "UNSUPPORTED", meta.modified)
    except (InvalidKey, TooLarge, Unavailable) as exc:
        # What is wrong with the files of one scene must not hide the others.
        if isinstance(exc, Unavailable) and exc.errno not in _OF_ONE_FILE:
            raise
        about = {"project_id": project_id, "scene_id": scene_id, "cause": str(exc)}
        logger.warning("scene cannot be read", extra=about)
        return _unread(project_id, scene_id, "UNREADABLE", EPOCH)
    return SceneSummary(
        project_id=project_id,
        id=scene_id,
        status=scene.status,
        created_at=scene.created_at,
        updated_at=scene.updated_at,
        video_requests=len(scene.video_requests),
        completed_videos=len(scene.completed_videos),
        image_requests=len(scene.image_requests),
        completed_images=len(scene.completed_images),
        audio_requests=len(scene.audio_requests),
        completed_audio=len(scene.completed_audio),
    )


def _unread(project_id: str, scene_id: str, status: str, at: datetime) -> SceneSummary:
    return SceneSummary(project_id=project_id, id=scene_id, status=status, created_at=at, updated_at=at)
