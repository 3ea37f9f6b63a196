"""Webhooks without a server around them: a store whose jobs nobody runs, what sends, and scripted receivers."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import sqlalchemy as sa
from aiohttp import web
from aiohttp.abc import AbstractResolver
from aiohttp.resolver import ThreadedResolver

from evergreen_server.gateway.messages import to_json
from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.webhook_schema import webhook_deliveries, webhook_messages
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.store.jobs import JobStore
from evergreen_server.rpc.messages.events import EventWire
from evergreen_server.rpc.messages.webhook_events import WebhookReader
from evergreen_server.runtime.ids import id_at
from evergreen_server.webhooks.deliveries import Deliveries
from evergreen_server.webhooks.dispatcher import Dispatcher
from evergreen_server.webhooks.door import Door
from evergreen_server.webhooks.keys import Keys
from evergreen_server.webhooks.model import Webhook, WebhookFilter
from evergreen_server.webhooks.outbox import Outbox
from evergreen_server.webhooks.sender import Sender
from evergreen_server.webhooks.store import WebhookStore
from evergreen_server.webhooks.urls import Receivers
from tests.jobs.tools import request_at, store_of

START = datetime(2026, 11, 1, tzinfo=UTC)
KEYS = Keys([b"k" * 40])
ALL = ("*",)


class Clock:
    """A clock that stands, but for a microsecond at each look, until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        self.now += timedelta(microseconds=1)
        return self.now

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass
class Got:
    """A request that a receiver got."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def message_id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict:
        return json.loads(self.body)


Answer = Callable[[Got], Awaitable[web.StreamResponse]]


async def well(_got: Got) -> web.StreamResponse:
    return web.Response(status=204)


def status(number: int, **headers: str) -> Answer:
    async def answer(_got: Got) -> web.StreamResponse:
        return web.Response(status=number, headers={name.replace("_", "-"): text for name, text in headers.items()})

    return answer


@dataclass
class Receiver:
    """Answers every request as `answer` does."""

    url: str = ""
    answer: Answer = well
    got: list[Got] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        got = Got(request.path, {name.lower(): text for name, text in request.headers.items()}, await request.read())
        self.got.append(got)
        self.news.set()
        return await self.answer(got)

    async def until(self, number: int) -> list[Got]:
        """Waits until so many requests came."""
        async with asyncio.timeout(60):
            while len(self.got) < number:
                self.news.clear()
                await self.news.wait()
        return self.got


@asynccontextmanager
async def receiving(answer: Answer = well) -> AsyncIterator[Receiver]:
    receiver = Receiver(answer=answer)
    app = web.Application(client_max_size=1 << 20)
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield receiver
    finally:
        await runner.cleanup()


class Counted:
    """What was counted."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.lags: list[float] = []
        self._news = asyncio.Event()

    def webhook_began(self, seconds: float) -> None:
        self.lags.append(seconds)

    def webhook_sent(self, outcome: str) -> None:
        self.sent.append(outcome)
        self._news.set()

    async def next(self) -> None:
        """Waits until something was sent and recorded, or for a moment: others record too."""
        with suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await self._news.wait()
        self._news.clear()


@dataclass
class Office:
    """What tests look at, and do."""

    database: Database
    clock: Clock
    jobs: JobStore
    outbox: Outbox
    store: WebhookStore
    deliveries: Deliveries
    dispatcher: Dispatcher
    door: Door
    counted: Counted

    async def hook(
        self, url: str, *projects: str, types: Sequence[str] = ALL, labels: dict[str, str] | None = None
    ) -> Webhook:
        """Sets up a webhook; for all projects, if none is named."""
        wanted = WebhookFilter(projects=projects, types=tuple(types), labels=labels or {})
        webhook, _, _ = await self.door.create(url=url, wanted=wanted, description="", asked=None)
        return webhook

    async def accept(self, project_id: str = "film", **labels: str) -> Job:
        """Makes an event: a job is created."""
        made = replace(request_at(self.clock.now), project_id=project_id, request_id=uuid4().hex, labels=labels)
        return await self.jobs.accept(made, job_id=id_at(self.clock()), estimated_millicredits=1, inline={})

    async def states(self, webhook: Webhook) -> list[tuple[str, int]]:
        """State and attempts of each of its deliveries, the oldest first."""
        query = (
            sa.select(webhook_deliveries.c.state, webhook_deliveries.c.attempts)
            .join(webhook_messages, webhook_messages.c.message_id == webhook_deliveries.c.message_id)
            .where(webhook_deliveries.c.webhook_id == webhook.webhook_id)
            .order_by(webhook_messages.c.project_id, webhook_messages.c.revision)
        )
        return [tuple(row) for row in await self.database.read(lambda db: db.execute(query).all())]

    async def until(self, webhook: Webhook, *states: tuple[str, int]) -> None:
        """Waits until its deliveries are in these states."""
        found: list[tuple[str, int]] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(45):
                while (found := await self.states(webhook)) != list(states):
                    await self.counted.next()
        assert found == list(states)


@asynccontextmanager
async def office(
    url: str,
    *,
    clock: Clock | None = None,
    keys: Keys = KEYS,
    running: bool = True,
    steps: dict[str, int] | None = None,
    sending: bool = True,
    hosts: Sequence[str] = ("127.0.0.1",),
    resolver: AbstractResolver | None = None,
    send_seconds: float = 15.0,
    look_seconds: float = 0.05,
) -> AsyncIterator[Office]:
    """Opens the database at `url`; with `running`, events are expanded, and with `sending` too, sent."""
    clock = clock or Clock()
    receivers = Receivers(private_hosts=hosts)
    sender = Sender(receivers=receivers, resolver=resolver or ThreadedResolver(), send_seconds=send_seconds)
    async with open_database(url) as database, sender:
        counted = Counted()
        deliveries = Deliveries(database=database, clock=clock, random=lambda: 0.5)
        dispatcher = Dispatcher(
            deliveries=deliveries, sender=sender, keys=keys, clock=clock, metrics=counted, look_seconds=look_seconds
        )
        outbox = Outbox(database=database, reader=WebhookReader(to_json), told=dispatcher.told, **(steps or {}))
        jobs = store_of(
            database, clock=clock, encode_event=EventWire().event, changed=outbox.on_commit if running else _nothing
        )
        store = WebhookStore(database=database, clock=clock)
        door = Door(
            store=store,
            deliveries=deliveries,
            sender=sender,
            receivers=receivers,
            keys=keys,
            clock=clock,
            wake=dispatcher.told,
        )
        work = [outbox.run] if running else []
        work += [dispatcher.run] if running and sending else []
        tasks = [asyncio.create_task(each()) for each in work]
        try:
            yield Office(database, clock, jobs, outbox, store, deliveries, dispatcher, door, counted)
        finally:
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
            assert not [task for task in tasks if not task.cancelled()], [task.exception() for task in tasks]


def _nothing(_changes: object) -> None:
    pass
