"""A replica's lease: renewed by a thread of its own while the replica lives."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from evergreen_server.jobs.db.database import Database, insert_new
from evergreen_server.jobs.db.replicas import TTL_SECONDS, DatabaseNow, dead_replicas
from evergreen_server.jobs.db.shared_schema import replicas
from evergreen_server.ports.provider import NotOurs

logger = logging.getLogger(__name__)


BEAT_SECONDS = 0.5


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
        self._dead: frozenset[str] = frozenset()
        self._renewed = asyncio.Event()

    async def renewed(self) -> frozenset[str]:
        """Waits until the lease is renewed, twice a second. Returns the replicas that held none at that moment."""
        self._renewed.clear()
        await self._renewed.wait()
        return self._dead

    def guard(self) -> Callable[[], None]:
        """Returns a check that raises NotOurs once another replica may own what this one owns now.

        It does so if the lease was not renewed within half its life, or has run out since, even if renewed again.
        """
        held_since = self._held_since

        def check() -> None:
            # In this order: a renewal after a gap changes the second before it makes the first true.
            if not self.live or self._held_since != held_since:
                raise NotOurs("This replica's lease ran out, or is too old; nothing was sent.")

        return check

    @property
    def live(self) -> bool:
        """Returns whether the lease was renewed within half its life."""
        return self._boottime() - self._renewed_at < TTL_SECONDS / 2

    @property
    def settled(self) -> bool:
        """Returns whether the lease was held without a gap for so long that every other live replica has its own."""
        return self.live and self._held_since is not None and self._boottime() - self._held_since > TTL_SECONDS

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Holds the lease; on exit it is released, which says at once that nothing runs here any more."""
        await asyncio.to_thread(self._renew)
        loop = asyncio.get_running_loop()
        thread = threading.Thread(target=self._keep, args=(loop,), name="lease", daemon=True)
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

    def _keep(self, loop: asyncio.AbstractEventLoop) -> None:
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
                loop.call_soon_threadsafe(self._renewed.set)

    def _renew(self) -> None:
        asked_at = self._boottime()
        self._dead = self._database.transact(self._beat)
        answered_at = self._boottime()
        # The longest that the lease can have been expired, as the others see it.
        if self._held_since is None or answered_at - self._renewed_at > TTL_SECONDS:
            self._held_since = answered_at
        # The time before the write, since its answer may have taken long.
        self._renewed_at = asked_at

    def _beat(self, db: sa.Connection) -> frozenset[str]:
        beat = replicas.update().where(replicas.c.replica_id == self._replica_id).values(beat_at=DatabaseNow())
        if not db.execute(beat).rowcount:
            insert_new(db, replicas, {"replica_id": self._replica_id, "beat_at": 0})
            db.execute(beat)
        return frozenset(row.replica_id for row in db.execute(dead_replicas()))

    def _release(self, db: sa.Connection) -> None:
        db.execute(replicas.update().where(replicas.c.replica_id == self._replica_id).values(beat_at=0))
