"""The tables of films, in the schema of the one database."""

import sqlalchemy as sa

from evergreen_server.jobs.db.schema import metadata

__all__ = ["film_exports", "film_plans", "film_requests", "films", "metadata"]

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
