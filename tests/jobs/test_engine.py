"""The engine by itself: what is enqueued runs once, what is stopped goes on in the next process."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evergreen_server.jobs.connecting import open_database
from evergreen_server.jobs.database import Database
from evergreen_server.jobs.engine import Engine, Steps
from evergreen_server.jobs.model import Job, JobRequest
from evergreen_server.jobs.provider import VideoSpec

NOW = datetime.now(UTC)


def job(job_id: str) -> Job:
    request = JobRequest(
        project_id="film",
        scene_id="scene-1",
        request_id=job_id,
        digest="",
        spec=VideoSpec(model="gen4.5", prompt_text="a rocket rises", duration_seconds=2),
        start_by=NOW + timedelta(hours=1),
    )
    return Job(job_id=job_id, request=request, created_at=NOW, updated_at=NOW)


async def enqueue(database: Database, engine: Engine, job_id: str) -> None:
    await database.write(lambda db: engine.enqueue(db, job(job_id)))


async def test_a_run_that_was_stopped_goes_on_in_the_next_process_without_the_steps_it_had_made(
    tmp_path: Path,
) -> None:
    made: list[str] = []
    second = asyncio.Event()

    async def first_step() -> None:
        made.append("first")

    async def second_step() -> None:
        made.append("second")
        second.set()
        if len(made) == 2:
            await asyncio.Event().wait()

    async def run(_job_id: str, _attempt: int, _run: int, step: Steps) -> None:
        await step("first", first_step)
        await step("second", second_step)
        done.set()

    async with open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}") as database:
        done = asyncio.Event()
        engine = Engine(database, replica_id="local")
        async with engine.open(run), asyncio.timeout(20):
            await enqueue(database, engine, "job-1")
            await second.wait()
        async with Engine(database, replica_id="local").open(run), asyncio.timeout(20):
            await done.wait()

    assert made == ["first", "second", "second"]


async def test_what_is_taken_from_the_queue_while_the_engine_stops_is_left_for_the_next_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    started: list[str] = []
    one_runs, two_runs = asyncio.Event(), asyncio.Event()

    async def run(job_id: str, _attempt: int, _run: int, _step: Steps) -> None:
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
        async with engine.open(run), asyncio.timeout(20):
            await enqueue(database, engine, "job-1")
            await one_runs.wait()
        assert started == ["job-1"]
        started.clear()
        one_runs.clear()
        engine = Engine(database, replica_id="local")
        async with engine.open(run), asyncio.timeout(20):
            await two_runs.wait()
            await one_runs.wait()

    assert sorted(started) == ["job-1", "job-2"]
    assert caplog.messages == [], "stopping is nothing to warn of"
