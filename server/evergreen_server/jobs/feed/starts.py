"""What a watch starts from. Watches that open at once share a read, so that a storm of them is cheap."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import sqlalchemy as sa

from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.mapping import job_from_row
from evergreen_server.jobs.db.schema import jobs, projects
from evergreen_server.jobs.feed.window import Entry
from evergreen_server.jobs.model.errors import JobError, JobNotFound
from evergreen_server.jobs.model.job import Job

MOST_JOBS = 2000
MISSING_NAMED = 10
GATHER_SECONDS = 0.005
"""How long to wait for other watches that open too: one read costs more than answering many watches from it."""


class MixedProjects(JobError):
    """The watched jobs are not all of one project."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchStart:
    """A project and the jobs watched by id, as of one point in time."""

    project_id: str
    revision: int
    compacted: int
    snapshots: Sequence[Entry]


@dataclass(slots=True, eq=False)
class _Pending:
    project_id: str
    job_ids: frozenset[str]
    projects: Collection[str] | None
    answer: WatchStart | JobError | None = None


_Found: TypeAlias = Mapping[str, tuple[str, Entry]]
"""The project and the snapshot of each job, by its id."""


class WatchStarts:
    """Reads watch starts, one transaction at a time; those asked for meanwhile share the next one."""

    def __init__(self, *, database: Database, snapshot: Callable[[Job], Entry]) -> None:
        self._database = database
        self._snapshot = snapshot
        self._waiting: list[_Pending] = []
        self._turn = asyncio.Lock()

    async def read(
        self, project_id: str, job_ids: frozenset[str], projects: Collection[str] | None = None
    ) -> WatchStart:
        """Returns the start as of some time during this call. Raises JobNotFound, MixedProjects.

        With `projects`, jobs of other projects are treated as if they did not exist.
        """
        pending = _Pending(project_id, job_ids, projects)
        self._waiting.append(pending)
        try:
            async with self._turn:
                if pending.answer is None:
                    await asyncio.sleep(GATHER_SECONDS)
                while pending.answer is None:
                    await self._answer(self._some())
        finally:
            if pending.answer is None and pending in self._waiting:
                self._waiting.remove(pending)
        if isinstance(pending.answer, JobError):
            raise pending.answer
        return pending.answer

    def _some(self) -> list[_Pending]:
        number, jobs_in_all = 0, 0
        for pending in self._waiting:
            jobs_in_all += len(pending.job_ids)
            if number and jobs_in_all > MOST_JOBS:
                break
            number += 1
        return self._waiting[:number]

    async def _answer(self, batch: Sequence[_Pending]) -> None:
        # The watch that reads for others may be cancelled; the others stay queued until they are answered.
        answers = await self._database.read(lambda db: self._answers(db, batch))
        for pending, answer in zip(batch, answers, strict=True):
            pending.answer = answer
        self._waiting = [pending for pending in self._waiting if pending.answer is None]

    def _answers(self, db: sa.Connection, batch: Sequence[_Pending]) -> list[WatchStart | JobError]:
        job_ids = frozenset[str]().union(*(pending.job_ids for pending in batch))
        found: dict[str, tuple[str, Entry]] = {}
        if job_ids:
            for row in db.execute(sa.select(jobs).where(jobs.c.job_id.in_(job_ids))).mappings():
                job = job_from_row(row)
                found[job.job_id] = job.request.project_id, self._snapshot(job)
        columns = (projects.c.project_id, projects.c.revision, projects.c.compacted_revision)
        owners = {owner for owner, _ in found.values()} | {pending.project_id for pending in batch}
        rows = db.execute(sa.select(*columns).where(projects.c.project_id.in_(owners)))
        revisions = {row.project_id: (row.revision, row.compacted_revision) for row in rows}
        return [_start_of(pending, found, revisions) for pending in batch]


def _start_of(pending: _Pending, found: _Found, revisions: Mapping[str, tuple[int, int]]) -> WatchStart | JobError:
    own = {
        job_id
        for job_id in pending.job_ids & found.keys()
        if pending.projects is None or found[job_id][0] in pending.projects
    }
    if missing := sorted(pending.job_ids - own):
        return JobNotFound(", ".join(missing[:MISSING_NAMED]))
    owners = {found[job_id][0] for job_id in pending.job_ids} | ({pending.project_id} - {""})
    if len(owners) > 1:
        return MixedProjects("all jobs of a watch must belong to one project")
    (owner,) = owners
    revision, compacted = revisions.get(owner, (0, 0))
    snapshots = sorted((found[job_id][1] for job_id in pending.job_ids), key=lambda entry: entry.revision)
    return WatchStart(project_id=owner, revision=revision, compacted=compacted, snapshots=snapshots)
