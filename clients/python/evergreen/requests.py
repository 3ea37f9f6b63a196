"""Builds the request for a clip from plain Python values, and reads inputs from files.

Only what could not be sent is validated here: the service knows the models and reports every field error.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from os import PathLike, fspath
from typing import Required, TypeAlias, TypedDict, TypeVar, Unpack
from uuid import uuid4

from google.protobuf.timestamp_pb2 import Timestamp

from evergreen.errors import MediaTooLarge
from evergreen.fields import check_fields
from evergreen.v1.video_pb2 import GenerateRequest, GenerateVideoRequest, Media, MediaRole, OnUnknownSubmission

INLINE_LIMIT = 3 * 1024 * 1024
"""The maximum number of bytes of all inputs that are sent as bytes, together."""

FileOrBytes: TypeAlias = "str | PathLike[str] | bytes"
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
    """The fields of `GenerateVideoRequest`, and `image`: the first frame, as a file's path or as bytes."""

    model: Required[str]
    prompt_text: str
    image: FileOrBytes
    media: Sequence[Media]
    ratio: str
    resolution: str
    duration_seconds: int


_Request = TypeVar("_Request", GenerateVideoRequest, GenerateRequest)


async def video_request(**fields: Unpack[VideoFields]) -> GenerateVideoRequest:
    """Returns the request; reads the image's file. Raises MediaTooLarge, OSError, TypeError, ValueError."""
    check_fields(VideoFields, fields)
    media = list(fields.get("media", ()))
    if "image" in fields:
        media.insert(0, await asyncio.to_thread(inline_media, fields["image"], MediaRole.MEDIA_ROLE_FIRST_FRAME))
    check_inline(media)
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


def inline_media(
    source: FileOrBytes,
    role: MediaRole.ValueType = MediaRole.MEDIA_ROLE_UNSPECIFIED,
    *,
    at_seconds: float | None = None,
) -> Media:
    """Returns an input with the bytes of a file, or with the given bytes. Raises MediaTooLarge, OSError.

    Only inputs of clips need a role.
    """
    if isinstance(source, bytes):
        data, name = source, "the input"
    else:
        name = fspath(source)
        with open(source, "rb") as file:
            data = file.read(INLINE_LIMIT + 1)
    if len(data) > INLINE_LIMIT:
        raise _too_large(f"{name} is larger than that")
    return Media(data=data, role=role, at_seconds=at_seconds)


def check_inline(media: Iterable[Media]) -> None:
    """Raises MediaTooLarge if inputs have more bytes together than one request may have."""
    total = sum(len(each.data) for each in media)
    if total > INLINE_LIMIT:
        raise _too_large(f"these have {total:,}")


def _too_large(what: str) -> MediaTooLarge:
    return MediaTooLarge(
        f"inputs sent as bytes may have 3 MiB ({INLINE_LIMIT:,} bytes) together, and {what}; give an http(s) URL "
        "or a file that is already in the scene (an asset) instead, or make the picture smaller"
    )


def timestamp(value: datetime, name: str) -> Timestamp:
    if value.tzinfo is None:
        raise ValueError(f"{name} must be timezone-aware")
    stamp = Timestamp()
    stamp.FromDatetime(value)
    return stamp
