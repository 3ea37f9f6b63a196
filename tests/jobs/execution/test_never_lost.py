"""Where a job could be lost, stuck or told wrongly though nothing is killed: outages, obstacles, impatient callers."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
import sqlalchemy as sa

from evergreen.v1 import video_pb2 as v1
from evergreen_server.jobs.admission.durations import Durations
from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.execution.polling.schedule import Pace
from evergreen_server.jobs.execution.runner import Runner
from evergreen_server.jobs.model.change import Change
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.model.states import Stage, State
from evergreen_server.jobs.store.jobs import JobStore
from evergreen_server.ports.provider import NotSent, Task, TaskState
from evergreen_server.providers.runway.sandbox import SANDBOX_KEY
from tests.jobs.lives import check_lives
from tests.jobs.tools import context_of, request_at, store_of
from tests.serving import Api, Control, serving


class Index:
    """A scene's index, which can be made one that the service must not touch."""

    def __init__(self, tmp_path: Path) -> None:
        self._path = tmp_path / "data" / "projects" / "film" / "scene-1" / "metadata" / "scene.json"

    def block(self) -> None:
        self._whole = self.read()
        self._path.write_bytes(b'{"schemaVersion": 99}')

    def mend(self) -> None:
        self._path.write_bytes(self._whole)

    def read(self) -> bytes:
        return self._path.read_bytes()


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return Index(tmp_path)


async def held_in_delivery(api: Api, sandbox: Control, index: Index) -> str:
    """Brings a job to where its files are stored and only the index is not written."""
    await sandbox.fault("slow", operation="get_task", prompt="held", seconds=0.3)
    job = await api.generate(prompt_text="held")
    await sandbox.called("get_task", promptText="held")
    index.block()
    assert (await api.warned(job.job_id, "STORAGE_UNAVAILABLE")).stage == v1.JOB_STAGE_DELIVERING
    return job.job_id


async def test_an_output_server_that_is_away_for_long_costs_nothing_but_time(tmp_path: Path, sandbox: Control) -> None:
    await sandbox.fault("drop", operation="output", count=20)
    await sandbox.fault("status", operation="output", status=503, count=20)
    async with serving(tmp_path / "data", sandbox.url, EVERGREEN_PROVIDER_SPEED="500") as api:
        done = await api.finished((await api.generate()).job_id)

        assert done.state == v1.JOB_STATE_SUCCEEDED
        assert len(await sandbox.calls(operation="output")) == 41
        await check_lives(api, "film")


async def test_a_clip_that_was_stored_is_delivered_though_its_task_is_gone(
    tmp_path: Path, sandbox: Control, index: Index
) -> None:
    async with serving(tmp_path / "data", sandbox.url) as api:
        job_id = await held_in_delivery(api, sandbox, index)
    headers = {"Authorization": f"Bearer {SANDBOX_KEY}", "X-Runway-Version": "2024-11-06"}
    task_id = (await sandbox.tasks("held"))[0]["id"]
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.delete(f"{sandbox.url}/v1/tasks/{task_id}") as answer,
    ):
        assert answer.status == 204
    index.mend()

    async with serving(tmp_path / "data", sandbox.url) as api:
        done = await api.finished(job_id)

        assert done.state == v1.JOB_STATE_SUCCEEDED
        assert [warning.code for warning in done.warnings] == ["STORAGE_UNAVAILABLE", "TASK_GONE"]
        assert done.outputs[0].asset.encode() in index.read()
        await check_lives(api, "film")


async def test_a_job_that_is_only_delivered_any_more_holds_no_slot_after_a_restart(
    tmp_path: Path, sandbox: Control, index: Index
) -> None:
    await sandbox.account(models={"gen4.5": {"maxConcurrentGenerations": 1}})
    async with serving(tmp_path / "data", sandbox.url) as api:
        job_id = await held_in_delivery(api, sandbox, index)

    async with serving(tmp_path / "data", sandbox.url) as api:
        other = await api.generate(prompt_text="other", scene_id="scene-2")

        assert (await api.finished(other.job_id)).state == v1.JOB_STATE_SUCCEEDED
        index.mend()
        assert (await api.finished(job_id)).state == v1.JOB_STATE_SUCCEEDED


@asynccontextmanager
async def store_of_one_job(
    tmp_path: Path,
    *,
    changed: Callable[[Sequence[Change]], None] = lambda _changes: None,
    enqueue: Callable[[sa.Connection, Job], str] = lambda _db, _job: "",
) -> AsyncIterator[JobStore]:
    """A store with one accepted job, `job-1`."""
    now = datetime.now(UTC)
    async with open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}") as database:
        store = store_of(database, clock=lambda: now, changed=changed, enqueue=enqueue)
        await store.accept(request_at(now), job_id="job-1", estimated_millicredits=None, inline={})
        yield store


