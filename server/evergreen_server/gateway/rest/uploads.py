"""Assets up: the body of a PUT is the file, passed on as it comes and never held whole."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing

import grpc
from aiohttp import web
from aiohttp.client_exceptions import ClientPayloadError
from aiohttp.http_exceptions import HttpProcessingError

from evergreen.v1 import scene_pb2
from evergreen_server.gateway.bodies import invite, refuse_compression
from evergreen_server.gateway.messages import to_json
from evergreen_server.gateway.places import Places
from evergreen_server.gateway.problems import Refused, fault_of, invalid, refused
from evergreen_server.gateway.rest.assets import tag_of
from evergreen_server.gateway.rest.reading import SWITCHES, path_of
from evergreen_server.gateway.rest.routes import BINDINGS, Binding, By
from evergreen_server.gateway.upstream import Upstream
from evergreen_server.gateway.visitors import malformed, only, visitor_of
from evergreen_server.runtime.chunks import CHUNK_BYTES, chunk_messages

__all__ = ["Uploads"]

UPLOAD = "/evergreen.v1.SceneService/UploadAsset"
CHECKSUM = "X-Evergreen-Crc32c"
STALL_SECONDS = 60.0
"""How long a sender may stand still."""
ANSWER_SECONDS = 300.0
"""For the server to store and measure what it has received."""
FORMS = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})
_NUMBER = re.compile(r"[0-9]{1,10}")


class Uploads:
    """The handler of assets that are written. Used on one loop."""

    def __init__(self, *, upstream: Upstream, places: Places, stall_seconds: float) -> None:
        self._upstream = upstream
        self._places = places
        self._stall_seconds = stall_seconds

    def routes(self) -> Iterable[web.RouteDef]:
        """Returns the route."""
        for binding in BINDINGS:
            if binding.by is By.FILES and binding.verb == "PUT":

                async def handle(request: web.Request, binding: Binding = binding) -> web.StreamResponse:
                    return await self._put(request, binding)

                yield web.put(binding.route(), handle)

    async def _put(self, request: web.Request, binding: Binding) -> web.StreamResponse:
        info = _announced(request, binding)
        async with aclosing(_pieces(request, self._stall_seconds)) as pieces:
            asset = await self.store(request, info, pieces)
        return web.Response(
            status=201,
            body=to_json(scene_pb2.UploadAssetResponse(asset=asset)),
            headers={"Content-Type": "application/json", "Location": request.path, "ETag": tag_of(asset)},
        )

    async def store(
        self, request: web.Request, info: scene_pb2.UploadInfo, pieces: AsyncIterator[bytes]
    ) -> scene_pb2.Asset:
        """Uploads a file as the sender of a request. Raises Refused."""
        visitor = visitor_of(request)
        async with self._places.transfer(visitor.owner):
            call = self._upstream.upload(UPLOAD, visitor.metadata())
            try:
                answer = await _sent(call, info, pieces)
            except grpc.aio.AioRpcError as exc:
                raise Refused(fault_of(exc)) from None
            finally:
                call.cancel()
        return scene_pb2.UploadAssetResponse.FromString(answer).asset


async def _sent(
    call: "grpc.aio.StreamUnaryCall[bytes, bytes]", info: scene_pb2.UploadInfo, pieces: AsyncIterator[bytes]
) -> bytes:
    try:
        await call.write(scene_pb2.UploadAssetRequest(info=info).SerializeToString())
        async for piece in pieces:
            # What the server refuses, it refuses at any time.
            if call.done():
                break
            for message in chunk_messages(piece):
                await call.write(message)
        await call.done_writing()
    except (asyncio.InvalidStateError, grpc.aio.AioRpcError):
        # Ended meanwhile; the answer says why.
        pass
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await call
    except TimeoutError:
        raise refused(
            grpc.StatusCode.UNAVAILABLE,
            "STORAGE_UNAVAILABLE",
            message="the file was not stored in time; call again",
            retry_seconds=1,
        ) from None


async def _pieces(request: web.Request, stall_seconds: float) -> AsyncGenerator[bytes, None]:
    """Yields the body in pieces. Raises Refused if it stands still, or is not as its header fields say."""
    await invite(request)
    held = bytearray()
    try:
        while True:
            async with asyncio.timeout(stall_seconds):
                data = await request.content.readany()
            held += data
            if len(held) >= CHUNK_BYTES or (held and not data):
                yield bytes(held)
                held.clear()
            if not data:
                return
    except TimeoutError:
        raise refused(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            "TRANSFER_STALLED",
            message=f"the body stood still for {stall_seconds:g} s; nothing was kept",
            status=408,
        ) from None
    except (ClientPayloadError, HttpProcessingError, ValueError):
        raise malformed("the body is not as its header fields say; nothing was kept") from None


def _announced(request: web.Request, binding: Binding) -> scene_pb2.UploadInfo:
    """Returns what the head says of the file. Raises Refused."""
    refuse_compression(request)
    kind = only(request, "Content-Type")
    plain = kind.partition(";")[0].strip().lower()
    if plain in FORMS:
        raise refused(
            grpc.StatusCode.UNIMPLEMENTED,
            "CONTENT_TYPE_UNSUPPORTED",
            message="the body must be the file itself, and no form",
            status=415,
        )
    if unknown := sorted(request.query.keys() - {"overwrite"}):
        raise invalid(unknown[0][:100].encode(errors="replace").decode(), "this call has no such parameter")
    switches = request.query.getall("overwrite", ["false"])
    if len(switches) > 1 or switches[0] not in SWITCHES:
        raise invalid("overwrite", "must be true or false, once")
    found = path_of(request, binding)
    info = scene_pb2.UploadInfo(
        project_id=found["projectId"],
        scene_id=found["sceneId"],
        path=found["path"],
        # What clients say who do not know it; then the name tells more.
        content_type="" if plain == "application/octet-stream" else kind,
        overwrite=SWITCHES[switches[0]],
    )
    if request.content_length is not None:
        info.size_bytes = request.content_length
    if checksum := only(request, CHECKSUM):
        if not _NUMBER.fullmatch(checksum) or int(checksum) >= 1 << 32:
            raise invalid(CHECKSUM, "must be the CRC32C of the body as a decimal number")
        info.crc32c = int(checksum)
    return info
