"""Makes executions the owners of their jobs: many at once, as after a replica has died and thousands are taken over.

A job alone would cost a transaction of six statements; here all that wait share one of two statements.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

import sqlalchemy as sa

from evergreen_server.jobs.db import queries
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.mapping import job_from_row
from evergreen_server.jobs.model.errors import JobError
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.model.transitions import Claim, take_ownership

MOST = 100
"""Claims in one transaction, which locks their rows meanwhile: other changes of these jobs wait for it."""


class RowLocked(JobError):
    """The job is being changed by another transaction, or does not exist."""


class ClaimBatcher:
    """Gives jobs to executions; while one transaction runs, further claims gather for the next."""

    def __init__(self, database: Database, *, replica_id: str) -> None:
        self._database = database
        self._replica_id = replica_id
        self._waiting: deque[tuple[Claim, asyncio.Future[Job]]] = deque()
        self._busy = False

    async def claim(self, claim: Claim) -> Job:
        """Returns the job, owned by the execution until a later one claims it.

        A claim whose wait is cancelled after its transaction has begun takes ownership nevertheless; one that is
        cancelled before does not. Raises RowLocked, and Superseded if nothing is left to do for the execution.
        """
        future: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
        self._waiting.append((claim, future))
        if not self._busy:
            self._next()
        return await future

    def _next(self) -> None:
        batch: list[tuple[Claim, asyncio.Future[Job]]] = []
        while self._waiting and len(batch) < MOST:
            claim, future = self._waiting.popleft()
            # A claim that was given up before must not take the job from its owner.
            if not future.done():
                batch.append((claim, future))
        if not batch:
            return
        claims = [each for each, _ in batch]

        def ended(done: "asyncio.Future[list[Job | Exception]]") -> None:
            self._busy = False
            error = done.exception()
            for number, (_, future) in enumerate(batch):
                # The caller may have been cancelled.
                if future.done():
                    continue
                outcome = error or done.result()[number]
                if isinstance(outcome, BaseException):
                    future.set_exception(outcome)
                else:
                    future.set_result(outcome)
            if self._waiting:
                self._next()

        try:
            self._database.write(lambda db: _claim(db, claims, self._replica_id)).add_done_callback(ended)
        except RuntimeError as exc:
            # No thread is left: the database is being closed, and no claim may wait for it.
            left, self._waiting = [*batch, *self._waiting], deque()
            for _, future in left:
                if not future.done():
                    future.set_exception(exc)
        else:
            self._busy = True


def _claim(db: sa.Connection, claims: Sequence[Claim], replica_id: str) -> "list[Job | Exception]":
    # The project's row, which every other change of a job locks, is not locked here: a claim makes no event. But every
    # change also locks the job's row, and locked rows are skipped, so that this never waits.
    wanted = {"job_ids": [claim.job_id for claim in claims]}
    free = {row["job_id"]: row for row in db.execute(queries.LOCK_FREE_JOBS, wanted).mappings()}
    claimed: list[Job | Exception] = []
    for claim in claims:
        try:
            row = free.get(claim.job_id)
            claimed.append(
                RowLocked(claim.job_id) if row is None else take_ownership(job_from_row(row), claim, replica_id)
            )
        except Exception as exc:
            # Superseded; or an error of one row, which must not fail the others.
            claimed.append(exc)
    rows = [
        {"of_job": job.job_id, "by_token": job.fencing_token, "by_replica": job.replica}
        for job in claimed
        if isinstance(job, Job)
    ]
    if rows:
        db.execute(queries.CLAIM_JOB, rows)
    return claimed
