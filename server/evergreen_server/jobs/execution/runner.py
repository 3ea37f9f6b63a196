"""The life of a job as a durable workflow: prepare, submit, follow, deliver.

The engine starts it once for each attempt and again after a crash. The row alone says which step comes next, and a
step does only what is still to be done by the row, so that steps are idempotent. The engine's own record of steps is
not used: it would only repeat what the row says, at the cost of two transactions each.
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from functools import partial
from uuid import uuid4

from evergreen_server.jobs.db.database import TRANSIENT_ERRORS
from evergreen_server.jobs.execution.context import StepContext, StepWork, still_owner
from evergreen_server.jobs.execution.deliver import deliver
from evergreen_server.jobs.execution.follow import follow
from evergreen_server.jobs.execution.prepare import prepare
from evergreen_server.jobs.execution.submit import submit
from evergreen_server.jobs.execution.trouble import INPUT_TRIES, WARN_AT_TRY, InputFailure, blocked_by
from evergreen_server.jobs.model import transitions
from evergreen_server.jobs.model.errors import Superseded
from evergreen_server.jobs.model.job import Job, JobFailure
from evergreen_server.jobs.model.states import Stage, State
from evergreen_server.jobs.model.warnings import DATABASE_UNAVAILABLE, STEP_FAILED
from evergreen_server.runtime.logs import current_job
from evergreen_server.runtime.traces import current_trace

AWAY_TRIES = 3
"""How often in a row the database must have been away for a job before its caller is warned."""

logger = logging.getLogger(__name__)


class Runner:
    """Runs jobs. Only a final state, NEEDS_ATTENTION, or a newer execution ends a run."""

    def __init__(self, context: StepContext) -> None:
        self._context = context
        self._running: dict[str, str] = {}

    @property
    def running(self) -> Collection[str]:
        """Returns the ids of the jobs that run here."""
        return self._running.keys()

    async def run(self, job_id: str, attempt: int, restarts: int) -> None:
        """Runs one attempt of a job to its end, as the engine's workflow."""
        context, fencing_token, check = self._context, uuid4().hex, self._context.lease_check()
        current_job.set(job_id)
        # From before the first read on, so that no command after it goes unnoticed.
        wakeup = context.wakeups.of(job_id)
        # Registered only once it owns the job: after a crash the run of an earlier attempt may be started as well.
        job = await self._claim(job_id, attempt, restarts, fencing_token)
        if job is None:
            if job_id not in self._running:
                context.wakeups.forget(job_id)
            return
        if job_id in self._running or context.wakeups.of(job_id) is not wakeup:
            # An older run here learns that it is over; or one that ended dropped the wake-up while it was set.
            context.wakeups.wake(job_id)
        self._running[job_id] = fencing_token
        current_trace.set(job.request.traceparent)
        advancing = self._advance(job, fencing_token, check)
        # Thousands wait in it at once: do not keep a second copy of the job.
        del job
        try:
            await advancing
        except Superseded:
            logger.info("execution superseded", extra={"job_id": job_id})
        finally:
            # The next attempt may be running already, and then these entries belong to it.
            if self._running.get(job_id) == fencing_token:
                del self._running[job_id]
                context.forget(job_id)

    async def _claim(self, job_id: str, attempt: int, restarts: int, fencing_token: str) -> Job | None:
        tries = 0
        while True:
            try:
                return await self._context.store.claim(
                    job_id, attempt=attempt, restarts=restarts, fencing_token=fencing_token
                )
            except TRANSIENT_ERRORS as exc:
                logger.warning("job not claimed", extra={"job_id": job_id, "cause": type(exc).__name__})
            except Exception:
                logger.exception("job not claimed", extra={"job_id": job_id})
            await asyncio.sleep(self._context.backoff(tries))
            tries += 1

    async def _advance(self, job: Job, fencing_token: str, check: Callable[[], None]) -> None:
        """Runs step after step, as the row says, until none is left; retries failed steps with growing pauses."""
        # The job was read when it was claimed, and is read by each step.
        begun, read, tries, away, input_failures = (job.attempt, job.restarts), True, 0, 0, 0
        error_id = uuid4().hex
        while True:
            try:
                # Otherwise another replica may own the job by now.
                read = read and still_owner(check)
                check = self._context.lease_check()
                job, read = job if read else await self._context.store.again(job), False
                if job.fencing_token != fencing_token:
                    raise Superseded(job.job_id)
                if away >= AWAY_TRIES:
                    job = await self._warn(
                        job, fencing_token, DATABASE_UNAVAILABLE, "the database does not answer", tries
                    )
                away = 0
                work = step_of(job)
                if work is None or (job.attempt, job.restarts) != begun:
                    return
                after = await work(self._context, job, fencing_token)
                if after != job:
                    job, read, tries, input_failures = after, True, 0, 0
                    continue
                # A step that changed nothing would change nothing again if repeated at once.
            except Superseded:
                raise
            except TRANSIENT_ERRORS as exc:
                away += 1
                # Every job of this replica logs this: one line each, and no traceback.
                cause = type(exc).__name__
                logger.warning("step waits", extra={"job_id": job.job_id, "cause": cause, "tries": tries + 1})
            except Exception as exc:
                # The outermost loop of a job: a bug of ours must not lose it.
                code, cause = blocked_by(exc, error_id)
                facts = {"job_id": job.job_id, "cause": cause, "tries": tries + 1}
                if code == STEP_FAILED:
                    logger.exception("step failed", extra={**facts, "error_id": error_id})
                else:
                    logger.warning("step waits", extra=facts)
                input_failures += isinstance(exc, InputFailure)
                try:
                    if input_failures >= INPUT_TRIES:
                        await self._give_up(job, fencing_token, exc, error_id)
                        continue
                    if tries + 1 >= WARN_AT_TRY.get(code, 1):
                        await self._warn(job, fencing_token, code, cause, tries)
                except Superseded:
                    raise
                except Exception as again:
                    # Whatever prevents the step may prevent this write, too.
                    kind = type(again).__name__
                    logger.warning("job not warned", extra={"job_id": job.job_id, "cause": kind})
            await self._context.pause(job.job_id, self._context.backoff(tries))
            tries += 1

    async def _warn(self, job: Job, fencing_token: str, code: str, cause: str, tries: int) -> Job:
        """Warns the job's caller, once, of what the job waits for, and gives up a slot that it cannot use meanwhile."""
        if job.slot is None and any(warning.code == code for warning in job.warnings):
            return job
        waits = partial(Job.waits, code=code, cause=cause, not_before=self._context.later(tries))
        return await self._context.store.change(job, waits, fencing_token=fencing_token)

    async def _give_up(self, job: Job, fencing_token: str, exc: Exception, error_id: str) -> None:
        """Ends a job whose own input cannot be processed, unless it may have been paid for."""
        text = f"a fault of the service in work on the job's input ({exc}), logged with the error id {error_id}"
        error = JobFailure(reason="INTERNAL", message=text)
        await self._context.store.change(job, partial(transitions.never_sent, error=error), fencing_token=fencing_token)


def step_of(job: Job) -> StepWork | None:
    """Returns the next step; None if nothing is left to do, or only the caller can decide."""
    if job.final or job.state is State.NEEDS_ATTENTION:
        return None
    if job.stage is Stage.DELIVERING:
        return deliver
    if job.task_id:
        return follow
    # A job with an intent must first find out what came of it.
    unpinned = job.state is State.QUEUED and not job.pinned
    return prepare if job.stage is Stage.PREPARING or unpinned else submit
