"""How many tasks this replica follows, and how far apart that puts the polls of each."""

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

from evergreen_server.jobs.execution.polling.schedule import Pace

POLLS_PER_SECOND = 300.0
"""Of all tasks together, in real seconds: beyond it a replica would do little else, and a provider might mind."""
MANY = 300
BEAT_SECONDS = 0.05
"""With many tasks polls fall together on such beats: a process that wakes for each apart pays nearly twice as much."""


class PollBudget:
    """The tasks that are followed here at the moment."""

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
        """Gives in how many real seconds to poll a task that should be polled in `planned`.

        With the number of tasks it grows, up to the longest that a running one is left alone.
        """
        longest = pace.max_running_seconds / pace.scale
        delay = max(planned, min(longest, self._followed / POLLS_PER_SECOND) * random.uniform(0.95, 1.0))
        return delay if self._followed < MANY else delay + -(now + delay) % BEAT_SECONDS
