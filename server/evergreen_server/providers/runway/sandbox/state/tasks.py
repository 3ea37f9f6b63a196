"""A task, and its state at a given time: a pure function of its record and the clock."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal, TypeAlias

from evergreen_server.providers.runway.catalog.models import Json
from evergreen_server.providers.runway.rendering.job import Form
from evergreen_server.providers.runway.sandbox.settings import Progress

Status: TypeAlias = Literal["THROTTLED", "PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"]

ENDINGS: Mapping[Form, str] = {
    **{"mp4": "mp4", "hdr10": "mp4", "hlg": "mp4", "sdr10": "mp4", "mov": "mov", "prores": "mov"},
    **{"frames": "zip", "exr": "zip"},
    **{"png": "png", "jpeg": "jpg", "webp": "webp", "svg": "svg"},
    **{"mp3": "mp3", "wav": "wav", "flac": "flac", "ogg": "ogg"},
}

MILLI = 1000

# The provider keeps the price of a request that moderation refused, and refunds all others.
_CHARGED_FAILURES = ("SAFETY.", "INPUT_PREPROCESSING.SAFETY.")

_STEPS = ((0.9, 0.9), (0.5, 0.45), (0.15, 0.1), (0.0, 0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFailure:
    """How a scripted fault ends a task; `code` None is a failure without a code."""

    code: str | None
    message: str
    at: float
    """The part of the running time after which the task fails."""

    @property
    def charged(self) -> bool:
        return self.code is not None and self.code.startswith(_CHARGED_FAILURES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Media that an output is made from: a file of the asset store, by its SHA-256."""

    digest: str
    kind: Literal["image", "video", "audio"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord:
    """All that was decided when a task was created. Money in millicredits, times in simulated seconds.

    Width and height are 0 for sounds, `clip_seconds` is 0 for pictures.
    """

    id: str
    operation: str
    model: str
    prompt_text: str
    body_digest: str
    created_at: float
    estimate: int
    cost: int
    pending_seconds: float
    running_seconds: float
    width: int
    height: int
    clip_seconds: float
    source: Source | None = None
    failure: PlannedFailure | None = None
    held_seconds: float = 0.0
    padding_bytes: int = 0
    outputs: int = 1
    draft: bool = False
    form: Form = "mp4"
    sound: bool = False
    references: tuple[Source, ...] = ()
    making: Mapping[str, Json] = field(default_factory=dict)
    """What else the renderer gets, by the names of its `Job`."""

    def entry(self) -> dict[str, Json]:
        return asdict(self)

    @classmethod
    def from_entry(cls, entry: dict[str, Json]) -> "TaskRecord":
        values = dict(entry)
        source, failure, references = values.pop("source"), values.pop("failure"), values.pop("references", [])
        assert isinstance(references, list)
        return cls(
            **values,  # type: ignore[arg-type] # written by `entry` from the same fields
            source=None if source is None else Source(**source),  # type: ignore[arg-type] # written by `entry`
            failure=None if failure is None else PlannedFailure(**failure),  # type: ignore[arg-type] # as above
            references=tuple(Source(**one) for one in references),  # type: ignore[arg-type] # as above
        )

    @property
    def files(self) -> tuple[str, ...]:
        """Returns the names of the outputs; the sound of a sequence is a file beside it."""
        files = [f"{number}.{ENDINGS[self.form]}" for number in range(self.outputs)]
        return (*files, f"{self.outputs}.wav") if self.form == "frames" and self.sound else tuple(files)

    @property
    def seconds_to_end(self) -> float:
        """Returns the seconds from admission to the end."""
        part = 1.0 if self.failure is None else self.failure.at
        return self.pending_seconds + self.running_seconds * part


@dataclass(slots=True, kw_only=True)
class Task:
    """A recorded task. `admitted_at` is when it stopped being THROTTLED."""

    record: TaskRecord
    charged: int
    admitted_at: float | None = None
    deleted_at: float | None = None
    cancelled: bool = False
    """Deleted before its end; what was deleted after it is not."""

    @property
    def ends_at(self) -> float | None:
        return None if self.admitted_at is None else self.admitted_at + self.record.seconds_to_end

    def status(self, now: float) -> Status:
        if self.cancelled:
            return "CANCELLED"
        if self.admitted_at is None or now < self.admitted_at:
            return "THROTTLED"
        if now < self.admitted_at + min(self.record.pending_seconds, self.record.seconds_to_end):
            return "PENDING"
        if now < self.admitted_at + self.record.seconds_to_end:
            return "RUNNING"
        return "SUCCEEDED" if self.record.failure is None else "FAILED"

    def progress(self, now: float, *, shape: Progress, every: float) -> float:
        """Returns the progress of a RUNNING task as last updated, from 0 to below 1."""
        if self.admitted_at is None:
            return 0.0
        elapsed = max(0.0, now - self.admitted_at - self.record.pending_seconds)
        part = min(0.99, elapsed // every * every / self.record.running_seconds)
        match shape:
            case "none":
                return 0.0
            case "stepwise":
                return next(value for threshold, value in _STEPS if part >= threshold)
            case "linear":
                return round(part, 2)


def credits_of(millicredits: int) -> int | float:
    """Returns an amount as the API writes it: a whole number wherever it is one."""
    whole, rest = divmod(millicredits, MILLI)
    return whole if rest == 0 else millicredits / MILLI
