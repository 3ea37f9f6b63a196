"""When to ask the provider about a task: pure decisions, with time and chance passed in.

A job polls seldom while its task can hardly have ended, every five seconds where it probably does, and, where
the provider's progress turns out to be linear, just after the end that this progress foretells.
"""

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from statistics import NormalDist

from evergreen_server.ports.provider import TaskState

PROGRESS_STEP_SECONDS = 5.0
"""The provider changes nothing about a task faster than about this."""

_PHASES = 20
_PHASE_SECONDS = PROGRESS_STEP_SECONDS / _PHASES
_FULL_TRUST_SECONDS = 2.5
_READINGS = 16
_LONGEST_WISH_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The bounds between two polls of one task; `scale` divides every wait, for a sandbox with compressed time."""

    min_seconds: float = 5.0
    max_running_seconds: float = 15.0
    max_throttled_seconds: float = 30.0
    max_error_seconds: float = 60.0
    after_restart_spread_seconds: tuple[float, float] = (5.0, 10.0)
    """May be shorter where jobs are taken over: the lease that ran out was a wait too, and they begin one by one."""
    scale: float = 1.0

    def __post_init__(self) -> None:
        longest = min(self.max_running_seconds, self.max_throttled_seconds, self.max_error_seconds)
        if not 0 < self.min_seconds <= longest or self.scale <= 0:
            raise ValueError("a pace needs 0 < min_seconds <= every maximum, and a positive scale")


@dataclass(slots=True)
class _Moments:
    """Decayed count, mean and sum of squared deviations of log durations."""

    count: float
    mean: float
    squares: float


class Durations:
    """Learns how long generation takes for each model and clip length, as log-normal laws in seconds.

    What is not known yet is taken to be around a minute and may be far off. Old observations fade, so that a
    change at the provider is followed; of the keys, those longest unused are forgotten.
    """

    _PRIOR = _Moments(1.0, math.log(60.0), 0.8**2)

    def __init__(self, *, max_keys: int = 512, fading: float = 0.98) -> None:
        self._max_keys = max_keys
        self._fading = fading
        self._learned: OrderedDict[tuple[str, int | None], _Moments] = OrderedDict()

    def observe(self, model: str, seconds: int | None, duration: float) -> None:
        """Learns that a clip of `seconds` took `duration` seconds to generate."""
        moments = self._learned.setdefault((model, seconds), _Moments(0.0, 0.0, 0.0))
        self._learned.move_to_end((model, seconds))
        if len(self._learned) > self._max_keys:
            self._learned.popitem(last=False)
        logarithm = math.log(max(1.0, duration))
        faded = moments.count * self._fading
        moments.count = faded + 1.0
        surprise = logarithm - moments.mean
        moments.mean += surprise / moments.count
        moments.squares = moments.squares * self._fading + surprise * surprise * faded / moments.count

    def law(self, model: str, seconds: int | None) -> NormalDist:
        """Tells the law of the natural logarithm of the duration."""
        prior, seen = self._PRIOR, self._learned.get((model, seconds))
        if seen is None:
            return NormalDist(prior.mean, math.sqrt(prior.squares))
        count = prior.count + seen.count
        apart = (seen.mean - prior.mean) ** 2 * prior.count * seen.count / count
        mean = (prior.mean * prior.count + seen.mean * seen.count) / count
        return NormalDist(mean, max(0.05, math.sqrt((prior.squares + seen.squares + apart) / count)))

    def quantile(self, model: str, seconds: int | None, chance: float) -> float:
        """Tells within how many seconds generation ends with the given chance."""
        return math.exp(self.law(model, seconds).inv_cdf(chance))

    def expected(self, model: str, seconds: int | None) -> float:
        """Tells the mean duration in seconds."""
        law = self.law(model, seconds)
        return math.exp(law.mean + law.variance / 2)

    def remaining(self, model: str, seconds: int | None, age: float) -> float:
        """Tells how many seconds more generation takes on average, where it has taken `age` seconds."""
        law = self.law(model, seconds)
        logarithm = math.log(max(1.0, age))
        alive = 1.0 - law.cdf(logarithm)
        if alive < 1e-6:
            # A law that a task has outlived so far says nothing more.
            return age / 10
        tail = NormalDist().cdf((law.mean + law.variance - logarithm) / law.stdev)
        return max(1.0, self.expected(model, seconds) * tail / alive - age)


class PollPlan:
    """Says when one task should be asked for next, from what its earlier answers told.

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
        self._started: tuple[float, float] | None = None  # between the last look before it and the first after
        self._readings: list[tuple[float, float]] = []
        self._foretold: float | None = None
        self._waits = self._errors = 0
        first = pace.after_restart_spread_seconds if restarted else (pace.min_seconds, 1.5 * pace.min_seconds)
        self._next_at = self._asked_at + random.uniform(*first)

    def next_delay(self, now: float) -> float:
        """Tells in how many seconds the next request is due."""
        return max(0.0, self._next_at / self._pace.scale - now)

    def error(self, now: float, wish: float | None = None) -> None:
        """Notes a request that brought no answer; each one in a row doubles the wait up to a bound.

        `wish` is the provider's own wait in seconds, obeyed up to five minutes.
        """
        self._errors += 1
        pace, now = self._pace, now * self._pace.scale
        # The exponent is bounded too: an outage of days must not overflow a float.
        longest = min(pace.max_error_seconds, pace.min_seconds * 2.0 ** min(self._errors, 16))
        wait = max(pace.min_seconds, longest * self._random.uniform(0.5, 1.0))
        self._next_at = now + max(wait, min(wish or 0.0, _LONGEST_WISH_SECONDS))

    def observe(self, now: float, state: TaskState, progress: float | None) -> None:
        """Notes an answer. A status never seen before is treated as RUNNING."""
        pace, now = self._pace, now * self._pace.scale
        gap = self._shortest()
        match state:
            case TaskState.PENDING | TaskState.THROTTLED:
                self._waited_at, self._started, self._foretold = now, None, None
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
        # A start that nobody watched, as over a restart, would teach nonsense.
        if 0.0 <= until - since <= self._pace.max_throttled_seconds:
            ended = max(self._asked_at, now - self._pace.min_seconds / 2)
            self._durations.observe(*self._key, ended - (since + until) / 2)

    def _waiting_gap(self) -> float:
        """Grows while the task waits, but not beyond what its generation will surely take."""
        self._waits += 1
        growing = self._pace.min_seconds * 1.5 ** min(self._waits + 1, 16)
        longest = min(growing, self._pace.max_throttled_seconds, self._durations.quantile(*self._key, 0.05))
        return longest * self._random.uniform(0.8, 1.0)

    def _running_gap(self, now: float) -> float:
        forecast = self._forecast() if len(self._readings) >= 3 else None
        early = len(self._readings) < 3 or self._readings[-1][1] < 0.2
        if forecast is not None and not early:
            end, deviation = forecast
            # A forecast that moves from poll to poll is less certain than it looks.
            deviation = math.hypot(deviation, (end - (self._foretold or end)) / 2)
            self._foretold = end
            if deviation < max(_FULL_TRUST_SECONDS, (end - now) / 10):
                return self._aimed_gap(end - now, deviation)
        elif early and self._readings and (forecast is not None or len(self._readings) < 3):
            # The first readings are worth more than the polls that they cost.
            return min(self._likely_gap(now), self._random.uniform(1.0, 1.5) * self._pace.min_seconds)
        return self._likely_gap(now)

    def _forecast(self) -> tuple[float, float] | None:
        """Foretells the end from all readings, or from the later half alone where the line has bent."""
        forecast = foretell_end(self._readings)
        recent = foretell_end(self._readings[len(self._readings) // 2 :]) if len(self._readings) >= 6 else None
        if forecast is not None and recent is not None and abs(recent[0] - forecast[0]) > 1.5 * recent[1]:
            return recent
        return forecast

    def _aimed_gap(self, remaining: float, deviation: float) -> float:
        """Waits for the foretold end, or takes another reading where one more fits in before it.

        A poll just too early costs a whole further gap, one too late only its lateness: the margin is where
        both balance for a normally distributed error.
        """
        pace = self._pace
        peak = pace.min_seconds / (deviation * math.sqrt(2 * math.pi))
        target = remaining + deviation * math.sqrt(2 * math.log(max(1.0, peak)))
        if target < 2 * pace.min_seconds:
            return target
        # Readings at irregular moments also tell the phase of the provider's own clock.
        usual = min(max(pace.min_seconds, target / _READINGS), pace.max_running_seconds / 1.5)
        return min(self._random.uniform(1.0, 1.5) * usual, target - pace.min_seconds)

    def _likely_gap(self, now: float) -> float:
        """Waits as long as chance of an end meanwhile times wait stays bearable, by the learned law.

        Bearable is a part of what a shortest wait means at the median, so that slow and quick models fare alike.
        A law that a task has outlived says nothing more: then the wait grows with how overdue the task is.
        """
        pace, law = self._pace, self._durations.law(*self._key)
        since, until = self._started or (self._waited_at, self._waited_at)
        # A start within a wide gap, as over a restart, is taken to be as early as it can be.
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


def foretell_end(readings: Sequence[tuple[float, float]]) -> tuple[float, float] | None:
    """Fits a line through (seconds, progress) readings; gives when it reaches 1, and the standard deviation of that.

    A reading is as old as the provider's last step, whose phase is not known. So every phase is tried, weighted
    by how well a line then fits, and one more hypothesis: that progress is continuous. Late readings count more.
    """
    last = readings[-1][0]
    if all(progress == readings[0][1] for _, progress in readings):
        # Thousands of tasks that stand still must not each be fitted with every line.
        return None
    weighted = [(0.95**age, t - last, p) for age, (t, p) in enumerate(reversed(readings))]
    total = sum(w for w, _, _ in weighted)
    mean_progress = sum(w * p for w, _, p in weighted) / total
    spread = sum(w * (p - mean_progress) ** 2 for w, _, p in weighted)
    fits: list[tuple[float, float, float]] = []
    for phase in range(_PHASES + 1):
        stepped, shift = phase < _PHASES, phase * _PHASE_SECONDS
        first = second = shared = 0.0
        for w, t, p in weighted:
            moment = t - (t + shift) % PROGRESS_STEP_SECONDS if stepped else t
            first += w * moment
            second += w * moment * moment
            shared += w * moment * (p - mean_progress)
        mean = first / total
        width = second - first * mean
        if width <= 0.0 or shared <= 0.0:
            continue
        slope = shared / width
        end = mean + (1.0 - mean_progress) / slope
        if end <= 0.0:
            continue
        # The second term is a weak prior: without it three readings on a line by chance would look certain.
        noise = (max(0.0, spread - slope * shared) + 2 * 0.006**2) / (total + 1)
        variance = noise * (1 / total + (end - mean) ** 2 / width) / slope**2 + _PHASE_SECONDS**2 / 12
        fits.append((noise ** (-(total + 1) / 2) / math.sqrt(width) * (1.0 if stepped else 0.6), end, variance))
    if not fits:
        return None
    weight = sum(w for w, _, _ in fits)
    end = sum(w * e for w, e, _ in fits) / weight
    return last + end, math.sqrt(sum(w * ((e - end) ** 2 + v) for w, e, v in fits) / weight)
