"""The tables of films, in the schema of the one database."""

import sqlalchemy as sa

from evergreen_server.jobs.db.shared_schema import metadata

__all__ = [
    "film_exports",
    "film_outputs",
    "film_plans",
    "film_requests",
    "film_runs",
    "film_takes",
    "films",
    "metadata",
]

films = sa.Table(
    "films",
    metadata,
    sa.Column("project_id", sa.String, primary_key=True),
    sa.Column("film_id", sa.String, primary_key=True),
    sa.Column("title", sa.String, nullable=False),
    sa.Column("scene_prefix", sa.String, nullable=False, comment="In lower case."),
    sa.Column("plan_revision", sa.Integer, nullable=False, comment="Of the newest plan."),
    sa.Column("state", sa.String, nullable=False, comment="Of its newest run."),
    sa.Column("run", sa.Integer, nullable=False, server_default="0", comment="The newest; 0 before the first."),
    sa.Column(
        "revision", sa.BigInteger, nullable=False, server_default="0", comment="Of the project, at its last event."
    ),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
    sa.Index("films_by_prefix", "project_id", "scene_prefix", unique=True),
    sa.Index("films_by_state", "project_id", "state", "film_id"),
    sa.Index("films_by_revision", "project_id", "revision"),
)


NOT_OVER = films.c.state.not_in([sa.literal_column(f"'{state}'") for state in ("CANCELLED", "FAILED", "SUCCEEDED")])
"""Films without a run, or with one that is on. Spelled as in the index, which is found by that alone."""
sa.Index("films_not_over", films.c.project_id, films.c.revision, sqlite_where=NOT_OVER, postgresql_where=NOT_OVER)


