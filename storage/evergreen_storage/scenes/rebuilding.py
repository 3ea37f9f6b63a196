"""Rebuilds a scene's document from what is in its folders, within bounds."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import aclosing, suppress
from datetime import datetime
from typing import Final

from evergreen_storage.keys import path_error
from evergreen_storage.parallel import map_concurrently
from evergreen_storage.scenes.bounded import Corrupt
from evergreen_storage.scenes.description import describe
from evergreen_storage.scenes.document import (
    ASSET_FOLDERS,
    Document,
    add_assets,
    add_job,
    decode_sidecar,
    made_by,
    new_document,
)
from evergreen_storage.scenes.values import Asset
from evergreen_storage.storage import InvalidKey, Meta, NotFound, Storage, TooLarge
from evergreen_storage.threads import Threads

logger = logging.getLogger(__name__)

INDEX_NAME: Final = "scene.json"

_MOST_FILES: Final = 40_000
"""A document with more files would be too long to be read."""
_SIDECAR_BYTES: Final = 1 << 20
_READ_BYTES: Final = 256 << 20
"""The most that is read to compute the checksums of files without a sidecar."""
_SMALL: Final = 16 << 10


async def rebuild(
    storage: Storage,
    threads: Threads,
    folder: str,
    *,
    project_id: str,
    scene_id: str,
    known: Mapping[str, Asset],
    now: datetime,
) -> Document:
    """Rebuilds the document of the scene in a folder; `known` files need not be read.

    The files decide what there is, the sidecars say more about them. Any other file is read through for its
    checksum, the smallest first, and left out where that would be more than 256 MiB in all.
    """
    files: dict[str, Meta] = {}
    for name in ASSET_FOLDERS:
        found = await _files(storage, folder, name, most=_MOST_FILES - len(files))
        files |= {meta.key.removeprefix(folder): meta for meta in found}
    jobs: dict[str, str] = {}
    assets = dict(known)
    for job_id, named in await _sidecars(storage, threads, folder):
        jobs[job_id] = made_by(named)
        assets |= {asset.path: asset for asset in named}
    assets = {path: asset for path, asset in assets.items() if path in files and files[path].size == asset.size_bytes}
    left = _READ_BYTES
    for path in sorted(files.keys() - assets.keys(), key=lambda path: files[path].size):
        left -= files[path].size
        if left < 0:
            logger.warning("files left out of the scene index", extra={"folder": folder, "such_as": path})
            break
        with suppress(NotFound):  # deleted meanwhile
            assets[path] = await describe(storage, path, files[path])
    created_at = min((asset.created_at for asset in assets.values()), default=now)
    document = new_document(project_id, scene_id, created_at=created_at, updated_at=now)
    await threads.run(add_assets, document, [assets[path] for path in sorted(assets)])
    for job_id, makes in jobs.items():
        add_job(document, job_id, makes=makes, completed=True)
    return document


async def _files(storage: Storage, folder: str, name: str, *, most: int) -> Sequence[Meta]:
    found: list[Meta] = []
    try:
        async with aclosing(storage.list(f"{folder}{name}/", delimiter=True)) as entries:
            async for meta in entries:
                if path_error(meta.key.removeprefix(folder)) is not None:
                    continue
                if len(found) == most:
                    logger.warning("files left out of the scene index", extra={"folder": f"{folder}{name}/"})
                    break
                found.append(meta)
    except InvalidKey as exc:
        # A symbolic link, in which no file of ours can lie.
        logger.warning("folder cannot be listed", extra={"folder": f"{folder}{name}/", "cause": str(exc)})
    return found


async def _sidecars(storage: Storage, threads: Threads, folder: str) -> Sequence[tuple[str, Sequence[Asset]]]:
    async def read(key: str) -> tuple[str, Sequence[Asset]] | None:
        job_id = key.rpartition("/")[2].removesuffix(".json")
        try:
            data, _ = await storage.get(key, max_bytes=_SIDECAR_BYTES)
            if len(data) > _SMALL:
                return job_id, await threads.run(decode_sidecar, data, job_id=job_id)
            return job_id, decode_sidecar(data, job_id=job_id)
        except NotFound:
            return None
        except (Corrupt, TooLarge) as exc:
            logger.warning("sidecar not usable", extra={"key": key, "cause": str(exc)})
            return None

    keys = [meta.key for meta in await _files(storage, folder, "metadata", most=_MOST_FILES)]
    keys = [key for key in keys if key.endswith(".json") and not key.endswith(f"/{INDEX_NAME}")]
    return [named for named in await map_concurrently(read, keys) if named is not None]
