"""How long to wait before a retry."""

_MOST_DOUBLINGS = 64
"""The exponent is bounded too: an outage of days must not overflow a float."""


def doubled(first: float, times: int, *, most: float) -> float:
    """Returns `first` seconds doubled so many times, at most `most`; the caller adds its own jitter."""
    return min(most, first * 2.0 ** min(times, _MOST_DOUBLINGS))
