"""Reads and writes `scene.json`: compare-and-swap between processes, one shared write within, rebuilt when corrupt."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import count
from typing import Final, NamedTuple, TypeAlias

from .batches import Batches
from .checksums import extend_crc32c
from .content_types import content_type_of
from .document import (
    ASSET_FOLDERS,
    Corrupt,
    Document,
    add_assets,
    add_job,
    decode,
    decode_sidecar,
    encode,
    fingerprint,
    new_document,
    scene_of,
    touch,
)
from .keys import path_fault
from .storage import AlreadyExists, Conflict, Meta, NotFound, Storage
from .values import Asset, Scene

logger = logging.getLogger(__name__)

Change: TypeAlias = Callable[[Document], None]


class _Wish(NamedTuple):
    """A change that is to be made, and the assets whose description came along with it."""

    change: Change
    known: Sequence[Asset]


INDEX: Final = "metadata/scene.json"

_MAX_BYTES: Final = 64 << 20
_TRIES: Final = 10
_MIN_PAUSE: Final = 0.005
_MAX_PAUSE: Final = 0.2


class SceneIndex:
    """The documents of all scenes. `jitter` gives numbers from 0 to 1, which spread the tries of competing writers."""

    def __init__(self, storage: Storage, *, clock: Callable[[], datetime], jitter: Callable[[], float]) -> None:
        self._storage = storage
        self._clock = clock
        self._jitter = jitter
        self._batches: Batches[_Wish, Scene] = Batches(self._write)

    async def read(self, project_id: str, scene_id: str) -> Scene:
        """Reads a scene, and mends its document if it is corrupt. Raises NotFound, UnsupportedSchema."""
        data, _ = await self._storage.get(f"{scene_folder(project_id, scene_id)}{INDEX}", max_bytes=_MAX_BYTES)
        try:
            return scene_of(decode(data, project_id=project_id, scene_id=scene_id))
        except Corrupt:
            return await self.update(project_id, scene_id, _no_change)

    async def update(self, project_id: str, scene_id: str, change: Change, *, known: Sequence[Asset] = ()) -> Scene:
        """Makes an idempotent change; a document that is missing or corrupt is made from what the scene holds.

        The files of `known` assets need not be read for that.
        Raises Conflict where other writers were quicker at every try, and UnsupportedSchema.
        """
        return await self._batches.submit(f"{project_id}/{scene_id}", _Wish(change, known))

    async def make(self, project_id: str, scene_id: str) -> Scene:
        """Makes a scene's document unless there is one."""
        return await self.update(project_id, scene_id, _no_change)

    async def _write(self, scene: str, wishes: Sequence[_Wish]) -> Scene:
        project_id, _, scene_id = scene.partition("/")
        key = f"{scene_folder(project_id, scene_id)}{INDEX}"
        rebuilt: Document | None = None
        for attempt in range(_TRIES):
            data, token = await self._get(key)
            held: Document | None = None
            if data is not None:
                try:
                    held = decode(data, project_id=project_id, scene_id=scene_id)
                except Corrupt as fault:
                    logger.warning(
                        "scene index corrupt, rebuilding it",
                        extra={"project_id": project_id, "scene_id": scene_id, "cause": str(fault)},
                    )
                    await self._set_aside(key, data)
            if held is None and rebuilt is None:
                known = {asset.path: asset for wish in wishes for asset in wish.known}
                rebuilt = await self._rebuild(project_id, scene_id, known)
            document = held or rebuilt or {}
            before = fingerprint(document)
            for wish in wishes:
                wish.change(document)
            if held is not None and fingerprint(document) == before:
                return scene_of(document)
            touch(document, self._clock())
            try:
                await self._storage.put(
                    key, encode(document), content_type="application/json", if_absent=data is None, if_token=token
                )
                return scene_of(document)
            except (Conflict, AlreadyExists):
                longest = min(_MAX_PAUSE, _MIN_PAUSE * 4 ** (attempt + 1))
                await asyncio.sleep(_MIN_PAUSE + (longest - _MIN_PAUSE) * self._jitter())
        raise Conflict(f"the scene.json of {scene} was changed by others at each of {_TRIES} tries; try again")

    async def _get(self, key: str) -> tuple[bytes | None, str | None]:
        try:
            data, meta = await self._storage.get(key, max_bytes=_MAX_BYTES)
        except NotFound:
            return None, None
        return data, meta.token

    async def _set_aside(self, key: str, data: bytes) -> None:
        for number in count(1):
            aside = f"{key}.corrupt-{number}"
            try:
                await self._storage.put(aside, data, if_absent=True)
                return
            except AlreadyExists:
                if (await self._get(aside))[0] == data:
                    return  # another writer, or one that was killed, did it already

    async def _rebuild(self, project_id: str, scene_id: str, known: Mapping[str, Asset]) -> Document:
        folder = scene_folder(project_id, scene_id)
        files = {meta.key.removeprefix(folder): meta async for meta in self._storage.list(folder)}
        jobs: list[str] = []
        assets = dict(known)
        for path in files:
            place, _, name = path.partition("/")
            if place == "metadata" and name.endswith(".json") and path != INDEX:
                named = await self._sidecar(f"{folder}{path}", job_id=name.removesuffix(".json"))
                if named is not None:
                    jobs.append(name.removesuffix(".json"))
                    assets |= {asset.path: asset for asset in named}
        # The files decide what there is; the sidecars only tell more about them.
        present = {path: meta for path, meta in files.items() if _is_asset(path)}
        assets = {path: asset for path, asset in assets.items() if _is_of(asset, present.get(path))}
        for path, meta in present.items():
            if path not in assets:
                with suppress(NotFound):  # deleted meanwhile
                    assets[path] = await describe(self._storage, path, meta)
        now = self._clock()
        created_at = min((asset.created_at for asset in assets.values()), default=now)
        document = new_document(project_id, scene_id, created_at=created_at, updated_at=now)
        add_assets(document, [assets[path] for path in sorted(assets)])
        for job_id in jobs:
            add_job(document, job_id, completed=True)
        return document

    async def _sidecar(self, key: str, *, job_id: str) -> list[Asset] | None:
        try:
            data, _ = await self._storage.get(key, max_bytes=_MAX_BYTES)
            return decode_sidecar(data, job_id=job_id)
        except NotFound:
            return None
        except Corrupt as fault:
            logger.warning("sidecar not usable", extra={"key": key, "cause": str(fault)})
            return None


def scene_folder(project_id: str, scene_id: str) -> str:
    """Tells where in the storage a scene lies."""
    return f"projects/{project_id}/{scene_id}/"


async def describe(storage: Storage, path: str, meta: Meta) -> Asset:
    """Makes an asset of a stored object, reading it where the engine does not know its checksum."""
    crc32c = meta.crc32c
    if crc32c is None:
        crc32c = 0
        async for block in storage.stream(meta.key):
            crc32c = extend_crc32c(crc32c, block)
    return Asset(
        path=path,
        content_type=meta.content_type or content_type_of(path),
        size_bytes=meta.size,
        crc32c=crc32c,
        created_at=meta.modified,
    )


def _is_asset(path: str) -> bool:
    return path.partition("/")[0] in ASSET_FOLDERS and path_fault(path) is None


def _is_of(asset: Asset, meta: Meta | None) -> bool:
    return meta is not None and meta.size == asset.size_bytes


def _no_change(document: Document) -> None:
    pass
