"""200 jobs at once with three watchers each: whether every watcher was told everything, and how long the loop stood.

The server runs in this process, with a probe on its event loop; the sandbox and the clients are processes of their
own, on another core. The same probe in an idle process on the server's core tells what the machine itself adds.
"""

import asyncio
import json
import sqlite3
import tempfile
import time
from array import array
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import quantiles

import uvloop

from evergreen_server.runtime.gc import tune_gc
from tests.benchmarks.commanded import commanded, obey
from tests.benchmarks.machine import cores, pinned, table
from tests.serving import sandbox_process, serving

ALIGN_SECONDS = 0.005
LONGEST_MS = 100.0
SPEED = 20.0


class Probe:
    """Asks to be woken every few milliseconds; notes how late that was and what CPU the process had meanwhile."""

    def __init__(self) -> None:
        # Arrays, since the memory of the process is measured too.
        self.lags, self.cpu = array("d"), array("d")

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, cpu = loop.time() + ALIGN_SECONDS, time.process_time()
            await asyncio.sleep(ALIGN_SECONDS)
            self.lags.append(max(0.0, (loop.time() - due) * 1000))
            self.cpu.append((time.process_time() - cpu) * 1000)

    def row(self, name: str) -> list[str]:
        ranks = quantiles(self.lags, n=1000)
        figures = (ranks[499], ranks[989], ranks[998], *max(zip(self.lags, self.cpu, strict=True)))
        return [name, *(f"{value:.1f}" for value in figures), str(sum(lag > LONGEST_MS for lag in self.lags))]


async def idle() -> None:
    """Is the process that does nothing but probe."""
    probe = Probe()
    running = asyncio.create_task(probe.run())

    async def tell(_command: list[str]) -> str:
        return json.dumps(probe.row("a process with nothing to do"))

    await obey("idle", tell)
    running.cancel()


def recorded(database: Path) -> dict[str, list[tuple[int, str]]]:
    """Every event of every job, as the database has them."""
    found: dict[str, list[tuple[int, str]]] = {}
    db = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    for job_id, revision, kind in db.execute("SELECT job_id, revision, kind FROM job_events ORDER BY revision"):
        found.setdefault(job_id, []).append((revision, kind))
    db.close()
    return found


def faults_of(told: list[tuple[int, str]], happened: list[tuple[int, str]], *, whole: bool) -> list[str]:
    """Names what is wrong with what a watcher was told; a percentage alone may be missing."""
    faults = []
    revisions = [revision for revision, kind in told if kind != "SNAPSHOT"]
    if revisions != sorted(set(revisions)):
        faults.append("not in rising revision, or told twice")
    first = 0 if whole else next(revision for revision, kind in told if kind == "SNAPSHOT")
    must = [event for event in happened if event[1] != "PROGRESS" and event[0] > first]
    if [event for event in told if event[1] not in ("PROGRESS", "SNAPSHOT")] != must:
        faults.append("a change is missing or was never recorded")
    if not set(told) <= {*happened, *(event for event in told if event[1] == "SNAPSHOT")}:
        faults.append("a percentage was never recorded")
    return faults


async def measure(jobs: int) -> None:
    core, others = cores()
    async with AsyncExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "data"
        with pinned(others):
            sandbox = await stack.enter_async_context(sandbox_process(speed=SPEED))
            clients = await stack.enter_async_context(commanded("tests.benchmarks.clients"))
        await sandbox.account(maxConcurrentGenerations=None, maxDailyGenerations=None, creditBalance=10_000_000)
        stack.enter_context(pinned(core))
        nothing = await stack.enter_async_context(commanded("tests.benchmarks.jobs"))
        api = await stack.enter_async_context(serving(data, sandbox.url, EVERGREEN_PROVIDER_SPEED=str(SPEED)))
        tune_gc()
        probe = Probe()
        running = asyncio.create_task(probe.run())
        start, cpu = time.monotonic(), time.process_time()
        watchers = json.loads(await clients.tell(f"{api.address} {jobs}"))
        elapsed, cpu = time.monotonic() - start, time.process_time() - cpu
        running.cancel()
        machine = json.loads(await nothing.tell("row"))
        happened = recorded(data / "state" / "evergreen.sqlite")
    show(watchers, happened, elapsed, cpu)
    table(
        f"jobs: how late the event loop woke, in ms, over {elapsed:.0f} s",
        ["", "p50", "p99", "p99.9", "longest", "its own CPU then", f"over {LONGEST_MS:.0f} ms"],
        [probe.row("the server's loop"), machine],
        f"aim: never more than {LONGEST_MS:.0f} ms; what the idle process suffers too is the machine's doing",
    )


def show(watchers: list, happened: dict[str, list[tuple[int, str]]], elapsed: float, cpu: float) -> None:
    wrong = Counter[str]()
    for job_id, after, told, ended in watchers:
        found = faults_of([(revision, kind) for revision, kind in told], happened[job_id], whole=after == 0)
        wrong.update(found if ended else [*found, "the watch did not end"])
    ends = Counter(events[-1][1] for events in happened.values())
    told = sum(len(events) for _, _, events, _ in watchers)
    table(
        f"jobs: {len(happened)} at once, {len(watchers)} watchers",
        ["ended as", "jobs", "events told", "seconds", "CPU s of the server"],
        [[", ".join(ends), str(ends.total()), f"{told:,}", f"{elapsed:.1f}", f"{cpu:.1f}"]],
        "each watcher was told each change of its job exactly once, in rising revision, the final one included: "
        + ("yes" if not wrong else f"NO: {dict(wrong)}"),
    )
    assert not wrong
    assert ends == {"SUCCEEDED": len(happened)}


def run(*, quick: bool) -> None:
    uvloop.run(measure(50 if quick else 200))


if __name__ == "__main__":
    uvloop.run(idle())
