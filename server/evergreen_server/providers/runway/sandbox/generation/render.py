"""Makes the sandbox's clips, in a process of its own: reads one JSON job per line, answers each with a line.

Run as a file and not as a module of the package, so that a worker loads PyAV, Pillow and NumPy and nothing else.
A worker ends when its standard input does, thus also when the sandbox is killed.
"""

import json
import os
import sys
import zipfile
from collections.abc import Iterator
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps

FRAMES_PER_SECOND = 24
# x264 spends almost nothing on a repeated frame, so a slow zoom drawn in fewer steps costs a fraction.
_FRAMES_PER_STEP = 4
_ZOOM = 0.14
_SAMPLES_PER_SECOND = 48_000
_SAMPLES_AT_ONCE = 1024
_OPTIONS = {"preset": "ultrafast", "crf": "28", "tune": "zerolatency"}


def render(
    *,
    source: str,
    kind: str,
    seed: int,
    width: int,
    height: int,
    seconds: float,
    form: str,
    sound: bool,
    target: str,
) -> None:
    """Writes a clip that pans and zooms over a picture, cropped from the centre to the asked ratio."""
    match kind:
        case "image":
            with Image.open(source) as opened:
                picture = ImageOps.exif_transpose(opened).convert("RGB")
        case "video":
            picture = _frame_of(source)
        case _:
            picture = _gradient(seed)
    canvas = ImageOps.fit(picture, (width, height), Image.Resampling.BILINEAR).convert("YCbCr")
    luma, *chroma = canvas.split()
    planes = [luma, *(plane.resize((width // 2, height // 2), Image.Resampling.BILINEAR) for plane in chroma)]
    unfinished = Path(f"{target}.{os.getpid()}")
    count = max(1, round(seconds * FRAMES_PER_SECOND))
    if form == "frames":
        _write_frames(unfinished, planes, count)
    else:
        _write_clip(unfinished, planes, count, form=form, sound=sound)
    unfinished.rename(target)


def _write_clip(target: Path, planes: list[Image.Image], count: int, *, form: str, sound: bool) -> None:
    container_format = "mp4" if form == "mp4" else "mov"
    with av.open(str(target), "w", format=container_format, options={"movflags": "+faststart"}) as container:
        if form == "prores":
            stream = container.add_stream("prores_ks", rate=FRAMES_PER_SECOND, options={"profile": "proxy"})
            stream.pix_fmt = "yuv422p10le"
        else:
            stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND, options=_OPTIONS)
            stream.pix_fmt = "yuv420p"
        stream.width, stream.height = planes[0].size
        stream.codec_context.thread_count = 1
        hum = container.add_stream("aac", rate=_SAMPLES_PER_SECOND, layout="mono") if sound else None
        for index in range(count):
            if index % _FRAMES_PER_STEP == 0:
                frame = _view(planes, index / count)
            frame.pts = index
            frame.time_base = Fraction(1, FRAMES_PER_SECOND)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if hum is not None:
            for samples in _hum(count / FRAMES_PER_SECOND):
                container.mux(hum.encode(samples))
            container.mux(hum.encode())


def _write_frames(target: Path, planes: list[Image.Image], count: int) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for index in range(count):
            if index % _FRAMES_PER_STEP == 0:
                still = BytesIO()
                pixels = _view(planes, index / count).to_ndarray(format="rgb24")
                Image.fromarray(pixels).save(still, "PNG", compress_level=1)
            archive.writestr(f"frame_{index + 1:06}.png", still.getvalue())


def _hum(seconds: float) -> Iterator[AudioFrame]:
    """Yields a quiet tone, piece by piece."""
    whole = round(seconds * _SAMPLES_PER_SECOND)
    for start in range(0, whole, _SAMPLES_AT_ONCE):
        times = np.arange(start, min(whole, start + _SAMPLES_AT_ONCE)) / _SAMPLES_PER_SECOND
        tone = (0.1 * np.sin(2 * np.pi * 220 * times)).astype(np.float32)
        frame = AudioFrame.from_ndarray(tone[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = _SAMPLES_PER_SECOND, start
        frame.time_base = Fraction(1, _SAMPLES_PER_SECOND)
        yield frame


def probe(*, source: str, kind: str) -> dict[str, float]:
    """Returns a video's size and duration, from its container and first frame; a sound's from its packets."""
    with av.open(source, options={"protocol_whitelist": "file"}) as container:
        if kind == "audio":
            return {"seconds": _sound_seconds(container)}
        if not container.streams.video:
            raise ValueError("no video stream")
        stream = container.streams.video[0]
        if stream.duration is not None and stream.time_base is not None:
            seconds = float(stream.duration * stream.time_base)
        else:
            seconds = (container.duration or 0) / av.time_base
        return {"width": stream.width, "height": stream.height, "seconds": seconds}


def _sound_seconds(container: av.container.InputContainer) -> float:
    if not container.streams.audio:
        raise ValueError("no sound")
    # Not as the header says: speech that was written to a pipe claims hours.
    ends = [
        float((packet.pts + (packet.duration or 0)) * packet.time_base)
        for packet in container.demux(container.streams.audio[0])
        if packet.pts is not None and packet.time_base is not None
    ]
    if not ends:
        raise ValueError("no sound")
    return max(ends)


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


def _frame_of(source: str) -> Image.Image:
    with av.open(source, options={"protocol_whitelist": "file"}) as container:
        frame = next(container.decode(video=0)).to_ndarray(format="rgb24")
        return Image.fromarray(frame)


def _gradient(seed: int) -> Image.Image:
    """Returns a gradient of two colours, the same for the same seed."""
    random = np.random.default_rng(seed)
    start, end = random.integers(32, 224, (2, 3))
    slope: NDArray[np.float64] = np.add.outer(np.linspace(0, 0.5, 180), np.linspace(0, 0.5, 320))[..., None]
    return Image.fromarray((start + (end - start) * slope).astype(np.uint8))


def main() -> None:
    # The sandbox may share its machine, even its process, with what it tests, which goes first.
    os.nice(10)
    # A picture that was accepted by its header must become a clip; a missing rest stays grey.
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    for line in sys.stdin:
        job = json.loads(line)
        answer: dict[str, float | str]
        try:
            if job.pop("work") == "render":
                render(**job)
                answer = {}
            else:
                answer = {**probe(**job)}
        except Exception as exc:
            # The outermost loop: libraries raise anything for a hostile file, and the next job must still run.
            answer = {"error": f"{type(exc).__name__}: {exc}"}
        try:
            print(json.dumps(answer), flush=True)
        except BrokenPipeError:
            # The sandbox is gone: also the interpreter's last flush would fail.
            os._exit(0)


if __name__ == "__main__":
    main()
