"""How many frames each shot of a film is seen for.

Every place is reckoned from the start of the film, so that what is rounded never adds up.
"""

import math
from collections.abc import Sequence
from typing import Final

__all__ = ["Pace"]

_HAIR: Final = 1e-6
"""Of a frame, which arithmetic leaves behind the point."""
_OVER_SECONDS: Final = 0.1
"""How far speech may reach into the next scene, whose own begins later than that. Without it each scene would end with
a frame that no plan has, and a film of many scenes would drift."""


class Pace:
    """Counts the frames of scenes, one after another, at a rate of whole frames a second."""

    def __init__(self, fps: int) -> None:
        self._fps = fps
        self._seconds = 0.0
        """How long the scenes so far are, before they are rounded to frames."""
        self.frames = 0

    @property
    def seconds(self) -> float:
        """Returns where the next scene begins, which is at a whole frame."""
        return self.frames / self._fps

    def scene(self, shots: Sequence[tuple[float, float | None]], *, speech: float) -> list[int]:
        """Returns the frames of the shots of the next scene, each at least one.

        Shots are the seconds that each is to be seen, and those of its clip; None for a still picture. The scene lasts
        until `speech`, in seconds from its start, is over but for a frame: for that more of clips is seen that are
        longer than their shots, from the last one on, and then the last picture is held.
        """
        first, last = self.frames, self._seconds + speech
        counts: list[int] = []
        for seconds, _ in shots:
            self._seconds += seconds
            counts.append(max(1, self._round(self._seconds) - self.frames))
            self.frames += counts[-1]
        self._seconds = max(self._seconds, last)
        missing = max(self._round(self._seconds), first + self._within(speech - _OVER_SECONDS)) - self.frames
        self.frames += max(0, missing)
        for index in reversed(range(len(shots))):
            clip = math.floor((shots[index][1] or 0.0) * self._fps + _HAIR)
            more = max(0, min(missing, clip - counts[index]))
            counts[index] += more
            missing -= more
        counts[-1] += max(0, missing)
        return counts

    def until(self, seconds: float) -> int:
        """Adds what is missing until a moment of the film, and returns how many frames that are."""
        missing = max(0, self._within(seconds) - self.frames)
        self.frames += missing
        return missing

    def _within(self, seconds: float) -> int:
        """Returns how many frames hold all of these seconds."""
        return math.ceil(seconds * self._fps - _HAIR)

    def _round(self, seconds: float) -> int:
        return math.floor(seconds * self._fps + 0.5)
