"""How soon watchers are told of a change at 5,000 deliveries a second, beside a bare server that sends the same bytes.

A delivery is one event received by one watcher. Its time runs from the stamp that the event carries (ours: the moment
it is written, within its transaction; the bare one's: the moment it is put into the slots) to the last of its bytes
at the watcher, by the one clock of this machine. Both servers are paced by their own loop and run on the same core.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from statistics import median, quantiles

from google.protobuf.wrappers_pb2 import StringValue

from evergreen.v1 import video_pb2
from tests.benchmarks.bare import STAMP_BYTES, WATCH
from tests.benchmarks.commanded import Commanded, commanded
from tests.benchmarks.machine import cores, pinned, ratio, table
from tests.benchmarks.watchers import PATH, Crowd

DELIVERIES = 5000
CONNECTIONS = 100
LATE_SECONDS = 2.0
"""How long after the last change the bare server may still send; what it put over an unsent value never comes."""


class Timed(Crowd):
    """Watchers who note how old each event is when it comes."""

    def __init__(self, stamp: Callable[[bytes], int]) -> None:
        """Takes what reads the time, in nanoseconds, out of an event."""
        super().__init__()
        self.ages: list[float] = []
        self.timing = False
        self._stamp = stamp
        self._stamps: dict[bytes, int] = {}

    def _received(self, stream: int, message: bytes) -> None:
        if self.timing:
            now, at = time.time_ns(), self._stamps.get(message)
            if at is None:
                # The same bytes come once for each watcher, and are read once.
                at = self._stamps[message] = self._stamp(message)
            if at:
                self.ages.append((now - at) / 1e6)
        super()._received(stream, message)


def stamp_of_event(message: bytes) -> int:
    """Reads an event's own time; gives 0 for a checkpoint."""
    response = video_pb2.WatchProgressResponse.FromString(message)
    return response.event.time.ToNanoseconds() if response.HasField("event") else 0


def stamp_of_bytes(message: bytes) -> int:
    return int.from_bytes(message[:STAMP_BYTES], "big")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    watchers: int
    groups: int
    """Of equal size; an event is for one of them."""

    @property
    def hertz(self) -> float:
        return DELIVERIES * self.groups / self.watchers

    @property
    def name(self) -> str:
        if self.groups == 1:
            return f"{self.watchers:,} watchers of one job, {self.hertz:g} changes/s"
        each = self.watchers // self.groups
        return f"{self.watchers:,} watchers, {each} on each of {self.groups} jobs, {self.hertz:g} changes/s"


SHAPES = (Shape(watchers=1000, groups=1), Shape(watchers=10_000, groups=100))


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a crowd was told in one round."""

    p50: float
    p99: float
    rate: float
    """Deliveries a second."""


async def round_of(server: Commanded, crowd: Timed, shape: Shape, size: int, seconds: float, *, all_come: bool) -> Told:
    times = round(seconds * shape.hertz)
    wanted = crowd.events + times * shape.watchers // shape.groups
    crowd.ages.clear()
    crowd.timing, before = True, crowd.events
    paced = float(await server.tell(f"{size} {times} {shape.hertz}"))
    if all_come:
        await crowd.heard(wanted)
        assert crowd.events == wanted, "more was told than happened"
    else:
        await asyncio.sleep(LATE_SECONDS)
    crowd.timing = False
    ranks = quantiles(crowd.ages, n=100)
    return Told(p50=ranks[49], p99=ranks[98], rate=(crowd.events - before) / paced)


async def compare(shape: Shape, pairs: int, seconds: float) -> list[list[str]]:
    """Measures both servers in turn and gives their rows."""
    core, others = cores()
    async with AsyncExitStack() as stack:
        stack.enter_context(pinned(others))
        with pinned(core):
            bare = await stack.enter_async_context(commanded("tests.benchmarks.bare"))
            ours = await stack.enter_async_context(commanded("tests.benchmarks.watched", str(shape.groups)))
        ours.address, *job_ids = ours.address.split()
        crowd, reference = Timed(stamp_of_event), Timed(stamp_of_bytes)
        for each in (crowd, reference):
            stack.callback(each.close)
        asked = [video_pb2.WatchProgressRequest(job_ids=[job_id]).SerializeToString() for job_id in job_ids]
        await crowd.open(ours.address, PATH, asked, shape.watchers, CONNECTIONS)
        await crowd.heard(shape.watchers)
        await round_of(ours, crowd, shape, 0, 1.0, all_come=True)
        size = crowd.event_bytes
        groups = [StringValue(value=f"{size} {group}").SerializeToString() for group in range(shape.groups)]
        await reference.open(bare.address, WATCH, groups, shape.watchers, CONNECTIONS)
        await reference.heard(shape.watchers)
        await round_of(bare, reference, shape, size, 1.0, all_come=False)
        told = [
            (
                await round_of(bare, reference, shape, size, seconds, all_come=False),
                await round_of(ours, crowd, shape, size, seconds, all_come=True),
            )
            for _ in range(pairs)
        ]
    rows = [
        [
            name,
            f"{median(pair[side].rate for pair in told):,.0f}",
            f"{median(pair[side].p50 for pair in told):.1f}",
            f"{median(pair[side].p99 for pair in told):.1f}",
        ]
        for side, name in enumerate((f"bare, {shape.name}", "WatchProgress, table to wire"))
    ]
    p50 = ratio([(bare.p50, ours.p50) for bare, ours in told])
    p99 = ratio([(bare.p99, ours.p99) for bare, ours in told])
    return [*rows, [f"ratio, median of {pairs} pairs; events of {size} bytes", "", f"{p50:.2f}", f"{p99:.2f}"]]


async def measure(pairs: int, seconds: float) -> None:
    rows = [row for shape in SHAPES for row in await compare(shape, pairs, seconds)]
    table(
        f"fanout: from publishing a change to its receipt, in ms, at {DELIVERIES:,} deliveries a second",
        ["", "deliveries/s", "p50", "p99"],
        rows,
        "aim: 5,000 deliveries a second, all events told to all, and a p50 of 2 times the bare one's or less for the",
        "10,000; ours holds the transaction and its sync to disk, the bare one has nothing to write",
    )


def run(*, quick: bool) -> None:
    asyncio.run(measure(*((1, 4.0) if quick else (3, 6.0))))
