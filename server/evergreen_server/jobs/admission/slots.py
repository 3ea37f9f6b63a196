"""Slots in the rows: who is queued for a model's slots, who has one, and what blocks the queue.

All of it is in the database, so it is true for every replica and outlives each of them. The functions run within the
caller's transaction.

The clock by which times were written may have been set back since. No time to wait for lies further ahead than the
longest such wait; one that does was written before the clock was set back, and is cut to that wait.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from evergreen_server.jobs.admission import funds
from evergreen_server.jobs.db.database import insert_new
from evergreen_server.jobs.db.mapping import to_micros
from evergreen_server.jobs.db.schema import jobs, provider_tasks
from evergreen_server.jobs.db.shared_schema import model_queues, turns
from evergreen_server.jobs.model.change import Change
from evergreen_server.jobs.model.states import Slot, State

EVERY_MODEL = "*"
FIRST_PAUSE_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 900.0
LONGEST_REST = timedelta(minutes=1)
"""The longest that a job which could not be sent is left alone; see `StepContext.later`."""
LONGEST_QUESTION = timedelta(minutes=10)
"""An answer about the account takes less than this."""
BATCH = 500
WARNED_AT_ONCE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotLimits:
    """What the account allows for a model."""

    concurrent: int | None
    """Tasks at once; None is unlimited."""
    daily_left: int | None = None
    """Tasks that may still be made in the rolling day, as of `asked_at`; None is unlimited."""
    asked_at: datetime
    current: bool = True
    """Whether the provider answered the last question about them; if not, nobody knows when a job will start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """The jobs that got a slot; with `more`, there are others that could not be served yet."""

    changes: list[Change]
    more: bool = False
    pause_seconds: float = 0.0
    """How long the model's last pause was, until a task is accepted again."""
    opens_at: int | None = None
    """When the model opens again, in microseconds; None if nothing blocks it, or it is not known."""


def queue_of(model: str | None = None) -> "sa.Select[tuple[str, str, str]]":
    """Selects the queue of a model, or of each: projects in turn, within each the highest priority first, then by age.

    A job's turn is the number of slots that its project holds plus the number of the project's jobs before it, so the
    project that has least goes next; of several that have as little, the one that was served longest ago. A priority
    orders jobs within its project only: what one project thinks urgent must not hold back another.
    """
    held = sa.select(jobs.c.model, jobs.c.project_id, sa.func.count().label("held")).where(
        jobs.c.slot == Slot.HELD.value, *_of(model)
    )
    # Counted once: a planner that expects a short queue would count again for each queued job.
    holders = held.group_by(jobs.c.model, jobs.c.project_id).cte("holders")
    holders = holders.prefix_with("MATERIALIZED", dialect="postgresql")
    before = sa.func.row_number().over(
        partition_by=(jobs.c.model, jobs.c.project_id), order_by=(jobs.c.priority.desc(), jobs.c.job_id)
    )
    turn = before + sa.func.coalesce(holders.c.held, 0)
    served = sa.func.coalesce(turns.c.served_at, 0)
    return (
        sa.select(jobs.c.job_id, jobs.c.project_id, jobs.c.model)
        .outerjoin(holders, sa.and_(holders.c.model == jobs.c.model, holders.c.project_id == jobs.c.project_id))
        .outerjoin(turns, sa.and_(turns.c.model == jobs.c.model, turns.c.project_id == jobs.c.project_id))
        .where(jobs.c.slot == Slot.WANTED.value, *_of(model))
        .order_by(jobs.c.model, turn, served, jobs.c.job_id)
    )


def grant(db: sa.Connection, model: str, limits: SlotLimits, now: datetime, scale: float) -> Granted:
    """Grants free slots of a model to the first in its queue: one transaction at a time, over all replicas."""
    queue = _lock(db, model)
    paused_until = _bounded(queue.paused_until, now, scale)
    if paused_until > to_micros(now):
        _set(db, model, paused_until=paused_until)
        return Granted(changes=[], pause_seconds=queue.pause_seconds, opens_at=paused_until)
    out_of_credits = sa.select(model_queues.c.model).where(
        model_queues.c.model == EVERY_MODEL, model_queues.c.no_credits_since.is_not(None)
    )
    if db.execute(out_of_credits).first():
        return Granted(changes=[], pause_seconds=queue.pause_seconds)
    free, opens_at = BATCH, None
    if limits.concurrent is not None:
        held = sa.select(sa.func.count()).where(jobs.c.slot == Slot.HELD.value, jobs.c.model == model)
        free = min(BATCH, limits.concurrent - int(db.execute(held).scalar_one()))
    if free > 0 and limits.daily_left is not None:
        daily, opens_at = _daily(db, queue, limits, now, scale)
        free = min(free, daily)
    changes, more = _fill(db, model, free, now) if free > 0 else ([], False)
    if free > 0 and opens_at is not None:
        # This job tries although the day's quota is used up. If there is none, the next job to come may.
        opens_at = opens_at if changes else None
        _set(db, model, daily_probe_at=opens_at or to_micros(now))
    return Granted(changes=changes, more=more, pause_seconds=queue.pause_seconds, opens_at=opens_at)


