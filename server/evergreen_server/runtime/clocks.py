"""Clocks that others cannot set forward."""

from collections.abc import Callable
from datetime import datetime, timedelta


class SteadyClock:
    """A wall clock that runs no faster than the monotonic one: set forward, it would make old what is young.

    Where it is set back it follows at once; where it was set forward, when it is made anew.
    """

    def __init__(self, clock: Callable[[], datetime], *, monotonic: Callable[[], float]) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._now, self._at = clock(), monotonic()

    def __call__(self) -> datetime:
        at = self._monotonic()
        self._now, self._at = min(self._clock(), self._now + timedelta(seconds=at - self._at)), at
        return self._now
