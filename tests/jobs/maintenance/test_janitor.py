"""What a server left half done is found and put right by the next one; what cannot be is told of."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
import sqlalchemy as sa

from evergreen.v1 import audit_pb2, scene_pb2
from evergreen.v1 import video_pb2 as v1
from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.db.mapping import to_micros
from evergreen_server.jobs.db.schema import jobs, scene_deletions
from evergreen_server.jobs.execution.context import StepContext
from evergreen_server.jobs.execution.runner import Runner
from evergreen_server.jobs.maintenance.janitor import FILES_SECONDS, Janitor
from evergreen_server.jobs.model.change import Change
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.model.states import State
from evergreen_server.jobs.store.audit import to_json
from evergreen_server.jobs.store.jobs import JobStore
from evergreen_server.jobs.store.provider_tasks import TaskRecords
from evergreen_server.ports.audit import Action, Origin
from evergreen_storage import SceneStore, Unavailable, open_storage
from tests.jobs.tools import context_of, request_at, store_of
from tests.rpc.scenes import scene_of, upload
from tests.serving import Api, Control, reason_of, serving

START = datetime(2026, 11, 1, tzinfo=UTC)
WHERE = {"project_id": "film", "scene_id": "one"}


async def reason(call: Awaitable[object]) -> str:
    """Gives the reason of a refusal, empty where there is none."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return reason_of(error)
    return ""


async def gone(api: Api) -> None:
    """Waits until the scene is gone and can be made anew."""
    async with asyncio.timeout(60):
        while await reason(scene_of(api)) != "SCENE_NOT_FOUND":
            continue
        while await reason(api.scene.CreateScene(scene_pb2.CreateSceneRequest(**WHERE))):
            continue


async def mark(url: str) -> None:
    """Leaves what a server leaves that is killed while it deletes a scene."""
    async with open_database(url) as database:
        note = Origin(caller="ann", call_id="a call", address="192.0.2.7").did(Action.DELETE_SCENE)
        row = {**WHERE, "replica": "dead", "created_at": to_micros(datetime.now(UTC)), "note": to_json(note)}
        await database.write(lambda db: db.execute(scene_deletions.insert().values(**row)))


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_deletion_that_broke_off_is_finished_at_the_next_start(
    kind: str, tmp_path: Path, sandbox: Control, request: pytest.FixtureRequest
) -> None:
    sqlite = f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    url = sqlite if kind == "sqlite" else request.getfixturevalue("postgres").create()
    changes = {"EVERGREEN_DATABASE_URL": url}
    async with serving(tmp_path / "data", sandbox.url, **changes) as api:
        await api.scene.CreateScene(scene_pb2.CreateSceneRequest(**WHERE))
        await upload(api, b"a picture", path="images/a.png")
    await mark(url)

    async with serving(tmp_path / "data", sandbox.url, **changes) as api:
        await gone(api)

        assert (await scene_of(api)).video_requests == 0
        assert not list((tmp_path / "data" / "projects" / "film" / "one" / "images").iterdir())
        deletions = audit_pb2.ListAuditEntriesRequest(actions=[audit_pb2.AUDIT_ACTION_DELETE_SCENE])
        [entry] = (await api.audit.ListAuditEntries(deletions)).entries
        assert (entry.caller, entry.call_id, entry.scene_id) == ("ann", "a call", "one"), "by who asked for it"


class Heard(logging.Handler):
    """Hears of the first record with a message."""

    def __init__(self, message: str) -> None:
        super().__init__()
        self._message = message
        self.record: asyncio.Future[logging.LogRecord] = asyncio.get_running_loop().create_future()

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() == self._message and not self.record.done():
            self.record.set_result(record)


@dataclass
class Deletions:
    """Knows of no deletion that broke off, and may never come to say so."""

    fault: Exception | None = None
    hanging: bool = False

    async def finish(self) -> tuple[int, int]:
        if self.fault is not None:
            raise self.fault
        if self.hanging:
            await asyncio.Event().wait()
        return 0, 0


