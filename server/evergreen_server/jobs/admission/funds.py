"""What the provider's account can pay for: the balance that any replica was last given, less what was spent since."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from evergreen_server.jobs.db.database import insert_new
from evergreen_server.jobs.db.mapping import to_micros
from evergreen_server.jobs.db.schema import jobs, provider_tasks
from evergreen_server.jobs.db.shared_schema import funds
from evergreen_server.jobs.model.states import Slot

ACCOUNT = "*"
LONGEST_AGE = timedelta(minutes=10)
"""An older balance, which the provider has not confirmed since, holds nothing back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Funds:
    """The balance in millicredits, as it was after `asked_at`."""

    balance: int
    asked_at: int


def known(db: sa.Connection, now: datetime) -> Funds | None:
    """Returns the last balance that the provider gave; None if that was too long ago."""
    row = db.execute(sa.select(funds).where(funds.c.account == ACCOUNT)).one_or_none()
    if row is None or row.balance_millicredits is None:
        return None
    if abs(to_micros(now) - row.asked_at) > LONGEST_AGE / timedelta(microseconds=1):
        return None
    return Funds(balance=row.balance_millicredits, asked_at=row.asked_at)


def left(db: sa.Connection, now: datetime) -> int | None:
    """Returns how much a further task may cost, in millicredits; None if it is not known.

    What was spent counts at its estimate, so that a job is held back rather than refused by the provider.
    """
    latest = known(db, now)
    if latest is None:
        return None
    spent = sa.select(sa.func.coalesce(sa.func.sum(provider_tasks.c.estimated_millicredits), 0)).where(
        provider_tasks.c.created_at.between(latest.asked_at, to_micros(now))
    )
    coming = sa.select(sa.func.coalesce(sa.func.sum(jobs.c.estimated_millicredits), 0)).where(
        jobs.c.slot == Slot.HELD.value, jobs.c.task_id == ""
    )
    return latest.balance - int(db.execute(spent).scalar_one()) - int(db.execute(coming).scalar_one())


def within(millicredits: int | None) -> "sa.ColumnElement[bool]":
    """Selects the jobs that so much can pay, and those without a known price; all jobs if the amount is not known."""
    if millicredits is None:
        return sa.true()
    return sa.or_(jobs.c.estimated_millicredits.is_(None), jobs.c.estimated_millicredits <= millicredits)


def refuse(db: sa.Connection, price: int | None) -> None:
    """Records the price of a task that the provider refused for lack of credits; None if not known."""
    _set(db, refused_millicredits=price)


def see(db: sa.Connection, millicredits: int, asked_at: datetime, now: datetime) -> bool:
    """Records a balance, as of `asked_at`; returns whether it is below the price that was refused last."""
    row = db.execute(sa.select(funds).where(funds.c.account == ACCOUNT)).one_or_none()
    # Of two replicas' answers the one to the later question counts; one from the future was
    # written before the clock was set back.
    older = row is not None and row.asked_at is not None and to_micros(asked_at) < row.asked_at <= to_micros(now)
    if not older:
        _set(db, balance_millicredits=millicredits, asked_at=to_micros(asked_at))
    return row is not None and row.refused_millicredits is not None and millicredits < row.refused_millicredits


def _set(db: sa.Connection, **values: object) -> None:
    if not insert_new(db, funds, {"account": ACCOUNT, **values}):
        db.execute(funds.update().where(funds.c.account == ACCOUNT).values(**values))
