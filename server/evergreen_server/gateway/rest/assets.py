"""Reads assets from the server, as the gateway needs them: what a file is, and parts of it whole in memory.

A part is read whole before any of it is sent. Readers that keep up get one after the other from the same call; one that
pauses, as players do, holds none of the server's transfers meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import grpc

from evergreen.v1 import scene_pb2
from evergreen_server.gateway.places import Places
from evergreen_server.gateway.problems import Refused, fault_of, refused
from evergreen_server.gateway.upstream import Upstream
from evergreen_server.gateway.visitors import Visitor
from evergreen_server.runtime.chunks import chunk_of

__all__ = ["SLICE_BYTES", "STREAM_BYTES", "Assets", "Reading", "tag_of"]

DOWNLOAD = "/evergreen.v1.SceneService/DownloadAsset"
SIGN = "/evergreen.v1.SceneService/GetAssetUrl"
SIGN_SECONDS = 30.0
SLICE_BYTES = 2 << 20
SLICE_SECONDS = 60.0
STREAM_BYTES = 8 * SLICE_BYTES
"""What one call reads at most, so that others come to their turns."""
PROMPT_SECONDS = 0.25
"""A reader that takes longer for a slice is one that pauses, or is slow."""

Asked = scene_pb2.DownloadAssetRequest
Call = grpc.aio.UnaryStreamCall[bytes, bytes]


class Assets:
    """Files as visitors may see them. Used on one loop."""

    def __init__(self, *, upstream: Upstream, places: Places) -> None:
        self._upstream = upstream
        self._places = places

    async def stat(self, visitor: Visitor, where: Asked) -> scene_pb2.Asset:
        """Returns what a file is. Raises Refused."""
        return await self._read(visitor, where, 0, 1)

    async def url(self, visitor: Visitor, where: Asked) -> str:
        """Returns a URL by which anybody can read a file from its storage, for 15 minutes. Raises Refused."""
        asked = scene_pb2.GetAssetUrlRequest(project_id=where.project_id, scene_id=where.scene_id, path=where.path)
        try:
            data = await self._upstream.call(SIGN, asked.SerializeToString(), visitor.metadata(), SIGN_SECONDS)
        except grpc.aio.AioRpcError as exc:
            raise Refused(fault_of(exc)) from None
        return scene_pb2.GetAssetUrlResponse.FromString(data).url

    async def part(
        self, visitor: Visitor, where: Asked, asset: scene_pb2.Asset, start: int, end: int
    ) -> list[memoryview]:
        """Returns a part of a file, in pieces, as it was when `stat` returned `asset`.

        Raises Refused, also if it was replaced since.
        """
        found: list[memoryview] = []
        async with self.reading(visitor, where, asset, start, end) as reading:
            while slice_ := await reading.slice():
                found += slice_
        return found

    @asynccontextmanager
    async def reading(
        self, visitor: Visitor, where: Asked, asset: scene_pb2.Asset, start: int, end: int
    ) -> "AsyncIterator[Reading]":
        """Reads a part of a file, as it was when `stat` returned `asset`. Raises Refused, as the slices do."""
        async with self._called(visitor, where, start, end - start) as (call, release):
            yield Reading(call, asset, end - start, release=release)

    async def _read(self, visitor: Visitor, where: Asked, offset: int, limit: int) -> scene_pb2.Asset:
        async with self._called(visitor, where, offset, limit) as (call, _):
            return await _info(call)

    @asynccontextmanager
    async def _called(
        self, visitor: Visitor, where: Asked, offset: int, limit: int
    ) -> "AsyncIterator[tuple[Call, Callable[[], None]]]":
        message = Asked(
            project_id=where.project_id, scene_id=where.scene_id, path=where.path, offset=offset, limit=limit
        )
        async with self._places.early_transfer(visitor.owner) as release:
            call = self._upstream.stream(DOWNLOAD, message.SerializeToString(), visitor.metadata(), None)
            try:
                yield call, release
            finally:
                call.cancel()


class Reading:
    """A part of a file on its way from the server, of which it holds a transfer until `release`. Used by one task."""

    def __init__(self, call: Call, asset: scene_pb2.Asset, size: int, *, release: Callable[[], None]) -> None:
        self._call = call
        self._asset = asset
        self._left = size
        self._release = release
        self._known = self._released = False

    async def slice(self) -> Sequence[memoryview]:
        """Returns the next 2 MiB or a little more, in pieces; nothing at the end, or once it was released.

        Raises Refused, also if the file was replaced since.
        """
        pieces: list[memoryview] = []
        size = 0
        while self._left and not self._released and size < SLICE_BYTES:
            if not self._known and await _info(self._call) != self._asset:
                raise _replaced()
            self._known = True
            data = await _next(self._call)
            if data is None or (piece := chunk_of(data)) is None or len(piece) > self._left:
                raise _replaced()
            pieces.append(piece)
            size += len(piece)
            self._left -= len(piece)
        return pieces

    def release(self) -> None:
        """Ends the call, and gives its transfer to others."""
        if not self._released:
            self._released = True
            self._call.cancel()
            self._release()

    @contextmanager
    def prompt(self) -> Iterator[None]:
        """Releases it if what is done meanwhile takes longer than a reader that keeps up would."""
        timer = asyncio.get_running_loop().call_later(PROMPT_SECONDS, self.release)
        try:
            yield
        finally:
            timer.cancel()


async def _next(call: Call) -> bytes | None:
    """Returns the next message, None at the end. Raises Refused."""
    try:
        async with asyncio.timeout(SLICE_SECONDS):
            data = await call.read()
    except TimeoutError:
        raise _late() from None
    except grpc.aio.AioRpcError as exc:
        raise Refused(fault_of(exc)) from None
    return data if isinstance(data, bytes) else None


async def _info(call: Call) -> scene_pb2.Asset:
    data = await _next(call)
    return scene_pb2.DownloadAssetResponse.FromString(data or b"").info


def _replaced() -> Refused:
    return _unavailable("the file was replaced while it was read; call again")


def _late() -> Refused:
    return _unavailable("the file could not be read in time; call again")


def _unavailable(message: str) -> Refused:
    return refused(grpc.StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE", message=message, retry_seconds=1)


def tag_of(asset: scene_pb2.Asset) -> str:
    """Returns a file's ETag: strong where its checksum is known."""
    if asset.HasField("crc32c"):
        return f'"{asset.crc32c}-{asset.size_bytes}"'
    return f'W/"{asset.create_time.ToNanoseconds()}-{asset.size_bytes}"'
