"""Repeats a read that failed for now, within bounds; the only place of this package where anything is repeated."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from evergreen_server.ports.provider import ProviderUnavailable
from evergreen_server.runtime.backoff import doubled

__all__ = ["Retry", "RetryPolicy", "Retryable", "retry_after_seconds"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

LONGEST_SECONDS = 86_400.0


class Retryable(ProviderUnavailable):
    """A try failed; another one may succeed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how long to retry. A Retry-After beyond `obeyed_seconds` ends the tries at once."""

    tries: int = 4
    first_seconds: float = 0.5
    most_seconds: float = 8.0
    obeyed_seconds: float = 60.0
    total_seconds: float = 90.0


class Retry:
    """Retries with exponentially growing waits, each lengthened at random by up to half."""

    def __init__(
        self,
        *,
        policy: RetryPolicy,
        random: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        monotonic: Callable[[], float],
    ) -> None:
        self._policy = policy
        self._random = random
        self._sleep = sleep
        self._monotonic = monotonic

    async def run(self, attempt: Callable[[], Awaitable[T]], *, what: str) -> T:
        """Returns the first success. Raises the last `Retryable` when the tries or the time run out."""
        policy = self._policy
        end = self._monotonic() + policy.total_seconds
        for made in range(1, policy.tries + 1):
            try:
                return await attempt()
            except Retryable as failure:
                wait = failure.retry_after_seconds
                if wait is None:
                    wait = doubled(policy.first_seconds, made - 1, most=policy.most_seconds) * (1 + self._random() / 2)
                if made == policy.tries or wait > policy.obeyed_seconds or self._monotonic() + wait > end:
                    raise
                logger.info("provider read repeated", extra={"call": what, "tries": made, "wait_seconds": wait})
            await self._sleep(wait)
        raise AssertionError("a policy has at least one try")


def retry_after_seconds(header: str | None, now: datetime) -> float | None:
    """Reads `Retry-After`, given in seconds or as a date, a day at most; None where it is absent or nonsense."""
    if not header:
        return None
    if header.strip().isdecimal():
        return min(float(header), LONGEST_SECONDS)
    try:
        when = parsedate_to_datetime(header)
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        return min(max(0.0, (when - now).total_seconds()), LONGEST_SECONDS)
    except (ValueError, OverflowError, TypeError, IndexError):
        # The library raises each of them for some texts.
        return None
