"""Notices between replicas: after a commit the others hear which projects to read again and which jobs to look at.

A notice holds pointers only and may be lost: the feed looks again by itself, and so does whoever executes a job.
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
"""NOTIFY takes a lock of the whole database at commit, so that notices are sent together, apart from the commits."""
LISTEN_SECONDS = 5.0
LOOK_SECONDS = 5.0
LARGEST = 7_000
"""Bytes of a payload, of which PostgreSQL takes 7,999."""

logger = logging.getLogger(__name__)


class Notifier:
    """Tells the other replicas of a shared database, and hears them; `send`, `listen` and `look` run beside it."""

    def __init__(
        self,
        *,
        database: Database,
        replica_id: str,
        heard: Callable[[Sequence[Change]], None],
        missed: Callable[[], None],
    ) -> None:
        """Takes what is called on the loop with others' changes, and when some may have been missed."""
        self._database = database
        self._replica_id = replica_id
        self._heard = heard
        self._missed = missed
        self._projects: set[str] = set()
        self._jobs: set[str] = set()
        self._news = asyncio.Event()

    def tell(self, changes: Sequence[Change]) -> None:
        """Notes changes of this replica, to be told soon."""
        self._projects.update(change.project_id for change in changes)
        self._jobs.update(change.job_id for change in changes if change.external)
        self._news.set()

    async def send(self) -> None:
        """Sends what was noted, many changes at a time."""
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
                logger.warning("notice not sent", extra={"cause": type(exc).__name__})

    async def listen(self) -> None:
        """Hears the others over one connection, which is made anew for as long as it takes."""
        while True:
            try:
                address = listening(self._database.url)
                connection = await psycopg.AsyncConnection.connect(address, autocommit=True)
                async with connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    self._missed()
                    while True:
                        async for notice in connection.notifies(timeout=LISTEN_SECONDS):
                            self._hear(notice.payload)
                        # Without a word for a while: is there still somebody at the other end?
                        async with asyncio.timeout(LISTEN_SECONDS):
                            await connection.execute("SELECT 1")
            except (psycopg.Error, OSError, TimeoutError) as exc:
                logger.warning("notices not heard", extra={"cause": type(exc).__name__})
            await asyncio.sleep(1.0)

    async def look(self) -> None:
        """Looks every few seconds for wishes that no notice told of."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                found = await self._database.read(cancelling)
            except SQLAlchemyError as exc:
                logger.warning("wishes not read", extra={"cause": type(exc).__name__})
                continue
            self._heard([Change(project_id="", job_id=job_id, external=True) for job_id in found])

    def _hear(self, payload: str) -> None:
        notice = json.loads(payload)
        if notice["replica"] == self._replica_id:
            return
        changes = [Change(project_id=project_id, job_id="") for project_id in notice["projects"]]
        changes += [Change(project_id="", job_id=job_id, external=True) for job_id in notice["jobs"]]
        self._heard(changes)


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
