"""Clips: a slow pan and zoom over one picture, with the sound that was asked for."""

from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
from av.video.frame import VideoFrame
from PIL import Image, ImageOps

from evergreen_server.providers.runway.rendering.files import LOCAL, whole
from evergreen_server.providers.runway.rendering.footage import SOUND_RATE, write_archive, write_video
from evergreen_server.providers.runway.rendering.job import Job
from evergreen_server.providers.runway.rendering.pictures import gradient, opened
from evergreen_server.providers.runway.rendering.sounds import Samples, decoded, fitted, hum, speech

__all__ = ["make_clip", "soundtrack"]

# x264 spends almost nothing on a repeated frame, so a slow zoom drawn in fewer steps costs a fraction.
_FRAMES_PER_STEP = 4
_ZOOM = 0.14


def make_clip(job: Job) -> None:
    """Writes a clip that pans and zooms over a picture, cropped from the centre to the asked ratio."""
    rate = Fraction(job.frame_rate)
    canvas = ImageOps.fit(_picture(job), (job.width, job.height), Image.Resampling.BILINEAR).convert("YCbCr")
    luma, *chroma = canvas.split()
    planes = [luma, *(plane.resize((job.width // 2, job.height // 2), Image.Resampling.BILINEAR) for plane in chroma)]
    frames = _panned(planes, max(1, round(job.seconds * rate)))
    with whole(job.target) as path:
        if job.form in ("frames", "exr"):
            write_archive(path, frames, form=job.form)
            return
        write_video(
            path,
            frames,
            form=job.form,
            size=(job.width, job.height),
            rate=rate,
            sound=soundtrack(job),
            profile=job.profile,
        )


def soundtrack(job: Job) -> Iterator[Samples] | None:
    """Returns the samples of a clip's sound, as long as the clip; None for a silent one."""
    match job.sound:
        case "":
            return None
        case "hum":
            return hum(job.seconds, SOUND_RATE)
        case "speech":
            said = speech(job.text, speed=job.speed, pitch=job.pitch, loudness=job.loudness, rate=SOUND_RATE)
            return fitted(said, SOUND_RATE, job.seconds)
        case "source":
            return decoded(job.source, rate=SOUND_RATE, seconds=job.seconds)
        case "reference":
            return decoded(job.references[0], rate=SOUND_RATE, seconds=job.seconds)


def _picture(job: Job) -> Image.Image:
    match job.kind:
        case "image":
            return opened(job.source)
        case "video":
            with av.open(job.source, options=LOCAL) as container:
                return Image.fromarray(next(container.decode(video=0)).to_ndarray(format="rgb24"))
        case _:
            return gradient(job.seed)


def _panned(planes: list[Image.Image], count: int) -> Iterator[VideoFrame]:
    for index in range(count):
        if index % _FRAMES_PER_STEP == 0:
            frame = _view(planes, index / count)
        yield frame


def _view(planes: list[Image.Image], part: float) -> VideoFrame:
    """Returns what the camera sees at a fraction of the clip's time."""
    inset = _ZOOM * part / 2
    width, height = planes[0].size
    frame = VideoFrame(width, height, "yuv420p")
    for target, plane in zip(frame.planes, planes, strict=True):
        wide, high = plane.size
        box = (wide * inset * 0.6, high * inset, wide * (1 - inset * 1.4), high * (1 - inset))
        rows = np.zeros((high, target.line_size), np.uint8)
        rows[:, :wide] = np.asarray(plane.resize(plane.size, Image.Resampling.BILINEAR, box=box))
        target.update(rows.tobytes())
    return frame
