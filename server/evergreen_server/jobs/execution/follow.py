"""The step that follows a task at the provider to its end, and cancels it where that was wished or time is up."""

import logging
from functools import partial

from evergreen_server.jobs.execution.context import Tools, generation_seconds, held
from evergreen_server.jobs.execution.polling.schedule import PollPlan
from evergreen_server.jobs.model import transitions
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.model.states import Stage, State
from evergreen_server.jobs.model.warnings import PROVIDER_UNAVAILABLE
from evergreen_server.ports.metrics import kind_of
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
"""So many polls in a row that fail are told to the job's caller."""

logger = logging.getLogger(__name__)


async def follow(tools: Tools, job: Job, execution: str) -> Job:
    """Polls until the task has ended: then the job is DELIVERING, at a new attempt, or final."""
    if not job.task_id or job.stage is Stage.DELIVERING:
        return job
    wall, now = tools.clock(), tools.monotonic()
    # Not before its beginning, where the clock was set back since.
    seconds = max(0.0, (wall - (job.submitted_at or job.created_at)).total_seconds())
    limit = tools.until.setdefault(job.job_id, now + generation_seconds(job, wall, tools.limits))
    plan = PollPlan(
        pace=tools.pace,
        durations=tools.durations,
        model=job.request.spec.model,
        seconds=job.request.spec.duration_seconds,
        submitted_at=now - seconds,
        now=now,
        random=tools.random,
        # Of a task that is older than its first wait, another process has seen to that.
        restarted=job.stage is not Stage.SUBMITTING or seconds * tools.pace.scale > 2 * tools.pace.min_seconds,
    )
    with tools.crowd.joined():
        return await _poll(tools, job, execution, plan, limit)


async def _poll(tools: Tools, job: Job, execution: str, plan: PollPlan, limit: float) -> Job:
    """Polls as planned; from `limit` on, by the monotonic clock, the task is cancelled.

    With thousands of tasks a reading of the row before each poll would cost as much as the poll. It is read again
    where a caller has changed it, where it may be another replica's by now, and every ten minutes for all that.
    """
    # The first poll of a task that was just made is as far off as the plan says; a restart's too.
    delay = 0.0 if job.state is State.CANCELLING else plan.next_delay(tools.monotonic())
    # What was handed in was read while this replica held it, and the execution's signal has told of every wish since.
    check, read_at, failed = tools.guard(), tools.monotonic(), 0
    while True:
        left = limit - tools.monotonic()
        changed = await tools.pause(job.job_id, min(delay, left) if left > 0 else delay)
        if changed or tools.monotonic() - read_at > READ_SECONDS or not held(check):
            check, read_at = tools.guard(), tools.monotonic()
            job = await tools.store.again(job)
            if job.execution != execution or job.final:
                return job
        try:
            if job.state is State.CANCELLING or job.delete_sent or tools.monotonic() >= limit:
                return await _cancel(tools, job, execution)
            task = await tools.provider.task(job.task_id)
        except TaskGone as exc:
            return await tools.store.change(
                job, partial(transitions.task_gone, text=str(exc), ours=False), execution=execution
            )
        except ProviderError as exc:
            logger.warning("poll failed", extra={"job_id": job.job_id, "cause": str(exc)})
            tools.meter.poll_failed(kind_of(exc))
            wish = exc.retry_after_seconds if isinstance(exc, ProviderUnavailable) else None
            plan.error(tools.monotonic(), wish)
            delay = plan.next_delay(tools.monotonic())
            failed += 1
            if failed == POLL_TRIES and not isinstance(exc, NotOurs):
                waits = partial(Job.waits, code=PROVIDER_UNAVAILABLE, cause=str(exc), not_before=tools.clock())
                job = await tools.store.change(job, waits, execution=execution)
            continue
        now, failed = tools.monotonic(), 0
        plan.observe(now, task.state, task.progress)
        if task.state in (TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED):
            return await _ended(tools, job, task, execution)
        job = await _seen(tools, job, task, execution)
        now = tools.monotonic()
        delay = tools.crowd.delay(plan.next_delay(now), pace=tools.pace, random=tools.random, now=now)


async def _seen(tools: Tools, job: Job, task: Task, execution: str) -> Job:
    """Records what an unfinished task tells: its stage at once, its percentage with others'. Gives the job then."""
    stage = STAGES.get(task.state)
    if task.state is TaskState.UNKNOWN:
        text = f"the provider's task has a status that we do not know: {task.status}"
        job = await tools.store.change(
            job, lambda job: job.warned("UNKNOWN_PROVIDER_STATUS", text), execution=execution
        )
    elif stage is not job.stage and stage is not None:
        # The wish to cancel keeps the stage that it interrupted.
        job = await tools.store.change(
            job,
            partial(transitions.stage_observed, stage=stage),
            execution=execution,
        )
    if task.state is TaskState.RUNNING and task.progress is not None:
        job = tools.progress.note(job, execution, task.progress)
    return job


async def _ended(tools: Tools, job: Job, task: Task, execution: str, *, ours: bool = False) -> Job:
    """Records how a task ended; `ours` tells whether a DELETE of ours may have cancelled it."""
    if task.state is TaskState.SUCCEEDED:
        tools.answers[job.job_id] = task
        return await tools.store.change(job, partial(transitions.generated, task=task), execution=execution)
    if task.state is TaskState.FAILED:
        failure = task.failure or Failure(reason="PROVIDER_INTERNAL", message="the task failed without a reason")
        failed = partial(
            transitions.generation_failed, task=task, failure=failure, again_at=tools.later(job.attempt + 2)
        )
        return await tools.store.change(job, failed, execution=execution, capped=partial(failed, again=False))
    text = "the task was cancelled at the provider, not by this service"
    return await tools.store.change(
        job, lambda job: transitions.task_missing(transitions.charged(job, task), text, ours=ours), execution=execution
    )


async def _cancel(tools: Tools, job: Job, execution: str) -> Job:
    """Deletes the task unless it has ended by now: a finished clip is paid for and never destroyed.

    Raises ProviderUnavailable, Unauthorized, NotSent.
    """
    ours = False

    def sent(job: Job) -> Job:
        nonlocal ours
        # As the row has it: whoever polls holds the job as it was before the try whose answer was lost.
        ours = job.delete_sent
        return transitions.cancellation_intended(job)

    # Recorded before it is sent, so that after a crash a 404 is known to be our own doing; and before the look, so
    # that nothing comes between look and deletion: a clip finished meanwhile would be lost.
    guard = tools.guard()
    job = await tools.store.change(job, sent, execution=execution)
    try:
        task = await tools.provider.task(job.task_id)
    except TaskGone as exc:
        return await tools.store.change(
            job, partial(transitions.task_gone, text=str(exc), ours=ours), execution=execution
        )
    if task.state in (TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED):
        return await _ended(tools, job, task, execution, ours=ours)
    # A replica that was paused here may have lost the job, which may be delivered elsewhere by now.
    guard()
    await tools.provider.delete(job.task_id)
    logger.info("task deleted", extra={"job_id": job.job_id, "provider_task_id": job.task_id})
    # A cancelled task cannot be asked for its cost again.
    return await tools.store.change(job, lambda job: transitions.cancelled(job.charged_at_most()), execution=execution)
