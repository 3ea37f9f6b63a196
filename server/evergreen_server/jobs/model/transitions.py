"""Every transition of a job: pure functions from the job as it stands to the job as it becomes.

Nothing else changes a job's state. The store runs each within a transaction, on the job as its row has it, and
refuses what `states.MOVES` does not allow. docs/state-machine.md is generated from the functions marked `@transition`.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from evergreen_server.jobs.model.errors import Superseded, WrongState
from evergreen_server.jobs.model.job import Input, Job, JobFailure, JobWarning, Output, Pin
from evergreen_server.jobs.model.states import (
    FINAL,
    UNFINISHED,
    CostBasis,
    OnUnknownSubmission,
    Slot,
    Stage,
    State,
)
from evergreen_server.jobs.model.warnings import PROVIDER_UNAVAILABLE
from evergreen_server.ports.provider import (
    DailyLimitReached,
    Failure,
    InsufficientCredits,
    NotOurs,
    NotSent,
    ProviderError,
    Refused,
    Submission,
    Task,
    Unauthorized,
)

F = TypeVar("F", bound=Callable[..., Job])

LONGEST_LIFE = timedelta(days=30)
NOT_KNOWN = "it is not known whether the provider created a task"

FOLLOWED = frozenset({State.RUNNING, State.CANCELLING})
STAYS = {state: {state} for state in FOLLOWED}


def transition(moves: Mapping[State, Collection[State]]) -> Callable[[F], F]:
    """Marks a transition with the states that it applies to and where it may lead from each, for tests and the docs."""

    def mark(function: F) -> F:
        function.__dict__["moves"] = {old: frozenset(new) for old, new in moves.items()}
        return function

    return mark


# Ownership: who executes the job.


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An execution asks to own a job's attempt."""

    job_id: str
    attempt: int
    restarts: int
    fencing_token: str


def take_ownership(job: Job, claim: Claim, replica_id: str) -> Job:
    """Transition: an execution owns the job. Raises Superseded if nothing is left to do for it."""
    if (
        job.final
        or job.state is State.NEEDS_ATTENTION
        or (job.attempt, job.restarts) != (claim.attempt, claim.restarts)
    ):
        raise Superseded(job.job_id)
    return replace(job, fencing_token=claim.fencing_token, replica=replica_id)


def run_again(job: Job) -> Job:
    """Transition: the job's workflow is gone and is started anew. No watcher sees a change."""
    return job if job.final or job.state is State.NEEDS_ATTENTION else replace(job, restarts=job.restarts + 1)


# Preparation: nothing has been sent or paid.


@transition({State.QUEUED: {State.QUEUED}, State.CANCELLING: {State.CANCELLED}})
def prepared(job: Job, inputs: Sequence[Input], pins: Sequence[Pin | None], warnings: Iterable[JobWarning] = ()) -> Job:
    """Transition: every input is checked and kept; the job waits for a slot."""
    if job.state is State.CANCELLING:
        return cancelled_before_submission(job)
    job = with_warnings(job, warnings)
    return replace(job, inputs=tuple(inputs), pins=tuple(pins), stage=Stage.WAITING)


@transition({State.QUEUED: {State.FAILED}, State.RUNNING: {State.FAILED}, State.CANCELLING: {State.CANCELLED}})
def unusable(job: Job, error: JobFailure) -> Job:
    """Transition: an input cannot be used, so that nothing is submitted or paid."""
    return cancelled_before_submission(job) if job.state is State.CANCELLING else free(job).failed(error)


@transition(
    {
        State.QUEUED: {State.FAILED},
        State.RUNNING: {State.RUNNING, State.FAILED},
        State.CANCELLING: {State.CANCELLING, State.CANCELLED},
    }
)
def never_sent(job: Job, error: JobFailure) -> Job:
    """Transition: an error of the service prevents submission; a job that may have been sent is left as it is."""
    return job if job.final or job.submit_token or job.task_id else unusable(job, error)


@transition({State.QUEUED: {State.EXPIRED}, State.CANCELLING: {State.CANCELLED}})
def expired(job: Job, error: JobFailure) -> Job:
    """Transition: the job was not submitted in time."""
    if job.state is State.CANCELLING:
        return cancelled_before_submission(job)
    return replace(free(job), error=error).ended(State.EXPIRED)


@transition({State.CANCELLING: {State.CANCELLED}})
def cancelled_before_submission(job: Job) -> Job:
    """Transition: a job that is to be cancelled has nothing at the provider. Any other job is left as it is."""
    return free(job).ended(State.CANCELLED) if job.state is State.CANCELLING else job


