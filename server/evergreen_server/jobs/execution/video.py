"""What is special to video in following and delivering a job."""

import logging
from pathlib import Path

from evergreen_server.jobs.execution.deliverer import Examined, Unusable
from evergreen_server.jobs.model import names
from evergreen_server.jobs.model.job import Job, JobWarning
from evergreen_server.ports.media import Clip, MediaRefused, MediaTooCostly, MediaTools

POSTER_MISSING = "POSTER_MISSING"
CLIP_UNMEASURED = "CLIP_UNMEASURED"
UNMEASURED = Clip(content_type="video/mp4", width=0, height=0, duration_seconds=0.0, codec="")

logger = logging.getLogger(__name__)


class VideoDeliverer:
    """Names, measures and draws MP4 clips."""

    noun = "clip"
    content_type = "video/mp4"

    def __init__(self, media: MediaTools) -> None:
        self._media = media

    def output_path(self, job: Job, number: int) -> str:
        return names.output_path(job.job_id, job.attempt, number)

    def poster_path(self, output: str) -> str:
        return names.poster_path(output)

    async def examine(self, job: Job, path: Path) -> Examined:
        """Measures a clip and makes its poster. Raises Unusable where it is no video.

        Where that takes too much time or memory it goes without: the clip came whole and is paid for, and another
        try would take as much.
        """
        owner, probe = job.request.project_id, UNMEASURED
        try:
            probe = await self._media.probe(path, owner=owner)
            return Examined(probe=probe, poster=await self._media.poster(path, owner=owner))
        except MediaTooCostly as exc:
            logger.warning("clip not examined", extra={"job_id": job.job_id, "cause": str(exc)})
            code, lacks = (CLIP_UNMEASURED, "measures") if probe is UNMEASURED else (POSTER_MISSING, "poster")
            warning = JobWarning(code=code, message=f"the clip was stored whole and has no {lacks}: {exc}")
            return Examined(probe=probe, poster=b"", warnings=(warning,))
        except MediaRefused as exc:
            raise Unusable(f"the output is not a video: {exc}") from exc
