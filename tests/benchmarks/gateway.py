"""Assets by HTTP, beside the same files by gRPC from the same server: the cores' seconds of the server per GiB.

The server is a process of its own. Three ways down: a program that takes the whole file, a player that asks for 2 MiB
after 2 MiB, and DownloadAsset; and the same file up by PUT and by UploadAsset.
"""

import os
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

import aiohttp
import grpc
import uvloop

from evergreen.v1 import scene_pb2_grpc
from tests.benchmarks.assets import PATH, _download, _upload
from tests.benchmarks.machine import cpu_seconds, table
from tests.serving import ServerProcess, open_sandbox

AIM = 2.5
SLICE = 2 << 20
URL = f"/api/v1/projects/film/scenes/one/assets/{PATH}"


async def _whole(http: aiohttp.ClientSession, size: int) -> None:
    received = 0
    async with http.get(URL) as answer:
        async for data in answer.content.iter_any():
            received += len(data)
    assert received == size


async def _played(http: aiohttp.ClientSession, size: int) -> None:
    received = 0
    while received < size:
        async with http.get(URL, headers={"Range": f"bytes={received}-", "Sec-Fetch-Dest": "video"}) as answer:
            assert answer.status == 206
            received += len(await answer.read())


async def _put(http: aiohttp.ClientSession, data: bytes) -> None:
    async def pieces():
        for at in range(0, len(data), 1 << 20):
            yield data[at : at + (1 << 20)]

    async with http.put(f"{URL}?overwrite", data=pieces(), headers={"Content-Length": str(len(data))}) as answer:
        assert answer.status == 201


async def _measure(size: int, rounds: int) -> None:
    data = os.urandom(size)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sandbox = await enter(open_sandbox())
        server = await enter(
            ServerProcess(folder / "data", sandbox.url, {"EVERGREEN_HTTP_LISTEN": "127.0.0.1:0"}, preload=False)
        )
        api = await server.start()
        http = await enter(aiohttp.ClientSession(api.http))
        stub = scene_pb2_grpc.SceneServiceStub(await enter(grpc.aio.insecure_channel(api.address)))
        ways: dict[str, Callable[[], Awaitable[None]]] = {
            "UploadAsset": lambda: _upload(stub, data),
            "PUT": lambda: _put(http, data),
            "DownloadAsset": lambda: _download(stub, data),
            "GET, whole": lambda: _whole(http, size),
            "GET, by a player": lambda: _played(http, size),
        }
        took: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for number in range(rounds + 1):
            for name, move in ways.items():
                cpu, begun = cpu_seconds(server.pid), time.perf_counter()
                await move()
                if number:  # the first round warms up
                    took[name].append((cpu_seconds(server.pid) - cpu, time.perf_counter() - begun))
        await server.end(signal.SIGTERM)
    rows = []
    for name, all in took.items():
        beside = took["UploadAsset" if name in ("UploadAsset", "PUT") else "DownloadAsset"]
        ratio = median(one[0] / other[0] for one, other in zip(all, beside, strict=True))
        cpu, seconds = (median(times) for times in zip(*all, strict=True))
        rows.append([name, f"{cpu / size * (1 << 30):.2f}", f"{size / seconds / 1e6:.0f}", f"{ratio:.2f}"])
    header = ["", "server's cores, s/GiB", "MB/s", "ratio to gRPC"]
    table(
        f"gateway: a file of {size >> 20} MiB, medians of {rounds} rounds",
        header,
        rows,
        f"aim: down at most {AIM} of DownloadAsset, server and gateway together",
    )


def run(quick: bool = False) -> None:
    """Measures and prints."""
    uvloop.run(_measure(*((256 << 20, 3) if quick else (256 << 20, 7))))


if __name__ == "__main__":
    run()
