"""Waits that double up to a bound."""

import pytest

from evergreen_server.runtime.backoff import doubled


@pytest.mark.parametrize(
    ("first", "times", "seconds"),
    [(0.5, 0, 0.5), (0.5, 1, 1.0), (0.5, 4, 8.0), (0.5, 5, 8.0), (0.5, 1_000_000, 8.0), (9.0, 0, 8.0)],
)
def test_a_wait_doubles_up_to_its_bound(first: float, times: int, seconds: float) -> None:
    assert doubled(first, times, most=8.0) == seconds
