"""Takes over what dead replicas leave.

A replica without a live lease may still run, but the fencing token of each job keeps it from recording anything, and
its own lease check from posting. Every replica puts the jobs of such replicas back into the queue, again and again.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from evergreen_server.jobs.cluster.lease import Lease
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.replicas import DatabaseNow, as_micros, dead_replicas, live_replicas
from evergreen_server.jobs.db.shared_schema import replicas

FORGET_SECONDS = 7 * 86_400.0
LOCK = 0x65766573
"""The key of the advisory lock under which one replica reaps at a time."""

logger = logging.getLogger(__name__)


class Handover(Protocol):
    """The engine, as far as taking over needs it. Each method blocks."""

    def pending(self, replica_ids: Sequence[str] | None) -> Sequence[tuple[str, str]]:
        """Returns (workflow, replica) of what runs on these replicas, or on any."""
        ...

    def requeue(self, workflow_ids: Sequence[str]) -> None:
        """Puts workflows back into the queue, from which any replica takes them."""
        ...


class Reaper:
    """Puts back into the queue what is left on replicas without a live lease."""

    def __init__(
        self, *, database: Database, lease: Lease, handover: Handover, taken_over: Callable[[int], None]
    ) -> None:
        self._database = database
        self._lease = lease
        self._handover = handover
        self._taken_over = taken_over

    async def run(self) -> None:
        """Checks with each renewal of the lease the replicas known to be dead, and every minute all under way."""
        whole_at = time.monotonic()
        while True:
            dead = await self._lease.renewed()
            whole = time.monotonic() >= whole_at
            if not (self._lease.settled and (dead or whole)):
                continue
            try:
                number = await self._database.write(lambda db, whole=whole: self._reap(db, whole))  # type: ignore[misc] # a default binds the loop's variable
            except SQLAlchemyError as exc:
                # The next round finds the same again; the service must not end for it.
                logger.warning("take-over failed", extra={"cause": type(exc).__name__})
                continue
            if whole:
                whole_at = time.monotonic() + 60.0
            if number:
                logger.warning("jobs taken over", extra={"jobs": number})
                self._taken_over(number)

    def _reap(self, db: sa.Connection, whole: bool) -> int:
        if not db.execute(sa.select(sa.func.pg_try_advisory_xact_lock(LOCK))).scalar():
            return 0
        if whole:
            db.execute(
                replicas.delete().where(replicas.c.beat_at.between(1, DatabaseNow() - as_micros(FORGET_SECONDS)))
            )
        # Anew, since a replica may have renewed its lease meanwhile.
        live = {row.replica_id for row in db.execute(live_replicas())}
        dead = [row.replica_id for row in db.execute(dead_replicas())]
        if not dead and not whole:
            return 0
        left = [
            workflow for workflow, replica in self._handover.pending(None if whole else dead) if replica not in live
        ]
        if left:
            self._handover.requeue(left)
        if whole:
            # A replica that released its lease runs nothing any more, and what it left was just put back.
            db.execute(replicas.delete().where(replicas.c.beat_at == 0))
        return len(left)
