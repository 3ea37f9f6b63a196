"""The part of SceneService that is about assets: upload, download, deletion, and signed URLs."""

from collections.abc import Callable
from contextlib import aclosing
from datetime import datetime, timedelta

from evergreen.v1 import scene_pb2
from evergreen_server.ports.audit import Action
from evergreen_server.ports.specs import FieldError, InvalidRequest
from evergreen_server.rpc.handlers import Context
from evergreen_server.rpc.messages.convert import asset_message
from evergreen_server.rpc.messages.fields import asset_errors
from evergreen_server.rpc.messages.values import timestamp
from evergreen_server.rpc.services.transfers import Transfers
from evergreen_server.rpc.services.uploads import Messages, Uploads
from evergreen_server.rpc.status import Precondition
from evergreen_server.runtime.chunks import chunk_messages
from evergreen_server.runtime.shield import ProtectedTasks
from evergreen_server.scenes.deletion import SceneDeletions
from evergreen_server.scenes.notes import FileNotes
from evergreen_storage import Asset, SceneStore

LIFETIME_SECONDS = 15 * 60
MAX_LIFETIME_SECONDS = 7 * 24 * 60 * 60


class AssetMethods:
    """The methods of evergreen.v1.SceneService about assets."""

    def __init__(
        self,
        *,
        scenes: SceneStore,
        deletions: SceneDeletions,
        uploads: Uploads,
        transfers: Transfers,
        shield: ProtectedTasks,
        clock: Callable[[], datetime],
        notes: FileNotes,
    ) -> None:
        self._scenes = scenes
        self._deletions = deletions
        self._uploads = uploads
        self._transfers = transfers
        self._shield = shield
        self._clock = clock
        self._notes = notes

    async def UploadAsset(self, messages: Messages, context: Context) -> scene_pb2.UploadAssetResponse:
        stored: list[Asset] = []

        async def receive() -> None:
            stored.append(
                await self._uploads.receive(
                    messages,
                    caller=context.caller,
                    origin=context.origin,
                    prove=lambda: context.call.send_initial_metadata(()),
                )
            )

        # Shielded, because a call that ends after the file is stored and before scene.json names it would leave half of
        # an asset. The upload itself notices if the call ends before its body is complete.
        await self._shield.run(receive(), name="upload")
        return scene_pb2.UploadAssetResponse(asset=asset_message(stored[0]))

    async def DownloadAsset(self, message: scene_pb2.DownloadAssetRequest, context: Context) -> None:
        where = (message.project_id, message.scene_id, message.path)
        field_errors = asset_errors(*where)
        if message.offset < 0:
            field_errors.append(FieldError(field="offset", description="must not be negative"))
        if message.limit < 0:
            field_errors.append(FieldError(field="limit", description="must not be negative"))
        if field_errors:
            raise InvalidRequest(field_errors)
        context.caller.check_scene(message.project_id, message.scene_id)
        slot = self._transfers.slot(context.caller.owner(message.project_id))
        async with slot, self._transfers.watched() as waiting:
            asset = await self._scenes.stat_asset(*where)
            if message.offset > asset.size_bytes:
                text = f"must be at most {asset.size_bytes}, the length of the file"
                raise InvalidRequest([FieldError(field="offset", description=text)])
            end = min(asset.size_bytes, message.offset + (message.limit or asset.size_bytes))
            with waiting:
                await context.call.write(scene_pb2.DownloadAssetResponse(info=asset_message(asset)))
            async with aclosing(self._scenes.open(*where, start=message.offset, end=end)) as blocks:
                async for block in blocks:
                    for chunk in chunk_messages(block):
                        with waiting:
                            await context.call.write(chunk)
                        waiting.passed += len(chunk)

    async def DeleteAsset(
        self, message: scene_pb2.DeleteAssetRequest, context: Context
    ) -> scene_pb2.DeleteAssetResponse:
        where = (message.project_id, message.scene_id, message.path)
        if field_errors := asset_errors(*where, written=True):
            raise InvalidRequest(field_errors)
        context.caller.check_scene(message.project_id, message.scene_id)
        await self._deletions.check_free(*where)
        await self._scenes.check_asset(*where)
        noting = self._notes.about(context.origin.did(Action.DELETE_ASSET), *where)
        async with self._deletions.hold(message.project_id, message.scene_id) as claim, noting as begin:
            await claim(message.path)
            await begin()
            await self._scenes.delete_asset(*where)
        return scene_pb2.DeleteAssetResponse()

    async def GetAssetUrl(
        self, message: scene_pb2.GetAssetUrlRequest, context: Context
    ) -> scene_pb2.GetAssetUrlResponse:
        where = (message.project_id, message.scene_id, message.path)
        field_errors = asset_errors(*where)
        seconds = message.lifetime.seconds if message.HasField("lifetime") else LIFETIME_SECONDS
        if not 1 <= seconds <= MAX_LIFETIME_SECONDS:
            field_errors.append(FieldError(field="lifetime", description="must be 1 second to 7 days"))
        if field_errors:
            raise InvalidRequest(field_errors)
        context.caller.check_scene(message.project_id, message.scene_id)
        await self._scenes.require_asset(*where)
        lifetime = timedelta(seconds=seconds)
        expires_at = self._clock() + lifetime
        url = await self._scenes.sign(*where, ttl=lifetime)
        if url is None:
            raise Precondition("the storage cannot sign URLs; use DownloadAsset", reason="URL_UNSUPPORTED")
        return scene_pb2.GetAssetUrlResponse(url=url, expire_time=timestamp(expires_at))
