"""The step that follows a task at the provider to its end, and cancels it if a caller asked for that or time is up."""

import logging
from functools import partial

from evergreen_server.jobs.execution.context import StepContext, generation_seconds, still_owner
from evergreen_server.jobs.execution.polling.schedule import PollPlan
from evergreen_server.jobs.model import transitions
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.model.states import Stage, State
from evergreen_server.jobs.model.warnings import PROVIDER_UNAVAILABLE
from evergreen_server.ports.metrics import error_kind
from evergreen_server.ports.provider import (
    Failure,
    NotOurs,
    ProviderError,
    ProviderUnavailable,
    Task,
    TaskGone,
    TaskState,
)

STAGES = {
    TaskState.PENDING: Stage.THROTTLED,
    TaskState.THROTTLED: Stage.THROTTLED,
    TaskState.RUNNING: Stage.GENERATING,
}

READ_SECONDS = 600.0
POLL_TRIES = 3
"""After so many polls in a row have failed, the job warns its caller."""

logger = logging.getLogger(__name__)


async def follow(context: StepContext, job: Job, fencing_token: str) -> Job:
    """Polls until the task has ended: then the job is DELIVERING, at a new attempt, or final."""
    wall, now = context.clock(), context.monotonic()
    # Never negative, even if the clock has been set back since.
    seconds = max(0.0, (wall - (job.submitted_at or job.created_at)).total_seconds())
    limit = context.until.setdefault(job.job_id, now + generation_seconds(job, wall, context.limits))
    plan = PollPlan(
        pace=context.pace,
        durations=context.durations,
        model=job.request.spec.model,
        seconds=job.request.spec.whole_seconds,
        submitted_at=now - seconds,
        now=now,
        random=context.random,
        # A task older than its first wait was followed by another process before this one.
        restarted=job.stage is not Stage.SUBMITTING or seconds * context.pace.scale > 2 * context.pace.min_seconds,
    )
    with context.poll_budget.track():
        return await _poll(context, job, fencing_token, plan, limit)


async def _poll(context: StepContext, job: Job, fencing_token: str, plan: PollPlan, limit: float) -> Job:
    """Polls as planned; from `limit` on, by the monotonic clock, the task is cancelled.

    With thousands of tasks, reading the row before each poll would cost as much as the poll itself. It is read again
    when a caller has changed it, when another replica may own it by now, and every ten minutes in any case.
    """
    # The first poll comes as late as the plan says, for a new task as after a restart.
    delay = 0.0 if job.state is State.CANCELLING else plan.next_delay(context.monotonic())
    # `job` was read while this replica owned it, and the wake-up has noted every command since.
    check, read_at, failed = context.lease_check(), context.monotonic(), 0
    while True:
        left = limit - context.monotonic()
        changed = await context.pause(job.job_id, min(delay, left) if left > 0 else delay)
        if changed or context.monotonic() - read_at > READ_SECONDS or not still_owner(check):
            check, read_at = context.lease_check(), context.monotonic()
            job = await context.store.again(job)
            if job.fencing_token != fencing_token or job.final:
                return job
        try:
            if job.state is State.CANCELLING or job.delete_sent or context.monotonic() >= limit:
                return await _cancel(context, job, fencing_token)
            task = await context.provider.task(job.task_id)
        except TaskGone as exc:
            return await context.store.change(
                job, partial(transitions.task_gone, text=str(exc), ours=False), fencing_token=fencing_token
            )
        except ProviderError as exc:
            logger.warning("poll failed", extra={"job_id": job.job_id, "cause": str(exc)})
            context.metrics.poll_failed(error_kind(exc))
            retry_after = exc.retry_after_seconds if isinstance(exc, ProviderUnavailable) else None
            plan.error(context.monotonic(), retry_after)
            delay = plan.next_delay(context.monotonic())
            failed += 1
            if failed == POLL_TRIES and not isinstance(exc, NotOurs):
                waits = partial(Job.waits, code=PROVIDER_UNAVAILABLE, cause=str(exc), not_before=context.clock())
                job = await context.store.change(job, waits, fencing_token=fencing_token)
            continue
        now, failed = context.monotonic(), 0
        plan.observe(now, task.state, task.progress)
        if task.state in (TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED):
            return await _ended(context, job, task, fencing_token)
        job = await _seen(context, job, task, fencing_token)
        now = context.monotonic()
        delay = context.poll_budget.delay(plan.next_delay(now), pace=context.pace, random=context.random, now=now)


