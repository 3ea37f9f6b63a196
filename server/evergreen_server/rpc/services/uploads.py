"""Receives an asset: its announcement and its bytes. The file appears once it is complete.

gRPC ends the messages of a call that was cancelled, or whose deadline passed, like those of a client that has sent
everything. So before a body counts as complete, the call must prove to be alive.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

import grpc

from evergreen.v1 import scene_pb2
from evergreen_server.jobs.model.names import is_reserved, job_of
from evergreen_server.jobs.store.project_lock import SceneBusy
from evergreen_server.ports.audit import Action, Origin
from evergreen_server.ports.catalog import PictureRule
from evergreen_server.ports.media import HEAD_BYTES, MediaError, MediaTools
from evergreen_server.ports.specs import FieldError, InvalidRequest
from evergreen_server.rpc.access.policy import AccessDenied, Caller
from evergreen_server.rpc.handlers import read_message
from evergreen_server.rpc.messages.fields import asset_errors
from evergreen_server.rpc.services.transfers import BrokenOff, TooManyTransfers, Transfers, Waiting
from evergreen_server.runtime.chunks import chunk_of
from evergreen_server.scenes.deletion import SceneDeletions
from evergreen_server.scenes.notes import FileNotes
from evergreen_storage import Asset, AssetConflict, AssetNotFound, SceneNotFound, SceneStore, StorageError
from evergreen_storage.content_types import UNKNOWN_TYPE, content_type_of, is_run

Messages = AsyncIterator[bytes]
"""Each an UploadAssetRequest, not parsed yet."""

MAX_CHUNK_BYTES = 1024 * 1024
MEASURED_BYTES = 1024 * 1024 * 1024
"""An object store's file is copied to be measured, which is not worthwhile for the largest."""
DRAINED_BYTES = 64 * 1024 * 1024
DRAIN_SECONDS = 2.0

_CONTENT_TYPE = re.compile(r"[A-Za-z0-9][\w.+-]*/[A-Za-z0-9][\w.+-]*(;[ -~]*)?", re.ASCII)
_TEXTUAL = re.compile(r"text/|application/(json|x-subrip|[\w.-]+\+json)", re.IGNORECASE)
_HAS_SIGNATURE = re.compile(r"image/|audio/|video/|text/", re.IGNORECASE)

logger = logging.getLogger(__name__)


class Uploads:
    """Stores what callers upload."""

    def __init__(
        self,
        *,
        scenes: SceneStore,
        deletions: SceneDeletions,
        media: MediaTools,
        transfers: Transfers,
        notes: FileNotes,
    ) -> None:
        self._scenes = scenes
        self._deletions = deletions
        self._media = media
        self._transfers = transfers
        self._notes = notes

    async def receive(
        self, messages: Messages, *, caller: Caller, origin: Origin, prove: Callable[[], Awaitable[None]]
    ) -> Asset:
        """Stores and returns the asset of a call; `prove` raises grpc.aio.BaseError if that call has ended already.

        Raises AccessDenied before anything is stored.
        """
        async with self._transfers.watched() as waiting:
            body = _Body(messages, prove=prove, waiting=waiting)
            try:
                return await self._store(body, caller, origin)
            except (AccessDenied, InvalidRequest, SceneBusy, StorageError, TooManyTransfers):
                await body.drain()
                raise

    async def _store(self, body: "_Body", caller: Caller, origin: Origin) -> Asset:
        info = await body.info()
        caller.check_project(info.project_id)
        if is_reserved(info.path):
            text = f"{info.path!r} is a name that only the service gives to its files; choose another"
            raise SceneBusy(text, job_id=job_of(info.path))
        where = (info.project_id, info.scene_id, info.path)
        slot = self._transfers.slot(caller.owner(info.project_id))
        noting = self._notes.about(origin.did(Action.UPLOAD_ASSET), *where)
        async with slot, self._deletions.hold(info.project_id, info.scene_id) as claim, noting as begin:
            there, overwrite = await self._may_overwrite(info)
            if overwrite:
                await self._deletions.check_free(*where)

            async def sealed(size: int, _crc32c: int) -> None:
                if overwrite:
                    # Not earlier: no job may name a claimed file, and a body may take hours.
                    await claim(info.path)
                if overwrite or not there:
                    await begin(size_bytes=size, **({"replaced": "true"} if there else {}))

            asset = await self._scenes.add_stream(
                *where,
                body.chunks(),
                info.size_bytes if info.HasField("size_bytes") else None,
                content_type(self._media.sniff(await body.head()), info.content_type or content_type_of(info.path)),
                info.crc32c if info.HasField("crc32c") else None,
                overwrite=overwrite,
                sealed=sealed,
            )
            asset = await self._measured(info.project_id, info.scene_id, asset)
            try:
                scene = await self._scenes.attach(info.project_id, info.scene_id, [asset])
            except AssetNotFound as exc:
                # By a server that thought this one dead; otherwise it would have waited for this writer.
                text = f"the scene {info.project_id}/{info.scene_id} was deleted while a file was written to it"
                raise SceneBusy(text) from exc
            # Creates the folders; earlier, a scene without scene.json would be searched for this call only.
            await self._scenes.create(info.project_id, info.scene_id)
        return scene.asset(info.path) or asset

    async def _may_overwrite(self, info: scene_pb2.UploadInfo) -> tuple[bool, bool]:
        """Returns whether there is such a file, and whether to replace it; refuses content known to differ before its
        bytes are sent."""
        try:
            there = (await self._scenes.get(info.project_id, info.scene_id)).asset(info.path)
        except SceneNotFound:
            return False, info.overwrite
        if there is None or (info.overwrite and there.job_id is None):
            return there is not None, info.overwrite
        other_size = info.HasField("size_bytes") and info.size_bytes != there.size_bytes
        if other_size or (info.HasField("crc32c") and info.crc32c != there.crc32c):
            owner = f", made by job {there.job_id}" if there.job_id else ""
            raise AssetConflict(f"{info.path!r} exists already with another content{owner}")
        return True, False

    async def _measured(self, project_id: str, scene_id: str, asset: Asset) -> Asset:
        """Returns the asset with what only its content shows; one that cannot be decoded is returned as it is."""
        kind = asset.content_type.partition("/")[0]
        if kind not in ("image", "audio", "video") or asset.size_bytes > MEASURED_BYTES:
            return asset
        try:
            async with self._scenes.local_path(project_id, scene_id, asset.path) as path:
                if kind == "image":
                    picture = await self._media.picture(path, PictureRule(), owner=project_id)
                    return replace(asset, width=picture.width, height=picture.height)
                clip = await self._media.probe(path, owner=project_id)
        except MediaError as exc:
            logger.info("upload not measured", extra={"content_type": asset.content_type, "cause": str(exc)})
            return asset
        return replace(
            asset,
            content_type=clip.content_type,
            width=clip.width or None,
            height=clip.height or None,
            duration_seconds=clip.duration_seconds or None,
        )


