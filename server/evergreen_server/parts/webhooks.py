"""What webhooks are made of: built for `app`, which runs it."""

import logging
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass

import sqlalchemy as sa

from evergreen_server.media.guard import ThreadResolver
from evergreen_server.parts.ground import Ground
from evergreen_server.rpc.services.webhook import MOST_TESTS, WebhookService
from evergreen_server.rpc.streams import Streams
from evergreen_server.runtime.background import Work
from evergreen_server.runtime.reload import FileUnusable
from evergreen_server.webhooks.deliveries import Deliveries
from evergreen_server.webhooks.dispatcher import Dispatcher, WebhookMetrics
from evergreen_server.webhooks.door import Door
from evergreen_server.webhooks.expansion import Reader, floor
from evergreen_server.webhooks.keys import Keys, read_keys
from evergreen_server.webhooks.outbox import Outbox
from evergreen_server.webhooks.rota import AT_ONCE
from evergreen_server.webhooks.sender import Sender
from evergreen_server.webhooks.store import WebhookStore
from evergreen_server.webhooks.urls import Receivers

__all__ = ["WebhookParts", "open_webhooks"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookParts:
    """The service, what must run beside it, and up to where retention may go."""

    service: WebhookService
    tasks: Sequence[tuple[str, Work]]
    floor: Callable[[sa.Connection, str], int | None]


async def open_webhooks(
    stack: AsyncExitStack, ground: Ground, *, reader: Reader, metrics: WebhookMetrics
) -> WebhookParts:
    """Raises FileUnusable if the key cannot be used, or is not that of the webhooks that there are."""
    config, database, now = ground.config, ground.database, ground.now
    store = WebhookStore(database=database, clock=now)
    keys = await _keys(ground, store)
    resolver = ground.resolver
    if resolver is None:
        # One for each request, since a hostile name server may hold it for as long as the request may take.
        names = ThreadPoolExecutor(AT_ONCE + MOST_TESTS, thread_name_prefix="webhook-names")
        stack.callback(names.shutdown, wait=False, cancel_futures=True)
        resolver = ThreadResolver(names)
    receivers = Receivers(private_hosts=config.webhook_hosts)
    sender = await stack.enter_async_context(Sender(receivers=receivers, resolver=resolver))
    deliveries = Deliveries(database=database, clock=now, random=random.random)
    tasks: list[tuple[str, Work]] = []
    wake: Callable[..., None] = _nobody
    if keys is not None:
        dispatcher = Dispatcher(deliveries=deliveries, sender=sender, keys=keys, clock=now, metrics=metrics)
        outbox = Outbox(database=database, reader=reader, told=dispatcher.told)
        ground.announcer.subscribe_here(outbox.on_commit)
        wake = dispatcher.told
        tasks += [
            ("webhooks expanded", outbox.run),
            ("webhooks sent", dispatcher.run),
            ("webhooks cleaned up", dispatcher.upkeep),
        ]
    door = Door(store=store, deliveries=deliveries, sender=sender, receivers=receivers, keys=keys, clock=now, wake=wake)
    service = WebhookService(webhooks=door, tests=Streams(MOST_TESTS, of="tests of webhooks"))
    return WebhookParts(service=service, tasks=tasks, floor=floor if config.webhooks else _no_floor)


async def _keys(ground: Ground, store: WebhookStore) -> Keys | None:
    path = ground.config.webhook_key_file
    known = await store.fingerprints()
    if not ground.config.webhooks:
        if known:
            logger.warning(
                "webhooks are off: what happens is not kept for them", extra={"webhooks": sum(known.values())}
            )
        return None
    keys = None if path is None else read_keys(path)
    lost = sum(number for fingerprint, number in known.items() if keys is None or not keys.knows(fingerprint))
    if lost:
        what = "is not set" if path is None else f"({path}) does not hold that key"
        raise FileUnusable(
            f"the secrets of {lost} webhooks were made with a key, and EVERGREEN_WEBHOOK_KEY_FILE {what}; restore it "
            "(as the second line, if the key has changed), or set EVERGREEN_WEBHOOKS=off to start without sending any"
        )
    return keys


def _nobody(_webhook_ids: object) -> None:
    """Wakes nobody: nothing is sent here."""


def _no_floor(_db: sa.Connection, _project_id: str) -> None:
    """Lets retention go on: nothing is kept for webhooks."""
