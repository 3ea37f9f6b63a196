"""1,000 jobs in flight on two replicas, one of which is killed: how soon another asks the provider for its tasks.

The reference is the lease: before it has run out nobody may touch what the dead one had. The sandbox, which notes
when it is asked for which task, is a process of its own, and so is PostgreSQL.
"""

import asyncio
import signal
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import quantiles

from evergreen_server.jobs.db.replicas import TTL_SECONDS
from tests.benchmarks.filling import Rows, endless, fill, latest_call
from tests.benchmarks.machine import cpu_seconds, table
from tests.postgres import any_postgres
from tests.serving import Control, ServerProcess, sandbox_process

JOBS = 1000
AIM_SECONDS = 5.0
PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 0.02
SETTLING_SECONDS = 2 * TTL_SECONDS
"""A replica takes nothing over before it has held its own lease for a while."""


async def first_polls(sandbox: Control, tasks: set[str], after: int, killed: float) -> list[float]:
    """Gives, in rising order, how many seconds after the kill each of the tasks was first asked for."""
    first: dict[str, float] = {}
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(first) < len(tasks):
            calls = await sandbox.calls(operation="get_task", after=after, wait=1)
            elapsed = time.monotonic() - killed
            for call in calls:
                after = max(after, call["seq"])
                if call["taskId"] in tasks:
                    first.setdefault(call["taskId"], elapsed)
            await asyncio.sleep(LOOK_SECONDS)
    return sorted(first.values())


async def killed(sandbox: Control, rows: Rows, dying: ServerProcess, name: str, heir: ServerProcess) -> list[str]:
    """Kills a replica and gives the row that tells what became of its jobs."""
    running = await asyncio.to_thread(rows.tasks)
    tasks = {task for task, replica in running.items() if replica == name}
    cpu, at = cpu_seconds(heir.pid), time.monotonic()
    await dying.end(signal.SIGKILL)
    # Only now: what the dead one had sent before must not count as its heir's.
    after = await latest_call(sandbox)
    seconds = await first_polls(sandbox, tasks, after, at)
    cpu = (cpu_seconds(heir.pid) - cpu) / (time.monotonic() - at)
    left = await asyncio.to_thread(rows.tasks)
    assert left.keys() == running.keys(), "a task was lost, or made twice"
    assert name not in left.values(), "a job was left on the dead replica"
    ranks = quantiles(seconds, n=10)
    figures = [ranks[0], ranks[4], ranks[8], seconds[-1]]
    return [
        f"{len(tasks):,} of {len(running):,} jobs were on it",
        *(f"{figure:.1f}" for figure in figures),
        f"{ranks[4] / TTL_SECONDS:.2f}",
        f"{cpu:.2f}",
    ]


async def measure(jobs: int) -> None:
    async with AsyncExitStack() as stack:
        postgres = stack.enter_context(any_postgres(synced=True))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sandbox = await stack.enter_async_context(sandbox_process(speed=1.0))
        await endless(sandbox)
        url = postgres.create()
        changes = {"EVERGREEN_DATABASE_URL": url, "EVERGREEN_STORAGE_URL": (folder / "scenes").as_uri()}
        changes["EVERGREEN_PROVIDER_SPEED"] = "1"
        servers = [ServerProcess(folder / name, sandbox.url, changes) for name in ("first", "second", "third")]
        for server in servers:
            await stack.enter_async_context(server)
        rows = Rows(url)
        stack.callback(rows.close)
        apis, names = [], []
        for server in servers[:2]:
            apis.append(await server.start())
            names += rows.replicas() - set(names)
        accepted, begun = await fill(apis, rows, jobs)
        await asyncio.sleep(SETTLING_SECONDS)
        found = [await killed(sandbox, rows, servers[0], names[0], servers[1])]
        # Now all are on the second, and the third has none.
        await servers[2].start()
        await asyncio.sleep(SETTLING_SECONDS)
        found.append(await killed(sandbox, rows, servers[1], names[1], servers[2]))
    table(
        f"takeover: {jobs:,} jobs in flight on two replicas, one killed; seconds until its tasks are asked for again",
        ["", "p10", "median", "p90", "longest", "median / lease", "cores of the heir"],
        found,
        f"aim: a median of {AIM_SECONDS:g} s or less; of it the lease of the dead one alone lasts up to "
        f"{TTL_SECONDS:g} s",
        f"all accepted within {accepted:.0f} s, each with its task recorded after {begun:.0f} s; none lost, none twice",
    )


def run(*, quick: bool) -> None:
    asyncio.run(measure(200 if quick else JOBS))
