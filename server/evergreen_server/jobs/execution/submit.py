"""The step that spends money: intent recorded, one POST, the task id recorded before anything else.

An execution that finds another's intent never posts. It adopts the task id if one was recorded, submits the job
itself if the other withdraws its intent because nothing was created, and otherwise leaves the job to its caller
(NEEDS_ATTENTION), or makes one new attempt if the caller chose RESUBMIT.
"""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from typing import TypeVar
from uuid import uuid4

from sqlalchemy.exc import SQLAlchemyError

from evergreen_server.jobs.admission.slots import LONGEST_REST
from evergreen_server.jobs.db.database import TRANSIENT_ERRORS
from evergreen_server.jobs.execution.context import StepContext
from evergreen_server.jobs.execution.inputs import load_inputs
from evergreen_server.jobs.execution.orphans import settle_orphan
from evergreen_server.jobs.execution.trouble import InputFailure, own_input
from evergreen_server.jobs.model import transitions
from evergreen_server.jobs.model.errors import Superseded
from evergreen_server.jobs.model.job import Job, JobFailure
from evergreen_server.jobs.model.states import Slot, State, TaskRole
from evergreen_server.jobs.store.jobs import Edit
from evergreen_server.jobs.store.provider_tasks import MadeTask
from evergreen_server.ports.media import MediaRefused
from evergreen_server.ports.metrics import error_kind
from evergreen_server.ports.provider import (
    DailyLimitReached,
    InsufficientCredits,
    NotSent,
    ProviderError,
    Refused,
    Submission,
    SubmissionUnknown,
    Unauthorized,
)
from evergreen_server.ports.specs import PreparedMedia

T = TypeVar("T")

POLL_SECONDS = 0.5

logger = logging.getLogger(__name__)


async def submit(context: StepContext, job: Job, fencing_token: str) -> Job:
    """Submits the job, until its task is recorded or its state says why there is none.

    Raises StorageError and ProviderError if its inputs cannot be read or uploaded for now.
    """
    tries, begun = 0, (job.attempt, job.restarts)
    while True:
        if job.final or job.state is State.NEEDS_ATTENTION or job.task_id or (job.attempt, job.restarts) != begun:
            return job
        if job.submit_token:
            return await _recover_submission(context, job, fencing_token)
        if job.state is State.CANCELLING:
            return await context.store.change(job, transitions.cancelled_before_submission, fencing_token=fencing_token)
        limit, reason, text = transitions.start_limit(job)
        seconds = context.seconds_until(limit)
        if seconds <= 0:
            error = JobFailure(reason=reason, message=f"the job expired: {text}")
            return await context.store.change(
                job, partial(transitions.expired, error=error), fencing_token=fencing_token
            )
        if job.slot is not Slot.HELD:
            await _wait(context, job, seconds)
            if not context.wakeups.of(job.job_id).take_grant() or context.seconds_until(limit) <= 0:
                job = await context.store.again(job)
                continue
            # Straight to the intent, which reads the row under its lock and is recorded only if that has the slot.
        async with AsyncExitStack() as places:
            if job.inputs and not await _may_load(context, job, places):
                # The jobs before it may take long, and others can use the slot.
                rests = partial(Job.rests, not_before=context.later(tries))
                job = await context.store.change(job, rests, fencing_token=fencing_token)
                tries += 1
                continue
            try:
                media = await load_inputs(context, job)
            except MediaRefused as exc:
                unusable = partial(transitions.unusable, error=JobFailure(reason=exc.reason, message=str(exc)))
                return await context.store.change(job, unusable, fencing_token=fencing_token)
            except (Refused, Unauthorized) as exc:
                refused = partial(transitions.not_created, exc=exc, not_before=context.later(tries))
                return await context.store.change(job, refused, fencing_token=fencing_token)
            # Before the intent: after a crash, an intent that waits here would be taken for a POST without an answer.
            await places.enter_async_context(context.places.creates.of(job.request.project_id))
            submitted = _intend_and_post(context, job, fencing_token, media, tries, places.pop_all())
            job = await context.shield.run(submitted, name=f"submit {job.job_id}")
            tries += 1


