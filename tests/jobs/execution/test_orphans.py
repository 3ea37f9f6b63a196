"""Task ids that come to light after their jobs had gone on without them."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from evergreen_server.jobs import commands
from evergreen_server.jobs.commands import Resolution
from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.schema import ledger
from evergreen_server.jobs.execution import orphans
from evergreen_server.jobs.execution.context import StepContext
from evergreen_server.jobs.execution.orphans import settle_orphan, settle_orphans
from evergreen_server.jobs.model.job import Job, JobFailure
from evergreen_server.jobs.model.states import CostBasis, Stage, State, TaskRole
from evergreen_server.jobs.store.jobs import JobStore
from evergreen_server.jobs.store.provider_tasks import MadeTask, TaskRecords
from evergreen_server.ports.provider import ProviderUnavailable, Task, TaskGone, TaskState
from tests.jobs.tools import context_of, request_at, store_of

NOW = datetime(2026, 11, 1, tzinfo=UTC)
TASK = MadeTask(task_id="task-1", job_id="job-1", attempt=1, submit_token="token-1", role=TaskRole.NEW)


@dataclass
class ScriptedProvider:
    """Knows every task that it is asked for, and notes what is deleted."""

    state: TaskState = TaskState.RUNNING
    away: bool = False
    silent: set[str] = field(default_factory=set)
    """Tasks that it never answers about."""
    gone: set[str] = field(default_factory=set)
    """Tasks that are no longer there."""
    odd: set[str] = field(default_factory=set)
    """Tasks about which it raises what no provider may."""
    deleted: list[str] = field(default_factory=list)
    told: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once a task was deleted."""
    most_at_once: int = 0
    _asked: int = 0

    async def task(self, task_id: str) -> Task:
        if self.away:
            raise ProviderUnavailable("away")
        if task_id in self.gone:
            raise TaskGone("gone")
        if task_id in self.odd:
            raise OverflowError("odd")
        self._asked += 1
        self.most_at_once = max(self.most_at_once, self._asked)
        try:
            if task_id in self.silent:
                await asyncio.Event().wait()
        finally:
            self._asked -= 1
        return Task(task_id=task_id, state=self.state, status=self.state.value)

    async def delete(self, task_id: str) -> bool:
        self.deleted.append(task_id)
        self.told.set()
        return True


@dataclass
class Case:
    """A job of which nobody knows whether it was submitted, and what settles its orphan task."""

    database: Database
    store: JobStore
    tasks: TaskRecords
    context: StepContext
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
        await commands.resolve(self.store, self.tasks, self.provider, "job-1", resolution, "")


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
        context = context_of(store, tasks=tasks, provider=provider, clock=lambda: case.now)
        case = Case(database=database, store=store, tasks=tasks, context=context, provider=provider)
        await store.accept(request_at(NOW), job_id="job-1", estimated_millicredits=5_000, inline={})
        unknown = JobFailure(reason="SUBMISSION_UNKNOWN", message="nobody knows")
        await store.command("job-1", lambda job: replace(job, state=State.RUNNING, submit_token="token-1"))
        await store.command(
            "job-1", lambda job: replace(job, state=State.NEEDS_ATTENTION, stage=Stage.NONE, error=unknown)
        )
        yield case


async def test_a_late_task_is_given_to_the_job_that_asks_for_it(case: Case) -> None:
    await case.record()

    await settle_orphan(case.context, TASK)

    job = await case.job()
    assert (job.state, job.stage, job.task_id, job.restarts, job.error) == (
        State.RUNNING,
        Stage.GENERATING,
        "task-1",
        1,
        None,
    )
    assert case.provider.deleted == []
    case.now += timedelta(hours=1)
    assert await case.tasks.orphans(older_than=timedelta(minutes=1)) == []


async def test_a_record_that_nobody_settled_is_found_later(case: Case) -> None:
    await case.record()
    await settle_orphans(case.context)
    assert (await case.job()).state is State.NEEDS_ATTENTION, "whoever recorded it may be about to settle it"

    case.now += timedelta(minutes=2)
    await settle_orphans(case.context)

    assert (await case.job()).task_id == "task-1"


async def test_a_record_of_before_the_clock_was_set_back_is_found(case: Case) -> None:
    case.now += timedelta(days=1)
    await case.record()

    case.now = NOW
    await settle_orphans(case.context)

    assert (await case.job()).task_id == "task-1"


async def test_after_a_resubmission_a_late_task_is_deleted_and_told_of(case: Case) -> None:
    await case.resolve(Resolution.RESUBMIT)
    await case.record()

    await settle_orphan(case.context, TASK)

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
    await settle_orphan(case.context, TASK)
    assert case.provider.deleted == []

    case.provider.away = False
    await settle_orphans(case.context)
    await settle_orphans(case.context)

    assert case.provider.deleted == ["task-1"]
    assert (await case.job()).state is State.FAILED


async def test_a_surplus_task_that_has_ended_is_not_deleted(case: Case) -> None:
    await case.resolve(Resolution.ABANDON)
    await case.record()
    case.provider.state = TaskState.SUCCEEDED

    await settle_orphan(case.context, TASK)

    assert case.provider.deleted == []
    assert await case.tasks.orphans(older_than=timedelta(0)) == []