# Submission: what came of the one POST.


@transition({State.QUEUED: {State.QUEUED, State.RUNNING}, State.CANCELLING: {State.CANCELLED}})
def intended(job: Job, token: str, now: datetime) -> Job:
    """Transition: the intent to submit is recorded, before a byte is sent; only with a slot."""
    if job.state is State.CANCELLING:
        return cancelled_before_submission(job)
    if job.slot is not Slot.HELD:
        return job
    now = max(now, job.updated_at)
    return replace(
        job,
        state=State.RUNNING,
        stage=Stage.SUBMITTING,
        submit_token=token,
        submitted_at=now,
        started_at=job.started_at or now,
    )


@transition({State.RUNNING: {State.QUEUED}, State.CANCELLING: {State.CANCELLED}})
def withdrawn(job: Job, not_before: datetime) -> Job:
    """Transition: not a byte was sent; the job waits for a slot again, no earlier than `not_before`."""
    job = replace(job, submit_token="", submitted_at=None)
    if job.state is State.CANCELLING:
        return cancelled_before_submission(job)
    return replace(job, state=State.QUEUED, stage=Stage.WAITING, not_before=not_before)


@transition(
    {
        State.QUEUED: {State.QUEUED},
        State.RUNNING: {State.QUEUED},
        State.NEEDS_ATTENTION: {State.QUEUED},
        State.CANCELLING: {State.CANCELLING},
    }
)
def unsent(job: Job) -> Job:
    """Transition: a superseded execution reports that it sent nothing. A cancellation stays in force."""
    job = replace(job, submit_token="", submitted_at=None)
    match job.state:
        case State.RUNNING:
            return replace(job, state=State.QUEUED, stage=Stage.WAITING)
        case State.NEEDS_ATTENTION:
            return replace(job, state=State.QUEUED, stage=Stage.WAITING, restarts=job.restarts + 1, error=None)
        case _:
            return job


@transition(STAYS)
def created(job: Job, submission: Submission) -> Job:
    """Transition: the provider made a task."""
    return replace(
        job,
        task_id=submission.task_id,
        estimated_millicredits=submission.estimated_millicredits or job.estimated_millicredits,
    )


@transition(STAYS)
def adopted(job: Job, task_id: str) -> Job:
    """Transition: the task that an earlier execution made is the job's."""
    return replace(job, task_id=task_id)


@transition({State.RUNNING: {State.QUEUED, State.FAILED}, State.CANCELLING: {State.FAILED, State.CANCELLED}})
def not_created(job: Job, exc: ProviderError, not_before: datetime) -> Job:
    """Transition: the POST surely created nothing. Raises TypeError for any other answer."""
    back = withdrawn(job, not_before)
    job = replace(job, submit_token="", submitted_at=None)
    match exc:
        case InsufficientCredits():
            return free(job).failed(JobFailure(reason="INSUFFICIENT_CREDITS", message=str(exc), retryable=True))
        case Refused():
            details = "; ".join(f"{each.field}: {each.description}" for each in exc.field_errors)
            message = f"{exc} ({details})" if details else str(exc)
            return free(job).failed(JobFailure(reason="PROVIDER_REFUSED", message=message))
        case Unauthorized():
            return free(job).failed(JobFailure(reason="PROVIDER_UNAUTHORIZED", message=str(exc), retryable=True))
        case NotOurs() | DailyLimitReached():
            return back
        case NotSent():
            return back if back.final else back.waits(PROVIDER_UNAVAILABLE, str(exc), not_before=not_before)
        case _:
            raise TypeError(f"not an answer to a create: {exc!r}")


@transition({State.RUNNING: {State.QUEUED, State.NEEDS_ATTENTION}, State.CANCELLING: {State.NEEDS_ATTENTION}})
def submission_unknown(job: Job, cause: str, not_before: datetime) -> Job:
    """Transition: the answer was lost. If the request says RESUBMIT, the job is QUEUED once for a new attempt."""
    again = job.request.on_unknown_submission is OnUnknownSubmission.RESUBMIT
    resubmitted = any(warning.code == "SUBMISSION_UNKNOWN" for warning in job.warnings)
    if again and not resubmitted and job.state is State.RUNNING:
        job = job.warned("SUBMISSION_UNKNOWN", f"{NOT_KNOWN}: {cause}; submitted once more, as the request asked")
        return next_attempt(job.charged_at_most(), not_before=not_before)
    return needs_attention(job, cause)


