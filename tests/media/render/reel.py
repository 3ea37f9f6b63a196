"""Clips, pictures and sounds for films, made of a picture that is known in every size, and what is read of a film."""

import asyncio
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import uuid4

import av
import numpy
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from evergreen_server.media.render.limits import RenderLimits
from evergreen_server.media.render.renderer import Renderer
from evergreen_server.media.render.sound.loudness import Levels, measured
from evergreen_server.ports.rendering import Rendered, RenderOrder, RenderProgress
from evergreen_server.ports.timeline import Profile, Source, Span, Timeline

RATE = 48_000
STEP = 4
"""By how much each frame's mark is brighter than that of the one before."""
OFTEN = RenderLimits(progress_seconds=0.01)
"""So that a test may stop a renderer soon after it began."""
SMALL = Profile(name="small", width=160, height=90)

Rows = NDArray[numpy.uint8]


def scene(width: int, height: int, number: int | None = 0, turn: float = 0.0) -> Rows:
    """A smooth picture, another one for each `turn`, with a grey mark in the middle that tells the frame's number."""
    across, down = numpy.meshgrid((numpy.arange(width) + 0.5) / width, (numpy.arange(height) + 0.5) / height)
    red = 120 + 70 * numpy.sin(math.tau * (across + turn))
    green = 120 + 60 * numpy.cos(math.tau * (down + turn / 2))
    blue = 120 + 70 * numpy.sin(math.tau * (across / 2 + down / 2 + turn))
    made = numpy.stack([red, green, blue], axis=-1)
    if number is None:
        return made.round().astype(numpy.uint8)
    made[height * 3 // 8 : height * 5 // 8, width * 3 // 8 : width * 5 // 8] = 30 + STEP * number
    return made.round().astype(numpy.uint8)


def number_of(picture: Rows) -> int:
    """Reads the mark of a frame."""
    height, width = picture.shape[:2]
    middle = picture[height * 7 // 16 : height * 9 // 16, width * 7 // 16 : width * 9 // 16]
    return round((float(middle.mean()) - 30) / STEP)


def psnr(one: Rows, other: Rows) -> float:
    """How alike two pictures are, in dB. Around the mark, whose edge no two scalers draw alike, is not looked at."""
    height, width = one.shape[:2]
    looked = numpy.ones((height, width), bool)
    looked[height * 5 // 16 : height * 11 // 16, width * 5 // 16 : width * 11 // 16] = False
    error = ((one.astype(float) - other.astype(float))[looked] ** 2).mean()
    return 10 * math.log10(255**2 / max(error, 1e-9))


def clip(
    path: Path,
    *,
    size: tuple[int, int] = (160, 90),
    frames: int = 24,
    fps: int = 24,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    matrix: int = 1,
    turn: float = 0.0,
    marked: bool = True,
    aspect: Fraction | None = None,
    rotated: int = 0,
    tagged: bool = True,
    transfer: int = 1,
    sound: float | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Writes a clip; `sound` is the amplitude of a tone in it. A `rotated` one holds its picture turned back."""
    scaler = VideoReformatter()
    full = pixels.startswith("yuvj")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps, options=options or ({"crf": "8"} if codec == "libx264" else {}))
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        if tagged:
            stream.codec_context.color_primaries = stream.codec_context.colorspace = matrix
            stream.codec_context.color_trc = transfer
            stream.codec_context.color_range = 2 if full else 1
        if aspect is not None:
            stream.sample_aspect_ratio = stream.codec_context.sample_aspect_ratio = aspect
        if rotated:
            stream.set_display_rotation(rotated)
        track = None if sound is None else container.add_stream("aac", rate=RATE, layout="mono")
        for number in range(frames):
            shown = scene(*(size[::-1] if rotated % 180 else size), number if marked else None, turn)
            frame = av.VideoFrame.from_ndarray(numpy.rot90(shown, -rotated // 90).copy(), format="rgb24")
            frame = scaler.reformat(
                frame, format=pixels, dst_colorspace=1 if matrix == 1 else 5, dst_color_range=2 if full else 1
            )
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if track is not None:
            for block in _frames(tone(frames / fps, sound or 0.0)):
                container.mux(track.encode(block))
            container.mux(track.encode())
    return path


def tone(seconds: float, amplitude: float, hertz: float = 440.0) -> NDArray[numpy.float32]:
    times = numpy.arange(round(seconds * RATE)) / RATE
    return (amplitude * numpy.sin(math.tau * hertz * times)).astype(numpy.float32)


def sound(path: Path, samples: NDArray[numpy.float32]) -> Path:
    """Writes one channel of samples, as WAV, MP3 or M4A."""
    codec, form = {".wav": ("pcm_s16le", "s16"), ".mp3": ("libmp3lame", "fltp"), ".m4a": ("aac", "fltp")}[path.suffix]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, layout="mono")
        for frame in _frames(samples, form):
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _frames(samples: NDArray[numpy.float32], form: str = "fltp") -> Iterator[av.AudioFrame]:
    for begin in range(0, len(samples), 960):
        block: NDArray[Any] = samples[None, begin : begin + 960]
        if form == "s16":
            block = (block * 32767).round().astype(numpy.int16)
        frame = av.AudioFrame.from_ndarray(block.copy(), form, "mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, begin, Fraction(1, RATE)
        yield frame


@dataclass
class Cutting:
    """A folder in which films are rendered, and the files that they are made of."""

    folder: Path
    files: dict[str, Path] = field(default_factory=dict)
    renderer: Renderer = field(default_factory=lambda: Renderer(OFTEN))
    progress: list[RenderProgress] = field(default_factory=list)
    caption_font: str = ""

    def __post_init__(self) -> None:
        for name in ("cache", "scratch", "out"):
            (self.folder / name).mkdir(exist_ok=True)

    def source(self, path: Path) -> Source:
        """Makes a file known. Its name stands for its content."""
        self.files[path.name] = path
        return Source(scene_id="scene-1", asset=path.name, sha256=path.name)

    def span(self, path: Path | None, frames: int = 24, **how: Any) -> Span:
        return Span(source=None if path is None else self.source(path), frames=frames, **how)

    def order(self, timeline: Timeline, profile: Profile = SMALL) -> RenderOrder:
        return RenderOrder(
            timeline=timeline,
            profile=profile,
            files=self.files,
            out=self.folder / "out" / f"{uuid4().hex}.mp4",
            cache=self.folder / "cache",
            scratch=self.folder / "scratch",
            caption_font=self.caption_font,
        )

    async def render(self, order: RenderOrder, on_progress: Callable[[RenderProgress], None]) -> Rendered:
        return await self.renderer.render(order, on_progress)

    async def film(self, timeline: Timeline, profile: Profile = SMALL) -> "tuple[Rendered, Film]":
        order, left = self.order(timeline, profile), self.unfinished()
        made = await self.render(order, self.progress.append)
        assert self.unfinished() == left
        return made, await asyncio.to_thread(Film.read, order.out)

    def unfinished(self) -> list[Path]:
        return [*self.folder.glob("scratch/*"), *self.folder.glob("*/*.part")]


@dataclass(frozen=True)
class Film:
    """A finished film, decoded."""

    path: Path
    pictures: list[Rows]
    samples: NDArray[numpy.float32]
    starts: dict[str, Fraction]
    lengths: dict[str, Fraction]

    @classmethod
    def read(cls, path: Path) -> "Film":
        with av.open(str(path)) as container:
            streams = container.streams
            starts = {each.type: each.start_time * each.time_base for each in streams}
            lengths = {each.type: each.duration * each.time_base for each in streams}
            scaler = VideoReformatter()
            pictures = [
                scaler.reformat(frame, format="rgb24", src_colorspace=1, dst_color_range=2).to_ndarray()
                for frame in container.decode(video=0)
            ]
        with av.open(str(path)) as container:
            samples = numpy.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)
        return cls(path=path, pictures=pictures, samples=samples, starts=starts, lengths=lengths)

    @property
    def numbers(self) -> list[int]:
        return [number_of(picture) for picture in self.pictures]

    @property
    def levels(self) -> Levels:
        return measured(self.samples[:, at : at + RATE] for at in range(0, self.samples.shape[1], RATE))

    def loud(self, begin: float, end: float) -> float:
        """The level of a stretch of time, in dB below full scale."""
        part = self.samples[0, round(begin * RATE) : round(end * RATE)].astype(float)
        return 10 * math.log10(max(1e-12, float((part**2).mean())))


def picture_md5s(path: Path) -> list[str]:
    """What `ffmpeg -f framemd5` would say of a clip's pictures."""
    import hashlib

    with av.open(str(path)) as container:
        return [hashlib.md5(frame.to_ndarray().tobytes()).hexdigest() for frame in container.decode(video=0)]


@contextmanager
def opened(path: Path) -> Iterator[av.container.InputContainer]:
    with av.open(str(path)) as container:
        yield container


def of(*spans: Span, **more: Any) -> Timeline:
    return Timeline(spans=tuple(spans), **more)


def texts(path: Path) -> Sequence[tuple[float, float, str]]:
    """Reads the track of captions: from when until when each text is seen."""
    with av.open(str(path)) as container:
        track = container.streams.subtitles[0]
        return [
            (
                float(packet.pts * packet.time_base),
                float((packet.pts + packet.duration) * packet.time_base),
                bytes(packet)[2 : 2 + int.from_bytes(bytes(packet)[:2], "big")].decode(),
            )
            for packet in container.demux(track)
            if packet.size > 2
        ]
