"""What is special to delivering videos."""

import logging
from pathlib import Path

from evergreen_server.jobs.execution.kinds.deliverer import Examined, Unusable
from evergreen_server.jobs.model.job import Job, JobWarning
from evergreen_server.ports.media import Clip, MediaRefused, MediaTooCostly, MediaTools

POSTER_MISSING = "POSTER_MISSING"
CLIP_UNMEASURED = "CLIP_UNMEASURED"

EXTENSIONS = {
    "video/mp4": "mp4",
    "video/quicktime": "mov",
    "video/webm": "webm",
    "video/x-matroska": "mkv",
    "video/3gpp": "3gp",
    "video/ogg": "ogv",
}

logger = logging.getLogger(__name__)


class VideoDeliverer:
    """Measures and draws videos."""

    noun = "clip"
    folder = "videos"
    extensions = EXTENSIONS
    most_bytes = 16 * 1024**3

    def __init__(self, media: MediaTools) -> None:
        self._media = media

    async def examine(self, job: Job, path: Path, content_type: str) -> Examined:
        """Measures a clip and makes its poster. Raises Unusable where it is no video.

        Where that takes too much time or memory it goes without: the clip came whole and is paid for, and another
        try would take as much.
        """
        owner, probe = job.request.project_id, None
        try:
            probe = await self._media.probe(path, owner=owner)
            return Examined(probe=probe, poster=await self._media.poster(path, owner=owner))
        except MediaTooCostly as exc:
            logger.warning("clip not examined", extra={"job_id": job.job_id, "cause": str(exc)})
            code, lacks = (POSTER_MISSING, "poster") if probe else (CLIP_UNMEASURED, "measures")
            warning = JobWarning(code=code, message=f"the clip was stored whole and has no {lacks}: {exc}")
            return Examined(probe=probe or Clip.unmeasured(content_type), warnings=(warning,))
        except MediaRefused as exc:
            raise Unusable(f"the output is not a video: {exc}") from exc
