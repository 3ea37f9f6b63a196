"""Finds when each part of a spoken text is said, by the pauses in its speech.

Speech takes time by its letters, but no voice is that even: stops of the text are brought to the pauses near them, and
what is between two of them is shared out by letters. Times are first counted without the pauses, as if all were said at
a stretch, since how long a voice pauses tells nothing of how fast it speaks.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from evergreen_server.film.screenplay.speech import voiced_seconds
from evergreen_server.ports.media import Pauses

__all__ = ["times_of"]

_SENTENCE: Final = re.compile("[.!?…؟۔।]+[\"'”’»)\\]]*(?=\\s|$)|[。！？｡]+[」』”’]*")  # noqa: RUF001 # of many scripts
_CLAUSE: Final = re.compile("[,;:،؛]+[\"'”’»)\\]]*(?=\\s|$)|[，、；：]+|[–—]+")  # noqa: RUF001 # of many scripts
_SENTENCE_WORTH, _CLAUSE_WORTH, _OTHER_WORTH = 1.0, 0.6, 0.2
"""How much is gained by a stop that falls on a pause, in seconds by which it may be moved for that."""
_PAUSE_WORTH: Final = 0.5
"""What a pause adds to it at most: its own seconds."""
_FARTHEST: Final = 3.0
"""Seconds from where a stop is expected to the farthest pause that may be its own."""
_NEAR: Final = 5
"""How many stops, or pauses, may be left out between two matches; and how many pauses on each side are tried."""
_EDGE: Final = 0.05
"""Seconds from its ends within which a speech is silent before its first word, and after its last."""


@dataclass(frozen=True, slots=True)
class _Stop:
    """A place in the text: how much of it is said by then, from 0 to 1, and what is gained if a pause is there."""

    said: float
    worth: float
    part: bool
    """A part ends here."""


@dataclass(frozen=True, slots=True)
class _Pause:
    at: float
    """How long was spoken before it."""
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class _Chain:
    """A stop matched with a pause, after others; and what is gained by all of them."""

    gain: float
    stop: int
    pause: _Pause
    before: "_Chain | None"


def times_of(parts: Sequence[str], seconds: float, pauses: Pauses) -> tuple[tuple[float, float], ...]:
    """Returns when each part of a text is said, as start and end in seconds of its speech, which lasts so long.

    Where no pause is between them, parts follow one another without a gap. None overlaps the next.
    """
    begin, end, inner = _trimmed(seconds, pauses)
    spoken = max(0.0, end - begin - sum(pause.end - pause.start for pause in inner))
    stops = list(_stops(parts))
    matched = _match(stops, [stop.said * spoken for stop in stops], inner)
    times, start = [], begin
    for index, (stop, at) in enumerate(zip(stops, _fitted(stops, matched, spoken), strict=True)):
        if stop.part:
            pause = matched.get(index)
            left = max(start, pause.start if pause else begin + at + _paused(inner, at))
            times.append((start, left))
            start = pause.end if pause else left
    return (*times, (start, max(start, end))) if parts else ()


def _trimmed(seconds: float, pauses: Pauses) -> tuple[float, float, list[_Pause]]:
    """Returns when the first word begins and the last one ends, and the pauses between."""
    begin = next((end for start, end in pauses[:1] if start <= _EDGE), 0.0)
    end = next((start for start, end in pauses[-1:] if end >= seconds - _EDGE), seconds)
    if begin >= end:
        return 0.0, seconds, []
    inner, paused = [], 0.0
    for left, right in pauses:
        if begin < left and right < end:
            inner.append(_Pause(left - begin - paused, left, right))
            paused += right - left
    return begin, end, inner


def _stops(parts: Sequence[str]) -> Iterator[_Stop]:
    """Yields the places in a text where a voice may pause, up to the end of the last part but one."""
    whole = sum(map(voiced_seconds, parts)) or 1.0
    said = 0.0
    for index, part in enumerate(parts):
        worth = {len(part): _OTHER_WORTH}
        worth |= {found.end(): _CLAUSE_WORTH for found in _CLAUSE.finditer(part)}
        worth |= {found.end(): _SENTENCE_WORTH for found in _SENTENCE.finditer(part)}
        for end in sorted(worth):
            last = end == len(part)
            if not last or index < len(parts) - 1:
                yield _Stop((said + voiced_seconds(part[:end])) / whole, worth[end], last)
        said += voiced_seconds(part)


def _fitted(stops: Sequence[_Stop], matched: Mapping[int, _Pause], spoken: float) -> Iterator[float]:
    """Yields how long is spoken until each stop: by letters, from one matched stop to the next."""
    knots = [(0.0, 0.0), *((stops[index].said, matched[index].at) for index in sorted(matched)), (1.0, spoken)]
    place = 0
    for stop in stops:
        while place + 2 < len(knots) and knots[place + 1][0] < stop.said:
            place += 1
        (said, at), (then, until) = knots[place], knots[place + 1]
        yield at + (until - at) * (stop.said - said) / max(then - said, 1e-9)


def _match(stops: Sequence[_Stop], expected: Sequence[float], pauses: Sequence[_Pause]) -> Mapping[int, _Pause]:
    """Returns the stops at which the voice pauses, in their order, so that as much as possible is gained.

    From one matched stop to the next, what the speech takes more or less than expected is lost.
    """
    ats = [pause.at for pause in pauses]
    chains: list[dict[int, _Chain]] = []
    """By stop and by number of a pause, the best that ends in that match."""
    best: _Chain | None = None
    for index, (stop, at) in enumerate(zip(stops, expected, strict=True)):
        middle = bisect_left(ats, at)
        near = range(max(0, middle - _NEAR), min(len(pauses), middle + _NEAR))
        chains.append({})
        for number in (number for number in near if abs(ats[number] - at) < _FARTHEST):
            pause = pauses[number]
            worth = stop.worth + min(pause.end - pause.start, _PAUSE_WORTH)
            gain, before = worth - abs(pause.at - at), None
            for earlier in range(max(0, index - _NEAR), index):
                for chain in (chains[earlier].get(other) for other in range(number - _NEAR, number)):
                    if chain:
                        lost = abs(pause.at - chain.pause.at - (at - expected[earlier]))
                        if chain.gain + worth - lost > gain:
                            gain, before = chain.gain + worth - lost, chain
            chains[index][number] = found = _Chain(gain, index, pause, before)
            best = found if gain > (best.gain if best else 0.0) else best
    matched = {}
    while best:
        matched[best.stop], best = best.pause, best.before
    return matched


def _paused(pauses: Sequence[_Pause], at: float) -> float:
    return sum(pause.end - pause.start for pause in pauses if pause.at < at)
