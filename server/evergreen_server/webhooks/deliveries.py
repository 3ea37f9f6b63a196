"""Deliveries as rows: claimed before they are sent, recorded after, sent again, given up, and removed.

A claim moves the time at which the delivery is due: if its holder dies, it is due again by itself. Only the newest
claim records anything.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import sqlalchemy as sa

from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.mapping import to_micros
from evergreen_server.jobs.db.webhook_schema import PENDING, webhook_deliveries, webhook_messages, webhooks
from evergreen_server.runtime.ids import first_at
from evergreen_server.webhooks import claims
from evergreen_server.webhooks.claims import WAITS, Claim
from evergreen_server.webhooks.model import (
    Attempt,
    Delivery,
    DeliveryNotFound,
    DeliveryState,
    Webhook,
    WebhookState,
)
from evergreen_server.webhooks.rows import MESSAGE, delivery_of, webhook_of

__all__ = ["Deliveries"]

SPREAD: Final = 0.2
KEPT: Final = timedelta(days=7)
ROWS_AT_ONCE: Final = 1000


class Deliveries:
    """Reads and changes deliveries; each method is one transaction, or several bounded ones."""

    def __init__(self, *, database: Database, clock: Callable[[], datetime], random: Callable[[], float]) -> None:
        """`random` returns numbers from 0 to 1, which spread the attempts."""
        self._database = database
        self._clock = clock
        self._random = random

    async def due(self) -> Sequence[Webhook]:
        """Returns the active webhooks that have a delivery that is due."""
        now = to_micros(self._clock())

        def work(db: sa.Connection) -> list[Webhook]:
            some = sa.exists().where(
                webhook_deliveries.c.webhook_id == webhooks.c.webhook_id, PENDING, webhook_deliveries.c.next_at <= now
            )
            query = sa.select(webhooks).where(webhooks.c.state == WebhookState.ACTIVE.value, some)
            return [webhook_of(row) for row in db.execute(query).mappings()]

        return await self._database.read(work)

    async def webhooks(self, webhook_ids: Sequence[str]) -> Sequence[Webhook]:
        """Returns those of the webhooks that are active."""
        of = webhooks.c.webhook_id.in_(webhook_ids), webhooks.c.state == WebhookState.ACTIVE.value

        def work(db: sa.Connection) -> list[Webhook]:
            return [webhook_of(row) for row in db.execute(sa.select(webhooks).where(*of)).mappings()]

        return await self._database.fetch(work)

    async def claim(self, wanted: Mapping[str, int], *, token: str) -> tuple[Sequence[Claim], frozenset[str]]:
        """Claims up to so many deliveries of each webhook that are due, the oldest first, for 60 s. Gives up those of
        projects that it hears of no more: since then, its URL may be that of somebody who may not.

        Returns them, and the webhooks of which more are due.
        """
        return await self._database.write(partial(claims.claim, wanted=wanted, token=token, now=self._clock()))

    async def record(self, claim: Claim, attempt: Attempt) -> str:
        """Records what came of a claim, unless another has followed it. Returns why the webhook was switched off by
        this; an empty text if it was not.
        """
        now = self._clock()
        wait = self._wait(claim.attempts, attempt)
        return await self._database.write(
            partial(claims.record, claim=claim, attempt=attempt, now=now, next_at=now + timedelta(seconds=wait))
        )

    def _wait(self, attempts: int, attempt: Attempt) -> float:
        """Returns after how many seconds the attempt that follows is due."""
        usual = WAITS[min(attempts, len(WAITS) - 1)] * (1 + SPREAD * (2 * self._random() - 1))
        return max(usual, attempt.retry_after_seconds or 0.0)

    async def release(self, claim: Claim) -> None:
        """Gives back a claim that will not be recorded: the delivery is due at once."""
        of = (
            webhook_deliveries.c.message_id == claim.message_id,
            webhook_deliveries.c.webhook_id == claim.webhook.webhook_id,
            webhook_deliveries.c.claim == claim.token,
        )
        due = webhook_deliveries.update().where(*of, PENDING).values(next_at=to_micros(self._clock()))
        await self._database.write(lambda db: db.execute(due))

    async def page(
        self,
        webhook_id: str,
        *,
        states: Collection[DeliveryState],
        since: datetime | None,
        before: str,
        limit: int,
        owner: str,
    ) -> Sequence[Delivery]:
        """Returns deliveries of a webhook, those of the newest events first: before a message, if one is named."""

        def work(db: sa.Connection) -> list[Delivery]:
            found: list[sa.RowMapping] = []
            # State by state, and without the messages, so that each page is read from an index alone.
            for state in sorted(states or DeliveryState):
                query = (
                    sa.select(webhook_deliveries)
                    .where(webhook_deliveries.c.webhook_id == webhook_id, webhook_deliveries.c.state == state.value)
                    .order_by(webhook_deliveries.c.message_id.desc())
                    .limit(limit)
                )
                if since is not None:
                    query = query.where(webhook_deliveries.c.message_id >= first_at(since))
                if before:
                    query = query.where(webhook_deliveries.c.message_id < before)
                found += db.execute(query).mappings()
            found = sorted(found, key=lambda row: str(row["message_id"]), reverse=True)[:limit]
            about = sa.select(*MESSAGE).where(webhook_messages.c.message_id.in_([row["message_id"] for row in found]))
            messages = {row["message_id"]: row for row in db.execute(about).mappings()}
            return [delivery_of(row, messages[row["message_id"]]) for row in found]

        return await self._database.read_in_turn(work, owner=owner)

    async def again(self, webhook_id: str, message_id: str) -> None:
        """Makes a delivery due now, with all its attempts. Raises DeliveryNotFound."""

        def work(db: sa.Connection) -> None:
            of = webhook_deliveries.c.message_id == message_id, webhook_deliveries.c.webhook_id == webhook_id
            if db.execute(webhook_deliveries.update().where(*of).values(self._anew())).rowcount != 1:
                raise DeliveryNotFound(webhook_id, message_id)

        await self._database.write(work)

    async def all_again(self, webhook_id: str, since: datetime) -> int:
        """Makes all deliveries that were given up due now, of events since a time; returns how many."""
        of = webhook_deliveries.c.webhook_id == webhook_id, webhook_deliveries.c.state == DeliveryState.GIVEN_UP.value
        some = sa.select(webhook_deliveries.c.message_id).where(*of, webhook_deliveries.c.message_id >= first_at(since))
        batch = some.order_by(webhook_deliveries.c.message_id).limit(ROWS_AT_ONCE)

        def work(db: sa.Connection) -> int:
            found = list(db.execute(batch).scalars())
            chosen = webhook_deliveries.c.message_id.in_(found)
            return db.execute(webhook_deliveries.update().where(*of, chosen).values(self._anew())).rowcount

        total = 0
        while number := await self._database.write(work):
            total += number
        return total

    def _anew(self) -> dict[str, object]:
        # Whoever is just sending it does not record that any more.
        return {
            "state": DeliveryState.PENDING.value,
            "attempts": 0,
            "next_at": to_micros(self._clock()),
            "claim": "",
        }

    async def give_up(self) -> int:
        """Gives up what is pending for webhooks that are not active; returns how many."""
        off = sa.select(webhooks.c.webhook_id).where(webhooks.c.state != WebhookState.ACTIVE.value)
        given_up = {"state": DeliveryState.GIVEN_UP.value, "claim": ""}
        change = webhook_deliveries.update().values(given_up)
        which = sa.and_(PENDING, webhook_deliveries.c.webhook_id.in_(off))
        return await self._by_batches(which, change.where)

    async def remove_of(self, webhook_id: str) -> None:
        """Removes the deliveries of a webhook that is gone. One that just comes is never sent, and removed when old."""
        await self._by_batches(webhook_deliveries.c.webhook_id == webhook_id, webhook_deliveries.delete().where)

    async def remove_old(self) -> int:
        """Removes what is older than 7 days, but for what is pending, which keeps its message too; returns how much."""
        before = first_at(self._clock() - KEPT)
        gone = ~sa.exists().where(webhooks.c.webhook_id == webhook_deliveries.c.webhook_id)
        old = sa.and_(webhook_deliveries.c.message_id < before, sa.or_(~PENDING, gone))
        number = await self._by_batches(old, webhook_deliveries.delete().where)
        used = sa.exists().where(webhook_deliveries.c.message_id == webhook_messages.c.message_id)
        some = sa.select(webhook_messages.c.message_id).where(webhook_messages.c.message_id < before, ~used)
        batch = some.limit(ROWS_AT_ONCE).with_for_update(skip_locked=True, of=webhook_messages)

        def work(db: sa.Connection) -> int:
            found = list(db.execute(batch).scalars())
            if found:
                db.execute(webhook_messages.delete().where(webhook_messages.c.message_id.in_(found)))
            return len(found)

        while removed := await self._database.write(work):
            number += removed
        return number

    async def _by_batches(
        self, which: sa.ColumnElement[bool], change: "Callable[[sa.ColumnElement[bool]], sa.Update | sa.Delete]"
    ) -> int:
        """Changes the deliveries that fit, a thousand in a transaction; returns how many."""
        key = sa.tuple_(webhook_deliveries.c.message_id, webhook_deliveries.c.webhook_id)
        some = sa.select(webhook_deliveries.c.message_id, webhook_deliveries.c.webhook_id).where(which)
        # Other servers do the same: each takes what no other has locked.
        batch = some.limit(ROWS_AT_ONCE).with_for_update(skip_locked=True, of=webhook_deliveries)

        def work(db: sa.Connection) -> int:
            found = [tuple(row) for row in db.execute(batch)]
            return db.execute(change(sa.and_(which, key.in_(found)))).rowcount if found else 0

        total = 0
        while number := await self._database.write(work):
            total += number
        return total
