"""Who writes to which scene, so that none is deleted under a writer: by count, or by rows where servers are several.

A writer that is about to replace or delete a file claims it, so that no job that needs the file is accepted meanwhile.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Protocol, TypeAlias
from uuid import uuid4

import sqlalchemy as sa

from evergreen_server.jobs.db.database import TRANSIENT_ERRORS, Database
from evergreen_server.jobs.db.replicas import live_replicas
from evergreen_server.jobs.db.shared_schema import asset_claims, scene_writers
from evergreen_server.jobs.model.job import JobRequest
from evergreen_server.jobs.store.needs import claimed, named_by, refuse_claimed, refuse_needed
from evergreen_server.jobs.store.project_lock import lock_project, refuse_marked

POLL_SECONDS = 0.5

logger = logging.getLogger(__name__)

Claim: TypeAlias = Callable[[str], Awaitable[None]]
"""Claims a file of the scene until the writer is done. Raises SceneBusy if a job that is not final needs it."""

_Key: TypeAlias = tuple[str, str]


@dataclass(slots=True)
class _Count:
    number: int = 0
    none: asyncio.Event = field(default_factory=asyncio.Event)


class _Counts:
    """The writers of this process, by scene."""

    def __init__(self) -> None:
        self._counts: dict[_Key, _Count] = {}

    @contextmanager
    def one(self, project_id: str, scene_id: str) -> Iterator[None]:
        """Counts one writer more while the context lasts."""
        count = self._counts.setdefault((project_id, scene_id), _Count())
        count.number += 1
        try:
            yield
        finally:
            count.number -= 1
            if not count.number:
                count.none.set()
                del self._counts[project_id, scene_id]

    def of(self, project_id: str, scene_id: str) -> int:
        count = self._counts.get((project_id, scene_id))
        return 0 if count is None else count.number

    async def none(self, project_id: str, scene_id: str) -> None:
        """Waits until there is no writer."""
        count = self._counts.get((project_id, scene_id))
        if count is not None:
            await count.none.wait()


class SceneWriters(Protocol):
    """The writers of every scene. A deletion marks the scene before it counts them, so that each sees the other."""

    def refuse(self, db: sa.Connection, request: JobRequest) -> None:
        """Raises SceneBusy if a file that the request names is claimed. To be called under the project's lock."""
        ...

    def hold(self, project_id: str, scene_id: str) -> AbstractAsyncContextManager[Claim]:
        """Counts the caller as a writer and lets it claim files. Raises SceneBusy if the scene is being deleted."""
        ...

    async def count(self, project_id: str, scene_id: str) -> int:
        """Returns how many write to the scene, on any server."""
        ...

    async def wait_until_idle(self, project_id: str, scene_id: str) -> None:
        """Waits until the scene has no writer."""
        ...

    async def tidy(self) -> None:
        """Removes what writers left behind that ended while the database was away; else jobs would wait for it."""
        ...


class CountedWriters:
    """Counts the writers of this process, which is the only one."""

    def __init__(self, *, database: Database) -> None:
        self._database = database
        self._counts = _Counts()
        self._claims: Counter[tuple[str, str, str]] = Counter()

    def refuse(self, db: sa.Connection, request: JobRequest) -> None:
        for scene_id, path in named_by(request):
            if self._claims[request.project_id, scene_id, path]:
                raise claimed(path)

    @asynccontextmanager
    async def hold(self, project_id: str, scene_id: str) -> AsyncIterator[Claim]:
        mine: list[tuple[str, str, str]] = []

        async def claim(path: str) -> None:
            # Noted first: a job that is accepted after the reading must find it, and one before is found by the
            # reading, since both go through the one thread that writes.
            mine.append((project_id, scene_id, path.lower()))
            self._claims.update(mine[-1:])
            await self._database.write(lambda db: refuse_needed(db, project_id, scene_id, path))

        with self._counts.one(project_id, scene_id):
            await self._database.read(lambda db: refuse_marked(db, project_id, scene_id))
            try:
                yield claim
            finally:
                for key in mine:
                    self._claims[key] -= 1
                    if not self._claims[key]:
                        del self._claims[key]

    async def count(self, project_id: str, scene_id: str) -> int:
        return self._counts.of(project_id, scene_id)

    async def wait_until_idle(self, project_id: str, scene_id: str) -> None:
        await self._counts.none(project_id, scene_id)

    async def tidy(self) -> None:
        """Does nothing: a count ends with its writer."""


