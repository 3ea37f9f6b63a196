"""SceneService: the scene tree as callers see it."""

from collections.abc import Callable
from datetime import datetime
from functools import partial

from evergreen.v1 import scene_pb2
from evergreen_server.ports.media import MediaTools
from evergreen_server.ports.specs import FieldError, InvalidRequest
from evergreen_server.rpc.handlers import Context
from evergreen_server.rpc.messages.convert import scene_message, summary_message
from evergreen_server.rpc.messages.fields import scene_errors
from evergreen_server.rpc.messages.paging import make_token, read_place
from evergreen_server.rpc.services.assets import AssetMethods
from evergreen_server.rpc.services.transfers import Transfers
from evergreen_server.rpc.services.uploads import Uploads
from evergreen_server.runtime.shield import ProtectedTasks
from evergreen_server.scenes.deletion import SceneDeletions
from evergreen_server.scenes.notes import FileNotes
from evergreen_storage import Scene, SceneStore, id_error

PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000


class SceneService(AssetMethods):
    """The methods of evergreen.v1.SceneService; each may raise any exception of the error table."""

    def __init__(
        self,
        *,
        scenes: SceneStore,
        deletions: SceneDeletions,
        media: MediaTools,
        transfers: Transfers,
        shield: ProtectedTasks,
        clock: Callable[[], datetime],
        notes: FileNotes,
    ) -> None:
        uploads = Uploads(scenes=scenes, deletions=deletions, media=media, transfers=transfers, notes=notes)
        super().__init__(
            scenes=scenes,
            deletions=deletions,
            uploads=uploads,
            transfers=transfers,
            shield=shield,
            clock=clock,
            notes=notes,
        )

    async def CreateScene(
        self, message: scene_pb2.CreateSceneRequest, _context: Context
    ) -> scene_pb2.CreateSceneResponse:
        _check(message.project_id, message.scene_id)
        async with self._deletions.hold(message.project_id, message.scene_id):
            scene = await self._scenes.create(message.project_id, message.scene_id)
        return scene_pb2.CreateSceneResponse(scene=await self._message(scene))

    async def GetScene(self, message: scene_pb2.GetSceneRequest, context: Context) -> scene_pb2.GetSceneResponse:
        _check(message.project_id, message.scene_id)
        context.caller.check_scene(message.project_id, message.scene_id)
        scene = await self._scenes.get(message.project_id, message.scene_id)
        return scene_pb2.GetSceneResponse(scene=await self._message(scene))

    async def ListScenes(self, message: scene_pb2.ListScenesRequest, _context: Context) -> scene_pb2.ListScenesResponse:
        _check(message.project_id, None)
        faults: list[FieldError] = []
        if message.page_size < 0:
            faults.append(FieldError(field="page_size", description=f"must be 1 to {MAX_PAGE_SIZE}"))
        after = read_place(message.page_token, message.project_id, wrong=partial(id_error, "scene"), errors=faults)
        if faults:
            raise InvalidRequest(faults)
        size = min(message.page_size or PAGE_SIZE, MAX_PAGE_SIZE)
        scenes = await self._scenes.list(message.project_id, limit=size + 1, after=after)
        token = make_token(scenes[size - 1].id, message.project_id) if len(scenes) > size else ""
        return scene_pb2.ListScenesResponse(
            scenes=[summary_message(scene) for scene in scenes[:size]], next_page_token=token
        )

    async def DeleteScene(
        self, message: scene_pb2.DeleteSceneRequest, context: Context
    ) -> scene_pb2.DeleteSceneResponse:
        _check(message.project_id, message.scene_id)
        context.caller.check_scene(message.project_id, message.scene_id)
        left = await self._deletions.delete(
            message.project_id, message.scene_id, force=message.force, origin=context.origin
        )
        return scene_pb2.DeleteSceneResponse(left=left)

    async def _message(self, scene: Scene) -> scene_pb2.Scene:
        # Listed after scene.json was read: a file that it names and that is not listed is gone.
        return await scene_message(scene, await self._scenes.files(scene.project_id, scene.id))


def _check(project_id: str, scene_id: str | None) -> None:
    if field_errors := scene_errors(project_id, scene_id):
        raise InvalidRequest(field_errors)
