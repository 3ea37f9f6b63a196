"""Counts webhooks by state, and how long the oldest delivery has been pending, for the metrics."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import sqlalchemy as sa

from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.mapping import to_micros
from evergreen_server.jobs.db.webhook_schema import webhook_deliveries, webhook_messages, webhooks
from evergreen_server.webhooks.model import DeliveryState, WebhookState

__all__ = ["WebhookCensus", "take_webhook_census"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookCensus:
    """The rows of all replicas, counted in one snapshot."""

    by_state: Mapping[WebhookState, int]
    failing: int
    """How many of the active ones have failed since their last success."""
    pending_seconds: float
    """The age of the oldest event that is still to be delivered to an active webhook; 0 if there is none."""


async def take_webhook_census(database: Database, clock: Callable[[], datetime]) -> WebhookCensus:
    """Returns the numbers of webhooks by state, and the age of the oldest event that is pending."""
    return await database.read(partial(_read, now=to_micros(clock())))


def _read(db: sa.Connection, *, now: int) -> WebhookCensus:
    states = db.execute(sa.select(webhooks.c.state, sa.func.count()).group_by(webhooks.c.state))
    found = {WebhookState(state): int(number) for state, number in states}
    active = webhooks.c.state == WebhookState.ACTIVE.value
    failing = db.execute(sa.select(sa.func.count()).where(active, webhooks.c.failing_since.is_not(None))).scalar_one()
    # One look into an index for each webhook, however much is pending.
    oldest = (
        sa.select(sa.func.min(webhook_deliveries.c.message_id))
        .where(
            webhook_deliveries.c.webhook_id == webhooks.c.webhook_id,
            webhook_deliveries.c.state == DeliveryState.PENDING.value,
        )
        .scalar_subquery()
    )
    first = sa.select(sa.func.min(sa.select(oldest.label("first")).where(active).subquery().c.first)).scalar_subquery()
    at = db.execute(sa.select(webhook_messages.c.created_at).where(webhook_messages.c.message_id == first)).scalar()
    return WebhookCensus(
        by_state={state: found.get(state, 0) for state in WebhookState},
        failing=int(failing),
        pending_seconds=0.0 if at is None else max(0.0, (now - at) / 1_000_000),
    )
