"""A job as plain values: states as short words, times as aware datetimes, and None for what is absent."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Literal, Self, TypeAlias, cast

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.timestamp_pb2 import Timestamp

from evergreen.v1 import video_pb2 as wire

State: TypeAlias = Literal[
    "queued", "running", "needs_attention", "cancelling", "succeeded", "failed", "cancelled", "expired"
]
Stage: TypeAlias = Literal["preparing", "waiting", "submitting", "throttled", "generating", "delivering"]
Kind: TypeAlias = Literal["video", "image", "speech", "sound"]
Resolution: TypeAlias = Literal["resubmit", "abandon", "attach"]


class _Value:
    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Returns the values as JSON can hold them: times as text in ISO 8601, and None for what is absent."""
        named = cast("Any", self)
        return {each.name: _plain(getattr(named, each.name)) for each in fields(named) if each.name != "message"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Output(_Value):
    """One delivered file: `asset` is its path in the scene."""

    asset: str
    content_type: str
    size_bytes: int
    crc32c: int
    width: int | None
    height: int | None
    duration_seconds: float | None
    poster: str | None
    """The path in the scene of a JPEG of a frame near the start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem(_Value):
    """Why a job failed, or what did not go as requested: one of the reasons of docs/errors.md, and a sentence."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(_Value):
    """A job as the service told it at one time. What a newer service has beyond these words comes as its number."""

    job_id: str
    project_id: str
    scene_id: str
    request_id: str
    kind: Kind
    state: State
    stage: Stage | None
    progress: float
    """How much of the current attempt is done, 0 to 1."""
    attempt: int
    revision: int
    """The number of the change in its project: the cursor of a watch."""
    model: str | None
    """None in what a watch yields, which tells no requests."""
    prompt: str | None
    """As `model`."""
    film_id: str | None
    provider_task_id: str | None
    estimated_credits: float | None
    charged_credits: float | None
    """None until the job is final, or if the cost is not known."""
    outputs: tuple[Output, ...]
    warnings: tuple[Problem, ...]
    error: Problem | None
    labels: Mapping[str, str] = field(hash=False)
    create_time: datetime | None
    start_time: datetime | None
    update_time: datetime | None
    end_time: datetime | None
    queue_position: int | None
    estimated_start_time: datetime | None
    estimated_end_time: datetime | None
    message: wire.Job = field(repr=False, compare=False)
    """What the service sent; the only value that `to_dict` leaves out."""

    @property
    def eta(self) -> datetime | None:
        """When the job will be generated, approximately; None if it cannot be estimated."""
        return self.estimated_end_time

    @property
    def is_final(self) -> bool:
        """Whether the job will not change any more."""
        return self.state in ("succeeded", "failed", "cancelled", "expired")

    @classmethod
    def of(cls, message: wire.Job) -> Self:
        """Returns the values of a message."""
        request = message.request if message.HasField("request") else None
        other = message.generate_request if message.HasField("generate_request") else None
        error = message.error if message.HasField("error") else None
        return cls(
            job_id=message.job_id,
            project_id=message.project_id,
            scene_id=message.scene_id,
            request_id=message.request_id,
            kind=cast(Kind, word(wire.MediaKind.DESCRIPTOR, message.kind) or "video"),
            state=cast(State, word(wire.JobState.DESCRIPTOR, message.state) or "queued"),
            stage=cast("Stage | None", word(wire.JobStage.DESCRIPTOR, message.stage)),
            progress=message.progress,
            attempt=message.attempt,
            revision=message.revision,
            model=request.model if request else other.model if other else None,
            prompt=request.prompt_text if request else _prompt(other) if other else None,
            film_id=message.film_id or None,
            provider_task_id=message.provider_task_id or None,
            estimated_credits=message.estimated_credits if message.HasField("estimated_credits") else None,
            charged_credits=message.charged_credits if message.HasField("charged_credits") else None,
            outputs=tuple(_output(each) for each in message.outputs),
            warnings=tuple(Problem(reason=each.code, message=each.message) for each in message.warnings),
            error=Problem(reason=error.reason, message=error.message) if error else None,
            labels=dict(message.labels),
            create_time=_time(message, "create_time"),
            start_time=_time(message, "start_time"),
            update_time=_time(message, "update_time"),
            end_time=_time(message, "end_time"),
            queue_position=message.queue_position if message.HasField("queue_position") else None,
            estimated_start_time=_time(message, "estimated_start_time"),
            estimated_end_time=_time(message, "estimated_end_time"),
            message=message,
        )


def word(kind: EnumDescriptor, value: int) -> str | None:
    """Returns the short word of an enum's value, such as `succeeded`; its number if it is newer than this client."""
    if not value:
        return None
    known = kind.values_by_number.get(value)
    return str(value) if known is None else str(known.name).removeprefix(_prefix(kind)).lower()


def number(kind: EnumDescriptor, value: str | int, what: str) -> Any:
    """Returns the number of an enum's short word; a number as it is. Raises ValueError naming what is known."""
    if not isinstance(value, str):
        return value
    found = kind.values_by_name.get(_prefix(kind) + value.upper())
    if found is None or not found.number:
        known = ", ".join(str(word(kind, each.number)) for each in kind.values if each.number)
        raise ValueError(f"there is no {what} {value!r}; there are {known}")
    return found.number


def numbers(kind: EnumDescriptor, values: Iterable[str | int], what: str) -> list[Any]:
    """Returns the numbers of several. Raises ValueError."""
    return [number(kind, each, what) for each in values]


def _prefix(kind: EnumDescriptor) -> str:
    return str(kind.values_by_number[0].name).removesuffix("UNSPECIFIED")


def _prompt(request: wire.GenerateRequest) -> str | None:
    spec = getattr(request, request.WhichOneof("operation") or "image")
    return getattr(spec, "prompt_text", None) or getattr(spec, "text", None)


def _output(output: wire.Output) -> Output:
    return Output(
        asset=output.asset,
        content_type=output.content_type,
        size_bytes=output.size_bytes,
        crc32c=output.crc32c,
        width=output.width or None,
        height=output.height or None,
        duration_seconds=output.duration_seconds or None,
        poster=output.poster or None,
    )


def _time(message: wire.Job, name: str) -> datetime | None:
    stamp: Timestamp = getattr(message, name)
    return stamp.ToDatetime(tzinfo=UTC) if message.HasField(cast(Any, name)) else None


def _plain(value: object) -> object:
    match value:
        case datetime():
            return value.isoformat()
        case tuple():
            return [_plain(each) for each in value]
        case _Value():
            return value.to_dict()
        case Mapping():
            return dict(value)
        case _:
            return value
