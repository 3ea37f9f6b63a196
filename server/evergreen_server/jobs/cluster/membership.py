"""Whether this server is alone on its database or one of several, and all that differs with that.

SingleNode     SQLite: no other process can have the database open
Replicated     PostgreSQL: others may live, come, go, and take over what this one leaves
"""

import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Protocol
from uuid import uuid4

from evergreen_server.jobs.announcer import Announcer
from evergreen_server.jobs.cluster.lease import Lease
from evergreen_server.jobs.cluster.notifier import Notifier
from evergreen_server.jobs.cluster.reaper import Handover, Reaper
from evergreen_server.jobs.cluster.storage_locks import StorageLocks
from evergreen_server.jobs.db.database import Database
from evergreen_server.runtime.background import Work
from evergreen_storage import Lock

GRACE_SECONDS = 5.0
"""How much longer than a POST may last its answer may take to be recorded by another server."""


class Membership(Protocol):
    """This server's place among those of its database."""

    replica_id: str
    """Names this process in rows. On a single node always the same, since its jobs are its own after a restart."""
    replicated: bool
    """Whether other servers may live beside this one."""
    restart_spread_seconds: tuple[float, float] | None
    """Over how long the first polls after a take-over are spread; None for the usual pace of a restart."""
    storage_lock: Lock | None
    """Locks a key of a storage that cannot compare before it writes; None where a lock of the process is enough."""

    def open(self) -> AbstractAsyncContextManager[None]:
        """Holds this server's lease; to be left after all that owns jobs has ended."""
        ...

    def lease_check(self) -> Callable[[], None]:
        """Returns what raises NotOurs once another server may own what this one owns now.

        To be called before what cannot be taken back is recorded; what it returns, just before it is sent.
        """
        ...

    def healthy(self) -> bool:
        """Returns whether this server may be sent calls: its lease is live."""
        ...

    def submission_grace_seconds(self, create_seconds: float) -> float:
        """Returns how long after an intent another process may still record the answer of its POST."""
        ...

    def tasks(self) -> Sequence[tuple[str, Work]]:
        """Returns the background work, by name, that must run before jobs do."""
        ...

    def upkeep(self, handover: Handover, taken_over: Callable[[int], None]) -> Sequence[tuple[str, Work]]:
        """Returns the background work, by name, that takes over the jobs of dead servers."""
        ...


class SingleNode:
    """The only server of its database."""

    replica_id = "local"
    replicated = False
    restart_spread_seconds: tuple[float, float] | None = None
    storage_lock: Lock | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        yield

    def lease_check(self) -> Callable[[], None]:
        return lambda: None

    def healthy(self) -> bool:
        return True

    def submission_grace_seconds(self, create_seconds: float) -> float:
        return 0.0

    def tasks(self) -> Sequence[tuple[str, Work]]:
        return ()

    def upkeep(self, handover: Handover, taken_over: Callable[[int], None]) -> Sequence[tuple[str, Work]]:
        return ()


class Replicated:
    """One of several servers: it holds a lease, notifies the others, and takes over what dead ones leave."""

    replicated = True
    restart_spread_seconds: tuple[float, float] | None = (0.0, 0.5)

    def __init__(self, database: Database, announcer: Announcer) -> None:
        self._database = database
        # New for each process, since an earlier one on this machine may still live.
        self.replica_id = f"{socket.gethostname()}-{uuid4().hex[:12]}"
        self._lease = Lease(database, self.replica_id, boottime=partial(time.clock_gettime, time.CLOCK_BOOTTIME))
        self._notifier = Notifier(
            database=database,
            replica_id=self.replica_id,
            on_changes=announcer.received,
            on_resync=announcer.resync,
        )
        announcer.subscribe_here(self._notifier.publish)
        self.storage_lock: Lock | None = StorageLocks(
            database=database, replica_id=self.replica_id, guard=self._lease.guard
        ).held

    def open(self) -> AbstractAsyncContextManager[None]:
        return self._lease.open()

    def lease_check(self) -> Callable[[], None]:
        return self._lease.guard()

    def healthy(self) -> bool:
        return self._lease.live

    def submission_grace_seconds(self, create_seconds: float) -> float:
        return create_seconds + GRACE_SECONDS

    def tasks(self) -> Sequence[tuple[str, Work]]:
        return (
            ("notifications sent", self._notifier.send),
            ("notifications received", self._notifier.listen),
            ("cancellations", self._notifier.poll_cancellations),
        )

    def upkeep(self, handover: Handover, taken_over: Callable[[int], None]) -> Sequence[tuple[str, Work]]:
        reaper = Reaper(database=self._database, lease=self._lease, handover=handover, taken_over=taken_over)
        return (("reaper", reaper.run),)


def membership_of(database: Database, announcer: Announcer) -> Membership:
    """Returns this server's membership: replicated where other processes may have the database open, too."""
    return Replicated(database, announcer) if database.shared else SingleNode()
