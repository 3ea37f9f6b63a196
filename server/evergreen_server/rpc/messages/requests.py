"""Reads GenerateVideo requests into values; what is right or wrong about those is decided elsewhere."""

import hashlib
from collections.abc import Mapping
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from evergreen.v1 import video_pb2
from evergreen_server.jobs.intake import GenerationRequest
from evergreen_server.jobs.model.states import OnUnknownSubmission
from evergreen_server.ports.specs import FieldError, GenerationSpec, Media, Role
from evergreen_server.rpc.messages.convert import options_of, parse_time

ROLES: Mapping[int, Role] = {
    number: Role[name.removeprefix("MEDIA_ROLE_")] for name, number in video_pb2.MediaRole.items() if number
}


def read_request(message: video_pb2.GenerateVideoRequest) -> GenerationRequest:
    """Returns what a message says; a FieldError stands where that is no value of ours. Never raises."""
    inline: dict[str, bytes] = {}
    media = [_media(number, item, inline) for number, item in enumerate(message.media)]
    return GenerationRequest(
        project_id=message.project_id,
        scene_id=message.scene_id,
        request_id=message.request_id,
        digest=digest_of(message),
        spec=GenerationSpec(
            model=message.model,
            prompt_text=message.prompt_text,
            media=tuple(item for item in media if isinstance(item, Media)),
            ratio=message.ratio,
            resolution=message.resolution,
            duration_seconds=message.duration_seconds if message.HasField("duration_seconds") else None,
            seed=message.seed if message.HasField("seed") else None,
            options=options_of(message),
        ),
        inline=inline,
        unread_media={number: item for number, item in enumerate(media) if isinstance(item, FieldError)},
        priority=message.priority,
        max_attempts=message.max_attempts or 1,
        on_unknown_submission=_on_unknown(message.on_unknown_submission),
        max_credits=message.max_credits if message.HasField("max_credits") else None,
        start_by=_time(message.start_by, "start_by") if message.HasField("start_by") else None,
        finish_by=_time(message.finish_by, "finish_by") if message.HasField("finish_by") else None,
        labels=dict(message.labels),
    )


def digest_of(message: video_pb2.GenerateVideoRequest) -> str:
    """Returns the SHA-256 (hex) of the canonical request: inline bytes by their digest, `validate_only` left out."""
    canonical = video_pb2.GenerateVideoRequest()
    canonical.CopyFrom(message)
    canonical.ClearField("validate_only")
    for media in canonical.media:
        if media.WhichOneof("source") == "data":
            media.data = hashlib.sha256(media.data).digest()
    return hashlib.sha256(canonical.SerializeToString(deterministic=True)).hexdigest()


def _media(number: int, message: video_pb2.Media, inline: dict[str, bytes]) -> Media | FieldError:
    """Returns one piece of media, whose bytes, if any, are put into `inline` by their digest."""
    path = f"media[{number}]"
    role = ROLES.get(message.role)
    if role is None:
        return FieldError(field=f"{path}.role", description=f"required: one of {', '.join(ROLES.values())}")
    at_seconds = message.at_seconds if message.HasField("at_seconds") else None
    match message.WhichOneof("source"):
        case "uri":
            return Media(role=role, uri=message.uri, at_seconds=at_seconds)
        case "data":
            digest = hashlib.sha256(message.data).hexdigest()
            inline[digest] = message.data
            return Media(role=role, digest=digest, at_seconds=at_seconds)
        case "asset":
            return Media(role=role, asset=message.asset, at_seconds=at_seconds)
        case _:
            return FieldError(field=path, description="required: one of uri, data, asset")


def _on_unknown(number: int) -> OnUnknownSubmission | FieldError:
    match number:
        case video_pb2.ON_UNKNOWN_SUBMISSION_RESUBMIT:
            return OnUnknownSubmission.RESUBMIT
        case video_pb2.ON_UNKNOWN_SUBMISSION_ASK | video_pb2.ON_UNKNOWN_SUBMISSION_UNSPECIFIED:
            return OnUnknownSubmission.ASK
        case _:
            return FieldError(field="on_unknown_submission", description="must be ASK or RESUBMIT")


def _time(stamp: Timestamp, name: str) -> datetime | FieldError:
    try:
        return parse_time(stamp)
    except (ValueError, OverflowError):
        return FieldError(field=name, description="not a time between the years 1 and 9999")