def _fill(db: sa.Connection, model: str, free: int, now: datetime) -> tuple[list[Change], bool]:
    resting = jobs.c.not_before.between(to_micros(now) + 1, to_micros(now + LONGEST_REST))
    ready = sa.or_(jobs.c.not_before.is_(None), sa.not_(resting))
    left = funds.left(db, now)
    first = queue_of(model).add_columns(jobs.c.estimated_millicredits).where(ready, funds.within(left)).limit(free)
    chosen, dear = [], False
    for row in db.execute(first):
        price = row.estimated_millicredits or 0
        if left is not None and price > left:
            dear = True
            continue
        chosen.append(row.job_id)
        left = None if left is None else left - price
    if not chosen:
        return [], False
    # A row that another transaction is changing is skipped and tried again later: a transaction that never waits
    # cannot be part of a deadlock.
    mine = sa.select(jobs.c.job_id, jobs.c.project_id).where(
        jobs.c.job_id.in_(chosen), jobs.c.slot == Slot.WANTED.value
    )
    rows = db.execute(mine.with_for_update(skip_locked=True)).all()
    if rows:
        found = jobs.c.job_id.in_([row.job_id for row in rows])
        db.execute(jobs.update().where(found).values(slot=Slot.HELD.value))
        # Behind every project served so far, also if the clock has since been set back.
        last = db.execute(sa.select(sa.func.max(turns.c.served_at)).where(turns.c.model == model)).scalar() or 0
        served = {"served_at": max(to_micros(now), last + 1)}
        for project_id in {row.project_id for row in rows}:
            if not insert_new(db, turns, {"model": model, "project_id": project_id, **served}):
                of_project = turns.c.model == model, turns.c.project_id == project_id
                db.execute(turns.update().where(*of_project).values(**served))
    changes = [Change(project_id=row.project_id, job_id=row.job_id, external=True, granted=True) for row in rows]
    return changes, dear or len(rows) < len(chosen) or len(chosen) == BATCH


def _daily(
    db: sa.Connection, queue: "sa.Row[tuple[object, ...]]", limits: SlotLimits, now: datetime, scale: float
) -> tuple[int, int | None]:
    """Returns how many more jobs the day's quota allows and, if it is used up, when the next job may try.

    Now and then one may try although the quota is used up: the provider's count decides, not ours.
    """
    assert limits.daily_left is not None
    made = (
        sa.select(sa.func.count())
        .select_from(provider_tasks.join(jobs, jobs.c.job_id == provider_tasks.c.job_id))
        .where(
            jobs.c.model == queue.model,
            # What was made before the clock was set back is in the provider's own count by now.
            provider_tasks.c.created_at.between(to_micros(limits.asked_at), to_micros(now)),
        )
    )
    coming = sa.select(sa.func.count()).where(
        jobs.c.slot == Slot.HELD.value, jobs.c.model == queue.model, jobs.c.task_id == ""
    )
    left = limits.daily_left - int(db.execute(made).scalar_one()) - int(db.execute(coming).scalar_one())
    if left > 0:
        if queue.daily_probe_at is not None:
            _set(db, queue.model, daily_probe_at=None)
        return left, None
    next_at = to_micros(now + timedelta(seconds=LONGEST_PAUSE_SECONDS / scale))
    if queue.daily_probe_at is None:
        _set(db, queue.model, daily_probe_at=next_at)
        return 0, next_at
    probe_at = _bounded(queue.daily_probe_at, now, scale)
    if probe_at <= to_micros(now):
        return 1, next_at
    _set(db, queue.model, daily_probe_at=probe_at)
    return 0, probe_at


