"""The threads that write: transactions that would wait for one another anyway are committed as one.

A commit waits for the disk, and one that holds many changes waits no longer than one that holds a single change.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import sqlalchemy as sa

MOST = 16
"""Changes in one commit; the first of them waits for the others."""

Work = Callable[[sa.Connection], Any]


class BatchWriter:
    """Runs works, each as if in a transaction of its own, those of one lane in the order in which they came."""

    def __init__(self, engine: sa.Engine, *, threads: int) -> None:
        self._engine = engine
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="store-write")
        self._lanes: dict[object, deque[tuple[Work, asyncio.Future[Any]]]] = {}
        self._running: set[asyncio.Future[Sequence[_Outcome]]] = set()

    def submit(self, work: Work, lane: object) -> "asyncio.Future[Any]":
        """Gives what `work` gives, once it is committed. It may run twice, and what the first run wrote is undone."""
        future = asyncio.get_running_loop().create_future()
        waiting = self._lanes.get(lane)
        if waiting is not None:
            waiting.append((work, future))
        else:
            # In this order: where no thread can be had any more, nobody may come to wait in the lane.
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
        running = asyncio.get_running_loop().run_in_executor(self._threads, self._transact, works)
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
            # Whoever waited may have gone.
            if future.done():
                continue
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)

    def _transact(self, works: Sequence[Work]) -> "Sequence[_Outcome]":
        if len(works) == 1:
            return [self._alone(works[0])]
        done: list[_Outcome] = []
        try:
            with self._engine.begin() as db:
                done += (_marked(db, work) for work in works)
        except Exception as exc:
            if len(done) == len(works):
                # All were done and the commit failed: it may have been made all the same, so nothing is done twice.
                return [(None, exc)] * len(works)
            # The connection broke, or the database undid the whole: each is run by itself, on another.
            return [self._alone(work) for work in works]
        return done

    def _alone(self, work: Work) -> "_Outcome":
        try:
            with self._engine.begin() as db:
                value = work(db)
        except Exception as exc:
            return None, exc
        return value, None


def _marked(db: sa.Connection, work: Work) -> "_Outcome":
    """Runs one of several works; where it fails it is undone, and what the others wrote is not."""
    # Never released: the next mark of this name hides it, and a round trip is spared.
    db.exec_driver_sql("SAVEPOINT work")
    try:
        return work(db), None
    except Exception as exc:
        db.exec_driver_sql("ROLLBACK TO SAVEPOINT work")
        return None, exc


_Outcome = tuple[Any, Exception | None]
