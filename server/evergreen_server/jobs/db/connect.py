"""Opens the database that a URL names: one SQLite file for this process alone, or PostgreSQL for many.

DatabaseUnusable     it cannot be opened, or its schema is newer than this release
  DatabaseInUse      another process has this SQLite database open
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.group_commit import Measured, not_measured
from evergreen_server.jobs.db.migrations import SchemaTooNew, current, migrate
from evergreen_server.jobs.db.postgres import Unfit, check_postgres, check_rights, postgres_engine
from evergreen_server.jobs.db.sqlite import sqlite_engine, unusable

READERS = 3
POSTGRES_WRITERS = 6
ENGINE_SCHEMA = "dbos"


class DatabaseUnusable(Exception):
    """The database cannot be opened; the text names it and the cause."""


class DatabaseInUse(DatabaseUnusable):
    """Another process holds this SQLite database."""


@asynccontextmanager
async def open_database(url: str, *, measured: Measured = not_measured) -> AsyncIterator[Database]:
    """Opens the database at `sqlite:////PATH` (created if it does not exist) or `postgresql://…`, and migrates it.

    `measured` is told of every transaction.
    Raises DatabaseInUse if another process has the SQLite file open, DatabaseUnusable if the database cannot be
    opened or written.
    """
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "postgresql":
        name = parsed.render_as_string()
        try:
            await asyncio.to_thread(check_postgres, url)
        except psycopg.Error as exc:
            raise DatabaseUnusable(f"the database {name} cannot be opened: {_first(exc)}") from exc
        except Unfit as exc:
            raise DatabaseUnusable(f"the database {name} {exc}") from exc
        # One more than our threads use, for the lease.
        engine = postgres_engine(url, connections=POSTGRES_WRITERS + READERS + 1)
        async with _opened(
            engine, url=url, name=name, writers=POSTGRES_WRITERS, measured=measured, check=_check_rights
        ) as database:
            yield database
        return
    path = Path(parsed.database or "")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if text := unusable(path):
            raise DatabaseUnusable(f"the database {path} {text}")
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
        async with _opened(sqlite_engine(path), url=url, name=str(path), writers=1, measured=measured) as database:
            yield database
    finally:
        os.close(lock)


@asynccontextmanager
async def _opened(
    engine: sa.Engine,
    *,
    url: str,
    name: str,
    writers: int,
    measured: Measured,
    check: Callable[[sa.Connection], None] = lambda _: None,
) -> AsyncIterator[Database]:
    """Opens and migrates the database once `check` finds it fit."""
    database = Database(engine, url=url, writers=writers, readers=READERS, measured=measured)
    try:
        try:
            await database.read(check)
            await database.write(migrate)
        except DBAPIError as exc:
            raise DatabaseUnusable(f"the database {name} cannot be opened: {_first(exc.orig or exc)}") from exc
        except (SchemaTooNew, Unfit) as exc:
            raise DatabaseUnusable(f"the database {name} {exc}") from exc
        yield database
    finally:
        await database.aclose()


def _check_rights(db: sa.Connection) -> None:
    check_rights(db, creates=not current(db), engine_schema=ENGINE_SCHEMA)


def _first(exc: BaseException) -> str:
    """Returns a driver's message, without the lines that show the statement."""
    return str(exc).partition("\nLINE ")[0].strip()