async def test_a_surplus_task_that_is_gone_is_not_looked_for_again(case: Case) -> None:
    await case.resolve(Resolution.ABANDON)
    await case.record()
    case.provider.gone = {"task-1"}

    await settle_orphan(case.context, TASK)

    assert case.provider.deleted == []
    assert await case.tasks.orphans(older_than=timedelta(0)) == []


async def test_an_intent_that_is_taken_back_queues_its_own_job_and_no_other(case: Case) -> None:
    asking = await case.job()

    await case.tasks.withdraw_intent(replace(asking, submit_token="token-0"))
    assert (await case.job()).state is State.NEEDS_ATTENTION, "another execution's intent may have been sent"
    await case.tasks.withdraw_intent(asking)

    job = await case.job()
    assert (job.state, job.stage, job.attempt, job.restarts, job.submit_token, job.error) == (
        *(State.QUEUED, Stage.WAITING),
        *(1, 1, "", None),
    )
    await case.tasks.withdraw_intent(asking)
    assert await case.job() == job, "once"
    assert await case.ledger() == [("RESERVE", 1)]


async def test_an_intent_that_is_taken_back_after_a_resubmission_changes_nothing(case: Case) -> None:
    asking = await case.job()
    await case.resolve(Resolution.RESUBMIT)
    resubmitted = await case.job()

    await case.tasks.withdraw_intent(asking)

    assert await case.job() == resubmitted


async def test_an_intent_that_is_taken_back_leaves_a_wish_to_cancel(case: Case) -> None:
    await case.store.command("job-1", lambda job: replace(job, state=State.RUNNING, stage=Stage.SUBMITTING, error=None))
    await case.store.command("job-1", lambda job: replace(job, state=State.CANCELLING))

    await case.tasks.withdraw_intent(await case.job())

    job = await case.job()
    assert (job.state, job.submit_token, job.needs_slot) == (State.CANCELLING, "", None)


async def test_a_task_may_be_attached_by_hand_while_its_record_waits(case: Case) -> None:
    await case.record()

    await commands.resolve(case.store, case.tasks, case.provider, "job-1", Resolution.ATTACH, "task-1")
    await settle_orphan(case.context, TASK)

    assert (await case.job()).task_id == "task-1"
    assert case.provider.deleted == []


async def test_orphans_that_nobody_answers_about_hold_up_neither_each_other_nor_another_projects(case: Case) -> None:
    """A hundred of one project, of which the provider never says anything; and one of another."""
    case.provider.silent = {f"task-{number}" for number in range(100)}
    for number in range(100):
        await surplus(case, f"task-{number}", project_id="greedy")
    await surplus(case, "task-honest", project_id="honest")
    case.now += timedelta(minutes=2)

    round = asyncio.create_task(settle_orphans(case.context))
    async with asyncio.timeout(60):
        await case.provider.told.wait()
    round.cancel()
    with pytest.raises(asyncio.CancelledError):
        await round

    assert case.provider.deleted == ["task-honest"]
    assert case.provider.most_at_once <= orphans.AT_ONCE
    left = {task.task_id for task in await case.tasks.orphans(older_than=timedelta(minutes=1))}
    assert left >= case.provider.silent, "they are found again"


async def test_orphans_do_not_hold_the_sweep_for_longer_than_a_while(case: Case) -> None:
    case.provider.silent = {"task-1"}
    await surplus(case, "task-1", project_id="film")
    case.now += timedelta(minutes=2)

    async with asyncio.timeout(60):
        await settle_orphans(case.context, seconds=0.01)

    assert [task.task_id for task in await case.tasks.orphans(older_than=timedelta(minutes=1))] == ["task-1"]


async def test_one_of_each_project_comes_first_and_not_always_the_same() -> None:
    made = [replace(TASK, task_id=f"a{number}", project_id="a") for number in range(50)]
    made += [replace(TASK, task_id=f"b{number}", project_id="b") for number in range(2)]

    orders = [[task.task_id for task in orphans.in_turns(made, random.Random(seed))] for seed in range(5)]

    for order in orders:
        assert sorted(order) == sorted(task.task_id for task in made)
        assert {task_id[0] for task_id in order[:2]} == {"a", "b"}
        assert {task_id[0] for task_id in order[2:4]} == {"a", "b"}
    assert len({order[0] for order in orders}) > 1


async def test_an_orphan_that_raises_what_nobody_expects_keeps_no_other_waiting(case: Case) -> None:
    case.provider.odd = {"task-odd"}
    await surplus(case, "task-odd", project_id="film")
    await surplus(case, "task-even", project_id="film")
    case.now += timedelta(minutes=2)

    await settle_orphans(case.context)

    assert case.provider.deleted == ["task-even"]


async def surplus(case: Case, task_id: str, *, project_id: str) -> None:
    """Leaves a task that came to light after its job had been given up."""
    job_id = f"job of {task_id}"
    request = replace(request_at(NOW), project_id=project_id, request_id=task_id)
    job = await case.store.accept(request, job_id=job_id, estimated_millicredits=None, inline={})
    await case.store.command(job_id, lambda job: job.charged(0, CostBasis.CONFIRMED).ended(State.FAILED))
    await case.tasks.record(replace(job, submit_token="token"), task_id, None)
