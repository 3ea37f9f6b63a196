"""Captions of what is said, timed by its pauses, and of what a script wants to stand on the screen."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from evergreen_server.film.cut.aligning import times_of
from evergreen_server.film.cut.wrapping import COLUMNS, MOST_COLUMNS, columns_of, lines_of, parts_of, readable, together
from evergreen_server.film.screenplay.sentences import sentences_of
from evergreen_server.film.screenplay.speech import speech_seconds
from evergreen_server.ports.media import Pauses
from evergreen_server.ports.timeline import Caption

__all__ = ["Spoken", "on_screen", "spoken"]

_LEAST_SECONDS: Final = 1.0
_MOST_SECONDS: Final = 7.0
_AIM_SECONDS: Final = 6.0
"""What a part of a text is made for, since a voice may take longer for one part than for another."""
_GAP_SECONDS: Final = 0.5
"""A caption stays until the next one where they would be no farther apart: a flicker draws the eye."""
_DASH: Final = "- "
_HAIR: Final = 1e-6
"""Of a millisecond, which arithmetic takes away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """One line of speech, in seconds from the start of the film."""

    text: str
    start: float
    seconds: float
    pauses: Pauses = ()
    """Measured in the speech, from its own start."""


@dataclass(frozen=True, slots=True)
class _Cue:
    """What is shown at once, and when it is said."""

    start: float
    end: float
    lines: tuple[str, ...]
    speech: int
    """The number of the line that it belongs to."""


def spoken(lines: Iterable[Spoken], *, language: str, end: float) -> tuple[Caption, ...]:
    """Returns the captions of lines in their order, none of which overlaps another, up to the end of the film.

    Each is shown for 1 to 7 seconds; for less only where so little time is between it and the next, or the end.
    """
    cues = list(_joined(cue for index, line in enumerate(lines) for cue in _cues(line, index, language)))
    return tuple(_placed(cues, end))


def on_screen(texts: Sequence[str], *, start: float, seconds: float) -> tuple[Caption, ...]:
    """Returns the captions of texts that share a scene, which begins at `start` and lasts so long; at the top.

    Each is shown for at most 7 seconds, and for less than one only where the scene is too short for so many.
    """
    parts = [part for text in texts for part in _screen_parts(text)]
    weights = [max(_LEAST_SECONDS, sum(map(speech_seconds, part))) for part in parts]
    cues, said = [], 0.0
    for part, weight in zip(parts, weights, strict=True):
        begin = start + seconds * said / sum(weights)
        said += weight
        cues.append(_Cue(begin, start + seconds * said / sum(weights), part, 0))
    return tuple(replace(caption, top=True) for caption in _placed(cues, start + seconds))


def _cues(line: Spoken, index: int, language: str) -> Iterator[_Cue]:
    text = readable(line.text)
    seconds = speech_seconds(text)
    if not seconds:
        return
    # By the measured speech, since a slow voice must not hold a caption for longer than it may be shown.
    slower = max(1.0, line.seconds / seconds)
    parts = list(_parts(text, language, slower))
    for part, (start, end) in zip(parts, times_of(parts, line.seconds, line.pauses), strict=True):
        yield _Cue(line.start + start, line.start + end, lines_of(part), index)


def _parts(text: str, language: str, slower: float) -> Iterator[str]:
    """Yields sentences, or parts of long ones; what is too short to be read goes with what comes before or after."""
    held = ""
    for sentence in sentences_of(text, language):
        both = together(held, sentence)
        brief = min(speech_seconds(held), speech_seconds(sentence)) * slower < _LEAST_SECONDS
        if held and not (brief and _is_one(both, slower)):
            yield from _divided(held, slower)
            held = sentence
        else:
            held = both
    yield from _divided(held, slower)


def _divided(text: str, slower: float) -> Iterator[str]:
    columns = _AIM_SECONDS * columns_of(text) / (speech_seconds(text) * slower) if text else MOST_COLUMNS
    return parts_of(text, min(MOST_COLUMNS, max(1, int(columns))))


def _is_one(text: str, slower: float) -> bool:
    return len(list(_divided(text, slower))) == 1


def _screen_parts(text: str) -> Iterator[tuple[str, ...]]:
    """Yields what of a text stands on the screen at once: its own lines, two by two, where they are short."""
    own = [line for line in map(readable, text.splitlines()) if line]
    while own:
        if len(own) > 1 and all(columns_of(line) <= COLUMNS for line in own[:2]):
            yield own[0], own[1]
            own = own[2:]
        else:
            yield from map(lines_of, parts_of(own[0]))
            own = own[1:]


def _joined(cues: Iterable[_Cue]) -> Iterator[_Cue]:
    """Yields cues; two of one line each as one, where the first would be replaced before it is read."""
    held: _Cue | None = None
    for cue in cues:
        if held and cue.start - held.start < _LEAST_SECONDS and (lines := _both(held, cue)):
            yield _Cue(held.start, cue.end, lines, cue.speech)
            held = None
        else:
            if held:
                yield held
            held = cue
    if held:
        yield held


def _both(first: _Cue, second: _Cue) -> tuple[str, ...]:
    """Returns the lines of two cues, with dashes if different lines are spoken; none if they do not fit."""
    lines = first.lines + second.lines
    if first.speech != second.speech:
        lines = tuple(_DASH + line for line in lines)
    return lines if len(lines) == 2 and all(columns_of(line) <= COLUMNS for line in lines) else ()


def _placed(cues: Sequence[_Cue], end: float) -> Iterator[Caption]:
    for index, cue in enumerate(cues):
        follows = min(cues[index + 1].start if index + 1 < len(cues) else end, end)
        until = max(cue.end, cue.start + _LEAST_SECONDS)
        if follows - until < _GAP_SECONDS and index + 1 < len(cues):
            until = follows
        start, until = _milliseconds(cue.start), _milliseconds(min(until, follows, cue.start + _MOST_SECONDS))
        if start < until:
            yield Caption(start=start, end=until, lines=cue.lines)


def _milliseconds(seconds: float) -> float:
    """Returns a time in whole milliseconds, as subtitles have it; never later, since the film may end then."""
    return math.floor(seconds * 1000 + _HAIR) / 1000
