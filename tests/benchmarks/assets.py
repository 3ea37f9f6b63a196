"""UploadAsset and DownloadAsset on a local disk, beside a bare grpc.aio stream of the same chunks in the same run.

The bare server throws away what it takes, or gives constant bytes; upload is to reach 0.85 of it, download 0.9.
Since no upload can be quicker than the disk makes a file durable, a third server does the least that serves files: it
computes the CRC32C, writes and syncs, or reads. Server and client share this process and its loop, in all cases alike;
rounds alternate, and medians are compared.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

import google_crc32c
import grpc

from evergreen.v1 import scene_pb2, scene_pb2_grpc
from tests.rpc.scene_server import scene_serving

CHUNK = 512 * 1024

Take = Callable[[AsyncIterator[scene_pb2.UploadAssetRequest], object], Awaitable[bytes]]
Give = Callable[[bytes, grpc.aio.ServicerContext], Awaitable[None]]


async def _sink(messages: AsyncIterator[scene_pb2.UploadAssetRequest], _context: object) -> bytes:
    async for _ in messages:
        pass
    return b""


def _file(folder: Path) -> Take:
    async def take(messages: AsyncIterator[scene_pb2.UploadAssetRequest], _context: object) -> bytes:
        crc32c = 0
        with (folder / "plain").open("wb", buffering=0) as file:
            async for message in messages:
                crc32c = google_crc32c.extend(crc32c, message.chunk)
                file.write(message.chunk)
            await asyncio.to_thread(os.fsync, file)
        return b""

    return take


def _source(size: int) -> Give:
    data = scene_pb2.DownloadAssetResponse(chunk=bytes(CHUNK)).SerializeToString()

    async def send(_request: bytes, context: grpc.aio.ServicerContext) -> None:
        for _ in range(size // CHUNK):
            await context.write(data)

    return send


def _file_source(folder: Path) -> Give:
    async def send(_request: bytes, context: grpc.aio.ServicerContext) -> None:
        with (folder / "plain").open("rb", buffering=0) as file:
            while chunk := file.read(CHUNK):
                await context.write(scene_pb2.DownloadAssetResponse(chunk=chunk).SerializeToString())

    return send


@asynccontextmanager
async def _bare(take: Take, give: Give) -> AsyncIterator[scene_pb2_grpc.SceneServiceStub]:
    server = grpc.aio.server()
    handlers = {
        "UploadAsset": grpc.stream_unary_rpc_method_handler(
            take, request_deserializer=scene_pb2.UploadAssetRequest.FromString
        ),
        "DownloadAsset": grpc.unary_stream_rpc_method_handler(give),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("evergreen.v1.SceneService", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield scene_pb2_grpc.SceneServiceStub(channel)
    await server.stop(0)


async def _messages(path: str, data: bytes) -> AsyncIterator[scene_pb2.UploadAssetRequest]:
    info = scene_pb2.UploadInfo(project_id="film", scene_id="one", path=path, size_bytes=len(data))
    yield scene_pb2.UploadAssetRequest(info=info)
    for start in range(0, len(data), CHUNK):
        yield scene_pb2.UploadAssetRequest(chunk=data[start : start + CHUNK])


async def _upload(stub: scene_pb2_grpc.SceneServiceStub, path: str, data: bytes) -> float:
    begun = time.perf_counter()
    await stub.UploadAsset(_messages(path, data))
    return len(data) / (time.perf_counter() - begun) / 1e6


async def _download(stub: scene_pb2_grpc.SceneServiceStub, path: str, size: int) -> float:
    request = scene_pb2.DownloadAssetRequest(project_id="film", scene_id="one", path=path)
    begun, received = time.perf_counter(), 0
    async for message in stub.DownloadAsset(request):
        received += len(message.chunk)
    assert received == size
    return size / (time.perf_counter() - begun) / 1e6


async def _measure(data_dir: Path, size: int, rounds: int) -> None:
    data = os.urandom(size)
    async with (
        scene_serving(data_dir) as api,
        _bare(_sink, _source(size)) as plain,
        _bare(_file(data_dir), _file_source(data_dir)) as file,
    ):
        names = [f"{kind}{way}" for way in ("up", "down") for kind in ("", "bare ", "file ")]
        speeds: dict[str, list[float]] = {name: [] for name in names}
        for number in range(rounds + 1):
            path = f"exports/{number}"
            taken = {
                "up": await _upload(api.scene, path, data),
                "bare up": await _upload(plain, path, data),
                "file up": await _upload(file, path, data),
                "down": await _download(api.scene, path, size),
                "bare down": await _download(plain, path, size),
                "file down": await _download(file, path, size),
            }
            await api.scene.DeleteAsset(scene_pb2.DeleteAssetRequest(project_id="film", scene_id="one", path=path))
            if number:  # the first round warms up
                for name, speed in taken.items():
                    speeds[name].append(speed)
    print(f"assets of {size >> 20} MiB on a local disk, {rounds} rounds; MB/s, median")
    for name, title, aim in (("up", "UploadAsset", 0.85), ("down", "DownloadAsset", 0.9)):
        ours, bare, file = (median(speeds[f"{kind}{name}"]) for kind in ("", "bare ", "file "))
        print(
            f"  {title:14}{ours:6.0f}   bare stream{bare:6.0f}, ratio {ours / bare:.2f} (aim {aim})"
            f"   plain file{file:6.0f}, ratio {ours / file:.2f}"
        )


def run(quick: bool = False) -> None:
    """Measures and prints."""
    size, rounds = (32 << 20, 3) if quick else (256 << 20, 7)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_measure(Path(folder) / "data", size, rounds))


if __name__ == "__main__":
    run()
