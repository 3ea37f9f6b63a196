"""Projects count their jobs in their own rows, and the counters are right whatever becomes of the jobs."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from evergreen_server.film.plans.retention import delete_old_runs, delete_old_takes
from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.schema import jobs, projects
from evergreen_server.jobs.maintenance.retention import Retention
from evergreen_server.jobs.model.errors import JobNotFound
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.model.states import FINAL, MOVES, CostBasis, Stage, State
from evergreen_server.jobs.store.jobs import JobStore
from evergreen_server.jobs.store.percentages import Progress
from evergreen_server.jobs.store.projects import AT_ONCE, Project, miscounted
from evergreen_server.ports.metrics import NullMetrics
from tests.jobs.tools import request_at, store_of

START = datetime(2026, 11, 29, tzinfo=UTC)
NAMES = ("film", "other", "third")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url) as opened:
        yield opened


class Workflows:
    def forget_ended(self, before: datetime, most: int) -> int:
        return 0


class Service:
    """A store whose jobs are moved by chance."""

    def __init__(self, database: Database) -> None:
        self.now = START
        self.database = database
        self.store: JobStore = store_of(database, clock=lambda: self.now)
        self.retention = Retention(
            database=database,
            workflows=Workflows(),
            clock=lambda: self.now,
            events_kept=timedelta(hours=1),
            jobs_kept=timedelta(hours=1),
            metrics=NullMetrics(),
            films=delete_old_runs,
            takes=delete_old_takes,
        )
        self._made = 0

    async def accept(self, project_id: str) -> Job:
        self._made += 1
        request = replace(request_at(self.now), project_id=project_id, request_id=f"r{self._made}", max_attempts=9)
        return await self.store.accept(request, job_id=f"job-{self._made:04}", estimated_millicredits=1000, inline={})

    async def move(self, job_id: str, chance: random.Random) -> None:
        def edit(job: Job) -> Job:
            # Sometimes nothing changes, or only the stage.
            to = chance.choice(sorted({*MOVES[job.state], job.state} - {State.QUEUED} | {job.state}))
            again = to is State.NEEDS_ATTENTION and chance.random() < 0.5
            charged = 1000 if to in FINAL else None
            stage = chance.choice([Stage.THROTTLED, Stage.GENERATING]) if to is State.RUNNING else Stage.NONE
            if job.final or again:
                return job
            return replace(
                job,
                state=to,
                stage=stage,
                charged_millicredits=charged,
                charge_basis=CostBasis.CONFIRMED if charged else None,
            )

        await self.store.command(job_id, edit)

    async def again(self, job_id: str) -> None:
        """Begins a further attempt of a job that runs."""
        await self.store.command(
            job_id,
            lambda job: (
                replace(job, state=State.QUEUED, stage=Stage.WAITING, attempt=job.attempt + 1, charged_millicredits=0)
                if job.state is State.RUNNING
                else job
            ),
        )

    async def listed(self, *, owned: list[str] | None = None, limit: int = 1000) -> list[Project]:
        return list(await self.store.projects(after="", limit=limit, owned=owned, owner="*"))

    async def check(self) -> None:
        """Compares the counters with the rows of the jobs."""
        rows = await self.database.read(lambda db: db.execute(sa.select(jobs.c.project_id, jobs.c.state)).all())
        counted = Counter((row.project_id, row.state) for row in rows)
        told = {
            (project.project_id, state.value): number
            for project in await self.listed()
            for state, number in project.jobs.items()
            if number
        }
        assert told == dict(counted)
        assert not await self.database.read(miscounted)


@pytest.fixture
def service(database: Database) -> Service:
    return Service(database)


async def test_the_counters_are_the_rows_counted_after_whatever_happened(service: Service) -> None:
    chance = random.Random(29)
    made: list[str] = []
    seen: set[str] = set()
    for step in range(300):
        service.now += timedelta(minutes=1)
        if step % 4 == 0:
            made.append((await service.accept(chance.choice(NAMES))).job_id)
        chosen = chance.choice(made)
        if chosen in await stored(service):
            await (service.again(chosen) if chance.random() < 0.2 else service.move(chosen, chance))
        if step % 50 == 49:
            seen |= {state.value for project in await service.listed() for state, n in project.jobs.items() if n}
            await service.retention.run_once()
        if step % 10 == 9:
            await service.check()
    await service.check()

    assert len(await stored(service)) < len(made), "no job was removed"
    assert len(seen) >= 6, seen


async def stored(service: Service) -> set[str]:
    return set(await service.database.read(lambda db: db.execute(sa.select(jobs.c.job_id)).scalars().all()))


async def test_changes_at_once_lose_no_count_while_ended_jobs_are_removed(service: Service) -> None:
    old = [await service.accept(name) for name in NAMES for _ in range(10)]
    for job in old:
        await service.store.command(job.job_id, failed)
    service.now += timedelta(hours=3)
    young = [await service.accept(name) for name in NAMES for _ in range(10)]

    async with asyncio.timeout(120), asyncio.TaskGroup() as group:
        group.create_task(service.retention.run_once())
        for job in young:
            group.create_task(service.store.command(job.job_id, failed))
        for job in old:
            # A caller that repeats a cancellation, of a job that is being removed.
            group.create_task(asked(service, job.job_id))
        for name in NAMES:
            group.create_task(service.accept(name))

    await service.check()
    assert {project.jobs[State.FAILED] for project in await service.listed()} == {10}


async def asked(service: Service, job_id: str) -> None:
    with suppress(JobNotFound):
        await service.store.command(job_id, lambda job: job)


def failed(job: Job) -> Job:
    return replace(job, state=State.FAILED, stage=Stage.NONE, charged_millicredits=0, charge_basis=CostBasis.CONFIRMED)


async def test_a_project_tells_its_revision_its_credits_and_when_it_last_changed(service: Service) -> None:
    job = await service.accept("film")
    await service.accept("film")
    service.now += timedelta(minutes=5)
    await service.store.claim(job.job_id, attempt=1, restarts=0, fencing_token="me")
    running = await service.store.command(
        job.job_id, lambda job: replace(job, state=State.RUNNING, stage=Stage.GENERATING)
    )
    service.now += timedelta(minutes=5)
    await service.store.flush([Progress(job=running, fencing_token="me", progress=0.5)])

    (project,) = await service.listed()

    assert (project.revision, project.totals.reserved, project.totals.spent) == (running.revision + 1, 2000, 0)
    assert (project.created_at, project.updated_at) == (START, service.now)
    assert {state: number for state, number in project.jobs.items() if number} == {State.QUEUED: 1, State.RUNNING: 1}


async def test_counters_that_a_server_of_the_release_before_left_wrong_are_set_right(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = await service.accept("film")
    await service.accept("other")
    # As it does: it writes the job, and knows no counter.
    other_state = sa.update(jobs).where(jobs.c.job_id == wrong.job_id).values(state=State.RUNNING.value)
    await service.database.write(lambda db: db.execute(other_state))

    assert await service.database.read(miscounted) == ["film"]
    await service.retention.set_counters_right()

    await service.check()
    said = [record for record in caplog.records if record.getMessage() == "jobs of a project counted anew"]
    assert [record.__dict__["project_id"] for record in said] == ["film"]
    caplog.clear()
    await service.retention.set_counters_right()
    assert not caplog.records


async def test_a_caller_of_very_many_projects_is_given_its_own_in_order(service: Service) -> None:
    names = [f"p{number:05}" for number in range(2 * AT_ONCE + 10)]
    rows = [{"project_id": name, "revision": 0, "created_at": 0} for name in names]
    await service.database.write(lambda db: db.execute(projects.insert(), rows))
    owned = [*names[::2], *(f"none-{number}" for number in range(AT_ONCE))]

    found: list[str] = []
    while page := await service.store.projects(after=found[-1] if found else "", limit=7, owned=owned, owner="me"):
        found += [project.project_id for project in page]
        assert len(page) <= 7

    assert found == names[::2]
    assert [project.project_id for project in await service.listed(limit=3)] == names[:3]
    assert await service.listed(owned=[]) == []
