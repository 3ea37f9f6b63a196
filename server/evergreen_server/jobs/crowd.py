"""How many tasks this replica follows, and how far apart that puts the polls of each."""

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

from evergreen_server.jobs.polling import Pace

POLLS_PER_SECOND = 300.0
"""Of all tasks together, in real seconds: beyond it a replica would do little else, and a provider might mind."""


class Crowd:
    """The tasks that are followed here at the moment."""

    def __init__(self) -> None:
        self._followed = 0

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Counts one more task, for as long as the context lasts."""
        self._followed += 1
        try:
            yield
        finally:
            self._followed -= 1

    def gap(self, pace: Pace, random: Random) -> float:
        """Gives the least real seconds between two polls of one task.

        It grows with the number of tasks, up to the longest that a running one is left alone.
        """
        longest = pace.max_running_seconds / pace.scale
        return min(longest, self._followed / POLLS_PER_SECOND) * random.uniform(0.9, 1.0)
