"""Notifications between servers: after a commit the others learn which projects to read again, and which jobs to wake.

A notification holds pointers only and may be lost: the hub polls by itself, and cancellations are polled for.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator, Sequence

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.postgres import listening
from evergreen_server.jobs.db.schema import jobs
from evergreen_server.jobs.model.change import Change
from evergreen_server.jobs.model.states import State

CHANNEL = "evergreen"
GATHER_SECONDS = 0.025
"""NOTIFY takes a lock of the whole database at commit, so notifications are sent together, apart from the commits."""
SILENT_SECONDS, ANSWER_SECONDS = 10.0, 5.0
"""After so long without a notification the connection is asked for an answer, and given up without one."""
POLL_SECONDS = 15.0
LARGEST = 7_000
"""Bytes of a payload, of which PostgreSQL takes 7,999."""

logger = logging.getLogger(__name__)


class Notifier:
    """Notifies the other servers, and is notified. `send`, `listen` and `poll_cancellations` must run beside it."""

    def __init__(
        self,
        *,
        database: Database,
        replica_id: str,
        on_changes: Callable[[Sequence[Change]], None],
        on_resync: Callable[[], None],
    ) -> None:
        """Takes what is called on the loop with others' changes, and when some may have been missed."""
        self._database = database
        self._replica_id = replica_id
        self._on_changes = on_changes
        self._on_resync = on_resync
        self._projects: set[str] = set()
        self._jobs: set[str] = set()
        self._news = asyncio.Event()

    def publish(self, changes: Sequence[Change]) -> None:
        """Notes changes of this server, which `send` sends within GATHER_SECONDS."""
        self._projects.update(change.project_id for change in changes)
        self._jobs.update(change.job_id for change in changes if change.external)
        self._news.set()

    async def send(self) -> None:
        """Sends what was published, many changes at a time."""
        while True:
            await self._news.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._news.clear()
            payloads = list(_payloads(self._replica_id, sorted(self._projects), sorted(self._jobs)))
            self._projects.clear()
            self._jobs.clear()
            try:
                await self._database.write(lambda db, payloads=payloads: _notify(db, payloads))  # type: ignore[misc] # a default binds the loop's variable
            except SQLAlchemyError as exc:
                logger.warning("notification not sent", extra={"cause": type(exc).__name__})

    async def listen(self) -> None:
        """Receives from the others over one connection, which is opened again whenever it is lost."""
        while True:
            try:
                address = listening(self._database.url)
                connection = await psycopg.AsyncConnection.connect(address, autocommit=True)
                async with connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    self._on_resync()
                    while True:
                        async for notification in connection.notifies(timeout=SILENT_SECONDS):
                            self._receive(notification.payload)
                        # Silent for a while: is the connection still alive?
                        async with asyncio.timeout(ANSWER_SECONDS):
                            await connection.execute("SELECT 1")
            except (psycopg.Error, OSError, TimeoutError) as exc:
                logger.warning("notifications not received", extra={"cause": type(exc).__name__})
            await asyncio.sleep(1.0)

    async def poll_cancellations(self) -> None:
        """Wakes every few seconds the jobs that are to be cancelled, in case a notification was lost."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                found = await self._database.read(cancelling)
            except SQLAlchemyError as exc:
                logger.warning("cancellations not read", extra={"cause": type(exc).__name__})
                continue
            if found:
                self._on_changes([Change(project_id="", job_id=job_id, external=True) for job_id in found])

    def _receive(self, payload: str) -> None:
        notification = json.loads(payload)
        if notification["replica"] == self._replica_id:
            return
        changes = [Change(project_id=project_id, job_id="") for project_id in notification["projects"]]
        changes += [Change(project_id="", job_id=job_id, external=True) for job_id in notification["jobs"]]
        self._on_changes(changes)


def tell_to_look(db: sa.Connection, *, replica_id: str) -> None:
    """Has the other servers look into the engine's queues, though no job has changed."""
    _notify(db, [json.dumps({"replica": replica_id, "projects": [], "jobs": []})])


def cancelling(db: sa.Connection) -> list[str]:
    return list(db.execute(sa.select(jobs.c.job_id).where(jobs.c.state == State.CANCELLING.value)).scalars())


def _payloads(replica_id: str, projects: Sequence[str], jobs: Sequence[str]) -> Iterator[str]:
    """Packs names into as few payloads as they fit in; ids are ASCII and bounded."""
    packed: dict[str, list[str]] = {"projects": [], "jobs": []}
    size = 0
    for kind, name in [*(("projects", name) for name in projects), *(("jobs", name) for name in jobs)]:
        if size + len(name) > LARGEST:
            yield json.dumps({"replica": replica_id, **packed})
            packed, size = {"projects": [], "jobs": []}, 0
        packed[kind].append(name)
        size += len(name) + 4
    if size:
        yield json.dumps({"replica": replica_id, **packed})


def _notify(db: sa.Connection, payloads: Sequence[str]) -> None:
    for payload in payloads:
        db.execute(sa.select(sa.func.pg_notify(CHANNEL, payload)))
