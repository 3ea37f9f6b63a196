"""The ledger: what each attempt of a job reserved, cost, and gave back. Each entry is made once.

RESERVE is entered when an attempt begins, ADJUST when the provider's own estimate differs from our quote. When the
attempt ends, SETTLE is what it cost, and REFUND what was reserved beyond that. What is not settled may still be
charged: a job in NEEDS_ATTENTION keeps its reservation until its caller resolves it. SURPLUS names a task that was
found after its attempt was settled at the most that it can have cost; it adds nothing.

The run of a film holds a sum, which counts as reserved, and its jobs draw from that; see `jobs.model.held`.

A project's sums are kept in its row by the transactions that make the entries, so that a cap is checked by reading one
row, and is valid across all replicas because that row is locked.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Self

import sqlalchemy as sa

from evergreen_server.jobs.db.database import insert_new
from evergreen_server.jobs.db.mapping import to_micros
from evergreen_server.jobs.db.queries import ADD_CREDITS, INSERT_ENTRY
from evergreen_server.jobs.db.schema import ledger, projects
from evergreen_server.jobs.model.errors import JobError
from evergreen_server.jobs.model.held import Held
from evergreen_server.jobs.model.job import Job, JobRequest
from evergreen_server.jobs.model.states import CostBasis
from evergreen_server.jobs.store.held import held_by, keep

RESERVE = "RESERVE"
ADJUST = "ADJUST"
SETTLE = "SETTLE"
REFUND = "REFUND"
SURPLUS = "SURPLUS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Millicredits of a project, or of all."""

    reserved: int
    confirmed: int
    """What was spent, as the provider reported."""
    bounded: int
    """The most that was spent besides."""

    @property
    def spent(self) -> int:
        return self.confirmed + self.bounded


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """The most that a project may have reserved and spent in all, in millicredits; None means no limit."""

    default: int | None = None
    projects: Mapping[str, int | None] = field(default_factory=dict)

    @classmethod
    def of_credits(cls, credits: Mapping[str, float | None]) -> Self:
        """Returns the caps that credits by project name, `*` for all others; None means no limit."""
        caps = {project: None if amount is None else round(amount * 1000) for project, amount in credits.items()}
        return cls(default=caps.pop("*", None), projects=caps)

    def of(self, project_id: str) -> int | None:
        return self.projects.get(project_id, self.default)


UNCAPPED = Caps()


class PriceUnknown(JobError):
    """There is a limit on credits, and the price of the model is not known."""


class ProjectCreditsExceeded(JobError):
    """One more attempt could take the project beyond its cap. All in millicredits."""

    def __init__(self, *, cap: int, totals: Totals, estimate: int) -> None:
        super().__init__(
            f"an attempt may cost {estimate / 1000:g} credits; of the project's {cap / 1000:g} credits "
            f"{totals.reserved / 1000:g} are reserved and {totals.spent / 1000:g} spent"
        )
        self.cap = cap
        self.totals = totals
        self.estimate = estimate


def check(cap: int | None, totals: Totals, estimate: int | None) -> None:
    """Raises PriceUnknown, ProjectCreditsExceeded if an attempt does not fit under a cap."""
    if cap is None:
        return
    if estimate is None:
        raise PriceUnknown("the project has a limit on credits, and the price of this model is not known")
    if totals.reserved + totals.spent + estimate > cap:
        raise ProjectCreditsExceeded(cap=cap, totals=totals, estimate=estimate)


def check_first(db: sa.Connection, request: JobRequest, estimate: int | None, cap: int | None) -> None:
    """Raises as `check` does for the first attempt of a job, and FilmCreditsExceeded."""
    held = held_by(db, request)
    if cap is None and held is None:
        return
    drawn = 0 if held is None else held.held - held.draw(estimate or 0).held
    sums = totals(db, request.project_id)
    check(cap, replace(sums, reserved=sums.reserved - drawn), estimate)


def check_attempt(db: sa.Connection, old: Job, new: Job, cap: int | None) -> None:
    """Raises as `check_first` does for the next attempt of a job, once what the last one reserved is settled."""
    held = held_by(db, new.request)
    if cap is None and held is None:
        return
    reserved, charged = _ending(db, old, new)
    drawn = 0
    if held is not None:
        settled = held.settle(reserved=reserved, charged=charged)
        drawn = held.held - settled.draw(new.estimated_millicredits or 0).held
    sums = totals(db, new.request.project_id)
    after = Totals(reserved=sums.reserved - reserved - drawn, confirmed=sums.confirmed + charged, bounded=sums.bounded)
    check(cap, after, new.estimated_millicredits)


