"""A project's scenes and files as one tree."""

import re
from datetime import UTC

from google.protobuf.timestamp_pb2 import Timestamp

from evergreen.v1 import scene_pb2
from evergreen_server.gateway.problems import invalid
from evergreen_server.gateway.rest.calls import Calls
from evergreen_server.gateway.rest.routes import ROOT
from evergreen_server.gateway.visitors import Visitor

__all__ = ["Folders"]

SCENE = "/evergreen.v1.SceneService"
MOST_SCENES = 50
MOST_FILES = 20_000
"""In one answer; about 6 MB of it."""
LONGEST_ID = 63

Node = dict[str, object]


class Folders:
    """Reads and makes scenes as a visitor. Used on one loop. Each method raises Refused."""

    def __init__(self, *, calls: Calls) -> None:
        self._calls = calls

    async def tree(self, visitor: Visitor, project_id: str, scene_id: str, page_token: str) -> Node:
        """Returns the tree of a project, of 50 scenes at a time, or of one scene."""
        following = ""
        if scene_id:
            scene_ids = [scene_id]
        else:
            message = scene_pb2.ListScenesRequest(project_id=project_id, page_size=MOST_SCENES, page_token=page_token)
            listed = await self._calls.ask(visitor, f"{SCENE}/ListScenes", message, scene_pb2.ListScenesResponse)
            scene_ids, following = [scene.scene_id for scene in listed.scenes], listed.next_page_token
        files, scenes = 0, []
        for each in scene_ids:
            asked = scene_pb2.GetSceneRequest(project_id=project_id, scene_id=each)
            scene = (await self._calls.ask(visitor, f"{SCENE}/GetScene", asked, scene_pb2.GetSceneResponse)).scene
            files += sum(len(folder.assets) for folder in scene.folders)
            if files > MOST_FILES:
                raise invalid(
                    "sceneId", f"the project has more than {MOST_FILES} files; ask for one scene after another"
                )
            scenes.append(_scene(scene))
        root: Node = {"name": project_id, "path": project_id, "type": "folder", "children": scenes, "metadata": {}}
        return {**root, "nextPageToken": following} if following else root

    async def make(self, visitor: Visitor, project_id: str, scene_id: str, name: str) -> Node:
        """Makes a scene, whose id is made of its name if it has none. Beside an id, nothing keeps a name."""
        message = "created; a scene keeps no name beside its id" if scene_id and name else "created"
        if not scene_id:
            scene_id = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:LONGEST_ID].rstrip("-")
            if not scene_id:
                raise invalid("sceneName", "has no letter or digit to make an id of; give a sceneId")
        asked = scene_pb2.CreateSceneRequest(project_id=project_id, scene_id=scene_id)
        answer = await self._calls.ask(visitor, f"{SCENE}/CreateScene", asked, scene_pb2.CreateSceneResponse)
        return {
            "message": message,
            "path": f"{project_id}/{scene_id}",
            "sceneId": scene_id,
            "metadata": _times(answer.scene),
        }


def _scene(scene: scene_pb2.Scene) -> Node:
    path = f"{scene.project_id}/{scene.scene_id}"
    served = f"{ROOT}/projects/{scene.project_id}/scenes/{scene.scene_id}/assets"
    return {
        "name": scene.scene_id,
        "path": path,
        "type": "folder",
        "children": [_folder(folder, path, served) for folder in scene.folders],
        "metadata": _times(scene),
    }


def _folder(folder: scene_pb2.Folder, path: str, served: str) -> Node:
    files: list[Node] = [
        {
            "name": asset.path.rpartition("/")[2],
            "path": f"{path}/{asset.path}",
            "type": "file",
            "url": f"{served}/{asset.path}",
            "metadata": {"createdAt": _time(asset.create_time), "size": asset.size_bytes},
        }
        for asset in folder.assets
    ]
    return {"name": folder.name, "path": f"{path}/{folder.name}", "type": "folder", "children": files, "metadata": {}}


def _times(scene: scene_pb2.Scene) -> Node:
    return {"createdAt": _time(scene.create_time), "updatedAt": _time(scene.update_time)}


def _time(at: Timestamp) -> str | None:
    return at.ToDatetime(UTC).isoformat().replace("+00:00", "Z") if at.seconds else None
