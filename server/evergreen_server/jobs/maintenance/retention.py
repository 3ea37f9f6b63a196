"""Bounds the size of the database: old events, old jobs and ended workflows are removed, a batch at a time.

Of a project's events, only the oldest are removed, so that no gap opens: a watch from before `compacted_revision` is
refused. A job is removed only after its events. What a project spent stays in its sums; and the row of a request
outlives its job, or its film's plan, so that the request cannot start it again: for ever, or for as long as is
configured.

Any number of replicas may do this at once: each batch locks what it removes.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol, TypeAlias

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.film_schema import film_plans, film_requests
from evergreen_server.jobs.db.mapping import to_micros
from evergreen_server.jobs.db.queries import ADD_JOBS, LOCK_PROJECTS
from evergreen_server.jobs.db.schema import (
    inline_media,
    job_events,
    job_files,
    job_labels,
    job_needs,
    jobs,
    ledger,
    projects,
    provider_tasks,
    requests,
)
from evergreen_server.jobs.model.states import FINAL, State, TaskRole
from evergreen_server.jobs.store.audit import delete_old
from evergreen_server.jobs.store.project_lock import lock_project
from evergreen_server.jobs.store.projects import miscounted, moved, recount
from evergreen_server.ports.metrics import Metrics
from evergreen_server.runtime.ids import first_at

EVENTS_AT_ONCE = 1000
JOBS_AT_ONCE = 200
WORKFLOWS_AT_ONCE = 200
REQUESTS_AT_ONCE = 500
WORKFLOWS_KEPT = timedelta(hours=1)
"""How long an ended workflow is kept; nothing reads it any more."""
INTERVAL_SECONDS = 600.0

logger = logging.getLogger(__name__)


_Place: TypeAlias = tuple[int, str, str]
"""Of a film's request among all of them: when it came, its project and its id."""
_Take: TypeAlias = tuple[str, str]
"""The place of a take of a film's output among all of them: its project, and of what it is one."""


class Workflows(Protocol):
    """The engine's part: deletes workflows that have ended."""

    def forget_ended(self, before: datetime, most: int) -> int: ...


class Takes(Protocol):
    """The part of films: deletes those of the next batch of takes that nothing needs."""

    def __call__(self, db: sa.Connection, after: _Take) -> tuple[int, _Take | None]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """How many rows a run removed."""

    events: int
    jobs: int
    workflows: int
    requests: int = 0
    runs: int = 0
    """Of films."""
    takes: int = 0
    """Of outputs that no film has."""
    entries: int = 0
    """Of the audit."""


