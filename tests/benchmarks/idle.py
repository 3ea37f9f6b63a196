"""A server that nobody calls: its transactions on PostgreSQL; and how soon a job's workflow starts nevertheless.

The reference of the second is the same engine when it looks into its queues four times a second and is told of nothing,
as it was before it was told.
"""

import asyncio
import random
import tempfile
import time
from contextlib import AsyncExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import psycopg

from evergreen_server.jobs.cluster.engine import Engine
from evergreen_server.jobs.cluster.queues import LOOK_SECONDS, PAUSES
from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.model.change import Change
from evergreen_server.jobs.model.job import Job, JobRequest
from evergreen_server.ports.specs import GenerationSpec
from tests.benchmarks.commanded import commanded
from tests.benchmarks.machine import table
from tests.postgres import Postgres, any_postgres
from tests.serving import sandbox_process

AIM = 5.0
"""Transactions a second."""
SETTLING_SECONDS = 65.0
"""The engine looks more often for what it is to do while it starts."""
JOBS, ROUNDS = 40, 3
TOLD, UNTOLD = "told of each job", f"looking every {LOOK_SECONDS:g} s"


async def transactions(postgres: Postgres, seconds: float) -> None:
    async with AsyncExitStack() as stack:
        folder, url = Path(stack.enter_context(tempfile.TemporaryDirectory())), postgres.create()
        sandbox = await stack.enter_async_context(sandbox_process(speed=1.0))
        changes = ("EVERGREEN_PROVIDER_SPEED=1", f"EVERGREEN_DATABASE_URL={url}")
        arguments = (str(folder / "data"), sandbox.url, *changes)
        await stack.enter_async_context(commanded("tests.benchmarks.probed", *arguments, log=folder / "log"))
        await asyncio.sleep(SETTLING_SECONDS)
        with closing(psycopg.connect(url, autocommit=True)) as db:
            begun, before = time.monotonic(), counted(db)
            await asyncio.sleep(seconds)
            # Without our own: the first one counts with the second.
            made = (counted(db) - before - 1) / (time.monotonic() - begun)
    print(f"\nan idle server: {made:.1f} transactions a second on PostgreSQL")
    print(f"aim: at most {AIM:g}: {'met' if made <= AIM else 'MISSED'}")


def counted(db: "psycopg.Connection[tuple[int]]") -> int:
    query = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
    row = db.execute(query).fetchone()
    assert row is not None
    return row[0]


async def starts(url: str, *, told: bool) -> list[float]:
    """Gives the milliseconds from the commit of each of some jobs to the first step of its workflow."""
    started: dict[str, float] = {}
    found = asyncio.Event()

    async def run(job_id: str, _attempt: int, _restarts: int) -> None:
        started[job_id] = time.monotonic()
        found.set()

    async def run_film(*_leg: object) -> None:
        raise AssertionError("no film was started")

    took: list[float] = []
    async with open_database(url) as database:
        engine = Engine(database, replica_id="local", pauses=PAUSES if told else (LOOK_SECONDS, LOOK_SECONDS))
        async with engine.open(run, run_film):
            for number in range(JOBS):
                await asyncio.sleep(random.uniform(0.1, 0.1 + LOOK_SECONDS))
                job = job_of(f"job-{number}")
                queue = await database.write(lambda db, job=job: engine.enqueue(db, job))  # type: ignore[misc]
                committed = time.monotonic()
                if told:
                    engine.queues.on_changes([Change(project_id="film", job_id=job.job_id, enqueued=queue)])
                async with asyncio.timeout(60):
                    while job.job_id not in started:
                        found.clear()
                        await found.wait()
                took.append(1000 * (started[job.job_id] - committed))
    return took


def job_of(job_id: str) -> Job:
    now = datetime.now(UTC)
    spec = GenerationSpec(model="gen4.5", prompt_text="a rocket rises", duration_seconds=2)
    request = JobRequest(
        project_id="film",
        scene_id="scene-1",
        request_id=job_id,
        digest="",
        spec=spec,
        start_by=now + timedelta(hours=1),
    )
    return Job(job_id=job_id, request=request, created_at=now, updated_at=now)


def compare(postgres: Postgres, rounds: int) -> None:
    for name in ("SQLite", "PostgreSQL"):
        took: dict[str, list[float]] = {TOLD: [], UNTOLD: []}
        for number in range(rounds):
            for way in sorted(took, reverse=number % 2 == 0):
                with tempfile.TemporaryDirectory() as folder:
                    url = postgres.create() if name == "PostgreSQL" else f"sqlite:///{folder}/jobs.sqlite"
                    took[way] += asyncio.run(starts(url, told=way == TOLD))
        table(
            f"From a job's commit to its first step on {name}, {rounds * JOBS} jobs each",
            ("engine", "p50, ms", "longest, ms", "p50, of the other"),
            [
                [way, f"{median(took[way]):.1f}", f"{max(took[way]):.0f}", f"{median(took[way]) / median(other):.2f}x"]
                for way, other in ((TOLD, took[UNTOLD]), (UNTOLD, took[TOLD]))
            ],
        )


def run(*, quick: bool) -> None:
    # As before, the disk counts.
    with any_postgres(synced=True) as postgres:
        asyncio.run(transactions(postgres, 10.0 if quick else 60.0))
        compare(postgres, 1 if quick else ROUNDS)
