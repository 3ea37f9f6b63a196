"""What is read of runs within a transaction, and how those of a film are found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from evergreen_server.film.errors import (
    FilmNotFound,
    FilmRequestReused,
    PlanChanged,
    PlanNotFound,
    RunDeleted,
    RunNotFound,
)
from evergreen_server.film.model import FilmRequest
from evergreen_server.film.runs.rows import FilmOutput, output_of, run_of
from evergreen_server.film.runs.run import ENDED, WAITS_FOR_PEOPLE, FilmRun, RunState
from evergreen_server.jobs.db.film_schema import film_outputs, film_plans, film_requests, film_runs, films
from evergreen_server.jobs.db.mapping import job_from_row, to_micros
from evergreen_server.jobs.db.replicas import other_live_replicas
from evergreen_server.jobs.db.schema import jobs
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.model.states import Slot

__all__ = [
    "Made",
    "RunKey",
    "check_kept",
    "check_plan",
    "expired",
    "find_run",
    "get_run",
    "last_run",
    "left_by",
    "made_of",
    "newest_runs",
    "of_film",
]

RunKey = tuple[str, str, int]

_UNDER_WAY: Final = frozenset(RunState) - WAITS_FOR_PEOPLE - ENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The outputs of a film by any of its runs, and their jobs that are still kept."""

    outputs: tuple[FilmOutput, ...]
    """Those whose file is there last, by the time when it came."""
    jobs: Mapping[str, Job]


def made_of(db: sa.Connection, project_id: str, film_id: str) -> Made:
    """Returns what the runs of a film had made, or are having made."""
    query = sa.select(film_outputs).where(*of_film(film_outputs, project_id, film_id))
    outputs = [
        output_of(row) for row in db.execute(query.order_by(film_outputs.c.made_at, film_outputs.c.take)).mappings()
    ]
    # By the film's jobs, which an index has, and not by thousands of ids.
    children = sa.select(jobs).where(jobs.c.project_id == project_id, jobs.c.film_id == film_id)
    found = {row["job_id"]: job_from_row(row) for row in db.execute(children).mappings()}
    outputs.sort(key=lambda output: output.source is not None)
    return Made(outputs=tuple(outputs), jobs=found)


def last_run(db: sa.Connection, project_id: str, film_id: str) -> FilmRun | None:
    """Returns the newest run of a film; None if it has none."""
    query = sa.select(film_runs).where(*of_film(film_runs, project_id, film_id)).order_by(film_runs.c.run.desc())
    row = db.execute(query.limit(1)).mappings().one_or_none()
    return None if row is None else run_of(row)


def newest_runs(db: sa.Connection, project_id: str, numbers: Mapping[str, int]) -> Mapping[str, FilmRun]:
    """Returns by film the run of its number, as the films' rows name their newest; 0 for none."""
    # One after the other: of many at once PostgreSQL reads the runs of all films.
    return {film_id: get_run(db, project_id, film_id, run) for film_id, run in numbers.items() if run}


def get_run(db: sa.Connection, project_id: str, film_id: str, run: int) -> FilmRun:
    """Returns a run. Raises RunNotFound."""
    query = sa.select(film_runs).where(*of_film(film_runs, project_id, film_id), film_runs.c.run == run)
    row = db.execute(query).mappings().one_or_none()
    if row is None:
        raise RunNotFound(film_id, run)
    return run_of(row)


def find_run(db: sa.Connection, project_id: str, request: FilmRequest) -> FilmRun | None:
    """Returns the run that a request has begun; None if it began none. Raises FilmRequestReused, RunDeleted."""
    of_request = film_requests.c.project_id == project_id, film_requests.c.request_id == request.request_id
    known = db.execute(sa.select(film_requests).where(*of_request)).one_or_none()
    if known is None:
        return None
    if known.digest != request.digest:
        raise FilmRequestReused(known.film_id)
    # By the request, since a film that was deleted and made again counts its runs anew.
    begun = film_runs.c.request_id == request.request_id
    query = sa.select(film_runs).where(*of_film(film_runs, project_id, known.film_id), begun)
    row = db.execute(query).mappings().one_or_none()
    if row is None:
        raise RunDeleted(known.film_id)
    return run_of(row)


def check_plan(
    db: sa.Connection, project_id: str, film_id: str, *, plan_revision: int, planned_at: datetime | None = None
) -> None:
    """Raises FilmNotFound, or PlanChanged if the film's newest plan is another one.

    `planned_at` is when the film was first planned: one that was deleted and made again is another.
    """
    present = _newest_plan(db, project_id, film_id, planned_at)
    if present != plan_revision:
        raise PlanChanged(film_id, expected=plan_revision, present=abs(present))


def check_kept(
    db: sa.Connection, project_id: str, film_id: str, *, plan_revision: int, planned_at: datetime | None = None
) -> None:
    """Raises FilmNotFound, or PlanNotFound if the film no longer keeps a plan; `planned_at` as for `check_plan`."""
    newest = _newest_plan(db, project_id, film_id, planned_at)
    number = film_plans.c.plan_revision
    query = sa.select(number).where(*of_film(film_plans, project_id, film_id), number == plan_revision)
    if newest < 0 or db.execute(query).scalar() is None:
        raise PlanNotFound(film_id, plan_revision)


def _newest_plan(db: sa.Connection, project_id: str, film_id: str, planned_at: datetime | None) -> int:
    """Returns the revision of a film's newest plan; below 0 if that was made again since."""
    row = db.execute(sa.select(films).where(*of_film(films, project_id, film_id))).one_or_none()
    if row is None:
        raise FilmNotFound(project_id, film_id)
    again = planned_at is not None and row.created_at != to_micros(planned_at)
    newest: int = row.plan_revision
    return -newest if again else newest


def expired(before: datetime, *, most: int) -> "sa.Select[str, str, int]":
    """Returns the query for runs that no workflow runs, and that were to be over before a time; the oldest first."""
    query = sa.select(film_runs.c.project_id, film_runs.c.film_id, film_runs.c.run).where(
        # As the index says, word for word.
        film_runs.c.ended_at.is_(None),
        film_runs.c.finish_by.is_not(None),
        film_runs.c.finish_by <= to_micros(before),
        sa.or_(
            film_runs.c.state.in_([state.value for state in sorted(WAITS_FOR_PEOPLE)]),
            film_runs.c.slot == Slot.WANTED.value,
        ),
    )
    return query.order_by(film_runs.c.finish_by).limit(most)


def left_by(replica_id: str) -> "sa.Select[str, str, int, int]":
    """Returns the query for the runs, with their legs, that a workflow should run on a replica.

    Those of dead replicas are among them: one of the release before may have taken such a leg out of the queue.
    """
    return sa.select(film_runs.c.project_id, film_runs.c.film_id, film_runs.c.run, film_runs.c.leg).where(
        film_runs.c.ended_at.is_(None),
        film_runs.c.replica != "",
        film_runs.c.replica.not_in(other_live_replicas(replica_id)),
        film_runs.c.slot.is_(None),
        film_runs.c.state.in_([state.value for state in sorted(_UNDER_WAY)]),
    )


def of_film(table: sa.Table, project_id: str, film_id: str) -> "Sequence[sa.ColumnElement[bool]]":
    """Returns the conditions for the rows of a film."""
    return table.c.project_id == project_id, table.c.film_id == film_id
