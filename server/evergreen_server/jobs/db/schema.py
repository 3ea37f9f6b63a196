"""The tables and their indexes."""

from collections.abc import Mapping

import sqlalchemy as sa

from evergreen_server.jobs.model.states import State

metadata = sa.MetaData()


projects = sa.Table(
    "projects",
    metadata,
    sa.Column("project_id", sa.String, primary_key=True),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("compacted_revision", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("reserved_millicredits", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("confirmed_millicredits", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("bounded_millicredits", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("updated_at", sa.BigInteger, comment="When a job of it last changed; null for one without jobs."),
    *(sa.Column(f"{state.lower()}_jobs", sa.BigInteger, nullable=False, server_default="0") for state in State),
    comment="Its jobs are counted by state, and its credits summed, under the lock of the row.",
)

COUNTERS: Mapping[State, "sa.Column[object]"] = {state: projects.c[f"{state.lower()}_jobs"] for state in State}


jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("job_id", sa.String, primary_key=True),
    sa.Column("project_id", sa.ForeignKey("projects.project_id"), nullable=False),
    sa.Column("scene_id", sa.String, nullable=False),
    sa.Column("request_id", sa.String, nullable=False),
    sa.Column("digest", sa.String, nullable=False),
    sa.Column("model", sa.String, nullable=False),
    sa.Column("duration_seconds", sa.Integer, comment="As in the spec, which no query reads."),
    sa.Column("kind", sa.String, nullable=False, server_default="VIDEO", comment="What is made."),
    sa.Column("operation", sa.String, comment="Null for a clip of GenerateVideo."),
    sa.Column("spec", sa.JSON, nullable=False),
    sa.Column("spec_more", sa.JSON, comment="What the release before cannot read in a spec; null where there is none."),
    sa.Column("labels", sa.JSON, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("max_attempts", sa.Integer, nullable=False),
    sa.Column("on_unknown_submission", sa.String, nullable=False),
    sa.Column("max_millicredits", sa.BigInteger),
    sa.Column("start_by", sa.BigInteger, nullable=False),
    sa.Column("finish_by", sa.BigInteger),
    sa.Column("film_id", sa.String, comment="The film whose run made it; null for a caller's."),
    sa.Column("film_run", sa.Integer),
    sa.Column("traceparent", sa.String, comment="The span of the call that was accepted; null if of no trace."),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("stage", sa.String, nullable=False),
    sa.Column("stage_at", sa.BigInteger, comment="When its stage began; null of a job of the release before."),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("progress", sa.Float, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("run", sa.Integer, nullable=False),
    sa.Column(
        "numbered",
        sa.String,
        # Where it does not hold, PostgreSQL fails on the cast: for a constraint that is false it tells the row, and so
        # the prompt, in its error, which is logged.
        sa.CheckConstraint(
            "CASE WHEN numbered IS NULL OR numbered = CAST(attempt AS VARCHAR(20)) || '.' || CAST(run AS VARCHAR(20))"
            " THEN 1 ELSE CAST(numbered AS INTEGER) - CAST(numbered AS INTEGER) END = 1"
        ),
        comment="Attempt and run of a job that the release before cannot run: it writes neither, and so starts none.",
    ),
    sa.Column("execution", sa.String, nullable=False),
    sa.Column("replica", sa.String, nullable=False, server_default=""),
    sa.Column("slot", sa.String),
    sa.Column("not_before", sa.BigInteger),
    sa.Column("submit_token", sa.String, nullable=False),
    sa.Column("submitted_at", sa.BigInteger),
    sa.Column("task_id", sa.String, nullable=False),
    sa.Column("delete_sent", sa.Boolean, nullable=False),
    sa.Column("estimated_millicredits", sa.BigInteger),
    sa.Column("charged_millicredits", sa.BigInteger),
    sa.Column("cost_basis", sa.String),
    sa.Column("charge_basis", sa.String),
    sa.Column("inputs", sa.JSON, nullable=False),
    sa.Column("pins", sa.JSON, comment="Size and SHA-256 of each input as it was checked."),
    sa.Column("outputs", sa.JSON, nullable=False),
    sa.Column("warnings", sa.JSON, nullable=False),
    sa.Column("error", sa.JSON),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("started_at", sa.BigInteger),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
    sa.Column("ended_at", sa.BigInteger),
    sa.Index("jobs_by_kind", "kind", "job_id"),
    sa.Index("jobs_by_project", "project_id", "kind", "job_id"),
    sa.Index("jobs_by_project_state", "project_id", "state", "kind", "job_id"),
    sa.Index("jobs_by_scene", "project_id", "scene_id", "state", "kind", "job_id"),
    sa.Index("jobs_by_model", "project_id", "model", "kind", "job_id"),
    sa.Index("jobs_by_revision", "project_id", "revision"),
    sa.Index("jobs_by_state", "state", "kind", "job_id"),
    sa.Index("jobs_by_end", "ended_at"),
)

# Only jobs of films.
sa.Index(
    "jobs_by_film",
    jobs.c.project_id,
    jobs.c.film_id,
    jobs.c.job_id,
    sqlite_where=jobs.c.film_id.is_not(None),
    postgresql_where=jobs.c.film_id.is_not(None),
)

# Only jobs that have not ended, which are few. A query must repeat this very condition: no planner infers it from
# states that are given as parameters.
sa.Index(
    "jobs_open",
    jobs.c.project_id,
    jobs.c.revision,
    sqlite_where=jobs.c.ended_at.is_(None),
    postgresql_where=jobs.c.ended_at.is_(None),
)

# Only jobs that are queued or under way: any comparison with `slot` implies the condition.
sa.Index(
    "jobs_by_slot",
    jobs.c.slot,
    jobs.c.model,
    jobs.c.priority,
    jobs.c.project_id,
    jobs.c.job_id,
    sqlite_where=jobs.c.slot.is_not(None),
    postgresql_where=jobs.c.slot.is_not(None),
)


requests = sa.Table(
    "requests",
    metadata,
    sa.Column("project_id", sa.String, primary_key=True),
    sa.Column("request_id", sa.String, primary_key=True),
    sa.Column("digest", sa.String, nullable=False),
    sa.Column("job_id", sa.String, nullable=False),
    sa.Index("requests_by_job", "job_id"),
    comment="Outlives the job, so that a late retry can never start it again.",
)


scene_deletions = sa.Table(
    "scene_deletions",
    metadata,
    sa.Column("project_id", sa.String, primary_key=True),
    sa.Column("scene_id", sa.String, primary_key=True),
    sa.Column("replica", sa.String, nullable=False, server_default="", comment="Whose deletion is under way."),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("note", sa.JSON, comment="Who asked for it, until it is done."),
    comment="A scene in here takes no new jobs and files: it is being deleted, or its deletion broke off.",
)


job_events = sa.Table(
    "job_events",
    metadata,
    sa.Column("project_id", sa.String, primary_key=True),
    sa.Column("revision", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("job_id", sa.String, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("job_kind", sa.String, nullable=False, server_default="VIDEO", comment="What the job makes."),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("event", sa.LargeBinary, nullable=False, comment="The event as it goes on the wire."),
    sa.Column("created_at", sa.BigInteger, nullable=False),
)


provider_tasks = sa.Table(
    "provider_tasks",
    metadata,
    sa.Column("task_id", sa.String, primary_key=True),
    sa.Column("job_id", sa.String, nullable=False, index=True),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("submit_token", sa.String, nullable=False),
    sa.Column("estimated_millicredits", sa.BigInteger),
    sa.Column("role", sa.String, nullable=False, server_default="OWN"),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Index("provider_tasks_by_age", "created_at"),
    comment="Append-only and guarded by no fence: a paid task's id is never dropped.",
)


UNSETTLED = provider_tasks.c.role.in_([sa.literal_column("'NEW'"), sa.literal_column("'SURPLUS'")])
"""Whether a task is still to be settled. As literals, so that a planner knows that the index covers it."""

sa.Index(
    "provider_tasks_unsettled",
    provider_tasks.c.role,
    sqlite_where=UNSETTLED,
    postgresql_where=UNSETTLED,
)


inline_media = sa.Table(
    "inline_media",
    metadata,
    sa.Column("job_id", sa.String, primary_key=True),
    sa.Column("digest", sa.String, primary_key=True),
    sa.Column("data", sa.LargeBinary, nullable=False),
)


job_needs = sa.Table(
    "job_needs",
    metadata,
    sa.Column("project_id", sa.String, primary_key=True),
    sa.Column("scene_id", sa.String, primary_key=True),
    sa.Column("path", sa.String, primary_key=True, comment="In lower case."),
    sa.Column("job_id", sa.String, primary_key=True, index=True),
    comment="The files of the scene that the request of a job names, until the job is final.",
)


job_labels = sa.Table(
    "job_labels",
    metadata,
    sa.Column("job_id", sa.String, primary_key=True),
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("value", sa.String, nullable=False),
    sa.Column("project_id", sa.String, nullable=False),
    sa.Index("job_labels_by_project", "project_id", "name", "value", "job_id"),
    sa.Index("job_labels_by_value", "name", "value", "job_id"),
    comment="The labels of jobs, once more, for lists by label.",
)


job_files = sa.Table(
    "job_files",
    metadata,
    sa.Column("job_id", sa.String, primary_key=True),
    sa.Column("path", sa.String, primary_key=True),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("crc32c", sa.BigInteger, nullable=False),
    comment="Files that a job makes, recorded before they get their names: any other file there is not the job's.",
)


ledger = sa.Table(
    "ledger",
    metadata,
    sa.Column("job_id", sa.String, primary_key=True),
    sa.Column("attempt", sa.Integer, primary_key=True),
    sa.Column("entry", sa.String, primary_key=True),
    sa.Column("project_id", sa.String, nullable=False, index=True),
    sa.Column("millicredits", sa.BigInteger, nullable=False),
    sa.Column("basis", sa.String, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
)


audit = sa.Table(
    "audit",
    metadata,
    sa.Column("entry_id", sa.String, primary_key=True, comment="Sorts by created_at."),
    sa.Column("action", sa.String, nullable=False),
    sa.Column("project_id", sa.String, nullable=False),
    sa.Column("scene_id", sa.String, nullable=False),
    sa.Column("subject", sa.String, nullable=False, comment="A job, an asset's path, a film or a webhook."),
    sa.Column("caller", sa.String, nullable=False, comment="The name of a token."),
    sa.Column("call_id", sa.String, nullable=False),
    sa.Column("address", sa.String, nullable=False),
    sa.Column("trace_id", sa.String, nullable=False),
    sa.Column("details", sa.JSON, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Index("audit_by_project", "project_id", "entry_id"),
    sa.Index("audit_by_subject", "subject", "entry_id"),
    comment="Who did what, written with what it changed.",
)

RARE = audit.c.action.not_in([sa.literal_column("'GENERATE'"), sa.literal_column("'UPLOAD_ASSET'")])
"""Actions of which there are few. As literals, so that a planner knows that the index covers a query."""

# Each new job writes an entry, and so pays for every index of them all.
sa.Index("audit_by_action", audit.c.action, audit.c.entry_id, sqlite_where=RARE, postgresql_where=RARE)
