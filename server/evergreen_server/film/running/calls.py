"""What callers ask of runs, in values that nobody has checked, and what is wrong with them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from evergreen_server.film.model import OnShotFailure
from evergreen_server.film.plans.calls import id_errors, request_id_errors
from evergreen_server.film.profiles import profiles_of
from evergreen_server.film.runs.deciding import FilmGate, FilmStage
from evergreen_server.film.runs.run import Terms
from evergreen_server.jobs.intake import MAX_ATTEMPTS, MAX_CREDITS, MAX_PRIORITY
from evergreen_server.ports.specs import FieldError, InvalidRequest

__all__ = [
    "ApproveRequest",
    "ExportRequest",
    "StartRequest",
    "approve_errors",
    "cancel_errors",
    "export_terms",
    "key_errors",
    "start_errors",
]

_ENDS: Final = frozenset({None, FilmStage.STORYBOARD, FilmStage.CLIPS})
"""The stages after which a run can end; None: once the cut is published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRequest:
    """A run that is to be started. `digest` tells the request from any other under its request_id."""

    project_id: str
    film_id: str
    request_id: str
    digest: str
    plan_revision: int
    max_credits: float | None
    """The most that all of it may cost; required."""
    terms: Terms
    finish_by: datetime | None = None
    traceparent: str = ""
    """The span of the call; empty if of no trace."""
    unread: Sequence[FieldError] = ()
    """What an edge could not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApproveRequest:
    """An approval of a run as it was at a revision."""

    project_id: str
    film_id: str
    run: int
    plan_revision: int
    max_credits: float | None
    """The most that all of the run may cost, with what it has cost by now; required."""
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """Exports that are to be made of what is there. `digest` tells the request from any other under its request_id."""

    project_id: str
    film_id: str
    request_id: str
    digest: str
    plan_revision: int
    profiles: Sequence[Mapping[str, object]]
    """Each by the fields of an ExportProfile, as `profiles_of` takes them; none are those of the plan."""
    missing: OnShotFailure | None
    """What becomes of a shot whose output is not there, or no longer stands for the plan. None refuses the request."""
    traceparent: str = ""
    """The span of the call; empty if of no trace."""
    unread: Sequence[FieldError] = ()
    """What an edge could not read."""


def key_errors(request: StartRequest | ExportRequest) -> Iterator[FieldError]:
    """Yields what is wrong with the ids by which an earlier request is looked up."""
    yield from id_errors(request.project_id, request.film_id)
    yield from request_id_errors(request.request_id)


def start_errors(request: StartRequest, now: datetime) -> Iterator[FieldError]:
    """Yields what is wrong with a request but for its ids."""
    yield from request.unread
    yield from _plan_errors(request.plan_revision)
    yield from _sum_errors(request.max_credits)
    terms = request.terms
    if not 1 <= terms.max_attempts <= MAX_ATTEMPTS:
        yield FieldError(field="max_attempts", description=f"must be 1 to {MAX_ATTEMPTS}")
    if abs(terms.priority) > MAX_PRIORITY:
        yield FieldError(field="priority", description=f"must be -{MAX_PRIORITY} to {MAX_PRIORITY}")
    if request.finish_by is not None and request.finish_by <= now:
        yield FieldError(field="finish_by", description="must lie in the future")
    if terms.stop_after not in _ENDS:
        yield FieldError(field="stop_after", description="must be STORYBOARD or CLIPS; not set, the cut is made")
    for gate in sorted(terms.gates):
        if (gate, terms.stop_after) in _NEVER_REACHED:
            yield FieldError(
                field="gates", description=f"a run that stops after {terms.stop_after} never gets to {gate}"
            )


_NEVER_REACHED: Final = frozenset(
    {
        (FilmGate.STORYBOARD, FilmStage.STORYBOARD),
        (FilmGate.CLIPS, FilmStage.STORYBOARD),
        (FilmGate.CLIPS, FilmStage.CLIPS),
    }
)


def export_terms(request: ExportRequest) -> Terms:
    """Returns the terms of an export. Raises InvalidRequest with everything that is wrong with it but its ids."""
    faults = [*request.unread, *_plan_errors(request.plan_revision)]
    profiles = profiles_of(request.profiles, faults)
    if request.missing is OnShotFailure.ASK:
        text = "must be STILL, LAST_GOOD, SKIP or FAIL: nothing is made that somebody could be asked about"
        faults.append(FieldError(field="missing", description=text))
    if faults:
        raise InvalidRequest(faults)
    return Terms(on_failure=request.missing or OnShotFailure.FAIL, profiles=profiles)


def approve_errors(request: ApproveRequest) -> Iterator[FieldError]:
    """Yields what is wrong with an approval."""
    yield from cancel_errors(request.project_id, request.film_id, request.run)
    yield from _plan_errors(request.plan_revision)
    yield from _sum_errors(request.max_credits)
    if request.revision < 1:
        yield FieldError(field="revision", description="required: the revision of the run as it was read")


def cancel_errors(project_id: str, film_id: str, run: int) -> Iterator[FieldError]:
    """Yields what is wrong with what names a run."""
    yield from id_errors(project_id, film_id)
    if run < 1:
        yield FieldError(field="run", description="required: the number of the run")


def _plan_errors(plan_revision: int) -> Iterator[FieldError]:
    if plan_revision < 1:
        yield FieldError(field="plan_revision", description="required: the revision of the plan that was read")


def _sum_errors(max_credits: float | None) -> Iterator[FieldError]:
    if max_credits is None:
        yield FieldError(field="max_credits", description="required: the most that all of it may cost; 0 is a sum")
    elif not (math.isfinite(max_credits) and 0 <= max_credits <= MAX_CREDITS):
        yield FieldError(field="max_credits", description=f"must be 0 to {MAX_CREDITS}")
