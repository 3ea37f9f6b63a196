"""How long a task is looked for that an earlier execution may have made: by whichever clock says so first."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.execution.context import Limits, StepContext
from evergreen_server.jobs.execution.submit import submit
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.model.states import Stage, State
from evergreen_server.jobs.store.provider_tasks import TaskRecords
from tests.jobs.tools import context_of, request_at, store_of

NOW = datetime(2026, 11, 1, tzinfo=UTC)
GRACE = 60.0

Open = Callable[..., StepContext]


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Open]:
    """Tools with clocks of the test's own; the job that they find was about to be posted at NOW."""
    async with open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}") as database:
        store = store_of(database, clock=lambda: NOW)
        await store.accept(request_at(NOW), job_id="job-1", estimated_millicredits=5_000, inline={})
        await store.claim("job-1", attempt=1, restarts=0, fencing_token="me")
        posting = {"state": State.RUNNING, "stage": Stage.SUBMITTING, "submit_token": "token", "submitted_at": NOW}
        await store.command("job-1", lambda job: replace(job, **posting))

        def context(*, clock: Callable[[], datetime], monotonic: Callable[[], float]) -> StepContext:
            tasks = TaskRecords(database=database, store=store, clock=clock)
            limits = Limits(submission_grace_seconds=GRACE)
            return context_of(store, tasks=tasks, clock=clock, monotonic=monotonic, limits=limits)

        yield context


async def looked(context: StepContext) -> Job:
    async with asyncio.timeout(60):
        return await submit(context, await context.store.get("job-1"), "me")


async def test_a_clock_that_was_set_back_does_not_prolong_the_look(opened: Open) -> None:
    seconds = count(step=GRACE)

    job = await looked(opened(clock=lambda: NOW - timedelta(days=1), monotonic=lambda: next(seconds)))

    assert (job.state, job.error.reason) == (State.NEEDS_ATTENTION, "SUBMISSION_UNKNOWN")


async def test_a_look_that_begins_late_does_not_last_anew(opened: Open) -> None:
    job = await looked(opened(clock=lambda: NOW + timedelta(seconds=GRACE), monotonic=lambda: 0.0))

    assert job.state is State.NEEDS_ATTENTION


async def test_a_task_that_was_recorded_is_found_though_the_time_is_over(opened: Open) -> None:
    context = opened(clock=lambda: NOW + timedelta(days=1), monotonic=lambda: 0.0)
    await context.tasks.record(await context.store.get("job-1"), "task-1", None)

    assert (await looked(context)).task_id == "task-1"


async def test_a_look_for_what_was_never_sent_ends_as_soon_as_its_execution_says_so(opened: Open) -> None:
    context = opened(clock=lambda: NOW, monotonic=lambda: 0.0)
    posting = await context.store.get("job-1")
    wakeup = context.wakeups.of("job-1")
    looking = asyncio.create_task(looked(context))

    await context.tasks.withdraw_intent(posting)
    wakeup.set()

    # There is no slot yet, for which it waits then.
    job = await looking
    assert (job.state, job.stage, job.submit_token) == (State.QUEUED, Stage.WAITING, "")
