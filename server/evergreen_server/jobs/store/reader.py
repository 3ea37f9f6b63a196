"""Reads jobs from their rows."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from evergreen_server.jobs.db import queries
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.mapping import job_from_row, life_from_row
from evergreen_server.jobs.db.replicas import other_live_replicas
from evergreen_server.jobs.db.schema import inline_media, job_files, jobs
from evergreen_server.jobs.db.statement import Statement
from evergreen_server.jobs.model.errors import JobDeleted, JobNotFound, RequestReused
from evergreen_server.jobs.model.job import Job, JobRequest
from evergreen_server.jobs.model.states import UNFINISHED, State
from evergreen_server.jobs.store import ledger
from evergreen_server.jobs.store.listing import Listing, list_ids
from evergreen_server.jobs.store.projects import Project, list_projects

PAGE_BYTES = 2 * 1024 * 1024
"""The most JSON of a page's jobs as stored: by default a client reads messages of 4 MiB at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Jobs in the order of a list."""

    jobs: Sequence[Job]
    more: str
    """After which id the list goes on; empty if nothing follows."""


class JobReader:
    """Reads jobs. Each method is one snapshot."""

    def __init__(self, database: Database, *, replica_id: str) -> None:
        self._database = database
        self._replica_id = replica_id

    async def find(self, project_id: str, request_id: str, digest: str) -> Job | None:
        """Returns the job of an earlier request with this id, or None.

        Raises RequestReused on another body, JobDeleted if the job is no longer kept.
        """
        return await self._database.read(lambda db: find_request(db, project_id, request_id, digest))

    async def get(self, job_id: str) -> Job:
        """Returns a job. Raises JobNotFound."""
        return await self._database.fetch(lambda db: get_job(db, job_id))

    async def again(self, job: Job) -> Job:
        """Returns a job as it is by now, with the same request object: it never changes, so one copy is enough.

        Raises JobNotFound.
        """
        return await self._database.fetch(lambda db: get_life(db, job.job_id, job.request))

    async def inline(self, job_id: str, digest: str) -> bytes:
        """Returns the inline bytes that came with a request."""
        query = sa.select(inline_media.c.data).where(inline_media.c.job_id == job_id, inline_media.c.digest == digest)
        return await self._database.fetch(lambda db: bytes(db.execute(query).scalar_one()))

    async def files(self, job_id: str) -> Mapping[str, tuple[int, int]]:
        """Returns size and CRC32C of the files that a job has made, or was about to make, by path."""
        query = sa.select(job_files).where(job_files.c.job_id == job_id)
        return await self._database.fetch(
            lambda db: {row.path: (row.size_bytes, row.crc32c) for row in db.execute(query)}
        )

    async def newest(self) -> str:
        """Returns the highest id of a job, empty if there is none."""
        return await self._database.read(lambda db: db.execute(sa.select(sa.func.max(jobs.c.job_id))).scalar() or "")

    async def stranded(self) -> list[str]:
        """Returns the unfinished jobs that no other living replica has begun, but for those that need attention."""
        states = [state.value for state in UNFINISHED - {State.NEEDS_ATTENTION}]
        query = sa.select(jobs.c.job_id).where(jobs.c.state.in_(states))
        query = query.where(jobs.c.replica.not_in(other_live_replicas(self._replica_id)))
        return await self._database.read(lambda db: list(db.execute(query).scalars()))

    async def page(self, listing: Listing, *, after: str, limit: int) -> Page:
        """Returns the jobs of a list that come after `after`; the first ones, if that is empty.

        A page ends before `limit` if its jobs together would exceed PAGE_BYTES, and if too many others would have to
        be looked at.
        """

        def read(db: sa.Connection) -> Page:
            found, more = list_ids(db, listing, after, limit)
            taken = _within(db, found)
            order = jobs.c.job_id.desc() if listing.newest_first else jobs.c.job_id
            query = sa.select(jobs).where(jobs.c.job_id.in_(taken)).order_by(order)
            listed = [job_from_row(row) for row in db.execute(query).mappings()] if taken else []
            return Page(jobs=listed, more=more if len(taken) == len(found) else taken[-1])

        projects = listing.projects
        owner = listing.project_id or ("*" if projects is None else " ".join(sorted(projects)))
        return await self._database.read_in_turn(read, owner=owner)

    async def projects(self, *, after: str, limit: int, owned: Collection[str] | None, owner: str) -> Sequence[Project]:
        """Returns the next projects in the order of their ids: of those that are owned, or of all.

        `owner` is who reads, and takes turns with others.
        """
        return await self._database.read_in_turn(lambda db: list_projects(db, after, limit, owned), owner=owner)

    async def totals(self, project_id: str = "") -> ledger.Totals:
        """Returns what is reserved and what was spent: by a project, or by all."""
        return await self._database.read(lambda db: ledger.totals(db, project_id))


def get_job(db: sa.Connection, job_id: str, query: Statement = queries.READ_JOB) -> Job:
    row = query.first(db, {"of_job": job_id})
    if row is None:
        raise JobNotFound(job_id)
    return job_from_row(row)


def get_life(
    db: sa.Connection,
    job_id: str,
    request: JobRequest,
    query: Statement = queries.READ_LIFE,
) -> Job:
    """Returns a job whose request is known already. Raises JobNotFound."""
    row = query.first(db, {"of_job": job_id})
    if row is None:
        raise JobNotFound(job_id)
    return life_from_row(row, request)


def find_request(db: sa.Connection, project_id: str, request_id: str, digest: str) -> Job | None:
    key = {"of_project": project_id, "of_request": request_id}
    known = queries.FIND_REQUEST.first(db, key)
    if known is None:
        return None
    if known["digest"] != digest:
        raise RequestReused(known["job_id"])
    try:
        return get_job(db, known["job_id"])
    except JobNotFound:
        raise JobDeleted(known["job_id"]) from None


def _within(db: sa.Connection, job_ids: Sequence[str]) -> Sequence[str]:
    """Returns the first of the jobs, as many as fit into a page, and at least one."""
    if len(job_ids) < 2:
        return job_ids
    # Labels are sent twice: as the job's, and as its request's.
    texts = (jobs.c.spec, jobs.c.labels, jobs.c.labels, jobs.c.inputs, jobs.c.outputs, jobs.c.warnings)
    lengths = (sa.func.length(sa.cast(column, sa.Text)) for column in texts)
    more = sa.func.coalesce(sa.func.length(sa.cast(jobs.c.spec_more, sa.Text)), 0)
    size = sum(lengths, more)
    sizes = {
        row.job_id: row.size
        for row in db.execute(sa.select(jobs.c.job_id, size.label("size")).where(jobs.c.job_id.in_(job_ids)))
    }
    total = 0
    for number, job_id in enumerate(job_ids):
        total += sizes[job_id]
        if total > PAGE_BYTES and number:
            return job_ids[:number]
    return job_ids
