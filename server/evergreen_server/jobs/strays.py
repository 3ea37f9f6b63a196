"""Provider tasks that nobody follows: their ids came to light after their jobs had gone on without them.

Such a task is attached to a job that still asks for it. Where the job was submitted anew or given up, it is surplus:
it is deleted at the provider unless it has ended there, and what it may have cost was charged when the job went on.
"""

import logging
from datetime import timedelta

from evergreen_server.jobs.model import TaskRole
from evergreen_server.jobs.provider import ProviderError, TaskGone, TaskState
from evergreen_server.jobs.tasks import MadeTask
from evergreen_server.jobs.work import Tools

ANSWER_SETTLED = timedelta(minutes=1)
"""Within this time whoever recorded a task has also settled it, or has died."""

logger = logging.getLogger(__name__)


async def settle_strays(tools: Tools) -> None:
    """Settles every stray; one that cannot be settled now is found again the next time."""
    for task in await tools.tasks.stray(older_than=ANSWER_SETTLED):
        await settle_stray(tools, task)


async def settle_stray(tools: Tools, task: MadeTask) -> None:
    """Gives a task to the job that asks for it, or sees to its end."""
    role = task.role if task.role is TaskRole.SURPLUS else await tools.tasks.reconcile(task)
    logger.warning("stray task", extra={"job_id": task.job_id, "provider_task_id": task.task_id, "role": role.value})
    if role is not TaskRole.SURPLUS:
        return
    try:
        seen = await tools.provider.task(task.task_id)
        if seen.state not in (TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED):
            await tools.provider.delete(task.task_id)
    except TaskGone:
        pass
    except ProviderError as exc:
        logger.warning("surplus task not deleted", extra={"provider_task_id": task.task_id, "cause": str(exc)})
        return
    await tools.tasks.ended(task)