async def _may_load(context: StepContext, job: Job, places: AsyncExitStack) -> bool:
    """Waits for the job's turn to hold its inputs in memory; returns whether it came in time."""
    try:
        async with asyncio.timeout(context.limits.load_wait_seconds):
            await places.enter_async_context(context.places.loads.of(job.request.project_id))
    except TimeoutError:
        return False
    return True


async def _intend_and_post(
    context: StepContext,
    job: Job,
    fencing_token: str,
    media: Sequence[PreparedMedia],
    tries: int,
    places: AsyncExitStack,
) -> Job:
    """Records the intent and posts, unless the job has changed meanwhile. Must not be cancelled.

    Both or neither: an intent without a POST could not be distinguished from a POST without an answer.
    """
    async with places:
        token, check = uuid4().hex, context.lease_check()
        # The time is read within the transaction: a later execution counts from it how long the POST may take.
        job = await context.store.change(
            job, lambda job: transitions.intended(job, token, context.clock()), fencing_token=fencing_token
        )
        return await _post(context, job, fencing_token, media, tries, check) if job.submit_token == token else job


async def _wait(context: StepContext, job: Job, seconds: float) -> None:
    """Waits for a slot, which is granted in the row; the scheduler's polls make up for a lost wake-up."""
    # No longer than the longest such wait, in case the clock was set back.
    early = 0.0 if job.not_before is None else min(context.seconds_until(job.not_before), LONGEST_REST.total_seconds())
    await context.pause(job.job_id, min(early, seconds) if early > 0 else seconds)
    if early > 0:
        context.scheduler.schedule([job.request.spec.model])


async def _post(
    context: StepContext,
    job: Job,
    fencing_token: str,
    media: Sequence[PreparedMedia],
    tries: int,
    check: Callable[[], None],
) -> Job:
    """Posts once and records what came of it. Must not be cancelled: its answer may be worth money."""
    model = job.request.spec.model
    try:
        submission = await _create(context, job, media, check)
    except SubmissionUnknown as exc:
        logger.warning("submission unknown", extra={"job_id": job.job_id, "cause": str(exc)})
        context.metrics.create_failed(error_kind(exc))
        unknown = partial(transitions.submission_unknown, cause=str(exc), not_before=context.later(job.attempt + 2))
        return await _settle(
            context, job, unknown, fencing_token, capped=partial(transitions.needs_attention, cause=str(exc))
        )
    except ProviderError as exc:
        # Before the job gives its slot back, which the next job in the queue would get at once.
        if isinstance(exc, DailyLimitReached):
            retry_after = exc.retry_after_seconds
            await _retry_until_recorded(context, job, lambda: context.scheduler.pause(model, retry_after))
        elif isinstance(exc, InsufficientCredits):
            price = job.estimated_millicredits
            await _retry_until_recorded(context, job, lambda: context.scheduler.out_of_credits(price))
        # Its kind only: the text may quote the prompt, and is kept in the job's error.
        context.metrics.create_failed(error_kind(exc))
        logger.warning("submission refused", extra={"job_id": job.job_id, "cause": type(exc).__name__})
        refused = partial(transitions.not_created, exc=exc, not_before=context.later(tries))
        return await _record_no_task(context, job, refused, fencing_token)
    except InputFailure:
        await _record_no_task(
            context, job, partial(transitions.withdrawn, not_before=context.later(tries)), fencing_token
        )
        raise
    # Logged first: if the database fails for good, an operator can still attach the task by hand.
    logger.info("task created", extra={"job_id": job.job_id, "provider_task_id": submission.task_id})
    task_id, estimated = submission.task_id, submission.estimated_millicredits
    await _retry_until_recorded(context, job, lambda: context.tasks.record(job, task_id, estimated))
    await _retry_until_recorded(context, job, lambda: context.scheduler.accepted(model))
    try:
        return await _settle(context, job, partial(transitions.created, submission=submission), fencing_token)
    except Superseded:
        # The job was taken over while the answer was on its way: it waits for this id, or has gone on without it.
        task = MadeTask(
            task_id=task_id,
            job_id=job.job_id,
            attempt=job.attempt,
            submit_token=job.submit_token,
            role=TaskRole.NEW,
        )
        await _retry_until_recorded(context, job, lambda: settle_orphan(context, task))
        raise