class Retention:
    """Removes what is older than it is to be kept."""

    def __init__(
        self,
        *,
        database: Database,
        workflows: Workflows,
        clock: Callable[[], datetime],
        events_kept: timedelta,
        jobs_kept: timedelta,
        metrics: Metrics,
        films: Callable[[sa.Connection, datetime], int],
        takes: Takes,
        requests_kept: timedelta | None = None,
        audit_kept: timedelta = timedelta(days=365),
        floor: Callable[[sa.Connection, str], int | None] = lambda _db, _project_id: None,
        events_at_once: int = EVENTS_AT_ONCE,
    ) -> None:
        """`films` removes a batch of what of films ended before a time, and returns how much that was.
        `takes` is called where requests are removed; it returns how many it deleted, and where the next batch begins.
        `floor` returns beyond which revision of a project somebody still needs the events; None for nobody.
        """
        self._database = database
        self._workflows = workflows
        self._clock = clock
        self._events_kept = events_kept
        self._jobs_kept = jobs_kept
        self._requests_kept = requests_kept
        self._audit_kept = audit_kept
        self._metrics = metrics
        self._films = films
        self._takes = takes
        self._floor = floor
        self._events_at_once = events_at_once

    async def run(self) -> None:
        """Runs at once, and then every ten minutes."""
        while True:
            try:
                await self.set_counters_right()
                await self.run_once()
            except SQLAlchemyError:
                # The next run finds it again; the service must not end over it.
                logger.exception("retention failed")
            await asyncio.sleep(INTERVAL_SECONDS)

    async def set_counters_right(self) -> None:
        """Counts anew the jobs of each project whose counters are not right."""
        for project_id in await self._database.read(miscounted):
            await self._database.write(partial(recount, project_id=project_id, now=self._clock()))
            logger.warning("jobs of a project counted anew", extra={"project_id": project_id})

    async def run_once(self) -> Removed:
        """Removes everything that is too old by now, and returns how much that was."""
        now = self._clock()
        events = 0
        for project_id in await self._database.read(lambda db: _with_old_events(db, now - self._events_kept)):
            while number := await self._compact(project_id, now - self._events_kept):
                events += number
        gone = 0
        while number := await self._database.write(lambda db: _delete_jobs(db, now - self._jobs_kept)):
            gone += number
        runs = 0
        while number := await self._database.write(lambda db: self._films(db, now - self._jobs_kept)):
            runs += number
        workflows = 0
        while number := await asyncio.to_thread(self._workflows.forget_ended, now - WORKFLOWS_KEPT, WORKFLOWS_AT_ONCE):
            workflows += number
        asked = 0 if self._requests_kept is None else await self._forget_requests(now - self._requests_kept)
        removed = {"events": events, "jobs": gone, "workflows": workflows, "requests": asked, "runs": runs}
        removed["takes"] = 0 if self._requests_kept is None else await self._forget_takes()
        removed["entries"] = 0
        while number := await self._database.write(lambda db: delete_old(db, now - self._audit_kept)):
            removed["entries"] += number
        for what, number in removed.items():
            self._metrics.removed(what, number)
        if any(removed.values()):
            logger.info("old rows removed", extra=removed)
        return Removed(**removed)

    async def _forget_requests(self, before: datetime) -> int:
        total, after, more = 0, "", True
        while more:
            work = partial(_delete_requests, after=after, before=before)
            number, after = await self._database.write(work)
            total, more = total + number, bool(after)
        place: _Place | None = (0, "", "")
        while place is not None:
            number, place = await self._database.write(partial(_delete_film_requests, after=place, before=before))
            total += number
        return total

    async def _forget_takes(self) -> int:
        """Removes takes of films whose requests are gone by now."""
        total = 0
        place: _Take | None = ("", "")
        while place is not None:
            number, place = await self._database.write(partial(self._takes, after=place))
            total += number
        return total

    async def _compact(self, project_id: str, before: datetime) -> int:
        def work(db: sa.Connection) -> int:
            lock_project(db, project_id, self._clock())
            return _compact(db, project_id, before, self._events_at_once, self._floor(db, project_id))

        return await self._database.write(work)


def _with_old_events(db: sa.Connection, before: datetime) -> list[str]:
    """Returns the projects whose first event is too old, reading one row of each."""
    first = sa.exists().where(
        job_events.c.project_id == projects.c.project_id,
        job_events.c.revision == projects.c.compacted_revision + 1,
        job_events.c.created_at < to_micros(before),
    )
    return list(db.execute(sa.select(projects.c.project_id).where(first).order_by(projects.c.project_id)).scalars())


def _compact(db: sa.Connection, project_id: str, before: datetime, most: int, floor: int | None) -> int:
    """Removes a batch of a locked project's first events and returns how many."""
    of_project = job_events.c.project_id == project_id
    rows = db.execute(
        sa.select(job_events.c.revision, job_events.c.created_at)
        .where(of_project)
        .order_by(job_events.c.revision)
        .limit(most)
    ).all()
    reached = number = 0
    for row in rows:
        # The clock may have been set back: the first event that is to be kept ends the prefix.
        if row.created_at >= to_micros(before) or (floor is not None and row.revision > floor):
            break
        reached, number = row.revision, number + 1
    if number:
        db.execute(job_events.delete().where(of_project, job_events.c.revision <= reached))
        db.execute(projects.update().where(projects.c.project_id == project_id).values(compacted_revision=reached))
    return number


