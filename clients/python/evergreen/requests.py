"""Builds the request for a clip from plain Python values.

Only what could not be sent is validated here: the service knows the models and reports every field error.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Required, TypeAlias, TypedDict, TypeVar, Unpack
from uuid import uuid4

from google.protobuf.timestamp_pb2 import Timestamp

from evergreen.fields import check_fields
from evergreen.inputs import Input, Inputs
from evergreen.v1.video_pb2 import GenerateRequest, GenerateVideoRequest, Media, MediaRole, OnUnknownSubmission

if TYPE_CHECKING:
    from evergreen.scenes import Scenes

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"


class JobFields(TypedDict, total=False):
    """The fields that all requests have, whatever they generate.

    For omitted fields, the service uses its documented defaults. A `request_id` is generated if absent.
    Times must be timezone-aware.
    """

    project_id: Required[str]
    scene_id: Required[str]
    request_id: str
    seed: int
    options: Mapping[str, Json]
    max_credits: float
    max_attempts: int
    on_unknown_submission: OnUnknownSubmission.ValueType
    priority: int
    start_by: datetime
    finish_by: datetime
    labels: Mapping[str, str]


class VideoFields(JobFields, total=False):
    """The fields of `GenerateVideoRequest`, and `image`: the first frame, which may be any `Input`."""

    model: Required[str]
    prompt_text: str
    image: Input
    media: Sequence[Media]
    ratio: str
    resolution: str
    duration_seconds: int


_Request = TypeVar("_Request", GenerateVideoRequest, GenerateRequest)


async def video_request(scenes: "Scenes", **fields: Unpack[VideoFields]) -> GenerateVideoRequest:
    """Returns the request; reads and uploads files.

    Raises CallError, OSError, TransferBroken, and TypeError or ValueError for fields that cannot be sent.
    """
    check_fields(VideoFields, fields)
    inputs = Inputs(scenes=scenes, project_id=fields["project_id"], scene_id=fields["scene_id"])
    media = [await inputs.read(each) for each in fields.get("media", ())]
    if (image := fields.get("image")) is not None:
        media.insert(0, await inputs.read(image, MediaRole.MEDIA_ROLE_FIRST_FRAME))
    await inputs.fit(media)
    request = GenerateVideoRequest(
        model=fields["model"],
        prompt_text=fields.get("prompt_text", ""),
        media=media,
        ratio=fields.get("ratio", ""),
        resolution=fields.get("resolution", ""),
        duration_seconds=fields.get("duration_seconds"),
    )
    return for_job(request, fields)


def for_job(request: _Request, fields: JobFields) -> _Request:
    """Returns the request with the fields that all requests have. Raises ValueError."""
    given: JobFields = {"request_id": uuid4().hex, **fields}
    request.project_id, request.scene_id, request.request_id = (
        given["project_id"],
        given["scene_id"],
        given["request_id"],
    )
    for name in ("seed", "max_credits", "max_attempts", "on_unknown_submission", "priority"):
        if (value := given.get(name)) is not None:
            setattr(request, name, value)
    if start_by := given.get("start_by"):
        request.start_by.CopyFrom(timestamp(start_by, "start_by"))
    if finish_by := given.get("finish_by"):
        request.finish_by.CopyFrom(timestamp(finish_by, "finish_by"))
    request.labels.update(given.get("labels", {}))
    if options := given.get("options"):
        request.options.update(options)
    return request


def timestamp(value: datetime, name: str) -> Timestamp:
    if value.tzinfo is None:
        raise ValueError(f"{name} must be timezone-aware")
    stamp = Timestamp()
    stamp.FromDatetime(value)
    return stamp
