"""Locks between replicas, by rows of the shared database, for a storage that cannot compare before it swaps.

A lock ends with its holder or with the lease of its holder's replica, whichever is first. So a replica that is gone or
stopped holds nobody up for longer than its lease lives, and one that wakes is refused just before it would write. What
remains is a replica that is stopped in the very instant between that look and the write.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

import sqlalchemy as sa

from evergreen_server.jobs.db.database import TRANSIENT_ERRORS, Database, insert_new
from evergreen_server.jobs.db.replicas import live_replicas
from evergreen_server.jobs.db.shared_schema import storage_locks
from evergreen_server.ports.provider import NotSent
from evergreen_storage import Unavailable

POLL_SECONDS = 0.05
WAIT_SECONDS = 30.0

logger = logging.getLogger(__name__)


class StorageLocks:
    """The locks that this replica takes. `guard` is its lease's."""

    def __init__(self, *, database: Database, replica_id: str, guard: Callable[[], Callable[[], None]]) -> None:
        self._database = database
        self._replica_id = replica_id
        self._guard = guard
        self._left: set[str] = set()
        """Holders that have released the lock, whose rows may still be there."""

    @asynccontextmanager
    async def held(self, key: str) -> AsyncIterator[Callable[[], None]]:
        """Holds a key; yields a check that raises Unavailable once another replica may hold it. Raises Unavailable."""
        holder, live = uuid4().hex, self._guard()

        def check() -> None:
            try:
                live()
            except NotSent as exc:
                raise Unavailable(f"the lock of {key!r} was lost with this server's lease; try again") from exc

        try:
            await self._acquire(key, holder)
            yield check
        finally:
            self._left.add(holder)
            await asyncio.shield(self._release())

    async def _acquire(self, key: str, holder: str) -> None:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while True:
                    if await self._written(lambda db: self._insert(db, key, holder)):
                        return
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise Unavailable(f"{key!r} is being written by another server; try again") from None
        except TRANSIENT_ERRORS as exc:
            raise Unavailable(f"the lock of {key!r} cannot be taken: the database is away") from exc

    async def _written(self, insert: Callable[[sa.Connection], bool]) -> bool:
        future = self._database.write(insert)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            # The row must be there before it can be deleted.
            with suppress(asyncio.CancelledError):
                await asyncio.wait([future])
            raise

    def _insert(self, db: sa.Connection, key: str, holder: str) -> bool:
        dead = storage_locks.c.replica_id.not_in(live_replicas())
        db.execute(storage_locks.delete().where(storage_locks.c.key == key, dead))
        return insert_new(db, storage_locks, {"key": key, "holder": holder, "replica_id": self._replica_id})

    async def _release(self) -> None:
        left = tuple(self._left)
        try:
            await self._database.write(
                lambda db: db.execute(storage_locks.delete().where(storage_locks.c.holder.in_(left)))
            )
        except TRANSIENT_ERRORS as exc:
            # The rows are deleted with the next release, or when the lease is forgotten.
            logger.warning("lock not released", extra={"cause": type(exc).__name__})
        else:
            self._left.difference_update(left)
