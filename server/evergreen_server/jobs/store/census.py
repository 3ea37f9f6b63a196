"""Counts jobs by state, for the metrics."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.mapping import to_micros
from evergreen_server.jobs.db.schema import jobs
from evergreen_server.jobs.model.states import Stage, State
from evergreen_server.jobs.store import ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """The rows of all replicas, counted in one snapshot."""

    by_state: Mapping[State, int]
    waiting: int
    """How many jobs wait to be submitted."""
    longest_wait_seconds: float
    """The age of the oldest of them; 0 if none waits."""
    totals: ledger.Totals


async def take_census(database: Database, clock: Callable[[], datetime]) -> Census:
    """Returns the numbers of jobs by state, the length and age of the queue, and the credits."""

    def read(db: sa.Connection) -> Census:
        states = db.execute(sa.select(jobs.c.state, sa.func.count()).group_by(jobs.c.state))
        found = {State(state): int(number) for state, number in states}
        waiting, oldest = db.execute(
            sa.select(sa.func.count(), sa.func.min(jobs.c.created_at)).where(
                jobs.c.state == State.QUEUED.value, jobs.c.stage == Stage.WAITING.value
            )
        ).one()
        wait = 0.0 if oldest is None else max(0.0, (to_micros(clock()) - oldest) / 1_000_000)
        return Census(
            by_state={state: found.get(state, 0) for state in State},
            waiting=int(waiting),
            longest_wait_seconds=wait,
            totals=ledger.totals(db),
        )

    return await database.read(read)
