"""Bounds how often this replica polls, by the number of tasks that it follows."""

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

from evergreen_server.jobs.execution.polling.schedule import Pace

POLLS_PER_SECOND = 300.0
"""Of all tasks together, in real seconds: with more a replica would do little else, and a provider might object."""
ALIGN_FROM = 300
ALIGN_SECONDS = 0.05
"""With many tasks, polls are aligned to multiples of this: waking up for each of them costs nearly twice as much."""


class PollBudget:
    """The tasks that are being followed here."""

    def __init__(self) -> None:
        self._followed = 0

    @contextmanager
    def track(self) -> Iterator[None]:
        """Counts one more task, for as long as the context lasts."""
        self._followed += 1
        try:
            yield
        finally:
            self._followed -= 1

    def delay(self, planned: float, *, pace: Pace, random: Random, now: float) -> float:
        """Returns in how many real seconds to poll a task that should be polled in `planned`.

        It grows with the number of tasks, up to the longest pause for a running one.
        """
        longest = pace.max_running_seconds / pace.scale
        delay = max(planned, min(longest, self._followed / POLLS_PER_SECOND) * random.uniform(0.95, 1.0))
        return delay if self._followed < ALIGN_FROM else delay + -(now + delay) % ALIGN_SECONDS
