"""The references for assets: the generated service on grpc.aio, same loop and options, with the least behind it.

`bare` throws away what it takes and gives messages that lie ready in memory. `plain` does the least that keeps files:
it sums, writes and syncs, or reads, on its loop.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import google_crc32c
import grpc
import uvloop

from evergreen.v1 import scene_pb2, scene_pb2_grpc
from evergreen_server.rpc.server import OPTIONS
from tests.benchmarks.commanded import obey

CHUNK = 512 * 1024


class Bare(scene_pb2_grpc.SceneServiceServicer):
    def __init__(self, size: int) -> None:
        self._messages = [scene_pb2.DownloadAssetResponse(chunk=os.urandom(CHUNK)) for _ in range(size // CHUNK)]

    async def UploadAsset(
        self, messages: AsyncIterator[scene_pb2.UploadAssetRequest], _context: object
    ) -> scene_pb2.UploadAssetResponse:
        async for _ in messages:
            pass
        return scene_pb2.UploadAssetResponse()

    async def DownloadAsset(
        self, _request: scene_pb2.DownloadAssetRequest, _context: object
    ) -> AsyncIterator[scene_pb2.DownloadAssetResponse]:
        for message in self._messages:
            yield message

    async def DeleteAsset(
        self, _request: scene_pb2.DeleteAssetRequest, _context: object
    ) -> scene_pb2.DeleteAssetResponse:
        return scene_pb2.DeleteAssetResponse()


class Plain(scene_pb2_grpc.SceneServiceServicer):
    def __init__(self, folder: Path) -> None:
        self._file = folder / "plain"

    async def UploadAsset(
        self, messages: AsyncIterator[scene_pb2.UploadAssetRequest], _context: object
    ) -> scene_pb2.UploadAssetResponse:
        crc32c = 0
        with self._file.open("xb", buffering=0) as file:
            async for message in messages:
                chunk = message.chunk
                crc32c = google_crc32c.extend(crc32c, chunk)
                file.write(chunk)
            await asyncio.to_thread(os.fsync, file)
        return scene_pb2.UploadAssetResponse()

    async def DownloadAsset(
        self, _request: scene_pb2.DownloadAssetRequest, _context: object
    ) -> AsyncIterator[scene_pb2.DownloadAssetResponse]:
        with self._file.open("rb", buffering=0) as file:
            while chunk := file.read(CHUNK):
                yield scene_pb2.DownloadAssetResponse(chunk=chunk)

    async def DeleteAsset(
        self, _request: scene_pb2.DeleteAssetRequest, _context: object
    ) -> scene_pb2.DeleteAssetResponse:
        self._file.unlink()
        return scene_pb2.DeleteAssetResponse()


async def main(kind: str, argument: str) -> None:
    server = grpc.aio.server(options=OPTIONS)
    servicer = Bare(int(argument)) if kind == "bare" else Plain(Path(argument))
    scene_pb2_grpc.add_SceneServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await obey(f"127.0.0.1:{port}", nothing)
    await server.stop(0)


async def nothing(_command: list[str]) -> str:
    return ""


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