class RecordedWriters:
    """Records each writer in a row, which counts while its server's lease is live."""

    def __init__(self, *, database: Database, replica_id: str, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._replica_id = replica_id
        self._clock = clock
        self._counts = _Counts()
        self._stale: set[str] = set()

    def refuse(self, db: sa.Connection, request: JobRequest) -> None:
        for scene_id, path in named_by(request):
            refuse_claimed(db, request.project_id, scene_id, path)

    async def count(self, project_id: str, scene_id: str) -> int:
        return await self._database.read(lambda db: _living(db, project_id, scene_id))

    async def wait_until_idle(self, project_id: str, scene_id: str) -> None:
        # Without a reading of the rows for those of this process.
        await self._counts.none(project_id, scene_id)
        while True:
            if not await self.count(project_id, scene_id):
                return
            await asyncio.sleep(POLL_SECONDS)

    async def tidy(self) -> None:
        stale = tuple(self._stale)
        if stale:
            await self._database.write(partial(_take_away, writer_ids=stale))
            self._stale.difference_update(stale)

    @asynccontextmanager
    async def hold(self, project_id: str, scene_id: str) -> AsyncIterator[Claim]:
        with self._counts.one(project_id, scene_id):
            async with self._row(project_id, scene_id) as claim:
                yield claim

    @asynccontextmanager
    async def _row(self, project_id: str, scene_id: str) -> AsyncIterator[Claim]:
        writer_id = uuid4().hex
        row = {
            "writer_id": writer_id,
            "project_id": project_id,
            "scene_id": scene_id,
            "replica_id": self._replica_id,
        }

        left = False

        def enter(db: sa.Connection) -> None:
            # Under the lock that a deletion marks under.
            lock_project(db, project_id, self._clock())
            # A cancelled caller may have left before it entered: the two run in different threads.
            if not left:
                refuse_marked(db, project_id, scene_id)
                db.execute(scene_writers.insert().values(**row))

        def leave(db: sa.Connection) -> None:
            nonlocal left
            lock_project(db, project_id, self._clock())
            left = True
            _take_away(db, [writer_id, *stale])

        async def claim(path: str) -> None:
            def work(db: sa.Connection) -> None:
                lock_project(db, project_id, self._clock())
                refuse_needed(db, project_id, scene_id, path)
                if not left:
                    db.execute(asset_claims.insert().values(**row, path=path.lower()))

            await asyncio.shield(self._database.write(work))

        stale = tuple(self._stale)
        try:
            # Shielded: the row is written even if the caller is cancelled, and then it must be removed again.
            await asyncio.shield(self._database.write(enter))
            yield claim
        finally:
            try:
                await asyncio.shield(self._database.write(leave))
                self._stale.difference_update(stale)
            except TRANSIENT_ERRORS as exc:
                # The write itself stays; the row is removed with the next writer's, or by the janitor.
                logger.warning("writer not removed", extra={"cause": type(exc).__name__})
                self._stale.add(writer_id)


def _take_away(db: sa.Connection, writer_ids: Collection[str]) -> None:
    for table in (scene_writers, asset_claims):
        db.execute(table.delete().where(table.c.writer_id.in_(writer_ids)))


def _living(db: sa.Connection, project_id: str, scene_id: str) -> int:
    """Returns the number of writers of living replicas; those of a dead one are deleted with its lease."""
    query = sa.select(sa.func.count()).where(
        scene_writers.c.project_id == project_id,
        scene_writers.c.scene_id == scene_id,
        scene_writers.c.replica_id.in_(live_replicas()),
    )
    return int(db.execute(query).scalar_one())
