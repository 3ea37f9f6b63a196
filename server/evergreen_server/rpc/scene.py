"""SceneService: the scene tree as callers see it."""

from evergreen.v1 import scene_pb2
from evergreen_server.jobs.provider import Fault
from evergreen_server.rpc.convert import scene_message, summary_message
from evergreen_server.rpc.handlers import Context
from evergreen_server.rpc.status import InvalidRequest, NotImplementedHere
from evergreen_server.rpc.video import make_token, read_token
from evergreen_storage import SceneStore, id_fault

PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000


class SceneService:
    """The methods of evergreen.v1.SceneService. Those about assets are not offered yet, and say so."""

    def __init__(self, scenes: SceneStore) -> None:
        self._scenes = scenes

    async def CreateScene(
        self, message: scene_pb2.CreateSceneRequest, _context: Context
    ) -> scene_pb2.CreateSceneResponse:
        _check(message.project_id, message.scene_id)
        scene = await self._scenes.create(message.project_id, message.scene_id)
        return scene_pb2.CreateSceneResponse(scene=scene_message(scene))

    async def GetScene(self, message: scene_pb2.GetSceneRequest, _context: Context) -> scene_pb2.GetSceneResponse:
        _check(message.project_id, message.scene_id)
        scene = await self._scenes.get(message.project_id, message.scene_id)
        return scene_pb2.GetSceneResponse(scene=scene_message(scene))

    async def ListScenes(self, message: scene_pb2.ListScenesRequest, _context: Context) -> scene_pb2.ListScenesResponse:
        _check(message.project_id, None)
        if message.page_size < 0:
            raise InvalidRequest([Fault(field="page_size", description=f"must be 1 to {MAX_PAGE_SIZE}")])
        after = ""
        if message.page_token:
            found = read_token(message.page_token, message.project_id)
            if found is None or id_fault("scene", found):
                text = "not a token of an earlier answer to the same question"
                raise InvalidRequest([Fault(field="page_token", description=text)])
            after = found
        size = min(message.page_size or PAGE_SIZE, MAX_PAGE_SIZE)
        scenes = await self._scenes.list(message.project_id, limit=size + 1, after=after)
        token = make_token(scenes[size - 1].id, message.project_id) if len(scenes) > size else ""
        return scene_pb2.ListScenesResponse(
            scenes=[summary_message(scene) for scene in scenes[:size]], next_page_token=token
        )

    async def DeleteScene(self, _message: object, _context: Context) -> object:
        raise NotImplementedHere("DeleteScene is not offered by this server yet")

    async def UploadAsset(self, _messages: object, _context: Context) -> object:
        raise NotImplementedHere("UploadAsset is not offered by this server yet")

    async def DownloadAsset(self, _message: object, _context: Context) -> object:
        raise NotImplementedHere("DownloadAsset is not offered by this server yet")
        yield

    async def DeleteAsset(self, _message: object, _context: Context) -> object:
        raise NotImplementedHere("DeleteAsset is not offered by this server yet")

    async def GetAssetUrl(self, _message: object, _context: Context) -> object:
        raise NotImplementedHere("GetAssetUrl is not offered by this server yet")


def _check(project_id: str, scene_id: str | None) -> None:
    faults = [Fault(field="project_id", description=text)] if (text := id_fault("project", project_id)) else []
    if scene_id is not None and (text := id_fault("scene", scene_id)):
        faults.append(Fault(field="scene_id", description=text))
    if faults:
        raise InvalidRequest(faults)
