"""Finished videos: the frames and the sound of the source in another size, rate or format."""

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.video.frame import VideoFrame

from evergreen_server.providers.runway.rendering.clips import soundtrack
from evergreen_server.providers.runway.rendering.files import LOCAL, whole
from evergreen_server.providers.runway.rendering.footage import SOUND_RATE, with_alpha, write_archive, write_video
from evergreen_server.providers.runway.rendering.job import Job
from evergreen_server.providers.runway.rendering.sounds import decoded, write_sound

__all__ = ["make_finished"]

_USUAL_RATE = Fraction(24)
_COLORIMETRY = {"primaries": "bt2020", "transfer": "linear", "matrix": "rgb"}


def make_finished(job: Job) -> None:
    """Writes the source as asked; with transparency where the source has it and the format can."""
    rate = Fraction(job.frame_rate)
    with whole(job.target) as path:
        if job.form == "exr":
            write_archive(path, _paced(job, rate, keep=True), form="exr", files=_sidecars(job, path))
            return
        clear = job.form == "prores" and _is_clear(job)
        write_video(
            path,
            _paced(job, rate, keep=clear),
            form=job.form,
            size=(job.width, job.height),
            rate=rate,
            sound=soundtrack(job),
            profile="4444" if clear else job.profile,
        )


def _paced(job: Job, rate: Fraction, *, keep: bool) -> Iterator[VideoFrame]:
    """Yields as many frames as the length and the rate make, each the source's at that time."""
    count = max(1, round(job.seconds * rate))
    with av.open(job.source, options=LOCAL) as container:
        stream = container.streams.video[0]
        step = (stream.average_rate or stream.guessed_rate or _USUAL_RATE) / rate
        decoded = enumerate(_readable(container.decode(stream)))
        at, frame = next(decoded)
        shown = _sized(frame, job, keep=keep)
        for index in range(count):
            wanted = int(index * step)
            newer = frame
            while at < wanted and (following := next(decoded, None)) is not None:
                at, newer = following
            if newer is not frame:
                frame, shown = newer, _sized(newer, job, keep=keep)
            if at < wanted:
                # The source has ended early; its last frame stays.
                at = wanted
            yield shown


def _readable(frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    """Yields the frames up to the first that is broken."""
    try:
        yield from frames
    except av.error.FFmpegError:
        return


def _sized(frame: VideoFrame, job: Job, *, keep: bool) -> VideoFrame:
    pixel_format = "yuva444p10le" if keep and with_alpha(frame) else "yuv420p"
    return frame.reformat(width=job.width, height=job.height, format=pixel_format)


def _is_clear(job: Job) -> bool:
    with av.open(job.source, options=LOCAL) as container:
        return with_alpha(next(container.decode(video=0)))


def _sidecars(job: Job, path: Path) -> Iterator[tuple[str, bytes]]:
    yield "colorimetry.json", json.dumps(_COLORIMETRY).encode()
    yield "provenance.json", json.dumps({"generator": "ruby", "source": "sandbox"}).encode()
    if job.sound == "source":
        sound = path.with_suffix(".wav")
        try:
            write_sound(str(sound), "wav", SOUND_RATE, decoded(job.source, rate=SOUND_RATE, seconds=job.seconds))
            yield "audio.wav", sound.read_bytes()
        finally:
            sound.unlink(missing_ok=True)
