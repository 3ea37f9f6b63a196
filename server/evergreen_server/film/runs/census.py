"""Counts films by state, and what their runs hold and wait for, for the metrics."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from evergreen_server.film.runs.films import FilmState
from evergreen_server.film.runs.run import WAITS_FOR_PEOPLE
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.film_schema import film_runs, films
from evergreen_server.jobs.db.mapping import to_micros

__all__ = ["FilmCensus", "take_film_census"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmCensus:
    """The rows of all replicas, counted in one snapshot."""

    by_state: Mapping[FilmState, int]
    held_millicredits: int
    """What runs hold for jobs to come."""
    waiting: int
    """How many runs wait for people: at a gate, or with a question."""
    longest_wait_seconds: float
    """Since the last change of the run that has waited longest; 0 if none waits."""


async def take_film_census(database: Database, clock: Callable[[], datetime]) -> FilmCensus:
    """Returns the numbers of films by state, and of the runs that are not over what they hold and wait for."""
    waits = film_runs.c.state.in_(sorted(state.value for state in WAITS_FOR_PEOPLE))

    def read(db: sa.Connection) -> FilmCensus:
        states = db.execute(sa.select(films.c.state, sa.func.count()).group_by(films.c.state))
        found = {FilmState(state): int(number) for state, number in states}
        held, waiting, oldest = db.execute(
            sa.select(
                sa.func.coalesce(sa.func.sum(film_runs.c.held_millicredits), 0),
                sa.func.count(sa.case((waits, 1))),
                sa.func.min(sa.case((waits, film_runs.c.updated_at))),
            ).where(film_runs.c.ended_at.is_(None))
        ).one()
        wait = 0.0 if oldest is None else max(0.0, (to_micros(clock()) - oldest) / 1_000_000)
        return FilmCensus(
            by_state={state: found.get(state, 0) for state in FilmState},
            held_millicredits=int(held),
            waiting=int(waiting),
            longest_wait_seconds=wait,
        )

    return await database.read(read)
