"""The threads that write: transactions that would wait for one another anyway are committed as one.

A commit waits for the disk, and takes no longer for many changes than for a single one.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from evergreen_server.jobs.db.statement import Statement

MOST = 16
"""Changes in one commit; the first of them waits for the others."""

Work = Callable[[sa.Connection], Any]
Measured = Callable[[str, float, float, Sequence[str]], None]
"""Takes what a transaction does (read, write), the seconds that it waited for a thread and took, and its errors."""


def not_measured(_kind: str, _waited: float, _worked: float, _errors: Sequence[str]) -> None:
    """Measures nothing."""


class BatchWriter:
    """Runs works, each as if in its own transaction, and those of one lane in order of arrival."""

    def __init__(self, engine: sa.Engine, *, threads: int, measured: Measured = not_measured) -> None:
        self._engine = engine
        self._measured = measured
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="store-write")
        self._lanes: dict[object, deque[tuple[Work, asyncio.Future[Any]]]] = {}
        self._running: set[asyncio.Future[Sequence[_Outcome]]] = set()

    def submit(self, work: Work, lane: object) -> "asyncio.Future[Any]":
        """Returns a future of the result of `work` once committed. It may be retried after a rollback."""
        future = asyncio.get_running_loop().create_future()
        waiting = self._lanes.get(lane)
        if waiting is not None:
            waiting.append((work, future))
        else:
            # In this order: if the threads have stopped, no work may come to wait in the lane.
            self._run(lane, [(work, future)])
            self._lanes[lane] = deque()
        return future

    async def aclose(self) -> None:
        """Runs what waits, then ends the threads."""
        while self._running:
            await asyncio.wait(set(self._running))
        await asyncio.to_thread(self._threads.shutdown)

    def _run(self, lane: object, batch: "Sequence[tuple[Work, asyncio.Future[Any]]]") -> None:
        works = [work for work, _ in batch]
        running = asyncio.get_running_loop().run_in_executor(self._threads, self._timed, time.monotonic(), works)
        self._running.add(running)
        running.add_done_callback(lambda done: self._ended(lane, batch, done))

    def _ended(
        self,
        lane: object,
        batch: "Sequence[tuple[Work, asyncio.Future[Any]]]",
        done: "asyncio.Future[Sequence[_Outcome]]",
    ) -> None:
        self._running.discard(done)
        waiting = self._lanes[lane]
        if waiting:
            self._run(lane, [waiting.popleft() for _ in range(min(MOST, len(waiting)))])
        else:
            del self._lanes[lane]
        for (_, future), (value, error) in zip(batch, done.result(), strict=True):
            # The caller may have been cancelled.
            if future.done():
                continue
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)

    def _timed(self, asked: float, works: Sequence[Work]) -> "Sequence[_Outcome]":
        began = time.monotonic()
        outcomes = self._transact(works)
        errors = [type(error).__name__ for _, error in outcomes if isinstance(error, SQLAlchemyError)]
        self._measured("write", began - asked, time.monotonic() - began, errors)
        return outcomes

    def _transact(self, works: Sequence[Work]) -> "Sequence[_Outcome]":
        if len(works) == 1:
            return [self._alone(works[0])]
        done: list[_Outcome] = []
        try:
            with self._engine.begin() as db:
                done += (_in_savepoint(db, work) for work in works)
        except Exception as exc:
            if len(done) == len(works):
                # All ran and the commit failed: it may have succeeded nevertheless, so nothing is retried.
                return [(None, exc)] * len(works)
            # The connection broke, or the database rolled everything back: each runs by itself, on another connection.
            return [self._alone(work) for work in works]
        return done

    def _alone(self, work: Work) -> "_Outcome":
        try:
            with self._engine.begin() as db:
                value = work(db)
        except Exception as exc:
            return None, exc
        return value, None


_SAVEPOINT = Statement(sa.text("SAVEPOINT work"))


def _in_savepoint(db: sa.Connection, work: Work) -> "_Outcome":
    """Runs one of several works; if it fails, only its own writes are rolled back."""
    # Never released: the next savepoint of this name shadows it, which saves a round trip.
    _SAVEPOINT.run(db, {})
    try:
        return work(db), None
    except Exception as exc:
        db.exec_driver_sql("ROLLBACK TO SAVEPOINT work")
        return None, exc


_Outcome = tuple[Any, Exception | None]