async def test_a_wish_whose_caller_gave_up_is_heard_all_the_same(tmp_path: Path) -> None:
    told: list[Change] = []
    begun, go_on = threading.Event(), threading.Event()

    def cancelling(job: Job) -> Job:
        begun.set()
        assert go_on.wait(120)
        return replace(job, state=State.CANCELLING)

    async with store_of_one_job(tmp_path, changed=told.extend) as store:
        told.clear()
        call = asyncio.create_task(store.command("job-1", cancelling))
        await asyncio.to_thread(begun.wait, 60)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        go_on.set()
        # Written after it, by the one thread that writes.
        seen = await store.command("job-1", lambda job: job)

    assert seen.state is State.CANCELLING
    # Asked again it is told again, since the first time may have gone unheard.
    assert told == [Change(project_id="film", job_id="job-1", external=True)] * 2


class EndlessScenes:
    """Scenes of which none is ever made."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def record_request(self, _project_id: str, _scene_id: str, _job_id: str, assets: object, makes: str) -> None:
        self.begun.set()
        await asyncio.Event().wait()


class EndlessTask:
    """A provider whose task never ends."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def task(self, task_id: str) -> Task:
        self.asked.set()
        return Task(task_id=task_id, state=TaskState.THROTTLED, status="THROTTLED")


async def test_a_late_run_of_what_is_over_takes_nothing_from_the_current_run(tmp_path: Path) -> None:
    async with store_of_one_job(tmp_path) as store:
        scenes = EndlessScenes()
        context = replace(context_of(store), scenes=scenes)
        runner = Runner(context)
        current = asyncio.create_task(runner.run("job-1", 1, 0))
        async with asyncio.timeout(60):
            await scenes.begun.wait()
        signal = context.wakeups.of("job-1")

        await runner.run("job-1", 1, 7)

        context.wakeups.wake("job-1")
        assert signal.is_set(), "the current run still hears its caller"
        current.cancel()
        await asyncio.wait({current})


async def test_a_wish_told_while_the_run_before_ends_is_not_lost_on_the_next(tmp_path: Path) -> None:
    async with store_of_one_job(tmp_path) as store:
        scenes = EndlessScenes()
        context = replace(context_of(store), scenes=scenes)
        runner = Runner(context)
        before = asyncio.create_task(runner.run("job-1", 1, 0))
        async with asyncio.timeout(60):
            await scenes.begun.wait()
            scenes.begun.clear()
            with closing(sqlite3.connect(tmp_path / "jobs.sqlite", isolation_level=None)) as db:
                db.execute("BEGIN IMMEDIATE")
                after = asyncio.create_task(runner.run("job-1", 1, 0))
                await asyncio.sleep(0)
                context.wakeups.wake("job-1")
                before.cancel()
                await asyncio.wait({before})
            await scenes.begun.wait()

        assert context.wakeups.of("job-1").is_set()
        after.cancel()
        await asyncio.wait({after})


class Overtaken(JobStore):
    """A replica that is paused right after it has begun a job, for so long that another begins it too."""

    lapsed = False

    async def claim(self, job_id: str, *, attempt: int, restarts: int, fencing_token: str) -> Job | None:
        begun = await super().claim(job_id, attempt=attempt, restarts=restarts, fencing_token=fencing_token)
        self.lapsed = True
        await super().claim(job_id, attempt=attempt, restarts=restarts, fencing_token="another's")
        return begun


async def test_a_run_whose_replica_lost_its_lease_as_it_began_finds_out_before_its_first_step(tmp_path: Path) -> None:
    async with open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}") as database:
        now = datetime.now(UTC)
        store = store_of(database, clock=lambda: now, kind=Overtaken)
        await store.accept(request_at(now), job_id="job-1", estimated_millicredits=None, inline={})
        scenes = EndlessScenes()

        def guard() -> Callable[[], None]:
            since = store.lapsed

            def check() -> None:
                if store.lapsed != since:
                    raise NotSent("the lease ran out meanwhile")

            return check

        async with asyncio.timeout(60):
            await Runner(replace(context_of(store), scenes=scenes, lease_check=guard)).run("job-1", 1, 0)

        assert not scenes.begun.is_set()


async def test_an_older_run_of_a_job_ends_when_a_newer_one_begins(tmp_path: Path) -> None:
    async with store_of_one_job(tmp_path) as store:
        provider = EndlessTask()
        context = context_of(store, durations=Durations(), provider=provider, pace=Pace(scale=1000))
        await store.command("job-1", lambda job: replace(job, stage=Stage.WAITING))
        running = replace(
            await store.get("job-1"), state=State.RUNNING, stage=Stage.GENERATING, task_id="task", submit_token="token"
        )
        await store.command("job-1", lambda job: running)
        runner = Runner(context)
        older = asyncio.create_task(runner.run("job-1", 1, 0))
        async with asyncio.timeout(60):
            await provider.asked.wait()

        newer = asyncio.create_task(runner.run("job-1", 1, 0))

        async with asyncio.timeout(60):
            await older
        assert not newer.done()
        assert list(runner.running) == ["job-1"]
        newer.cancel()
        await asyncio.wait({newer})


async def test_a_run_of_a_job_that_is_no_longer_kept_ends_at_once(tmp_path: Path) -> None:
    async with store_of_one_job(tmp_path) as store:
        async with asyncio.timeout(60):
            await Runner(context_of(store)).run("job-2", 1, 0)
