"""Mixes all that is heard in a film, block by block, from files that are open only while they are heard."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy
from numpy.typing import NDArray

from evergreen_server.media.render.sound.hearing import RATE, Samples, has_sound, heard, repeated
from evergreen_server.media.render.sound.loudness import Levels, Meter, measured
from evergreen_server.ports.media import MediaRefused
from evergreen_server.ports.rendering import RenderRefused
from evergreen_server.ports.timeline import Heard, Sound

_BLOCK = RATE // 2
_SPEECH_LUFS = -19.0
"""What each line of speech is brought to."""
_MOST_GAIN = 30.0
_AT_REST = {Heard.SPEECH: 0.0, Heard.CLIP: 0.0, Heard.EFFECT: 0.0, Heard.MUSIC: -20.0}
_UNDER_SPEECH = {Heard.SPEECH: 0.0, Heard.CLIP: -8.0, Heard.EFFECT: -8.0, Heard.MUSIC: -12.0}
"""Both in dB, the second beside the first."""
_BEFORE, _AFTER = 0.25, 0.6
"""In how many seconds other sounds go down before speech, and come back after it."""
_MOST_AT_ONCE = 64
_FADES = {Heard.MUSIC: 1.0}
_FADE = 0.005
"""In how many seconds a sound that is cut off fades out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A sound at its place, in samples."""

    sound: Sound
    index: int
    path: Path
    start: int
    end: int
    gain: float


def mix(sounds: Sequence[Sound], files: Mapping[str, Path], total: int, raw: Path) -> Levels:
    """Writes a mix of so many samples, interleaved, into a file; returns its levels.

    Raises RenderRefused for a sound that cannot be heard. A clip without sound is silent.
    """
    parts, spoken = _placed(sounds, files, total)
    meter = Meter()
    with raw.open("wb") as file:
        for block in _blocks(parts, spoken, total):
            meter.add(block)
            file.write(numpy.ascontiguousarray(block.T).tobytes())
    return meter.levels()


def _placed(
    sounds: Sequence[Sound], files: Mapping[str, Path], total: int
) -> tuple[list[_Part], list[tuple[float, float]]]:
    """Returns the parts in the order of their starts, and when there is speech, in seconds."""
    parts: list[_Part] = []
    spoken: list[tuple[float, float]] = []
    # Sounds are in the order of their starts, so that of a line said again no more is heard than the first time.
    lines: dict[str, tuple[float, int]] = {}
    for index, sound in enumerate(sounds):
        path, start, gain = files[sound.source.sha256], round(sound.start * RATE), _AT_REST[sound.heard]
        end = total if sound.seconds is None else min(total, start + round(sound.seconds * RATE))
        if start >= end:
            continue
        with _named(index):
            if sound.heard is Heard.CLIP and not has_sound(path):
                continue
            if sound.heard is Heard.SPEECH:
                if sound.source.sha256 not in lines:
                    lines[sound.source.sha256] = _line(path, end - start)
                louder, length = lines[sound.source.sha256]
                gain += louder
                end = min(end, start + length)
                spoken.append((start / RATE, end / RATE))
        parts.append(_Part(sound=sound, index=index, path=path, start=start, end=end, gain=gain))
    return sorted(parts, key=lambda part: part.start), sorted(spoken)


def _line(path: Path, most: int) -> tuple[float, int]:
    """Returns by how much a line of speech is made louder, and its length, as far as so many samples are heard."""
    length = 0

    def counted() -> Iterator[Samples]:
        nonlocal length
        with closing(heard(path)) as blocks:
            for block in blocks:
                yield block[:, : most - length]
                length += block.shape[1]
                if length >= most:
                    return

    lufs = measured(counted()).lufs
    return 0.0 if lufs is None else min(_MOST_GAIN, _SPEECH_LUFS - lufs), length


def _blocks(parts: Sequence[_Part], spoken: Sequence[tuple[float, float]], total: int) -> Iterator[Samples]:
    waiting, voices, speech = deque(parts), list[_Voice](), numpy.array(spoken).reshape(-1, 2)
    try:
        for begin in range(0, total, _BLOCK):
            block = numpy.zeros((2, min(_BLOCK, total - begin)), numpy.float32)
            while waiting and waiting[0].start < begin + block.shape[1]:
                voices.append(_Voice(waiting.popleft()))
                if len(voices) > _MOST_AT_ONCE:
                    text = f"more than {_MOST_AT_ONCE} sounds are heard at once"
                    raise RenderRefused(text, code="RENDER_FAILED", sound=voices[-1].part.index)
            under = _under(speech, begin, block.shape[1])
            for voice in voices:
                voice.add_to(block, begin, under)
            voices = [voice for voice in voices if not voice.over]
            yield block
    finally:
        for voice in voices:
            voice.close()


def _under(speech: NDArray[numpy.float64], begin: int, length: int) -> NDArray[numpy.float64] | None:
    """Returns how far each sample lies under speech, from 0 to 1; None where none does."""
    times = (begin + numpy.arange(length)) / RATE
    near = speech[(speech[:, 0] - _BEFORE < times[-1]) & (speech[:, 1] + _AFTER > times[0])]
    if not near.size:
        return None
    depth = numpy.zeros(length)
    for start, end in near:
        line = (start - _BEFORE, start, end, end + _AFTER)
        numpy.maximum(depth, numpy.interp(times, line, (0.0, 1.0, 1.0, 0.0)), out=depth)
    return depth


class _Voice:
    """One sound while it is heard."""

    def __init__(self, part: _Part) -> None:
        self.part = part
        self.over = False
        self._source = (repeated if part.sound.loop else heard)(part.path)
        self._rest = numpy.zeros((2, 0), numpy.float32)

    def add_to(self, block: Samples, begin: int, under: NDArray[numpy.float64] | None) -> None:
        """Adds what is heard in a block that begins with this sample."""
        part = self.part
        first, last = max(part.start, begin) - begin, min(part.end, begin + block.shape[1]) - begin
        levels: float | NDArray[numpy.float64] = part.gain
        if under is not None:
            levels = part.gain + _UNDER_SPEECH[part.sound.heard] * under[first:last]
        gain = numpy.broadcast_to(10 ** (numpy.asarray(levels) / 20), max(0, last - first))
        fade = round(_FADES.get(part.sound.heard, _FADE) * RATE)
        left = part.end - begin - numpy.arange(first, last)
        gain = (gain * numpy.minimum(1.0, left / fade)).astype(numpy.float32)
        at = first
        with _named(part.index):
            while at < last and not self.over:
                if not self._rest.shape[1]:
                    found = next(self._source, None)
                    self.over = found is None
                    self._rest = self._rest if found is None else found
                    continue
                piece = self._rest[:, : last - at]
                self._rest = self._rest[:, piece.shape[1] :]
                block[:, at : at + piece.shape[1]] += piece * gain[at - first : at - first + piece.shape[1]]
                at += piece.shape[1]
        if part.end <= begin + block.shape[1] or self.over:
            self.close()

    def close(self) -> None:
        """Closes its file."""
        self.over = True
        self._source.close()


@contextmanager
def _named(index: int) -> Iterator[None]:
    """Says which sound it is that cannot be heard."""
    try:
        yield
    except MediaRefused as exc:
        raise RenderRefused(str(exc), code="CLIP_UNSUPPORTED", sound=index) from exc
