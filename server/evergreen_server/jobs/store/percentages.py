"""Writes the progress of many jobs with a few statements, however many jobs there are.

One by one, each job would take five, during which its project, and all earlier ones, would stay locked.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from evergreen_server.jobs.db import queries
from evergreen_server.jobs.db.bulk import insert_all, one_of, update_all
from evergreen_server.jobs.db.event_columns import EVENT_COLUMNS, job_of_event
from evergreen_server.jobs.db.mapping import to_micros
from evergreen_server.jobs.db.schema import job_events, jobs, projects
from evergreen_server.jobs.model.change import Change
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.model.states import EventKind, State

MOST = 1000
"""In one transaction."""

LOCK_JOBS = (
    sa.select(*EVENT_COLUMNS)
    .where(jobs.c.state == State.RUNNING.value)
    .order_by(jobs.c.project_id, jobs.c.job_id)
    .with_for_update()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A percentage that the execution of this token has read from the provider, in 0..1."""

    job: Job
    fencing_token: str
    progress: float


def write_percentages(
    db: sa.Connection,
    batch: Collection[Progress],
    now: datetime,
    event_row: Callable[[EventKind, Job, datetime], dict[str, object]],
) -> list[Change]:
    """Writes progress that is new and from the job's owner; returns what changed."""
    news = {item.job.job_id: item for item in batch}
    owners = sorted({item.job.request.project_id for item in batch})
    # Always in the same order, so that two such transactions cannot deadlock.
    revisions = {row.project_id: row.revision for row in db.execute(queries.LOCK_PROJECTS, {"project_ids": owners})}
    changes: list[Change] = []
    rows: list[dict[str, object]] = []
    events: list[dict[str, object]] = []
    found = db.execute(LOCK_JOBS.where(one_of(db, jobs.c.job_id, news)))
    names = tuple(found.keys())
    for values in found:
        # A mapping of SQLAlchemy's would take as long to read as the job takes to build.
        row = dict(zip(names, values, strict=True))
        item = news[row["job_id"]]
        mine = (row["execution"], row["attempt"]) == (item.fencing_token, item.job.attempt)
        if not mine or item.progress <= row["progress"]:
            continue
        owner = row["project_id"]
        revisions[owner] += 1
        # The times of a job never fall, even if the clock was set back.
        at = max(to_micros(now), row["updated_at"])
        change = {"progress": float(item.progress), "revision": revisions[owner], "updated_at": at}
        # Built once with its new values, since building it costs as much as everything else here.
        job = job_of_event({**row, **change})
        changes.append(Change(project_id=owner, job_id=job.job_id))
        rows.append({"job_id": job.job_id, **change})
        events.append(event_row(EventKind.PROGRESS, job, job.updated_at))
    if changes:
        insert_all(db, job_events, events)
        update_all(db, jobs, "job_id", rows)
        touched = {change.project_id for change in changes}
        at = to_micros(now)
        last = [{"project_id": owner, "revision": revisions[owner], "updated_at": at} for owner in sorted(touched)]
        update_all(db, projects, "project_id", last)
    return changes
