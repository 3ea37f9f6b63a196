"""Pictures and sounds: files that are only measured."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from evergreen_server.jobs.execution.kinds.deliverer import Examined, Unusable
from evergreen_server.jobs.model.job import Job, JobWarning
from evergreen_server.ports.media import Clip, MediaRefused, MediaTooCostly, MediaTools

OUTPUT_UNMEASURED = "OUTPUT_UNMEASURED"
MOST_BYTES = 64 * 1024**2

logger = logging.getLogger(__name__)


class MeasuredDeliverer:
    """Measures files by decoding them completely."""

    most_bytes = MOST_BYTES

    def __init__(
        self,
        *,
        noun: str,
        folder: str,
        extensions: Mapping[str, str],
        measure: Callable[[Path, str], Awaitable[Clip]],
    ) -> None:
        """`measure` takes a file and its project. Raises MediaRefused."""
        self.noun = noun
        self.folder = folder
        self.extensions = extensions
        self._measure = measure

    async def examine(self, job: Job, path: Path, content_type: str) -> Examined:
        """Measures an output. Raises Unusable where it is not what was to be made.

        Where that takes too much time or memory it goes without: the output came whole and is paid for.
        """
        try:
            return Examined(probe=await self._measure(path, job.request.project_id))
        except MediaTooCostly as exc:
            logger.warning("output not examined", extra={"job_id": job.job_id, "cause": str(exc)})
            text = f"the {self.noun} was stored whole and has no measures: {exc}"
            warning = JobWarning(code=OUTPUT_UNMEASURED, message=text)
            return Examined(probe=Clip.unmeasured(content_type), warnings=(warning,))
        except MediaRefused as exc:
            raise Unusable(f"the output is not a {self.noun}: {exc}") from exc


def picture_deliverer(media: MediaTools) -> MeasuredDeliverer:
    """Returns what delivers pictures."""
    extensions = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}
    return MeasuredDeliverer(
        noun="picture",
        folder="images",
        extensions=extensions,
        measure=lambda path, owner: media.measure(path, owner=owner),
    )


def sound_deliverer(media: MediaTools) -> MeasuredDeliverer:
    """Returns what delivers speech and other sounds."""
    extensions = {
        "audio/mpeg": "mp3",
        "audio/wav": "wav",
        "audio/flac": "flac",
        "audio/ogg": "ogg",
        "audio/mp4": "m4a",
        "audio/aac": "aac",
        # Containers for pictures too: what is in them is found out by measuring.
        "video/mp4": "m4a",
        "video/webm": "webm",
    }

    return MeasuredDeliverer(
        noun="sound",
        folder="audio",
        extensions=extensions,
        measure=lambda path, owner: media.hear(path, owner=owner),
    )
