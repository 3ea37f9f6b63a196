"""How long a text takes to say: the rhythm of made-up speech, by its letters and stops."""

import re
from collections.abc import Iterator

__all__ = ["SPOKEN_MOST", "phrases", "spoken_seconds"]

SPOKEN_MOST = 600.0
"""Seconds after which speech ends, however long the text is."""

_PER_LETTER = 0.065
_SHORTEST = 0.3
_PAUSES = {
    **dict.fromkeys(".!?…。！？", 0.4),  # noqa: RUF001 # the stops of Chinese and Japanese
    **dict.fromkeys(":;\n：；", 0.3),  # noqa: RUF001 # as above
    **dict.fromkeys(",、，", 0.2),  # noqa: RUF001 # as above
}
_TAG = re.compile(r"\[[^\[\]]{1,40}\]")
_SYLLABLE_SCRIPTS = 0x2E80
"""From here on a character is about a syllable: Chinese, Japanese, Korean."""


def phrases(text: str, speed: float) -> Iterator[tuple[float, float]]:
    """Yields what is said without a stop: the seconds that it takes, and those of the pause that follows.

    A tag such as [laughs] is not said. At most SPOKEN_MOST seconds are yielded, at least a syllable.
    """
    left, voiced = SPOKEN_MOST, 0.0
    for character in _TAG.sub("", text):
        pause = _PAUSES.get(character)
        if pause is None:
            voiced += _PER_LETTER * (3 if ord(character) >= _SYLLABLE_SCRIPTS else 1)
        elif voiced:
            said, rest = min(voiced / speed, left), min(pause / speed, max(0.0, left - voiced / speed))
            yield said, rest
            left, voiced = left - said - rest, 0.0
        if left <= 0:
            return
    if voiced or left == SPOKEN_MOST:
        yield min(max(voiced, _SHORTEST) / speed, left), 0.0


def spoken_seconds(text: str, speed: float = 1.0) -> float:
    """Returns how long a text takes to say."""
    return sum(voiced + pause for voiced, pause in phrases(text, speed))
