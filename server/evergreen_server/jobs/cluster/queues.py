"""The queues of the durable engine: looked into when there is something in them, and now and then besides.

DBOS looks into a queue at an interval. Four times a second, for three queues, that was half of what an idle server
asked of its database, and still a job waited for an eighth of a second.
"""

import asyncio
import random
import threading
import time
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from dbos import DBOS, _workflow_commands
from dbos._queue import _INTERNAL_QUEUE_CONSTRUCTION, Queue
from dbos._utils import INTERNAL_QUEUE_NAME

from evergreen_server.jobs.model.change import Change

LOOK_SECONDS: Final = 0.25
"""Between two looks while anything happens: what other servers do says only that there may be something."""
PAUSES: Final = (LOOK_SECONDS, 20.0)
"""Between two looks while nobody tells of anything, in seconds: the first, and the longest, as each is twice the one
before. Whoever put something into a queue may have died before telling of it.
"""
NEVER_SECONDS: Final = 3600.0
"""Between two looks for what we do not use: schedules, and workflows of no queue."""
UPKEEP_SECONDS: Final = 4.0
"""Below the five after which DBOS gives up the transaction that it holds meanwhile."""
REST: Final = 9.0
"""So many times as long as a look took, but not longer than usual, the next one waits: each counts all that runs."""


class Queues:
    """The queues of this process."""

    def __init__(self, names: Iterable[str], pauses: tuple[float, float]) -> None:
        self._queues = {name: WokenQueue(name, pauses) for name in names}
        self._look: asyncio.TimerHandle | None = None
        self._closed = False

    def register(self, dbos: DBOS) -> None:
        """Has DBOS look into these and no others. Raises what DBOS raises if it was launched before."""
        # Into none that stands in the table, as those of the release before do.
        dbos.listen_queues([])
        registry = dbos._registry
        registry.internal_queue_map.update(self._queues)
        registry._register_internal_queue(INTERNAL_QUEUE_NAME, polling_interval_sec=NEVER_SECONDS)
        # No workflow of ours is delayed or has a time limit. DBOS has no setting for how often it looks for such.
        _workflow_commands._BACKGROUND_JOBS_INTERVAL_SEC = UPKEEP_SECONDS

    def on_changes(self, changes: Sequence[Change]) -> None:
        """Has the queues looked into that something was put into; all of them, but later, after any other change, as
        what other servers tell does not say whether they put something into one.
        """
        enqueued = {change.enqueued for change in changes if change.enqueued}
        self.wake(enqueued)
        if not enqueued:
            self.look_soon()

    def look_soon(self) -> None:
        """Has all queues looked into within a quarter of a second. Call it on the loop."""
        if self._look is None and not self._closed:
            self._look = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look_now)

    def _look_now(self) -> None:
        self._look = None
        self.wake(self._queues)

    def wake(self, names: Collection[str]) -> None:
        """Has these queues looked into at once, or after the rest that follows a look. From any thread."""
        for name in names:
            self._queues[name].wake()

    def close(self) -> None:
        """Lets DBOS's threads end as soon as it tells them to. Call it on the loop."""
        self._closed = True
        if self._look is not None:
            self._look.cancel()
        for queue in self._queues.values():
            queue.close()


class WokenQueue(Queue):
    """A queue of this process alone, into which DBOS's thread looks when it is woken, or after a while."""

    def __init__(self, name: str, pauses: tuple[float, float]) -> None:
        self._woken, self._closed = threading.Event(), threading.Event()
        self._shortest, self._longest = pauses
        self._pause = self._shortest
        self._looked_at = time.monotonic()
        # DBOS has no public call for a queue of one process; it makes those of its Kafka consumers so.
        super().__init__(name, polling_interval_sec=0.001, token=_INTERNAL_QUEUE_CONSTRUCTION)

    def wake(self) -> None:
        """Has the queue looked into: something was put into it, and committed."""
        self._woken.set()

    def close(self) -> None:
        """Lets DBOS's thread go on without waiting, until it is told to end."""
        self._closed.set()
        self._woken.set()

    @property
    def database_backed_queue(self) -> bool:
        """Returns False when it is time for a look: DBOS's thread asks for it once a round, and so waits here."""
        if not self._closed.wait(min(LOOK_SECONDS, REST * (time.monotonic() - self._looked_at))):
            woken = self._woken.wait(self._pause * random.uniform(0.8, 1.2))
            self._woken.clear()
            # What nobody told of, such as what a restart puts back, is found soon after the last that was told of.
            self._pause = self._shortest if woken else min(self._longest, 2 * self._pause)
        self._looked_at = time.monotonic()
        return False

    @database_backed_queue.setter
    def database_backed_queue(self, value: bool) -> None:
        assert not value
