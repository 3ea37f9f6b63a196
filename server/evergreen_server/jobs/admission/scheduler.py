"""Decides which waiting job may have a task at the provider next.

A slot is a fact of the job's row: granted before the POST, held until the task has ended, given back by the very
change of state that ends the need for it. So it is valid across all replicas and outlives each of them. `slots` decides
who is granted one and what blocks the queue; this module decides when to grant, and knows what the account allows.
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
UNANSWERED_SECONDS = 20.0
ANSWER_SECONDS = 30.0
"""In real seconds, including the client's retries: a provider that is silent for less counts as reachable."""
POLL_SECONDS, QUIET_SECONDS = 2.0, 15.0
"""Between two looks for what was not announced: while a job waits or was just granted a slot, and while none does."""
RETRY_AFTER = timedelta(milliseconds=50)
DUTY_CYCLE = 0.2
"""The share of its time that granting may take; in the pauses requests gather, so that one round serves many jobs."""
LONGEST_REST_SECONDS = 0.25
CONCURRENCY_UNTIL_KNOWN = 1
"""What every tier allows."""
CONCURRENCY_UNLISTED = 5
PROVIDER_UNAVAILABLE = "PROVIDER_UNAVAILABLE"
CREDITS_LOW = "CREDITS_LOW"
TOO_DEAR = "an attempt may cost more than the provider's account has left; cheaper jobs go first"

logger = logging.getLogger(__name__)


