"""What is wrong with the fields by which SceneService names scenes and assets."""

from evergreen_server.ports.specs import Fault
from evergreen_storage import id_fault, path_fault


def scene_faults(project_id: str, scene_id: str | None, *, prefix: str = "") -> list[Fault]:
    """Names the faults of the two ids; `scene_id` is None where a call has none."""
    faults: list[Fault] = []
    if text := id_fault("project", project_id):
        faults.append(Fault(field=f"{prefix}project_id", description=text))
    if scene_id is not None and (text := id_fault("scene", scene_id)):
        faults.append(Fault(field=f"{prefix}scene_id", description=text))
    return faults


def asset_faults(project_id: str, scene_id: str, path: str, *, prefix: str = "", written: bool = False) -> list[Fault]:
    """Names the faults of the ids and of an asset's path; `written` tells that it is to be changed."""
    faults = scene_faults(project_id, scene_id, prefix=prefix)
    if text := path_fault(path):
        faults.append(Fault(field=f"{prefix}path", description=text))
    elif written and path.startswith("metadata/"):
        text = "the folder metadata is written by the service alone"
        faults.append(Fault(field=f"{prefix}path", description=text))
    return faults
