"""Wakes the execution of a job when there is something new to read in its row."""

import asyncio
from collections.abc import Iterable

from evergreen_server.jobs.model.change import Change


class Wakeup:
    """Wakes the executions of one job. It stays set until one of them has waited.

    Thousands of these wait at once, and each poll of each task is such a wait: an event of asyncio under a timeout of
    asyncio costs nearly twice as much.
    """

    __slots__ = ("_granted", "_set", "_waiters")

    def __init__(self) -> None:
        self._set = False
        self._granted = False
        self._waiters: tuple[asyncio.Future[bool], ...] = ()

    def set(self) -> None:
        self._set = True
        for waiter in self._waiters:
            # With the result, since the first of them to resume clears it for all.
            _release(waiter, True)

    def grant(self) -> None:
        """Sets it, since this server has granted the job a slot."""
        self._granted = True
        self.set()

    def take_grant(self) -> bool:
        """Returns whether a slot was granted since this was last asked. A hint: the row alone knows."""
        granted, self._granted = self._granted, False
        return granted

    def is_set(self) -> bool:
        return self._set

    async def wait(self, seconds: float) -> bool:
        """Waits until it is set, at most `seconds`; returns whether it was set, and clears it."""
        was_set = self._set
        if not was_set:
            loop = asyncio.get_running_loop()
            waiter = loop.create_future()
            self._waiters += (waiter,)
            timer = loop.call_later(max(0.0, seconds), _release, waiter, False)
            try:
                was_set = await waiter
            finally:
                timer.cancel()
                self._waiters = tuple(other for other in self._waiters if other is not waiter)
        was_set, self._set = was_set or self._set, False
        return was_set


class Wakeups:
    """Wakes the execution of a job when a caller of the API has changed it, or a slot was granted."""

    def __init__(self) -> None:
        self._wakeups: dict[str, Wakeup] = {}

    def of(self, job_id: str) -> Wakeup:
        """Returns the job's wake-up, which is kept from now on until it is forgotten."""
        return self._wakeups.setdefault(job_id, Wakeup())

    def wake(self, job_id: str) -> None:
        wakeup = self._wakeups.get(job_id)
        if wakeup is not None:
            wakeup.set()

    def on_changes(self, changes: Iterable[Change]) -> None:
        """Wakes the jobs that changed from outside of their executions."""
        for change in changes:
            if change.granted and change.job_id in self._wakeups:
                self._wakeups[change.job_id].grant()
            elif change.external:
                self.wake(change.job_id)

    def forget(self, job_id: str) -> None:
        self._wakeups.pop(job_id, None)


def _release(waiter: "asyncio.Future[bool]", was_set: bool) -> None:
    if not waiter.done():
        waiter.set_result(was_set)
