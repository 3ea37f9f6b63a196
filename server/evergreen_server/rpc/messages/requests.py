"""Reads requests into values; what is right or wrong about those is decided elsewhere."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from evergreen.v1 import video_pb2
from evergreen_server.jobs.intake import GenerationRequest
from evergreen_server.jobs.model.states import OnUnknownSubmission
from evergreen_server.ports.specs import FieldError, GenerationSpec, Json, Media, Role
from evergreen_server.rpc.messages.accepted import Request
from evergreen_server.rpc.messages.operations import DIRECT, MEMBERS, Member, member_of
from evergreen_server.rpc.messages.values import json_of, parse_time

ROLES: Mapping[int, Role] = {
    number: Role[name.removeprefix("MEDIA_ROLE_")] for name, number in video_pb2.MediaRole.items() if number
}


def read_request(message: video_pb2.GenerateVideoRequest) -> GenerationRequest:
    """Returns what a message says; a FieldError stands where that is no value of ours. Never raises."""
    inline: dict[str, bytes] = {}
    media: list[Media | FieldError] = []
    for number, item in enumerate(message.media):
        path, role = f"media[{number}]", ROLES.get(item.role)
        if role is None:
            text = f"required: one of {', '.join(ROLES.values())}"
            media.append(FieldError(field=f"{path}.role", description=text))
        else:
            media.append(_media(path, role, item, inline))
    spec = GenerationSpec(
        model=message.model,
        prompt_text=message.prompt_text,
        media=tuple(item for item in media if isinstance(item, Media)),
        ratio=message.ratio,
        resolution=message.resolution,
        duration_seconds=message.duration_seconds if message.HasField("duration_seconds") else None,
        seed=message.seed if message.HasField("seed") else None,
        options=json_of(message.options),
    )
    return _request(message, spec, media, inline)


def read_generate_request(message: video_pb2.GenerateRequest) -> GenerationRequest:
    """Returns what a message says, as `read_request` does; the names of fields are those of a spec."""
    member = member_of(message)
    if member is None:
        unread = FieldError(field="operation", description=f"required: one of {', '.join(MEMBERS)}")
        spec = GenerationSpec(model=message.model, options=json_of(message.options))
        return _request(message, spec, (), {}, unread)
    inner, inline = getattr(message, member.name), dict[str, bytes]()
    media = _media_of(inner, member, inline)
    values = {field.name: _value(value) for field, value in inner.ListFields() if field.name not in member.media}
    prompt = values.pop(member.prompt, "")
    direct: dict[str, Any] = {name: values.pop(name) for name in DIRECT if name in values}
    spec = GenerationSpec(
        operation=member.operation,
        model=message.model or member.model,
        prompt_text=str(prompt),
        media=tuple(item for item in media if isinstance(item, Media)),
        seed=message.seed if message.HasField("seed") else None,
        parameters=values,
        options=json_of(message.options),
        **direct,
    )
    return _request(message, spec, media, inline)


def _media_of(inner: Message, member: Member, inline: dict[str, bytes]) -> list[Media | FieldError]:
    media: list[Media | FieldError] = []
    for name, role in member.media.items():
        value = getattr(inner, name)
        single = isinstance(value, video_pb2.Media)
        items = ([value] if inner.HasField(name) else []) if single else value
        for item in items:
            path = f"media[{len(media)}]"
            if item.role and ROLES.get(item.role) is not role:
                media.append(FieldError(field=f"{path}.role", description=f"leave it out: it is a {role} here"))
            else:
                media.append(_media(path, role, item, inline))
    return media


def _value(value: object) -> Json:
    """Returns a plain value as it is, and messages as objects."""
    if isinstance(value, bool | int | float | str):
        return value
    items: Sequence[Message] = value  # type: ignore[assignment] # nothing else is in a member but for media
    return [MessageToDict(item, preserving_proto_field_name=True) for item in items]


def _request(
    message: Request,
    spec: GenerationSpec,
    media: Sequence[Media | FieldError],
    inline: Mapping[str, bytes],
    *unread: FieldError,
) -> GenerationRequest:
    return GenerationRequest(
        project_id=message.project_id,
        scene_id=message.scene_id,
        request_id=message.request_id,
        digest=digest_of(message),
        spec=spec,
        inline=inline,
        unread=unread,
        unread_media={number: item for number, item in enumerate(media) if isinstance(item, FieldError)},
        priority=message.priority,
        max_attempts=message.max_attempts or 1,
        on_unknown_submission=read_on_unknown(message.on_unknown_submission),
        max_credits=message.max_credits if message.HasField("max_credits") else None,
        start_by=read_time(message.start_by, "start_by") if message.HasField("start_by") else None,
        finish_by=read_time(message.finish_by, "finish_by") if message.HasField("finish_by") else None,
        labels=dict(message.labels),
    )


def digest_of(message: Request) -> str:
    """Returns the SHA-256 (hex) of the canonical request: inline bytes by their digest, `validate_only` left out."""
    canonical = type(message).FromString(message.SerializeToString())
    canonical.ClearField("validate_only")
    for media in _all_media(canonical):
        if media.WhichOneof("source") == "data":
            media.data = hashlib.sha256(media.data).digest()
    # Different messages with the same bytes are different requests; a clip's digest is that of the release before.
    digest = hashlib.sha256(b"" if isinstance(message, video_pb2.GenerateVideoRequest) else b"Generate:")
    digest.update(canonical.SerializeToString(deterministic=True))
    return digest.hexdigest()


def _all_media(message: Request) -> Sequence[video_pb2.Media]:
    if isinstance(message, video_pb2.GenerateVideoRequest):
        return message.media
    member = member_of(message)
    inner = getattr(message, member.name) if member else message
    values = [value for field, value in inner.ListFields() if member and field.name in member.media]
    return [item for value in values for item in ([value] if isinstance(value, video_pb2.Media) else value)]


def _media(path: str, role: Role, message: video_pb2.Media, inline: dict[str, bytes]) -> Media | FieldError:
    """Returns one piece of media, whose bytes, if any, are put into `inline` by their digest."""
    at_seconds = message.at_seconds if message.HasField("at_seconds") else None
    source: dict[str, str] = {}
    match message.WhichOneof("source"):
        case "uri":
            source["uri"] = message.uri
        case "data":
            source["digest"] = hashlib.sha256(message.data).hexdigest()
            inline[source["digest"]] = message.data
        case "asset":
            source["asset"] = message.asset
        case _:
            return FieldError(field=path, description="required: one of uri, data, asset")
    return Media(
        role=role,
        at_seconds=at_seconds,
        scene_id=message.scene_id,
        tag=message.tag,
        subject=message.subject,
        **source,
    )


def read_on_unknown(number: int) -> OnUnknownSubmission | FieldError:
    """Returns what is to become of an unknown submission; an error for a number that is none of ours."""
    match number:
        case video_pb2.ON_UNKNOWN_SUBMISSION_RESUBMIT:
            return OnUnknownSubmission.RESUBMIT
        case video_pb2.ON_UNKNOWN_SUBMISSION_ASK | video_pb2.ON_UNKNOWN_SUBMISSION_UNSPECIFIED:
            return OnUnknownSubmission.ASK
        case _:
            return FieldError(field="on_unknown_submission", description="must be ASK or RESUBMIT")


def read_time(stamp: Timestamp, name: str) -> datetime | FieldError:
    """Returns the time in a field; an error for one that no calendar has."""
    try:
        return parse_time(stamp)
    except (ValueError, OverflowError):
        return FieldError(field=name, description="not a time between the years 1 and 9999")
