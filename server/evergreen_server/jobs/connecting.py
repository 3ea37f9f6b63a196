"""Opens the database that a URL names: one SQLite file for this process alone, or PostgreSQL for many.

DatabaseUnusable     it cannot be opened, or its schema is newer than this release
  DatabaseInUse      another process has this SQLite database open
"""

import fcntl
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry

from evergreen_server.jobs.database import Database
from evergreen_server.jobs.migrations import SchemaTooNew, migrate

READERS = 3
TRUSTED_SECONDS = 1.0
"""A connection that was used within this time is taken to be alive."""
USED_AT = "used_at"
POSTGRES_WRITERS = 6
POSTGRES_ARGUMENTS: dict[str, str | int] = {
    "application_name": "evergreen",
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    # A replica that is paused within a transaction must not hold a project's row for long.
    "options": "-c statement_timeout=30s -c lock_timeout=15s -c idle_in_transaction_session_timeout=5s",
}
"""Bounds of every wait for the server: seconds, but for tcp_user_timeout (milliseconds)."""


class DatabaseUnusable(Exception):
    """The database cannot be opened; the text names it and the cause."""


class DatabaseInUse(DatabaseUnusable):
    """Another process holds this SQLite database."""


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[Database]:
    """Opens the database at `sqlite:///PATH` (created where it is not there) or `postgresql://…`, and migrates it.

    Raises DatabaseInUse if another process has the SQLite file open, DatabaseUnusable if the database cannot be
    opened or written.
    """
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "postgresql":
        async with _opened(
            postgres_engine(url), url=url, name=parsed.render_as_string(), writers=POSTGRES_WRITERS
        ) as it:
            yield it
        return
    path = Path(parsed.database or "")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise DatabaseUnusable(f"the database {path} cannot be opened: {exc}") from exc
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise DatabaseInUse(
                f"another process has the database {path} open; several servers need one PostgreSQL database"
            ) from exc
        async with _opened(sqlite_engine(path), url=url, name=str(path), writers=1) as database:
            yield database
    finally:
        os.close(lock)


@asynccontextmanager
async def _opened(engine: sa.Engine, *, url: str, name: str, writers: int) -> AsyncIterator[Database]:
    database = Database(engine, url=url, writers=writers, readers=READERS)
    try:
        try:
            await database.write(migrate)
        except DBAPIError as exc:
            raise DatabaseUnusable(f"the database {name} cannot be opened: {exc.orig}") from exc
        except SchemaTooNew as exc:
            raise DatabaseUnusable(f"the database {name} {exc}") from exc
        yield database
    finally:
        await database.aclose()


def sqlite_engine(path: Path) -> sa.Engine:
    """Builds an engine in WAL mode that loses no commit on power loss (synchronous=FULL)."""
    # Errors name the statement alone: its parameters hold prompts, and errors are logged.
    engine = sa.create_engine(f"sqlite:///{path}", pool_size=6, max_overflow=0, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def prepare(connection: DBAPIConnection, _record: object) -> None:
        # The driver's own BEGIN comes only before a write, which would leave reads outside the
        # transaction; ours is sent below instead.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        options = connection.get_execution_options()
        if options.get("isolation_level") == "AUTOCOMMIT":
            return
        reading = options.get("reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def postgres_engine(url: str) -> sa.Engine:
    """Builds an engine on psycopg whose every wait is bounded."""
    engine = sa.create_engine(
        sa.make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=POSTGRES_WRITERS + READERS + 1,
        max_overflow=0,
        pool_timeout=10,
        hide_parameters=True,
        connect_args=POSTGRES_ARGUMENTS,
    )

    # After a restart of the server, the first to ask must not pay for every connection that died with it; yet asking
    # before each use whether the connection is alive would cost a round trip.
    @event.listens_for(engine, "checkout")
    def check(connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: object) -> None:
        if time.monotonic() - record.info.get(USED_AT, 0.0) < TRUSTED_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except Exception as exc:
            raise InvalidatePoolError from exc

    @event.listens_for(engine, "checkin")
    def note(_connection: object, record: ConnectionPoolEntry) -> None:
        record.info[USED_AT] = time.monotonic()

    return engine
