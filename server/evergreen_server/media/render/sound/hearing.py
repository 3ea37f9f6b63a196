"""Reads sounds as samples of the film: 48 kHz, stereo, from the moment at which the picture of a clip begins."""

from collections.abc import Generator, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TypeAlias

import av
import numpy
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.container import InputContainer
from numpy.typing import NDArray

from evergreen_server.media.clips import check_codec, open_container, refusal, video_of
from evergreen_server.media.limits import MediaLimits
from evergreen_server.ports.media import MediaRefused

Samples: TypeAlias = NDArray[numpy.float32]
"""Two rows, left and right."""

RATE = 48_000

_LIMITS = MediaLimits()
_BLOCK = RATE // 2
_LATEST = 3600 * RATE
"""The latest beginning that is believed."""
_RATES = (4_000, 768_000)
"""The samples a second of sounds that are taken: of fewer, a single frame could last for hours."""
_DECODERS = ("aac", "mp3float", "mp3", "opus", "vorbis", "flac", "alac")
"""Of sounds whose container does not tell all; no picture is decoded to hear a clip."""
_KEPT = 10 * RATE
"""A sound that is repeated is kept in memory up to this length."""


def has_sound(path: Path) -> bool:
    """Returns whether a file has a sound track. Raises MediaRefused for one that cannot be read at all."""
    try:
        with open_container(path, _LIMITS, decoders=_DECODERS) as (container, _):
            return bool(container.streams.audio)
    except av.FFmpegError as exc:
        raise _broken(exc) from exc


def heard(path: Path) -> Generator[Samples, None, None]:
    """Yields a sound from its beginning to its end, or to where it is damaged. Raises MediaRefused if there is none."""
    made = False
    try:
        with open_container(path, _LIMITS, decoders=_DECODERS) as (container, _):
            if not container.streams.audio:
                raise refusal("the file holds no sound")
            check_codec(sound := container.streams.audio[0])
            _check_rate(sound.rate)
            for block in _decoded(container):
                made = True
                yield block
    except av.FFmpegError as exc:
        if not made:
            raise _broken(exc) from exc
    if not made:
        raise refusal("the file holds no sound")


def repeated(path: Path) -> Generator[Samples, None, None]:
    """Yields a sound again and again, without an end."""
    kept: list[Samples] = []
    length = 0
    for block in heard(path):
        length += block.shape[1]
        if length <= _KEPT:
            kept.append(block)
        yield block
    if length > _KEPT:
        while True:
            yield from heard(path)
    whole = numpy.concatenate(kept, axis=1)
    # A loop of a few samples would else take a step for each round.
    whole = numpy.tile(whole, (1, -(-_BLOCK // length)))
    while True:
        yield whole


def _decoded(container: InputContainer) -> Iterator[Samples]:
    sound, video = container.streams.audio[0], video_of(container, _LIMITS)
    begin = Fraction(0)
    if video is not None and video.start_time is not None and video.time_base is not None:
        begin = video.start_time * video.time_base
    frames = container.decode(sound)
    first = next(frames, None)
    if first is None:
        return
    late = 0
    if video is not None and first.pts is not None and first.time_base is not None:
        late = min(_LATEST, round((first.pts * first.time_base - begin) * RATE))
    for start in range(0, late, _BLOCK):
        yield numpy.zeros((2, min(_BLOCK, late - start)), numpy.float32)
    early = max(0, -late)
    for block in _resampled(chain([first], frames)):
        if block.shape[1] > early:
            yield block[:, early:]
        early = max(0, early - block.shape[1])


def _resampled(frames: Iterator[AudioFrame]) -> Iterator[Samples]:
    """Yields the samples of frames, which may change their form: sounds are joined by appending files."""
    form, resampler = None, AudioResampler(format="fltp", layout="stereo", rate=RATE)
    for frame in frames:
        if form != (form := (frame.format.name, frame.layout.name, frame.sample_rate)):
            yield from map(samples_of, resampler.resample(None))
            _check_rate(frame.sample_rate)
            resampler = AudioResampler(format="fltp", layout="stereo", rate=RATE)
        # Times are not of interest any more, and gaps in them would be of use to nobody.
        frame.pts = None
        yield from map(samples_of, resampler.resample(frame))
    yield from map(samples_of, resampler.resample(None))


def _check_rate(rate: int) -> None:
    if not _RATES[0] <= rate <= _RATES[1]:
        raise refusal(f"the sound has {rate} samples a second; allowed is {_RATES[0]} to {_RATES[1]}")


def samples_of(frame: AudioFrame) -> Samples:
    """Returns the samples of a frame, which has them as floating-point numbers, each channel by itself."""
    return frame.to_ndarray().astype(numpy.float32, copy=False)


def _broken(exc: av.FFmpegError) -> MediaRefused:
    return MediaRefused(f"the sound is broken ({exc.strerror})", reason="MEDIA_REFUSED")