film_plans = sa.Table(
    "film_plans",
    metadata,
    sa.Column("project_id", sa.String, primary_key=True),
    sa.Column("film_id", sa.String, primary_key=True),
    sa.Column("plan_revision", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("plan", sa.JSON, nullable=False),
    sa.Column("changes", sa.JSON, nullable=False, comment="From the plan before."),
    sa.Column("warnings", sa.JSON, nullable=False),
    sa.Column("request_id", sa.String, comment="Of the request that made it; null for edits."),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    comment="The newest plans of each film.",
)


film_requests = sa.Table(
    "film_requests",
    metadata,
    sa.Column("project_id", sa.String, primary_key=True),
    sa.Column("request_id", sa.String, primary_key=True),
    sa.Column("digest", sa.String, nullable=False),
    sa.Column("film_id", sa.String, nullable=False),
    sa.Column("plan_revision", sa.Integer, nullable=False, comment="That the request made, or had carried out."),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Index("film_requests_by_age", "created_at", "project_id", "request_id"),
    comment="Outlives the film, so that a late retry can never make it again.",
)


film_exports = sa.Table(
    "film_exports",
    metadata,
    sa.Column("project_id", sa.String, primary_key=True),
    sa.Column("film_id", sa.String, primary_key=True),
    sa.Column("digest", sa.String, primary_key=True, comment="Of what it was made from."),
    sa.Column("profile", sa.String, nullable=False),
    sa.Column("run", sa.Integer, nullable=False, comment="That rendered it."),
    sa.Column("plan_revision", sa.Integer, nullable=False),
    sa.Column("asset", sa.String, nullable=False, comment="Recorded before the file gets this name."),
    sa.Column("sha256", sa.String, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("crc32c", sa.BigInteger, nullable=False),
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("height", sa.Integer, nullable=False),
    sa.Column("frames", sa.Integer, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("loudness_lufs", sa.Float),
    sa.Column("true_peak_dbtp", sa.Float),
    sa.Column("copied", sa.Boolean, nullable=False),
    sa.Column("claim", sa.String, nullable=False, server_default="", comment="Of its C2PA manifest; empty: unsigned."),
    sa.Column("warnings", sa.JSON, nullable=False, comment="Of the renderer."),
    sa.Column("made_at", sa.BigInteger, nullable=False),
    sa.Column("published_at", sa.BigInteger, comment="Null until all that lies beside it is there."),
    comment="Written under the lock of the project, by the execution that owns the run.",
)

film_runs = sa.Table(
    "film_runs",
    metadata,
    sa.Column("project_id", sa.String, primary_key=True),
    sa.Column("film_id", sa.String, primary_key=True),
    sa.Column("run", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("approved_millicredits", sa.BigInteger, nullable=False),
    sa.Column("held_millicredits", sa.BigInteger, nullable=False, comment="A part of what the project has reserved."),
    sa.Column("reserved_millicredits", sa.BigInteger, nullable=False, comment="By the jobs of the run."),
    sa.Column("spent_millicredits", sa.BigInteger, nullable=False, comment="By the jobs of the run."),
    sa.Column("keeps", sa.Boolean, nullable=False, comment="Whether what jobs give back is held for others."),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("plan_revision", sa.Integer, nullable=False, comment="Of the plan that was approved last."),
    sa.Column("terms", sa.JSON, nullable=False, comment="What the caller asked for; never changes."),
    sa.Column("passed", sa.JSON, nullable=False, comment="The gates that were approved."),
    sa.Column("takes", sa.JSON, nullable=False, comment="By digest of a basis, which further take was approved."),
    sa.Column("approval", sa.JSON, comment="The last approval, so that it can be repeated without effect."),
    sa.Column("finish_by", sa.BigInteger),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("stage", sa.String, nullable=False),
    sa.Column("gate", sa.String),
    sa.Column("revision", sa.BigInteger, nullable=False, comment="Of the state that callers see."),
    sa.Column("leg", sa.Integer, nullable=False, comment="Which workflow is to run it: one for each approval."),
    sa.Column("execution", sa.String, nullable=False, comment="The token of the newest; no other changes anything."),
    sa.Column("replica", sa.String, nullable=False),
    sa.Column("troubles", sa.JSON, nullable=False),
    sa.Column("warnings", sa.JSON, nullable=False),
    sa.Column("error", sa.JSON),
    sa.Column("tally", sa.JSON, nullable=False, comment="How far its jobs are, by its last look."),
    sa.Column("frames", sa.Integer, nullable=False, comment="Of all its exports, once they are being rendered."),
    sa.Column("frames_done", sa.Integer, nullable=False),
    sa.Column("exports", sa.JSON, nullable=False, comment="Their digests, once all are rendered."),
    sa.Column("published", sa.Boolean, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
    sa.Column("ended_at", sa.BigInteger),
    sa.Column("request_id", sa.String, comment="Of the request that began it."),
    sa.Column("traceparent", sa.String, comment="The span of the call that began it; null if of no trace."),
    sa.Column("slot", sa.String, comment="Whether it waits for a server to render it, or has one; null: neither."),
    sa.Column("slot_at", sa.BigInteger, comment="Since when."),
    comment="Changed under the lock of the project alone.",
)

sa.Index("film_runs_by_end", film_runs.c.ended_at)
# Only runs that have not ended, which are few.
sa.Index(
    "film_runs_open",
    film_runs.c.state,
    film_runs.c.finish_by,
    sqlite_where=film_runs.c.ended_at.is_(None),
    postgresql_where=film_runs.c.ended_at.is_(None),
)
# Only those that are to be rendered.
sa.Index(
    "film_runs_by_slot",
    film_runs.c.slot,
    film_runs.c.slot_at,
    sqlite_where=film_runs.c.slot.is_not(None),
    postgresql_where=film_runs.c.slot.is_not(None),
)


film_outputs = sa.Table(
    "film_outputs",
    metadata,
    sa.Column("project_id", sa.String, primary_key=True),
    sa.Column("film_id", sa.String, primary_key=True),
    sa.Column("digest", sa.String, primary_key=True, comment="Of this take; the job's request_id is made of it."),
    sa.Column("item_id", sa.String, nullable=False, comment="The shot or the line."),
    sa.Column("output", sa.String, nullable=False),
    sa.Column("base", sa.String, nullable=False, comment="The digest of what it is made from, whichever take."),
    sa.Column("basis", sa.JSON, nullable=False),
    sa.Column("take", sa.Integer, nullable=False),
    sa.Column("run", sa.Integer, nullable=False, comment="That had it made."),
    sa.Column("job_id", sa.String, nullable=False),
    sa.Column("scene_id", sa.String, nullable=False),
    sa.Column("asset", sa.String, comment="Null until the file is there and was read."),
    sa.Column("sha256", sa.String),
    sa.Column("size_bytes", sa.BigInteger),
    sa.Column("seconds", sa.Float),
    sa.Column("millicredits", sa.BigInteger, comment="What it cost."),
    sa.Column("made_at", sa.BigInteger),
    comment="What the jobs of a film were asked for and have made; outlives the jobs.",
)


film_takes = sa.Table(
    "film_takes",
    metadata,
    sa.Column("project_id", sa.String, primary_key=True),
    sa.Column("base", sa.String, primary_key=True),
    sa.Column("take", sa.Integer, nullable=False),
    comment="The newest take of each digest. Outlives the film, so that a film made again asks for no old job.",
)
