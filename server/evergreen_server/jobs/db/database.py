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

from evergreen_server.jobs.db.group_commit import BatchWriter
from evergreen_server.runtime.turns import Turns

T = TypeVar("T")

TRANSIENT_ERRORS = (OperationalError, InterfaceError, InternalError, TimeoutError)
"""What an error of the database is when the database is out of reach, restarting, or too busy: it may pass."""


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
