"""Simulated time: the real clock, stretched by a speed and moved by hand, never backwards."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

LATEST = 32_503_680_000.0
"""The year 3000, where time stops: times of tasks are later, and must still be valid dates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """A time known on both clocks, and the simulated seconds per real second since then."""

    real: float
    simulated: float
    speed: float

    def at(self, real: float) -> float:
        return self.simulated + max(0.0, real - self.real) * self.speed


class SimulatedClock:
    """Returns simulated seconds since the epoch. A speed of 0 freezes it, so that only `advance` moves it."""

    def __init__(self, *, real: Callable[[], float], speed: float, resumed: Anchor | None = None) -> None:
        check_speed(speed)
        now = real()
        self._real = real
        self._latest = now if resumed is None else resumed.at(now)
        self.anchor = Anchor(real=now, simulated=self._latest, speed=speed)

    def now(self) -> float:
        # The real clock may be set back; replaying the journal needs times that never decrease.
        self._latest = max(self._latest, min(self.anchor.at(self._real()), LATEST))
        return self._latest

    def advance(self, seconds: float) -> Anchor:
        """Moves simulated time forward at once. Returns the new anchor."""
        if seconds < 0:
            raise ValueError("time cannot be moved back")
        if not self.now() + seconds <= LATEST:
            raise ValueError("time cannot be moved beyond the year 3000")
        self._latest = self.now() + seconds
        self.anchor = Anchor(real=self._real(), simulated=self._latest, speed=self.anchor.speed)
        return self.anchor

    def change_speed(self, speed: float) -> Anchor:
        """Changes the speed of time from now on. Returns the new anchor."""
        check_speed(speed)
        self.anchor = Anchor(real=self._real(), simulated=self.now(), speed=speed)
        return self.anchor


def check_speed(speed: float) -> None:
    if not 0 <= speed <= 1_000_000:
        raise ValueError("speed must lie between 0 and 1000000 simulated seconds per second")


def timestamp(seconds: float) -> str:
    """Returns a time as the API writes it: UTC with milliseconds and `Z`."""
    # Whole milliseconds first: formatting would truncate 0.9999, while comparisons are exact.
    moment = datetime.fromtimestamp(int(seconds * 1000) / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
