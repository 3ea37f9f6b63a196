"""PostgreSQL: how to connect to it, what it must support, and which errors mean that it is away."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import psycopg
import sqlalchemy as sa
from psycopg.conninfo import make_conninfo
from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext
from sqlalchemy.exc import InvalidatePoolError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from evergreen_server.jobs.db.documents import read_json

TRUSTED_SECONDS = 2.0
"""A connection that was used within this time is assumed to be alive."""
USED_AT = "used_at"
ARGUMENTS: dict[str, str | int] = {
    "application_name": "evergreen",
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    # A standby accepts no writes, and a connection to it would stay open after the address points to the primary again.
    "target_session_attrs": "read-write",
}
"""Bounds of every wait for the server: seconds, but for tcp_user_timeout (milliseconds)."""
TIMEOUTS = {
    "statement_timeout": "30s",
    "lock_timeout": "15s",
    # A replica that is paused within a transaction must not hold a project's row for long.
    "idle_in_transaction_session_timeout": "5s",
}
"""Set after connecting, not in the start-up message, which poolers refuse."""
GONE = frozenset({"25006", "0A000", "26000", "42P05"})
"""Errors of a connection that is invalid from now on: its server became read-only, or was replaced by another, which
lacks the prepared statements, or has others of the same name."""
READ_ONLY = "SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on'"


class Unfit(Exception):
    """The database cannot do what the service needs; the text says what, and what to do."""


def postgres_engine(url: str, *, connections: int, timeouts: dict[str, str] | None = None) -> sa.Engine:
    """Returns an engine on psycopg whose every wait is bounded, and which drops invalid connections."""
    engine = sa.create_engine(
        sa.make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=connections,
        max_overflow=0,
        # One that was used just now need not be checked.
        pool_use_lifo=True,
        pool_timeout=10,
        hide_parameters=True,
        json_deserializer=read_json,
        connect_args={**ARGUMENTS, **_own(url)},
    )
    limits = ", ".join(f"set_config('{name}', '{value}', false)" for name, value in (timeouts or TIMEOUTS).items())

    @event.listens_for(engine, "connect")
    def limit(connection: DBAPIConnection, _record: object) -> None:
        _ask(connection, f"SELECT {limits}")

    # After a restart of the server, its first users must not fail once for every dead connection; yet checking each
    # connection before each use would cost a round trip.
    @event.listens_for(engine, "checkout")
    def check(connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: object) -> None:
        if time.monotonic() - record.info.get(USED_AT, 0.0) < TRUSTED_SECONDS:
            return
        try:
            read_only = _ask(connection, READ_ONLY)
        except Exception as exc:
            raise InvalidatePoolError from exc
        if read_only:
            raise InvalidatePoolError

    @event.listens_for(engine, "checkin")
    def note(connection: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
        record.info[USED_AT] = time.monotonic()
        plain = cast("psycopg.Connection[object] | None", connection)
        if plain is not None and not plain.closed:
            # After a snapshot SQLAlchemy leaves False, which says BEGIN READ WRITE: the server's own word is to hold.
            plain.read_only = None

    @event.listens_for(engine, "handle_error", retval=True)
    def translate(context: ExceptionContext) -> BaseException | None:
        """Drops an invalid connection and all others of its age, and reports its error as a database that is away."""
        original = context.original_exception
        if not isinstance(original, psycopg.Error) or original.sqlstate not in GONE:
            return None
        context.is_disconnect = True
        return OperationalError(context.statement, None, original, hide_parameters=True, connection_invalidated=True)

    return engine


def listening(url: str) -> str:
    """Returns the address of a further connection, with the engine's own parameters."""
    return make_conninfo(url, **{**ARGUMENTS, **_own(url)})


def check_rights(db: sa.Connection, *, creates: bool, engine_schema: str) -> None:
    """Raises Unfit if the role lacks a needed right; with `creates`, tables are to be created."""
    found = db.execute(
        sa.text(
            "SELECT current_database() AS name, current_user AS role, current_schema() AS schema,"
            " has_database_privilege(current_database(), 'CREATE') AS on_database,"
            " coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS on_schema,"
            " EXISTS (SELECT FROM pg_namespace WHERE nspname = :schema) AS known,"
            " coalesce((SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = :schema), true)"
            " AS on_engine"
        ),
        {"schema": engine_schema},
    ).one()
    if not found.known and not found.on_database:
        raise Unfit(
            f"lacks a right: the role {found.role} needs CREATE on the database {found.name}, for the schema "
            f"{engine_schema}; or have its owner run CREATE SCHEMA {engine_schema} AUTHORIZATION {found.role}"
        )
    if creates and not found.on_schema:
        schema = found.schema or "of its search_path, of which none exists"
        raise Unfit(f"lacks a right: the role {found.role} needs CREATE on the schema {schema}")
    if creates and not found.on_engine:
        raise Unfit(f"lacks a right: the role {found.role} needs CREATE on the schema {engine_schema}")


def check_postgres(url: str) -> None:
    """Raises Unfit for another encoding than UTF-8, and behind a pooler that shares connections by transaction. Blocks.

    By the driver alone: in an encoding that yields bytes, SQLAlchemy fails before it can ask.
    """
    address = listening(url)
    with _connected(address) as first:
        encoding = first.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise Unfit(
                f"has the encoding {encoding}, which does not hold every text; make one by "
                "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
            )
        before = _backend(first)
        with _connected(address) as second, second.transaction():
            # While the second is in a transaction, a pooler has given it the first's backend, or switches that one.
            taken = _backend(second)
            if before in (taken,) or _backend(first) != before:
                raise Unfit(
                    "is behind a pooler that shares connections by transaction (PgBouncer's pool_mode = transaction); "
                    "give a direct address, or one whose pool_mode is session"
                )


@contextmanager
def _connected(address: str) -> "Iterator[psycopg.Connection[tuple[object, ...]]]":
    with psycopg.connect(address, autocommit=True, prepare_threshold=None) as connection:
        yield connection


def _backend(connection: "psycopg.Connection[tuple[object, ...]]") -> object:
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    return row[0]


def _own(url: str) -> dict[str, str]:
    """Returns the arguments that the URL itself sets, which override ours."""
    query = sa.make_url(url).query
    return {name: str(query[name]) for name in ARGUMENTS if name in query}


def _ask(connection: DBAPIConnection, query: str) -> object:
    """Runs a query outside of any transaction and returns its first value."""
    raw = getattr(connection, "driver_connection", connection)
    raw.autocommit = True
    try:
        (answer, *_) = raw.execute(query).fetchone()
    finally:
        if not raw.closed:
            raw.autocommit = False
    return answer
