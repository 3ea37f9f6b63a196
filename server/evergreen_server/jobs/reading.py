"""The jobs as they stand in their rows, for whoever only reads."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import sqlalchemy as sa

from evergreen_server.jobs import ledger, statements
from evergreen_server.jobs.database import Database, inline_media, jobs
from evergreen_server.jobs.leases import live_replicas
from evergreen_server.jobs.model import UNFINISHED, Job, JobDeleted, JobNotFound, RequestReused, State
from evergreen_server.jobs.rows import job_from_row


class JobReader:
    """Reads jobs. Each method is one snapshot."""

    def __init__(self, database: Database, *, replica_id: str) -> None:
        self._database = database
        self._replica_id = replica_id

    async def find(self, project_id: str, request_id: str, digest: str) -> Job | None:
        """Gives the job of an earlier request with this id, or None.

        Raises RequestReused on another body, JobDeleted where the job is no longer kept.
        """
        return await self._database.read(lambda db: find_request(db, project_id, request_id, digest))

    async def get(self, job_id: str) -> Job:
        """Gives a job. Raises JobNotFound."""
        return await self._database.fetch(lambda db: get_job(db, job_id))

    async def again(self, job: Job) -> Job:
        """Reads a job anew. The request, which never changes, is kept once for all that hold the job."""
        return replace(await self.get(job.job_id), request=job.request)

    async def inline(self, job_id: str, digest: str) -> bytes:
        """Gives the inline bytes that came with a request."""
        query = sa.select(inline_media.c.data).where(inline_media.c.job_id == job_id, inline_media.c.digest == digest)
        return await self._database.fetch(lambda db: bytes(db.execute(query).scalar_one()))

    async def newest(self) -> str:
        """Gives the highest id of a job, empty where there is none."""
        return await self._database.read(lambda db: db.execute(sa.select(sa.func.max(jobs.c.job_id))).scalar() or "")

    async def unfinished(self) -> list[Job]:
        """Gives every job that an execution should be working on, oldest first."""
        states = [state.value for state in UNFINISHED - {State.NEEDS_ATTENTION}]
        query = sa.select(jobs).where(jobs.c.state.in_(states)).order_by(jobs.c.job_id)
        return await self._database.read(lambda db: [job_from_row(row) for row in db.execute(query).mappings()])

    async def stranded(self) -> list[str]:
        """Gives the jobs in `unfinished` that no other living replica has begun."""
        states = [state.value for state in UNFINISHED - {State.NEEDS_ATTENTION}]
        query = sa.select(jobs.c.job_id).where(jobs.c.state.in_(states))
        if self._database.shared:
            ours = jobs.c.replica == self._replica_id
            query = query.where(sa.or_(ours, jobs.c.replica.not_in(live_replicas())))
        return await self._database.read(lambda db: list(db.execute(query).scalars()))

    async def page(
        self,
        *,
        project_id: str,
        scene_id: str,
        states: Sequence[State],
        after: str,
        limit: int,
        projects: Collection[str] | None = None,
    ) -> list[Job]:
        """Lists jobs by rising job_id (so by age), those after `after`; empty filters match all.

        With `projects` only jobs of these are listed, whatever the filters say.
        """
        query = sa.select(jobs).where(jobs.c.job_id > after).order_by(jobs.c.job_id).limit(limit)
        if project_id:
            query = query.where(jobs.c.project_id == project_id)
        if projects is not None:
            query = query.where(jobs.c.project_id.in_(projects))
        if scene_id:
            query = query.where(jobs.c.scene_id == scene_id)
        if states:
            query = query.where(jobs.c.state.in_([state.value for state in states]))
        return await self._database.read(lambda db: [job_from_row(row) for row in db.execute(query).mappings()])

    async def totals(self, project_id: str = "") -> ledger.Totals:
        """Tells what is reserved and what was spent: by a project, or by all."""
        return await self._database.read(lambda db: ledger.totals(db, project_id))


def get_job(db: sa.Connection, job_id: str, query: "sa.Select[tuple[object, ...]]" = statements.READ_JOB) -> Job:
    row = db.execute(query, {"of_job": job_id}).mappings().one_or_none()
    if row is None:
        raise JobNotFound(job_id)
    return job_from_row(row)


def find_request(db: sa.Connection, project_id: str, request_id: str, digest: str) -> Job | None:
    key = {"of_project": project_id, "of_request": request_id}
    known = db.execute(statements.FIND_REQUEST, key).one_or_none()
    if known is None:
        return None
    if known.digest != digest:
        raise RequestReused(known.job_id)
    try:
        return get_job(db, known.job_id)
    except JobNotFound:
        raise JobDeleted(known.job_id) from None
