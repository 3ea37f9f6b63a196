"""GetStatus through the full service, beside a bare grpc.aio hello with a reply of the same size.

Each server is pinned to one core and stopped while the other is measured; the load comes from another core, over
eight connections with eight calls in flight each. Reported are medians over pairs measured in turn.
"""

import asyncio
import os
import signal
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from google.protobuf.wrappers_pb2 import BytesValue, StringValue

from evergreen.v1 import video_pb2
from tests.benchmarks.bare import HELLO
from tests.benchmarks.commanded import commanded
from tests.benchmarks.machine import cores, cpu_seconds, pinned, ratio, table
from tests.http2 import connect
from tests.serving import ServerProcess, open_sandbox

PATH = "/evergreen.v1.VideoService/GetStatus"
CONNECTIONS, CALLS = 8, 8
SETTLE_SECONDS = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Calls per second, and microseconds of the server's CPU per call."""

    rate: float
    micros: float


async def measure(address: str, pid: int, path: str, asked: bytes, size: int, seconds: float) -> Measured:
    """Keeps calls in flight for so long. Every answer must be OK and have `size` bytes."""
    answered, running, finished = Counter[object](), True, asyncio.Event()

    def received(_stream: int, message: bytes) -> None:
        answered[len(message) == size] += 1

    connections = []
    for _ in range(CONNECTIONS):

        def ended(_stream: int, status: int, number: int = len(connections)) -> None:
            answered["ended"] += status == 0
            if running:
                connections[number].call(asked)
            elif not any(connection.open for connection in connections):
                finished.set()

        connections.append(await connect(address, path, received=received, ended=ended))
    for connection in connections:
        for _ in range(CALLS):
            connection.call(asked)
    await asyncio.sleep(SETTLE_SECONDS)
    loop = asyncio.get_running_loop()
    before, start, cpu = answered["ended"], loop.time(), cpu_seconds(pid)
    await asyncio.sleep(seconds)
    calls, elapsed, cpu = answered["ended"] - before, loop.time() - start, cpu_seconds(pid) - cpu
    running = False
    async with asyncio.timeout(10):
        await finished.wait()
    for connection in connections:
        connection.transport.close()
    assert answered[False] == 0, "an answer had another size"
    assert answered[True] == answered["ended"], "a call failed"
    return Measured(rate=calls / elapsed, micros=cpu / calls * 1e6)


async def compare(pairs: int, seconds: float) -> None:
    core, others = cores()
    async with AsyncExitStack() as stack:
        stack.enter_context(pinned(others))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sandbox = await stack.enter_async_context(open_sandbox())
        full = await stack.enter_async_context(ServerProcess(folder / "data", sandbox.url))
        with pinned(core):
            api = await full.start()
            bare = await stack.enter_async_context(commanded("tests.benchmarks.bare"))
        job = await api.generate(labels={"team": "benchmarks"})
        await api.finished(job.job_id)
        asked = video_pb2.GetStatusRequest(job_id=job.job_id)
        size = (await api.video.GetStatus(asked)).ByteSize()
        padding = size - BytesValue(value=b"x" * size).ByteSize()
        hello = StringValue(value=str(size + padding)).SerializeToString()
        sides = (
            (bare.pid, (bare.address, bare.pid, HELLO, hello)),
            (full.pid, (api.address, full.pid, PATH, asked.SerializeToString())),
        )
        results: list[tuple[Measured, Measured]] = []
        for _ in range(pairs + 1):
            first, second = [await _alone(pid, side, size, seconds, sides) for pid, side in sides]
            results.append((first, second))
        await full.end(signal.SIGTERM)
    show(results[1:], size)


async def _alone(
    pid: int, side: tuple[str, int, str, bytes], size: int, seconds: float, sides: Sequence[tuple[int, object]]
) -> Measured:
    stopped = [other for other, _ in sides if other != pid]
    for other in stopped:
        os.kill(other, signal.SIGSTOP)
    try:
        return await measure(*side, size, seconds)
    finally:
        for other in stopped:
            os.kill(other, signal.SIGCONT)


def show(pairs: list[tuple[Measured, Measured]], size: int) -> None:
    rates = [(bare.rate, full.rate) for bare, full in pairs]
    micros = [(bare.micros, full.micros) for bare, full in pairs]
    rows = [
        [name, f"{median(rate[side] for rate in rates):,.0f}", f"{median(cost[side] for cost in micros):.0f}"]
        for side, name in enumerate(("bare grpc.aio hello", "GetStatus, full service"))
    ]
    rows.append(["ratio, median of pairs", f"{ratio(rates):.2f}", f"{ratio(micros):.2f}"])
    spread = " ".join(f"{full / bare:.2f}" for bare, full in rates)
    table(
        f"status: GetStatus beside a bare hello, replies of {size} bytes, {CONNECTIONS * CALLS} in flight",
        ["", "calls/s", "CPU us/call"],
        rows,
        f"aim: calls/s at 0.90 or more of the bare hello's; ratios of the {len(pairs)} pairs: {spread}",
    )


def run(*, quick: bool) -> None:
    asyncio.run(compare(*((3, 1.0) if quick else (7, 2.5))))