@transition({State.RUNNING: {State.NEEDS_ATTENTION}, State.CANCELLING: {State.NEEDS_ATTENTION}})
def needs_attention(job: Job, cause: str) -> Job:
    """Transition: it is not known whether the job was submitted, and only its caller can decide what to do."""
    error = JobFailure(reason="SUBMISSION_UNKNOWN", message=f"{NOT_KNOWN}: {cause}")
    return replace(job, state=State.NEEDS_ATTENTION, stage=Stage.NONE, error=error)


@transition({State.RUNNING: {State.QUEUED}, State.NEEDS_ATTENTION: {State.QUEUED}})
def next_attempt(job: Job, *, not_before: datetime | None) -> Job:
    """Transition: the job waits for one more attempt. What the last one cost must be charged before."""
    return replace(
        job,
        state=State.QUEUED,
        stage=Stage.WAITING if job.inputs or not job.request.spec.media else Stage.PREPARING,
        attempt=job.attempt + 1,
        restarts=0,
        not_before=not_before,
        progress=0.0,
        submit_token="",
        submitted_at=None,
        task_id="",
        delete_sent=False,
        error=None,
    )


# The task at the provider, followed to its end.


@transition(STAYS)
def stage_observed(job: Job, stage: Stage) -> Job:
    """Transition: the task waits or runs at the provider. A job that is to be cancelled keeps its stage."""
    return replace(job, stage=stage) if job.state is State.RUNNING else job


@transition(STAYS)
def cancellation_intended(job: Job) -> Job:
    """Transition: recorded before the DELETE is sent, so that a task that is gone afterwards is known as our doing."""
    return replace(job, delete_sent=True)


@transition(STAYS)
def generated(job: Job, task: Task) -> Job:
    """Transition: the task has succeeded; its outputs are to be stored."""
    if job.stage is Stage.DELIVERING:
        return job
    if job.state is State.CANCELLING:
        job = job.warned("CANCEL_TOO_LATE", "the clip was finished before it could be cancelled; it is delivered")
    return replace(charged(job, task), stage=Stage.DELIVERING)


@transition({State.RUNNING: {State.QUEUED, State.FAILED}, State.CANCELLING: {State.FAILED}})
def generation_failed(job: Job, task: Task, failure: Failure, again_at: datetime, again: bool = True) -> Job:
    """Transition: the task has failed. If that cost nothing and attempts are left, the job waits for the next."""
    job = charged(job, task)
    cost_nothing = task.charged_millicredits == 0 or (task.charged_millicredits is None and failure.free)
    again = again and failure.retryable and cost_nothing and job.attempt < job.request.max_attempts
    if again and job.state is State.RUNNING:
        return next_attempt(job, not_before=again_at)
    return job.failed(
        JobFailure(
            reason=failure.reason,
            message=failure.message,
            provider_code=failure.code,
            retryable=failure.retryable,
        )
    )


@transition({State.RUNNING: {State.FAILED, State.EXPIRED}, State.CANCELLING: {State.FAILED, State.CANCELLED}})
def task_gone(job: Job, text: str, *, ours: bool) -> Job:
    """Transition: the provider no longer knows the task, nor what it cost; `ours` if we may have deleted it."""
    return task_missing(job.charged_at_most(), text, ours=ours)


@transition({State.RUNNING: {State.FAILED, State.EXPIRED}, State.CANCELLING: {State.FAILED, State.CANCELLED}})
def task_missing(job: Job, text: str, *, ours: bool) -> Job:
    """Transition: the task was cancelled at the provider; `ours` if we may have done it."""
    if ours:
        return cancelled(job)
    return job.failed(JobFailure(reason="PROVIDER_TASK_GONE", message=text))


@transition({State.RUNNING: {State.EXPIRED}, State.CANCELLING: {State.CANCELLED}})
def cancelled(job: Job) -> Job:
    """Transition: our DELETE ended the task, for a caller or because `finish_by` has passed."""
    if job.state is State.CANCELLING:
        return job.ended(State.CANCELLED)
    error = JobFailure(reason="FINISH_BY_PASSED", message="the job expired: it was not finished in time")
    return replace(job, error=error).ended(State.EXPIRED)


# Delivery: what was made is paid for.


