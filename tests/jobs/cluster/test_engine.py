"""The engine by itself: what is enqueued runs once, what is stopped goes on in the next process."""

import asyncio
import logging
import sqlite3
import threading
import time
from contextlib import AsyncExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from evergreen_server.jobs.cluster.engine import Engine
from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.model.job import Job, JobRequest
from evergreen_server.ports.specs import GenerationSpec, Operation

NOW = datetime.now(UTC)


def job(job_id: str, operation: Operation | None = None) -> Job:
    request = JobRequest(
        project_id="film",
        scene_id="scene-1",
        request_id=job_id,
        digest="",
        spec=GenerationSpec(operation=operation, model="gen4.5", prompt_text="a rocket rises", duration_seconds=2),
        start_by=NOW + timedelta(hours=1),
    )
    return Job(job_id=job_id, request=request, created_at=NOW, updated_at=NOW)


async def no_films(_project_id: str, _film_id: str, _run: int, _leg: int) -> None:
    raise AssertionError("no film was started")


async def enqueue(database: Database, engine: Engine, job_id: str) -> None:
    await database.write(lambda db: engine.enqueue(db, job(job_id)))


async def test_a_run_that_was_stopped_goes_on_in_the_next_process(tmp_path: Path) -> None:
    started: list[tuple[str, int, int]] = []
    first, second = asyncio.Event(), asyncio.Event()

    async def run(job_id: str, attempt: int, run: int) -> None:
        started.append((job_id, attempt, run))
        if len(started) == 1:
            first.set()
            await asyncio.Event().wait()
        second.set()

    async with open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}") as database:
        engine = Engine(database, replica_id="local")
        async with engine.open(run, no_films), asyncio.timeout(60):
            await enqueue(database, engine, "job-1")
            await first.wait()
        async with Engine(database, replica_id="local").open(run, no_films), asyncio.timeout(60):
            await second.wait()

    assert started == [("job-1", 1, 0)] * 2


async def test_what_the_release_before_cannot_run_waits_in_a_queue_that_it_does_not_find(tmp_path: Path) -> None:
    started: list[tuple[str, int, int]] = []
    first, second = asyncio.Event(), asyncio.Event()

    async def run(job_id: str, attempt: int, restarts: int) -> None:
        started.append((job_id, attempt, restarts))
        if len(started) == 1:
            first.set()
            await asyncio.Event().wait()
        second.set()

    def listed(db: sa.Connection) -> tuple[set[str], set[str]]:
        named = db.execute(sa.text("SELECT name FROM queues")).scalars()
        return set(named), set(db.execute(sa.text("SELECT queue_name FROM workflow_status")).scalars())

    async with open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}") as database:
        engine = Engine(database, replica_id="local")
        async with engine.open(run, no_films), asyncio.timeout(60):
            await database.write(lambda db: engine.enqueue(db, job("job-1", Operation.TEXT_TO_IMAGE)))
            await first.wait()
            # Every process takes from each queue that stands in the table, also of workflows that it cannot run.
            assert await database.read(listed) == (set(), {"generations"})
        async with Engine(database, replica_id="local").open(run, no_films), asyncio.timeout(60):
            await second.wait()

    assert started == [("job-1", 1, 0)] * 2


async def test_the_loops_threads_stay_the_loops_own(tmp_path: Path) -> None:
    began = asyncio.Event()

    async def run(_job_id: str, _attempt: int, _run: int) -> None:
        began.set()

    async def thread() -> str:
        return await asyncio.to_thread(lambda: threading.current_thread().name)

    async with open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}") as database:
        engine = Engine(database, replica_id="local")
        async with engine.open(run, no_films), asyncio.timeout(60):
            await enqueue(database, engine, "job-1")
            await began.wait()
            during = await thread()
        after = await thread()

    # Were they the engine's, its end would take them away from everybody else.
    assert during.startswith("asyncio_")
    assert after.startswith("asyncio_")


async def test_what_is_taken_from_the_queue_while_the_engine_stops_is_left_for_the_next_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    started: list[str] = []
    one_runs, two_runs = asyncio.Event(), asyncio.Event()

    async def run(job_id: str, _attempt: int, _run: int) -> None:
        started.append(job_id)
        (one_runs if job_id == "job-1" else two_runs).set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if job_id == "job-1":
                # Holds the stop up for several looks of the engine into its queue.
                await enqueue(database, engine, "job-2")
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(two_runs.wait(), 0.5)
            raise

    async with open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}") as database:
        engine = Engine(database, replica_id="local")
        async with engine.open(run, no_films), asyncio.timeout(60):
            await enqueue(database, engine, "job-1")
            await one_runs.wait()
        assert started == ["job-1"]
        started.clear()
        one_runs.clear()
        engine = Engine(database, replica_id="local")
        async with engine.open(run, no_films), asyncio.timeout(60):
            await two_runs.wait()
            await one_runs.wait()

    assert sorted(started) == ["job-1", "job-2"]
    assert caplog.messages == [], "stopping is nothing to warn of"


