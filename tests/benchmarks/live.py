"""What pages and event sources cost a server and its gateway, beside watches of gRPC on the same server alone."""

import asyncio
import signal
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

from evergreen.v1 import video_pb2
from tests.benchmarks.commanded import Commanded, commanded
from tests.benchmarks.listeners import Listeners
from tests.benchmarks.machine import cores, cpu_seconds, pinned, ratio, resident_kib, table
from tests.benchmarks.watchers import PATH, Crowd
from tests.serving import ServerProcess, open_sandbox

WATCHERS = 1000
STEADY = 12.5
PROJECTS, PAGES_OF_PROJECTS = 200, 4
"""Followed by each of so many pages, all different: each is a watch of its own."""
SOCKETS, STREAMS = 500, 100


async def told(pairs: int, events: int) -> None:
    """Publishes to 1,000 watches of gRPC, and to 1,000 pages of another server: none misses any."""
    core, others = cores()
    async with AsyncExitStack() as stack:
        stack.enter_context(pinned(others))
        with pinned(core):
            alone = await stack.enter_async_context(commanded("tests.benchmarks.watched"))
            both = await stack.enter_async_context(commanded("tests.benchmarks.watched", "1", "http"))
        address, _, _ = alone.address.partition(" ")
        _, url, _ = both.address.split()
        watches, pages, sources = Crowd(), Listeners(), Listeners()
        asked = video_pb2.WatchProgressRequest(project_id="film").SerializeToString()
        weights = []
        before = resident_kib(alone.pid)
        await watches.open(address, PATH, [asked], WATCHERS, 10)
        # The snapshot of the one job.
        await watches.heard(WATCHERS)
        weights.append(resident_kib(alone.pid) - before)
        before = resident_kib(both.pid)
        await pages.connect(url, "page", WATCHERS)
        await pages.follow(["film"])
        weights.append(resident_kib(both.pid) - before)
        costs: list[tuple[float, float]] = []
        for _ in range(pairs + 1):
            first = await _cost_of_watches(alone, watches, events)
            costs.append((first, await _cost_of_pages(both, pages, events)))
        del costs[0]
        before = resident_kib(both.pid)
        await sources.connect(url, "source", WATCHERS)
        weights.append(resident_kib(both.pid) - before)
        for each in (pages, sources):
            each.close()
        watches.close()
    middle = [f"{median(pair[side] for pair in costs):.1f}" for side in (0, 1)]
    table(
        f"live: CPU us per event and watcher, with {WATCHERS:,} of a project",
        ["", "WatchProgress alone", "sockets, server and gateway", "ratio", "of each pair"],
        [[f"{STEADY:g} events/s", *middle, f"{ratio(costs):.2f}", " ".join(f"{b / a:.2f}" for a, b in costs)]],
        "aim: a ratio of 0.6 or less; all events told to all",
    )
    table(
        f"live: memory of each of {WATCHERS:,}, in KiB",
        ["gRPC watch", "WebSocket", "SSE stream"],
        [[f"{weight / WATCHERS:.1f}" for weight in weights]],
        "aim: 24 or less, and 16 or less; the streams come last, into memory that others have grown",
    )


async def _cost_of_watches(server: Commanded, crowd: Crowd, events: int) -> float:
    cpu, loop = cpu_seconds(server.pid), asyncio.get_running_loop()
    start = loop.time()
    for number in range(events):
        await asyncio.sleep(start + number / STEADY - loop.time())
        wanted = crowd.events + WATCHERS
        await server.tell("0")
        await crowd.heard(wanted)
        assert crowd.events == wanted, "more was told than happened"
    return (cpu_seconds(server.pid) - cpu) / (events * WATCHERS) * 1e6


async def _cost_of_pages(server: Commanded, pages: Listeners, events: int) -> float:
    cpu, loop = cpu_seconds(server.pid), asyncio.get_running_loop()
    start = loop.time()
    for number in range(events):
        await asyncio.sleep(start + number / STEADY - loop.time())
        wanted = pages.events + WATCHERS
        await server.tell("0")
        await pages.until(lambda wanted=wanted: pages.events >= wanted)
        assert pages.events == wanted, "more was told than happened"
    return (cpu_seconds(server.pid) - cpu) / (events * WATCHERS) * 1e6


async def joined() -> None:
    """Lets pages join a project that is followed already, and then projects that nobody follows."""
    core, others = cores()
    async with AsyncExitStack() as stack:
        stack.enter_context(pinned(others))
        with pinned(core):
            server = await stack.enter_async_context(commanded("tests.benchmarks.watched", "1", "http"))
        _, url, _ = server.address.split()
        first, crowd = Listeners(), Listeners()
        await first.connect(url, "page", 1)
        await first.follow(["quiet"])
        await crowd.connect(url, "page", WATCHERS)
        cpu = cpu_seconds(server.pid)
        await crowd.follow(["quiet"])
        shared = (cpu_seconds(server.pid) - cpu) / WATCHERS * 1e3
        cpu = cpu_seconds(server.pid)
        alone = [Listeners() for _ in range(PAGES_OF_PROJECTS)]
        for page, each in enumerate(alone):
            await each.connect(url, "page", 1)
            await each.follow([f"own-{page}-{number}" for number in range(PROJECTS)])
        own = (cpu_seconds(server.pid) - cpu) / (PAGES_OF_PROJECTS * PROJECTS) * 1e3
        for each in (first, crowd, *alone):
            each.close()
    table(
        "live: joining a project without jobs, CPU ms of server and gateway",
        ["followed already", "first to follow it, an own watch", "ratio"],
        [[f"{shared:.2f}", f"{own:.2f}", f"{shared / own:.2f}"]],
        "aim: a ratio of 0.15 or less",
    )


async def stopped() -> None:
    """Stops a whole server with 500 sockets and 100 streams open, and one with none."""
    rows = []
    async with open_sandbox() as sandbox:
        for sockets, streams in ((0, 0), (SOCKETS, STREAMS)):
            with tempfile.TemporaryDirectory() as folder:
                settings = {"EVERGREEN_HTTP_LISTEN": "127.0.0.1:0", "EVERGREEN_GRACE_SECONDS": "10"}
                async with ServerProcess(Path(folder) / "data", sandbox.url, settings) as server:
                    api = await server.start()
                    pages, sources = Listeners(), Listeners()
                    await pages.connect(api.http, "page", sockets)
                    await pages.follow(["film"])
                    await sources.connect(api.http, "source", streams)
                    before = pages.settled + sources.settled
                    begun = time.monotonic()
                    ending = asyncio.create_task(server.end(signal.SIGTERM))
                    await pages.until(lambda pages=pages: not pages.open)
                    await sources.until(lambda sources=sources: not sources.open)
                    ended = time.monotonic() - begun
                    assert await ending == 0
                    exited = time.monotonic() - begun
                    assert pages.settled + sources.settled - before == sockets + streams, "a checkpoint is missing"
            rows.append([f"{sockets} sockets, {streams} streams", f"{ended:.2f}", f"{exited:.2f}"])
    table(
        "live: from SIGTERM on, in seconds",
        ["", "all ended, each with its checkpoint", "the process's exit"],
        rows,
        "aim: a second or less more than without any",
    )


async def all_of(pairs: int, events: int) -> None:
    await told(pairs, events)
    await joined()
    await stopped()


def run(*, quick: bool) -> None:
    asyncio.run(all_of(*((3, 25) if quick else (7, 80))))
