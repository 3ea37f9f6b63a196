"""What an event costs with 1,000 watchers and what a watcher weighs, beside a bare server with one slot per watcher.

The bare server holds the newest bytes per watcher in a slot and yields them: the cheapest that grpc.aio can do.
"""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from google.protobuf.wrappers_pb2 import StringValue

from evergreen.v1 import video_pb2
from tests.benchmarks.bare import WATCH
from tests.benchmarks.commanded import Commanded, commanded
from tests.benchmarks.machine import cores, cpu_seconds, pinned, ratio, resident_kib, table
from tests.http2 import Connection, connect
from tests.serving import ServerProcess, open_sandbox

PATH = "/evergreen.v1.VideoService/WatchProgress"
WATCHERS = 1000
STEADY, FLAT_OUT = 12.5, 1000.0
STORM, STORM_CONNECTIONS = 10_000, 100
PATIENCE_SECONDS = 90
CHECKPOINT_BYTES = 16
"""A checkpoint is shorter than this, an event longer."""


class Crowd:
    """Many watchers on a few connections, who count what they are told."""

    def __init__(self) -> None:
        self.events = 0
        self.event_bytes = 0
        self.ends = Counter[int]()
        self._wanted = 0
        self._reached = asyncio.Event()
        self._connections: list[Connection] = []

    def _received(self, _stream: int, message: bytes) -> None:
        """Counts a message."""
        self.events += len(message) > CHECKPOINT_BYTES
        self.event_bytes = max(self.event_bytes, len(message))
        if self.events >= self._wanted:
            self._reached.set()

    def _ended(self, _stream: int, status: int) -> None:
        self.ends[status] += 1
        self._reached.set()

    async def open(self, address: str, path: str, asked: Sequence[bytes], watchers: int, connections: int) -> None:
        """Opens so many watches, which ask for one after the other of what is `asked`."""
        for _ in range(connections):
            self._connections.append(await connect(address, path, received=self._received, ended=self._ended))
        for number in range(watchers):
            self._connections[number % connections].call(asked[number % len(asked)])

    async def heard(self, events: int) -> None:
        """Waits until so many events came in all."""
        self._wanted = events
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.events < events and not self.ends:
                self._reached.clear()
                await self._reached.wait()
        assert not self.ends, f"watches were refused or ended: {dict(self.ends)}"

    def close(self) -> None:
        for connection in self._connections:
            connection.transport.close()


async def fan_out(pairs: int, events: int) -> None:
    """Publishes to 1,000 watchers, at a steady pace and flat out, but only when all were told: none misses any."""
    core, others = cores()
    async with AsyncExitStack() as stack:
        stack.enter_context(pinned(others))
        with pinned(core):
            bare = await stack.enter_async_context(commanded("tests.benchmarks.bare"))
            ours = await stack.enter_async_context(commanded("tests.benchmarks.watched"))
        ours.address, _, job_id = ours.address.partition(" ")
        crowd, reference = Crowd(), Crowd()
        asked = video_pb2.WatchProgressRequest(job_ids=[job_id]).SerializeToString()
        await crowd.open(ours.address, PATH, [asked], WATCHERS, 10)
        await crowd.heard(WATCHERS)
        await _costs(ours, crowd, 1, 0, STEADY)
        size = crowd.event_bytes
        hello = StringValue(value=str(size)).SerializeToString()
        await reference.open(bare.address, WATCH, [hello], WATCHERS, 10)
        await reference.heard(WATCHERS)
        rows = []
        for name, hertz in ((f"{STEADY:g} events a second", STEADY), ("flat out", FLAT_OUT)):
            costs: list[tuple[float, float]] = []
            for _ in range(pairs + 1):
                first = await _costs(bare, reference, events, size, hertz)
                costs.append((first, await _costs(ours, crowd, events, size, hertz)))
            del costs[0]
            middle = [f"{median(pair[side] for pair in costs):.1f}" for side in (0, 1)]
            spread = " ".join(f"{ours / bare:.2f}" for bare, ours in costs)
            rows.append([name, *middle, f"{ratio(costs):.2f}", spread])
        for each in (crowd, reference):
            each.close()
    table(
        f"watchers: CPU us per event of {size} bytes and watcher, with {WATCHERS:,} watchers of one job",
        ["", "bare, a slot each", "WatchProgress, table to wire", "ratio", "of each pair"],
        rows,
        "aim: a ratio of 1.15 or less; all events told to all. Flat out, the next change is written while the last",
        "event's sends are still being settled, and pays for the two threads' strife over the interpreter",
    )


