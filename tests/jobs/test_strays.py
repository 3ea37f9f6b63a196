"""Task ids that come to light after their jobs had gone on without them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from evergreen_server.jobs import wishes
from evergreen_server.jobs.connecting import open_database
from evergreen_server.jobs.database import Database, ledger
from evergreen_server.jobs.model import Job, JobFault, Stage, State, TaskRole
from evergreen_server.jobs.provider import ProviderUnavailable, Task, TaskState
from evergreen_server.jobs.store import JobStore
from evergreen_server.jobs.strays import settle_stray, settle_strays
from evergreen_server.jobs.tasks import MadeTask, TaskRecords
from evergreen_server.jobs.wishes import Resolution
from evergreen_server.jobs.work import Tools
from tests.jobs.tools import request_at, store_of, tools_of

NOW = datetime(2026, 11, 1, tzinfo=UTC)
TASK = MadeTask(task_id="task-1", job_id="job-1", attempt=1, submit_token="token-1", role=TaskRole.NEW)


@dataclass
class ScriptedProvider:
    """Knows one task, and notes what is deleted."""

    state: TaskState = TaskState.RUNNING
    away: bool = False
    deleted: list[str] = field(default_factory=list)

    async def task(self, task_id: str) -> Task:
        if self.away:
            raise ProviderUnavailable("away")
        return Task(task_id=task_id, state=self.state, status=self.state.value)

    async def delete(self, task_id: str) -> bool:
        self.deleted.append(task_id)
        return True


@dataclass
class Case:
    """A job of which nobody knows whether it was submitted, and what settles its stray task."""

    database: Database
    store: JobStore
    tasks: TaskRecords
    tools: Tools
    provider: ScriptedProvider
    now: datetime = NOW

    async def ledger(self) -> list[tuple[str, int]]:
        query = sa.select(ledger.c.entry, ledger.c.attempt).order_by(ledger.c.entry, ledger.c.attempt)
        return [(row.entry, row.attempt) for row in await self.database.read(lambda db: db.execute(query).all())]

    async def job(self) -> Job:
        return await self.store.get("job-1")

    async def record(self) -> None:
        """Records the task as a replica does that gets its answer late."""
        await self.tasks.record(replace(await self.job(), attempt=1, submit_token="token-1"), "task-1", None)

    async def resolve(self, resolution: Resolution) -> None:
        await wishes.resolve(self.store, self.tasks, self.provider, "job-1", resolution, "")


@pytest.fixture
async def case(tmp_path: Path) -> AsyncIterator[Case]:
    async with opened(tmp_path) as case:
        yield case


@asynccontextmanager
async def opened(tmp_path: Path) -> AsyncIterator[Case]:
    async with open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}") as database:
        store = store_of(database, clock=lambda: case.now)
        provider = ScriptedProvider()
        tasks = TaskRecords(database=database, store=store, clock=lambda: case.now)
        tools = tools_of(store, tasks=tasks, provider=provider, clock=lambda: case.now)
        case = Case(database=database, store=store, tasks=tasks, tools=tools, provider=provider)
        await store.accept(request_at(NOW), job_id="job-1", estimated_millicredits=5_000, inline={})
        unknown = JobFault(reason="SUBMISSION_UNKNOWN", message="nobody knows")
        await store.wish("job-1", lambda job: replace(job, state=State.RUNNING, submit_token="token-1"))
        await store.wish(
            "job-1", lambda job: replace(job, state=State.NEEDS_ATTENTION, stage=Stage.NONE, error=unknown)
        )
        yield case


async def test_a_late_task_is_given_to_the_job_that_asks_for_it(case: Case) -> None:
    await case.record()

    await settle_stray(case.tools, TASK)

    job = await case.job()
    assert (job.state, job.stage, job.task_id, job.run, job.error) == (
        State.RUNNING,
        Stage.GENERATING,
        "task-1",
        1,
        None,
    )
    assert case.provider.deleted == []
    case.now += timedelta(hours=1)
    assert await case.tasks.stray(older_than=timedelta(minutes=1)) == []


async def test_a_record_that_nobody_settled_is_found_later(case: Case) -> None:
    await case.record()
    await settle_strays(case.tools)
    assert (await case.job()).state is State.NEEDS_ATTENTION, "whoever recorded it may be about to settle it"

    case.now += timedelta(minutes=2)
    await settle_strays(case.tools)

    assert (await case.job()).task_id == "task-1"


async def test_a_record_of_before_the_clock_was_set_back_is_found(case: Case) -> None:
    case.now += timedelta(days=1)
    await case.record()

    case.now = NOW
    await settle_strays(case.tools)

    assert (await case.job()).task_id == "task-1"


async def test_after_a_resubmission_a_late_task_is_deleted_and_told_of(case: Case) -> None:
    await case.resolve(Resolution.RESUBMIT)
    await case.record()

    await settle_stray(case.tools, TASK)

    job = await case.job()
    assert (job.state, job.attempt, job.task_id) == (State.QUEUED, 2, "")
    assert [warning.code for warning in job.warnings] == ["SURPLUS_TASK"]
    assert job.charged_millicredits == 5_000, "the bound of the first attempt stands for it"
    assert case.provider.deleted == ["task-1"]
    assert await case.ledger() == [("RESERVE", 1), ("RESERVE", 2), ("SETTLE", 1), ("SURPLUS task-1", 1)]


async def test_a_surplus_task_is_deleted_as_soon_as_the_provider_answers(case: Case) -> None:
    await case.resolve(Resolution.ABANDON)
    await case.record()
    case.provider.away = True
    await settle_stray(case.tools, TASK)
    assert case.provider.deleted == []

    case.provider.away = False
    await settle_strays(case.tools)
    await settle_strays(case.tools)

    assert case.provider.deleted == ["task-1"]
    assert (await case.job()).state is State.FAILED


async def test_a_surplus_task_that_has_ended_is_not_deleted(case: Case) -> None:
    await case.resolve(Resolution.ABANDON)
    await case.record()
    case.provider.state = TaskState.SUCCEEDED

    await settle_stray(case.tools, TASK)

    assert case.provider.deleted == []
    assert await case.tasks.stray(older_than=timedelta(0)) == []


async def test_an_intent_that_is_taken_back_queues_its_own_job_and_no_other(case: Case) -> None:
    asking = await case.job()

    await case.tasks.take_back(replace(asking, submit_token="token-0"))
    assert (await case.job()).state is State.NEEDS_ATTENTION, "another execution's intent may have been sent"
    await case.tasks.take_back(asking)

    job = await case.job()
    assert (job.state, job.stage, job.attempt, job.run, job.submit_token, job.error) == (
        *(State.QUEUED, Stage.WAITING),
        *(1, 1, "", None),
    )
    await case.tasks.take_back(asking)
    assert await case.job() == job, "once"
    assert await case.ledger() == [("RESERVE", 1)]


async def test_an_intent_that_is_taken_back_after_a_resubmission_changes_nothing(case: Case) -> None:
    asking = await case.job()
    await case.resolve(Resolution.RESUBMIT)
    resubmitted = await case.job()

    await case.tasks.take_back(asking)

    assert await case.job() == resubmitted


async def test_an_intent_that_is_taken_back_leaves_a_wish_to_cancel(case: Case) -> None:
    await case.store.wish("job-1", lambda job: replace(job, state=State.RUNNING, stage=Stage.SUBMITTING, error=None))
    await case.store.wish("job-1", lambda job: replace(job, state=State.CANCELLING))

    await case.tasks.take_back(await case.job())

    job = await case.job()
    assert (job.state, job.submit_token, job.needs_slot) == (State.CANCELLING, "", None)


async def test_a_task_may_be_attached_by_hand_while_its_record_waits(case: Case) -> None:
    await case.record()

    await wishes.resolve(case.store, case.tasks, case.provider, "job-1", Resolution.ATTACH, "task-1")
    await settle_stray(case.tools, TASK)

    assert (await case.job()).task_id == "task-1"
    assert case.provider.deleted == []
