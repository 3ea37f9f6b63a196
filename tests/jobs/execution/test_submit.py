"""The step that spends money, where the service is stopped in the middle of it."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa

from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.db.schema import jobs
from evergreen_server.jobs.execution.context import Limits
from evergreen_server.jobs.execution.submit import submit
from evergreen_server.jobs.model import transitions
from evergreen_server.jobs.model.change import Change
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.model.states import Slot, Stage, State
from evergreen_server.jobs.store.jobs import Edit, JobStore
from evergreen_server.jobs.store.provider_tasks import TaskRecords
from evergreen_server.jobs.wakeups import Wakeup, Wakeups
from evergreen_server.ports.provider import Submission
from evergreen_server.runtime.shield import ProtectedTasks
from tests.jobs.tools import context_of, request_at, store_of

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


class Rereading(JobStore):
    """Counts how often a job is read again, and tells when a change of it was tried."""

    rereads = 0

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.tried = asyncio.Event()

    async def change(self, job: Job, edit: Edit, **given: Any) -> Job:
        try:
            return await super().change(job, edit, **given)
        finally:
            self.tried.set()

    async def again(self, job: Job) -> Job:
        self.rereads += 1
        return await super().again(job)


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
            assert go_on.wait(120)
        return NOW

    async with open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}") as database:
        store, provider = store_of(database, clock=clock), Provider()
        await store.accept(request_at(NOW), job_id="job-1", estimated_millicredits=None, inline={})
        await store.claim("job-1", attempt=1, restarts=0, fencing_token="me")
        await store.command("job-1", lambda job: replace(job, stage=Stage.WAITING))
        await database.write(lambda db: db.execute(sa.update(jobs).values(slot=Slot.HELD.value)))
        tasks = TaskRecords(database=database, store=store, clock=lambda: NOW)
        async with ProtectedTasks(grace_seconds=20) as shield:
            context = context_of(
                store, tasks=tasks, provider=provider, scheduler=Unpaused(), shield=shield, clock=lambda: NOW
            )
            armed.set()
            submitting = asyncio.create_task(submit(context, await store.get("job-1"), "me"))
            await asyncio.to_thread(begun.wait, 60)
            submitting.cancel()
            await asyncio.wait({submitting})
            go_on.set()
        job = await store.get("job-1")

    assert submitting.cancelled()
    assert (job.task_id, provider.made) == ("task-1", ["task-1"])


REFUSE = "CREATE TRIGGER refuse BEFORE INSERT ON provider_tasks BEGIN SELECT RAISE(ABORT, 'odd'); END"
"""A fault that is of no kind that may pass."""


@pytest.mark.parametrize(
    ("fault", "mended"),
    [
        ("ALTER TABLE provider_tasks RENAME TO away", "ALTER TABLE away RENAME TO provider_tasks"),
        (REFUSE, "DROP TRIGGER refuse"),
    ],
    ids=["away", "refused"],
)
async def test_an_answer_that_the_database_does_not_take_is_offered_again_after_a_pause(
    fault: str, mended: str, tmp_path: Path
) -> None:
    async with open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}") as database:
        store, provider = store_of(database, clock=lambda: NOW), Provider()

        def run(statement: str) -> None:
            with database.engine.begin() as db:
                db.exec_driver_sql(statement)

        patience = Patience(lambda: run(mended))
        await store.accept(request_at(NOW), job_id="job-1", estimated_millicredits=None, inline={})
        await store.claim("job-1", attempt=1, restarts=0, fencing_token="me")
        await store.command("job-1", lambda job: replace(job, stage=Stage.WAITING))
        await database.write(lambda db: db.execute(sa.update(jobs).values(slot=Slot.HELD.value)))
        tasks = TaskRecords(database=database, store=store, clock=lambda: NOW)
        run(fault)
        async with ProtectedTasks(grace_seconds=20) as shield:
            context = context_of(
                store,
                tasks=tasks,
                provider=provider,
                scheduler=Unpaused(),
                shield=shield,
                clock=lambda: NOW,
                random=patience,
            )
            async with asyncio.timeout(60):
                job = await submit(context, await store.get("job-1"), "me")

    assert (job.task_id, provider.made, patience.pauses) == ("task-1", ["task-1"], 3)


@pytest.mark.parametrize("granted", [True, False])
async def test_a_job_that_hears_of_its_slot_reads_its_row_under_the_lock_alone_and_posts_only_with_the_slot(
    tmp_path: Path, granted: bool
) -> None:
    async with open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}") as database:
        store, provider, wakeups = store_of(database, clock=lambda: NOW, kind=Rereading), Provider(), Wakeups()
        await store.accept(request_at(NOW), job_id="job-1", estimated_millicredits=None, inline={})
        await store.claim("job-1", attempt=1, restarts=0, fencing_token="me")
        waiting = await store.command("job-1", lambda job: replace(job, stage=Stage.WAITING))
        async with ProtectedTasks(grace_seconds=20) as shield, asyncio.timeout(60):
            tasks = TaskRecords(database=database, store=store, clock=lambda: NOW)
            context = context_of(
                store,
                tasks=tasks,
                provider=provider,
                wakeups=wakeups,
                scheduler=Unpaused(),
                shield=shield,
                clock=lambda: NOW,
            )
            submitting = asyncio.create_task(submit(context, waiting, "me"))
            wakeups.of("job-1")
            if granted:
                await database.write(lambda db: db.execute(sa.update(jobs).values(slot=Slot.HELD.value)))
            wakeups.on_changes([Change(project_id="film", job_id="job-1", external=True, granted=True)])
            if not granted:
                # What it heard was wrong: the row has no slot, and it waits on, for whatever comes.
                await store.tried.wait()
                await store.command("job-1", transitions.cancelling)
                wakeups.wake("job-1")
            job = await submitting

    assert (job.task_id, provider.made) == (("task-1", ["task-1"]) if granted else ("", []))
    assert (job.state, store.rereads) == (State.RUNNING, 0) if granted else job.state is State.CANCELLED


async def test_another_executions_answer_is_not_waited_for_any_longer_by_a_clock_that_was_set_back(
    tmp_path: Path,
) -> None:
    grace, now = 60.0, 0.0

    class Clockwork(Wakeups):
        """Time passes by the monotonic clock with each wait, while the wall clock stands where it was set back to."""

        def of(self, job_id: str) -> Wakeup:
            nonlocal now
            now += grace / 4
            signal = super().of(job_id)
            signal.set()
            return signal

    async with open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}") as database:
        store = store_of(database, clock=lambda: NOW)
        await store.accept(request_at(NOW), job_id="job-1", estimated_millicredits=None, inline={})
        await store.claim("job-1", attempt=1, restarts=0, fencing_token="me")
        await store.command("job-1", lambda job: replace(job, stage=Stage.WAITING))
        await database.write(lambda db: db.execute(sa.update(jobs).values(slot=Slot.HELD.value)))
        intended = partial(transitions.intended, token="of another", now=NOW)
        await store.command("job-1", intended)
        context = context_of(
            store,
            tasks=TaskRecords(database=database, store=store, clock=lambda: NOW),
            wakeups=Clockwork(),
            limits=Limits(submission_grace_seconds=grace),
            clock=lambda: NOW - timedelta(days=1),
            monotonic=lambda: now,
        )
        async with asyncio.timeout(60):
            job = await submit(context, await store.get("job-1"), "me")

    assert (job.state, job.error.reason) == (State.NEEDS_ATTENTION, "SUBMISSION_UNKNOWN")
    assert now == grace


async def test_work_that_fails_after_its_caller_has_gone_is_told(caplog: pytest.LogCaptureFixture) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await go_on.wait()
        raise ZeroDivisionError("odd")

    async with ProtectedTasks(grace_seconds=20) as shield:
        caller = asyncio.create_task(shield.run(work(), name="odd work"))
        await begun.wait()
        caller.cancel()
        await asyncio.wait({caller})
        go_on.set()

    (told,) = [record for record in caplog.records if record.message == "work failed"]
    assert (told.levelname, told.work, told.exc_info[0]) == ("WARNING", "odd work", ZeroDivisionError)


async def test_work_that_fails_while_its_caller_waits_is_its_callers_to_tell(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        raise ZeroDivisionError("odd")

    async with ProtectedTasks(grace_seconds=20) as shield:
        with pytest.raises(ZeroDivisionError):
            await shield.run(work(), name="odd work")

    assert caplog.records == []