async def _costs(server: Commanded, crowd: Crowd, events: int, size: int, hertz: float) -> float:
    """Microseconds of CPU per event and watcher."""
    loop = asyncio.get_running_loop()
    start, cpu = loop.time(), cpu_seconds(server.pid)
    for number in range(events):
        await asyncio.sleep(start + number / hertz - loop.time())
        wanted = crowd.events + WATCHERS
        await server.tell(f"{size}")
        await crowd.heard(wanted)
        assert crowd.events == wanted, "more was told than happened"
    return (cpu_seconds(server.pid) - cpu) / (events * WATCHERS) * 1e6


async def storm(pairs: int) -> None:
    """Opens 10,000 watches at once on a whole server, and on the bare one: new ones for each pair."""
    opened = [await _both_opened() for _ in range(pairs)]
    rows = [
        [
            name,
            f"{min(pair[side].accepted for pair in opened):,}",
            f"{median(pair[side].seconds for pair in opened):.1f}",
            f"{median(pair[side].micros for pair in opened):.0f}",
            f"{median(pair[side].kib for pair in opened):.1f}",
        ]
        for side, name in enumerate(("bare, a slot of bytes each", "WatchProgress, whole server"))
    ]
    costs = [(bare.micros, ours.micros) for bare, ours in opened]
    times = [(bare.seconds, ours.seconds) for bare, ours in opened]
    rows.append([f"ratio, median of {len(costs)} pairs", "", f"{ratio(times):.2f}", f"{ratio(costs):.2f}", ""])
    table(
        f"watchers: {STORM:,} opened at once on {STORM_CONNECTIONS} connections",
        ["", "accepted", "seconds", "CPU us/open", "KiB/watcher"],
        rows,
        "aim: all accepted, a ratio of 2 or less, 28 KiB or less per watcher; ours sends two messages, bare one",
    )


async def _both_opened() -> "tuple[Opened, Opened]":
    core, others = cores()
    async with AsyncExitStack() as stack:
        stack.enter_context(pinned(others))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sandbox = await stack.enter_async_context(open_sandbox(task_mean_seconds=1_000_000.0))
        full = await stack.enter_async_context(ServerProcess(folder / "data", sandbox.url))
        with pinned(core):
            bare = await stack.enter_async_context(commanded("tests.benchmarks.bare"))
            api = await full.start()
        job = await api.generate()
        await api.until(job.job_id, video_pb2.JOB_STATE_RUNNING, stage=video_pb2.JOB_STAGE_GENERATING)
        asked = video_pb2.WatchProgressRequest(job_ids=[job.job_id]).SerializeToString()
        hello = StringValue(value="300").SerializeToString()
        reference = await _opened(bare.pid, bare.address, WATCH, hello)
        return reference, await _opened(full.pid, api.address, PATH, asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What it took to open all watches."""

    accepted: int
    seconds: float
    micros: float
    """Of CPU, for each."""
    kib: float
    """Of memory, for each."""


async def _opened(pid: int, address: str, path: str, asked: bytes) -> Opened:
    loop, crowd = asyncio.get_running_loop(), Crowd()
    start, cpu, memory = loop.time(), cpu_seconds(pid), resident_kib(pid)
    await crowd.open(address, path, [asked], STORM, STORM_CONNECTIONS)
    await crowd.heard(STORM)
    elapsed, cpu = loop.time() - start, cpu_seconds(pid) - cpu
    weight = (resident_kib(pid) - memory) / STORM
    accepted = STORM - crowd.ends.total()
    crowd.close()
    return Opened(accepted=accepted, seconds=elapsed, micros=cpu / STORM * 1e6, kib=weight)


async def both(pairs: int, events: int, storms: int) -> None:
    await fan_out(pairs, events)
    await storm(storms)


def run(*, quick: bool) -> None:
    asyncio.run(both(*((3, 40, 1) if quick else (7, 80, 3))))