def content_type(seen: str | None, claimed: str) -> str:
    """Returns a file's type by its first bytes; the claimed type counts only if they have no signature.

    It is never a type that a browser executes.
    """
    runs = is_run(claimed)
    if seen in ("text/plain", "text/html"):
        return claimed if _TEXTUAL.match(claimed) and not runs else "text/plain"
    if seen is None:
        return UNKNOWN_TYPE if runs or _HAS_SIGNATURE.match(claimed) else claimed
    return seen


class _Body:
    """The messages of one upload, read once."""

    def __init__(self, messages: Messages, *, prove: Callable[[], Awaitable[None]], waiting: Waiting) -> None:
        self._messages = messages
        self._prove = prove
        self._waiting = waiting
        self._held: list[bytes] = []
        self._whole = False

    async def info(self) -> scene_pb2.UploadInfo:
        """Returns the announcement. Raises InvalidRequest with all its errors."""
        data = await self._next()
        message = scene_pb2.UploadAssetRequest() if data is None else read_message(scene_pb2.UploadAssetRequest, data)
        if not message.HasField("info"):
            raise InvalidRequest(
                [FieldError(field="info", description="required in the first message, and only there")]
            )
        info = message.info
        field_errors = asset_errors(info.project_id, info.scene_id, info.path, prefix="info.", written=True)
        if info.size_bytes < 0:
            field_errors.append(FieldError(field="info.size_bytes", description="must not be negative"))
        if info.content_type and not (len(info.content_type) <= 127 and _CONTENT_TYPE.fullmatch(info.content_type)):
            text = "must be a media type of at most 127 characters, such as image/png"
            field_errors.append(FieldError(field="info.content_type", description=text))
        if field_errors:
            raise InvalidRequest(field_errors)
        return info

    async def head(self) -> bytes:
        """Returns the first bytes, which show the file's type; `chunks` yields them again."""
        size = 0
        while size < HEAD_BYTES and (chunk := await self._chunk()) is not None:
            self._held.append(chunk)
            size += len(chunk)
        return b"".join(self._held)[:HEAD_BYTES]

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yields all bytes, and ends only if the body is complete."""
        for held in self._held:
            yield held
        self._held.clear()
        while (chunk := await self._chunk()) is not None:
            yield chunk

    async def drain(self) -> None:
        """Reads on for a short time: a grpc.aio client hides the status of a call that ends while it sends."""
        left = DRAINED_BYTES
        with suppress(TimeoutError, StopAsyncIteration):
            async with asyncio.timeout(DRAIN_SECONDS):
                while left > 0:
                    left -= len(await anext(self._messages))

    async def _chunk(self) -> bytes | None:
        if self._whole:
            return None
        data = await self._next()
        if data is None:
            try:
                await self._prove()
            except grpc.aio.BaseError:
                raise BrokenOff("the client left before it had sent everything") from None
            self._whole = True
            return None
        if (view := chunk_of(data)) is not None:
            chunk = bytes(view)
        else:
            message = read_message(scene_pb2.UploadAssetRequest, data)
            if not message.HasField("chunk"):
                raise InvalidRequest(
                    [FieldError(field="chunk", description="required in each message after the first")]
                )
            chunk = message.chunk
        if len(chunk) > MAX_CHUNK_BYTES:
            raise InvalidRequest([FieldError(field="chunk", description=f"must be at most {MAX_CHUNK_BYTES} bytes")])
        return chunk

    async def _next(self) -> bytes | None:
        with self._waiting:
            try:
                data = await anext(self._messages)
            except StopAsyncIteration:
                return None
        self._waiting.passed += len(data)
        return data
