"""A large output on its way into storage: what it costs in memory and time, beside a plain aiohttp-to-file loop.

The sandbox, a process of its own, pads a clip to the size asked for. The server's delivery checks length and CRC32C,
makes the file durable, probes it and makes a poster; the plain loop only receives and writes, then syncs.
"""

import asyncio
import json
import os
import tempfile
import time
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import aiohttp
import uvloop

from evergreen.v1 import video_pb2
from evergreen_server.providers.runway.sandbox import SANDBOX_KEY
from tests.benchmarks.commanded import commanded, obey
from tests.benchmarks.jobs import sandbox_process
from tests.benchmarks.machine import cores, cpu_seconds, pinned, resident_kib, table
from tests.serving import Api, Control, ServerProcess

MIB = 1024 * 1024
ROUNDS = 3
SAMPLE_SECONDS = 0.01
CHUNK = 256 * 1024


class Memory:
    """Samples a process's memory while it works; the kernel's own high-water mark would reach back to its start."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.before = self.peak = resident_kib(pid)

    async def run(self) -> None:
        while True:
            self.peak = max(self.peak, resident_kib(self._pid))
            await asyncio.sleep(SAMPLE_SECONDS)

    @property
    def growth_mib(self) -> float:
        return (self.peak - self.before) / 1024


async def deliver(api: Api, sandbox: Control, prompt: str, size: int) -> tuple[float, video_pb2.Job]:
    """Has a clip of so many bytes made and gives the seconds from DELIVERING to the end."""
    if size:
        await sandbox.fault("large_output", operation="create", prompt=prompt, bytes=size)
    job, start = await api.generate(prompt_text=prompt), 0.0
    async with aclosing(api.events(job_ids=[job.job_id], after_revision=0)) as messages:
        async for message in messages:
            if message.event.job.stage == video_pb2.JOB_STAGE_DELIVERING:
                start = start or time.monotonic()
    elapsed = time.monotonic() - start
    job = await api.status(job.job_id)
    assert job.state == video_pb2.JOB_STATE_SUCCEEDED, job.error
    return elapsed, job


async def output_url(sandbox: Control, task_id: str) -> str:
    """Asks the provider for a fresh URL of a task's output."""
    headers = {"Authorization": f"Bearer {SANDBOX_KEY}", "X-Runway-Version": "2024-11-06"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"{sandbox.url}/v1/tasks/{task_id}") as answer,
    ):
        return (await answer.json())["output"][0]


async def plain() -> None:
    """Is the reference: `URL FILE` receives an output into a file and answers with the seconds that it took."""

    async def receive(command: list[str]) -> str:
        url, file = command
        start = time.monotonic()
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            with Path(file).open("wb") as out:  # noqa: ASYNC230 - the loop that anybody would write
                async for chunk in answer.content.iter_chunked(CHUNK):
                    out.write(chunk)
                out.flush()
                os.fsync(out.fileno())
        return json.dumps(time.monotonic() - start)

    await obey("plain", receive)


async def measure(size: int) -> None:
    core, others = cores()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(pinned(others))
        sandbox = await stack.enter_async_context(sandbox_process())
        server = await stack.enter_async_context(ServerProcess(folder / "data", sandbox.url))
        with pinned(core):
            api = await server.start()
            reference = await stack.enter_async_context(commanded("tests.benchmarks.delivery"))
        await deliver(api, sandbox, "a small clip first", 0)
        results: list[tuple[float, float, float, float]] = []
        for number in range(ROUNDS):
            memory, cpu = Memory(server.pid), cpu_seconds(server.pid)
            sampling = asyncio.create_task(memory.run())
            elapsed, job = await deliver(api, sandbox, f"large {number}", size)
            sampling.cancel()
            cpu = cpu_seconds(server.pid) - cpu
            output = job.outputs[0]
            file = folder / "data" / "projects" / job.project_id / job.scene_id / output.asset
            assert file.stat().st_size == output.size_bytes >= size
            url, copy = await output_url(sandbox, job.provider_task_id), folder / "copy"
            took = json.loads(await reference.tell(f"{url} {copy}"))
            assert copy.stat().st_size == output.size_bytes
            copy.unlink()
            file.unlink()
            results.append((elapsed, took, cpu, memory.growth_mib))
    rows = [
        [f"{size / MIB:,.0f} MiB, round {number}", f"{growth:.0f}", f"{size / 1e6 / elapsed:.0f}",
         f"{size / 1e6 / took:.0f}", f"{took / elapsed:.2f}", f"{cpu:.1f}"]
        for number, (elapsed, took, cpu, growth) in enumerate(results, start=1)
    ]  # fmt: skip
    header = ["", "memory growth MiB", "delivered MB/s", "plain loop MB/s", "ratio", "CPU s of the server"]
    table(
        "delivery: one large output, from the provider to the scene",
        header,
        rows,
        f"aim: memory grows by less than 64 MiB; the most was {max(result[3] for result in results):.0f}",
    )


def run(*, quick: bool) -> None:
    asyncio.run(measure((128 if quick else 1024) * MIB))


if __name__ == "__main__":
    uvloop.run(plain())
