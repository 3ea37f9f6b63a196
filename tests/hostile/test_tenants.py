"""A greedy project beside an honest one, for each thing of the queue that they share.

Judged by order and counts: the honest one's job has the next slot that comes free, its place in the queue, its poll.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
import pytest_asyncio

from evergreen.v1 import video_pb2 as v1
from evergreen_server.jobs.cluster.lease import Lease
from evergreen_server.jobs.cluster.storage_locks import StorageLocks
from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.execution.orphans import AT_ONCE, in_turns
from evergreen_server.jobs.execution.polling.budget import ALIGN_SECONDS, PollBudget
from evergreen_server.jobs.execution.polling.schedule import Pace
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.model.states import Stage, State, TaskRole
from evergreen_server.jobs.store.backlog import QueueFull
from evergreen_server.jobs.store.project_lock import lock_project
from evergreen_server.jobs.store.provider_tasks import MadeTask
from tests.jobs.standing import Replica, Tier
from tests.jobs.tools import request_at
from tests.postgres import Postgres
from tests.serving import Control, open_sandbox, serving

GREEDY = "greedy"
HONEST = "honest"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def database(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Database]:
    async with open_database(f"sqlite:///{tmp_path_factory.mktemp('tenants') / 'jobs.sqlite'}") as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def replica(database: Database) -> Replica:
    """The line as it is with nobody in it."""
    await database.write(_empty)
    return Replica(database, Tier())


def _empty(db) -> None:
    for table in ("ledger", "requests", "job_events", "provider_tasks", "turns", "funds", "model_queues", "jobs"):
        db.exec_driver_sql(f"DELETE FROM {table}")


async def accepted(replica: Replica, number: int, *, project_id: str = GREEDY, **more: int | None) -> list[str]:
    """Has so many jobs of a project wait for a slot, and gives their ids."""
    names = [f"{project_id}-{each:03}" for each in range(number)]
    await asyncio.gather(*(replica.accept(name, project_id=project_id, **more) for name in names))
    return names


@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.parametrize(("jobs", "urgent"), [(500, 100), (60, 100), (60, 0), (60, -100), (2, 100)])
@pytest.mark.parametrize("humble", [-100, 0])
async def test_the_next_slot_that_comes_free_is_the_honest_projects(
    replica: Replica, most: int, jobs: int, urgent: int, humble: int
) -> None:
    await accepted(replica, jobs, priority=urgent)
    started = await replica.grant(concurrent=most)
    await replica.accept("honest", project_id=HONEST, priority=humble)

    await replica.submit(started[0])
    await replica.end(started[0])

    # Where the greedy one has no more to start, the honest one's slot was free all along.
    assert "honest" in await replica.grant(concurrent=most)
    assert len(started) == min(most, jobs)


@pytest.mark.parametrize("projects", [2, 5, 20])
async def test_of_many_greedy_projects_each_has_one_turn_before_the_honest_ones_second(
    replica: Replica, projects: int
) -> None:
    for number in range(projects):
        await accepted(replica, 8, project_id=f"greedy-{number:02}", priority=100)
    await accepted(replica, 2, project_id=HONEST)
    order = []

    while "honest-001" not in order:
        (job_id,) = await replica.grant(concurrent=1)
        order.append(job_id)
        await replica.submit(job_id)
        await replica.end(job_id)

    assert len(order) <= 2 * (projects + 1)
    assert order.index("honest-000") <= projects


@pytest.mark.parametrize("broken", [1, 3, 40])
async def test_jobs_that_give_their_slot_back_unused_cost_the_honest_one_a_single_turn(
    replica: Replica, broken: int
) -> None:
    """As jobs whose inputs cannot be had: each is granted a slot, rests, and would be granted it again."""
    await accepted(replica, broken, priority=100)
    await replica.accept("honest", project_id=HONEST)
    order = []

    while "honest" not in order:
        (job_id,) = await replica.grant(concurrent=1)
        order.append(job_id)
        if job_id != "honest":
            later = replica.clock() + timedelta(seconds=30)
            await replica.store.command(job_id, lambda job, later=later: job.waits("X", "it rests", not_before=later))

    assert len(order) <= 2


async def test_of_three_jobs_of_one_model_of_which_the_first_cannot_load_two_go_meanwhile(replica: Replica) -> None:
    names = await accepted(replica, 3)
    order = []

    for _ in names:
        (job_id,) = await replica.grant(concurrent=1)
        order.append(job_id)
        if job_id == names[0]:
            later = replica.clock() + timedelta(seconds=30)
            await replica.store.command(job_id, lambda job, later=later: job.waits("X", "it rests", not_before=later))
        else:
            await replica.submit(job_id)
            await replica.end(job_id)
        if len(order) == len(names):
            break

    assert order == names
    assert await replica.grant(concurrent=1) == []
    replica.clock.ahead = timedelta(seconds=31)
    assert await replica.grant(concurrent=1) == [names[0]]


@pytest.mark.parametrize(
    ("balance", "dear", "cheap"),
    [(100, 101, 100), (100, 10**9, 1), (0, 1, 0), (5, 24, 5), (1, 2, None), (23_999, 24_000, 23_999)],
)
@pytest.mark.parametrize("most", [1, 3])
async def test_jobs_that_nobody_can_pay_hold_no_other_up(
    replica: Replica, balance: int, dear: int, cheap: int | None, most: int
) -> None:
    await replica.see(balance)
    await accepted(replica, 30, priority=100, price=dear)
    await replica.accept("honest", project_id=HONEST, price=cheap)

    assert await replica.grant(concurrent=most) == ["honest"]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 10, 64])
@pytest.mark.parametrize("greedy", [1, 2, 3])
async def test_greedy_projects_never_fill_the_queue_for_an_honest_one(
    database: Database, replica: Replica, limit: int, greedy: int
) -> None:
    short = Replica(database, Tier(), limit=limit)

    got = [await filled(short, f"greedy-{number}") for number in range(greedy)]
    honest = await filled(short, HONEST)

    assert sum(got) + honest <= limit
    assert got[0] == (limit + 1) // 2
    # A queue of fewer places than projects has none for each.
    assert honest >= 1 or limit < 2**greedy


async def filled(replica: Replica, project_id: str) -> int:
    """Sends a project's jobs until one is refused, and gives how many were accepted."""
    for number in count():
        try:
            await filled_once(replica, project_id, number)
        except QueueFull as full:
            refused, accepted = full, number
            break
    assert ("of the project" in str(refused)) is refused.of_project
    return accepted


