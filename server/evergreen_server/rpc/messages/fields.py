"""Checks the fields by which SceneService names scenes and assets."""

from evergreen_server.ports.specs import FieldError
from evergreen_storage import id_error, path_error


def scene_errors(project_id: str, scene_id: str | None, *, prefix: str = "") -> list[FieldError]:
    """Returns the errors of the two ids; `scene_id` is None if a call has none."""
    field_errors: list[FieldError] = []
    if text := id_error("project", project_id):
        field_errors.append(FieldError(field=f"{prefix}project_id", description=text))
    if scene_id is not None and (text := id_error("scene", scene_id)):
        field_errors.append(FieldError(field=f"{prefix}scene_id", description=text))
    return field_errors


def asset_errors(
    project_id: str, scene_id: str, path: str, *, prefix: str = "", written: bool = False
) -> list[FieldError]:
    """Returns the errors of the ids and of an asset's path; `written` if the file is to be changed."""
    field_errors = scene_errors(project_id, scene_id, prefix=prefix)
    if text := path_error(path):
        field_errors.append(FieldError(field=f"{prefix}path", description=text))
    elif written and path.startswith("metadata/"):
        text = "the folder metadata is written by the service alone"
        field_errors.append(FieldError(field=f"{prefix}path", description=text))
    return field_errors
