"""Claims what is due, sends it and records what came of it, with as many at once as the rota allows."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final, Protocol
from uuid import uuid4

from yarl import URL

from evergreen_server.jobs.db.database import TRANSIENT_ERRORS
from evergreen_server.webhooks.claims import QUICK_MILLISECONDS, Claim
from evergreen_server.webhooks.deliveries import Deliveries
from evergreen_server.webhooks.keys import Keys
from evergreen_server.webhooks.model import Attempt, Webhook
from evergreen_server.webhooks.rota import Rota
from evergreen_server.webhooks.sender import Sender

__all__ = ["Dispatcher", "WebhookMetrics"]

LOOK_SECONDS: Final = 1.0
"""How often it is looked for what has become due; what is new is told of."""
UPKEEP_SECONDS: Final = 30.0
OLD_SECONDS: Final = 600.0
RECORD_SECONDS: Final = 20.0
"""For how long it is tried to record a send; then the claim ends, and it is sent again."""
RELEASE_SECONDS: Final = 2.0

logger = logging.getLogger(__name__)


class WebhookMetrics(Protocol):
    """What is counted here."""

    def webhook_began(self, seconds: float) -> None:
        """Records how many seconds after its event the first attempt of a delivery began."""
        ...

    def webhook_sent(self, outcome: str) -> None:
        """Records what came of an attempt: DELIVERED or FAILED."""
        ...


class Dispatcher:
    """Sends what is due. `run` and `upkeep` must run beside it; any number of servers may do so."""

    def __init__(
        self,
        *,
        deliveries: Deliveries,
        sender: Sender,
        keys: Keys,
        clock: Callable[[], datetime],
        metrics: WebhookMetrics,
        rota: Rota | None = None,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._deliveries = deliveries
        self._sender = sender
        self._keys = keys
        self._clock = clock
        self._metrics = metrics
        self._rota = rota or Rota()
        self._look_seconds = look_seconds
        self._told: dict[str, None] = {}
        self._strange: set[str] = set()
        self._kick = asyncio.Event()

    def told(self, webhook_ids: Collection[str]) -> None:
        """Notes that webhooks have got something to be sent."""
        self._told.update(dict.fromkeys(webhook_ids))
        self._kick.set()

    async def run(self) -> None:
        """Sends for as long as it is not cancelled."""
        loop = asyncio.get_running_loop()
        look_at = 0.0
        # A group of its own: a send that is under way when this ends is cut off.
        async with asyncio.TaskGroup() as sends:
            while True:
                try:
                    async with asyncio.timeout(max(0.0, look_at - loop.time())):
                        await self._kick.wait()
                except TimeoutError:
                    pass
                self._kick.clear()
                try:
                    if loop.time() >= look_at:
                        self._wake(await self._deliveries.due())
                        look_at = loop.time() + self._look_seconds
                    await self._serve(sends)
                except TRANSIENT_ERRORS as exc:
                    logger.warning("webhooks not claimed", extra={"cause": type(exc).__name__})
                    look_at = loop.time() + self._look_seconds

    def _wake(self, due: Collection[Webhook]) -> None:
        for webhook in due:
            if self._keys.knows(webhook.fingerprint):
                self._rota.wake(webhook.webhook_id, webhook.owner, quick=webhook.quick)
            elif webhook.fingerprint not in self._strange:
                # A key is being changed: servers that have it already send this, and must not wait for our claims.
                self._strange.add(webhook.fingerprint)
                logger.warning("webhook with another key", extra={"webhook_id": webhook.webhook_id})

    async def _serve(self, sends: asyncio.TaskGroup) -> None:
        """Claims for all who may send, and sends, until none may or has anything."""
        while True:
            told, self._told = self._told, {}
            if told:
                self._wake(await self._deliveries.webhooks(list(told)))
            wanted: Counter[str] = Counter()
            while (webhook_id := self._rota.take()) is not None:
                wanted[webhook_id] += 1
            if not wanted:
                return
            claims: Collection[Claim] = ()
            more: Collection[str] = wanted
            try:
                claims, more = await self._deliveries.claim(wanted, token=uuid4().hex)
            finally:
                got = Counter(claim.webhook.webhook_id for claim in claims)
                for webhook_id, number in wanted.items():
                    if webhook_id not in more and webhook_id not in self._told:
                        self._rota.sleep(webhook_id)
                    for _ in range(number - got[webhook_id]):
                        self._rota.give_back(webhook_id)
            for claim in claims:
                sends.create_task(self._send(claim), name="webhook")

    async def _send(self, claim: Claim) -> None:
        quick = False
        try:
            now, webhook = self._clock(), claim.webhook
            if claim.first:
                self._metrics.webhook_began((now - claim.created_at) / timedelta(seconds=1))
            attempt = await self._sender.send(
                webhook.url, self._keys.signing(webhook, now), message_id=claim.message_id, body=claim.body, at=now
            )
            quick = attempt.succeeded and attempt.milliseconds <= QUICK_MILLISECONDS
            reason = await self._recorded(claim, attempt)
            self._metrics.webhook_sent("DELIVERED" if attempt.succeeded else "FAILED")
            if reason:
                # The last line about it.
                logger.warning(
                    "webhook switched off",
                    extra={"webhook_id": webhook.webhook_id, "host": URL(webhook.url).host, "cause": reason},
                )
        except asyncio.CancelledError:
            await self._released(claim)
            raise
        except Exception:
            # One that cannot be sent must not end the others.
            logger.exception("webhook not sent", extra={"webhook_id": claim.webhook.webhook_id})
        finally:
            self._rota.give_back(claim.webhook.webhook_id, quick=quick)
            self._kick.set()

    async def _released(self, claim: Claim) -> None:
        """Gives back what is cut off, so that nobody has to wait for the end of its claim."""
        with suppress(*TRANSIENT_ERRORS, TimeoutError):
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._deliveries.release(claim)

    async def _recorded(self, claim: Claim, attempt: Attempt) -> str:
        """Records an attempt, also if the database is away for a moment."""
        async with asyncio.timeout(RECORD_SECONDS):
            while True:
                try:
                    return await self._deliveries.record(claim, attempt)
                except TRANSIENT_ERRORS as exc:
                    logger.warning("webhook not recorded", extra={"cause": type(exc).__name__})
                    await asyncio.sleep(1.0)

    async def upkeep(self) -> None:
        """Gives up what is pending for webhooks that are off, and removes what is old, now and then."""
        loop = asyncio.get_running_loop()
        old_at = 0.0
        while True:
            try:
                await self._deliveries.give_up()
                if loop.time() >= old_at:
                    await self._deliveries.remove_old()
                    old_at = loop.time() + OLD_SECONDS
            except TRANSIENT_ERRORS as exc:
                logger.warning("webhooks not cleaned up", extra={"cause": type(exc).__name__})
            await asyncio.sleep(UPKEEP_SECONDS)
