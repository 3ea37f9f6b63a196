"""Reads encoded frames without decoding them: of clips that may be copied, and of pieces that were made."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from evergreen_server.media.clips import Display, display_of, open_container, video_of
from evergreen_server.media.frames import is_hdr
from evergreen_server.media.limits import MediaLimits
from evergreen_server.ports.media import MediaRefused

_LIMITS = MediaLimits()
_NONE = ("none",)
"""One frame is decoded to see what they are, and not another one to open the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What takes must have in common to follow one another in one track."""

    codec: str
    extradata: bytes
    size: tuple[int, int]
    pixels: str
    fps: int
    colours: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """A file of encoded frames at a constant rate, the first of which begins a group."""

    path: Path
    form: Form
    frames: int
    delay: int
    """By how many frames any of them is sent before its turn."""
    begin: int
    """The time of the first, in units of the file's."""
    step: int
    """The length of each, in units of the file's."""


def take_of(path: Path) -> Take | None:
    """Reads a file; None where its frames cannot be copied as they are into a film."""
    try:
        with open_container(path, _LIMITS, decoders=_NONE) as (container, _):
            video = video_of(container, _LIMITS)
            return None if video is None else _take(path, container, video)
    except (av.FFmpegError, MediaRefused):
        return None


def packets(take: Take) -> "Iterator[tuple[Packet[VideoStream], int]]":
    """Yields the packets of a take in the order of their sending, with the numbers of their frames."""
    with open_container(take.path, _LIMITS, decoders=_NONE) as (container, _):
        for packet in container.demux(container.streams.video[0]):
            if packet.size and packet.pts is not None:
                yield packet, (packet.pts - take.begin) // take.step


def _take(path: Path, container: av.container.InputContainer, video: VideoStream) -> Take | None:
    coder, rate, step = video.codec_context, video.average_rate, _step(video)
    if container.streams.video[0] is not video or not rate or rate.denominator != 1 or not step:
        return None
    times, frames, begun = list[int](), list[VideoFrame](), False
    for packet in container.demux(video):
        if not packet.size:
            continue
        if packet.pts is None or packet.is_corrupt or packet.is_discard or not (begun or packet.is_keyframe):
            return None
        if not begun:
            begun = True
            frames = packet.decode()
        times.append(packet.pts)
    begin = min(times, default=0)
    numbers = [divmod(time - begin, step) for time in times]
    if sorted(numbers) != [(number, 0) for number in range(len(numbers))] or begin != (video.start_time or 0):
        return None
    first = next(iter(frames or video.decode()), None)
    plain = Display(width=coder.width, height=coder.height)
    # Where the container does not tell it, the stream may; whoever opens the file knows it by now.
    if coder.sample_aspect_ratio and coder.sample_aspect_ratio != 1:
        return None
    if first is None or display_of(video, first) != plain or is_hdr(video, first) or not coder.extradata:
        return None
    return Take(
        path=path,
        form=Form(
            codec=coder.name,
            extradata=coder.extradata,
            size=(coder.width, coder.height),
            pixels=first.format.name,
            fps=rate.numerator,
            colours=(first.colorspace, first.color_range, first.color_primaries, first.color_trc),
        ),
        frames=len(numbers),
        delay=max(place - number for place, (number, _) in enumerate(numbers)),
        begin=begin,
        step=step,
    )


def _step(video: VideoStream) -> int:
    """Returns the length of a frame in the units of the stream's times; 0 where it is no whole number of them."""
    if not video.average_rate or not video.time_base:
        return 0
    step = 1 / (video.average_rate * video.time_base)
    return step.numerator if step.denominator == 1 else 0
