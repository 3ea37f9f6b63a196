"""The step that spends money, where the service is stopped in the middle of it."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import sqlalchemy as sa

from evergreen_server.jobs.connecting import open_database
from evergreen_server.jobs.database import jobs
from evergreen_server.jobs.model import Slot, Stage
from evergreen_server.jobs.provider import Submission
from evergreen_server.jobs.submission import submit
from evergreen_server.jobs.tasks import TaskRecords
from evergreen_server.jobs.work import Shield
from tests.jobs.tools import request_at, store_of, tools_of

NOW = datetime(2026, 11, 1, tzinfo=UTC)


class Provider:
    """Makes a task of each POST."""

    def __init__(self) -> None:
        self.made: list[str] = []

    async def create(self, _spec: object, _media: object, *, before_send: Callable[[], None]) -> Submission:
        before_send()
        self.made.append(f"task-{len(self.made) + 1}")
        return Submission(task_id=self.made[-1], estimated_millicredits=None)


class Patience(Random):
    """Chance, which is asked before each pause: at the third the database is back."""

    def __init__(self, back: Callable[[], None]) -> None:
        super().__init__()
        self.pauses = 0
        self._back = back

    def uniform(self, a: float, b: float) -> float:
        self.pauses += 1
        if self.pauses == 3:
            self._back()
        return 0.0


class Unpaused:
    """An admission that nothing holds up."""

    async def accepted(self, _model: str) -> None:
        return


async def test_a_stop_while_the_intent_is_recorded_leaves_no_intent_without_its_post(tmp_path: Path) -> None:
    begun, go_on, armed = threading.Event(), threading.Event(), threading.Event()

    def clock() -> datetime:
        # The store asks for the time within its transaction.
        if armed.is_set():
            begun.set()
            assert go_on.wait(20)
        return NOW

    async with open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}") as database:
        store, provider = store_of(database, clock=clock), Provider()
        await store.accept(request_at(NOW), job_id="job-1", estimated_millicredits=None, inline={})
        await store.begin("job-1", attempt=1, run=0, execution="me")
        await store.wish("job-1", lambda job: replace(job, stage=Stage.WAITING))
        await database.write(lambda db: db.execute(sa.update(jobs).values(slot=Slot.HELD.value)))
        tasks = TaskRecords(database=database, store=store, clock=lambda: NOW)
        async with Shield(grace_seconds=20) as shield:
            tools = tools_of(
                store, tasks=tasks, provider=provider, admission=Unpaused(), shield=shield, clock=lambda: NOW
            )
            armed.set()
            submitting = asyncio.create_task(submit(tools, await store.get("job-1"), "me"))
            await asyncio.to_thread(begun.wait, 20)
            submitting.cancel()
            await asyncio.wait({submitting})
            go_on.set()
        job = await store.get("job-1")

    assert submitting.cancelled()
    assert (job.task_id, provider.made) == ("task-1", ["task-1"])


async def test_an_answer_that_the_database_does_not_take_is_offered_again_after_a_pause(tmp_path: Path) -> None:
    async with open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}") as database:
        store, provider = store_of(database, clock=lambda: NOW), Provider()

        def rename(before: str, after: str) -> None:
            with database.engine.begin() as db:
                db.exec_driver_sql(f"ALTER TABLE {before} RENAME TO {after}")

        patience = Patience(lambda: rename("away", "provider_tasks"))
        await store.accept(request_at(NOW), job_id="job-1", estimated_millicredits=None, inline={})
        await store.begin("job-1", attempt=1, run=0, execution="me")
        await store.wish("job-1", lambda job: replace(job, stage=Stage.WAITING))
        await database.write(lambda db: db.execute(sa.update(jobs).values(slot=Slot.HELD.value)))
        tasks = TaskRecords(database=database, store=store, clock=lambda: NOW)
        rename("provider_tasks", "away")
        async with Shield(grace_seconds=20) as shield:
            tools = tools_of(
                store,
                tasks=tasks,
                provider=provider,
                admission=Unpaused(),
                shield=shield,
                clock=lambda: NOW,
                random=patience,
            )
            async with asyncio.timeout(20):
                job = await submit(tools, await store.get("job-1"), "me")

    assert (job.task_id, provider.made, patience.pauses) == ("task-1", ["task-1"], 3)
