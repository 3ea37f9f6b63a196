"""Orphaned provider tasks: their ids were found after their jobs had gone on without them.

Such a task is attached to its job if that still waits for it. If the job was submitted again or given up, the task is
surplus: it is deleted at the provider unless it has ended, and what it may have cost was charged when the job went on.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from random import Random

from evergreen_server.jobs.execution.context import StepContext
from evergreen_server.jobs.model.states import TaskRole
from evergreen_server.jobs.store.provider_tasks import MadeTask
from evergreen_server.ports.provider import ProviderError, TaskGone, TaskState

ANSWER_SETTLED = timedelta(minutes=1)
"""Within this time the execution that recorded a task has settled it, or has died."""
AT_ONCE = 8
ROUND_SECONDS = 45.0
"""The provider may be out of reach, and each request to it takes up to a minute and a half."""

logger = logging.getLogger(__name__)


async def settle_orphans(context: StepContext, *, seconds: float = ROUND_SECONDS) -> None:
    """Settles orphans, a few at a time and within so many seconds; those that are left are found again the next time.

    One of each project comes first, so that the many of one project do not use up the time of all.
    """
    orphans = in_turns(await context.tasks.orphans(older_than=ANSWER_SETTLED), context.random)
    left = iter(orphans)

    async def settle() -> None:
        for task in left:
            try:
                await settle_orphan(context, task)
            except Exception:
                # One odd answer, or a row that is gone, must not delay the others.
                logger.exception("orphan task not settled", extra={"provider_task_id": task.task_id})

    try:
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(settle(), name="orphans")
    except TimeoutError:
        logger.warning("orphans left for the next time", extra={"orphans": len(orphans)})


def in_turns(orphans: Iterable[MadeTask], random: Random) -> list[MadeTask]:
    """Returns the orphans ordered: one of each project, then a second of each, and so on, in random order.

    If the provider answers about none of the first, others come first the next time.
    """
    shuffled = list(orphans)
    random.shuffle(shuffled)
    seen = Counter[str]()
    turns: list[tuple[int, MadeTask]] = []
    for task in shuffled:
        turns.append((seen[task.project_id], task))
        seen[task.project_id] += 1
    return [task for _, task in sorted(turns, key=lambda turn: turn[0])]


async def settle_orphan(context: StepContext, task: MadeTask) -> None:
    """Attaches a task to the job that waits for it, or deletes it at the provider."""
    role = task.role if task.role is TaskRole.SURPLUS else await context.tasks.reconcile(task)
    logger.warning("orphan task", extra={"job_id": task.job_id, "provider_task_id": task.task_id, "role": role.value})
    if role is not TaskRole.SURPLUS:
        return
    try:
        seen = await context.provider.task(task.task_id)
        if seen.state not in (TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED):
            await context.provider.delete(task.task_id)
    except TaskGone:
        pass
    except ProviderError as exc:
        logger.warning("surplus task not deleted", extra={"provider_task_id": task.task_id, "cause": str(exc)})
        return
    await context.tasks.ended(task)
