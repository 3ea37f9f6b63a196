"""How long generations take, learned from those that have ended."""

import math
from collections import OrderedDict
from dataclasses import dataclass
from statistics import NormalDist


@dataclass(slots=True)
class _Moments:
    """Decayed count, mean and sum of squared deviations of log durations."""

    count: float
    mean: float
    squares: float


class Durations:
    """Learns how long generation takes for each model and clip length, as log-normal laws in seconds.

    Until something is learned, a minute is assumed, with a wide spread. Old observations fade, so that a change at the
    provider is followed; the keys that were unused for longest are forgotten.
    """

    _PRIOR = _Moments(1.0, math.log(60.0), 0.8**2)

    def __init__(self, *, max_keys: int = 512, fading: float = 0.98) -> None:
        self._max_keys = max_keys
        self._fading = fading
        self._learned: OrderedDict[tuple[str, int | None], _Moments] = OrderedDict()

    def observe(self, model: str, seconds: int | None, duration: float) -> None:
        """Records that a clip of `seconds` took `duration` seconds to generate."""
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
        """Returns the distribution of the natural logarithm of the duration."""
        prior, seen = self._PRIOR, self._learned.get((model, seconds))
        if seen is None:
            return NormalDist(prior.mean, math.sqrt(prior.squares))
        count = prior.count + seen.count
        apart = (seen.mean - prior.mean) ** 2 * prior.count * seen.count / count
        mean = (prior.mean * prior.count + seen.mean * seen.count) / count
        return NormalDist(mean, max(0.05, math.sqrt((prior.squares + seen.squares + apart) / count)))

    def quantile(self, model: str, seconds: int | None, chance: float) -> float:
        """Returns the `chance`-quantile of generation time, in seconds."""
        return math.exp(self.law(model, seconds).inv_cdf(chance))

    def expected(self, model: str, seconds: int | None) -> float:
        """Returns the mean duration, in seconds."""
        law = self.law(model, seconds)
        return math.exp(law.mean + law.variance / 2)

    def remaining(self, model: str, seconds: int | None, age: float) -> float:
        """Returns how many more seconds generation takes on average, once it has taken `age` seconds."""
        law = self.law(model, seconds)
        logarithm = math.log(max(1.0, age))
        alive = 1.0 - law.cdf(logarithm)
        if alive < 1e-6:
            # The distribution says nothing about a task that has outlived it.
            return age / 10
        tail = NormalDist().cdf((law.mean + law.variance - logarithm) / law.stdev)
        return max(1.0, self.expected(model, seconds) * tail / alive - age)
