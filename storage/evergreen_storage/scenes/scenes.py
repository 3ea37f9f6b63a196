"""The scene tree: `projects/{project_id}/{scene_id}/{images,audio,videos,metadata,exports}/NAME`.

Files first, then the name: an asset is stored whole under a name that is never overwritten, then the job's sidecar,
then `scene.json`. So a crash leaves at most a file that no document names, and doing it all again changes nothing.
"""

import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from evergreen_storage.keys import FOLDERS, Kind, id_error, path_error
from evergreen_storage.parallel import map_concurrently
from evergreen_storage.scenes.deleting import delete_files
from evergreen_storage.scenes.description import describe
from evergreen_storage.scenes.document import Document, add_assets, add_job, encode_sidecar, remove_asset
from evergreen_storage.scenes.errors import AssetNotFound, SceneNotFound
from evergreen_storage.scenes.index import INDEX, SceneIndex, scene_folder
from evergreen_storage.scenes.listing import list_files, list_scenes
from evergreen_storage.scenes.uploads import compare, store, store_stream
from evergreen_storage.scenes.values import Asset, Scene, SceneSummary
from evergreen_storage.storage import InvalidKey, Json, Meta, NotFound, Sealed, Storage


class SceneStore:
    """Keeps scenes and their assets in a storage. Raises InvalidKey for ids and paths that break a rule."""

    def __init__(
        self, storage: Storage, *, clock: Callable[[], datetime], jitter: Callable[[], float] = random.random
    ) -> None:
        self._storage = storage
        self._index = SceneIndex(storage, clock=clock, jitter=jitter)

    async def create(self, project_id: str, scene_id: str) -> Scene:
        """Creates a scene with its folders; one that exists already is returned as it is."""
        await self._make_folders(project_id, scene_id)
        return await self._index.make(project_id, scene_id)

    async def _make_folders(self, project_id: str, scene_id: str) -> None:
        folder = _scene(project_id, scene_id)
        await self._storage.make_folders([f"{folder}{name}/" for name in FOLDERS])

    async def get(self, project_id: str, scene_id: str) -> Scene:
        """Reads a scene. Raises SceneNotFound, UnsupportedSchema."""
        _scene(project_id, scene_id)
        try:
            return await self._index.read(project_id, scene_id)
        except NotFound as exc:
            raise SceneNotFound(project_id, scene_id) from exc

    async def files(self, project_id: str, scene_id: str) -> Mapping[str, Mapping[str, Meta] | None]:
        """Lists what is in each folder of a scene under names that an asset can have, by path, up to 50,000 in all.

        None for a folder that cannot be listed, or not to its end.
        """
        return await list_files(self._storage, _scene(project_id, scene_id))

    async def list(self, project_id: str, *, limit: int, after: str = "") -> Sequence[SceneSummary]:
        """Lists up to `limit` scenes beyond the id `after`, in the order of their folders (`a-b` before `a`)."""
        _check("project", project_id)
        if after:
            _check("scene", after)
        return await list_scenes(self._storage, self._index, project_id, limit=limit, after=after)

    async def delete(self, project_id: str, scene_id: str) -> Sequence[str]:
        """Removes a scene with all its files, scene.json last, so that an interrupted deletion can be repeated.

        Returns the paths, at most 100, of files of others in the scene that the storage cannot remove.
        Raises SceneNotFound. There must be no writes to the scene meanwhile.
        """
        folder = _scene(project_id, scene_id)
        if await self._storage.stat(f"{folder}{INDEX}") is None:
            await self._storage.clear(folder)
            raise SceneNotFound(project_id, scene_id)
        return await delete_files(self._storage, folder)

    def key(self, project_id: str, scene_id: str, path: str) -> str:
        """Returns the storage key of an asset, `path` being FOLDER/NAME such as `videos/clip.mp4`."""
        if error := path_error(path):
            raise InvalidKey(error)
        return f"{_scene(project_id, scene_id)}{path}"

    async def add(
        self,
        project_id: str,
        scene_id: str,
        path: str,
        data: bytes,
        content_type: str,
        *,
        sealed: Sealed | None = None,
    ) -> Asset:
        """Stores a small asset. One that is there already is adopted if its bytes are the same.

        Raises AssetConflict if they are not, and what `sealed` raises, which is called before the name appears.
        The asset is named in scene.json only by `publish` or `record_request`.
        """
        key = self._own_key(project_id, scene_id, path)
        return await store(self._storage, key, path, data, content_type, sealed=sealed)

    async def add_stream(
        self,
        project_id: str,
        scene_id: str,
        path: str,
        chunks: AsyncIterator[bytes],
        size: int | None,
        content_type: str,
        crc32c: int | None = None,
        *,
        overwrite: bool = False,
        sealed: Sealed | None = None,
    ) -> Asset:
        """Stores an asset of any size in bounded memory; otherwise like `add`. Raises BodyMismatch, AssetConflict.

        With `overwrite` it replaces what is there; scene.json describes it after the next `attach`.
        """
        return await store_stream(
            self._storage,
            self._own_key(project_id, scene_id, path),
            path,
            chunks,
            size=size,
            content_type=content_type,
            crc32c=crc32c,
            overwrite=overwrite,
            sealed=sealed,
        )

    async def attach(self, project_id: str, scene_id: str, assets: Sequence[Asset]) -> Scene:
        """Adds stored assets to scene.json, with all that is known of them. Raises Conflict; repeating it is safe.

        Raises AssetNotFound, and removes the entry again, where a file was deleted before its entry was written.
        """
        _scene(project_id, scene_id)
        keys = {asset.path: self._own_key(project_id, scene_id, asset.path) for asset in assets}
        scene = await self._index.update(
            project_id, scene_id, lambda document: add_assets(document, assets), known=assets
        )
        for path, key in keys.items():
            # Only now: a deletion looks for the entry once more after the file is gone.
            if await self._storage.stat(key) is None:
                await self._unname(project_id, scene_id, path)
                raise AssetNotFound(f"{path!r} was deleted while it was being stored")
        return scene

    async def stat_asset(self, project_id: str, scene_id: str, path: str) -> Asset:
        """Describes an asset; read through only if scene.json does not know it as it is.

        Raises SceneNotFound, AssetNotFound.
        """
        key = self.key(project_id, scene_id, path)
        named = (await self.get(project_id, scene_id)).asset(path)
        meta = await self._storage.stat(key)
        if meta is None:
            raise AssetNotFound(f"the scene {project_id}/{scene_id} has no {path!r}")
        if named is not None and named.size_bytes == meta.size:
            return named
        return await describe(self._storage, path, meta)

    async def require_asset(self, project_id: str, scene_id: str, path: str) -> None:
        """Checks that there is an asset, without reading it. Raises SceneNotFound, AssetNotFound."""
        key = self.key(project_id, scene_id, path)
        if await self._storage.stat(f"{scene_folder(project_id, scene_id)}{INDEX}") is None:
            raise SceneNotFound(project_id, scene_id)
        if await self._storage.stat(key) is None:
            raise AssetNotFound(f"the scene {project_id}/{scene_id} has no {path!r}")

    async def existing(self, project_id: str, scene_id: str, path: str) -> Asset | None:
        """Finds an asset that an earlier try stored, and reads it through; None if there is none.

        What scene.json says about it (its size in pixels, its job) is included. Raises AssetConflict if scene.json
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
        compare(found, path, size=named.size_bytes, crc32c=named.crc32c)
        return named

    async def holds(self, project_id: str, scene_id: str, path: str) -> bool:
        """Returns whether a file has this name, whatever it is and whether scene.json knows it or not."""
        return await self._storage.stat(self.key(project_id, scene_id, path)) is not None

    async def those_held(self, project_id: str, places: Collection[tuple[str, str]]) -> frozenset[tuple[str, str]]:
        """Returns those of some places, each a scene and a path in it, that have a file, as `holds` says."""
        held = await map_concurrently(lambda place: self.holds(project_id, *place), places)
        return frozenset(place for place, there in zip(places, held, strict=True) if there)

    async def adopt(self, project_id: str, scene_id: str, path: str, *, size_bytes: int, crc32c: int) -> Asset | None:
        """Finds a file that has just this content, by reading it through; None where the name has none or another."""
        meta = await self._storage.stat(self._own_key(project_id, scene_id, path))
        if meta is None or meta.size != size_bytes:
            return None
        found = await describe(self._storage, path, meta)
        return found if found.crc32c == crc32c else None

    def open(
        self, project_id: str, scene_id: str, path: str, *, start: int = 0, end: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Reads an asset's bytes from `start` up to, not including, `end`. Raises NotFound at the first step."""
        return self._storage.stream(self.key(project_id, scene_id, path), start=start, end=end)

    def local_path(self, project_id: str, scene_id: str, path: str) -> AbstractAsyncContextManager[Path]:
        """Yields the path of a file with the asset's content, which is valid within the context. Raises NotFound."""
        return self._storage.local_path(self.key(project_id, scene_id, path))

    async def sign(self, project_id: str, scene_id: str, path: str, *, ttl: timedelta) -> str | None:
        """Returns a URL that reads an asset without credentials for a time; None where the storage cannot sign."""
        return await self._storage.sign(self.key(project_id, scene_id, path), ttl=ttl)

    async def record_request(
        self, project_id: str, scene_id: str, job_id: str, assets: Sequence[Asset] = (), *, makes: str = "videos"
    ) -> Scene:
        """Adds a job to the requests of a scene, which is created if needed, and its inputs. Raises Conflict.

        `makes` is the folder of its outputs: `videos`, `images` or `audio`.
        """
        _check("job", job_id)
        await self._make_folders(project_id, scene_id)

        def change(document: Document) -> None:
            add_job(document, job_id, makes=makes, completed=False)
            add_assets(document, assets)

        return await self._index.update(project_id, scene_id, change, known=assets)

    async def publish(
        self,
        project_id: str,
        scene_id: str,
        *,
        job_id: str,
        assets: Sequence[Asset],
        sidecar: Mapping[str, Json],
        makes: str = "videos",
    ) -> None:
        """Makes a job's stored assets part of the scene: first its sidecar, then scene.json.

        Raises Conflict or Unavailable if that cannot be done for now; doing it again is safe.
        """
        folder = _scene(project_id, scene_id)
        _check("job", job_id)
        made = [replace(asset, job_id=job_id) for asset in assets]

        def change(document: Document) -> None:
            add_job(document, job_id, makes=makes, completed=True)
            add_assets(document, made)

        data = encode_sidecar(job_id, made, sidecar)
        await self._storage.put(f"{folder}metadata/{job_id}.json", data, content_type="application/json")
        await self._index.update(project_id, scene_id, change)

    async def keep_document(self, project_id: str, scene_id: str, name: str, data: bytes, content_type: str) -> None:
        """Stores a document of the service's own, `metadata/NAME`; one of this name is replaced."""
        await self._storage.put(self.key(project_id, scene_id, f"metadata/{name}"), data, content_type=content_type)

    async def drop_document(self, project_id: str, scene_id: str, name: str) -> None:
        """Removes what `keep_document` has stored; a missing one is no error."""
        await self._storage.delete(self.key(project_id, scene_id, f"metadata/{name}"))

    async def discard(self, project_id: str, scene_id: str, path: str) -> None:
        """Removes an asset, first its entry in scene.json, then the file; a missing one is no error."""
        key = self._own_key(project_id, scene_id, path)
        await self._unname(project_id, scene_id, path)
        await self._storage.delete(key)
        # A concurrent store may have added the entry since, and checks for the file only afterwards.
        if await self._storage.stat(key) is None:
            await self._unname(project_id, scene_id, path)

    async def _unname(self, project_id: str, scene_id: str, path: str) -> None:
        with suppress(SceneNotFound):
            if (await self.get(project_id, scene_id)).asset(path) is not None:
                await self._index.update(project_id, scene_id, lambda document: remove_asset(document, path))

    async def check_asset(self, project_id: str, scene_id: str, path: str) -> None:
        """Raises SceneNotFound, and AssetNotFound where neither scene.json nor a file has this name."""
        key = self._own_key(project_id, scene_id, path)
        named = (await self.get(project_id, scene_id)).asset(path)
        if named is None and await self._storage.stat(key) is None:
            raise AssetNotFound(f"the scene {project_id}/{scene_id} has no {path!r}")

    async def delete_asset(self, project_id: str, scene_id: str, path: str) -> None:
        """Removes an asset like `discard`. Raises SceneNotFound, AssetNotFound."""
        await self.check_asset(project_id, scene_id, path)
        await self.discard(project_id, scene_id, path)

    async def sweep(self) -> int:
        """Removes files that killed writers left a day ago. Returns the number; only a disk keeps such files."""
        return await self._storage.sweep()

    def _own_key(self, project_id: str, scene_id: str, path: str) -> str:
        if path.startswith("metadata/"):
            raise InvalidKey("the folder metadata is kept by the service itself")
        return self.key(project_id, scene_id, path)


def _check(kind: Kind, value: str) -> None:
    if error := id_error(kind, value):
        raise InvalidKey(error)


def _scene(project_id: str, scene_id: str) -> str:
    _check("project", project_id)
    _check("scene", scene_id)
    return scene_folder(project_id, scene_id)
