"""Slots for renders in the rows of runs: who waits for one, who has one, and whose server is gone.

The rows are those of all servers, so that a project has its turns over all of them, and what a dead one held is found.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from evergreen_server.film.errors import RunNotFound
from evergreen_server.film.runs.run import RENDERS, FilmRun
from evergreen_server.film.runs.runner import RENDER_AGAIN_SECONDS
from evergreen_server.film.runs.store import RunStore
from evergreen_server.jobs.db.database import Database, insert_new
from evergreen_server.jobs.db.film_schema import film_runs
from evergreen_server.jobs.db.mapping import to_micros
from evergreen_server.jobs.db.replicas import live_replicas
from evergreen_server.jobs.db.shared_schema import turns
from evergreen_server.jobs.model.states import Slot

__all__ = ["Holder", "RenderSlots", "Waiting"]

AT_ONCE: Final = 100
"""Runs of one round: the others are for the next."""

Waiting = tuple[str, str, int]
"""The project, the film and the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """An execution of a run that holds a slot."""

    project_id: str
    film_id: str
    run: int
    execution: str


class RenderSlots:
    """Grants slots and takes them back. Any number of servers may do so at once."""

    def __init__(self, *, database: Database, runs: RunStore, clock: Callable[[], datetime], replica_id: str) -> None:
        self._database = database
        self._runs = runs
        self._clock = clock
        self._replica_id = replica_id

    async def any(self) -> bool:
        """Returns whether a run of any server has a slot or waits for one."""
        some = [film_runs.c.slot == slot.value for slot in (Slot.HELD, Slot.WANTED)]
        query = sa.select(sa.or_(*(sa.select(film_runs.c.run).where(each).exists() for each in some)))
        return await self._database.fetch(lambda db: bool(db.execute(query).scalar()))

    async def next(self) -> Waiting | None:
        """Returns the run whose turn it is; None if none waits."""
        query = queue_of(self._clock()).limit(1)
        row = await self._database.fetch(lambda db: db.execute(query).one_or_none())
        return None if row is None else (row.project_id, row.film_id, row.run)

    async def grant(self, waiting: Waiting, token: str) -> FilmRun | None:
        """Gives a run the slot that it waits for, to be rendered by an execution here.

        Returns None if it waits no more. The project is served behind all others from then on.
        """

        def edit(run: FilmRun) -> FilmRun:
            if run.slot is not Slot.WANTED:
                return run
            return run.holds_slot(self._clock(), execution=token, replica=self._replica_id)

        await self._database.write(lambda db: _serve(db, waiting[0], self._clock()))
        try:
            run = await self._runs.command(*waiting, edit)
        except RunNotFound:
            return None
        return run if run.execution == token else None

    async def held(self, *, here: bool) -> Sequence[Holder]:
        """Returns, up to 100, the runs that hold slots of this server, or of servers that are gone."""
        mine = film_runs.c.replica == self._replica_id
        gone = sa.and_(~mine, film_runs.c.replica.not_in(live_replicas()))
        columns = film_runs.c.project_id, film_runs.c.film_id, film_runs.c.run, film_runs.c.execution
        query = sa.select(*columns).where(film_runs.c.slot == Slot.HELD.value, mine if here else gone).limit(AT_ONCE)
        return await self._database.fetch(lambda db: [Holder(**row) for row in db.execute(query).mappings()])

    async def take_back(self, holder: Holder) -> None:
        """Has a run go on without its slot, unless another execution holds it by now."""

        def edit(run: FilmRun) -> FilmRun:
            mine = run.slot is Slot.HELD and run.execution == holder.execution
            return run.leaves_slot() if mine else run

        try:
            await self._runs.command(holder.project_id, holder.film_id, holder.run, edit)
        except RunNotFound:
            return

    async def waiting(self, *, before: datetime) -> Sequence[Waiting]:
        """Returns, up to 100, the runs that have waited since before a time."""
        columns = film_runs.c.project_id, film_runs.c.film_id, film_runs.c.run
        late = film_runs.c.slot_at < to_micros(before)
        query = sa.select(*columns).where(film_runs.c.slot == Slot.WANTED.value, late).limit(AT_ONCE)
        return await self._database.fetch(lambda db: [(*row,) for row in db.execute(query)])

    async def warn(self, waiting: Waiting, code: str, cause: str) -> None:
        """Has the caller of a run that still waits see why."""
        try:
            await self._runs.command(*waiting, lambda run: run.waits(code, cause) if run.slot is Slot.WANTED else run)
        except RunNotFound:
            return


def queue_of(now: datetime) -> "sa.Select[tuple[str, str, int]]":
    """Selects the runs that wait for slots: projects in turn, within each the one that has waited longest.

    A run's turn is the number of slots that its project holds plus the number of the project's runs before it; of
    several projects that have as little, the one that was served longest ago is next.
    """
    held = sa.select(film_runs.c.project_id, sa.func.count().label("held")).where(film_runs.c.slot == Slot.HELD.value)
    holders = held.group_by(film_runs.c.project_id).subquery("holders")
    before = sa.func.row_number().over(
        partition_by=film_runs.c.project_id, order_by=(film_runs.c.slot_at, film_runs.c.film_id)
    )
    turn = before + sa.func.coalesce(holders.c.held, 0)
    served = sa.func.coalesce(turns.c.served_at, 0)
    # No further ahead than the longest such rest: the clock may have been set back since.
    again = now + timedelta(seconds=RENDER_AGAIN_SECONDS)
    resting = film_runs.c.slot_at.between(to_micros(now) + 1, to_micros(again))
    mine = sa.and_(turns.c.model == RENDERS, turns.c.project_id == film_runs.c.project_id)
    return (
        sa.select(film_runs.c.project_id, film_runs.c.film_id, film_runs.c.run)
        .outerjoin(holders, holders.c.project_id == film_runs.c.project_id)
        .outerjoin(turns, mine)
        .where(film_runs.c.slot == Slot.WANTED.value, ~resting)
        .order_by(turn, served, film_runs.c.slot_at, film_runs.c.project_id)
    )


def _serve(db: sa.Connection, project_id: str, now: datetime) -> None:
    """Puts a project behind every one that was served so far, also if the clock has since been set back."""
    last = db.execute(sa.select(sa.func.max(turns.c.served_at)).where(turns.c.model == RENDERS)).scalar() or 0
    served = {"served_at": max(to_micros(now), last + 1)}
    if not insert_new(db, turns, {"model": RENDERS, "project_id": project_id, **served}):
        mine = turns.c.model == RENDERS, turns.c.project_id == project_id
        db.execute(turns.update().where(*mine).values(**served))
