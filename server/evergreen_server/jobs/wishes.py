"""What a caller of the API may wish for a job that exists: to cancel it, or to resolve an unknown submission.

A wish is only recorded; whoever executes the job acts on it.
"""

from dataclasses import replace
from enum import StrEnum

from evergreen_server.jobs.model import Job, JobFault, State, WrongState
from evergreen_server.jobs.outcomes import next_attempt
from evergreen_server.jobs.store import JobStore
from evergreen_server.jobs.tasks import TaskRecords, attached
from evergreen_server.ports.provider import Provider, TaskGone


class Resolution(StrEnum):
    """What is to become of a job whose submission is unknown."""

    RESUBMIT = "RESUBMIT"
    ABANDON = "ABANDON"
    ATTACH = "ATTACH"


class TaskUnusable(Exception):
    """The provider task cannot be attached: it is not known there, or belongs to another job here."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


async def cancel(store: JobStore, job_id: str) -> Job:
    """Records the wish to cancel; a job that has ended, or is being cancelled, is returned as it is.

    Raises JobNotFound, and WrongState for a job whose submission must be resolved first.
    """
    return await store.wish(job_id, _cancelling)


def _cancelling(job: Job) -> Job:
    if job.state is State.NEEDS_ATTENTION:
        text = "nobody knows whether the job was submitted; resolve it by ResolveSubmission"
        raise WrongState(job, text, reason="NEEDS_RESOLUTION")
    return job if job.final else replace(job, state=State.CANCELLING)


async def resolve(
    store: JobStore, tasks: TaskRecords, provider: Provider, job_id: str, resolution: Resolution, task_id: str
) -> Job:
    """Resolves an unknown submission. Raises JobNotFound, WrongState, TaskUnusable, ProviderError."""
    match resolution:
        case Resolution.RESUBMIT:
            return await store.wish(job_id, _resubmit)
        case Resolution.ABANDON:
            return await store.wish(job_id, _abandon)
        case Resolution.ATTACH:
            _needs_attention(await store.get(job_id))
            try:
                await provider.task(task_id)
            except TaskGone as exc:
                raise TaskUnusable(f"the provider knows no task {task_id}", reason="PROVIDER_TASK_NOT_FOUND") from exc
            found = await tasks.attach(job_id, task_id, lambda job: attached(_needs_attention(job), task_id))
            if found is None:
                raise TaskUnusable(f"task {task_id} belongs to a job already", reason="PROVIDER_TASK_TAKEN")
            return found


def _needs_attention(job: Job) -> Job:
    if job.state is not State.NEEDS_ATTENTION:
        raise WrongState(
            job, f"the job is {job.state}; only one in NEEDS_ATTENTION can be resolved", reason="NOT_RESOLVABLE"
        )
    return job


def _resubmit(job: Job) -> Job:
    return next_attempt(_needs_attention(job).charged_at_most(), not_before=None)


def _abandon(job: Job) -> Job:
    fault = JobFault(
        reason="SUBMISSION_ABANDONED",
        message="the submission's outcome was never known and the job was abandoned; it may have been charged",
    )
    return _needs_attention(job).charged_at_most().failed(fault)
