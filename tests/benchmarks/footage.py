"""Clips and sounds for benchmarks of films: a picture with texture that moves, a voice, a bed of music."""

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy
from numpy.typing import NDArray

RATE = 48_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How a clip is stored."""

    size: tuple[int, int] = (1280, 720)
    fps: int = 24
    codec: str = "libx264"
    pixels: str = "yuv420p"
    rotated: int = 0
    aspect: Fraction | None = None
    options: tuple[tuple[str, str], ...] = (("crf", "18"), ("preset", "veryfast"))
    ending: str = "mp4"


ALIKE = Form()
DIFFERING = (
    ALIKE,
    Form(size=(1920, 1080), fps=30),
    Form(size=(720, 1280)),
    Form(size=(640, 360), fps=25),
    Form(size=(960, 720), aspect=Fraction(4, 3)),
    Form(fps=60),
    Form(size=(720, 1280), rotated=90),
    Form(codec="libx265", pixels="yuv420p10le", options=(("x265-params", "log-level=none"), ("preset", "ultrafast"))),
    Form(codec="mjpeg", pixels="yuvj420p", options=(("qmin", "3"), ("qmax", "3")), ending="mov"),
    Form(codec="mpeg4", options=(("qmin", "3"), ("qmax", "3"))),
)


def clip(path: Path, form: Form, seconds: float, number: int) -> Path:
    """Writes a clip with a sound; each number makes another one."""
    path = path.with_suffix(f".{form.ending}")
    texture = numpy.random.default_rng(number).normal(0, 12, (form.size[1], form.size[0], 1))
    across = numpy.arange(form.size[0]) / form.size[0]
    shades = [120 + 70 * numpy.sin(math.tau * (across + number / 10 + part / 3)) for part in range(3)]
    base = (numpy.stack(shades, axis=-1)[None] + texture).clip(0, 255).astype(numpy.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(form.codec, rate=form.fps, options=dict(form.options))
        stream.width, stream.height, stream.pix_fmt = *form.size, form.pixels
        if form.aspect is not None:
            stream.sample_aspect_ratio = stream.codec_context.sample_aspect_ratio = form.aspect
        if form.rotated:
            stream.set_display_rotation(form.rotated)
        track = container.add_stream("aac", rate=RATE, layout="stereo")
        for count in range(round(seconds * form.fps)):
            moved = numpy.roll(base, 3 * count, axis=1)
            frame = av.VideoFrame.from_ndarray(moved, format="rgb24").reformat(format=form.pixels)
            frame.pts, frame.time_base = count, Fraction(1, form.fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        _encode(container, track, voice(seconds, number))
    return path


def sound(path: Path, samples: NDArray[numpy.float32]) -> Path:
    """Writes a sound as MP3."""
    with av.open(str(path), "w") as container:
        _encode(container, container.add_stream("libmp3lame", rate=RATE, layout="stereo"), samples)
    return path


def voice(seconds: float, number: int) -> NDArray[numpy.float32]:
    """Syllables of a voice with stops, another pitch for each number."""
    times = numpy.arange(round(seconds * RATE)) / RATE
    shape = numpy.exp(-12 * (times % 0.25)) * (times % 2 < 1.7)
    tone: Any = sum(numpy.sin(math.tau * (110 + 7 * number) * part * times) / part for part in range(1, 12))
    return (0.1 * shape * tone).astype(numpy.float32)


def music(seconds: float) -> NDArray[numpy.float32]:
    times = numpy.arange(round(seconds * RATE)) / RATE
    chord: Any = sum(numpy.sin(math.tau * hertz * times) for hertz in (220, 277.2, 329.6))
    return (0.2 * chord).astype(numpy.float32)


def _encode(container: Any, track: Any, samples: NDArray[numpy.float32]) -> None:
    for begin in range(0, len(samples), 1152):
        block = numpy.stack([samples[begin : begin + 1152]] * 2)
        frame = av.AudioFrame.from_ndarray(block, "fltp", "stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE, begin, Fraction(1, RATE)
        container.mux(track.encode(frame))
    container.mux(track.encode())
