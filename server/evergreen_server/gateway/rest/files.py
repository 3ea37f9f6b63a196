"""Assets down: GET and HEAD with one range, as media elements, browsers and programs ask for them.

What callers have uploaded is hostile: only what no browser runs is shown in place, and all of it in a sandbox.
"""

from collections.abc import Iterable, Mapping, Sequence

import grpc
from aiohttp import web

from evergreen.v1 import scene_pb2
from evergreen_server.gateway.places import Places
from evergreen_server.gateway.problems import Refused, invalid, refused
from evergreen_server.gateway.readers import taken
from evergreen_server.gateway.rest.assets import SLICE_BYTES, STREAM_BYTES, Asked, Assets, tag_of
from evergreen_server.gateway.rest.ranges import Unsatisfiable, span_of
from evergreen_server.gateway.rest.reading import matches, path_of, refuse_body
from evergreen_server.gateway.rest.routes import BINDINGS, Binding, By
from evergreen_server.gateway.rest.thumbnails import Thumbnails
from evergreen_server.gateway.visitors import visitor_of

__all__ = ["Files"]

PIECE_BYTES = 128 << 10
"""What a reader must take within the time that it may stand still, as of the server over gRPC."""
INLINE = frozenset(
    {
        *("image/png", "image/jpeg", "image/webp", "image/gif", "image/avif"),
        *("video/mp4", "video/webm", "audio/mpeg", "audio/mp4", "audio/wav", "audio/x-wav", "audio/ogg"),
    }
)
"""What a browser may show in place; it runs none of these."""
HARMLESS = frozenset({"text/plain", "text/vtt", "application/json", "application/x-subrip"})
"""What keeps its type as an attachment. All else is bytes."""
HOSTILE = {"Content-Security-Policy": "default-src 'none'; sandbox", "X-Content-Type-Options": "nosniff"}
PLAYERS = frozenset({"video", "audio"})
FOREVER = "private, max-age=31536000, immutable"


