"""The tables of webhooks, in the schema of the one database."""

import sqlalchemy as sa

# In which the tables of films stand as well.
from evergreen_server.jobs.db.film_schema import metadata

__all__ = ["metadata", "webhook_cursors", "webhook_deliveries", "webhook_messages", "webhook_projects", "webhooks"]

webhooks = sa.Table(
    "webhooks",
    metadata,
    sa.Column("webhook_id", sa.String, primary_key=True),
    sa.Column("url", sa.String, nullable=False),
    sa.Column("projects", sa.JSON, nullable=False, comment="Their ids; empty for all projects."),
    sa.Column("all_projects", sa.Boolean, nullable=False),
    sa.Column("types", sa.JSON, nullable=False, comment="As they were asked for; empty for the default set."),
    sa.Column("labels", sa.JSON, nullable=False),
    sa.Column("description", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("switched_off_reason", sa.String, nullable=False, server_default=""),
    sa.Column("generation", sa.Integer, nullable=False, comment="Of its secret, which is kept nowhere."),
    sa.Column("fingerprint", sa.String, nullable=False, comment="Of the key that its secret is derived from."),
    sa.Column("old_fingerprint", sa.String, nullable=False, server_default="", comment="Of the secret's before."),
    sa.Column("old_secret_until", sa.BigInteger, comment="Until when the secret before signs too; null: it does not."),
    sa.Column("quick", sa.Boolean, comment="Whether its last send succeeded, and in time; null before the first."),
    sa.Column("failing_since", sa.BigInteger),
    sa.Column("last_status", sa.Integer, nullable=False, server_default="0"),
    sa.Column("last_error", sa.String, nullable=False, server_default=""),
    sa.Column("last_attempt_at", sa.BigInteger),
    sa.Column("request_owner", sa.String, comment="Who asked for it, with request_id; null where there is none."),
    sa.Column("request_id", sa.String),
    sa.Column("request_digest", sa.String),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
    sa.Index("webhooks_by_request", "request_owner", "request_id", unique=True),
    sa.Index("webhooks_by_state", "state"),
)


webhook_projects = sa.Table(
    "webhook_projects",
    metadata,
    sa.Column("project_id", sa.String, primary_key=True, comment="A project, or * for all of them."),
    sa.Column("webhook_id", sa.String, primary_key=True),
    sa.Column("since_revision", sa.BigInteger, nullable=False, comment="It is told what has a higher one."),
    sa.Index("webhook_projects_by_webhook", "webhook_id"),
    comment="Which webhooks hear of a project. One for all projects has rows of those, too, that were behind.",
)


webhook_cursors = sa.Table(
    "webhook_cursors",
    metadata,
    sa.Column("project_id", sa.String, primary_key=True, comment="Also *, locked while a webhook is set up."),
    sa.Column("revision", sa.BigInteger, nullable=False, comment="Up to here the project's events are expanded."),
)


webhook_messages = sa.Table(
    "webhook_messages",
    metadata,
    sa.Column("message_id", sa.String, primary_key=True, comment="A UUIDv7 of the time of the event."),
    sa.Column("project_id", sa.String, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("type", sa.String, nullable=False),
    sa.Column("job_id", sa.String, nullable=False),
    sa.Column("film_id", sa.String, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False, comment="As it is sent."),
    sa.Column("created_at", sa.BigInteger, nullable=False, comment="When the event happened."),
    sa.Index("webhook_messages_by_revision", "project_id", "revision", unique=True),
)


webhook_deliveries = sa.Table(
    "webhook_deliveries",
    metadata,
    sa.Column("message_id", sa.String, primary_key=True),
    sa.Column("webhook_id", sa.String, primary_key=True),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_at", sa.BigInteger, nullable=False, comment="When it is due; of one that is claimed, again."),
    sa.Column("claim", sa.String, nullable=False, comment="The token of the newest; no other records anything."),
    sa.Column("last_attempt_at", sa.BigInteger),
    sa.Column("last_status", sa.Integer, nullable=False, server_default="0"),
    sa.Column("last_error", sa.String, nullable=False, server_default=""),
    sa.Column("last_milliseconds", sa.Float, nullable=False, server_default="0"),
    sa.Column("last_answer", sa.LargeBinary, nullable=False, comment="The first bytes of it."),
    sa.Index("webhook_deliveries_by_webhook", "webhook_id", "state", "message_id"),
)

PENDING = webhook_deliveries.c.state == sa.literal_column("'PENDING'")
"""Whether a delivery is still to be made. As a literal, so that a planner knows that the index covers it."""
sa.Index(
    "webhook_deliveries_due",
    webhook_deliveries.c.webhook_id,
    webhook_deliveries.c.next_at,
    webhook_deliveries.c.message_id,
    sqlite_where=PENDING,
    postgresql_where=PENDING,
)