async def _seen(context: StepContext, job: Job, task: Task, fencing_token: str) -> Job:
    """Records an unfinished task's stage at once, and its percentage together with those of other jobs.

    Returns the job as it is then.
    """
    stage = STAGES.get(task.state)
    if task.state is TaskState.UNKNOWN:
        text = f"the provider's task has a status that we do not know: {task.status}"
        job = await context.store.change(
            job, lambda job: job.warned("UNKNOWN_PROVIDER_STATUS", text), fencing_token=fencing_token
        )
    elif stage is not job.stage and stage is not None:
        # A job that is being cancelled keeps the stage that the cancellation interrupted.
        job = await context.store.change(
            job,
            partial(transitions.stage_observed, stage=stage),
            fencing_token=fencing_token,
        )
    if task.state is TaskState.RUNNING and task.progress is not None:
        job = context.progress.note(job, fencing_token, task.progress)
    return job


async def _ended(context: StepContext, job: Job, task: Task, fencing_token: str, *, ours: bool = False) -> Job:
    """Records how a task ended; `ours` says whether a DELETE of ours may have cancelled it."""
    if task.state is TaskState.SUCCEEDED:
        context.answers[job.job_id] = task
        return await context.store.change(job, partial(transitions.generated, task=task), fencing_token=fencing_token)
    if task.state is TaskState.FAILED:
        failure = task.failure or Failure(reason="PROVIDER_INTERNAL", message="the task failed without a reason")
        failed = partial(
            transitions.generation_failed, task=task, failure=failure, again_at=context.later(job.attempt + 2)
        )
        return await context.store.change(job, failed, fencing_token=fencing_token, capped=partial(failed, again=False))
    text = "the task was cancelled at the provider, not by this service"
    return await context.store.change(
        job,
        lambda job: transitions.task_missing(transitions.charged(job, task), text, ours=ours),
        fencing_token=fencing_token,
    )


async def _cancel(context: StepContext, job: Job, fencing_token: str) -> Job:
    """Deletes the task unless it has ended by now: what is finished is paid for and never destroyed.

    Raises ProviderUnavailable, Unauthorized, NotSent.
    """
    ours = False

    def sent(job: Job) -> Job:
        nonlocal ours
        # As the row has it: the job in hand may date from before an attempt whose answer was lost.
        ours = job.delete_sent
        return transitions.cancellation_intended(job)

    # Recorded before it is sent, so that after a crash a 404 is known to be our own doing; and before the task is read,
    # so that nothing comes between reading and deletion: an output finished meanwhile would be lost.
    check = context.lease_check()
    job = await context.store.change(job, sent, fencing_token=fencing_token)
    try:
        task = await context.provider.task(job.task_id)
    except TaskGone as exc:
        return await context.store.change(
            job, partial(transitions.task_gone, text=str(exc), ours=ours), fencing_token=fencing_token
        )
    if task.state in (TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED):
        return await _ended(context, job, task, fencing_token, ours=ours)
    # If this replica was paused here, another may own the job and have delivered it by now.
    check()
    await context.provider.delete(job.task_id)
    logger.info("task deleted", extra={"job_id": job.job_id, "provider_task_id": job.task_id})
    # The provider no longer says what a cancelled task cost.
    return await context.store.change(
        job, lambda job: transitions.cancelled(job.charged_at_most()), fencing_token=fencing_token
    )