async def filled_once(replica: Replica, project_id: str, number: int) -> Job:
    request = replace(request_at(replica.clock()), project_id=project_id, request_id=f"{number}")
    name = f"{project_id}-{number}"
    return await replica.store.accept(request, job_id=name, estimated_millicredits=None, inline={})


@pytest.mark.parametrize("followed", [0, 1, 299, 300, 1500, 5000, 100_000])
async def test_however_many_tasks_are_followed_a_running_one_is_polled_within_the_longest_gap(followed: int) -> None:
    """Polls are shared by all: with many tasks everyone's come less often, to a bound that one alone has too."""
    poll_budget, pace = PollBudget(), Pace()
    joined = [poll_budget.track() for _ in range(followed)]
    for one in joined:
        one.__enter__()

    delays = [poll_budget.delay(5.0, pace=pace, random=random.Random(each), now=each / 7) for each in range(50)]

    assert min(delays) >= 5.0
    assert max(delays) <= pace.max_running_seconds + ALIGN_SECONDS
    for one in joined:
        one.__exit__(None, None, None)


@pytest.mark.parametrize("greedy", [1, 10, 500])
@pytest.mark.parametrize("honest", [1, 4])
async def test_an_honest_projects_orphans_are_among_the_first_that_are_settled(greedy: int, honest: int) -> None:
    made = [orphan(GREEDY, number) for number in range(greedy)] + [orphan(HONEST, number) for number in range(honest)]

    turns = in_turns(made, random.Random(7))

    places = [place for place, task in enumerate(turns) if task.project_id == HONEST]
    assert places[0] < 2 <= AT_ONCE
    assert places[-1] < 2 * honest


def orphan(project_id: str, number: int) -> MadeTask:
    return MadeTask(
        task_id=f"{project_id}-{number}",
        job_id="",
        attempt=1,
        submit_token="",
        role=TaskRole.SURPLUS,
        project_id=project_id,
    )


