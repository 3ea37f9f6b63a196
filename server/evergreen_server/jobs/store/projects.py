"""Projects as lists show them: their jobs counted by state, their credits, and when something last changed.

The counters are in the project's row, changed by the transactions that change the jobs, under the lock of that row: a
list of projects reads no job. Whoever starts looks whether they are right, since a server of the release before, which
may have changed jobs meanwhile, knows nothing of them.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from evergreen_server.jobs.db.mapping import from_micros, to_micros
from evergreen_server.jobs.db.queries import COUNT_JOBS, SET_REVISION, SET_REVISION_AND_ADD_JOBS
from evergreen_server.jobs.db.schema import COUNTERS, jobs, projects
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.model.states import State
from evergreen_server.jobs.store.ledger import Totals
from evergreen_server.jobs.store.project_lock import lock_project

AT_ONCE = 500
"""The most project ids in one statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project, without its jobs."""

    project_id: str
    revision: int
    jobs: Mapping[State, int]
    totals: Totals
    created_at: datetime
    updated_at: datetime
    """When a job of it last changed; its creation, if it never had one."""


def moved(old: State | None, new: State | None) -> Mapping[str, int]:
    """Returns what to add to each counter if a job comes from a state, or comes to be, and goes to one, or is gone.

    Nothing, if its state stays the same.
    """
    if new is old:
        return {}
    return {counter.name: (state is new) - (state is old) for state, counter in COUNTERS.items()}


def advance(db: sa.Connection, job: Job, now: datetime, *, was: State | None) -> None:
    """Records in the row of a locked project that a job has changed, from a state or, with None, from nothing."""
    moves = moved(was, job.state)
    values = {"of_project": job.request.project_id, "revision": job.revision, "updated_at": to_micros(now)}
    (SET_REVISION_AND_ADD_JOBS if moves else SET_REVISION).run(db, {**values, **moves})


def list_projects(db: sa.Connection, after: str, limit: int, owned: Collection[str] | None) -> list[Project]:
    """Returns the next projects in the order of their ids, `limit` at most: of those that are owned, or of all."""
    query = sa.select(projects).where(projects.c.project_id > after).order_by(projects.c.project_id).limit(limit)
    if owned is None:
        return [_project(row) for row in db.execute(query).mappings()]
    left = sorted(project_id for project_id in owned if project_id > after)
    found: list[Project] = []
    for start in range(0, len(left), AT_ONCE):
        some = sa.select(projects).where(projects.c.project_id.in_(left[start : start + AT_ONCE]))
        found += sorted((_project(row) for row in db.execute(some).mappings()), key=lambda each: each.project_id)
        if len(found) >= limit:
            break
    return found[:limit]


def miscounted(db: sa.Connection) -> Sequence[str]:
    """Returns the projects whose counters are not what there is, counted in an index."""
    counted: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for row in db.execute(COUNT_JOBS):
        counted[row.project_id][COUNTERS[State(row.state)].name] = row.number
    query = sa.select(projects.c.project_id, *COUNTERS.values())
    return [
        row["project_id"]
        for row in db.execute(query).mappings()
        if any(row[name.name] != counted[row["project_id"]].get(name.name, 0) for name in COUNTERS.values())
    ]


def recount(db: sa.Connection, project_id: str, now: datetime) -> None:
    """Sets the counters of a project to what there is, under its lock."""
    lock_project(db, project_id, now)
    found = {row.state: row.number for row in db.execute(COUNT_JOBS.where(jobs.c.project_id == project_id))}
    values = {counter: found.get(state.value, 0) for state, counter in COUNTERS.items()}
    db.execute(projects.update().where(projects.c.project_id == project_id).values(values))


def _project(row: sa.RowMapping) -> Project:
    return Project(
        project_id=row["project_id"],
        revision=row["revision"],
        jobs={state: row[counter.name] for state, counter in COUNTERS.items()},
        totals=Totals(
            reserved=row["reserved_millicredits"],
            confirmed=row["confirmed_millicredits"],
            bounded=row["bounded_millicredits"],
        ),
        created_at=from_micros(row["created_at"]),
        updated_at=from_micros(row["created_at"] if row["updated_at"] is None else row["updated_at"]),
    )
