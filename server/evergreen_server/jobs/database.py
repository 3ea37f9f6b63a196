"""The one database: its tables, and the threads that its work goes to. SQLite or PostgreSQL, by the same statements.

SQLAlchemy is synchronous, so work goes to threads of our own: some that write (on SQLite one, which commits many
changes at once, since it has one writer at a time), a few that read.
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError, TimeoutError

from evergreen_server.jobs.batching import BatchWriter
from evergreen_server.turns import Turns

T = TypeVar("T")

AWAY = (OperationalError, InterfaceError, InternalError, TimeoutError)
"""What an error of the database is when the database is out of reach, restarting, or too busy: it may pass."""

metadata = sa.MetaData()

projects = sa.Table(
    "projects",
    metadata,
    sa.Column("project_id", sa.String, primary_key=True),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("compacted_revision", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("reserved_millicredits", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("confirmed_millicredits", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("bounded_millicredits", sa.BigInteger, nullable=False, server_default="0"),
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
    sa.Column("duration_seconds", sa.Integer, comment="As in the spec, which no query looks into."),
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
    sa.Column("replica", sa.String, nullable=False, server_default=""),
    sa.Column("slot", sa.String),
    sa.Column("not_before", sa.BigInteger),
    sa.Column("submit_token", sa.String, nullable=False),
    sa.Column("submitted_at", sa.BigInteger),
    sa.Column("task_id", sa.String, nullable=False),
    sa.Column("delete_sent", sa.Boolean, nullable=False),
    sa.Column("estimated_millicredits", sa.BigInteger),
    sa.Column("charged_millicredits", sa.BigInteger),
    sa.Column("cost_basis", sa.String),
    sa.Column("charge_basis", sa.String),
    sa.Column("inputs", sa.JSON, nullable=False),
    sa.Column("pins", sa.JSON, comment="Size and SHA-256 of each input as it was checked."),
    sa.Column("outputs", sa.JSON, nullable=False),
    sa.Column("warnings", sa.JSON, nullable=False),
    sa.Column("error", sa.JSON),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("started_at", sa.BigInteger),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
    sa.Column("ended_at", sa.BigInteger),
    sa.Index("jobs_by_project", "project_id", "job_id"),
    sa.Index("jobs_by_project_state", "project_id", "state", "job_id"),
    sa.Index("jobs_by_scene", "project_id", "scene_id", "state", "job_id"),
    sa.Index("jobs_by_revision", "project_id", "revision"),
    sa.Index("jobs_by_state", "state", "job_id"),
    sa.Index("jobs_by_end", "ended_at"),
)

# Only of jobs that have not ended, which are few beside all. A query must say so in these words: no planner takes it
# from states that are given as parameters.
sa.Index(
    "jobs_open",
    jobs.c.project_id,
    jobs.c.revision,
    sqlite_where=jobs.c.ended_at.is_(None),
    postgresql_where=jobs.c.ended_at.is_(None),
)

# Only of jobs in line or under way: any comparison with `slot` implies the condition.
sa.Index(
    "jobs_by_slot",
    jobs.c.slot,
    jobs.c.model,
    jobs.c.priority,
    jobs.c.project_id,
    jobs.c.job_id,
    sqlite_where=jobs.c.slot.is_not(None),
    postgresql_where=jobs.c.slot.is_not(None),
)

requests = sa.Table(
    "requests",
    metadata,
    sa.Column("project_id", sa.String, primary_key=True),
    sa.Column("request_id", sa.String, primary_key=True),
    sa.Column("digest", sa.String, nullable=False),
    sa.Column("job_id", sa.String, nullable=False),
    sa.Index("requests_by_job", "job_id"),
    comment="Outlives the job, so that a late retry can never start it again.",
)

scene_deletions = sa.Table(
    "scene_deletions",
    metadata,
    sa.Column("project_id", sa.String, primary_key=True),
    sa.Column("scene_id", sa.String, primary_key=True),
    sa.Column("replica", sa.String, nullable=False, server_default="", comment="Whose deletion is under way."),
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
    sa.Column("role", sa.String, nullable=False, server_default="OWN"),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Index("provider_tasks_by_age", "created_at"),
    comment="Append-only and guarded by no fence: a paid task's id is never dropped.",
)

UNSETTLED = provider_tasks.c.role.in_([sa.literal_column("'NEW'"), sa.literal_column("'SURPLUS'")])
"""Whether a task still has to be seen to. In the text itself, so that a planner knows that the index covers it."""
sa.Index(
    "provider_tasks_unsettled",
    provider_tasks.c.role,
    sqlite_where=UNSETTLED,
    postgresql_where=UNSETTLED,
)

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
    comment="What holds a model's line up. The row is locked while slots are granted: one replica at a time does.",
)

funds = sa.Table(
    "funds",
    metadata,
    sa.Column("account", sa.String, primary_key=True, comment="Always *: there is one account."),
    sa.Column("balance_millicredits", sa.BigInteger),
    sa.Column("asked_at", sa.BigInteger, comment="When whoever was told the balance had asked for it."),
    sa.Column("refused_millicredits", sa.BigInteger, comment="The price that was refused last; null if not known."),
    comment="What the provider's account has left, as any replica last heard. Written under the lock of the queue *.",
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
    comment="When a project was last granted a slot, for fairness where there are few slots.",
)

inline_media = sa.Table(
    "inline_media",
    metadata,
    sa.Column("job_id", sa.String, primary_key=True),
    sa.Column("digest", sa.String, primary_key=True),
    sa.Column("data", sa.LargeBinary, nullable=False),
)

job_needs = sa.Table(
    "job_needs",
    metadata,
    sa.Column("project_id", sa.String, primary_key=True),
    sa.Column("scene_id", sa.String, primary_key=True),
    sa.Column("path", sa.String, primary_key=True, comment="In lower case."),
    sa.Column("job_id", sa.String, primary_key=True, index=True),
    comment="The files of the scene that the request of a job names, until the job is final.",
)

job_files = sa.Table(
    "job_files",
    metadata,
    sa.Column("job_id", sa.String, primary_key=True),
    sa.Column("path", sa.String, primary_key=True),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("crc32c", sa.BigInteger, nullable=False),
    comment="What a job makes, written before the file has its name: what else lies there is somebody else's.",
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


class Database:
    """An open database. `write` runs transactions, `read` runs snapshots, each in a thread."""

    def __init__(self, engine: sa.Engine, *, url: str, writers: int, readers: int) -> None:
        self.engine = engine
        self.url = url
        """With the password: for the engine's own connections, never for a log."""
        self._writer = BatchWriter(engine, threads=writers)
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="store-read")
        # One thread is left for what is read in no time.
        self._turns = Turns(max(1, readers - 1))

    @property
    def shared(self) -> bool:
        """Tells whether other processes may have it open too."""
        return self.engine.dialect.name == "postgresql"

    def write(self, work: Callable[[sa.Connection], T], *, project_id: str | None = None) -> "asyncio.Future[T]":
        """Runs `work` in one transaction. Cancelling the wait does not undo or stop it.

        What first of all locks `project_id` is committed with what waits for the same lock; on SQLite, whose one lock
        is the whole file's, with whatever waits. What `work` does beside the database must bear being done again
        after the transaction was undone.
        """
        lane = (project_id or object()) if self.shared else None
        return self._writer.submit(work, lane)

    def read(self, work: Callable[[sa.Connection], T]) -> "asyncio.Future[T]":
        """Runs `work` on one consistent snapshot."""
        return asyncio.get_running_loop().run_in_executor(self._readers, self._snapshot, work)

    def read_in_turn(self, work: Callable[[sa.Connection], T], *, owner: str) -> "asyncio.Future[T]":
        """Runs `work`, which may take long, as `read` does, when it is the turn of whoever it is for, as a project.

        Where several wait each has a thread in turn, so that however much one asks for, no other waits for all of it.
        """
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        place = self._turns.ask(owner)

        def begin(_: object) -> None:
            try:
                if answer.done():
                    self._turns.give_back(owner, place)
                else:
                    self.read(work).add_done_callback(ended)
            except RuntimeError as exc:
                # No thread is left: the database is being closed.
                self._turns.give_back(owner, place)
                answer.set_exception(exc)

        def ended(reading: "asyncio.Future[T]") -> None:
            # Only now, also where nobody waits for it any more: the thread was busy until this moment.
            self._turns.give_back(owner, place)
            if (error := reading.exception()) is None and not answer.done():
                answer.set_result(reading.result())
            elif error is not None and not answer.done():
                answer.set_exception(error)

        def left(_: object) -> None:
            if not place.done():
                self._turns.give_back(owner, place)

        answer.add_done_callback(left)
        place.add_done_callback(begin)
        return answer

    def fetch(self, work: Callable[[sa.Connection], T]) -> "asyncio.Future[T]":
        """Runs `work` that makes one single query, which is a snapshot by itself."""
        return asyncio.get_running_loop().run_in_executor(self._readers, self._query, work)

    def transact(self, work: Callable[[sa.Connection], T]) -> T:
        """Runs `work` in one transaction, in this thread."""
        with self.engine.begin() as connection:
            return work(connection)

    def _snapshot(self, work: Callable[[sa.Connection], T]) -> T:
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True} if self.shared else {}
        with self.engine.connect().execution_options(reading=True, **options) as connection:
            return work(connection)

    def _query(self, work: Callable[[sa.Connection], T]) -> T:
        with self.engine.connect().execution_options(reading=True, isolation_level="AUTOCOMMIT") as connection:
            return work(connection)

    async def aclose(self) -> None:
        """Finishes the writes under way, then closes every connection."""
        await self._writer.aclose()
        await asyncio.to_thread(self._readers.shutdown)
        self.engine.dispose()


def insert_new(db: sa.Connection, table: sa.Table, row: Mapping[str, object]) -> bool:
    """Inserts a row unless one with its key is there; tells whether it did."""
    insert = postgresql.insert if db.dialect.name == "postgresql" else sqlite.insert
    # Not kept of an insert unless it is asked for: psycopg then tells -1.
    options = {"preserve_rowcount": True}
    return db.execute(insert(table).on_conflict_do_nothing(), dict(row), execution_options=options).rowcount == 1
