"""Clocks that cannot be set forward."""

from collections.abc import Callable
from datetime import datetime, timedelta


class SteadyClock:
    """A wall clock that runs no faster than the monotonic one: if set forward, it would make new things seem old.

    It follows at once when the clock is set back, and after a restart when the clock was set forward.
    """

    def __init__(self, clock: Callable[[], datetime], *, monotonic: Callable[[], float]) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._now, self._at = clock(), monotonic()

    def __call__(self) -> datetime:
        at = self._monotonic()
        self._now, self._at = min(self._clock(), self._now + timedelta(seconds=at - self._at)), at
        return self._now
