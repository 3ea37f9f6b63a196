"""Which servers of the database live, by the database's clock. SQLite has one server, which holds no lease."""

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement

from evergreen_server.jobs.db.shared_schema import replicas

TTL_SECONDS = 3.0


class DatabaseNow(FunctionElement[int]):
    """The database's clock at this moment, in microseconds since 1970 (UTC)."""

    type = sa.BigInteger()
    inherit_cache = True


@compiles(DatabaseNow, "postgresql")
def _on_postgresql(element: DatabaseNow, compiler: sa.Compiled, **options: object) -> str:
    # Not now(), which does not advance within a transaction.
    return "CAST(EXTRACT(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)"


@compiles(DatabaseNow, "sqlite")
def _on_sqlite(element: DatabaseNow, compiler: sa.Compiled, **options: object) -> str:
    return "CAST((julianday('now') - 2440587.5) * 86400000000 AS BIGINT)"


def live_replicas() -> "sa.Select[tuple[str]]":
    """Selects the replicas whose lease is live.

    A beat in the future was written before the database's clock was set back: a live replica renews it at once.
    """
    return sa.select(replicas.c.replica_id).where(_live())


def dead_replicas() -> "sa.Select[tuple[str]]":
    """Selects the replicas whose lease ran out or was released."""
    return sa.select(replicas.c.replica_id).where(sa.not_(_live()))


def _live() -> sa.ColumnElement[bool]:
    ttl, now = as_micros(TTL_SECONDS), DatabaseNow()
    return replicas.c.beat_at.between(now - ttl, now + ttl)


def other_live_replicas(replica_id: str) -> "sa.Select[tuple[str]]":
    """Selects the live replicas beside this one."""
    return live_replicas().where(replicas.c.replica_id != replica_id)


def as_micros(seconds: float) -> int:
    return int(seconds * 1_000_000)