class Files:
    """The handler of assets that are read. Used on one loop."""

    def __init__(self, *, assets: Assets, thumbnails: Thumbnails, places: Places, stall_seconds: float) -> None:
        self._assets = assets
        self._thumbnails = thumbnails
        self._places = places
        self._stall_seconds = stall_seconds

    def routes(self) -> Iterable[web.RouteDef]:
        """Returns the routes, one of which answers HEAD as well."""
        for binding in BINDINGS:
            if binding.by is By.FILES and binding.verb == "GET":

                async def handle(request: web.Request, binding: Binding = binding) -> web.StreamResponse:
                    return await self._get(request, _where(request, binding))

                yield web.get(binding.route(), handle)

    async def _get(self, request: web.Request, where: Asked) -> web.StreamResponse:
        refuse_body(request)
        if unknown := sorted(request.query.keys() - {"w", "redirect"}):
            raise invalid(unknown[0][:100].encode(errors="replace").decode(), "this call has no such parameter")
        if "redirect" in request.query:
            return await self._redirected(request, where)
        return await self.send(request, where, widths=request.query.getall("w", []))

    async def _redirected(self, request: web.Request, where: Asked) -> web.Response:
        if request.query.getall("redirect") != ["1"] or "w" in request.query:
            raise invalid("redirect", "must be 1, once, and without w")
        url = await self._assets.url(visitor_of(request), where)
        # The URL is a secret, which no cache may keep.
        return web.Response(status=302, headers={"Location": url, "Cache-Control": "no-store", **HOSTILE})

    async def send(self, request: web.Request, where: Asked, *, widths: Sequence[str] = ()) -> web.StreamResponse:
        """Answers a GET or HEAD of a file, or with a width of its thumbnail. Raises Refused."""
        visitor = visitor_of(request)
        asset = await self._assets.stat(visitor, where)
        tag = tag_of(asset)
        # What a job made never changes.
        headers = {"Cache-Control": FOREVER if asset.job_id else "private, no-cache", **HOSTILE}
        if widths:
            thumbnail = await self._thumbnails.of(visitor, where, asset, widths)
            headers |= {"ETag": thumbnail.tag, "Content-Type": "image/jpeg", "Content-Disposition": "inline"}
            if matches(request, thumbnail.tag):
                return web.Response(status=304, headers=headers)
            return web.Response(body=await thumbnail.data(), headers=headers)
        headers |= {"ETag": tag, "Accept-Ranges": "bytes", **_shown(asset)}
        if matches(request, tag):
            del headers["Content-Type"]
            return web.Response(status=304, headers=headers)
        return await self._sent(request, where, asset, headers)

    async def _sent(
        self, request: web.Request, where: Asked, asset: scene_pb2.Asset, headers: dict[str, str]
    ) -> web.StreamResponse:
        size, span = asset.size_bytes, _span(request, asset)
        start, end = span or (0, size)
        if span and request.headers.get("Sec-Fetch-Dest") in PLAYERS:
            # A player asks for all that follows, takes some of it, and pauses.
            end = min(end, start + SLICE_BYTES)
        response = web.StreamResponse(status=206 if span else 200, headers=headers)
        if span:
            response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        response.content_length = end - start
        if request.method == "HEAD" or start == end:
            return response
        visitor = visitor_of(request)
        while start < end:
            upto = min(end, start + STREAM_BYTES)
            try:
                async with (
                    self._places.slice(visitor.owner),
                    self._assets.reading(visitor, where, asset, start, upto) as reading,
                ):
                    while pieces := await reading.slice():
                        if not response.prepared:
                            await response.prepare(request)
                            _bound_writes(request)
                        with reading.prompt():
                            for piece in pieces:
                                await self._write(request, response, piece)
                                start += len(piece)
            except Refused:
                if not response.prepared:
                    raise
                # Too late for an answer: what comes too short tells it.
                if request.transport is not None:
                    request.transport.abort()
                raise ConnectionAbortedError("the file could not be read on") from None
        return response

    async def _write(self, request: web.Request, response: web.StreamResponse, data: memoryview) -> None:
        for at in range(0, len(data), PIECE_BYTES):
            if request.transport is not None and request.transport.get_write_buffer_size() == 0:
                # Nothing that has to be bounded: there is room for one piece.
                await response.write(data[at : at + PIECE_BYTES])
            else:
                async with taken(request, self._stall_seconds):
                    await response.write(data[at : at + PIECE_BYTES])


def _bound_writes(request: web.Request) -> None:
    """Lets one piece wait in memory before whoever writes the next one does."""
    if request.transport is not None:
        request.transport.set_write_buffer_limits(high=2 * PIECE_BYTES)


def _where(request: web.Request, binding: Binding) -> Asked:
    found = path_of(request, binding)
    return Asked(project_id=found["projectId"], scene_id=found["sceneId"], path=found["path"])


def _shown(asset: scene_pb2.Asset) -> Mapping[str, str]:
    """Returns how a file is to be taken. Its name has no character that would need quoting."""
    kind = asset.content_type.partition(";")[0].strip().lower()
    name = asset.path.rpartition("/")[2]
    if kind in INLINE:
        return {"Content-Type": kind, "Content-Disposition": f'inline; filename="{name}"'}
    typed = f"{kind}; charset=utf-8" if kind in HARMLESS else "application/octet-stream"
    return {"Content-Type": typed, "Content-Disposition": f'attachment; filename="{name}"'}


def _span(request: web.Request, asset: scene_pb2.Asset) -> tuple[int, int] | None:
    """Returns the part that is asked for, None for all. Raises Refused."""
    ranges, tag = request.headers.getall("Range", []), tag_of(asset)
    if request.method != "GET" or len(ranges) != 1 or request.headers.get("If-Range", tag).strip() != tag:
        return None
    if "If-Range" in request.headers and tag.startswith("W/"):
        return None
    try:
        return span_of(ranges[0], asset.size_bytes)
    except Unsatisfiable:
        raise refused(
            grpc.StatusCode.OUT_OF_RANGE,
            "RANGE_UNSATISFIABLE",
            message=f"the file has {asset.size_bytes} bytes",
            status=416,
            headers={"Content-Range": f"bytes */{asset.size_bytes}", "ETag": tag, "Accept-Ranges": "bytes"},
        ) from None
