"""The ledger: what each attempt of a job reserved and what it was settled at. Append-only, each entry once.

RESERVE is written when an attempt begins, SETTLE when it ends. What is reserved and not settled may still
be charged: a job in NEEDS_ATTENTION keeps its reservation until somebody resolves it.
"""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from evergreen_server.jobs.database import ledger
from evergreen_server.jobs.model import CostBasis, Job
from evergreen_server.jobs.rows import micros

RESERVE = "RESERVE"
SETTLE = "SETTLE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Millicredits over all projects."""

    reserved: int
    spent: int


def reserve(db: sa.Connection, job: Job, now: datetime) -> None:
    """Enters what the job's current attempt may cost; zero where no price is known."""
    _enter(db, job, RESERVE, job.attempt, job.estimated_millicredits or 0, CostBasis.UPPER_BOUND, now)


def follow(db: sa.Connection, old: Job, new: Job, now: datetime) -> None:
    """Enters what a change of a job means in money."""
    if new.final or new.attempt != old.attempt:
        settled = sa.select(_amount()).where(ledger.c.job_id == new.job_id, ledger.c.entry == SETTLE)
        charged = (new.charged_millicredits or 0) - int(db.execute(settled).scalar_one())
        _enter(db, new, SETTLE, old.attempt, charged, new.cost_basis or CostBasis.UPPER_BOUND, now)
    if new.attempt != old.attempt:
        reserve(db, new, now)


def totals(db: sa.Connection) -> Totals:
    """Adds up what is reserved and not settled, and what was settled."""
    settled = ledger.alias("settled")
    unsettled = ~sa.exists().where(
        settled.c.job_id == ledger.c.job_id, settled.c.attempt == ledger.c.attempt, settled.c.entry == SETTLE
    )
    reserved = db.execute(sa.select(_amount()).where(ledger.c.entry == RESERVE, unsettled)).scalar_one()
    spent = db.execute(sa.select(_amount()).where(ledger.c.entry == SETTLE)).scalar_one()
    return Totals(reserved=int(reserved), spent=int(spent))


def _amount() -> sa.ColumnElement[int]:
    return sa.func.coalesce(sa.func.sum(ledger.c.millicredits), 0)


def _enter(
    db: sa.Connection, job: Job, entry: str, attempt: int, millicredits: int, basis: CostBasis, now: datetime
) -> None:
    db.execute(
        ledger.insert().values(
            job_id=job.job_id,
            attempt=attempt,
            entry=entry,
            project_id=job.request.project_id,
            millicredits=millicredits,
            basis=basis.value,
            created_at=micros(now),
        )
    )
