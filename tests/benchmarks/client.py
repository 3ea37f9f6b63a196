"""The Python client beside what it is made of: its import beside grpc's, its `status` beside the bare stub's."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from statistics import median

import grpc

from evergreen import WireClient
from evergreen.connection.channel import CHANNEL_OPTIONS
from evergreen.v1 import video_pb2
from evergreen.v1.video_pb2_grpc import VideoServiceServicer, VideoServiceStub, add_VideoServiceServicer_to_server
from tests.benchmarks.machine import ratio, table

AIM = 1.1
Options = Sequence[tuple[str, str | int]]
IMPORT = "import time; begun = time.perf_counter(); import {}; print(time.perf_counter() - begun)"


class Answers(VideoServiceServicer):
    """Answers at once with a job of ordinary size."""

    async def GetStatus(
        self, request: video_pb2.GetStatusRequest, context: grpc.aio.ServicerContext
    ) -> video_pb2.GetStatusResponse:
        return video_pb2.GetStatusResponse(job=video_pb2.Job(job_id=request.job_id, project_id="p", scene_id="s"))


def import_seconds(module: str) -> float:
    command = [sys.executable, "-c", IMPORT.format(module)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout)


async def seconds_per_call(call: Callable[[], Awaitable[object]], calls: int) -> float:
    begun = time.perf_counter()
    for _ in range(calls):
        await call()
    return (time.perf_counter() - begun) / calls


async def status_pairs(rounds: int, calls: int, options: Options) -> list[tuple[float, float]]:
    """Seconds per call of the stub on a channel with these options, and of the client, one right after the other."""
    server = grpc.aio.server()
    add_VideoServiceServicer_to_server(Answers(), server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        async with grpc.aio.insecure_channel(address, options) as channel, WireClient(address) as client:
            stub, request = VideoServiceStub(channel), video_pb2.GetStatusRequest(job_id="job-1")

            async def bare() -> object:
                return await stub.GetStatus(request, timeout=30)

            async def whole() -> object:
                return await client.status("job-1")

            for call in (bare, whole):
                await seconds_per_call(call, calls)
            return [(await seconds_per_call(bare, calls), await seconds_per_call(whole, calls)) for _ in range(rounds)]
    finally:
        await server.stop(None)


def run(*, quick: bool) -> None:
    imports = [(import_seconds("grpc.aio"), import_seconds("evergreen")) for _ in range(3 if quick else 9)]
    rounds = (5, 200) if quick else (21, 500)
    rows = [("import, beside grpc.aio alone", "ms", 1e3, "-", imports)]
    for name, options, aim in (
        ("client.status, beside the stub on a channel such as the client's", CHANNEL_OPTIONS, f"≤ {AIM}"),
        ("client.status, beside the stub on a channel without retries", (), "-"),
    ):
        rows.append((name, "µs", 1e6, aim, asyncio.run(status_pairs(*rounds, options))))
    table(
        "The Python client",
        ("", "beneath it", "the client", "ratio", "aim"),
        [
            (
                name,
                f"{median(a for a, _ in pairs) * scale:.0f} {unit}",
                f"{median(b for _, b in pairs) * scale:.0f} {unit}",
                f"{ratio(pairs):.3f}",
                aim,
            )
            for name, unit, scale, aim, pairs in rows
        ],
        "Medians of pairs measured in turn, against a server in the same process that answers at once.",
    )