@dataclass
class Case:
    """A waiting job whose workflow is gone, and a sweep by a clock of the test's own."""

    store: JobStore
    context: StepContext
    enqueued: list[tuple[str, int, int]]
    told: list[Change]
    scenes: list[SceneStore]
    running: set[str] = field(default_factory=set)
    now: datetime = START
    ticks: float = 0.0
    deletions: Deletions = field(default_factory=Deletions)
    janitor: Janitor = field(init=False)


class Files:
    """The files of the scenes that a test opens later."""

    def __init__(self, scenes: Sequence[SceneStore]) -> None:
        self._scenes = scenes

    async def sweep(self) -> int:
        return sum([await scenes.sweep() for scenes in self._scenes])


@asynccontextmanager
async def swept(url: str) -> AsyncIterator[Case]:
    enqueued: list[tuple[str, int, int]] = []
    told: list[Change] = []

    def enqueue(_db: sa.Connection, job: Job) -> str:
        enqueued.append((job.job_id, job.attempt, job.restarts))
        return "jobs"

    async with open_database(url) as database:
        store = store_of(database, clock=lambda: case.now, enqueue=enqueue, changed=told.extend)
        tasks = TaskRecords(database=database, store=store, clock=lambda: case.now)
        scenes: list[SceneStore] = []
        context = context_of(
            store, tasks=tasks, scenes=Files(scenes), clock=lambda: case.now, monotonic=lambda: case.ticks
        )
        case = Case(store=store, context=context, enqueued=enqueued, told=told, scenes=scenes)
        case.janitor = Janitor(
            database=database, context=context, running=lambda: case.running, deletions=case.deletions
        )
        await store.accept(request_at(START), job_id="job-1", estimated_millicredits=None, inline={})
        yield case


@pytest.fixture(params=["sqlite", "postgresql"])
async def case(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Case]:
    sqlite = f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    async with swept(sqlite if request.param == "sqlite" else request.getfixturevalue("postgres").create()) as opened:
        yield opened


async def test_a_job_that_nobody_runs_is_started_again(case: Case) -> None:
    assert (await case.janitor.run_once()).restarted == (), "a new job waits a moment for the engine"

    found = await case.janitor.run_once()

    assert found.restarted == ("job-1",)
    assert case.enqueued == [("job-1", 1, 0), ("job-1", 1, 1)]
    # Without this the engine looks for them at some later time.
    assert [change.enqueued for change in case.told if change.enqueued] == ["jobs"] * 2


async def test_a_row_that_cannot_be_read_keeps_no_other_job_waiting(case: Case) -> None:
    second = replace(request_at(START), request_id="two")
    await case.store.accept(second, job_id="job-2", estimated_millicredits=None, inline={})
    odd = sa.update(jobs).where(jobs.c.job_id == "job-1").values(on_unknown_submission="ODD")
    await case.store.write(lambda db: (db.execute(odd), []))
    await case.janitor.run_once()

    found = await case.janitor.run_once()

    assert found.restarted == ("job-2",)
    assert case.enqueued[-1] == ("job-2", 1, 1)


async def test_a_part_that_fails_stops_no_other(tmp_path: Path, case: Case) -> None:
    left = tmp_path / "data" / "projects" / "film" / "one" / "videos" / ".clip.mp4.0123456789abcdef.part"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half a clip")
    os.utime(left, ((case.now - timedelta(days=2)).timestamp(),) * 2)
    case.deletions.fault = FileNotFoundError("the scenes' folder is gone")
    await case.janitor.run_once()
    case.ticks += FILES_SECONDS

    async with open_storage((tmp_path / "data").as_uri(), clock=lambda: case.now) as storage:
        case.scenes.append(SceneStore(storage, clock=lambda: case.now))
        # What was left before the storage was opened goes then.
        left.write_bytes(b"half a clip")
        os.utime(left, ((case.now - timedelta(days=2)).timestamp(),) * 2)
        found = await case.janitor.run_once()

    assert (found.restarted, found.files) == (("job-1",), 1)


