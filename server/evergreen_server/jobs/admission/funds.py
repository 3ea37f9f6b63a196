"""What the provider's account can pay for: its balance, as any replica last heard it, less what was spent since."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from evergreen_server.jobs.db.database import insert_new
from evergreen_server.jobs.db.mapping import to_micros
from evergreen_server.jobs.db.schema import funds, jobs, provider_tasks
from evergreen_server.jobs.model.states import Slot

ACCOUNT = "*"
LONGEST_AGE = timedelta(minutes=10)
"""A balance that was heard longer ago, since the provider does not tell it, keeps nothing back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Funds:
    """The balance in millicredits, as it was after `asked_at`."""

    balance: int
    asked_at: int


def known(db: sa.Connection, now: datetime) -> Funds | None:
    """Returns the balance that was told last; None where nobody was told one lately."""
    row = db.execute(sa.select(funds).where(funds.c.account == ACCOUNT)).one_or_none()
    if row is None or row.balance_millicredits is None:
        return None
    if abs(to_micros(now) - row.asked_at) > LONGEST_AGE / timedelta(microseconds=1):
        return None
    return Funds(balance=row.balance_millicredits, asked_at=row.asked_at)


def left(db: sa.Connection, now: datetime) -> int | None:
    """Returns how much a further task may cost, in millicredits; None where it is not known.

    What was spent is taken at its estimate, so that a job is kept back rather than refused by the provider.
    """
    told = known(db, now)
    if told is None:
        return None
    spent = sa.select(sa.func.coalesce(sa.func.sum(provider_tasks.c.estimated_millicredits), 0)).where(
        provider_tasks.c.created_at.between(told.asked_at, to_micros(now))
    )
    coming = sa.select(sa.func.coalesce(sa.func.sum(jobs.c.estimated_millicredits), 0)).where(
        jobs.c.slot == Slot.HELD.value, jobs.c.task_id == ""
    )
    return told.balance - int(db.execute(spent).scalar_one()) - int(db.execute(coming).scalar_one())


def within(millicredits: int | None) -> "sa.ColumnElement[bool]":
    """Selects the jobs that so much can pay; all of them where it is not known, and those whose price is not."""
    if millicredits is None:
        return sa.true()
    return sa.or_(jobs.c.estimated_millicredits.is_(None), jobs.c.estimated_millicredits <= millicredits)


def refuse(db: sa.Connection, price: int | None) -> None:
    """Notes what a task would have cost that the provider would not make for want of credits; None if not known."""
    _set(db, refused_millicredits=price)


def see(db: sa.Connection, millicredits: int, asked_at: datetime, now: datetime) -> bool:
    """Takes a balance that was asked for at a moment; tells whether it is below the price that was refused last."""
    row = db.execute(sa.select(funds).where(funds.c.account == ACCOUNT)).one_or_none()
    # Of two replicas' answers the one to the later question counts; one of the future is of a clock set back since.
    older = row is not None and row.asked_at is not None and to_micros(asked_at) < row.asked_at <= to_micros(now)
    if not older:
        _set(db, balance_millicredits=millicredits, asked_at=to_micros(asked_at))
    return row is not None and row.refused_millicredits is not None and millicredits < row.refused_millicredits


def _set(db: sa.Connection, **values: object) -> None:
    if not insert_new(db, funds, {"account": ACCOUNT, **values}):
        db.execute(funds.update().where(funds.c.account == ACCOUNT).values(**values))