async def test_a_project_whose_row_is_locked_holds_up_no_other_projects_changes(postgres: Postgres) -> None:
    """On PostgreSQL, where each project has a lane of its own; SQLite has one writer, which waits for nobody."""
    async with open_database(postgres.create()) as database:
        replica = Replica(database, Tier())
        for project_id in (GREEDY, HONEST):
            await filled_once(replica, project_id, 0)
        with database.engine.begin() as elsewhere:
            lock_project(elsewhere, GREEDY, replica.clock())
            waiting = [asyncio.ensure_future(filled_once(replica, GREEDY, number)) for number in range(1, 50)]

            assert not (await asyncio.wait(waiting, timeout=0.5))[0], "they have come, and wait"
            async with asyncio.timeout(60):
                await filled_once(replica, HONEST, 1)
            assert not any(each.done() for each in waiting)
        await asyncio.gather(*waiting)


async def test_wishes_of_a_project_whose_row_is_locked_hold_up_no_other_projects_wish(postgres: Postgres) -> None:
    """More of them than there are threads that write."""
    async with open_database(postgres.create()) as database:
        replica = Replica(database, Tier())
        mine = [await filled_once(replica, GREEDY, number) for number in range(30)]
        other = await filled_once(replica, HONEST, 0)
        with database.engine.begin() as elsewhere:
            lock_project(elsewhere, GREEDY, replica.clock())
            waiting = [asyncio.ensure_future(replica.store.command(job.job_id, cancelled)) for job in mine]

            assert not (await asyncio.wait(waiting, timeout=0.5))[0], "they have come, and wait"
            async with asyncio.timeout(60):
                assert (await replica.store.command(other.job_id, cancelled)).state is State.CANCELLING
            assert not any(each.done() for each in waiting)
        await asyncio.gather(*waiting)


def cancelled(job: Job) -> Job:
    return replace(job, state=State.CANCELLING, stage=Stage.NONE)


async def test_a_project_that_holds_many_locks_of_its_scenes_holds_up_no_other(postgres: Postgres) -> None:
    async with open_database(postgres.create()) as database:
        lease = Lease(database, "replica", boottime=asyncio.get_running_loop().time)
        locks = StorageLocks(database=database, replica_id="replica", guard=lease.guard)
        async with lease.open(), asyncio.TaskGroup() as holders:
            leave, held = asyncio.Event(), asyncio.Barrier(31)

            async def hold(key: str) -> None:
                async with locks.held(key):
                    await held.wait()
                    await leave.wait()

            for number in range(30):
                holders.create_task(hold(f"projects/{GREEDY}/scene-{number}/metadata/scene.json"))
            async with asyncio.timeout(60):
                await held.wait()
                async with locks.held(f"projects/{HONEST}/scene-1/metadata/scene.json") as check:
                    check()
            leave.set()


@pytest_asyncio.fixture(loop_scope="module")
async def sandbox() -> AsyncIterator[Control]:
    # So slow that a slot which was granted is used before the next is free: what is counted below are tasks.
    async with open_sandbox(task_mean_seconds=100.0) as control:
        yield control


async def test_beside_a_flood_of_urgent_jobs_an_honest_one_has_the_next_slot_of_each_model(
    tmp_path: Path, sandbox: Control
) -> None:
    """The whole server: five hundred jobs of the greedy one, on a model with one slot and on one with three."""
    models = {"gen4.5": 1, "veo3.1_fast": 3}
    await sandbox.account(
        maxDailyGenerations=None,
        models={model: {"maxConcurrentGenerations": most} for model, most in models.items()},
    )
    shapes = {"gen4.5": {}, "veo3.1_fast": {"ratio": "1280:720", "duration_seconds": 4}}
    async with serving(tmp_path / "data", sandbox.url) as api:
        flood = [
            api.generate(model=model, project_id=GREEDY, priority=100, prompt_text=f"{model} of many", **shape)
            for model, shape in shapes.items()
            for _ in range(250)
        ]
        for call in asyncio.as_completed(flood):
            await call
        jobs = {}
        for model, shape in shapes.items():
            prompt = f"{model} alone"
            job = await api.generate(model=model, project_id=HONEST, priority=-100, prompt_text=prompt, **shape)
            await api.until(job.job_id, v1.JOB_STATE_QUEUED, stage=v1.JOB_STAGE_WAITING)
            before = len(await sandbox.tasks(f"{model} of many"))
            jobs[model] = job, before

        for model, (job, before) in jobs.items():
            await api.until(job.job_id, v1.JOB_STATE_RUNNING, v1.JOB_STATE_SUCCEEDED)
            made = [task["promptText"] for task in await sandbox.tasks(model)]
            passed = made.index(f"{model} alone") - before
            # Those that were granted a slot before the honest one stood in line, and had not used it.
            assert passed <= models[model]
