"""5,000 jobs in flight on one process: what each weighs, what following them costs, how late the event loop wakes.

The reference is the same server before it had a job. Its sandbox and, where there is one, PostgreSQL are processes
of their own; no task ends or moves a percent meanwhile, so that all is polling.
"""

import asyncio
import json
import tempfile
import time
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc

from tests.benchmarks.commanded import Commanded, commanded
from tests.benchmarks.filling import Rows, endless, fill, latest_call
from tests.benchmarks.machine import cores, cpu_seconds, pinned, resident_kib, table
from tests.postgres import any_postgres
from tests.serving import Api, Control, sandbox_process

JOBS = 5000
IDLE_SECONDS, STEADY_SECONDS = 5.0, 30.0
SETTLING_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What was seen of a server over some time."""

    cores: float
    sandbox_cores: float
    polls: float
    """Calls to the provider a second."""
    lags: list[float]
    """Of the event loop, in milliseconds: p50, p99 and the longest."""

    def row(self, name: str, *more: str) -> list[str]:
        lags = [f"{lag:.1f}" for lag in self.lags]
        return [name, f"{self.cores:.2f}", f"{self.polls:.0f}", *lags, *more, f"{self.sandbox_cores:.2f}"]


class Look:
    """Looks at a server and its sandbox from one moment to the next."""

    def __init__(self, server: Commanded, sandbox: Control) -> None:
        assert sandbox.pid is not None
        self._server, self._sandbox, self._pids = server, sandbox, (server.pid, sandbox.pid)

    async def begin(self) -> None:
        await self._server.tell("begin")
        self._call = await latest_call(self._sandbox)
        self._begun, self._cpu = time.monotonic(), [cpu_seconds(pid) for pid in self._pids]

    async def end(self) -> Window:
        seconds, cpu = time.monotonic() - self._begun, [cpu_seconds(pid) for pid in self._pids]
        used = [(after - before) / seconds for before, after in zip(self._cpu, cpu, strict=True)]
        polls = (await latest_call(self._sandbox) - self._call) / seconds
        lags = json.loads(await self._server.tell("end"))
        return Window(cores=used[0], sandbox_cores=used[1], polls=polls, lags=lags)


async def measure(name: str, url: str | None, jobs: int, seconds: float, aim: float) -> None:
    core, others = cores()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(pinned(others))
        sandbox = await stack.enter_async_context(sandbox_process(speed=1.0))
        await endless(sandbox)
        url = url or f"sqlite:///{folder / 'evergreen.sqlite'}"
        changes = ("EVERGREEN_PROVIDER_SPEED=1", f"EVERGREEN_DATABASE_URL={url}")
        with pinned(core):
            arguments = (str(folder / "data"), sandbox.url, *changes)
            server = await stack.enter_async_context(
                commanded("tests.benchmarks.probed", *arguments, log=folder / "log")
            )
        rows = Rows(url)
        stack.callback(rows.close)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(server.address))
        look = Look(server, sandbox)
        await look.begin()
        await asyncio.sleep(IDLE_SECONDS)
        idle, memory = await look.end(), resident_kib(server.pid)
        await look.begin()
        accepted, begun = await fill([Api(channel, server.address)], rows, jobs)
        starting = await look.end()
        await asyncio.sleep(SETTLING_SECONDS)
        await look.begin()
        await asyncio.sleep(seconds)
        steady, memory = await look.end(), (resident_kib(server.pid) - memory) / jobs
    table(
        f"flight: {jobs:,} jobs in flight on one process, {name}",
        ["", "cores", "calls/s", "lag p50 ms", "p99", "longest", "KiB/job", "sandbox's cores"],
        [
            idle.row("before the first job", "-"),
            starting.row("while they start", "-"),
            steady.row(f"in flight, over {seconds:g} s", f"{memory:.1f}"),
        ],
        "aim in flight: 24 KiB and 0.3 core or less, no lag over 200 ms",
        f"all accepted after {accepted:.0f} s, each with its task recorded after {begun:.0f} s, none needs attention; "
        f"aim on a quiet machine: {aim:g} s for {JOBS:,}",
    )


def run(*, quick: bool) -> None:
    jobs, seconds = (500, 10.0) if quick else (JOBS, STEADY_SECONDS)
    asyncio.run(measure("SQLite", None, jobs, seconds, 15))
    with ExitStack() as stack:
        with pinned(cores()[1]):
            postgres = stack.enter_context(any_postgres(synced=True))
        asyncio.run(measure("PostgreSQL", postgres.create(), jobs, seconds, 30))
