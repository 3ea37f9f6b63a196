"""Makes executions the owners of their jobs: many at once, as after a replica has died and thousands are taken over.

A job by itself would cost a transaction of six statements; here as many as are waiting share one of two.
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
"""In one transaction, which holds their rows meanwhile: whoever would change one of these jobs waits for it."""


class RowLocked(JobError):
    """The job is being changed at this moment, or is not there."""


class ClaimBatcher:
    """Gives jobs to executions; while one transaction is made the next ones gather."""

    def __init__(self, database: Database, *, replica_id: str) -> None:
        self._database = database
        self._replica_id = replica_id
        self._waiting: deque[tuple[Claim, asyncio.Future[Job]]] = deque()
        self._busy = False

    async def claim(self, claim: Claim) -> Job:
        """Gives the job, owned by the execution until a later one begins it.

        Where the wait is cancelled it may come to take_ownership it all the same, but only before its turn is over.
        Raises RowLocked, and Superseded where nothing is left to do for the execution.
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
            # Whoever gave up before its turn must not take the job from who has it by then.
            if not future.done():
                batch.append((claim, future))
        if not batch:
            return
        claims = [each for each, _ in batch]

        def ended(done: "asyncio.Future[list[Job | Exception]]") -> None:
            self._busy = False
            error = done.exception()
            for number, (_, future) in enumerate(batch):
                # Whoever waited may have gone.
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
            # No thread is left: the database is being closed, and nobody may wait for it.
            left, self._waiting = [*batch, *self._waiting], deque()
            for _, future in left:
                if not future.done():
                    future.set_exception(exc)
        else:
            self._busy = True


def _claim(db: sa.Connection, claims: Sequence[Claim], replica_id: str) -> "list[Job | Exception]":
    # The project's row, under which all else of a job is changed, is not locked: nobody is told of this. But whoever
    # changes a job locks its row too, and one that is locked is passed over, so that this waits for nobody.
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
            # Superseded; or whatever keeps one row from being read, for which the others must not pay.
            claimed.append(exc)
    rows = [
        {"of_job": job.job_id, "by_token": job.fencing_token, "by_replica": job.replica}
        for job in claimed
        if isinstance(job, Job)
    ]
    if rows:
        db.execute(queries.CLAIM_JOB, rows)
    return claimed
