"""The bound on jobs that were accepted and not submitted, over all replicas of the database."""

import threading
import time

import sqlalchemy as sa

from evergreen_server.jobs.database import jobs
from evergreen_server.jobs.model import JobError, State

COUNT_SECONDS = 1.0


class QueueFull(JobError):
    """So many jobs wait to be submitted that no more are accepted for now."""


class Backlog:
    """Knows about how many jobs are QUEUED, without counting them for each one that comes.

    It adds what it accepts to its last count, and counts anew every second and before it refuses. On SQLite that is
    exact. Of what other replicas accept it hears by counting, so all together may exceed the limit by what they
    accept in a second.
    """

    def __init__(self, limit: int | None) -> None:
        """Takes the most jobs that may wait; None for any number."""
        self._limit = limit
        self._lock = threading.Lock()
        self._counted = 0
        self._since = 0
        self._counted_at = -COUNT_SECONDS

    def admit(self, db: sa.Connection) -> None:
        """Lets one more job in, within the transaction that accepts it. Raises QueueFull."""
        if self._limit is None:
            return
        with self._lock:
            stale = time.monotonic() - self._counted_at >= COUNT_SECONDS
            if stale or self._counted + self._since >= self._limit:
                waiting = sa.select(sa.func.count()).where(jobs.c.state == State.QUEUED.value)
                self._counted, self._since = int(db.execute(waiting).scalar_one()), 0
                self._counted_at = time.monotonic()
            if self._counted + self._since >= self._limit:
                raise QueueFull(f"{self._counted} jobs wait to be submitted; no more than {self._limit} may")
            self._since += 1