class SlotScheduler:
    """Grants slots. On every replica `run`, `refresh` and `warn` must run in the background."""

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
        self._unanswered = ""
        """Why the last question about the account brought no answer; empty if it did."""
        self._away = False
        """Whether the reason was that the provider could not be reached, or gave no usable answer."""
        self._dirty: set[str] = set()
        self._news = asyncio.Event()
        self._ask = asyncio.Event()
        self._pauses: dict[str, float] = {}
        self._opens: dict[str, datetime] = {}
        self._unused: frozenset[str] = frozenset()
        self._waited_for: set[str] = set()
        self._missed = asyncio.Event()

    def schedule(self, models: Iterable[str]) -> None:
        """Has the queues of these models served now."""
        self._dirty.update(models)
        if self._dirty:
            self._news.set()

    def on_commit(self, changes: Sequence[Change]) -> None:
        """Serves the queues that a commit of this replica changed."""
        self.schedule(change.queue for change in changes if change.queue)

    @property
    def account(self) -> Account | None:
        """Returns the provider's last answer about its account, asked every minute; None before the first."""
        return None if self._account is None else self._account[0]

    def limits_for(self, model: str) -> slots.SlotLimits:
        """Returns what the account allows for a model, by the provider's last answer."""
        if self._account is None:
            return slots.SlotLimits(concurrent=CONCURRENCY_UNTIL_KNOWN, asked_at=self._clock(), current=False)
        (account, asked_at), current = self._account, not self._unanswered
        limits = account.limits.get(model)
        if limits is None:
            return slots.SlotLimits(concurrent=CONCURRENCY_UNLISTED, asked_at=asked_at, current=current)
        left = None if limits.max_daily is None else limits.max_daily - limits.used_today
        return slots.SlotLimits(concurrent=limits.max_concurrent, daily_left=left, asked_at=asked_at, current=current)

    async def pause(self, model: str, retry_after_seconds: float | None) -> None:
        """Closes a model after a 429, on all replicas. Call it before the refused job gives its slot back."""
        now, scale = self._clock(), self._scale
        seconds = await self._database.write(lambda db: slots.pause(db, model, retry_after_seconds, now, scale))
        logger.warning("model paused", extra={"model": model, "seconds": seconds})
        self.schedule([model])

    async def accepted(self, model: str) -> None:
        """Records that the provider accepted a task, so that the next refusal starts with a short pause."""
        if self._pauses.pop(model, 0.0):
            await self._database.write(lambda db: slots.accepted(db, model))

    async def out_of_credits(self, price: int | None = None) -> None:
        """Closes every model, on all replicas, until the balance explains the refusal of this price, or has risen."""
        now, known = self._clock(), self._account[0].balance_millicredits if self._account else None
        await self._database.write(lambda db: slots.out_of_credits(db, known, now, price))
        logger.warning("admission paused: not enough credits")
        self._ask.set()

    async def run(self) -> None:
        """Grants slots when asked to, and polls every few seconds for changes that were not announced."""
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
                    due = loop.time() + POLL_SECONDS * self._random.uniform(0.75, 1.25)
                    self._waited_for = await self._find_missed()
                    models |= self._waited_for
                    if self._waited_for:
                        self._missed.set()
                    elif not self._unused:
                        due = loop.time() + QUIET_SECONDS * self._random.uniform(0.75, 1.25)
                now = self._clock()
                models |= {model for model, at in self._opens.items() if at <= now}
                for model in sorted(models):
                    # Also if this fails: a time that has passed must not be waited for again.
                    self._opens.pop(model, None)
                    due = min(due, loop.time() + POLL_SECONDS)
                    await self._grant(model)
            except SQLAlchemyError as exc:
                # The next poll finds the same again; the service must not end over it.
                logger.warning("slots not granted", extra={"cause": type(exc).__name__})
            await asyncio.sleep(min(LONGEST_REST_SECONDS, (1 / DUTY_CYCLE - 1) * (loop.time() - begun)))

    async def refresh(self) -> None:
        """Asks for the account at start, every minute, after credits were too few, and soon again if unanswered."""
        while True:
            self._ask.clear()
            asked_at = self._clock()
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    account = await self._provider.account()
                self._account, self._unanswered, self._away = (account, asked_at), "", False
                if await self._database.write(partial(self._see, account.balance_millicredits, asked_at)):
                    logger.info("admission resumed")
                models, _ = await self._database.read(slots.waiting_models)
                self.schedule(models)
            except (ProviderError, TimeoutError) as exc:
                self._unanswered = str(exc) or "the provider does not answer"
                self._away = not isinstance(exc, Unauthorized)
                logger.warning("account unknown", extra={"cause": self._unanswered})
            except SQLAlchemyError as exc:
                logger.warning("account not recorded", extra={"cause": type(exc).__name__})
            try:
                async with asyncio.timeout((UNANSWERED_SECONDS if self._unanswered else REFRESH_SECONDS) / self._scale):
                    await self._ask.wait()
            except TimeoutError:
                continue

    def _see(self, millicredits: int, asked_at: datetime, db: sa.Connection) -> bool:
        return slots.see_balance(db, millicredits, asked_at, self._clock())

    async def warn(self) -> None:
        """Warns the first jobs of each queue about what blocks them: a few after each poll, and each job once.

        Runs apart from granting, since a warning waits for its project's row.
        """
        while True:
            await self._missed.wait()
            self._missed.clear()
            try:
                await self._warn_first(self._waited_for)
            except SQLAlchemyError as exc:
                # The next poll finds the same again.
                logger.warning("jobs not warned", extra={"cause": type(exc).__name__})

    async def _warn_first(self, models: Collection[str]) -> None:
        now = self._clock()

        def read(db: sa.Connection) -> list[tuple[str, str, str]]:
            funds_known, found = funds.known(db, now), []
            for model in models:
                if self._away:
                    away = slots.not_warned(db, model, PROVIDER_UNAVAILABLE, sa.true())
                    found += [(job_id, PROVIDER_UNAVAILABLE, self._unanswered) for job_id in away]
                if funds_known is not None:
                    dear = slots.not_warned(db, model, CREDITS_LOW, sa.not_(funds.within(funds_known.balance)))
                    found += [(job_id, CREDITS_LOW, TOO_DEAR) for job_id in dear]
            return found

        for job_id, code, cause in await self._database.read(read):
            # A job that has ended meanwhile may have been removed.
            with suppress(JobNotFound):
                await self._store.command(job_id, partial(_waits, code=code, cause=cause, now=now))

    async def _find_missed(self) -> set[str]:
        """Returns the models that jobs wait for, and wakes jobs here that missed the news of their slot."""
        models, unused = await self._database.read(slots.waiting_models)
        # Each once, since a job with a slot may be waiting for the storage of its inputs.
        for job_id in frozenset(unused) - self._unused:
            self._wakeups.wake(job_id)
        self._unused = frozenset(unused)
        return set(models)

    async def _grant(self, model: str) -> None:
        limits, now, scale = self.limits_for(model), self._clock(), self._scale

        def work(db: sa.Connection) -> tuple[slots.Granted, list[Change]]:
            granted = slots.grant(db, model, limits, now, scale)
            return granted, granted.changes

        granted = await self._store.write(work)
        self._pauses[model] = granted.pause_seconds
        if granted.opens_at is not None:
            self._opens[model] = from_micros(granted.opens_at)
        elif granted.more:
            self._opens[model] = now + RETRY_AFTER

    def _seconds_to_open(self) -> float:
        now = self._clock()
        return min(((at - now).total_seconds() for at in self._opens.values()), default=POLL_SECONDS)


def _waits(job: Job, code: str, cause: str, now: datetime) -> Job:
    # What blocks the others does not concern a job that was granted a slot meanwhile.
    waiting = job.needs_slot is Slot.WANTED and job.slot is Slot.WANTED
    return job.waits(code, cause, not_before=now) if waiting else job
