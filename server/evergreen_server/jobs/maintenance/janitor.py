"""Runs at start and every minute; repairs unfinished work.

- Jobs without a workflow, after damage to the engine's own tables, are started again.
- Jobs beyond their deadline: one that waits is woken, one without a workflow is started as above; those that still do
  not end, since the provider is out of reach, are logged.
- Orphaned tasks at the provider are attached to their jobs or deleted.
- Interrupted deletions of scenes are finished.
- Files that killed writers left on a disk are removed once they are a day old. Temporary files of this machine are
  removed at the next start (see `temp`), unfinished uploads to an object store by a rule of its bucket, and uploads at
  the provider expire there within a day. A writer's row no longer counts once its replica's lease has run out.

Inline media are deleted by the change that ends their job, ended workflows and old rows by `retention`, and leases by
the `reaper`.
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

INTERVAL_SECONDS = 60.0
FILES_SECONDS = 3600.0
"""How often the files, which may be many, are searched."""
PATIENCE = timedelta(minutes=5)
"""How far beyond its deadline a job may be before it is logged: its execution acts within seconds."""
NAMED = 10

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one run found."""

    deletions: int = 0
    """Deletions of scenes that had been interrupted."""
    finished: int = 0
    """How many of them were finished."""
    restarted: tuple[str, ...] = ()
    """Jobs without a workflow, which were started again."""
    overdue: tuple[str, ...] = ()
    """Jobs beyond their start_by or finish_by that should have ended by themselves."""
    files: int = 0
    """Files of killed writers that were removed."""


class Deletions(Protocol):
    """Deletions of scenes, which `scenes` makes."""

    async def finish(self) -> tuple[int, int]:
        """Returns how many deletions had been interrupted, and how many of them were finished now."""
        ...


Part: TypeAlias = Callable[[Report], Awaitable[Report]]
"""Repairs one kind of thing, and returns the report extended by what it found."""


class Janitor:
    """Repairs unfinished work. Any number of replicas may do so at once: each finds done what another has done.

    Each part runs by itself: one that fails, or waits for a provider or a storage that hangs, delays no other.
    """

    def __init__(
        self, *, database: Database, context: StepContext, running: Callable[[], Collection[str]], deletions: Deletions
    ) -> None:
        """`running` returns the jobs that run here."""
        self._database = database
        self._context = context
        self._running = running
        self._deletions = deletions
        self._idle: set[str] = set()
        # They were searched when the storage was opened.
        self._files_at = context.monotonic() + FILES_SECONDS
        self._parts: Mapping[str, Part] = {
            "idle jobs": self._restart,
            "overdue jobs": self._wake,
            "orphans": self._settle_orphans,
            "deletions": self._finish_deletions,
            "files": self._remove_files,
        }

    async def run(self) -> None:
        """Runs each part at once, and then every minute."""
        async with asyncio.TaskGroup() as parts:
            for name, part in self._parts.items():
                parts.create_task(self._repeat(name, part), name=f"sweep of {name}")

    async def run_once(self) -> Report:
        """Runs each part once, one after the other, and returns what they found."""
        found = Report()
        for name, part in self._parts.items():
            found = await self._do(name, part, found)
        return found

    async def _repeat(self, name: str, part: Part) -> None:
        while True:
            self._report(await self._do(name, part, Report()))
            await asyncio.sleep(INTERVAL_SECONDS)

    async def _do(self, name: str, part: Part, found: Report) -> Report:
        try:
            return await part(found)
        except Exception:
            # The outermost loop of this part: the next run finds the same again.
            logger.exception("sweep failed", extra={"part": name})
            return found

    def _report(self, found: Report) -> None:
        counts = {
            "scene_deletions": found.finished,
            "restarted_jobs": len(found.restarted),
            "left_files": found.files,
            "overdue_jobs": len(found.overdue),
        }
        for what, number in counts.items():
            self._context.metrics.swept(what, number)
        if found != Report():
            facts = {**counts, "scene_deletions": found.deletions, "finished": found.finished}
            logger.warning("swept", extra={**facts, "such_as": list(found.overdue[:NAMED])})

    async def _restart(self, found: Report) -> Report:
        """Starts again the jobs that should run here and do not."""
        # Other living replicas look after their own jobs.
        idle = set(await self._context.store.stranded()) - set(self._running())
        # Only jobs that were idle twice: a new job waits for a short time until the engine starts it.
        restarted: list[str] = []
        for job_id in sorted(idle & self._idle):
            logger.warning("job started again", extra={"job_id": job_id})
            try:
                await self._context.store.command(job_id, run_again)
            except TRANSIENT_ERRORS:
                raise
            except Exception:
                # One row that is gone, or cannot be read, must not delay the others.
                logger.exception("job not started again", extra={"job_id": job_id})
            else:
                restarted.append(job_id)
        self._idle = idle
        return replace(found, restarted=tuple(restarted))

    async def _wake(self, found: Report) -> Report:
        """Wakes jobs that wait beyond their deadline, in case the clock was set; reports those long beyond it."""
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
        return replace(found, files=await self._context.scenes.sweep())


def beyond_clock(db: sa.Connection, before: datetime, *states: State) -> list[str]:
    start = sa.and_(jobs.c.state == State.QUEUED.value, jobs.c.attempt == 1, jobs.c.start_by < to_micros(before))
    # A clip that is being delivered is paid for, and no deadline ends it.
    finish = sa.and_(jobs.c.finish_by < to_micros(before), jobs.c.stage != Stage.DELIVERING.value)
    of_states = jobs.c.state.in_([state.value for state in states])
    return list(
        db.execute(sa.select(jobs.c.job_id).where(of_states, sa.or_(start, finish)).order_by(jobs.c.job_id)).scalars()
    )
