"""How long a spoken text will probably take."""

import math
import re
from typing import Final

from evergreen_server.film.screenplay.source import squeezed

__all__ = ["LEAST_SECONDS", "longest_seconds", "speech_seconds", "voiced_seconds"]

LEAST_SECONDS: Final = 4.0
"""No scene that follows its speech is shorter."""

_CHARACTERS_PER_SECOND: Final = 14.0
_IDEOGRAPHS_PER_SECOND: Final = 4.5
_STOP_SECONDS: Final = 0.35
_MARGIN: Final = 1.25
"""How much longer than its estimate speech may turn out before a quote would be too low."""

# Chinese, Japanese and Korean: one character is a syllable or more.
_IDEOGRAPH: Final = re.compile(
    "[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U000323af]"
)
# A full stop within a number or a name, as in 3.50, is no pause.
_STOP: Final = re.compile("[.!?…؟۔।]+(?=[\\s\"'”’»)\\]]|$)|[。！？｡]+")  # noqa: RUF001


def speech_seconds(text: str) -> float:
    """Returns the seconds that a voice of 150 words a minute takes, with a pause at each stop; 0 for no text."""
    return voiced_seconds(text) + len(_STOP.findall(squeezed(text))) * _STOP_SECONDS


def voiced_seconds(text: str) -> float:
    """Returns the same without the pauses."""
    spoken = squeezed(text)
    ideographs = len(_IDEOGRAPH.findall(spoken))
    return (len(spoken) - ideographs) / _CHARACTERS_PER_SECOND + ideographs / _IDEOGRAPHS_PER_SECOND


def longest_seconds(estimate: float) -> int:
    """Returns the whole seconds of picture that speech of this estimate may need, for which a quote must reckon."""
    # Rounded first: what arithmetic leaves behind the point must not buy another second.
    return math.ceil(max(LEAST_SECONDS, round(_MARGIN * estimate, 6)))
