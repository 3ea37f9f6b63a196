"""The one database: its connections, its threads and its tables. SQLite here; the statements suit PostgreSQL.

SQLAlchemy is synchronous, so work goes to threads of our own: one that writes (SQLite has one writer at a
time, and waiting for it in one queue is cheaper than in the busy handler), a few that read.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

T = TypeVar("T")

metadata = sa.MetaData()

projects = sa.Table(
    "projects",
    metadata,
    sa.Column("project_id", sa.String, primary_key=True),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("compacted_revision", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("created_at", sa.BigInteger, nullable=False),
)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("job_id", sa.String, primary_key=True),
    sa.Column("project_id", sa.ForeignKey("projects.project_id"), nullable=False),
    sa.Column("scene_id", sa.String, nullable=False),
    sa.Column("request_id", sa.String, nullable=False),
    sa.Column("digest", sa.String, nullable=False),
    sa.Column("model", sa.String, nullable=False),
    sa.Column("spec", sa.JSON, nullable=False),
    sa.Column("labels", sa.JSON, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("max_attempts", sa.Integer, nullable=False),
    sa.Column("on_unknown_submission", sa.String, nullable=False),
    sa.Column("max_millicredits", sa.BigInteger),
    sa.Column("start_by", sa.BigInteger, nullable=False),
    sa.Column("finish_by", sa.BigInteger),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("stage", sa.String, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("progress", sa.Float, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("run", sa.Integer, nullable=False),
    sa.Column("execution", sa.String, nullable=False),
    sa.Column("submit_token", sa.String, nullable=False),
    sa.Column("submitted_at", sa.BigInteger),
    sa.Column("task_id", sa.String, nullable=False),
    sa.Column("delete_sent", sa.Boolean, nullable=False),
    sa.Column("estimated_millicredits", sa.BigInteger),
    sa.Column("charged_millicredits", sa.BigInteger),
    sa.Column("cost_basis", sa.String),
    sa.Column("inputs", sa.JSON, nullable=False),
    sa.Column("outputs", sa.JSON, nullable=False),
    sa.Column("warnings", sa.JSON, nullable=False),
    sa.Column("error", sa.JSON),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("started_at", sa.BigInteger),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
    sa.Column("ended_at", sa.BigInteger),
    sa.Index("jobs_by_project", "project_id", "job_id"),
    sa.Index("jobs_by_state", "state", "job_id"),
)

requests = sa.Table(
    "requests",
    metadata,
    sa.Column("project_id", sa.String, primary_key=True),
    sa.Column("request_id", sa.String, primary_key=True),
    sa.Column("digest", sa.String, nullable=False),
    sa.Column("job_id", sa.String, nullable=False),
    comment="Outlives the job, so that a late retry can never start it again.",
)

scene_deletions = sa.Table(
    "scene_deletions",
    metadata,
    sa.Column("project_id", sa.String, primary_key=True),
    sa.Column("scene_id", sa.String, primary_key=True),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    comment="A scene in here takes no new jobs and files: it is being deleted, or its deletion broke off.",
)

job_events = sa.Table(
    "job_events",
    metadata,
    sa.Column("project_id", sa.String, primary_key=True),
    sa.Column("revision", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("job_id", sa.String, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
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
    sa.Column("created_at", sa.BigInteger, nullable=False),
    comment="Append-only and guarded by no fence: a paid task's id is never dropped.",
)

inline_media = sa.Table(
    "inline_media",
    metadata,
    sa.Column("job_id", sa.String, primary_key=True),
    sa.Column("digest", sa.String, primary_key=True),
    sa.Column("data", sa.LargeBinary, nullable=False),
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


class DatabaseUnusable(Exception):
    """The database cannot be opened; the text names it and the cause."""


class DatabaseInUse(DatabaseUnusable):
    """Another process holds this SQLite database."""


class Database:
    """An open database. `write` runs one transaction at a time, `read` runs a snapshot."""

    def __init__(self, engine: sa.Engine, *, url: str, readers: int) -> None:
        self.engine = engine
        self.url = url
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="store-write")
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="store-read")

    def write(self, work: Callable[[sa.Connection], T]) -> "asyncio.Future[T]":
        """Runs `work` in one transaction. Cancelling the wait does not undo or stop it."""
        return asyncio.get_running_loop().run_in_executor(self._writer, self._transact, work)

    def read(self, work: Callable[[sa.Connection], T]) -> "asyncio.Future[T]":
        """Runs `work` on one consistent snapshot."""
        return asyncio.get_running_loop().run_in_executor(self._readers, self._snapshot, work)

    def _transact(self, work: Callable[[sa.Connection], T]) -> T:
        with self.engine.begin() as connection:
            return work(connection)

    def _snapshot(self, work: Callable[[sa.Connection], T]) -> T:
        with self.engine.connect().execution_options(reading=True) as connection:
            return work(connection)

    async def aclose(self) -> None:
        """Finishes the writes under way, then closes every connection."""
        await asyncio.to_thread(self._writer.shutdown)
        await asyncio.to_thread(self._readers.shutdown)
        self.engine.dispose()


@asynccontextmanager
async def open_database(path: Path) -> AsyncIterator[Database]:
    """Opens (and creates) the SQLite database at `path`, for this process alone.

    Raises DatabaseInUse if another process has it open, DatabaseUnusable if it cannot be opened or written.
    """
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
        database = Database(sqlite_engine(path), url=f"sqlite:///{path}", readers=3)
        try:
            try:
                await database.write(lambda connection: metadata.create_all(connection))
            except DBAPIError as exc:
                raise DatabaseUnusable(f"the database {path} cannot be opened: {exc.orig}") from exc
            yield database
        finally:
            await database.aclose()
    finally:
        os.close(lock)


def sqlite_engine(path: Path) -> sa.Engine:
    """Builds an engine in WAL mode that loses no commit on power loss (synchronous=FULL)."""
    # Errors name the statement alone: its parameters hold prompts, and errors are logged.
    engine = sa.create_engine(f"sqlite:///{path}", pool_size=6, max_overflow=0, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def prepare(connection: "sa.engine.interfaces.DBAPIConnection", _record: object) -> None:
        # The driver's own BEGIN comes only before a write, which would leave reads outside the
        # transaction; ours is sent below instead.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        reading = connection.get_execution_options().get("reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine
