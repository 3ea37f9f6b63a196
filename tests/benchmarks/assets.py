"""UploadAsset and DownloadAsset of the whole service on a local disk, beside a bare grpc.aio stream of the same chunks.

Each server is a process of its own; one client, in this process, talks to all of them, in turn. The bare stream is
the generated service that throws away what it takes and gives messages from memory (`files.py`); upload is to reach
0.85 of it, download 0.9. The bare server touches no disk, so beside it stands the least that keeps files, and the disk
alone: a loop that writes and syncs the same bytes without any stream. Where client and server have no more cores than
they use, the time of the cores that this loop takes is taken from the stream, and bounds what can be reached.
"""

import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

import grpc
import uvloop

from evergreen.v1 import scene_pb2, scene_pb2_grpc
from tests.benchmarks.commanded import commanded
from tests.benchmarks.files import CHUNK
from tests.benchmarks.machine import cpu_seconds, table
from tests.serving import ServerProcess, open_sandbox

PATH = "exports/body.bin"
AIMS = {"up": 0.85, "down": 0.9}
NAMES = {"bare": "bare stream", "plain": "plain file server", "full": "full service", "disk": "the disk alone"}


async def _messages(data: bytes) -> AsyncIterator[scene_pb2.UploadAssetRequest]:
    info = scene_pb2.UploadInfo(project_id="film", scene_id="one", path=PATH, size_bytes=len(data))
    yield scene_pb2.UploadAssetRequest(info=info)
    for start in range(0, len(data), CHUNK):
        yield scene_pb2.UploadAssetRequest(chunk=data[start : start + CHUNK])


async def _upload(stub: scene_pb2_grpc.SceneServiceStub, data: bytes) -> None:
    await stub.UploadAsset(_messages(data))


async def _download(stub: scene_pb2_grpc.SceneServiceStub, data: bytes) -> None:
    received = 0
    async for message in stub.DownloadAsset(
        scene_pb2.DownloadAssetRequest(project_id="film", scene_id="one", path=PATH)
    ):
        received += len(message.chunk)
    assert received == len(data)


class Took(NamedTuple):
    """Seconds of the clock, and of the cores: the server's and the client's."""

    seconds: float
    server: float
    client: float


async def _timed(pid: int, move: Awaitable[None]) -> Took:
    cpu, own, begun = cpu_seconds(pid), time.process_time(), time.perf_counter()
    await move
    seconds = time.perf_counter() - begun
    return Took(seconds, cpu_seconds(pid) - cpu, time.process_time() - own)


def _disk(folder: Path, data: bytes) -> Took:
    """Writes and syncs."""
    view, file = memoryview(data), folder / "alone"
    own, begun = time.process_time(), time.perf_counter()
    with file.open("xb", buffering=0) as written:
        for start in range(0, len(data), CHUNK):
            written.write(view[start : start + CHUNK])
        os.fsync(written)
    seconds = time.perf_counter() - begun
    file.unlink()
    return Took(seconds, time.process_time() - own, 0.0)


async def _measure(size: int, rounds: int) -> None:
    data = os.urandom(size)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sandbox = await enter(open_sandbox())
        full = await enter(ServerProcess(folder / "data", sandbox.url))
        bare = await enter(commanded("tests.benchmarks.files", "bare", str(size)))
        plain = await enter(commanded("tests.benchmarks.files", "plain", str(folder)))
        servers = {
            "bare": (bare.address, bare.pid),
            "plain": (plain.address, plain.pid),
            "full": ((await full.start()).address, full.pid),
        }
        took: dict[tuple[str, str], list[Took]] = {}
        for number in range(rounds + 1):
            kept = took if number else {}  # the first round warms up
            for name, (address, pid) in servers.items():
                async with grpc.aio.insecure_channel(address) as channel:
                    await channel.channel_ready()
                    stub = scene_pb2_grpc.SceneServiceStub(channel)
                    kept.setdefault(("up", name), []).append(await _timed(pid, _upload(stub, data)))
                    kept.setdefault(("down", name), []).append(await _timed(pid, _download(stub, data)))
                    await stub.DeleteAsset(scene_pb2.DeleteAssetRequest(project_id="film", scene_id="one", path=PATH))
            kept.setdefault(("up", "disk"), []).append(_disk(folder, data))
        await full.end(signal.SIGTERM)
    for way, title in (("up", "UploadAsset"), ("down", "DownloadAsset")):
        _show(title, size, {name: all for (key, name), all in took.items() if key == way}, AIMS[way])


def _show(title: str, size: int, took: dict[str, list[Took]], aim: float) -> None:
    rows, ratios = [], {}
    for name, all in took.items():
        seconds, server, client = (median(times) for times in zip(*all, strict=True))
        ratios[name] = [bare.seconds / one.seconds for bare, one in zip(took["bare"], all, strict=True)]
        cells = [size / seconds / 1e6, server / size * 1e9, client / size * 1e9]
        rows.append([NAMES[name], *(f"{cell:.{2 * bool(place)}f}" for place, cell in enumerate(cells))])
        rows[-1].append(f"{median(ratios[name]):.2f}")
    notes = [f"aim: {aim} of the bare stream; ratios of the rounds: {' '.join(f'{one:.2f}' for one in ratios['full'])}"]
    if "disk" in took:
        stream = median(each.server + each.client for each in took["bare"])
        bound = stream / (stream + median(each.server for each in took["disk"]))
        notes.append(
            f"where the stream alone keeps all cores busy, writing and syncing leave {bound:.2f} of it at most"
        )
    header = ["", "MB/s", "server's cores, s/GB", "client's", "ratio to bare"]
    table(f"assets: {title} of {size >> 20} MiB, medians of {len(took['bare'])} rounds", header, rows, *notes)


def run(quick: bool = False) -> None:
    """Measures and prints."""
    uvloop.run(_measure(*((64 << 20, 3) if quick else (256 << 20, 9))))


if __name__ == "__main__":
    run()