def _delete_jobs(db: sa.Connection, before: datetime) -> int:
    """Deletes a batch of jobs whose events are gone and whose tasks are settled; returns how many."""
    unsettled = sa.exists().where(
        provider_tasks.c.job_id == jobs.c.job_id,
        provider_tasks.c.role.in_([TaskRole.NEW.value, TaskRole.SURPLUS.value]),
    )
    query = (
        sa.select(jobs.c.job_id, jobs.c.project_id, jobs.c.state)
        .join(projects, projects.c.project_id == jobs.c.project_id)
        .where(
            jobs.c.ended_at < to_micros(before),
            jobs.c.state.in_([state.value for state in FINAL]),
            jobs.c.revision <= projects.c.compacted_revision,
            ~unsettled,
        )
    )
    candidates = db.execute(query.order_by(jobs.c.ended_at).limit(JOBS_AT_ONCE)).all()
    if not candidates:
        return 0
    # First the rows of the projects, which count their jobs, as with every other change.
    db.execute(LOCK_PROJECTS, {"project_ids": sorted({row.project_id for row in candidates})})
    still = query.where(jobs.c.job_id.in_([row.job_id for row in candidates]))
    rows = db.execute(still.with_for_update(skip_locked=True, of=jobs)).all()
    found = [row.job_id for row in rows]
    if found:
        for table in (inline_media, job_files, job_labels, job_needs, provider_tasks, ledger, jobs):
            db.execute(table.delete().where(table.c.job_id.in_(found)))
        fewer = Counter((row.project_id, row.state) for row in rows)
        db.execute(
            ADD_JOBS,
            [
                {"of_project": project_id, **{name: number * by for name, by in moved(State(state), None).items()}}
                for (project_id, state), number in fewer.items()
            ],
        )
    return len(found)


def _delete_requests(db: sa.Connection, after: str, before: datetime) -> tuple[int, str]:
    """Deletes those of the next batch of old requests whose jobs are gone.

    Returns how many, and the job id of the batch's last request; an empty one if there are no more.
    """
    old = requests.c.job_id > after, requests.c.job_id < first_at(before)
    query = sa.select(requests.c.job_id).where(*old).order_by(requests.c.job_id).limit(REQUESTS_AT_ONCE)
    found = list(db.execute(query).scalars())
    kept = set(db.execute(sa.select(jobs.c.job_id).where(jobs.c.job_id.in_(found))).scalars()) if found else set()
    gone = [job_id for job_id in found if job_id not in kept]
    if gone:
        db.execute(requests.delete().where(requests.c.job_id.in_(gone)))
    return len(gone), found[-1] if len(found) == REQUESTS_AT_ONCE else ""


def _delete_film_requests(db: sa.Connection, after: _Place, before: datetime) -> tuple[int, _Place | None]:
    """Deletes those of the next batch of old requests whose plans are gone.

    Returns how many, and the place of the batch's last request; None if there are no more.
    """
    place = sa.tuple_(film_requests.c.created_at, film_requests.c.project_id, film_requests.c.request_id)
    kept = sa.exists().where(
        film_plans.c.project_id == film_requests.c.project_id,
        film_plans.c.film_id == film_requests.c.film_id,
        film_plans.c.plan_revision == film_requests.c.plan_revision,
        film_plans.c.request_id == film_requests.c.request_id,
    )
    query = (
        sa.select(*place.clauses, kept.label("kept"))
        .where(film_requests.c.created_at < to_micros(before), place > sa.tuple_(*after))
        .order_by(*place.clauses)
        .limit(REQUESTS_AT_ONCE)
    )
    found = db.execute(query).all()
    gone = [(row.project_id, row.request_id) for row in found if not row.kept]
    if gone:
        key = sa.tuple_(film_requests.c.project_id, film_requests.c.request_id)
        db.execute(film_requests.delete().where(key.in_(gone)))
    last = found[-1] if len(found) == REQUESTS_AT_ONCE else None
    return len(gone), None if last is None else (last.created_at, last.project_id, last.request_id)
