"""Forecasts when a generation ends, from the progress that was read.

Where progress is linear, this halves the wait between the end of a task and the poll that sees it (1.2 s instead of
3.2 s for a generation of 60 s); where progress leaps or is missing, it changes nothing.
"""

import math
from collections.abc import Sequence

PROGRESS_STEP_SECONDS = 5.0
"""The provider changes nothing about a task faster than about this."""

_PHASES = 20
_PHASE_SECONDS = PROGRESS_STEP_SECONDS / _PHASES


def forecast_end(readings: Sequence[tuple[float, float]]) -> tuple[float, float] | None:
    """Fits a line through (seconds, progress) readings; returns when it reaches 1, and the standard deviation of that.

    A reading is as old as the provider's last step, whose phase is not known. So every phase is tried, weighted
    by how well a line then fits, and one more hypothesis: that progress is continuous. Late readings count more.
    """
    last = readings[-1][0]
    if all(progress == readings[0][1] for _, progress in readings):
        # Fitting every line for thousands of tasks without progress would cost too much.
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
            at = t - (t + shift) % PROGRESS_STEP_SECONDS if stepped else t
            first += w * at
            second += w * at * at
            shared += w * at * (p - mean_progress)
        mean = first / total
        width = second - first * mean
        if width <= 0.0 or shared <= 0.0:
            continue
        slope = shared / width
        end = mean + (1.0 - mean_progress) / slope
        if end <= 0.0:
            continue
        # The second term is a weak prior: without it three readings that happen to lie on a line would seem certain.
        noise = (max(0.0, spread - slope * shared) + 2 * 0.006**2) / (total + 1)
        variance = noise * (1 / total + (end - mean) ** 2 / width) / slope**2 + _PHASE_SECONDS**2 / 12
        fits.append((noise ** (-(total + 1) / 2) / math.sqrt(width) * (1.0 if stepped else 0.6), end, variance))
    if not fits:
        return None
    weight = sum(w for w, _, _ in fits)
    end = sum(w * e for w, e, _ in fits) / weight
    return last + end, math.sqrt(sum(w * ((e - end) ** 2 + v) for w, e, v in fits) / weight)
