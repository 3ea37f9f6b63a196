"""Makes executions the owners of their jobs: many at once, as after a replica has died and thousands are taken over.

A job by itself would cost a transaction of six statements; here as many as are waiting share one of four.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa

from evergreen_server.jobs import statements
from evergreen_server.jobs.database import Database
from evergreen_server.jobs.model import Job, State
from evergreen_server.jobs.rows import job_from_row

MOST = 100
"""In one transaction, which holds their projects' rows meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An execution's wish to own a job's attempt."""

    job_id: str
    attempt: int
    run: int
    execution: str


class Beginnings:
    """Gives jobs to executions, in the order in which they ask; while one transaction is made the next ones gather."""

    def __init__(self, database: Database, *, replica_id: str) -> None:
        self._database = database
        self._replica_id = replica_id
        self._waiting: deque[tuple[Claim, asyncio.Future[Job | None]]] = deque()
        self._busy = False

    async def begin(self, claim: Claim) -> Job | None:
        """Gives the job, owned by the execution from now on, or None where nothing is left to do for it.

        It commits though the wait is cancelled.
        """
        future: asyncio.Future[Job | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((claim, future))
        if not self._busy:
            self._next()
        return await future

    def _next(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
        claims = [claim for claim, _ in batch]

        def ended(done: "asyncio.Future[list[Job | None]]") -> None:
            self._busy = False
            error = done.exception()
            for number, (_, future) in enumerate(batch):
                # Whoever waited may have gone.
                if future.done():
                    continue
                if error is None:
                    future.set_result(done.result()[number])
                else:
                    future.set_exception(error)
            if self._waiting:
                self._next()

        try:
            self._database.write(lambda db: _begin(db, claims, self._replica_id)).add_done_callback(ended)
        except RuntimeError as exc:
            # No thread is left: the database is being closed, and nobody may wait for it.
            left, self._waiting = [*batch, *self._waiting], deque()
            for _, future in left:
                if not future.done():
                    future.set_exception(exc)
        else:
            self._busy = True


def _begin(db: sa.Connection, claims: Sequence[Claim], replica_id: str) -> "list[Job | None]":
    wanted = {"job_ids": sorted({claim.job_id for claim in claims})}
    # In one order everywhere, so that no two transactions wait for each other.
    db.execute(statements.LOCK_PROJECTS_OF, wanted).all()
    jobs = {row["job_id"]: job_from_row(row) for row in db.execute(statements.READ_JOBS, wanted).mappings()}
    begun = [_owned(jobs.get(claim.job_id), claim, replica_id) for claim in claims]
    rows = [
        {"of_job": job.job_id, "by_execution": job.execution, "by_replica": job.replica}
        for job in begun
        if job is not None
    ]
    if rows:
        db.execute(statements.BEGIN_JOB, rows)
    return begun


def _owned(job: Job | None, claim: Claim, replica_id: str) -> Job | None:
    # Not there where the job was removed since, and its workflow had not been noted as ended.
    if job is None or job.final or job.state is State.NEEDS_ATTENTION:
        return None
    if (job.attempt, job.run) != (claim.attempt, claim.run):
        return None
    return replace(job, execution=claim.execution, replica=replica_id)
