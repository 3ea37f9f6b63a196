"""What wakes whoever executes a job: a word that there is something to read in its row."""

import asyncio
from collections.abc import Iterable

from evergreen_server.jobs.model.change import Change


class Wakeup:
    """Wakes the executions of one job. What `set` tells stays told until one of them has waited.

    Thousands of these wait at once, and each poll of each task is such a wait: an event of asyncio under a timeout of
    asyncio costs nearly twice as much.
    """

    __slots__ = ("_set", "_waiters")

    def __init__(self) -> None:
        self._set = False
        self._waiters: tuple[asyncio.Future[bool], ...] = ()

    def set(self) -> None:
        self._set = True
        for waiter in self._waiters:
            # With the word, since the first of them to go on begins anew for all.
            _release(waiter, True)

    def is_set(self) -> bool:
        return self._set

    async def wait(self, seconds: float) -> bool:
        """Waits until it is set, at most so long; tells whether it was, and begins anew."""
        told = self._set
        if not told:
            loop = asyncio.get_running_loop()
            waiter = loop.create_future()
            self._waiters += (waiter,)
            timer = loop.call_later(max(0.0, seconds), _release, waiter, False)
            try:
                told = await waiter
            finally:
                timer.cancel()
                self._waiters = tuple(other for other in self._waiters if other is not waiter)
        told, self._set = told or self._set, False
        return told


class Wakeups:
    """Wakes whoever executes a job when a caller of the API has changed it, or a slot was granted."""

    def __init__(self) -> None:
        self._wakeups: dict[str, Wakeup] = {}

    def of(self, job_id: str) -> Wakeup:
        """Gives the job's wakeup, from now on kept until it is forgotten."""
        return self._wakeups.setdefault(job_id, Wakeup())

    def wake(self, job_id: str) -> None:
        wakeup = self._wakeups.get(job_id)
        if wakeup is not None:
            wakeup.set()

    def on_changes(self, changes: Iterable[Change]) -> None:
        """Wakes the jobs that changed from outside of their executions."""
        for change in changes:
            if change.external:
                self.wake(change.job_id)

    def forget(self, job_id: str) -> None:
        self._wakeups.pop(job_id, None)


def _release(waiter: "asyncio.Future[bool]", told: bool) -> None:
    if not waiter.done():
        waiter.set_result(told)