def pause(db: sa.Connection, model: str, retry_after_seconds: float | None, now: datetime, scale: float) -> float:
    """Closes a model after a 429: 60 s at first, doubling to 15 min, or as long within that as the provider says.

    Returns how long the pause lasts, in the provider's seconds.
    """
    queue, at = _lock(db, model), to_micros(now)
    step, paused_until = float(queue.pause_seconds), _bounded(queue.paused_until, now, scale)
    if at >= paused_until:
        # What was sent before the pause and is refused during it says nothing new.
        step = min(max(FIRST_PAUSE_SECONDS, 2 * step), LONGEST_PAUSE_SECONDS)
    seconds = min(max(step, retry_after_seconds or 0.0), LONGEST_PAUSE_SECONDS)
    until = max(paused_until, at + int(seconds / scale * 1_000_000))
    _set(db, model, pause_seconds=step, paused_until=until)
    return seconds


def accepted(db: sa.Connection, model: str) -> None:
    """Resets the model's pause, so that the next one is short again."""
    _set(db, model, pause_seconds=0.0)


def out_of_credits(db: sa.Connection, known: int | None, now: datetime, price: int | None = None) -> None:
    """Closes every model until the balance explains why a task of this price was refused, or has risen.

    The balance that was too small was at most `known`. Amounts are in millicredits; None if not known.
    """
    _lock(db, EVERY_MODEL)
    _set(db, EVERY_MODEL, no_credits_since=to_micros(now), refused_balance=known)
    funds.refuse(db, price)


def see_balance(db: sa.Connection, millicredits: int, asked_at: datetime, now: datetime | None = None) -> bool:
    """Records the balance as it was after `asked_at`; returns whether it opens the models again.

    It does if it is below the price that was refused, since jobs that cost more than the balance are held back anyway.
    Otherwise the provider refuses for a reason of its own, and the balance must rise.
    """
    queue = _lock(db, EVERY_MODEL)
    explained = funds.see(db, millicredits, asked_at, now or asked_at)
    if queue.no_credits_since is None:
        return False
    if to_micros(asked_at) < queue.no_credits_since < to_micros(asked_at + LONGEST_QUESTION):
        return False
    risen = queue.refused_balance is not None and millicredits > queue.refused_balance
    if not explained and not risen:
        _set(db, EVERY_MODEL, refused_balance=millicredits)
        return False
    _set(db, EVERY_MODEL, no_credits_since=None, refused_balance=None)
    return True


def waiting_models(db: sa.Connection) -> tuple[list[str], list[str]]:
    """Returns the models that jobs are queued for, and the jobs that have not used their slot yet."""
    models = sa.select(jobs.c.model).where(jobs.c.slot == Slot.WANTED.value).distinct()
    unused = sa.select(jobs.c.job_id).where(jobs.c.slot == Slot.HELD.value, jobs.c.state == State.QUEUED.value)
    return list(db.execute(models).scalars()), list(db.execute(unused).scalars())


def not_warned(db: sa.Connection, model: str, code: str, which: "sa.ColumnElement[bool]") -> list[str]:
    """Returns the first few jobs of a model's queue that match `which` and have no warning of this code yet."""
    warned = sa.cast(jobs.c.warnings, sa.String).contains(f'"{code}"')
    return [row.job_id for row in db.execute(queue_of(model).where(which, sa.not_(warned)).limit(WARNED_AT_ONCE))]


def _bounded(at: int, now: datetime, scale: float) -> int:
    """Returns when a pause ends: no later than a pause that begins now."""
    return min(at, to_micros(now + timedelta(seconds=LONGEST_PAUSE_SECONDS / scale)))


def bounded_pause(paused_until: int, now: datetime, scale: float) -> float:
    """Returns in how many seconds a model's pause is over; 0 if it is."""
    return max(0.0, (_bounded(paused_until, now, scale) - to_micros(now)) / 1_000_000)


def _of(model: str | None) -> list[sa.ColumnElement[bool]]:
    return [] if model is None else [jobs.c.model == model]


def _lock(db: sa.Connection, model: str) -> "sa.Row[tuple[object, ...]]":
    query = sa.select(model_queues).where(model_queues.c.model == model).with_for_update()
    row = db.execute(query).one_or_none()
    if row is None:
        insert_new(db, model_queues, {"model": model})
        row = db.execute(query).one()
    return row


def _set(db: sa.Connection, model: str, **values: object) -> None:
    db.execute(model_queues.update().where(model_queues.c.model == model).values(**values))
