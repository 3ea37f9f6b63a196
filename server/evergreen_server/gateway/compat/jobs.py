"""What these shapes share: a clip's job, its place and its progress, and a picture that comes with a request."""

import base64
import binascii
import hashlib
import re
from collections.abc import AsyncIterator, Mapping

from aiohttp import web

from evergreen.v1 import scene_pb2, video_pb2
from evergreen_server.gateway.problems import invalid
from evergreen_server.gateway.rest.calls import Calls
from evergreen_server.gateway.rest.routes import ROOT
from evergreen_server.gateway.rest.uploads import Uploads
from evergreen_server.gateway.visitors import Visitor
from evergreen_server.runtime.chunks import CHUNK_BYTES

__all__ = ["ENDED", "VIDEO", "Jobs", "clip_of", "error_of", "percent_of", "picture_in", "status_of"]

VIDEO = "/evergreen.v1.VideoService"
INLINE_BYTES = 3 << 20
"""What a request may have in it; a larger picture is kept as an asset first."""
SUFFIXES: Mapping[str, str] = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}
_DATA = re.compile(r"data:(image/[\w.+-]+)?(?:;[\w=.+-]+)*;base64,([A-Za-z0-9+/=]*)", re.ASCII)
ENDED = frozenset({video_pb2.JOB_STATE_FAILED, video_pb2.JOB_STATE_CANCELLED, video_pb2.JOB_STATE_EXPIRED})
"""Final states without a clip."""


class Jobs:
    """Makes and reads clips as the sender of a request. Used on one loop. Each method raises Refused."""

    def __init__(self, *, calls: Calls, uploads: Uploads) -> None:
        self._calls = calls
        self._uploads = uploads

    async def generate(self, visitor: Visitor, message: video_pb2.GenerateVideoRequest) -> video_pb2.Job:
        """Returns the job of a request, made now or before."""
        answer = await self._calls.ask(visitor, f"{VIDEO}/GenerateVideo", message, video_pb2.GenerateVideoResponse)
        return answer.job

    async def status(self, visitor: Visitor, job_id: str) -> video_pb2.Job:
        """Returns a job."""
        message = video_pb2.GetStatusRequest(job_id=job_id)
        return (await self._calls.ask(visitor, f"{VIDEO}/GetStatus", message, video_pb2.GetStatusResponse)).job

    async def cancel(self, visitor: Visitor, job_id: str) -> None:
        """Requests a job's cancellation."""
        message = video_pb2.CancelVideoRequest(job_id=job_id)
        await self._calls.ask(visitor, f"{VIDEO}/CancelVideo", message, video_pb2.CancelVideoResponse)

    async def first_frame(
        self, request: web.Request, project_id: str, scene_id: str, data: bytes, content_type: str
    ) -> video_pb2.Media:
        """Returns a picture as the first frame; a large one is kept in the scene by its digest."""
        if len(data) <= INLINE_BYTES:
            return video_pb2.Media(data=data, role=video_pb2.MEDIA_ROLE_FIRST_FRAME)
        name = f"{hashlib.sha256(data).hexdigest()[:32]}{SUFFIXES.get(content_type, '')}"
        info = scene_pb2.UploadInfo(
            project_id=project_id, scene_id=scene_id, path=f"images/{name}", size_bytes=len(data)
        )
        asset = await self._uploads.store(request, info, _pieces(data))
        return video_pb2.Media(asset=asset.path, role=video_pb2.MEDIA_ROLE_FIRST_FRAME)


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), CHUNK_BYTES):
        yield data[at : at + CHUNK_BYTES]


def picture_in(url: str, field: str) -> tuple[bytes, str]:
    """Returns the bytes and the type of a picture in a data URL. Raises Refused, naming the field."""
    found = _DATA.fullmatch(url)
    try:
        data = base64.b64decode(found[2], validate=True) if found else b""
    except binascii.Error:
        data = b""
    if not found or not data:
        raise invalid(field, "a data URL must be of a picture in base64")
    return data, (found[1] or "").lower()


def clip_of(job: video_pb2.Job) -> str:
    """Returns the path here of the clip that a job has made, empty if there is none."""
    clips = (output.asset for output in job.outputs if output.content_type.startswith("video/"))
    asset = next(clips, "")
    return f"{ROOT}/projects/{job.project_id}/scenes/{job.scene_id}/assets/{asset}" if asset else ""


def percent_of(job: video_pb2.Job) -> int:
    """Returns how much of a job is done, 100 only for one that has succeeded."""
    return 100 if job.state == video_pb2.JOB_STATE_SUCCEEDED else min(99, int(job.progress * 100))


def status_of(job: video_pb2.Job) -> str:
    """Returns a job's state in the three words of the first endpoints."""
    if job.state == video_pb2.JOB_STATE_SUCCEEDED:
        return "completed"
    return "failed" if job.state in ENDED else "processing"


def error_of(job: video_pb2.Job) -> str | None:
    """Returns why there is no clip, None where there is one, or may be yet."""
    if job.HasField("error"):
        return job.error.message
    return "cancelled" if job.state == video_pb2.JOB_STATE_CANCELLED else None
