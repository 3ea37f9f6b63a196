"""Which replicas live, by the database's clock."""

import sqlalchemy as sa

from evergreen_server.jobs.db.schema import replicas

TTL_SECONDS = 3.0


def live_replicas() -> "sa.Select[tuple[str]]":
    """Selects the replicas whose lease is live.

    One of the future was written before the database's clock was set back: whoever lives renews it at once.
    """
    ttl = as_micros(TTL_SECONDS)
    return sa.select(replicas.c.replica_id).where(
        replicas.c.beat_at.between(database_now() - ttl, database_now() + ttl)
    )


def database_now() -> "sa.ColumnElement[int]":
    # Not now(), which stands still while a transaction waits.
    return sa.cast(sa.extract("epoch", sa.func.clock_timestamp()) * 1_000_000, sa.BigInteger)


def as_micros(seconds: float) -> int:
    return int(seconds * 1_000_000)
