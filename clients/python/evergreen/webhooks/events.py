"""What a webhook's request tells: the event in its body."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import Message

from evergreen.errors import WebhookRejected
from evergreen.job import Job
from evergreen.v1 import video_pb2
from evergreen.v1.video_pb2 import FilmStatus

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEvent:
    """Something that happened to a job or a film, which is as of then."""

    message_id: str
    """The `webhook-id`: the same in every repeat, and for every webhook."""
    type: str
    """Such as `video.succeeded`; `evergreen.ping` is a test. For one that is not known, go by the job's state."""
    time: datetime
    """When it happened."""
    revision: int
    """The project's revision. Of two events of a project, the one with the higher revision is newer. 0 for a test."""
    job: Job | None
    """The job, without its request."""
    film: FilmStatus | None
    truncated: bool
    """Whether a list of the job or film was left out, since it was too long: read it."""


def read_event(message_id: str, body: bytes) -> WebhookEvent:
    """Returns the event in a body whose signature is good. Raises WebhookRejected.

    Fields that are newer than this client are passed over.
    """
    try:
        told = json.loads(body)
        data = told.get("data") or {}
        job = _read(data.get("job"), video_pb2.Job())
        return WebhookEvent(
            message_id=message_id,
            type=told["type"],
            time=datetime.fromisoformat(told["timestamp"]),
            revision=int(data.get("revision", 0)),
            job=None if job is None else Job.of(job),
            film=_read(data.get("film"), FilmStatus()),
            truncated=data.get("truncated") is True,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ParseError) as error:
        raise WebhookRejected(f"the body is signed, but is no event: {type(error).__name__}: {error}") from error


def _read(document: object, message: M) -> M | None:
    if document is None:
        return None
    if not isinstance(document, dict):
        raise ValueError(f"{message.DESCRIPTOR.name} is no object")
    return ParseDict(document, message, ignore_unknown_fields=True)
