"""Looks, at start and then every minute, for what was left half done and nobody acts on; ends it or tells of it.

- Jobs that nobody runs, after a fault in the engine's own tables, are started again.
- Jobs beyond their clock: one that waits is woken, one that nobody runs is among those above; what then still does not
  end, since the provider is out of reach, is told of.
- Tasks at the provider that came to light after their jobs had gone on without them are attached or deleted.
- Deletions of scenes that broke off are seen to their end.
- Files that killed writers left on a disk are removed once they are a day old. Temporary files of this machine go with
  the next start (see `temp`); unfinished uploads to an object store are for a rule of its bucket; uploads at the
  provider expire there within a day. A writer's row counts no more once its replica's lease has run out.

Inline media go with the change that ends their job, ended workflows and old rows by `retention`, leases by `leases`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias

import sqlalchemy as sa

from evergreen_server.jobs.db.database import TRANSIENT_ERRORS, Database
from evergreen_server.jobs.db.mapping import to_micros
from evergreen_server.jobs.db.schema import jobs
from evergreen_server.jobs.execution.context import StepContext
from evergreen_server.jobs.execution.orphans import settle_orphans
from evergreen_server.jobs.model.states import Stage, State
from evergreen_server.jobs.model.transitions import run_again
from evergreen_storage import StorageError

ROUND_SECONDS = 60.0
FILES_SECONDS = 3600.0
"""How often the files are looked through, which may be many."""
PATIENCE = timedelta(minutes=5)
"""How far beyond its clock a job may be before it is told of: whoever executes it acts within seconds."""
NAMED = 10

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found at one time."""

    deletions: int = 0
    """Deletions of scenes that had broken off."""
    finished: int = 0
    """Those of them that were seen to their end."""
    restarted: tuple[str, ...] = ()
    """Jobs that nobody ran, and that were started again."""
    overdue: tuple[str, ...] = ()
    """Jobs beyond their start_by or finish_by that should have ended by themselves."""
    files: int = 0
    """Files of killed writers that were removed."""


class Deletions(Protocol):
    """Deletions of scenes, which `scenes` makes."""

    async def finish(self) -> tuple[int, int]:
        """Returns how many deletions had broken off, and how many of them were finished now."""
        ...


Part: TypeAlias = Callable[[Report], Awaitable[Report]]
"""Looks for one thing, and returns what was found so far with what it found."""


class Janitor:
    """Any number of replicas may sweep at once: what one of them does, another finds done.

    Each part goes by itself: one that fails, or waits for a provider or a storage that hangs, holds up no other.
    """

    def __init__(
        self, *, database: Database, context: StepContext, running: Callable[[], Collection[str]], deletions: Deletions
    ) -> None:
        """Takes what tells which jobs run here."""
        self._database = database
        self._context = context
        self._running = running
        self._deletions = deletions
        self._idle: set[str] = set()
        # They were looked through when the storage was opened.
        self._files_at = context.monotonic() + FILES_SECONDS
        self._parts: Mapping[str, Part] = {
            "idle jobs": self._restart,
            "overdue jobs": self._wake,
            "orphans": self._settle_orphans,
            "deletions": self._finish_deletions,
            "files": self._remove_files,
        }

    async def run(self) -> None:
        """Does each part at once, and then every minute."""
        async with asyncio.TaskGroup() as parts:
            for name, part in self._parts.items():
                parts.create_task(self._repeat(name, part), name=f"sweep of {name}")

    async def round(self) -> Report:
        """Does each part once, one after the other."""
        found = Report()
        for name, part in self._parts.items():
            found = await self._do(name, part, found)
        return found

    async def _repeat(self, name: str, part: Part) -> None:
        while True:
            self._tell(await self._do(name, part, Report()))
            await asyncio.sleep(ROUND_SECONDS)

    async def _do(self, name: str, part: Part, found: Report) -> Report:
        try:
            return await part(found)
        except Exception:
            # The outermost loop of this part. The next time it finds the same again.
            logger.exception("sweep failed", extra={"part": name})
            return found

    def _tell(self, found: Report) -> None:
        counts = {
            "scene_deletions": found.finished,
            "restarted_jobs": len(found.restarted),
            "left_files": found.files,
            "overdue_jobs": len(found.overdue),
        }
        for what, number in counts.items():
            self._context.metrics.swept(what, number)
        if found != Report():
            told = {**counts, "scene_deletions": found.deletions, "finished": found.finished}
            logger.warning("swept", extra={**told, "such_as": list(found.overdue[:NAMED])})

    async def _restart(self, found: Report) -> Report:
        """Starts again what should run here and does not."""
        # Those of other living replicas are theirs to look after.
        idle = set(await self._context.store.stranded()) - set(self._running())
        # Only what was idle twice: a new job waits a moment for the engine to take it up.
        restarted: list[str] = []
        for job_id in sorted(idle & self._idle):
            logger.warning("job started again", extra={"job_id": job_id})
            try:
                await self._context.store.command(job_id, run_again)
            except TRANSIENT_ERRORS:
                raise
            except Exception:
                # One row that is gone, or cannot be read, must not keep those after it waiting.
                logger.exception("job not started again", extra={"job_id": job_id})
            else:
                restarted.append(job_id)
        self._idle = idle
        return replace(found, restarted=tuple(restarted))

    async def _wake(self, found: Report) -> Report:
        """Has jobs that wait beyond their clock look at it, which may have been set; names those long beyond it."""
        now = self._context.clock()
        for job_id in await self._database.read(lambda db: beyond_clock(db, now, State.QUEUED)):
            self._context.wakeups.wake(job_id)
        alive = (State.QUEUED, State.RUNNING, State.CANCELLING)
        late = await self._database.read(lambda db: beyond_clock(db, now - PATIENCE, *alive))
        return replace(found, overdue=tuple(late))

    async def _settle_orphans(self, found: Report) -> Report:
        await settle_orphans(self._context)
        return found

    async def _finish_deletions(self, found: Report) -> Report:
        deletions, finished = await self._deletions.finish()
        return replace(found, deletions=deletions, finished=finished)

    async def _remove_files(self, found: Report) -> Report:
        if self._context.monotonic() < self._files_at:
            return found
        self._files_at = self._context.monotonic() + FILES_SECONDS
        try:
            return replace(found, files=await self._context.scenes.sweep())
        except StorageError as exc:
            logger.warning("files not swept", extra={"cause": str(exc)})
            return found


def beyond_clock(db: sa.Connection, before: datetime, *states: State) -> list[str]:
    start = sa.and_(jobs.c.state == State.QUEUED.value, jobs.c.attempt == 1, jobs.c.start_by < to_micros(before))
    # A clip that is being delivered is paid for, and no clock ends it.
    finish = sa.and_(jobs.c.finish_by < to_micros(before), jobs.c.stage != Stage.DELIVERING.value)
    of_states = jobs.c.state.in_([state.value for state in states])
    return list(
        db.execute(sa.select(jobs.c.job_id).where(of_states, sa.or_(start, finish)).order_by(jobs.c.job_id)).scalars()
    )