async def test_a_storage_that_is_away_is_looked_at_again_the_next_time(
    case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    class Away:
        async def sweep(self) -> int:
            raise Unavailable("the storage is away")

    await case.janitor.run_once()
    case.ticks += FILES_SECONDS
    case.scenes.append(Away())  # type: ignore[arg-type]  # of all that scenes do, this alone is asked for

    found = await case.janitor.run_once()
    case.scenes.clear()
    case.ticks += FILES_SECONDS
    again = await case.janitor.run_once()

    assert (found.restarted, found.files) == (("job-1",), 0)
    assert again.files == 0
    assert [record.message for record in caplog.records].count("sweep failed") == 1


async def test_a_part_that_hangs_stops_no_other(case: Case) -> None:
    case.deletions.hanging = True
    case.running.add("job-1")
    case.now += timedelta(hours=1, seconds=1)
    signal = case.context.wakeups.of("job-1")

    running = asyncio.create_task(case.janitor.run())
    assert await signal.wait(60)

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_job_that_runs_here_is_not_started_again(case: Case) -> None:
    case.running.add("job-1")

    for _ in range(2):
        assert (await case.janitor.run_once()).restarted == ()

    assert case.enqueued == [("job-1", 1, 0)]


async def test_a_job_beyond_its_clock_that_nobody_runs_is_started_again_and_expires(case: Case) -> None:
    case.now += timedelta(hours=2)
    await case.janitor.run_once()

    found = await case.janitor.run_once()
    await Runner(case.context).run(*case.enqueued[-1])

    assert (found.restarted, found.overdue) == (("job-1",), ("job-1",))
    assert (await case.store.get("job-1")).state is State.EXPIRED
    assert (await case.janitor.run_once()).overdue == ()


async def test_a_job_that_waits_beyond_its_clock_is_woken(case: Case) -> None:
    case.running.add("job-1")
    signal = case.context.wakeups.of("job-1")
    await case.janitor.run_once()
    assert not signal.is_set()
    case.now += timedelta(hours=1, seconds=1)

    found = await case.janitor.run_once()

    assert signal.is_set()
    assert found.overdue == (), "it acts within seconds"


async def test_what_killed_writers_left_on_the_disk_is_removed_while_the_server_runs(
    tmp_path: Path, case: Case
) -> None:
    left = tmp_path / "data" / "projects" / "film" / "one" / "videos" / ".clip.mp4.0123456789abcdef.part"
    left.parent.mkdir(parents=True)
    async with open_storage((tmp_path / "data").as_uri(), clock=lambda: case.now) as storage:
        case.scenes.append(SceneStore(storage, clock=lambda: case.now))
        for age, files in ((timedelta(hours=1), 0), (timedelta(days=2), 1)):
            left.write_bytes(b"half a clip")
            os.utime(left, ((case.now - age).timestamp(),) * 2)
            assert (await case.janitor.run_once()).files == 0, "they are many, and not looked through each minute"
            case.ticks += FILES_SECONDS

            assert (await case.janitor.run_once()).files == files
            assert left.exists() is not bool(files)


async def test_a_job_beyond_its_clock_is_told_of(tmp_path: Path, sandbox: Control) -> None:
    """Whoever executes a job acts on its clock; a sweep that finds one overdue means that nobody could."""
    url = f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    await sandbox.settings(task_mean_seconds=100_000.0)
    async with serving(tmp_path / "data", sandbox.url, EVERGREEN_DATABASE_URL=url) as api:
        job = await api.generate()
        await api.until(job.job_id, v1.JOB_STATE_RUNNING, stage=v1.JOB_STAGE_GENERATING)
    async with open_database(url) as database:
        late = to_micros(datetime.now(UTC) - timedelta(hours=1))
        await database.write(lambda db: db.execute(sa.update(jobs).values(finish_by=late)))
    # Out of reach, so that the job cannot be cancelled.
    await sandbox.fault("status", operation="get_task", status=503, count=None)

    heard = Heard("swept")
    logger = logging.getLogger("evergreen_server.jobs.maintenance.janitor")
    logger.addHandler(heard)
    try:
        async with serving(tmp_path / "data", sandbox.url, EVERGREEN_DATABASE_URL=url), asyncio.timeout(60):
            record = await heard.record
    finally:
        logger.removeHandler(heard)

    assert (record.overdue_jobs, record.such_as) == (1, [job.job_id])
