"""Reads GenerateVideo requests: each error is collected with its field, so that the caller hears of all at once."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from google.protobuf.timestamp_pb2 import Timestamp

from evergreen.v1 import video_pb2
from evergreen_server.jobs.model.job import JobRequest
from evergreen_server.jobs.model.states import OnUnknownSubmission
from evergreen_server.ports.catalog import ModelTable
from evergreen_server.ports.specs import FieldError, Kind, Media, Role, VideoSpec, kind_of
from evergreen_server.rpc.messages.convert import options_of, parse_time
from evergreen_storage import id_fault, path_fault

REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
MAX_INLINE_BYTES = 3 * 1024 * 1024
MAX_ATTEMPTS = 10
MAX_PRIORITY = 100
MAX_CREDITS = 1_000_000_000
MAX_LABELS = 32
START_WITHIN = timedelta(hours=24)
ROLES: Mapping[int, Role] = {
    number: Role[name.removeprefix("MEDIA_ROLE_")] for name, number in video_pb2.MediaRole.items() if number
}


class UriCheck(Protocol):
    """The part of the media tools that looks at a URL's text."""

    def uri_error(self, uri: str) -> str | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A request as read: what it asks, the inline bytes by digest, and everything that is wrong with it."""

    request: JobRequest
    inline: Mapping[str, bytes]
    field_errors: Sequence[FieldError]


def digest_of(message: video_pb2.GenerateVideoRequest) -> str:
    """Gives the SHA-256 of the canonical request: inline bytes by their digest, `validate_only` left out."""
    canonical = video_pb2.GenerateVideoRequest()
    canonical.CopyFrom(message)
    canonical.ClearField("validate_only")
    for media in canonical.media:
        if media.WhichOneof("source") == "data":
            media.data = hashlib.sha256(media.data).digest()
    return hashlib.sha256(canonical.SerializeToString(deterministic=True)).hexdigest()


def key_faults(message: video_pb2.GenerateVideoRequest) -> list[FieldError]:
    """Names what is wrong with the two ids by which an earlier request is looked up."""
    field_errors = []
    if text := id_fault("project", message.project_id):
        field_errors.append(FieldError(field="project_id", description=text))
    if not REQUEST_ID.fullmatch(message.request_id):
        text = "required: 1 to 128 of the characters A-Z a-z 0-9 . _ : -"
        field_errors.append(FieldError(field="request_id", description=text))
    return field_errors


class RequestReader:
    """Turns messages into requests, checking them against the contract and the table of models."""

    def __init__(self, *, models: ModelTable, uris: UriCheck, clock: Callable[[], datetime]) -> None:
        self._models = models
        self._uris = uris
        self._clock = clock

    def read(self, message: video_pb2.GenerateVideoRequest, digest: str) -> Reading:
        """Reads everything and judges everything; never raises for what a caller sent."""
        field_errors = key_faults(message)
        if text := id_fault("scene", message.scene_id):
            field_errors.append(FieldError(field="scene_id", description=text))
        inline: dict[str, bytes] = {}
        media = [self._media(number, item, inline, field_errors) for number, item in enumerate(message.media)]
        if sum(len(data) for data in inline.values()) > MAX_INLINE_BYTES:
            text = f"inline data may be {MAX_INLINE_BYTES} bytes in all; give larger media by uri or asset"
            field_errors.append(FieldError(field="media", description=text))
        spec = VideoSpec(
            model=message.model,
            prompt_text=message.prompt_text,
            media=tuple(item for item in media if item is not None),
            ratio=message.ratio,
            resolution=message.resolution,
            duration_seconds=message.duration_seconds if message.HasField("duration_seconds") else None,
            seed=message.seed if message.HasField("seed") else None,
            options=options_of(message),
        )
        if None not in media:
            # With an unreadable role the operation, and so the model's rules, would be guessed.
            field_errors += self._models.field_errors(spec)
        field_errors += _bound_errors(message)
        now = self._clock()
        start_by = self._time(message.start_by, "start_by", message.HasField("start_by"), now, field_errors)
        finish_by = self._time(message.finish_by, "finish_by", message.HasField("finish_by"), now, field_errors)
        request = JobRequest(
            project_id=message.project_id,
            scene_id=message.scene_id,
            request_id=message.request_id,
            digest=digest,
            spec=spec,
            priority=message.priority,
            max_attempts=message.max_attempts or 1,
            on_unknown_submission=(
                OnUnknownSubmission.RESUBMIT
                if message.on_unknown_submission == video_pb2.ON_UNKNOWN_SUBMISSION_RESUBMIT
                else OnUnknownSubmission.ASK
            ),
            max_millicredits=_millicredits(message),
            start_by=start_by or now + START_WITHIN,
            finish_by=finish_by,
            labels=dict(message.labels),
        )
        return Reading(request=request, inline=inline, field_errors=field_errors)

    def _media(
        self, number: int, message: video_pb2.Media, inline: dict[str, bytes], field_errors: list[FieldError]
    ) -> Media | None:
        path = f"media[{number}]"
        role = ROLES.get(message.role)
        if role is None:
            field_errors.append(
                FieldError(field=f"{path}.role", description=f"required: one of {', '.join(ROLES.values())}")
            )
            return None
        at_seconds = message.at_seconds if message.HasField("at_seconds") else None
        match message.WhichOneof("source"):
            case "uri":
                if text := self._uris.uri_error(message.uri):
                    field_errors.append(FieldError(field=f"{path}.uri", description=text))
                return Media(role=role, uri=message.uri, at_seconds=at_seconds)
            case "data":
                if kind_of(role) is not Kind.PICTURE:
                    text = "only pictures may be sent inline; give a video or a sound by uri or asset"
                    field_errors.append(FieldError(field=f"{path}.data", description=text))
                elif not message.data:
                    field_errors.append(FieldError(field=f"{path}.data", description="0 bytes are no picture"))
                digest = hashlib.sha256(message.data).hexdigest()
                inline[digest] = message.data
                return Media(role=role, digest=digest, at_seconds=at_seconds)
            case "asset":
                if text := path_fault(message.asset):
                    field_errors.append(FieldError(field=f"{path}.asset", description=text))
                return Media(role=role, asset=message.asset, at_seconds=at_seconds)
            case _:
                field_errors.append(FieldError(field=path, description="required: one of uri, data, asset"))
                return None

    def _time(
        self, stamp: Timestamp, name: str, given: bool, now: datetime, field_errors: list[FieldError]
    ) -> datetime | None:
        if not given:
            return None
        try:
            at = parse_time(stamp)
        except (ValueError, OverflowError):
            field_errors.append(FieldError(field=name, description="not a time between the years 1 and 9999"))
            return None
        if at <= now:
            field_errors.append(FieldError(field=name, description="must lie in the future"))
        return at


def _millicredits(message: video_pb2.GenerateVideoRequest) -> int | None:
    """Gives the limit on credits, None where there is none or it is no amount of money."""
    return round(message.max_credits * 1000) if 0 < message.max_credits <= MAX_CREDITS else None


def _bound_errors(message: video_pb2.GenerateVideoRequest) -> list[FieldError]:
    field_errors: list[FieldError] = []

    def check(wrong: bool, name: str, description: str) -> None:
        if wrong:
            field_errors.append(FieldError(field=name, description=description))

    check(not 0 <= message.max_attempts <= MAX_ATTEMPTS, "max_attempts", f"must be 1 to {MAX_ATTEMPTS}")
    check(abs(message.priority) > MAX_PRIORITY, "priority", f"must be -{MAX_PRIORITY} to {MAX_PRIORITY}")
    check(
        message.HasField("max_credits") and _millicredits(message) is None,
        "max_credits",
        f"must be more than 0 and at most {MAX_CREDITS}",
    )
    check(
        message.on_unknown_submission not in video_pb2.OnUnknownSubmission.values(),
        "on_unknown_submission",
        "must be ASK or RESUBMIT",
    )
    check(len(message.labels) > MAX_LABELS, "labels", f"at most {MAX_LABELS}")
    for name, value in message.labels.items():
        check(
            not 1 <= len(name) <= 63 or len(value) > 255,
            f"labels[{name[:63]}]",
            "a name may have 1 to 63 characters, a value 255",
        )
    return field_errors
