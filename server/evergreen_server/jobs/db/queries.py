"""The statements that each job runs several times, built once: building one costs more than running it."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from evergreen_server.jobs.db.schema import (
    COUNTERS,
    audit,
    inline_media,
    job_events,
    job_labels,
    job_needs,
    jobs,
    ledger,
    projects,
    provider_tasks,
    requests,
    scene_deletions,
)
from evergreen_server.jobs.db.statement import Executable, Statement

_job = jobs.c.job_id == sa.bindparam("of_job")
_project = projects.c.project_id == sa.bindparam("of_project")

PROJECT_OF = Statement(sa.select(jobs.c.project_id).where(_job))
LOCK_PROJECT = Statement(sa.select(projects.c.revision).where(_project).with_for_update())
LOCK_PROJECTS = (
    sa.select(projects.c.project_id, projects.c.revision)
    .where(projects.c.project_id.in_(sa.bindparam("project_ids", expanding=True)))
    .order_by(projects.c.project_id)
    .with_for_update()
)
FIND_MARK = Statement(
    sa.select(scene_deletions.c.project_id).where(
        scene_deletions.c.project_id == sa.bindparam("of_project"),
        scene_deletions.c.scene_id == sa.bindparam("of_scene"),
    )
)
_SET_REVISION = (
    projects.update().where(_project).values(revision=sa.bindparam("revision"), updated_at=sa.bindparam("updated_at"))
)
_MORE = {counter: counter + sa.bindparam(counter.name) for counter in COUNTERS.values()}
SET_REVISION = Statement(_SET_REVISION)
ADD_JOBS = projects.update().where(_project).values(_MORE)
"""Adds to the number of jobs in each state, by the counters' names."""
SET_REVISION_AND_ADD_JOBS = Statement(_SET_REVISION.values(_MORE))
COUNT_JOBS = sa.select(jobs.c.project_id, jobs.c.state, sa.func.count().label("number")).group_by(
    jobs.c.project_id, jobs.c.state
)
ADD_CREDITS = Statement(
    projects.update()
    .where(_project)
    .values(
        reserved_millicredits=projects.c.reserved_millicredits + sa.bindparam("reserved"),
        confirmed_millicredits=projects.c.confirmed_millicredits + sa.bindparam("confirmed"),
        bounded_millicredits=projects.c.bounded_millicredits + sa.bindparam("bounded"),
    )
)

_READ_JOB = sa.select(jobs).where(_job)
READ_JOB = Statement(_READ_JOB)
LOCK_JOB = Statement(_READ_JOB.with_for_update())
OF_REQUEST = (
    *("project_id", "scene_id", "request_id", "digest", "model", "duration_seconds", "kind", "operation", "spec"),
    *("spec_more", "labels", "priority", "max_attempts", "on_unknown_submission", "max_millicredits", "start_by"),
    *("finish_by", "film_id", "film_run", "traceparent"),
)
"""Columns that never change after acceptance, and are most of a row."""
LIFE = [column for column in jobs.c if column.name not in OF_REQUEST]
_READ_LIFE = sa.select(*LIFE).where(_job)
READ_LIFE = Statement(_READ_LIFE)
"""Selects what changes during a job's life, for whoever has its request already."""
LOCK_LIFE = Statement(_READ_LIFE.with_for_update())
LOCK_FREE_JOBS = (
    sa.select(jobs).where(jobs.c.job_id.in_(sa.bindparam("job_ids", expanding=True))).with_for_update(skip_locked=True)
)
"""Selects those of the jobs that no other transaction is changing."""
CLAIM_JOB = jobs.update().where(_job).values(execution=sa.bindparam("by_token"), replica=sa.bindparam("by_replica"))
INSERT_JOB = Statement(jobs.insert())
UPDATE_JOB = Statement(jobs.update().where(_job))
"""Sets the columns that its parameters name."""

INSERT_EVENT = Statement(job_events.insert())
INSERT_ENTRY = Statement(ledger.insert())
INSERT_REQUEST = Statement(requests.insert())
INSERT_NOTE = Statement(audit.insert())
INSERT_INLINE = inline_media.insert()
DELETE_INLINE = Statement(inline_media.delete().where(inline_media.c.job_id == sa.bindparam("of_job")))
INSERT_LABELS = job_labels.insert()
INSERT_NEEDS = job_needs.insert()
DELETE_NEEDS = job_needs.delete().where(job_needs.c.job_id == sa.bindparam("of_job"))

FIND_REQUEST = Statement(
    sa.select(requests.c.digest, requests.c.job_id).where(
        requests.c.project_id == sa.bindparam("of_project"), requests.c.request_id == sa.bindparam("of_request")
    )
)


def _new_task(dialect: str) -> Executable:
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return insert(provider_tasks).on_conflict_do_nothing()


INSERT_TASK = Statement(_new_task)
"""Inserts a task, unless it is known."""
SET_ROLE = Statement(
    provider_tasks.update().where(provider_tasks.c.task_id == sa.bindparam("of_task")).values(role=sa.bindparam("role"))
)
