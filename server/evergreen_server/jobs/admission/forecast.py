"""Forecasts for jobs that wait or run: their place in the queue, and about when they start and end.

Read from the rows at once and kept for up to a second, so that any number of calls costs one read.
"""

import asyncio
import functools
import heapq
import itertools
import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

import sqlalchemy as sa

from evergreen_server.jobs.admission import funds
from evergreen_server.jobs.admission.durations import Durations
from evergreen_server.jobs.admission.slots import EVERY_MODEL, SlotLimits, bounded_pause, queue_of
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.mapping import from_micros, to_micros
from evergreen_server.jobs.db.schema import jobs
from evergreen_server.jobs.db.shared_schema import model_queues
from evergreen_server.jobs.model.states import Slot, Stage, State

Expect: TypeAlias = Callable[[str, int | None], float]

SHARE = 20
"""Reading may take a twentieth of the time: a forecast is kept for so many times as long as reading it took."""
LONGEST_AGE_SECONDS = 1.0
SHORTEST_AGE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Forecast:
    """What can be forecast about a job; a time is None if it cannot be."""

    slot: Slot
    """The job's slot when it was read: if that has changed since, the forecast is out of date."""
    position: int | None = None
    """1 is granted a slot next; None if the job is not queued."""
    starts_at: datetime | None = None
    ends_at: datetime | None = None


class Forecasts:
    """Computes forecasts of jobs, no older than a second."""

    def __init__(
        self,
        *,
        database: Database,
        limits_for: Callable[[str], SlotLimits],
        durations: Durations,
        clock: Callable[[], datetime],
        scale: float,
    ) -> None:
        self._database = database
        self._limits_for = limits_for
        self._durations = durations
        self._clock = clock
        self._scale = scale
        self._lock = asyncio.Lock()
        self._kept: Mapping[str, Forecast] = {}
        self._fresh_until = 0.0

    async def all(self) -> Mapping[str, Forecast]:
        """Returns the forecast of every job that is queued or has a slot, by its id."""
        if time.monotonic() < self._fresh_until:
            return self._kept
        async with self._lock:
            begun = time.monotonic()
            if begun >= self._fresh_until:
                self._kept = await self._database.read(self._read)
                now = time.monotonic()
                age = min(max((now - begun) * SHARE, SHORTEST_AGE_SECONDS), LONGEST_AGE_SECONDS)
                self._fresh_until = now + age
        return self._kept

    def _read(self, db: sa.Connection) -> Mapping[str, Forecast]:
        more = jobs.c.duration_seconds.label("seconds"), jobs.c.estimated_millicredits.label("price")
        under_way = sa.select(jobs.c.job_id, jobs.c.model, jobs.c.state, jobs.c.stage, jobs.c.submitted_at, *more)
        held, waiting = defaultdict(list), defaultdict(list)
        for row in db.execute(under_way.where(jobs.c.slot == Slot.HELD.value)).mappings():
            held[row["model"]].append(row)
        for row in db.execute(queue_of().add_columns(*more)).mappings():
            waiting[row["model"]].append(row)
        queues = {row["model"]: row for row in db.execute(sa.select(model_queues)).mappings()}
        found: dict[str, Forecast] = {}
        now, expect = self._clock(), functools.cache(self._expect)
        known = funds.known(db, now)
        balance = math.inf
        if known is not None:
            balance = known.balance - sum(row["price"] or 0 for row in _since(known.asked_at, *held.values()))
        for model in {*held, *waiting}:
            limits = self._limits_for(model)
            ends = [self._of_holder(row, limits, now, expect, found) for row in held[model]]
            opens = _opens(queues.get(model), queues.get(EVERY_MODEL), now, self._scale)
            # Jobs that cost more than the account has left are skipped.
            rows = sorted(waiting[model], key=lambda row: (row["price"] or 0) > balance)
            made = len(_since(to_micros(limits.asked_at), held[model]))
            foreseen = 0 if opens is None else _foreseen(rows, limits, made, balance)
            self._of_queue(model, rows, foreseen, limits.concurrent, ends, opens or 0.0, now, expect, found)
        return found

    def _expect(self, model: str, seconds: int | None) -> float:
        return self._durations.expected(model, seconds) / self._scale

    def _of_holder(
        self, row: sa.RowMapping, limits: SlotLimits, now: datetime, expect: Expect, found: dict[str, Forecast]
    ) -> float:
        """Returns in how many seconds a job that has a slot probably gives it back."""
        left = expect(row["model"], row["seconds"])
        if row["stage"] == Stage.GENERATING and row["submitted_at"] is not None:
            age = (now - from_micros(row["submitted_at"])).total_seconds() * self._scale
            left = self._durations.remaining(row["model"], row["seconds"], age) / self._scale
        ends_at = now + timedelta(seconds=left)
        if row["state"] == State.QUEUED:
            # If the provider cannot be reached, a slot says nothing about when the job starts.
            times = (now, ends_at) if limits.current else (None, None)
            found[row["job_id"]] = Forecast(Slot.WANTED, None, *times)
        elif row["state"] == State.RUNNING:
            found[row["job_id"]] = Forecast(Slot.HELD, ends_at=ends_at)
        return left

    def _of_queue(
        self,
        model: str,
        rows: Sequence[sa.RowMapping],
        foreseen: int,
        most: int | None,
        ends: list[float],
        opens: float,
        now: datetime,
        expect: Expect,
        found: dict[str, Forecast],
    ) -> None:
        """Simulates the queue: each of the first `foreseen` jobs starts when the next slot comes free."""
        # If more jobs have a slot than there are slots, the first to end free none.
        slots = sorted(ends)[max(0, len(ends) - (most or len(ends))) :]
        slots += [0.0] * ((most or 0) - len(slots))
        heapq.heapify(slots)
        for position, row in enumerate(rows, start=1):
            if position > foreseen:
                found[row["job_id"]] = Forecast(Slot.WANTED, position)
                continue
            start = max(opens, 0.0 if most is None else heapq.heappop(slots))
            end = start + expect(model, row["seconds"])
            heapq.heappush(slots, end)
            found[row["job_id"]] = Forecast(
                Slot.WANTED, position, now + timedelta(seconds=start), now + timedelta(seconds=end)
            )


def _since(asked_at: int, *held: Sequence[sa.RowMapping]) -> list[sa.RowMapping]:
    """Returns the jobs with a slot that an answer about the account, asked for at `asked_at`, does not count yet."""
    return [row for rows in held for row in rows if row["submitted_at"] is None or row["submitted_at"] >= asked_at]


def _foreseen(rows: Sequence[sa.RowMapping], limits: SlotLimits, made: int, balance: float) -> int:
    """Returns how many jobs of a queue can start when their turn comes, by the day's quota and the credits.

    That is none if the account is not known or the provider is out of reach. The quota does not yet count `made` tasks.
    """
    if not limits.current or limits.concurrent == 0:
        return 0
    most = len(rows) if limits.daily_left is None else max(0, limits.daily_left - made)
    costs = itertools.accumulate(row["price"] or 0 for row in rows[:most])
    return sum(1 for cost in costs if cost <= balance)


def _opens(queue: sa.RowMapping | None, every: sa.RowMapping | None, now: datetime, scale: float) -> float | None:
    """Returns in how many seconds a model's pause is over, 0 for none; None if nobody knows."""
    if every is not None and every["no_credits_since"] is not None:
        return None
    if queue is None:
        return 0.0
    if queue["daily_probe_at"] is not None:
        return None
    return bounded_pause(queue["paused_until"], now, scale)
