"""The moves of a job by what came of its submission, or by what keeps it from one. Pure: the store makes them."""

from dataclasses import replace
from datetime import datetime

from evergreen_server.jobs.model import Job, JobFault, OnUnknownSubmission, Slot, Stage, State
from evergreen_server.jobs.trouble import PROVIDER_UNAVAILABLE
from evergreen_server.jobs.work import cancelled_before_submission, free
from evergreen_server.ports.provider import (
    DailyLimitReached,
    InsufficientCredits,
    NotOurs,
    NotSent,
    ProviderError,
    Refused,
    Submission,
    Unauthorized,
)

NOT_KNOWN = "it is not known whether the provider created a task"


def unusable(job: Job, fault: JobFault) -> Job:
    return cancelled_before_submission(job) if job.state is State.CANCELLING else free(job).failed(fault)


def never_sent(job: Job, fault: JobFault) -> Job:
    """Makes the move of a job that cannot be submitted by a fault of ours; of one that may have been, none."""
    return job if job.final or job.submit_token or job.task_id else unusable(job, fault)


def taken_back(job: Job, not_before: datetime) -> Job:
    """Makes the move of a job whose intent came to nothing: not a byte was sent."""
    job = replace(job, submit_token="", submitted_at=None)
    if job.state is State.CANCELLING:
        return cancelled_before_submission(job)
    return replace(job, state=State.QUEUED, stage=Stage.WAITING, not_before=not_before)


def expired(job: Job, fault: JobFault) -> Job:
    if job.state is State.CANCELLING:
        return cancelled_before_submission(job)
    return replace(free(job), error=fault).ended(State.EXPIRED)


def intend(job: Job, token: str, now: datetime) -> Job:
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


def created(job: Job, submission: Submission) -> Job:
    return replace(
        job,
        task_id=submission.task_id,
        estimated_millicredits=submission.estimated_millicredits or job.estimated_millicredits,
    )


def not_created(job: Job, exc: ProviderError, not_before: datetime) -> Job:
    """Makes the move of a job whose POST surely created nothing."""
    back = taken_back(job, not_before)
    job = replace(job, submit_token="", submitted_at=None)
    match exc:
        case InsufficientCredits():
            return free(job).failed(JobFault(reason="INSUFFICIENT_CREDITS", message=str(exc), retryable=True))
        case Refused():
            details = "; ".join(f"{fault.field}: {fault.description}" for fault in exc.faults)
            message = f"{exc} ({details})" if details else str(exc)
            return free(job).failed(JobFault(reason="PROVIDER_REFUSED", message=message))
        case Unauthorized():
            return free(job).failed(JobFault(reason="PROVIDER_UNAUTHORIZED", message=str(exc), retryable=True))
        case NotOurs() | DailyLimitReached():
            return back
        case NotSent():
            return back if back.final else back.waits(PROVIDER_UNAVAILABLE, str(exc), not_before=not_before)
        case _:
            raise TypeError(f"not an answer to a create: {exc!r}")


def unknown(job: Job, cause: str, not_before: datetime) -> Job:
    """Makes the move of a job of which nobody knows whether it was submitted."""
    again = job.request.on_unknown_submission is OnUnknownSubmission.RESUBMIT
    resubmitted = any(warning.code == "SUBMISSION_UNKNOWN" for warning in job.warnings)
    if again and not resubmitted and job.state is State.RUNNING:
        job = job.warned("SUBMISSION_UNKNOWN", f"{NOT_KNOWN}: {cause}; submitted once more, as the request asked")
        return next_attempt(job.charged_at_most(), not_before=not_before)
    return ask(job, cause)


def ask(job: Job, cause: str) -> Job:
    fault = JobFault(reason="SUBMISSION_UNKNOWN", message=f"{NOT_KNOWN}: {cause}")
    return replace(job, state=State.NEEDS_ATTENTION, stage=Stage.NONE, error=fault)


def next_attempt(job: Job, *, not_before: datetime | None) -> Job:
    """Returns the job waiting for one more attempt. What the last one cost must be charged before."""
    return replace(
        job,
        state=State.QUEUED,
        stage=Stage.WAITING if job.inputs or not job.request.spec.media else Stage.PREPARING,
        attempt=job.attempt + 1,
        run=0,
        not_before=not_before,
        progress=0.0,
        submit_token="",
        submitted_at=None,
        task_id="",
        delete_sent=False,
        error=None,
    )