@transition({State.RUNNING: {State.FAILED}, State.CANCELLING: {State.FAILED}})
def delivery_failed(
    job: Job, outputs: tuple[Output, ...], error: JobFailure, warnings: Iterable[JobWarning] = ()
) -> Job:
    """Transition: an output cannot be fetched or stored; the others are delivered."""
    return replace(with_warnings(job, warnings), outputs=outputs).failed(error)


@transition({State.RUNNING: {State.SUCCEEDED}, State.CANCELLING: {State.SUCCEEDED}})
def delivered(job: Job, outputs: tuple[Output, ...], gone: bool, warnings: Iterable[JobWarning] = ()) -> Job:
    """Transition: every output is stored and named in the scene; `gone` if the task disappeared meanwhile."""
    job = with_warnings(job, warnings)
    late = "the output was being delivered when it was to be cancelled"
    if job.state is State.CANCELLING and all(warning.code != "CANCEL_TOO_LATE" for warning in job.warnings):
        job = job.warned("CANCEL_TOO_LATE", late)
    if gone:
        text = f"the task is gone at the provider; {len(outputs)} of its outputs had been stored and are delivered"
        job = job.warned("TASK_GONE", text)
    return replace(job, outputs=outputs, progress=1.0, error=None).ended(State.SUCCEEDED)


# Commands: what a caller asks for.


@transition(
    {
        **{state: {State.CANCELLING} for state in UNFINISHED - {State.NEEDS_ATTENTION}},
        **{state: {state} for state in FINAL},
    }
)
def cancelling(job: Job) -> Job:
    """Transition: the job is to be cancelled. Raises WrongState if its submission must be resolved first."""
    if job.state is State.NEEDS_ATTENTION:
        text = "nobody knows whether the job was submitted; resolve it by ResolveSubmission"
        raise WrongState(job, text, reason="NEEDS_RESOLUTION")
    return job if job.final else replace(job, state=State.CANCELLING)


@transition({State.NEEDS_ATTENTION: {State.QUEUED}})
def resubmitted(job: Job) -> Job:
    """Transition: a new attempt, though the last one may have been paid for. Raises WrongState."""
    return next_attempt(unresolved(job).charged_at_most(), not_before=None)


@transition({State.NEEDS_ATTENTION: {State.FAILED}})
def abandoned(job: Job) -> Job:
    """Transition: the job is given up, though it may have been paid for. Raises WrongState."""
    error = JobFailure(
        reason="SUBMISSION_ABANDONED",
        message="the submission's outcome was never known and the job was abandoned; it may have been charged",
    )
    return unresolved(job).charged_at_most().failed(error)


@transition({State.NEEDS_ATTENTION: {State.RUNNING}})
def attached(job: Job, task_id: str) -> Job:
    """Transition: the task of the unknown submission was found, by its caller or in the records. Raises WrongState."""
    return replace(
        unresolved(job),
        state=State.RUNNING,
        stage=Stage.GENERATING,
        task_id=task_id,
        restarts=job.restarts + 1,
        error=None,
    )


# What transitions share.


def unresolved(job: Job) -> Job:
    """Returns the job. Raises WrongState unless it is in NEEDS_ATTENTION."""
    if job.state is not State.NEEDS_ATTENTION:
        raise WrongState(
            job, f"the job is {job.state}; only one in NEEDS_ATTENTION can be resolved", reason="NOT_RESOLVABLE"
        )
    return job


def start_limit(job: Job) -> tuple[datetime, str, str]:
    """Returns until when a job may be submitted, and the reason and text of its failure after that."""
    request = job.request
    if job.attempt > 1:
        # It was submitted in time once; from then on only finish_by limits it.
        return request.finish_by or job.created_at + LONGEST_LIFE, "FINISH_BY_PASSED", "it was not finished in time"
    if request.finish_by is not None and request.finish_by < request.start_by:
        return request.finish_by, "FINISH_BY_PASSED", "it was not finished by finish_by"
    return request.start_by, "START_BY_PASSED", "it was not submitted by start_by"


def free(job: Job) -> Job:
    """Returns the job with nothing more charged, confirmed because nothing was created."""
    return job.charged(0, CostBasis.CONFIRMED)


def charged(job: Job, task: Task) -> Job:
    """Returns the job with what the ended task cost, or at most can have cost."""
    if task.charged_millicredits is not None:
        return job.charged(task.charged_millicredits, CostBasis.CONFIRMED)
    return job.charged_at_most()


def with_warnings(job: Job, warnings: Iterable[JobWarning]) -> Job:
    for warning in warnings:
        job = job.warned(warning.code, warning.message)
    return job
