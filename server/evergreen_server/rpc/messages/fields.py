"""Checks fields that several calls have: names of scenes and assets, kinds of what is made, and times."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from google.protobuf.message import Message

from evergreen.v1 import video_pb2
from evergreen_server.ports.specs import FieldError, MediaKind
from evergreen_server.rpc.messages.values import parse_time
from evergreen_storage import id_error, path_error

KINDS: Mapping[int, MediaKind] = {
    number: MediaKind[name.removeprefix("MEDIA_KIND_")] for name, number in video_pb2.MediaKind.items() if number
}
VIDEOS = frozenset({MediaKind.VIDEO})


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


def read_kinds(numbers: Sequence[int], field_errors: list[FieldError]) -> frozenset[MediaKind]:
    """Returns the kinds that are asked for: videos only, if none are; adds an error for each that is none."""
    text = f"must be one of {', '.join(MediaKind)}"
    field_errors += [
        FieldError(field=f"kinds[{place}]", description=text)
        for place, number in enumerate(numbers)
        if number not in KINDS
    ]
    return frozenset(KINDS[number] for number in numbers if number in KINDS) or VIDEOS


def read_time(message: Message, name: str, field_errors: list[FieldError]) -> datetime | None:
    """Returns the time in a field, None if it is absent; adds an error if it is out of range."""
    if not message.HasField(name):
        return None
    try:
        return parse_time(getattr(message, name))
    except (ValueError, OverflowError):
        field_errors.append(FieldError(field=name, description="not a time of the years 1 to 9999"))
        return None
