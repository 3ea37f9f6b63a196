"""Removes runs of films that ended long ago, a batch at a time: all but the newest of each film.

What they have made stays with the film: its outputs, of which files are there, and its exports. The plans that only
they named go with the film's next plan.
"""

from datetime import datetime
from typing import Final

import sqlalchemy as sa

from evergreen_server.jobs.db.film_schema import films
from evergreen_server.jobs.db.mapping import to_micros
from evergreen_server.jobs.db.queries import LOCK_PROJECTS
from evergreen_server.jobs.db.schema import film_outputs, film_runs

__all__ = ["delete_old_runs"]

RUNS_AT_ONCE: Final = 200


def delete_old_runs(db: sa.Connection, before: datetime) -> int:
    """Deletes a batch of runs that ended before a time and are not their film's newest; returns how many."""
    key = film_runs.c.project_id, film_runs.c.film_id, film_runs.c.run
    newer = sa.exists().where(
        films.c.project_id == film_runs.c.project_id,
        films.c.film_id == film_runs.c.film_id,
        films.c.run > film_runs.c.run,
    )
    query = sa.select(*key).where(film_runs.c.ended_at < to_micros(before), newer)
    found = db.execute(query.order_by(film_runs.c.ended_at).limit(RUNS_AT_ONCE)).all()
    if found:
        # As with every other change of a film.
        db.execute(LOCK_PROJECTS, {"project_ids": sorted({row.project_id for row in found})})
        rows = [tuple(row) for row in found]
        of_run = sa.tuple_(film_outputs.c.project_id, film_outputs.c.film_id, film_outputs.c.run)
        # Of these there is no file, nor will there be one.
        db.execute(film_outputs.delete().where(of_run.in_(rows), film_outputs.c.asset.is_(None)))
        db.execute(film_runs.delete().where(sa.tuple_(*key).in_(rows)))
    return len(found)
