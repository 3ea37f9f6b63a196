"""Reads assets from the server, as the gateway needs them: what a file is, and parts of it whole in memory.

A part is read whole before any of it is sent, so that a reader that pauses, as players do, holds none of the server's
transfers meanwhile.
"""

import grpc
from google.protobuf.message import Message

from evergreen.v1 import scene_pb2
from evergreen_server.gateway.places import Places
from evergreen_server.gateway.problems import Refused, fault_of, refused
from evergreen_server.gateway.upstream import Upstream
from evergreen_server.gateway.visitors import Visitor
from evergreen_server.runtime.chunks import chunk_of

__all__ = ["SLICE_BYTES", "Assets", "tag_of"]

DOWNLOAD = "/evergreen.v1.SceneService/DownloadAsset"
SIGN = "/evergreen.v1.SceneService/GetAssetUrl"
SIGN_SECONDS = 30.0
SLICE_BYTES = 2 << 20
SLICE_SECONDS = 60.0

Asked = scene_pb2.DownloadAssetRequest


class Assets:
    """Files as visitors may see them. Used on one loop."""

    def __init__(self, *, upstream: Upstream, places: Places) -> None:
        self._upstream = upstream
        self._places = places

    async def stat(self, visitor: Visitor, where: Asked) -> scene_pb2.Asset:
        """Returns what a file is. Raises Refused."""
        info, _ = await self._read(visitor, where, 0, 1)
        return info

    async def url(self, visitor: Visitor, where: Asked) -> str:
        """Returns a URL by which anybody can read a file from its storage, for 15 minutes. Raises Refused."""
        asked = scene_pb2.GetAssetUrlRequest(project_id=where.project_id, scene_id=where.scene_id, path=where.path)
        try:
            data = await self._upstream.call(SIGN, asked.SerializeToString(), visitor.metadata(), SIGN_SECONDS)
        except grpc.aio.AioRpcError as exc:
            raise Refused(fault_of(exc)) from None
        return scene_pb2.GetAssetUrlResponse.FromString(data).url

    async def part(self, visitor: Visitor, where: Asked, asset: scene_pb2.Asset, start: int, end: int) -> list[bytes]:
        """Returns a part of a file, in pieces, as it was when `stat` returned `asset`.

        Raises Refused, also if it was replaced since.
        """
        if start == end:
            return []
        info, pieces = await self._read(visitor, where, start, end - start)
        if info != asset or sum(map(len, pieces)) != end - start:
            raise refused(
                grpc.StatusCode.UNAVAILABLE,
                "STORAGE_UNAVAILABLE",
                message="the file was replaced while it was read; call again",
                retry_seconds=1,
            )
        return pieces

    async def _read(
        self, visitor: Visitor, where: Asked, offset: int, limit: int
    ) -> tuple[scene_pb2.Asset, list[bytes]]:
        message: Message = Asked(
            project_id=where.project_id, scene_id=where.scene_id, path=where.path, offset=offset, limit=limit
        )
        async with self._places.transfer(visitor.owner):
            call = self._upstream.stream(DOWNLOAD, message.SerializeToString(), visitor.metadata(), SLICE_SECONDS)
            info, pieces = scene_pb2.Asset(), list[bytes]()
            try:
                async for data in call:
                    if (piece := chunk_of(data)) is not None:
                        pieces.append(piece)
                    else:
                        info = scene_pb2.DownloadAssetResponse.FromString(data).info
            except grpc.aio.AioRpcError as exc:
                raise Refused(fault_of(exc)) from None
            finally:
                call.cancel()
        return info, pieces


def tag_of(asset: scene_pb2.Asset) -> str:
    """Returns a file's ETag: strong where its checksum is known."""
    if asset.HasField("crc32c"):
        return f'"{asset.crc32c}-{asset.size_bytes}"'
    return f'W/"{asset.create_time.ToNanoseconds()}-{asset.size_bytes}"'
