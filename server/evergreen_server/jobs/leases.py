"""Leases: which replicas live, by the database's clock, and the hand-over of what a dead one left.

A replica writes its lease before its engine starts and renews it from a thread of its own, since the loop may lag.
One that cannot renew it goes on, and may neither post nor be trusted to record anything: the fence of each job sees
to that. Whoever finds jobs on a replica without a live lease gives them back to the queue, again and again.
"""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from evergreen_server.jobs.database import Database, insert_new, replicas
from evergreen_server.ports.provider import NotOurs

TTL_SECONDS = 3.0
BEAT_SECONDS = 0.5
REAP_SECONDS = 0.5
FORGET_SECONDS = 7 * 86_400.0
LOCK = 0x65766573
"""The key of the advisory lock under which one replica reaps at a time."""

logger = logging.getLogger(__name__)


class Lease:
    """This replica's lease on a shared database."""

    def __init__(self, database: Database, replica_id: str, *, boottime: Callable[[], float]) -> None:
        """Takes a clock that goes on while the machine sleeps or the process is stopped (CLOCK_BOOTTIME)."""
        self._database = database
        self._replica_id = replica_id
        self._boottime = boottime
        self._renewed_at = -TTL_SECONDS
        self._held_since: float | None = None
        self._stop = threading.Event()

    def guard(self) -> Callable[[], None]:
        """Gives what raises NotOurs once another replica may own what this one owns now.

        That is where the lease was not renewed within half its life, or ran out since, though it be renewed again.
        """
        held_since = self._held_since

        def check() -> None:
            # In this order: a renewal after a gap changes the second before it makes the first true.
            if not self.live or self._held_since != held_since:
                raise NotOurs("This replica's lease ran out, or is too old; nothing was sent.")

        return check

    @property
    def live(self) -> bool:
        """Tells whether the lease was renewed within half its life."""
        return self._boottime() - self._renewed_at < TTL_SECONDS / 2

    @property
    def settled(self) -> bool:
        """Tells whether the lease was held without a gap for so long that every other living replica has its own."""
        return self.live and self._held_since is not None and self._boottime() - self._held_since > TTL_SECONDS

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Holds the lease; on exit it is released, which says at once that nothing runs here any more."""
        await asyncio.to_thread(self._renew)
        thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            await asyncio.to_thread(thread.join)
            try:
                await self._database.write(self._release)
            except SQLAlchemyError:
                # It runs out by itself.
                logger.warning("lease not released", exc_info=True)

    def _keep(self) -> None:
        failed = 0
        while not self._stop.wait(BEAT_SECONDS):
            try:
                self._renew()
            except SQLAlchemyError as exc:
                if not failed:
                    logger.warning("lease not renewed", extra={"cause": type(exc).__name__})
                failed += 1
            else:
                if failed:
                    logger.info("lease renewed", extra={"failed": failed})
                failed = 0

    def _renew(self) -> None:
        asked_at = self._boottime()
        self._database.transact(self._beat)
        answered_at = self._boottime()
        # At the most so long the lease was not renewed, as the others see it.
        if self._held_since is None or answered_at - self._renewed_at > TTL_SECONDS:
            self._held_since = answered_at
        # The moment before the question, since the answer may have been long on its way.
        self._renewed_at = asked_at

    def _beat(self, db: sa.Connection) -> None:
        beat = replicas.update().where(replicas.c.replica_id == self._replica_id).values(beat_at=_now())
        if not db.execute(beat).rowcount:
            insert_new(db, replicas, {"replica_id": self._replica_id, "beat_at": 0})
            db.execute(beat)

    def _release(self, db: sa.Connection) -> None:
        db.execute(replicas.update().where(replicas.c.replica_id == self._replica_id).values(beat_at=0))


class Handover(Protocol):
    """The engine, as far as taking over needs it. Each method blocks."""

    def pending(self, replica_ids: Sequence[str] | None) -> Sequence[tuple[str, str]]:
        """Gives (workflow, replica) of what runs on these replicas, or on any."""
        ...

    def requeue(self, workflow_ids: Sequence[str]) -> None:
        """Gives workflows back to the queue, from which any replica takes them."""
        ...


class Reaper:
    """Gives back to the queue what is left on replicas without a live lease."""

    def __init__(
        self, *, database: Database, lease: Lease, handover: Handover, taken_over: Callable[[int], None]
    ) -> None:
        self._database = database
        self._lease = lease
        self._handover = handover
        self._taken_over = taken_over

    async def run(self) -> None:
        """Looks twice a second at the replicas known to be dead, and every minute at all that is under way."""
        whole_at = time.monotonic()
        while True:
            await asyncio.sleep(REAP_SECONDS)
            if not self._lease.settled:
                continue
            whole = time.monotonic() >= whole_at
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
            db.execute(replicas.delete().where(replicas.c.beat_at.between(1, _now() - _micros(FORGET_SECONDS))))
        live = {row.replica_id for row in db.execute(live_replicas())}
        known = {row.replica_id for row in db.execute(sa.select(replicas.c.replica_id))}
        dead = sorted(known - live)
        if not dead and not whole:
            return 0
        left = [
            workflow for workflow, replica in self._handover.pending(None if whole else dead) if replica not in live
        ]
        if left:
            self._handover.requeue(left)
        if whole:
            # Whoever released its lease runs nothing any more, and whatever it left was just given back.
            db.execute(replicas.delete().where(replicas.c.beat_at == 0))
        return len(left)


def live_replicas() -> "sa.Select[tuple[str]]":
    """Selects the replicas whose lease is live.

    One of the future was written before the database's clock was set back: whoever lives renews it at once.
    """
    ttl = _micros(TTL_SECONDS)
    return sa.select(replicas.c.replica_id).where(replicas.c.beat_at.between(_now() - ttl, _now() + ttl))


def _now() -> "sa.ColumnElement[int]":
    # Not now(), which stands still while a transaction waits.
    return sa.cast(sa.extract("epoch", sa.func.clock_timestamp()) * 1_000_000, sa.BigInteger)


def _micros(seconds: float) -> int:
    return int(seconds * 1_000_000)
