"""Commands of API callers for existing jobs: to cancel one, or to resolve an unknown submission.

A command is only recorded; the execution of the job acts on it.
"""

from enum import StrEnum
from functools import partial

from evergreen_server.jobs.model import transitions
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.store.jobs import JobStore
from evergreen_server.jobs.store.provider_tasks import TaskRecords
from evergreen_server.ports.audit import Action, Origin, note_of
from evergreen_server.ports.provider import Provider, TaskGone


class Resolution(StrEnum):
    """What is to become of a job whose submission is unknown."""

    RESUBMIT = "RESUBMIT"
    ABANDON = "ABANDON"
    ATTACH = "ATTACH"


class TaskUnusable(Exception):
    """The provider task cannot be attached: the provider does not know it, or it belongs to another job."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


async def cancel(store: JobStore, job_id: str, origin: Origin | None = None) -> Job:
    """Records a cancellation; a job that has ended, or is being cancelled, is returned unchanged.

    Raises JobNotFound, and WrongState for a job whose submission must be resolved first.
    """
    return await store.command(job_id, transitions.cancelling, note_of(origin, Action.CANCEL))


async def resolve(
    store: JobStore,
    tasks: TaskRecords,
    provider: Provider,
    job_id: str,
    resolution: Resolution,
    task_id: str,
    origin: Origin | None = None,
) -> Job:
    """Resolves an unknown submission. Raises JobNotFound, WrongState, TaskUnusable, ProviderError."""
    note = note_of(origin, Action.RESOLVE, resolution=resolution, task_id=task_id or None)
    match resolution:
        case Resolution.RESUBMIT:
            return await store.command(job_id, transitions.resubmitted, note)
        case Resolution.ABANDON:
            return await store.command(job_id, transitions.abandoned, note)
        case Resolution.ATTACH:
            transitions.unresolved(await store.get(job_id))
            try:
                await provider.task(task_id)
            except TaskGone as exc:
                raise TaskUnusable(f"the provider knows no task {task_id}", reason="PROVIDER_TASK_NOT_FOUND") from exc
            found = await tasks.attach(job_id, task_id, partial(transitions.attached, task_id=task_id), note)
            if found is None:
                raise TaskUnusable(f"task {task_id} belongs to a job already", reason="PROVIDER_TASK_TAKEN")
            return found
