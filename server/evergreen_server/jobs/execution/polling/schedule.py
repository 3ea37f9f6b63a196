"""When to ask the provider about a task: pure decisions, with time and randomness passed in.

A job polls rarely while its task can hardly have ended, every five seconds when it probably ends, and, if the
provider's progress turns out to be linear, just after the end that this progress predicts.
"""

import math
from dataclasses import dataclass
from random import Random

from evergreen_server.jobs.admission.durations import Durations
from evergreen_server.jobs.execution.polling.forecast import forecast_end
from evergreen_server.ports.provider import TaskState
from evergreen_server.runtime.backoff import doubled

_FULL_TRUST_SECONDS = 2.5
_READINGS = 16
_LONGEST_RETRY_AFTER_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The bounds between two polls of one task; `scale` divides every wait, for a sandbox with compressed time."""

    min_seconds: float = 5.0
    max_running_seconds: float = 15.0
    max_throttled_seconds: float = 30.0
    max_error_seconds: float = 60.0
    after_restart_spread_seconds: tuple[float, float] = (5.0, 10.0)
    """May be shorter for jobs that are taken over: the lease that ran out was a wait too, and they start one by one."""
    scale: float = 1.0

    def __post_init__(self) -> None:
        longest = min(self.max_running_seconds, self.max_throttled_seconds, self.max_error_seconds)
        if not 0 < self.min_seconds <= longest or self.scale <= 0:
            raise ValueError("a pace needs 0 < min_seconds <= every maximum, and a positive scale")


class PollPlan:
    """Decides when to poll one task next, from its earlier answers.

    `now` and `submitted_at` are seconds of one monotonic clock. Call `observe` or `error` when the answer has
    arrived: waits count from there, so that the provider never sees two requests closer than the minimum.
    """

    def __init__(
        self,
        *,
        pace: Pace,
        durations: Durations,
        model: str,
        seconds: int | None,
        submitted_at: float,
        now: float,
        random: Random,
        restarted: bool = False,
    ) -> None:
        self._pace = pace
        self._durations = durations
        self._key = (model, seconds)
        self._random = random
        self._waited_at = submitted_at * pace.scale
        self._asked_at = now * pace.scale
        self._started: tuple[float, float] | None = None  # between the last poll before it and the first after
        self._readings: list[tuple[float, float]] = []
        self._predicted: float | None = None
        self._waits = self._errors = 0
        first = pace.after_restart_spread_seconds if restarted else (pace.min_seconds, 1.5 * pace.min_seconds)
        self._next_at = self._asked_at + random.uniform(*first)

    def next_delay(self, now: float) -> float:
        """Returns in how many seconds the next request is due."""
        return max(0.0, self._next_at / self._pace.scale - now)

    def error(self, now: float, retry_after: float | None = None) -> None:
        """Records a request that brought no answer; each one in a row doubles the wait up to a bound.

        `retry_after` is the provider's own wait in seconds, obeyed up to five minutes.
        """
        self._errors += 1
        pace, now = self._pace, now * self._pace.scale
        longest = doubled(pace.min_seconds, self._errors, most=pace.max_error_seconds)
        wait = max(pace.min_seconds, longest * self._random.uniform(0.5, 1.0))
        self._next_at = now + max(wait, min(retry_after or 0.0, _LONGEST_RETRY_AFTER_SECONDS))

    def observe(self, now: float, state: TaskState, progress: float | None) -> None:
        """Records an answer. An unknown status is treated as RUNNING."""
        pace, now = self._pace, now * self._pace.scale
        gap = self._shortest()
        match state:
            case TaskState.PENDING | TaskState.THROTTLED:
                self._waited_at, self._started, self._predicted = now, None, None
                self._readings.clear()
                gap = max(gap, self._waiting_gap())
            case TaskState.RUNNING | TaskState.UNKNOWN:
                self._started = self._started or (self._waited_at, now)
                if progress is not None and 0.0 <= progress <= 1.0:
                    self._readings = [*self._readings, (now, progress)][-_READINGS:]
                gap = max(gap, min(self._running_gap(now), pace.max_running_seconds))
            case TaskState.SUCCEEDED:
                self._learn(now)
        self._errors, self._asked_at, self._next_at = 0, now, now + gap

    def _learn(self, now: float) -> None:
        since, until = self._started or (self._waited_at, self._asked_at)
        # A start that was not observed, as over a restart, would teach nonsense.
        if 0.0 <= until - since <= self._pace.max_throttled_seconds:
            ended = max(self._asked_at, now - self._pace.min_seconds / 2)
            self._durations.observe(*self._key, ended - (since + until) / 2)

    def _waiting_gap(self) -> float:
        """Returns a gap that grows while the task waits, but not beyond what its generation will surely take."""
        self._waits += 1
        growing = self._pace.min_seconds * 1.5 ** min(self._waits + 1, 16)
        longest = min(growing, self._pace.max_throttled_seconds, self._durations.quantile(*self._key, 0.05))
        return longest * self._random.uniform(0.8, 1.0)

    def _running_gap(self, now: float) -> float:
        forecast = self._forecast() if len(self._readings) >= 3 else None
        early = len(self._readings) < 3 or self._readings[-1][1] < 0.2
        if forecast is not None and not early:
            end, deviation = forecast
            # A forecast that moves from poll to poll is less certain than it seems.
            deviation = math.hypot(deviation, (end - (self._predicted or end)) / 2)
            self._predicted = end
            if deviation < max(_FULL_TRUST_SECONDS, (end - now) / 10):
                return self._aimed_gap(end - now, deviation)
        elif early and self._readings and (forecast is not None or len(self._readings) < 3):
            # The first readings are worth more than the polls that they cost.
            return min(self._likely_gap(now), self._random.uniform(1.0, 1.5) * self._pace.min_seconds)
        return self._likely_gap(now)

    def _forecast(self) -> tuple[float, float] | None:
        """Returns the end predicted by all readings, or by the later half only if the slope has changed."""
        forecast = forecast_end(self._readings)
        recent = forecast_end(self._readings[len(self._readings) // 2 :]) if len(self._readings) >= 6 else None
        if forecast is not None and recent is not None and abs(recent[0] - forecast[0]) > 1.5 * recent[1]:
            return recent
        return forecast

    def _aimed_gap(self, remaining: float, deviation: float) -> float:
        """Returns the gap to the predicted end, or to another reading if one fits in before it.

        A poll just too early costs a whole further gap, one too late only its lateness: the margin balances both for a
        normally distributed error.
        """
        pace = self._pace
        peak = pace.min_seconds / (deviation * math.sqrt(2 * math.pi))
        target = remaining + deviation * math.sqrt(2 * math.log(max(1.0, peak)))
        if target < 2 * pace.min_seconds:
            return target
        # Readings at irregular times also reveal the phase of the provider's own clock.
        usual = min(max(pace.min_seconds, target / _READINGS), pace.max_running_seconds / 1.5)
        return min(self._random.uniform(1.0, 1.5) * usual, target - pace.min_seconds)

    def _likely_gap(self, now: float) -> float:
        """Returns the longest gap for which the chance of an end times the gap stays acceptable, by the learned law.

        Acceptable is a fraction of that product for the shortest gap at the median, so that slow and quick models are
        treated alike. For a task that has outlived the law, the gap grows with how overdue the task is.
        """
        pace, law = self._pace, self._durations.law(*self._key)
        since, until = self._started or (self._waited_at, self._waited_at)
        # A start within a wide gap, as over a restart, is assumed to be as early as possible.
        age = max(1.0, now - ((since + until) / 2 if until - since <= pace.max_throttled_seconds else since))
        alive = 1.0 - law.cdf(math.log(age))
        gap = pace.max_running_seconds
        if alive < 0.001:
            gap = min(gap, pace.min_seconds + (age - math.exp(law.inv_cdf(0.999))) / 20)
        else:
            hazard_at_median = math.sqrt(2 / math.pi) / (law.stdev * math.exp(law.mean))
            bearable = 0.45 * pace.min_seconds**2 * hazard_at_median
            while gap > pace.min_seconds and gap * (1.0 - (1.0 - law.cdf(math.log(age + gap))) / alive) > bearable:
                gap -= pace.min_seconds / 5
        return gap * self._random.uniform(0.9, 1.0)

    def _shortest(self) -> float:
        return self._pace.min_seconds * self._random.uniform(1.0, 1.02)
