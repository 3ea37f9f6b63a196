"""Admission: which waiting job may have a task at the provider next.

A slot is a fact of the job's row: granted before the POST, held until the task has ended, given back by the very
change of state that ends the need for it. So it holds over all replicas and outlives each. Who is granted one, and
what holds the line up, is in `slots`; here are the moments at which to look, and what the account allows.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from random import Random

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from evergreen_server.jobs.admission import funds, slots
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.mapping import from_micros
from evergreen_server.jobs.model.change import Change
from evergreen_server.jobs.model.errors import JobNotFound
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.model.states import Slot
from evergreen_server.jobs.store.jobs import JobStore
from evergreen_server.jobs.wakeups import Wakeups
from evergreen_server.ports.provider import Account, Provider, ProviderError, Unauthorized

REFRESH_SECONDS = 60.0
UNHEARD_SECONDS = 20.0
ANSWER_SECONDS = 30.0
"""In real seconds, with all that the client repeats: until then a provider that is silent counts as being there."""
LOOK_SECONDS = 2.0
AGAIN = timedelta(milliseconds=50)
RESTS = 4.0
"""How much longer than a look a rest after it lasts, so that under load one look finds many jobs."""
LONGEST_REST_SECONDS = 0.25
CONCURRENCY_UNTIL_KNOWN = 1
"""What every tier allows."""
CONCURRENCY_NOT_TOLD = 5
PROVIDER_UNAVAILABLE = "PROVIDER_UNAVAILABLE"
CREDITS_LOW = "CREDITS_LOW"
TOO_DEAR = "an attempt may cost more than the provider's account has left; cheaper jobs go first"

logger = logging.getLogger(__name__)


class SlotScheduler:
    """Grants slots. `run`, `refresh` and `warn` must run beside the waits, on every replica."""

    def __init__(
        self,
        *,
        database: Database,
        store: JobStore,
        provider: Provider,
        wakeups: Wakeups,
        clock: Callable[[], datetime],
        random: Random,
        scale: float,
    ) -> None:
        self._database = database
        self._store = store
        self._provider = provider
        self._wakeups = wakeups
        self._clock = clock
        self._random = random
        self._scale = scale
        self._account: tuple[Account, datetime] | None = None
        self._unheard = ""
        """Why the provider did not tell of the account when it was asked last; empty where it did."""
        self._away = False
        """Whether that was since it could not be reached, or gave no usable answer."""
        self._dirty: set[str] = set()
        self._news = asyncio.Event()
        self._ask = asyncio.Event()
        self._pauses: dict[str, float] = {}
        self._opens: dict[str, datetime] = {}
        self._unused: frozenset[str] = frozenset()
        self._waited_for: set[str] = set()
        self._untold = asyncio.Event()

    def look(self, models: Iterable[str]) -> None:
        """Has the lines of these models looked at now."""
        self._dirty.update(models)
        if self._dirty:
            self._news.set()

    def changed(self, changes: Sequence[Change]) -> None:
        """Hears of what this replica committed."""
        self.look(change.queue for change in changes if change.queue)

    def terms(self, model: str) -> slots.Terms:
        """Tells what the account, as last heard, allows for a model."""
        if self._account is None:
            return slots.Terms(concurrent=CONCURRENCY_UNTIL_KNOWN, asked_at=self._clock(), told=False)
        (account, asked_at), told = self._account, not self._unheard
        limits = account.limits.get(model)
        if limits is None:
            return slots.Terms(concurrent=CONCURRENCY_NOT_TOLD, asked_at=asked_at, told=told)
        left = None if limits.max_daily is None else limits.max_daily - limits.used_today
        return slots.Terms(concurrent=limits.max_concurrent, daily_left=left, asked_at=asked_at, told=told)

    async def pause(self, model: str, retry_after_seconds: float | None) -> None:
        """Closes a model after a 429, on all replicas. To be recorded before the refused job gives its slot back."""
        now, scale = self._clock(), self._scale
        seconds = await self._database.write(lambda db: slots.pause(db, model, retry_after_seconds, now, scale))
        logger.warning("model paused", extra={"model": model, "seconds": seconds})
        self.look([model])

    async def accepted(self, model: str) -> None:
        """Notes that the provider took a task, so that the next refusal starts with a short pause."""
        if self._pauses.pop(model, 0.0):
            await self._database.write(lambda db: slots.accepted(db, model))

    async def out_of_credits(self, price: int | None = None) -> None:
        """Closes every model, on all replicas, until the balance explains the refusal of this price, or has risen."""
        now, known = self._clock(), self._account[0].balance_millicredits if self._account else None
        await self._database.write(lambda db: slots.out_of_credits(db, known, now, price))
        logger.warning("admission paused: not enough credits")
        self._ask.set()

    async def run(self) -> None:
        """Grants slots when told to look, and looks every few seconds by itself at what nobody told of."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            try:
                async with asyncio.timeout(max(0.0, min(due - loop.time(), self._seconds_to_open()))):
                    await self._news.wait()
            except TimeoutError:
                pass
            begun = loop.time()
            self._news.clear()
            models, self._dirty = self._dirty, set()
            try:
                if loop.time() >= due:
                    due = loop.time() + LOOK_SECONDS * self._random.uniform(0.75, 1.25)
                    self._waited_for = await self._unnoticed()
                    models |= self._waited_for
                    if self._waited_for:
                        self._untold.set()
                now = self._clock()
                models |= {model for model, at in self._opens.items() if at <= now}
                for model in sorted(models):
                    # Whatever comes of it: a moment that has passed must not be waited for again.
                    self._opens.pop(model, None)
                    await self._grant(model)
            except SQLAlchemyError as exc:
                # The next round finds the same again; the service must not end for it.
                logger.warning("slots not granted", extra={"cause": type(exc).__name__})
            await asyncio.sleep(min(LONGEST_REST_SECONDS, RESTS * (loop.time() - begun)))

    async def refresh(self) -> None:
        """Asks for the account at start, every minute, when the credits were too few, and soon again where unheard."""
        while True:
            self._ask.clear()
            asked_at = self._clock()
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    account = await self._provider.account()
                self._account, self._unheard, self._away = (account, asked_at), "", False
                if await self._database.write(partial(self._see, account.balance_millicredits, asked_at)):
                    logger.info("admission resumed")
                models, _ = await self._database.read(slots.lines)
                self.look(models)
            except (ProviderError, TimeoutError) as exc:
                self._unheard = str(exc) or "the provider does not answer"
                self._away = not isinstance(exc, Unauthorized)
                logger.warning("account unknown", extra={"cause": self._unheard})
            except SQLAlchemyError as exc:
                logger.warning("account not recorded", extra={"cause": type(exc).__name__})
            try:
                async with asyncio.timeout((UNHEARD_SECONDS if self._unheard else REFRESH_SECONDS) / self._scale):
                    await self._ask.wait()
            except TimeoutError:
                continue

    def _see(self, millicredits: int, asked_at: datetime, db: sa.Connection) -> bool:
        return slots.see_balance(db, millicredits, asked_at, self._clock())

    async def warn(self) -> None:
        """Warns the first in each line of what holds them up, a few after each look, and each job once.

        Apart from granting, since a warning waits for its project's row.
        """
        while True:
            await self._untold.wait()
            self._untold.clear()
            try:
                await self._tell(self._waited_for)
            except SQLAlchemyError as exc:
                # The next look finds the same again.
                logger.warning("jobs not warned", extra={"cause": type(exc).__name__})

    async def _tell(self, models: Collection[str]) -> None:
        now = self._clock()

        def read(db: sa.Connection) -> list[tuple[str, str, str]]:
            told, found = funds.known(db, now), []
            for model in models:
                if self._away:
                    away = slots.untold(db, model, PROVIDER_UNAVAILABLE, sa.true())
                    found += [(job_id, PROVIDER_UNAVAILABLE, self._unheard) for job_id in away]
                if told is not None:
                    dear = slots.untold(db, model, CREDITS_LOW, sa.not_(funds.within(told.balance)))
                    found += [(job_id, CREDITS_LOW, TOO_DEAR) for job_id in dear]
            return found

        for job_id, code, cause in await self._database.read(read):
            # One that ended meanwhile may be gone by now.
            with suppress(JobNotFound):
                await self._store.command(job_id, partial(_waits, code=code, cause=cause, now=now))

    async def _unnoticed(self) -> set[str]:
        """Gives the models that jobs wait for, and wakes those here whose slot was granted without their noticing."""
        models, unused = await self._database.read(slots.lines)
        # Each once, since one that holds a slot may be waiting for the storage of its inputs.
        for job_id in frozenset(unused) - self._unused:
            self._wakeups.wake(job_id)
        self._unused = frozenset(unused)
        return set(models)

    async def _grant(self, model: str) -> None:
        terms, now, scale = self.terms(model), self._clock(), self._scale

        def work(db: sa.Connection) -> tuple[slots.Granted, list[Change]]:
            granted = slots.grant(db, model, terms, now, scale)
            return granted, granted.changes

        granted = await self._store.write(work)
        self._pauses[model] = granted.pause_seconds
        if granted.opens_at is not None:
            self._opens[model] = from_micros(granted.opens_at)
        elif granted.more:
            self._opens[model] = now + AGAIN

    def _seconds_to_open(self) -> float:
        now = self._clock()
        return min(((at - now).total_seconds() for at in self._opens.values()), default=LOOK_SECONDS)


def _waits(job: Job, code: str, cause: str, now: datetime) -> Job:
    # What holds the others up does not concern one that was granted a slot meanwhile.
    waiting = job.needs_slot is Slot.WANTED and job.slot is Slot.WANTED
    return job.waits(code, cause, not_before=now) if waiting else job
