"""The tables of what servers share: who lives, whose turn it is, what is locked, what the account has."""

import sqlalchemy as sa

from evergreen_server.jobs.db.schema import metadata

__all__ = ["asset_claims", "funds", "metadata", "model_queues", "replicas", "scene_writers", "storage_locks", "turns"]

replicas = sa.Table(
    "replicas",
    metadata,
    sa.Column("replica_id", sa.String, primary_key=True),
    sa.Column("beat_at", sa.BigInteger, nullable=False, comment="By the database's clock; 0 once it was released."),
    comment="The leases: a replica whose beat is too old may have its jobs taken over.",
)


model_queues = sa.Table(
    "model_queues",
    metadata,
    sa.Column("model", sa.String, primary_key=True, comment="A model, or * for all of them."),
    sa.Column("paused_until", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("pause_seconds", sa.Float, nullable=False, server_default="0", comment="How long the last pause was."),
    sa.Column("daily_probe_at", sa.BigInteger, comment="While the daily limit is used up: when one job may try."),
    sa.Column("no_credits_since", sa.BigInteger),
    sa.Column("refused_balance", sa.BigInteger, comment="Millicredits that were too few; null until asked for."),
    comment="What blocks a model's queue. The row is locked while slots are granted, so one replica at a time does.",
)


funds = sa.Table(
    "funds",
    metadata,
    sa.Column("account", sa.String, primary_key=True, comment="Always *: there is one account."),
    sa.Column("balance_millicredits", sa.BigInteger),
    sa.Column("asked_at", sa.BigInteger, comment="When the balance was asked for."),
    sa.Column("refused_millicredits", sa.BigInteger, comment="The price that was refused last; null if not known."),
    comment="The balance that the provider last gave to any replica. Written under the lock of the queue *.",
)


scene_writers = sa.Table(
    "scene_writers",
    metadata,
    sa.Column("writer_id", sa.String, primary_key=True),
    sa.Column("project_id", sa.String, nullable=False),
    sa.Column("scene_id", sa.String, nullable=False),
    sa.Column("replica_id", sa.ForeignKey("replicas.replica_id", ondelete="CASCADE"), nullable=False),
    sa.Index("scene_writers_by_scene", "project_id", "scene_id"),
)


asset_claims = sa.Table(
    "asset_claims",
    metadata,
    sa.Column("writer_id", sa.String, primary_key=True),
    sa.Column("project_id", sa.String, nullable=False),
    sa.Column("scene_id", sa.String, nullable=False),
    sa.Column("path", sa.String, nullable=False, comment="In lower case."),
    sa.Column("replica_id", sa.ForeignKey("replicas.replica_id", ondelete="CASCADE"), nullable=False),
    sa.Index("asset_claims_by_path", "project_id", "scene_id", "path"),
    comment="A file in here is being replaced or deleted by a writer, and no new job may name it.",
)


storage_locks = sa.Table(
    "storage_locks",
    metadata,
    sa.Column("key", sa.String, primary_key=True),
    sa.Column("holder", sa.String, nullable=False, unique=True),
    sa.Column("replica_id", sa.ForeignKey("replicas.replica_id", ondelete="CASCADE"), nullable=False),
    comment="Who writes an object of a storage that cannot compare: for as long as its replica's lease is live.",
)


turns = sa.Table(
    "turns",
    metadata,
    sa.Column("model", sa.String, primary_key=True),
    sa.Column("project_id", sa.String, primary_key=True),
    sa.Column("served_at", sa.BigInteger, nullable=False),
    comment="When a project was last granted a slot, so that projects take turns.",
)
