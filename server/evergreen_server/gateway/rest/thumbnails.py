"""Thumbnails of pictures, and of clips by their posters: made when asked for, a few at a time, and kept for a while."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import grpc

from evergreen.v1 import scene_pb2, video_pb2
from evergreen_server.gateway.places import Places
from evergreen_server.gateway.problems import invalid, refused
from evergreen_server.gateway.rest.assets import Asked, Assets, tag_of
from evergreen_server.gateway.rest.calls import Calls
from evergreen_server.gateway.visitors import Visitor
from evergreen_server.ports.media import MediaRefused, MediaUnreachable

__all__ = ["Thumbnail", "Thumbnails"]

WIDTHS = (160, 320, 640, 1280)
"""What is asked for is rounded up to one of these, so that there are few of each picture."""
SOURCE_BYTES = 16 << 20
KEPT_BYTES = 64 << 20
STATUS = "/evergreen.v1.VideoService/GetStatus"


class Thumbnailer(Protocol):
    """Makes thumbnails, in owners' turns."""

    async def thumbnail(self, data: bytes, width: int, *, owner: str) -> bytes:
        """Returns a JPEG at most so wide. Raises MediaRefused, MediaUnreachable."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Thumbnail:
    """A thumbnail that may be there already or still has to be made by `data`, which raises Refused."""

    tag: str
    data: Callable[[], Awaitable[bytes]]


class Thumbnails:
    """The thumbnails of one gateway; 64 MiB of the newest are kept. Used on one loop."""

    def __init__(self, *, assets: Assets, calls: Calls, places: Places, thumbnailer: Thumbnailer) -> None:
        self._assets = assets
        self._calls = calls
        self._places = places
        self._thumbnailer = thumbnailer
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._kept_bytes = 0

    async def of(self, visitor: Visitor, where: Asked, asset: scene_pb2.Asset, asked: Sequence[str]) -> Thumbnail:
        """Returns the thumbnail of a file that the visitor has just read. Raises Refused."""
        width = _width(asked)
        if asset.content_type.startswith("video/") and asset.job_id:
            where = Asked(project_id=where.project_id, scene_id=where.scene_id, path=await self._poster(visitor, asset))
            asset = await self._assets.stat(visitor, where)
        if not asset.content_type.startswith("image/"):
            raise invalid("w", "the file is neither a picture nor a clip with a poster")
        if asset.size_bytes > SOURCE_BYTES:
            raise invalid("w", f"the picture is larger than {SOURCE_BYTES} bytes")
        tag = f'{tag_of(asset)[:-1]}-w{width}"'
        # By place too: whoever can make another file with the same checksum must not choose what others see.
        key = f"{where.project_id}/{where.scene_id}/{where.path} {tag}"

        async def data() -> bytes:
            if (kept := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
                return kept
            made = await self._made(visitor, where, asset, width)
            if asset.HasField("crc32c"):
                self._keep(key, made)
            return made

        return Thumbnail(tag=tag, data=data)

    async def _poster(self, visitor: Visitor, asset: scene_pb2.Asset) -> str:
        answer = await self._calls.ask(
            visitor, STATUS, video_pb2.GetStatusRequest(job_id=asset.job_id), video_pb2.GetStatusResponse
        )
        posters = (output.poster for output in answer.job.outputs if output.asset == asset.path)
        if not (poster := next(posters, "")):
            raise invalid("w", "the clip has no poster")
        return poster

    async def _made(self, visitor: Visitor, where: Asked, asset: scene_pb2.Asset, width: int) -> bytes:
        owner = visitor.owner or visitor.address
        try:
            async with self._places.thumbnail(owner):
                source = await self._assets.part(visitor, where, asset, 0, asset.size_bytes)
                return await self._thumbnailer.thumbnail(b"".join(source), width, owner=owner)
        except MediaRefused as exc:
            raise invalid("w", str(exc)) from None
        except MediaUnreachable as exc:
            raise refused(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "TOO_MANY_TRANSFERS",
                message=str(exc),
                status=503,
                retry_seconds=1,
            ) from None

    def _keep(self, key: str, data: bytes) -> None:
        self._kept_bytes += len(data) - len(self._kept.get(key, b""))
        self._kept[key] = data
        self._kept.move_to_end(key)
        while self._kept_bytes > KEPT_BYTES:
            self._kept_bytes -= len(self._kept.popitem(last=False)[1])


def _width(asked: Sequence[str]) -> int:
    text = asked[0] if len(asked) == 1 else ""
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= WIDTHS[-1]):
        raise invalid("w", f"must be 1 to {WIDTHS[-1]}, once")
    return next(width for width in WIDTHS if width >= int(text))
