"""The run of a film: what was asked for, how far it is, and which changes of it are allowed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, Self

from evergreen_server.film.digests import Redo
from evergreen_server.film.model import FilmWarning, OnShotFailure
from evergreen_server.film.runs.deciding import FilmGate, FilmStage
from evergreen_server.film.runs.tally import Tally
from evergreen_server.jobs.model.held import Held
from evergreen_server.jobs.model.job import JobFailure
from evergreen_server.jobs.model.states import OnUnknownSubmission, Slot
from evergreen_server.ports.timeline import Profile
from evergreen_server.runtime.traces import read_traceparent, span_id_of

__all__ = [
    "ENDED",
    "EXPIRED",
    "MOST_WARNINGS",
    "MOVES",
    "RENDERS",
    "WAITS_FOR_PEOPLE",
    "Approval",
    "FilmRun",
    "RunKind",
    "RunState",
    "RunTrouble",
    "Terms",
]


class RunState(StrEnum):
    """How far a run is; the last three are final."""

    RUNNING = "RUNNING"
    AWAITING_APPROVAL = "AWAITING_APPROVAL"
    NEEDS_ATTENTION = "NEEDS_ATTENTION"
    CANCELLING = "CANCELLING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class RunKind(StrEnum):
    PRODUCE = "PRODUCE"
    EXPORT = "EXPORT"
    """It makes the cut of what is there, and has no jobs."""


ENDED: Final = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED})
WAITS_FOR_PEOPLE: Final = frozenset({RunState.AWAITING_APPROVAL, RunState.NEEDS_ATTENTION})
"""No workflow runs meanwhile."""

RENDERS: Final = "*renders"
"""Names the one queue of runs that are to be rendered, where queues have the names of models."""

EXPIRED: Final = JobFailure(reason="FILM_EXPIRED", message="the run was not over by its finish_by")
MOST_WARNINGS: Final = 500

MOVES: Final[Mapping[RunState, frozenset[RunState]]] = {
    RunState.RUNNING: frozenset(RunState),
    RunState.AWAITING_APPROVAL: frozenset({RunState.RUNNING, RunState.CANCELLING}),
    RunState.NEEDS_ATTENTION: frozenset({RunState.NEEDS_ATTENTION, RunState.RUNNING, RunState.CANCELLING}),
    # One whose job must be resolved before it can end asks meanwhile.
    RunState.CANCELLING: frozenset({RunState.CANCELLING, RunState.CANCELLED, RunState.FAILED, RunState.SUCCEEDED}),
    **dict.fromkeys(ENDED, frozenset()),
}
"""From each state, the states that may follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the caller asked of a run. It never changes."""

    redo: Redo = Redo.CHANGED
    gates: frozenset[FilmGate] = frozenset()
    on_failure: OnShotFailure = OnShotFailure.ASK
    max_attempts: int = 1
    on_unknown_submission: OnUnknownSubmission = OnUnknownSubmission.ASK
    priority: int = 0
    stop_after: FilmStage | None = None
    profiles: tuple[Profile, ...] = ()
    """The forms of an export; none are those of the plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTrouble:
    """An output that somebody must decide about."""

    item_id: str
    """The shot or the line."""
    output: str
    job_id: str
    reason: str
    message: str
    sha256: str = ""
    """Of the file that cannot be used, whatever is approved, where there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """What somebody approved: a plan and a sum, of a run as it was at a revision."""

    revision: int
    plan_revision: int
    approved: int
    """Millicredits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmRun:
    """A run as its row says."""

    project_id: str
    film_id: str
    run: int
    """Counts from 1 in its film."""
    kind: RunKind = RunKind.PRODUCE
    plan_revision: int
    terms: Terms
    money: Held
    passed: frozenset[FilmGate] = frozenset()
    takes: Mapping[str, int] = field(default_factory=dict)
    """By the digest of what an output is made from, the take that was approved, where that is not the first."""
    approval: Approval | None = None
    """The last one."""
    finish_by: datetime | None = None
    state: RunState = RunState.RUNNING
    stage: FilmStage = FilmStage.STORYBOARD
    gate: FilmGate | None = None
    """At which it waits for approval."""
    revision: int = 0
    leg: int = 1
    execution: str = ""
    replica: str = ""
    troubles: tuple[RunTrouble, ...] = ()
    warnings: tuple[FilmWarning, ...] = ()
    error: JobFailure | None = None
    frames: int = 0
    """Of all its exports, once they are being rendered."""
    frames_done: int = 0
    exports: tuple[str, ...] = ()
    """The digests of its exports, once all of them are rendered."""
    published: bool = False
    slot: Slot | None = None
    """Whether it is queued for a server to render it, or has one; None while there is nothing to render."""
    slot_at: datetime | None = None
    """Since when it is queued, or not before when it is to be served; then, since when it is rendered."""
    traceparent: str = ""
    """The span of the call that began it, as W3C writes it; empty if of no trace."""
    tally: Tally = field(default_factory=Tally)
    """How far its jobs are, by its last look."""
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None = None

    @property
    def key(self) -> str:
        """Returns what names the film of all projects, for wake-ups."""
        return f"{self.project_id}/{self.film_id}"

    @property
    def span_id(self) -> str:
        """Returns the id of the span of the run, which those of its jobs and renders are part of."""
        return span_id_of("film", self.project_id, self.film_id, str(self.run))

    @property
    def trace(self) -> str:
        """Returns the span of the run, as W3C writes it; empty if its caller named no trace."""
        given = read_traceparent(self.traceparent)
        return str(replace(given, span_id=self.span_id)) if given is not None else ""

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    def waits(self, code: str, cause: str) -> Self:
        """Returns the run with a warning of what it waits for; one of each code, however often it is tried."""
        if any(warning.code == code for warning in self.warnings):
            return self
        warning = FilmWarning(code=code, message=f"the run waits, or waited: {cause}")
        return replace(self, warnings=(*self.warnings, warning))

    def wants_slot(self, at: datetime) -> Self:
        """Returns the run, if it is on, queued to be rendered; until then no workflow runs."""
        if self.state is not RunState.RUNNING:
            return self.leaves_slot()
        return replace(self, slot=Slot.WANTED, slot_at=at)

    def holds_slot(self, at: datetime, *, execution: str, replica: str) -> Self:
        """Returns the run with a server that renders it, which goes on with its leg."""
        return replace(self, slot=Slot.HELD, slot_at=at, execution=execution, replica=replica)

    def leaves_slot(self) -> Self:
        """Returns the run without a server that renders it; unless it waits for people, one more leg goes on."""
        if self.slot is None:
            return self
        return replace(self, slot=None, slot_at=None, leg=self.leg + (self.state not in WAITS_FOR_PEOPLE))

    def warned(self, warnings: Iterable[FilmWarning]) -> Self:
        """Returns the run with more warnings, each once; of very many with the first."""
        every = dict.fromkeys((*self.warnings, *warnings))
        return replace(self, warnings=tuple(every)[:MOST_WARNINGS])

    def awaits(self, gate: FilmGate) -> Self:
        """Returns the run waiting for approval at a gate."""
        return replace(self, state=RunState.AWAITING_APPROVAL, gate=gate, troubles=())

    def asks(self, troubles: tuple[RunTrouble, ...], error: JobFailure | None = None) -> Self:
        """Returns the run waiting for somebody to decide about outputs, or about its sum.

        One that is ending goes on ending, and for the same reason.
        """
        if self.state is RunState.CANCELLING:
            return replace(self, troubles=troubles)
        return replace(self, state=RunState.NEEDS_ATTENTION, troubles=troubles, error=error)

    def approved(self, approval: Approval, *, quote: int, takes: Mapping[str, int]) -> Self:
        """Returns the run going on, with one more leg, with the quote of what is still to be made held.

        Raises FilmCreditsExceeded if the sum has no room for the quote.
        """
        passed = self.passed if self.gate is None else self.passed | {self.gate}
        return replace(
            self,
            state=RunState.RUNNING,
            gate=None,
            passed=passed,
            troubles=(),
            error=None,
            money=self.money.approve(approval.approved, quote=quote),
            takes={**self.takes, **takes},
            approval=approval,
            plan_revision=approval.plan_revision,
            slot=None,
            slot_at=None,
            leg=self.leg + 1,
        )

    def cancelling(self, error: JobFailure | None = None) -> Self:
        """Returns the run ending; what it held is released at once. Where it waited for people or for a server to
        render it, a leg ends it.
        """
        waited = self.state in WAITS_FOR_PEOPLE or self.slot is Slot.WANTED
        return replace(
            self,
            state=RunState.CANCELLING,
            gate=None,
            troubles=(),
            error=error,
            money=self.money.release(),
            leg=self.leg + waited,
            slot=None if waited else self.slot,
            slot_at=None if waited else self.slot_at,
        )

    def ends(self, state: RunState, error: JobFailure | None = None) -> Self:
        """Returns the run in a final state, with nothing left to decide. What it still held is released."""
        return replace(
            self,
            state=state,
            gate=None,
            troubles=(),
            money=self.money.release(),
            error=error,
            slot=None,
            slot_at=None,
        )
