"""Removes runs of films that ended long ago, a batch at a time: all but the newest of each film; and takes of no film.

What they have made stays with the film: its outputs, of which files are there, and its exports. The plans that only
they named go with the film's next plan.
"""

from datetime import datetime
from typing import Final

import sqlalchemy as sa

from evergreen_server.film.digests import digest_of, request_id
from evergreen_server.jobs.db.film_schema import film_outputs, film_runs, film_takes, films
from evergreen_server.jobs.db.mapping import to_micros
from evergreen_server.jobs.db.queries import LOCK_PROJECTS
from evergreen_server.jobs.db.schema import requests

__all__ = ["delete_old_runs", "delete_old_takes"]

RUNS_AT_ONCE: Final = 200
TAKES_AT_ONCE: Final = 500


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


def delete_old_takes(db: sa.Connection, after: tuple[str, str]) -> tuple[int, tuple[str, str] | None]:
    """Deletes those of the next batch of takes whose request is no longer kept, and of which no film has an output.

    Returns how many, and the project and base of the batch's last take; None if there are no more.
    """
    key, of_output = (sa.tuple_(table.c.project_id, table.c.base) for table in (film_takes, film_outputs))
    query = sa.select(film_takes).where(key > sa.tuple_(*after)).order_by(*key.clauses).limit(TAKES_AT_ONCE)
    places = [(row.project_id, row.base) for row in db.execute(query)]
    if places:
        # A run that accepts the job of a take does so under this lock.
        db.execute(LOCK_PROJECTS, {"project_ids": sorted({project_id for project_id, _ in places})})
    asked = {
        (row.project_id, request_id(digest_of(row.base, row.take))): (row.project_id, row.base)
        for row in db.execute(sa.select(film_takes).where(key.in_(places)))
    }
    of_request = sa.tuple_(requests.c.project_id, requests.c.request_id)
    for row in db.execute(sa.select(*of_request.clauses).where(of_request.in_(list(asked)))):
        del asked[row.project_id, row.request_id]
    gone = set(asked.values())
    if gone:
        used = sa.select(*of_output.clauses).where(of_output.in_(sorted(gone)))
        gone -= {(row.project_id, row.base) for row in db.execute(used)}
        db.execute(film_takes.delete().where(key.in_(sorted(gone))))
    return len(gone), places[-1] if len(places) == TAKES_AT_ONCE else None
