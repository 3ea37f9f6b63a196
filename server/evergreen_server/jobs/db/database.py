"""The one database and the threads that work on it: SQLite or PostgreSQL, by the same statements.

SQLAlchemy is synchronous, so work runs in threads of our own: some that write (on SQLite a single one, which commits
many changes at once, since SQLite allows one writer at a time), and a few that read.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError, SQLAlchemyError, TimeoutError

from evergreen_server.jobs.db.group_commit import BatchWriter, Measured, not_measured
from evergreen_server.runtime.turns import Turns

T = TypeVar("T")

TRANSIENT_ERRORS = (OperationalError, InterfaceError, InternalError, TimeoutError)
"""Errors of a database that is out of reach, restarting, or too busy: they may pass."""


class Database:
    """An open database. `write` runs transactions, `read` runs snapshots, each in a thread."""

    def __init__(
        self, engine: sa.Engine, *, url: str, writers: int, readers: int, measured: Measured = not_measured
    ) -> None:
        """`measured` is told by the threads how long transactions waited for one and took."""
        self.engine = engine
        self.url = url
        """With the password: for the engine's own connections, never for a log."""
        self._writer = BatchWriter(engine, threads=writers, measured=measured)
        self._measured = measured
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="store-read")
        # One thread is left for quick reads.
        self._turns = Turns(max(1, readers - 1))

    @property
    def shared(self) -> bool:
        """Returns whether other processes may have it open, too."""
        return self.engine.dialect.name == "postgresql"

    def write(self, work: Callable[[sa.Connection], T], *, project_id: str | None = None) -> "asyncio.Future[T]":
        """Runs `work` in one transaction. Cancelling the wait does not undo or stop it.

        Work that begins by locking `project_id` is committed together with other work that waits for the same lock; on
        SQLite, which has one lock for the whole file, together with any that waits. It may be retried after a rollback,
        so its other side effects must be idempotent.
        """
        lane = (project_id or object()) if self.shared else None
        return self._writer.submit(work, lane)

    def read(self, work: Callable[[sa.Connection], T]) -> "asyncio.Future[T]":
        """Runs `work` on one consistent snapshot."""
        return asyncio.get_running_loop().run_in_executor(
            self._readers, self._timed, time.monotonic(), self._snapshot, work
        )

    def read_in_turn(
        self, work: Callable[[sa.Connection], T], *, owner: str, single: bool = False
    ) -> "asyncio.Future[T]":
        """Runs `work`, which may take long, as `read` does, when it is the turn of its owner, such as a project.

        With `single`, as `fetch` does, which takes one round trip instead of three. Owners that wait get threads in
        turn, so that however much one asks for, no other waits for all of it.
        """
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        place = self._turns.ask(owner)

        def begin(_: object) -> None:
            try:
                if answer.done():
                    self._turns.give_back(owner, place)
                else:
                    (self.fetch if single else self.read)(work).add_done_callback(ended)
            except RuntimeError as exc:
                # No thread is left: the database is being closed.
                self._turns.give_back(owner, place)
                answer.set_exception(exc)

        def ended(reading: "asyncio.Future[T]") -> None:
            # Only now, even if nobody waits for the answer any more: the thread was busy until now.
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
        """Runs `work` of queries each of which is a snapshot by itself, such as a single one."""
        return asyncio.get_running_loop().run_in_executor(
            self._readers, self._timed, time.monotonic(), self._query, work
        )

    def transact(self, work: Callable[[sa.Connection], T]) -> T:
        """Runs `work` in one transaction, in this thread."""
        with self.engine.begin() as connection:
            return work(connection)

    def _timed(
        self, asked: float, read: Callable[[Callable[[sa.Connection], T]], T], work: Callable[[sa.Connection], T]
    ) -> T:
        began, errors = time.monotonic(), tuple[str, ...]()
        try:
            return read(work)
        except SQLAlchemyError as exc:
            errors = (type(exc).__name__,)
            raise
        finally:
            self._measured("read", began - asked, time.monotonic() - began, errors)

    def _snapshot(self, work: Callable[[sa.Connection], T]) -> T:
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True} if self.shared else {}
        with self.engine.connect().execution_options(reading=True, **options) as connection:
            value = work(connection)
            # Not rolled back, after which psycopg drops all prepared statements of the connection.
            connection.commit()
        return value

    def _query(self, work: Callable[[sa.Connection], T]) -> T:
        with self.engine.connect().execution_options(reading=True, isolation_level="AUTOCOMMIT") as connection:
            return work(connection)

    async def aclose(self) -> None:
        """Finishes pending writes, then closes every connection."""
        await self._writer.aclose()
        await asyncio.to_thread(self._readers.shutdown)
        self.engine.dispose()


def insert_new(db: sa.Connection, table: sa.Table, row: Mapping[str, object]) -> bool:
    """Inserts a row unless one with its key exists; returns whether it did."""
    insert = postgresql.insert if db.dialect.name == "postgresql" else sqlite.insert
    # Must be asked for: without it psycopg returns -1 for inserts.
    options = {"preserve_rowcount": True}
    return db.execute(insert(table).on_conflict_do_nothing(), dict(row), execution_options=options).rowcount == 1
