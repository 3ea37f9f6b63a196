"""What a job is: its value, and small changes of it that transitions are made of.

Money is in millicredits; times are timezone-aware UTC.

    JobError
      JobNotFound          no such job for this caller
      RequestReused        the request_id belongs to another request
      JobDeleted           the request's job is no longer kept
      Superseded           a newer execution owns the job; this one must stop at once
      WrongState           the job is not in a state that allows what was asked
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Self

from evergreen_server.jobs.model.states import FINAL, CostBasis, OnUnknownSubmission, Slot, Stage, State
from evergreen_server.ports.specs import GenerationSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFailure:
    """Why a job failed. `reason` is stable; `message` is for people; `provider_code` is the provider's own."""

    reason: str
    message: str
    provider_code: str = ""
    retryable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JobWarning:
    """Something the caller should know that did not stop the job."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One delivered file; `path` and `poster` are within the scene."""

    path: str
    content_type: str
    size_bytes: int
    crc32c: int
    width: int
    height: int
    duration_seconds: float
    poster: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One prepared input: an asset kept in the scene, or a URL that the provider is to fetch itself."""

    role: str
    asset: str = ""
    uri: str = ""
    content_type: str = ""
    at_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """The bytes of an input that were checked, and no others may be submitted. `sha256` is in hex."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """A request as accepted. `digest` tells it from any other under its request_id."""

    project_id: str
    scene_id: str
    request_id: str
    digest: str
    spec: GenerationSpec
    priority: int = 0
    max_attempts: int = 1
    on_unknown_submission: OnUnknownSubmission = OnUnknownSubmission.ASK
    max_millicredits: int | None = None
    start_by: datetime
    finish_by: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    film_id: str = ""
    """The film whose run made the request, and pays for it; empty for a caller's."""
    film_run: int = 0
    traceparent: str = ""
    """The span of the call that was accepted, as W3C writes it; empty if of no trace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as of its `revision`."""

    job_id: str
    request: JobRequest
    state: State = State.QUEUED
    stage: Stage = Stage.PREPARING
    revision: int = 0
    progress: float = 0.0
    attempt: int = 1
    restarts: int = 0
    """How many engine workflows were started for this attempt beyond the first."""
    fencing_token: str = ""
    """Token of the newest execution; an older one may change nothing."""
    replica: str = ""
    """The server process of that execution; empty before the first."""
    submit_token: str = ""
    """Token of the execution that may have posted; set before the POST, cleared once it surely created nothing."""
    slot: Slot | None = None
    """Set by the store and by the slot scheduler; an edit may only give back a slot that it did not use."""
    not_before: datetime | None = None
    """Until then a waiting job is granted no slot, since what has just failed most likely fails again."""
    submitted_at: datetime | None = None
    task_id: str = ""
    delete_sent: bool = False
    """Set before our own DELETE, so that a 404 after it is known to be ours."""
    estimated_millicredits: int | None = None
    charged_millicredits: int | None = None
    cost_basis: CostBasis | None = None
    charge_basis: CostBasis | None = None
    """What is known of the amount that was charged last."""
    inputs: tuple[Input, ...] = ()
    pins: tuple[Pin | None, ...] = ()
    """The pin of each input, None for a URL; empty if a release that pinned nothing prepared the inputs."""
    outputs: tuple[Output, ...] = ()
    warnings: tuple[JobWarning, ...] = ()
    error: JobFailure | None = None
    stage_at: datetime | None = None
    """When its stage began; None of a job that the release before has accepted."""
    created_at: datetime
    started_at: datetime | None = None
    updated_at: datetime
    ended_at: datetime | None = None

    @property
    def final(self) -> bool:
        return self.state in FINAL

    @property
    def needs_slot(self) -> Slot | None:
        """Returns the slot that the job's state alone asks for; WANTED may have been granted already."""
        if self.state is State.QUEUED and self.stage is Stage.WAITING:
            return Slot.WANTED
        under_way = self.state in (State.RUNNING, State.CANCELLING) and self.stage is not Stage.DELIVERING
        return Slot.HELD if under_way and (self.submit_token or self.task_id) else None

    @property
    def widened(self) -> bool:
        """Returns whether the release before cannot run it: it knows neither such a spec, nor who pays for a film's."""
        return self.request.spec.widened or self.request.film_id != ""

    @property
    def pinned(self) -> bool:
        """Returns whether the checked bytes of every input are known."""
        return len(self.pins) == len(self.inputs)

    def charged(self, millicredits: int, basis: CostBasis) -> Self:
        """Returns the job with the cost of one more attempt; once a part is only a bound, so is the sum."""
        whole = CostBasis.UPPER_BOUND if self.cost_basis is CostBasis.UPPER_BOUND else basis
        charged = (self.charged_millicredits or 0) + millicredits
        return replace(self, charged_millicredits=charged, cost_basis=whole, charge_basis=basis)

    def charged_at_most(self) -> Self:
        """Returns the job with the most that one more attempt can have cost; with a warning if no price is known."""
        if self.estimated_millicredits is None:
            unknown = replace(self, charge_basis=CostBasis.UPPER_BOUND)
            return unknown.warned("COST_UNKNOWN", f"what attempt {self.attempt} cost, if anything, is not known")
        return self.charged(self.estimated_millicredits, CostBasis.UPPER_BOUND)

    def failed(self, error: JobFailure) -> Self:
        """Returns the job as FAILED. What it cost must be charged separately."""
        return replace(self, state=State.FAILED, stage=Stage.NONE, error=error)

    def ended(self, state: State) -> Self:
        """Returns the job in a final state, with no stage."""
        return replace(self, state=state, stage=Stage.NONE)

    def waits(self, code: str, cause: str, *, not_before: datetime) -> Self:
        """Returns the job with a warning of what it waits for, one of each code, and without a slot that it cannot use.

        It gets no slot until `not_before`, so that others go first.
        """
        known = any(warning.code == code for warning in self.warnings)
        job = self if known else self.warned(code, f"the job waits: {cause}")
        return job.rests(not_before=not_before)

    def rests(self, *, not_before: datetime) -> Self:
        """Returns the job without a slot that it was granted and has not used."""
        unused = self.slot is Slot.HELD and self.needs_slot is Slot.WANTED
        return replace(self, slot=Slot.WANTED, not_before=not_before) if unused else self

    def warned(self, code: str, message: str) -> Self:
        """Returns the job with one more warning; the same warning is kept once."""
        warning = JobWarning(code=code, message=message)
        return self if warning in self.warnings else replace(self, warnings=(*self.warnings, warning))
