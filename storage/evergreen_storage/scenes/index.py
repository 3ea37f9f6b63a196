"""Reads and writes `scene.json`: compare-and-swap between processes, one shared write within, rebuilt when corrupt."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from datetime import datetime
from typing import Final, NamedTuple, TypeAlias
from weakref import WeakValueDictionary

from evergreen_storage.content_types import UNKNOWN_TYPE
from evergreen_storage.scenes.batches import Batches
from evergreen_storage.scenes.bounded import MAX_BYTES, Corrupt
from evergreen_storage.scenes.document import Document, decode, encode, undelivered
from evergreen_storage.scenes.kept import KeptDocuments
from evergreen_storage.scenes.rebuilding import INDEX_NAME, rebuild
from evergreen_storage.scenes.uploads import store, store_stream
from evergreen_storage.scenes.values import Asset, Scene
from evergreen_storage.storage import AlreadyExists, Conflict, Meta, NotFound, Storage, TooLarge, Unavailable
from evergreen_storage.threads import Threads

logger = logging.getLogger(__name__)

Change: TypeAlias = Callable[[Document], None]


class _Update(NamedTuple):
    """A change to make, and the assets that its caller has described already."""

    change: Change
    known: Sequence[Asset]


class _Found(NamedTuple):
    """What is stored as a document; `document` is None where that is missing or corrupt."""

    document: Document | None
    meta: Meta | None


INDEX: Final = f"metadata/{INDEX_NAME}"

_TRIES: Final = 10
_MIN_PAUSE: Final = 0.005
_MAX_PAUSE: Final = 0.2
# Longer documents are decoded and encoded in a thread, so that the loop serves others meanwhile.
_SMALL: Final = 16 << 10
_THREADS: Final = 2
_MOST_ASIDE: Final = 9
_DELIVERY_BYTES: Final = 1000
_ASIDE_BYTES: Final = 1 << 30


class SceneIndex:
    """The documents of all scenes. `jitter` returns numbers from 0 to 1, which spread the retries of writers."""

    def __init__(self, storage: Storage, *, clock: Callable[[], datetime], jitter: Callable[[], float]) -> None:
        self._storage = storage
        self._clock = clock
        self._jitter = jitter
        self._batches: Batches[_Update, Scene] = Batches(self._write)
        # They start with the first long document, and end with this object.
        self._threads = Threads(size=_THREADS)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._kept = KeptDocuments()

    async def read(self, project_id: str, scene_id: str) -> Scene:
        """Reads a scene, and repairs its document if it is corrupt. Raises NotFound, UnsupportedSchema."""
        try:
            data, meta = await self._storage.get(f"{scene_folder(project_id, scene_id)}{INDEX}", max_bytes=MAX_BYTES)
            return (await self._decoded(project_id, scene_id, data, meta.token)).scene()
        except (Corrupt, TooLarge):
            return await self.update(project_id, scene_id, _no_change)

    async def update(self, project_id: str, scene_id: str, change: Change, *, known: Sequence[Asset] = ()) -> Scene:
        """Makes an idempotent change; a document that is missing or corrupt is rebuilt from what the scene holds.

        The files of `known` assets need not be read for that.
        Raises Conflict where other writers were faster at every try, TooLarge where the document would become longer
        than 16 MiB, and UnsupportedSchema.
        """
        return await self._batches.submit(f"{project_id}/{scene_id}", _Update(change, known))

    async def make(self, project_id: str, scene_id: str) -> Scene:
        """Makes a scene's document unless there is one."""
        return await self.update(project_id, scene_id, _no_change)

    async def _write(self, scene: str, updates: Sequence[_Update]) -> Scene:
        project_id, _, scene_id = scene.partition("/")
        folder = scene_folder(project_id, scene_id)
        rebuilt: Document | None = None
        for attempt in range(_TRIES):
            found = await self._load(project_id, scene_id)
            if found.document is None and rebuilt is None:
                rebuilt = await rebuild(
                    self._storage,
                    self._threads,
                    folder,
                    project_id=project_id,
                    scene_id=scene_id,
                    known={asset.path: asset for update in updates for asset in update.known},
                    now=self._clock(),
                )
            held = rebuilt if found.document is None else found.document
            assert held is not None, "made above"
            document = held.copy()
            for update in updates:
                update.change(document)
            if found.document is not None and not document.changed:
                return found.document.scene()
            document.touch(self._clock())
            try:
                await self._put(scene, f"{folder}{INDEX}", document, found.meta, reserve=_reserve_of(held, document))
                return document.scene()
            except (Conflict, AlreadyExists):
                longest = min(_MAX_PAUSE, _MIN_PAUSE * 4 ** (attempt + 1))
                await asyncio.sleep(_MIN_PAUSE + (longest - _MIN_PAUSE) * self._jitter())
        if found.meta is None:
            raise Unavailable(
                f"the scene.json of {scene} cannot be made: what lies in its place is no file; move it away"
            )
        raise Conflict(f"the scene.json of {scene} was changed by others at each of {_TRIES} tries; try again")

    async def _load(self, project_id: str, scene_id: str) -> _Found:
        """Reads a document; one that is corrupt is set aside."""
        key = f"{scene_folder(project_id, scene_id)}{INDEX}"
        about = {"project_id": project_id, "scene_id": scene_id}
        try:
            data, meta = await self._storage.get(key, max_bytes=MAX_BYTES)
        except NotFound:
            return _Found(None, None)
        except TooLarge as exc:
            logger.warning("scene index corrupt, rebuilding it", extra={**about, "cause": str(exc)})
            return _Found(None, await self._set_aside_unread(key))
        try:
            return _Found(await self._decoded(project_id, scene_id, data, meta.token), meta)
        except Corrupt as exc:
            logger.warning("scene index corrupt, rebuilding it", extra={**about, "cause": str(exc)})
            await self._set_aside(key, data)
            return _Found(None, meta)

    async def _decoded(self, project_id: str, scene_id: str, data: bytes, token: str | None) -> Document:
        scene = f"{project_id}/{scene_id}"
        if (kept := self._kept.find(scene, token)) is not None:
            return kept
        if len(data) <= _SMALL:
            document = decode(data, project_id=project_id, scene_id=scene_id)
        else:
            # One at a time for each project, so that none has all the threads; and what many request is decoded once.
            async with self._turns.setdefault(project_id, asyncio.Lock()):
                if (kept := self._kept.find(scene, token)) is not None:
                    return kept
                document = await self._threads.run(decode, data, project_id=project_id, scene_id=scene_id)
        self._kept.keep(scene, token, document, len(data))
        return document

    async def _put(self, scene: str, key: str, document: Document, before: Meta | None, *, reserve: int) -> None:
        long = before is not None and before.size > _SMALL
        data = await self._threads.run(encode, document) if long else encode(document)
        if len(data) > MAX_BYTES - reserve:
            raise TooLarge(f"the scene {scene} holds too much: its scene.json may have {MAX_BYTES} bytes at most")
        if before is not None and before.token is None:
            # It was too long to be read, so only its size and time can be compared.
            stat = await self._storage.stat(key)
            if stat is None or (stat.size, stat.modified) != (before.size, before.modified):
                raise Conflict(f"{key!r} changed since it was looked at")
        token = None if before is None else before.token
        meta = await self._storage.put(
            key, data, content_type="application/json", if_absent=before is None, if_token=token
        )
        self._kept.keep(scene, meta.token, document, len(data))

    async def _set_aside(self, key: str, data: bytes) -> None:
        for number in range(1, _MOST_ASIDE):
            aside = f"{key}.corrupt-{number}"
            with suppress(AlreadyExists):
                # Another writer, or one that was killed, may have done it already.
                await store(self._storage, aside, aside, data, UNKNOWN_TYPE)
                return
        await self._storage.put(f"{key}.corrupt-{_MOST_ASIDE}", data, content_type=UNKNOWN_TYPE)

    async def _set_aside_unread(self, key: str) -> Meta | None:
        """Copies a document that is too long to be read. Returns its description. Raises Unavailable above 1 GiB."""
        meta = await self._storage.stat(key)
        if meta is None:
            return None
        if meta.size > _ASIDE_BYTES:
            raise Unavailable(f"{key!r} has {meta.size} bytes, and is no document of ours: move it away")
        for number in range(1, _MOST_ASIDE + 1):
            aside, last = f"{key}.corrupt-{number}", number == _MOST_ASIDE
            async with aclosing(self._storage.stream(key)) as body:
                with suppress(AlreadyExists):
                    await store_stream(
                        self._storage, aside, aside, body, size=meta.size, content_type=UNKNOWN_TYPE, overwrite=last
                    )
                    break
        return meta


def scene_folder(project_id: str, scene_id: str) -> str:
    """Returns the folder of a scene in the storage."""
    return f"projects/{project_id}/{scene_id}/"


def _reserve_of(before: Document, document: Document) -> int:
    """Returns how many bytes a new request must leave free, so that earlier requests can still be delivered."""
    left = undelivered(document)
    return _DELIVERY_BYTES * left if left > undelivered(before) else 0


def _no_change(document: Document) -> None:
    pass
