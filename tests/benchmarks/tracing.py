"""GetStatus of servers that send traces, of no call or of all to a collector that is down, beside one that sends none.

Each is pinned to one core and stopped while the others are measured, as in `status`.
"""

import asyncio
import os
import signal
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

from evergreen.v1 import video_pb2
from tests.benchmarks.machine import cores, pinned, table
from tests.benchmarks.status import PATH, Measured, measure
from tests.serving import Api, ServerProcess, open_sandbox

NOBODY = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "NO_PROXY": "*"}
SIDES: Mapping[str, Mapping[str, str]] = {
    "off": {},
    "off, again": {},
    "on, sampled by none": {**NOBODY, "OTEL_TRACES_SAMPLER": "always_off"},
    "on, every call, the collector down": NOBODY,
}


async def compare(rounds: int, seconds: float) -> None:
    core, others = cores()
    results: dict[str, list[Measured]] = {name: [] for name in SIDES}
    async with AsyncExitStack() as stack:
        stack.enter_context(pinned(others))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sandbox = await stack.enter_async_context(open_sandbox())
        servers: dict[str, tuple[ServerProcess, Api]] = {}
        asked: dict[str, tuple[bytes, int]] = {}
        for number, (name, changes) in enumerate(SIDES.items()):
            process = await stack.enter_async_context(ServerProcess(folder / f"data-{number}", sandbox.url, changes))
            with pinned(core):
                api = await process.start()
            job = await api.generate()
            await api.finished(job.job_id)
            question = video_pb2.GetStatusRequest(job_id=job.job_id)
            asked[name] = question.SerializeToString(), (await api.video.GetStatus(question)).ByteSize()
            servers[name] = process, api
        for _ in range(rounds + 1):
            for name, (process, api) in servers.items():
                stopped = [other.pid for other, _ in servers.values() if other is not process]
                for pid in stopped:
                    os.kill(pid, signal.SIGSTOP)
                try:
                    message, size = asked[name]
                    results[name].append(await measure(api.address, process.pid, PATH, message, size, seconds))
                finally:
                    for pid in stopped:
                        os.kill(pid, signal.SIGCONT)
        for process, _ in servers.values():
            await process.end(signal.SIGTERM)
    show({name: found[1:] for name, found in results.items()})


def show(results: Mapping[str, list[Measured]]) -> None:
    reference = results["off"]
    rows = []
    for name, found in results.items():
        costs = [each.micros for each in found]
        ratio = median(each.micros / beside.micros for each, beside in zip(found, reference, strict=True))
        rows.append([name, f"{median(each.rate for each in found):,.0f}", f"{median(costs):.0f}", f"{ratio:.2f}"])
    table(
        "tracing: GetStatus with traces off and on, the reference being a server that sends none",
        ["", "calls/s", "CPU us/call", "of off"],
        rows,
        "aim: what is sampled by none at 1.1 or less",
    )


def run(*, quick: bool) -> None:
    asyncio.run(compare(*((3, 1.0) if quick else (7, 2.5))))
