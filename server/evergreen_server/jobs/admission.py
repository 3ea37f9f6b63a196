"""Admission: which waiting job may have a task at the provider next.

A slot per model is held from before the POST until the task has ended. The tier's concurrency says how many
there are; the highest priority goes first, then the oldest job. A model that answered 429 is paused, all models
are while the credits are used up. What the engine's queues cannot do is why this is here: pause a model, and
give a job back its place after a refusal.
"""

import asyncio
import heapq
import itertools
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from evergreen_server.jobs.model import Job
from evergreen_server.jobs.provider import Account, Provider, ProviderError

FIRST_PAUSE_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 900.0
REFRESH_SECONDS = 60.0
CONCURRENCY_UNTIL_KNOWN = 1
"""What every tier allows."""
CONCURRENCY_NOT_TOLD = 5
UNLIMITED = 1_000_000

logger = logging.getLogger(__name__)


class Signals:
    """Wakes whoever executes a job when a caller of the API has changed it."""

    def __init__(self) -> None:
        self._events: dict[str, asyncio.Event] = {}

    def of(self, job_id: str) -> asyncio.Event:
        """Gives the job's event; the execution that waits on it clears it."""
        return self._events.setdefault(job_id, asyncio.Event())

    def wake(self, job_id: str) -> None:
        event = self._events.get(job_id)
        if event is not None:
            event.set()

    def forget(self, job_id: str) -> None:
        self._events.pop(job_id, None)


@dataclass(slots=True)
class _Lane:
    """One model's slots."""

    held: int = 0
    waiting: list[tuple[int, str, int, "asyncio.Future[None]"]] = field(default_factory=list)
    """A heap. The number parts two entries of one job, of which the older is done."""
    paused_until: float = 0.0
    pause: float = 0.0


class Admission:
    """Grants slots. `run` must run beside the waits: it keeps the limits current and ends the pauses."""

    def __init__(self, *, provider: Provider, monotonic: Callable[[], float], scale: float) -> None:
        self._provider = provider
        self._now = monotonic
        self._scale = scale
        self._lanes: dict[str, _Lane] = {}
        self._holders: dict[str, str] = {}
        self._account: Account | None = None
        self._numbers = itertools.count()
        self._out_of_credits = False
        self._refusals = 0
        self._refused_balance: int | None = None
        self._look = asyncio.Event()

    async def acquire(self, job: Job, *, seconds: float, signal: asyncio.Event) -> bool:
        """Waits for a slot for at most `seconds`, or until `signal`. True if the job holds one now."""
        if job.job_id in self._holders:
            return True
        model = job.request.spec.model
        lane = self._lane(model)
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(lane.waiting, (-job.request.priority, job.job_id, next(self._numbers), granted))
        self._grant(model)
        called = asyncio.ensure_future(signal.wait())
        either: tuple[asyncio.Future[object], ...] = (granted, called)  # type: ignore[assignment] # results unused
        try:
            await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            called.cancel()
            if granted.done() and not granted.cancelled():
                self._holders[job.job_id] = model
            else:
                granted.cancel()
        return job.job_id in self._holders

    def hold(self, job: Job) -> None:
        """Counts a job whose task exists already; also above the limit, since the task does exist."""
        model = job.request.spec.model
        if job.job_id not in self._holders:
            self._holders[job.job_id] = model
            self._lane(model).held += 1

    def release(self, job_id: str) -> None:
        """Gives a job's slot back; a job without one is no error."""
        model = self._holders.pop(job_id, None)
        if model is not None:
            self._lane(model).held -= 1
            self._grant(model)

    def pause(self, model: str, retry_after_seconds: float | None) -> None:
        """Closes a model after a 429: 60 s at first, doubling to 15 min, or as long as the provider says."""
        lane, now = self._lane(model), self._now()
        if now >= lane.paused_until:
            # What was sent before the pause and is refused within it tells nothing new.
            lane.pause = min(max(FIRST_PAUSE_SECONDS, 2 * lane.pause), LONGEST_PAUSE_SECONDS)
        seconds = max(lane.pause, retry_after_seconds or 0.0)
        lane.paused_until = max(lane.paused_until, now + seconds / self._scale)
        logger.warning("model paused", extra={"model": model, "seconds": seconds})
        self._look.set()

    def accepted(self, model: str) -> None:
        """Notes that the provider took a task, so that the next refusal starts with a short pause."""
        self._lane(model).pause = 0.0

    def out_of_credits(self) -> None:
        """Closes every model until the balance changes."""
        # The balance known so far may be a minute old: which one was refused is asked now.
        self._out_of_credits, self._refused_balance = True, None
        self._refusals += 1
        logger.warning("admission paused: not enough credits")
        self._look.set()

    async def run(self) -> None:
        """Asks for the account at start, every minute and when paused for credits; ends pauses in time."""
        while True:
            self._look.clear()
            await self._refresh()
            for model in self._lanes:
                self._grant(model)
            try:
                async with asyncio.timeout(self._seconds_to_look()):
                    await self._look.wait()
            except TimeoutError:
                continue

    async def _refresh(self) -> None:
        refusals = self._refusals
        try:
            self._account = await self._provider.account()
        except ProviderError as exc:
            logger.warning("account unknown", extra={"cause": str(exc)})
            return
        if not self._out_of_credits or refusals != self._refusals:
            return
        if self._refused_balance is None:
            self._refused_balance = self._account.balance_millicredits
        elif self._refused_balance != self._account.balance_millicredits:
            self._out_of_credits = False
            logger.info("admission resumed: the balance changed")

    def _seconds_to_look(self) -> float:
        now = self._now()
        pauses = [lane.paused_until - now for lane in self._lanes.values() if lane.paused_until > now]
        return max(0.05, min([REFRESH_SECONDS / self._scale, *pauses]))

    def _lane(self, model: str) -> _Lane:
        return self._lanes.setdefault(model, _Lane())

    def _capacity(self, model: str) -> int:
        if self._account is None:
            return CONCURRENCY_UNTIL_KNOWN
        limits = self._account.limits.get(model)
        if limits is None:
            return CONCURRENCY_NOT_TOLD
        return UNLIMITED if limits.max_concurrent is None else limits.max_concurrent

    def _grant(self, model: str) -> None:
        lane = self._lane(model)
        if self._out_of_credits or self._now() < lane.paused_until:
            return
        while lane.waiting and lane.held < self._capacity(model):
            granted = heapq.heappop(lane.waiting)[-1]
            if not granted.done():
                lane.held += 1
                granted.set_result(None)
