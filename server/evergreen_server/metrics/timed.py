"""Calls of something outside, timed by their operation and what came of them."""

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from prometheus_client import CollectorRegistry, Histogram

from evergreen_server.metrics.buckets import CALLS

T = TypeVar("T")


class TimedCalls:
    """A histogram of calls."""

    def __init__(self, registry: CollectorRegistry, *, name: str, of: str, outcome: Callable[[Exception], str]) -> None:
        """`of` completes the text of the metric; `outcome` names what an error is, by a small closed set."""
        self._outcome = outcome
        self._seconds = Histogram(
            name,
            f"Seconds that calls of the {of} took, by operation and outcome.",
            ["operation", "outcome"],
            buckets=CALLS,
            registry=registry,
        )

    @contextmanager
    def of(self, operation: str) -> Iterator[None]:
        """Times a call."""
        began, outcome = time.monotonic(), "CANCELLED"
        try:
            yield
            outcome = "OK"
        except Exception as exc:
            outcome = self._outcome(exc)
            raise
        finally:
            self._seconds.labels(operation, outcome).observe(time.monotonic() - began)

    async def timed(self, operation: str, call: Awaitable[T]) -> T:
        """Returns what the call returns."""
        with self.of(operation):
            return await call