async def _create(
    context: StepContext, job: Job, media: Sequence[PreparedMedia], check: Callable[[], None]
) -> Submission:
    """Posts once. Raises ProviderError, and InputFailure for an unexpected error before a byte was sent."""
    sent = False

    def before_send() -> None:
        nonlocal sent
        check()
        sent = True

    try:
        with own_input():
            return await context.provider.create(job.request.spec, media, before_send=before_send)
    except (InputFailure, OSError) as exc:
        kind = type(exc.__cause__ or exc).__name__
        if sent:
            logger.exception("create broke off", extra={"job_id": job.job_id})
            raise SubmissionUnknown(f"The service failed before the answer was read ({kind}).") from exc
        if isinstance(exc, OSError):
            raise NotSent(f"The request could not be made ({kind}); nothing was sent.") from exc
        raise


async def _record_no_task(context: StepContext, job: Job, edit: Edit, fencing_token: str) -> Job:
    try:
        return await _settle(context, job, edit, fencing_token)
    except Superseded:
        # The job was taken over by an execution that cannot know that there is no task to search for.
        await _retry_until_recorded(context, job, lambda: context.tasks.withdraw_intent(job))
        raise


async def _settle(context: StepContext, job: Job, edit: Edit, fencing_token: str, *, capped: Edit | None = None) -> Job:
    return await _retry_until_recorded(
        context, job, lambda: context.store.change(job, edit, fencing_token=fencing_token, capped=capped)
    )


async def _retry_until_recorded(context: StepContext, job: Job, write: Callable[[], Awaitable[T]]) -> T:
    """Repeats a write until the database accepts it: the provider's answer is known only here."""
    for tries in itertools.count():
        try:
            return await write()
        except TRANSIENT_ERRORS as exc:
            cause = type(exc).__name__
            logger.warning("answer not recorded", extra={"job_id": job.job_id, "cause": cause, "tries": tries + 1})
        except SQLAlchemyError:
            logger.exception("answer not recorded", extra={"job_id": job.job_id, "tries": tries + 1})
        await asyncio.sleep(context.backoff(tries))
    raise AssertionError("a count does not end")


async def _recover_submission(context: StepContext, job: Job, fencing_token: str) -> Job:
    """Waits for the task id of an earlier execution's POST for as long as that POST may take."""
    assert job.submitted_at is not None
    token, cause = job.submit_token, "the server stopped before the answer was recorded"
    grace = context.limits.submission_grace_seconds
    deadline = job.submitted_at + timedelta(seconds=grace)
    # By both clocks: a wall clock that was set back since the intent must not prolong the wait.
    latest = context.monotonic() + grace
    while not (task_id := await context.tasks.of(job)):
        if context.seconds_until(deadline) <= 0 or context.monotonic() >= latest:
            break
        await context.pause(job.job_id, POLL_SECONDS)
        job = await context.store.again(job)
        if job.submit_token != token:
            # Withdrawn by its execution: nothing was sent.
            return job
    if task_id:
        return await context.store.change(
            job, partial(transitions.adopted, task_id=task_id), fencing_token=fencing_token
        )
    not_before = context.later(job.attempt + 2)

    def unknown(job: Job) -> Job:
        return transitions.submission_unknown(job, cause, not_before) if job.submit_token == token else job

    logger.warning("submission unknown", extra={"job_id": job.job_id, "cause": cause})
    return await context.store.change(
        job, unknown, fencing_token=fencing_token, capped=partial(transitions.needs_attention, cause=cause)
    )
