"""Many jobs brought to the provider, whose tasks last longer than any benchmark; and their rows, read from outside."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence

import sqlalchemy as sa

from evergreen_server.jobs.db.schema import jobs
from evergreen_server.jobs.db.shared_schema import replicas
from tests.serving import Api, Control

PROJECTS = 10
CALLERS = 32
PATIENCE_SECONDS = 900
LOOK_SECONDS = 0.5
LASTING_SECONDS = 100_000.0
UNDER_WAY = ("QUEUED", "RUNNING")


class Rows:
    """The jobs of a server as its database has them."""

    def __init__(self, url: str) -> None:
        parsed = sa.make_url(url)
        if parsed.get_backend_name() == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        self._engine = sa.create_engine(parsed)

    def replicas(self) -> set[str]:
        """Gives every replica that has ever held a lease."""
        with self._engine.connect() as db:
            return set(db.execute(sa.select(replicas.c.replica_id)).scalars())

    def tasks(self) -> dict[str, str]:
        """Gives the replica that runs each recorded task."""
        query = sa.select(jobs.c.task_id, jobs.c.replica).where(jobs.c.task_id != "")
        with self._engine.connect() as db:
            return {row.task_id: row.replica for row in db.execute(query)}

    def stand(self) -> Counter[str]:
        """Counts the jobs by how they stand: with a TASK, or by state, stage and the error that they tell."""
        columns = (jobs.c.state, jobs.c.stage, jobs.c.error, jobs.c.task_id)
        with self._engine.connect() as db:
            return Counter(
                "TASK" if row.task_id else " ".join([row.state, row.stage, *[(row.error or {}).get("message", "")]])
                for row in db.execute(sa.select(*columns))
            )

    def close(self) -> None:
        self._engine.dispose()


async def endless(sandbox: Control) -> None:
    """Has the sandbox take any number of tasks, none of which ends or moves a percent while a benchmark runs."""
    await sandbox.account(maxConcurrentGenerations=None, maxDailyGenerations=None, creditBalance=100_000_000)
    await sandbox.settings(task_mean_seconds=LASTING_SECONDS)


async def latest_call(sandbox: Control) -> int:
    """Gives the number of the latest call to a sandbox, without having it go through them all."""
    return int((await sandbox.journal(after=10**9))["latest"])


async def fill(apis: Sequence[Api], rows: Rows, count: int) -> tuple[float, float]:
    """Asks for so many jobs, of each server in turn, and waits for their tasks.

    Gives the seconds until all were accepted, and until each had its task recorded. Ends with an error that names
    what it waited for, where a job needs attention or has ended instead, and when its patience does.
    """
    begun, numbers = time.monotonic(), iter(range(count))

    async def call() -> None:
        for number in numbers:
            await apis[number % len(apis)].generate(
                project_id=f"film-{number % PROJECTS}", request_id=f"job-{number}", prompt_text=f"rocket {number}"
            )

    async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as group:
        for _ in range(CALLERS):
            group.create_task(call())
    accepted = time.monotonic() - begun
    while True:
        stand = await asyncio.to_thread(rows.stand)
        if stand["TASK"] >= count:
            return accepted, time.monotonic() - begun
        seen = f"of {count} jobs: {dict(stand)}"
        assert all(kind == "TASK" or kind.startswith(UNDER_WAY) for kind in stand), seen
        assert time.monotonic() - begun < PATIENCE_SECONDS, seen
        await asyncio.sleep(LOOK_SECONDS)