async def test_ended_workflows_are_forgotten_and_the_others_kept(tmp_path: Path) -> None:
    ended, running = asyncio.Event(), asyncio.Event()

    async def run(job_id: str, _attempt: int, _run: int) -> None:
        if job_id == "job-1":
            ended.set()
            return
        running.set()
        await asyncio.Event().wait()

    async with open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}") as database:
        engine = Engine(database, replica_id="local")
        async with engine.open(run, no_films), asyncio.timeout(60):
            for job_id in ("job-1", "job-2"):
                await enqueue(database, engine, job_id)
            await ended.wait()
            await running.wait()
            early = await asyncio.to_thread(engine.forget_ended, NOW - timedelta(hours=1), 10)
            # The engine records the end only after the run has returned.
            late = 0
            while not late:
                late = await asyncio.to_thread(engine.forget_ended, NOW + timedelta(hours=1), 10)
            left = await asyncio.to_thread(engine.pending, None)

    assert (early, late) == (0, 1)
    assert [workflow for workflow, _ in left] == ["job-2.1"]


async def no_jobs(_job_id: str, _attempt: int, _restarts: int) -> None:
    raise AssertionError("no job was accepted")


async def test_a_leg_of_a_film_that_was_stopped_goes_on_in_the_next_process_or_in_another_replica(
    database_url: str,
) -> None:
    legs: list[tuple[str, str, int, int]] = []
    first, second = asyncio.Event(), asyncio.Event()

    async def run(*leg: object) -> None:
        legs.append(leg)
        if len(legs) == 1:
            first.set()
            await asyncio.Event().wait()
        second.set()

    def listed(db: sa.Connection) -> tuple[set[str], set[str]]:
        named = db.execute(sa.text(f"SELECT name FROM {schema}queues")).scalars()
        return set(named), set(db.execute(sa.text(f"SELECT queue_name FROM {schema}workflow_status")).scalars())

    async with open_database(database_url) as database:
        schema = "dbos." if database.shared else ""
        names = ("replica-1", "replica-2") if database.shared else ("local", "local")
        engine = Engine(database, replica_id=names[0])
        async with engine.open(no_jobs, run), asyncio.timeout(60):
            await database.write(lambda db: engine.enqueue_film(db, "films", "lamp", 2, 3))
            await first.wait()
            # Nor does the release before take from it: that runs no films.
            assert await database.read(listed) == (set(), {"films"})
        async with Engine(database, replica_id=names[1]).open(no_jobs, run), asyncio.timeout(60):
            await second.wait()

    assert legs == [("films", "lamp", 2, 3)] * 2


async def test_a_leg_of_a_film_is_run_for_each_of_its_transactions_that_commits(tmp_path: Path) -> None:
    """As of a film that was deleted and made again, whose runs count anew."""
    legs: list[tuple[object, ...]] = []
    all_began = asyncio.Event()

    async def run(*leg: object) -> None:
        legs.append(leg)
        if len(legs) == 3:
            all_began.set()

    async with open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}") as database:
        engine = Engine(database, replica_id="local")

        def broken(db: sa.Connection) -> None:
            engine.enqueue_film(db, "films", "lamp", 1, 7)
            raise ZeroDivisionError

        async with engine.open(no_jobs, run), asyncio.timeout(60):
            for leg in (1, 1, 2):
                with pytest.raises(ZeroDivisionError):
                    await database.write(broken)
                await database.write(lambda db, leg=leg: engine.enqueue_film(db, "films", "lamp", 1, leg))
            await all_began.wait()

    assert sorted(legs) == [("films", "lamp", 1, 1)] * 2 + [("films", "lamp", 1, 2)]


def test_a_job_that_is_found_while_the_loop_rests_runs_on_it_all_the_same(tmp_path: Path) -> None:
    """Everything that a job uses belongs to that loop."""
    loops: list[asyncio.AbstractEventLoop] = []

    async def run(_job_id: str, _attempt: int, _run: int) -> None:
        loops.append(asyncio.get_running_loop())
        ran.set()

    async def begin() -> Engine:
        database = await stack.enter_async_context(open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}"))
        engine = Engine(database, replica_id="local")
        await stack.enter_async_context(engine.open(run, no_films))
        await enqueue(database, engine, "job-1")
        return engine

    async def end() -> None:
        async with stack, asyncio.timeout(60):
            await ran.wait()

    with asyncio.Runner() as runner:
        stack, ran = AsyncExitStack(), asyncio.Event()
        runner.run(begin())
        until = time.monotonic() + 60
        while not taken(tmp_path / "jobs.sqlite") and time.monotonic() < until:
            time.sleep(0.05)
        runner.run(end())

        assert loops == [runner.get_loop()]


def taken(path: Path) -> bool:
    """Whether DBOS has taken a job from its queue."""
    with closing(sqlite3.connect(path)) as db:
        return bool(db.execute("SELECT 1 FROM workflow_status WHERE status = 'PENDING'").fetchall())
