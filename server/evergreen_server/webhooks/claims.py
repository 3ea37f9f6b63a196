"""Claims of deliveries: taken before they are sent, and what came of each, recorded with the state of its webhook."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from evergreen_server.jobs.db.mapping import from_micros, to_micros
from evergreen_server.jobs.db.webhook_schema import PENDING, webhook_deliveries, webhook_messages, webhooks
from evergreen_server.webhooks.model import Attempt, DeliveryState, Webhook, WebhookState
from evergreen_server.webhooks.rows import webhook_of

__all__ = ["ATTEMPTS", "QUICK_MILLISECONDS", "WAITS", "Claim", "claim", "record"]

MINUTE, HOUR = 60.0, 3600.0
WAITS: Final = (5.0, 5 * MINUTE, 30 * MINUTE, *(hours * HOUR for hours in (2, 5, 10, 14, 20, 24)))
"""Before each further attempt, from the end of the one before; each a fifth more or less."""
ATTEMPTS: Final = 1 + len(WAITS)
CLAIM: Final = timedelta(seconds=60)
QUICK_MILLISECONDS: Final = 2000.0
HOPELESS: Final = timedelta(days=5)
"""After nothing but failures for so long, a webhook is switched off."""
GONE: Final = 410


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A delivery that this process is to send now."""

    token: str
    webhook: Webhook
    message_id: str
    body: bytes
    attempts: int
    created_at: datetime
    first: bool
    """Whether it was never claimed before, nor asked for again."""


def claim(
    db: sa.Connection, *, wanted: Mapping[str, int], token: str, now: datetime
) -> tuple[list[Claim], frozenset[str]]:
    """Does within a transaction what `Deliveries.claim` does."""
    query = sa.select(webhooks).where(
        webhooks.c.webhook_id.in_(sorted(wanted)), webhooks.c.state == WebhookState.ACTIVE.value
    )
    claims: list[Claim] = []
    more: set[str] = set()
    for row in db.execute(query).mappings().all():
        webhook = webhook_of(row)
        due = (
            sa.select(
                webhook_deliveries.c.message_id,
                webhook_deliveries.c.attempts,
                webhook_deliveries.c.next_at,
                webhook_messages.c.project_id,
                webhook_messages.c.body,
                webhook_messages.c.created_at,
            )
            .join(webhook_messages, webhook_messages.c.message_id == webhook_deliveries.c.message_id)
            .where(
                webhook_deliveries.c.webhook_id == webhook.webhook_id,
                PENDING,
                webhook_deliveries.c.next_at <= to_micros(now),
            )
            .order_by(webhook_deliveries.c.next_at, webhook_deliveries.c.message_id)
            .limit(wanted[webhook.webhook_id] + 1)
            .with_for_update(skip_locked=True, of=webhook_deliveries)
        )
        found = db.execute(due).all()
        if len(found) > wanted[webhook.webhook_id]:
            more.add(webhook.webhook_id)
            found = found[:-1]
        change = webhook_deliveries.update().where(webhook_deliveries.c.webhook_id == webhook.webhook_id)
        if not webhook.filter.all_projects:
            strange = [each.message_id for each in found if each.project_id not in webhook.filter.projects]
            if strange:
                of = webhook_deliveries.c.message_id.in_(strange)
                db.execute(change.where(of).values(state=DeliveryState.GIVEN_UP.value, claim=""))
                found = [each for each in found if each.message_id not in strange]
        if found:
            of = webhook_deliveries.c.message_id.in_([each.message_id for each in found])
            db.execute(change.where(of).values(next_at=to_micros(now + CLAIM), claim=token))
        claims += (
            Claim(
                token=token,
                webhook=webhook,
                message_id=each.message_id,
                body=each.body,
                attempts=each.attempts,
                created_at=from_micros(each.created_at),
                # It is due from its event on, and whatever is done with it later moves that.
                first=each.next_at == each.created_at,
            )
            for each in found
        )
    return claims, frozenset(more)


def record(db: sa.Connection, *, claim: Claim, attempt: Attempt, now: datetime, next_at: datetime) -> str:
    """Does within a transaction what `Deliveries.record` does; an attempt that is to follow is due at `next_at`."""
    # The webhook first, as with every change of it.
    reason = _record_webhook(db, claim, attempt, now)
    attempts = claim.attempts + 1
    values: dict[str, object] = {
        "attempts": attempts,
        "last_attempt_at": to_micros(now),
        "last_status": attempt.status,
        "last_error": attempt.error,
        "last_milliseconds": attempt.milliseconds,
        "last_answer": attempt.answer,
        "claim": "",
    }
    if attempt.succeeded:
        values["state"] = DeliveryState.DELIVERED.value
    elif attempts >= ATTEMPTS or reason:
        values["state"] = DeliveryState.GIVEN_UP.value
    else:
        values["next_at"] = to_micros(next_at)
    db.execute(
        webhook_deliveries.update()
        .where(
            webhook_deliveries.c.message_id == claim.message_id,
            webhook_deliveries.c.webhook_id == claim.webhook.webhook_id,
            webhook_deliveries.c.claim == claim.token,
        )
        .values(values)
    )
    return reason


def _record_webhook(db: sa.Connection, claim: Claim, attempt: Attempt, now: datetime) -> str:
    of = webhooks.c.webhook_id == claim.webhook.webhook_id, webhooks.c.url == claim.webhook.url
    since = None if attempt.succeeded else sa.func.coalesce(webhooks.c.failing_since, to_micros(now))
    db.execute(
        webhooks.update()
        .where(*of)
        .values(
            quick=attempt.succeeded and attempt.milliseconds <= QUICK_MILLISECONDS,
            failing_since=since,
            last_status=attempt.status,
            last_error=attempt.error,
            last_attempt_at=to_micros(now),
        )
    )
    if attempt.succeeded:
        return ""
    gone = attempt.status == GONE
    reason = "the receiver answered 410: it wants no more events" if gone else "all attempts failed for five days"
    failing = webhooks.c.failing_since <= to_micros(now - HOPELESS)
    hopeless: sa.ColumnElement[bool] = sa.true() if gone else failing
    off = {"state": WebhookState.SWITCHED_OFF.value, "switched_off_reason": reason, "updated_at": to_micros(now)}
    active = webhooks.c.state == WebhookState.ACTIVE.value
    switched = db.execute(webhooks.update().where(*of, active, hopeless).values(off)).rowcount
    return reason if switched else ""
