"""Reads the clips of a film: frame by frame as they are shown, in the film's rate."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
from av.video.frame import VideoFrame

from evergreen_server.media.clips import Display, display_of, open_container, refusal, video_of
from evergreen_server.media.frames import is_hdr
from evergreen_server.media.limits import MediaLimits
from evergreen_server.ports.media import MediaRefused

_LIMITS = MediaLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Footage:
    """A clip that is being decoded."""

    shown: Display
    frames: Iterator[tuple[Fraction, VideoFrame]]
    """Its frames, with their times in seconds from the first one. Raises MediaRefused where it is broken."""


@contextmanager
def footage(path: Path) -> Iterator[Footage]:
    """Opens a clip. Raises MediaRefused where it cannot be decoded, or is HDR."""
    with _faults(), open_container(path, _LIMITS) as (container, _):
        video = video_of(container, _LIMITS)
        if video is None:
            raise refusal("the file holds no video")
        decoded = container.decode(video)
        first = next(decoded, None)
        if first is None:
            raise refusal("no frame of the video can be decoded")
        if is_hdr(video, first):
            raise refusal("the video is HDR, which is not converted")
        rate = video.average_rate or video.guessed_rate or Fraction(24)
        yield Footage(shown=display_of(video, first), frames=_timed(chain([first], decoded), rate))


def seconds_of(path: Path, enough: Fraction) -> Fraction:
    """Returns how long a clip's picture is, by its packets, read until it is long enough. Raises MediaRefused."""
    begin, end = None, Fraction(0)
    with _faults(), open_container(path, _LIMITS) as (container, _):
        video = video_of(container, _LIMITS)
        for packet in container.demux(video) if video is not None else ():
            if packet.pts is not None:
                at = packet.pts * packet.time_base
                begin = at if begin is None else min(begin, at)
                end = max(end, at + (packet.duration or 0) * packet.time_base)
                if end - begin >= enough:
                    break
    return end - (begin or 0)


def paced(frames: Iterator[tuple[Fraction, VideoFrame]], fps: int) -> Iterator[VideoFrame]:
    """Yields the frames that are seen at a constant rate: each time the last one whose rounded time has come.

    A frame that is seen for longer is yielded several times, as the same object.
    """
    waiting: VideoFrame | None = None
    number = 0
    for time, frame in frames:
        due = math.floor(time * fps + Fraction(1, 2))
        while waiting is not None and number < due:
            yield waiting
            number += 1
        waiting = frame
    if waiting is not None:
        yield waiting


def _timed(frames: Iterator[VideoFrame], rate: Fraction) -> Iterator[tuple[Fraction, VideoFrame]]:
    begin: Fraction | None = None
    last = Fraction(0)
    with _faults():
        for number, frame in enumerate(frames):
            if frame.pts is None or frame.time_base is None:
                time = last + (1 / rate if number else 0)
            else:
                at = frame.pts * frame.time_base
                begin = at if begin is None else begin
                time = at - begin
            last = max(last, time)
            yield last, frame


@contextmanager
def _faults() -> Iterator[None]:
    """Turns what FFmpeg raises while it reads into what is told of the file."""
    try:
        yield
    except av.MemoryError:
        raise
    except av.FFmpegError as exc:
        raise MediaRefused(f"the video is broken ({exc.strerror})", reason="MEDIA_REFUSED") from exc
