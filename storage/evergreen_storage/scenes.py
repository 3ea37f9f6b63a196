"""The scene tree: `projects/{project_id}/{scene_id}/{images,audio,videos,metadata,exports}/NAME`.

Files first, then the name: an asset is stored whole under a name that is never overwritten, then the job's sidecar,
then `scene.json`. So a crash leaves at most a file that no document names, and doing it all again changes nothing.

    NotFound      > SceneNotFound      there is no such scene
    AlreadyExists > AssetConflict      another content has this asset's name
    StorageError  > UnsupportedSchema  a newer version wrote scene.json (`document.py`)
"""

import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from .document import (
    Document,
    UnsupportedSchema,
    add_assets,
    add_job,
    encode_sidecar,
    remove_asset,
)
from .index import INDEX, SceneIndex, describe, scene_folder
from .keys import FOLDERS, Kind, id_fault, path_fault
from .storage import AlreadyExists, InvalidKey, Json, NotFound, Storage, extend_crc32c
from .values import Asset, Scene


class SceneNotFound(NotFound):
    """There is no such scene."""


class AssetConflict(AlreadyExists):
    """Another content has this asset's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneSummary:
    """One scene in a list. `status` is UNSUPPORTED where only a newer version of this service can read it."""

    project_id: str
    id: str
    status: str
    created_at: datetime
    updated_at: datetime


class SceneStore:
    """Keeps scenes and their assets in a storage. Raises InvalidKey for ids and paths that break a rule."""

    def __init__(
        self, storage: Storage, *, clock: Callable[[], datetime], jitter: Callable[[], float] = random.random
    ) -> None:
        self._storage = storage
        self._index = SceneIndex(storage, clock=clock, jitter=jitter)

    async def create(self, project_id: str, scene_id: str) -> Scene:
        """Makes a scene with its folders; one that exists already is returned as it is."""
        folder = _scene(project_id, scene_id)
        await self._storage.make_folders([f"{folder}{name}/" for name in FOLDERS])
        return await self._index.make(project_id, scene_id)

    async def get(self, project_id: str, scene_id: str) -> Scene:
        """Reads a scene. Raises SceneNotFound, UnsupportedSchema."""
        _scene(project_id, scene_id)
        try:
            return await self._index.read(project_id, scene_id)
        except NotFound as fault:
            raise SceneNotFound(f"there is no scene {project_id}/{scene_id}") from fault

    async def list(self, project_id: str, *, limit: int, after: str = "") -> Sequence[SceneSummary]:
        """Lists up to `limit` scenes beyond the id `after`, in the order of their folders (`a-b` before `a`)."""
        _check("project", project_id)
        if after:
            _check("scene", after)
        prefix = f"projects/{project_id}/"
        found: list[SceneSummary] = []
        folders = self._storage.list(prefix, delimiter=True, after=f"{prefix}{after}/" if after else "")
        async for meta in folders:
            if len(found) >= limit:
                break
            scene_id = meta.key.removeprefix(prefix).removesuffix("/")
            if meta.key.endswith("/") and id_fault("scene", scene_id) is None:
                with suppress(SceneNotFound):  # a folder that is not ours
                    found.append(await self._summary(project_id, scene_id))
        await folders.aclose()
        return found

    def key(self, project_id: str, scene_id: str, path: str) -> str:
        """Makes the storage key of an asset, `path` being FOLDER/NAME such as `videos/clip.mp4`."""
        fault = path_fault(path)
        if fault:
            raise InvalidKey(fault)
        return f"{_scene(project_id, scene_id)}{path}"

    async def add(self, project_id: str, scene_id: str, path: str, data: bytes, content_type: str) -> Asset:
        """Stores a small asset. One that is there already is adopted if its bytes are the same.

        Raises AssetConflict if they are not. The asset is named in scene.json only by `publish` or `record_request`.
        """
        key = self._own_key(project_id, scene_id, path)
        crc32c = extend_crc32c(0, data)
        try:
            meta = await self._storage.put(key, data, content_type=content_type, if_absent=True)
        except AlreadyExists:
            return await self._adopt(key, path, size=len(data), crc32c=crc32c, content_type=content_type)
        return replace(await describe(self._storage, path, replace(meta, crc32c=crc32c)), content_type=content_type)

    async def add_stream(
        self,
        project_id: str,
        scene_id: str,
        path: str,
        chunks: AsyncIterator[bytes],
        size: int | None,
        content_type: str,
    ) -> Asset:
        """Stores an asset of any size in bounded memory; otherwise like `add`. Raises BodyMismatch, AssetConflict."""
        key = self._own_key(project_id, scene_id, path)
        tally = _Tally(chunks)
        try:
            meta = await self._storage.put_stream(key, tally, size=size, content_type=content_type, if_absent=True)
        except AlreadyExists:
            # An engine may know before it read the body, which must be read to be compared.
            async for _ in tally:
                pass
            return await self._adopt(key, path, size=tally.size, crc32c=tally.crc32c, content_type=content_type)
        meta = replace(meta, crc32c=tally.crc32c)
        return replace(await describe(self._storage, path, meta), content_type=content_type)

    async def existing(self, project_id: str, scene_id: str, path: str) -> Asset | None:
        """Finds an asset that an earlier try stored, and reads it through; None if there is none.

        What scene.json tells of it (its size in pixels, its job) comes along. Raises AssetConflict if scene.json
        names another content.
        """
        key = self.key(project_id, scene_id, path)
        meta = await self._storage.stat(key)
        if meta is None:
            return None
        found = await describe(self._storage, path, meta)
        try:
            named = (await self.get(project_id, scene_id)).asset(path)
        except SceneNotFound:
            named = None
        if named is None:
            return found
        _compare(found, path, size=named.size_bytes, crc32c=named.crc32c)
        return named

    def open(
        self, project_id: str, scene_id: str, path: str, *, start: int = 0, end: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Reads an asset's bytes from `start` up to, not including, `end`. Raises NotFound at the first step."""
        return self._storage.stream(self.key(project_id, scene_id, path), start=start, end=end)

    def local_path(self, project_id: str, scene_id: str, path: str) -> AbstractAsyncContextManager[Path]:
        """Gives an asset as a file to read, for as long as the context lives. Raises NotFound."""
        return self._storage.local_path(self.key(project_id, scene_id, path))

    async def record_request(self, project_id: str, scene_id: str, job_id: str, assets: Sequence[Asset] = ()) -> Scene:
        """Names a job among the scene's video requests, and the assets that went in. Raises Conflict."""
        _scene(project_id, scene_id)
        _check("job", job_id)

        def change(document: Document) -> None:
            add_job(document, job_id, completed=False)
            add_assets(document, assets)

        return await self._index.update(project_id, scene_id, change)

    async def publish(
        self, project_id: str, scene_id: str, *, job_id: str, assets: Sequence[Asset], sidecar: Mapping[str, Json]
    ) -> None:
        """Makes a job's stored assets part of the scene: first its sidecar, then scene.json.

        Raises Conflict or Unavailable if that cannot be done for now; doing it again is safe.
        """
        folder = _scene(project_id, scene_id)
        _check("job", job_id)
        made = [replace(asset, job_id=job_id) for asset in assets]

        def change(document: Document) -> None:
            add_job(document, job_id, completed=True)
            add_assets(document, made)

        data = encode_sidecar(job_id, made, sidecar)
        await self._storage.put(f"{folder}metadata/{job_id}.json", data, content_type="application/json")
        await self._index.update(project_id, scene_id, change)

    async def discard(self, project_id: str, scene_id: str, path: str) -> None:
        """Removes an asset, first its name from scene.json, then the file; that it is gone is no error."""
        key = self._own_key(project_id, scene_id, path)
        with suppress(SceneNotFound):
            if (await self.get(project_id, scene_id)).asset(path) is not None:
                await self._index.update(project_id, scene_id, lambda document: remove_asset(document, path))
        await self._storage.delete(key)

    async def _summary(self, project_id: str, scene_id: str) -> SceneSummary:
        try:
            scene = await self.get(project_id, scene_id)
        except UnsupportedSchema:
            meta = await self._storage.stat(f"{scene_folder(project_id, scene_id)}{INDEX}")
            if meta is None:
                raise SceneNotFound(f"there is no scene {project_id}/{scene_id}") from None
            return SceneSummary(
                project_id=project_id,
                id=scene_id,
                status="UNSUPPORTED",
                created_at=meta.modified,
                updated_at=meta.modified,
            )
        return SceneSummary(
            project_id=project_id,
            id=scene_id,
            status=scene.status,
            created_at=scene.created_at,
            updated_at=scene.updated_at,
        )

    def _own_key(self, project_id: str, scene_id: str, path: str) -> str:
        if path.startswith("metadata/"):
            raise InvalidKey("the folder metadata is kept by the service itself")
        return self.key(project_id, scene_id, path)

    async def _adopt(self, key: str, path: str, *, size: int, crc32c: int, content_type: str) -> Asset:
        meta = await self._storage.stat(key)
        if meta is None:
            raise AssetConflict(f"{path!r} was deleted while it was stored again")
        found = await describe(self._storage, path, meta)
        _compare(found, path, size=size, crc32c=crc32c)
        return replace(found, content_type=content_type)


class _Tally:
    """Passes chunks on and counts them."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self.size = 0
        self.crc32c = 0

    def __aiter__(self) -> "_Tally":
        return self

    async def __anext__(self) -> bytes:
        chunk = await anext(self._chunks)
        self.size += len(chunk)
        self.crc32c = extend_crc32c(self.crc32c, chunk)
        return chunk


def _compare(found: Asset, path: str, *, size: int, crc32c: int) -> None:
    if (found.size_bytes, found.crc32c) != (size, crc32c):
        raise AssetConflict(
            f"{path!r} exists already with another content: {found.size_bytes} bytes with CRC32C "
            f"{found.crc32c:08x}, not {size} bytes with {crc32c:08x}"
        )


def _check(kind: Kind, value: str) -> None:
    fault = id_fault(kind, value)
    if fault:
        raise InvalidKey(fault)


def _scene(project_id: str, scene_id: str) -> str:
    _check("project", project_id)
    _check("scene", scene_id)
    return scene_folder(project_id, scene_id)