def reserve(db: sa.Connection, job: Job, now: datetime) -> None:
    """Records what the job's current attempt may cost; zero if no price is known. The project must be locked.

    Raises FilmCreditsExceeded.
    """
    amount = job.estimated_millicredits or 0
    _enter(db, job, RESERVE, job.attempt, amount, CostBasis.UPPER_BOUND, now)
    _add(db, job, reserved=amount + _held(db, job, lambda held: held.draw(amount)))


def follow(db: sa.Connection, old: Job, new: Job, now: datetime) -> None:
    """Records what a change of a job costs or frees. The project must be locked."""
    difference = (new.estimated_millicredits or 0) - (old.estimated_millicredits or 0)
    if difference and new.attempt == old.attempt:
        _enter(db, new, ADJUST, new.attempt, difference, CostBasis.UPPER_BOUND, now)
        _add(db, new, reserved=difference + _held(db, new, lambda held: held.adjust(difference)))
    if new.final or new.attempt != old.attempt:
        _settle(db, old, new, now)
    if new.attempt != old.attempt:
        reserve(db, new, now)


def surplus(db: sa.Connection, job: Job, attempt: int, task_id: str, now: datetime) -> None:
    """Records a task that was unknown when its attempt was charged for it; once for each task."""
    entry = {
        "job_id": job.job_id,
        "attempt": attempt,
        "entry": f"{SURPLUS} {task_id}",
        "project_id": job.request.project_id,
        "millicredits": 0,
        "basis": CostBasis.UPPER_BOUND.value,
        "created_at": to_micros(now),
    }
    insert_new(db, ledger, entry)


def totals(db: sa.Connection, project_id: str = "") -> Totals:
    """Returns the sums of a project, or without one those of all projects."""
    columns = (projects.c.reserved_millicredits, projects.c.confirmed_millicredits, projects.c.bounded_millicredits)
    query = sa.select(*(sa.func.coalesce(sa.func.sum(column), 0) for column in columns))
    if project_id:
        query = query.where(projects.c.project_id == project_id)
    reserved, confirmed, bounded = db.execute(query).one()
    return Totals(reserved=int(reserved), confirmed=int(confirmed), bounded=int(bounded))


def _settle(db: sa.Connection, old: Job, new: Job, now: datetime) -> None:
    reserved, charged = _ending(db, old, new)
    basis = new.charge_basis or CostBasis.UPPER_BOUND
    _enter(db, new, SETTLE, old.attempt, charged, basis, now)
    if reserved > charged:
        _enter(db, new, REFUND, old.attempt, reserved - charged, basis, now)
    confirmed = basis is CostBasis.CONFIRMED
    kept = _held(db, new, lambda held: held.settle(reserved=reserved, charged=charged))
    _add(db, new, reserved=kept - reserved, confirmed=charged * confirmed, bounded=charged * (not confirmed))


def _ending(db: sa.Connection, old: Job, new: Job) -> tuple[int, int]:
    """Returns what the ending attempt had reserved, and its own part of the job's cost."""
    rows = db.execute(
        sa.select(ledger.c.attempt, ledger.c.entry, ledger.c.millicredits).where(ledger.c.job_id == new.job_id)
    ).all()
    reserved = sum(row.millicredits for row in rows if row.attempt == old.attempt and row.entry in (RESERVE, ADJUST))
    settled = sum(row.millicredits for row in rows if row.entry == SETTLE)
    return reserved, (new.charged_millicredits or 0) - settled


def _held(db: sa.Connection, job: Job, change: Callable[[Held], Held]) -> int:
    """Changes the money of the run that pays for a job, and returns by how much more or less it holds."""
    held = held_by(db, job.request)
    if held is None:
        return 0
    after = change(held)
    keep(db, job.request, after)
    return after.held - held.held


def _add(db: sa.Connection, job: Job, *, reserved: int = 0, confirmed: int = 0, bounded: int = 0) -> None:
    if reserved or confirmed or bounded:
        key = {"of_project": job.request.project_id}
        ADD_CREDITS.run(db, {**key, "reserved": reserved, "confirmed": confirmed, "bounded": bounded})


def _enter(
    db: sa.Connection, job: Job, entry: str, attempt: int, millicredits: int, basis: CostBasis, now: datetime
) -> None:
    row = {
        "job_id": job.job_id,
        "attempt": attempt,
        "entry": entry,
        "project_id": job.request.project_id,
        "millicredits": millicredits,
        "basis": basis.value,
        "created_at": to_micros(now),
    }
    INSERT_ENTRY.run(db, row)
