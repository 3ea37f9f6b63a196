"""A store and an admission on a database that others may share, as several replicas would, without jobs that run."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from evergreen_server.jobs.admission import slots
from evergreen_server.jobs.admission.scheduler import SlotScheduler
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.schema import jobs
from evergreen_server.jobs.model.change import Change
from evergreen_server.jobs.model.job import Job, JobRequest
from evergreen_server.jobs.model.states import CostBasis, Stage, State
from evergreen_server.jobs.store.backlog import Backlog
from evergreen_server.jobs.store.jobs import JobStore
from evergreen_server.jobs.wakeups import Wakeups
from evergreen_server.ports.provider import Account, ModelLimits, ProviderError
from evergreen_server.ports.specs import GenerationSpec


class Tier:
    """A provider that only knows its account."""

    def __init__(self, **limits: int | None) -> None:
        usual = {"max_concurrent": None, "max_daily": None, "used_today": 0}
        self.limits = ModelLimits(**{**usual, **limits})
        self.balance = 1000
        self.fault: ProviderError | None = None

    async def account(self) -> Account:
        if self.fault is not None:
            raise self.fault
        return Account(
            balance_millicredits=self.balance,
            max_monthly_millicredits=None,
            limits={"gen4.5": self.limits},
            api_version="",
        )


class Replica:
    """A store and an admission of their own, on a database that others may share."""

    def __init__(self, database: Database, tier: Tier, *, limit: int | None = None) -> None:
        self.woken: set[str] = set()
        self.news = asyncio.Event()
        self.database = database
        self.tier = tier
        self.wakeups = Wakeups()
        self.clock = Clock()
        self.store = JobStore(
            database=database,
            replica_id="local",
            clock=self.clock,
            encode_event=lambda _kind, _job, _at: b"",
            enqueue=lambda _db, _job: "",
            changed=self.changed,
            backlog=Backlog(limit),
        )
        self.scheduler = SlotScheduler(
            database=database,
            store=self.store,
            provider=tier,
            wakeups=self.wakeups,
            clock=self.clock,
            random=random.Random(1),
            scale=1.0,
        )

    def changed(self, changes: Sequence[Change]) -> None:
        self.scheduler.on_commit(changes)
        self.woken.update(change.job_id for change in changes if change.external)
        self.news.set()

    async def grants(self, job_id: str) -> None:
        """Waits until this replica granted the job a slot."""
        async with asyncio.timeout(60):
            while job_id not in self.woken:
                self.news.clear()
                await self.news.wait()

    async def warned(self, job_id: str) -> None:
        """Waits until the job carries a warning."""
        async with asyncio.timeout(60):
            self.news.clear()
            # Cleared before each look, since news of what is found by then may come during it.
            while not (await self.store.get(job_id)).warnings:
                await self.news.wait()
                self.news.clear()

    async def accept(
        self, job_id: str, *, project_id: str = "film", priority: int = 0, price: int | None = None
    ) -> Job:
        """Accepts a job and has it wait for a slot."""
        request = JobRequest(
            project_id=project_id,
            scene_id="scene-1",
            request_id=job_id,
            digest="",
            spec=GenerationSpec(model="gen4.5", prompt_text="a rocket rises", duration_seconds=2),
            priority=priority,
            start_by=self.clock() + timedelta(days=1),
        )
        job = await self.store.accept(request, job_id=job_id, estimated_millicredits=price, inline={})
        await self.store.claim(job.job_id, attempt=1, restarts=0, fencing_token="me")
        return await self.store.change(job, lambda job: replace(job, stage=Stage.WAITING), fencing_token="me")

    async def submit(self, job_id: str) -> None:
        def edit(job: Job) -> Job:
            return replace(job, state=State.RUNNING, stage=Stage.SUBMITTING, submit_token="t", started_at=self.clock())

        await self.store.command(job_id, edit)

    async def end(self, job_id: str) -> None:
        await self.store.command(job_id, lambda job: job.charged(0, CostBasis.CONFIRMED).ended(State.FAILED))

    async def grant(self, **terms: int | None) -> list[str]:
        """Looks once at the line and gives the jobs that got a slot."""
        allowed = slots.SlotLimits(**{"concurrent": None, "asked_at": self.clock(), **terms})

        def work(db: sa.Connection) -> tuple[slots.Granted, list[Change]]:
            granted = slots.grant(db, "gen4.5", allowed, self.clock(), 1.0)
            return granted, granted.changes

        return sorted(change.job_id for change in (await self.store.write(work)).changes)

    async def see(self, balance: int) -> bool:
        """Hears of the balance, as after a question that was asked now."""
        now = self.clock()
        return await self.database.write(lambda db: slots.see_balance(db, balance, now, now))

    async def held(self) -> int:
        query = sa.select(sa.func.count()).where(jobs.c.slot == "HELD")
        return await self.database.read(lambda db: db.execute(query).scalar_one())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Runs the admission as a server does, once it knows the account."""
        works = (self.scheduler.refresh(), self.scheduler.run(), self.scheduler.warn())
        tasks = [asyncio.create_task(work) for work in works]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class Clock:
    """The time, which a test may move."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead
