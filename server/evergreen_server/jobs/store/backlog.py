"""Bounds the jobs that were accepted and not yet submitted, over all replicas of the database, shared by projects.

A project may have as many waiting as places are left. So one alone gets half of them, several come to equal shares,
and a project that has none finds a place, unless very many others came before.
"""

import threading
import time

import sqlalchemy as sa

from evergreen_server.jobs.db.schema import jobs
from evergreen_server.jobs.model.errors import JobError
from evergreen_server.jobs.model.states import State

COUNT_SECONDS = 1.0


class QueueFull(JobError):
    """So many jobs wait to be submitted that no more are accepted for now: of the project, or in all."""

    def __init__(self, *, limit: int, waiting: int, own: int) -> None:
        self.of_project = own > 0 and waiting < limit
        """Whether other projects may still send jobs."""
        text = f"{waiting} jobs wait to be submitted; no more than {limit} may"
        if self.of_project:
            places = f"{limit - waiting} of {limit} places are left"
            text = f"{own} jobs of the project wait to be submitted and {places}, which are kept for other projects"
        super().__init__(text)


class Backlog:
    """Knows about how many jobs are QUEUED, without counting them for each new one.

    It adds what it accepts to its last counts, and counts anew every second and before it refuses. On SQLite that is
    exact. It learns by counting what other replicas accept, so together they may exceed the limit by what they accept
    in a second.
    """

    def __init__(self, limit: int | None) -> None:
        """`limit` is the most jobs that may wait; None for any number."""
        self._limit = limit
        self._lock = threading.Lock()
        self._counted_at = -COUNT_SECONDS
        self._waiting = 0
        self._own: dict[str, int] = {}
        """By project, for those that sent a job since the last count."""

    def admit(self, db: sa.Connection, project_id: str) -> None:
        """Admits one more job, within the transaction that accepts it. Raises QueueFull."""
        if self._limit is None:
            return
        with self._lock:
            if time.monotonic() - self._counted_at >= COUNT_SECONDS:
                self._count(db)
            own = self._of(db, project_id)
            if own >= self._limit - self._waiting:
                self._count(db)
                own = self._of(db, project_id)
            if own >= self._limit - self._waiting:
                raise QueueFull(limit=self._limit, waiting=self._waiting, own=own)
            self._waiting += 1
            self._own[project_id] = own + 1

    def _count(self, db: sa.Connection) -> None:
        self._waiting, self._own = _queued(db), {}
        self._counted_at = time.monotonic()

    def _of(self, db: sa.Connection, project_id: str) -> int:
        own = self._own.get(project_id)
        return _queued(db, jobs.c.project_id == project_id) if own is None else own


def _queued(db: sa.Connection, *of_project: sa.ColumnElement[bool]) -> int:
    """Returns the number of QUEUED jobs, counted in an index only."""
    queued = sa.select(sa.func.count()).where(jobs.c.state == State.QUEUED.value, *of_project)
    return int(db.execute(queued).scalar_one())
