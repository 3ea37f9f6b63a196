"""Finds the pauses of speech, by which captions are timed: providers tell no times of words.

A pause is what is far quieter than the speech itself, so neither loudness nor a little noise changes what is found.
"""

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain, groupby
from pathlib import Path
from typing import Final

import av

from evergreen_server.media.clips import refusal
from evergreen_server.media.limits import MediaLimits
from evergreen_server.media.sounds import open_sound
from evergreen_server.ports.media import MAX_PAUSES, Pauses

_RATE: Final = 16_000
_BLOCK: Final = _RATE // 200
"""Samples of one block, of 5 ms."""
_BLOCK_SECONDS: Final = _BLOCK / _RATE
_LONGEST_SECONDS: Final = 3_600
"""What comes later is not looked at: no film is longer."""

_LOUD_PART: Final = 0.1
"""As loud as the speech is what this part of all sound exceeds."""
_BELOW_SPEECH: Final = 28
"""How many decibels a pause is quieter than the speech. Within a word, consonants are some 20 quieter."""
_SILENT: Final = 20
"""Decibels above the least difference of two samples; what is nowhere louder is no speech."""
_LEAST_BLOCKS: Final = 20
"""A pause lasts at least 0.1 s; a consonant may be silent for less."""
_CLICK_BLOCKS: Final = 4
"""A sound within a pause that lasts no longer is a click, not a word."""


def find(path: Path, limits: MediaLimits) -> Pauses:
    """Returns the pauses of a sound in their order, with the silence at its ends; at most MAX_PAUSES, the longest.

    Blocks; raises MediaRefused for what is no sound alone. What follows damage is left out, as players do.
    """
    levels = array("B")
    with open_sound(path, limits) as (container, sound, content_type), suppress(av.FFmpegError):
        for block in _blocks(container.decode(sound)):
            levels.append(_decibels(block))
            if len(levels) * _BLOCK_SECONDS >= _LONGEST_SECONDS:
                break
    if not levels:
        raise refusal(f"the file is broken or truncated ({content_type})")
    found = sorted(_quiet(levels), key=lambda pause: pause[0] - pause[1])[:MAX_PAUSES]
    return tuple((round(start * _BLOCK_SECONDS, 3), round(end * _BLOCK_SECONDS, 3)) for start, end in sorted(found))


def _blocks(frames: Iterable[av.AudioFrame]) -> Iterator["array[int]"]:
    resampler, held = av.AudioResampler(format="s16", layout="mono", rate=_RATE), array("h")
    for frame in chain(frames, [None]):
        if frame:
            # Gaps between timestamps would be filled; the times of a caption count what is heard.
            frame.pts = None
        for piece in resampler.resample(frame):
            held.frombytes(bytes(piece.planes[0])[: 2 * piece.samples])
        whole = len(held) - len(held) % _BLOCK
        for start in range(0, whole, _BLOCK):
            yield held[start : start + _BLOCK]
        held = held[whole:]
    if held:
        yield held


def _decibels(block: "array[int]") -> int:
    """Returns how far apart the samples of a block are, which a constant offset does not change: 0 to 97."""
    return round(20 * math.log10(max(1, max(block) - min(block))))


def _quiet(levels: "array[int]") -> Iterator[tuple[int, int]]:
    """Yields the first block of each pause, and the one after its last."""
    most = _speech_level(levels) - _BELOW_SPEECH
    start = end = at = 0
    for quiet, blocks in groupby(levels, lambda level: level <= most):
        begins, at = at, at + sum(1 for _ in blocks)
        if quiet:
            end = at
        elif at - begins > _CLICK_BLOCKS:
            if end - start >= _LEAST_BLOCKS:
                yield start, end
            start = end = at
    if end - start >= _LEAST_BLOCKS:
        yield start, end


def _speech_level(levels: "array[int]") -> int:
    """Returns the level that a tenth of what is heard at all exceeds."""
    counts = Counter(level for level in levels if level > _SILENT)
    exceeding = _LOUD_PART * counts.total()
    for level in sorted(counts, reverse=True):
        exceeding -= counts[level]
        if exceeding < 0:
            return level
    return _SILENT + _BELOW_SPEECH
