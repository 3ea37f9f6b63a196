"""A process that makes events and webhooks, expands, sends and records, and kills itself where it was told to."""

import asyncio
import os
import random
import signal
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection

import sqlalchemy as sa

from evergreen_server.jobs.db.schema import projects
from evergreen_server.jobs.db.webhook_schema import PENDING, webhook_deliveries
from tests.webhooks.office import Office, office

PROJECTS = ("film", "trailer", "teaser")
STEPS = ("expand", "claim", "send", "record")
POINTS = (*(f"{when} {step}" for step in STEPS for when in ("before", "after")), "commit", "any moment")
LONGEST_RUN = 20.0
"""Seconds after which a worker that its point has not come to ends all the same."""

Heads = dict[str, int]


class Ahead:
    """The time of day, but so much later: so the claims of the dead are over, and retries due."""

    def __init__(self, seconds: float) -> None:
        self.by = timedelta(seconds=seconds)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.by

    @property
    def now(self) -> datetime:
        return self()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def work(url: str, receiver: str, seed: int, ahead: float, point: str, reports: Connection) -> None:
    """One worker: until it dies, or, without a point, until all is delivered."""
    asyncio.run(_work(url, receiver, random.Random(seed), Ahead(ahead), point, reports))


async def _work(url: str, receiver: str, chance: random.Random, clock: Ahead, point: str, reports: Connection) -> None:
    async with office(url, clock=clock) as of:
        if not point:
            await _drain(of, clock)
            return
        _arm(of, point, chance.randint(1, 8), chance.random() * 0.6)
        begun = clock()
        while clock() < begun + timedelta(seconds=LONGEST_RUN):
            if chance.random() < 0.08:
                every = chance.random() < 0.5
                path = f"/{'every' if every else 'one'}/{chance.getrandbits(64):x}"
                reports.send((path, await _heads(of), None))
                with suppress(Exception):
                    await of.hook(receiver + path, *(() if every else PROJECTS[:1]))
                    reports.send((path, None, await _heads(of)))
            await of.accept(chance.choice(PROJECTS))
            await asyncio.sleep(chance.random() * 0.02)
        die()


async def _heads(of: Office) -> Heads:
    query = sa.select(projects.c.project_id, projects.c.revision)
    return {row[0]: row[1] for row in await of.database.read(lambda db: db.execute(query).all())}


async def _drain(of: Office, clock: Ahead) -> None:
    await of.outbox.sweep()
    query = sa.select(sa.func.count()).select_from(webhook_deliveries).where(PENDING)
    while await of.database.read(lambda db: db.execute(query).scalar_one()):
        if not await of.deliveries.due():
            clock.by += timedelta(hours=1)
        await of.counted.next()


def _arm(of: Office, point: str, number: int, seconds: float) -> None:
    """Has the process die when it comes to its point for the so manyeth time."""
    if point == "any moment":
        threading.Timer(seconds, die).start()
        return
    left = number

    def come() -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            die()

    if point == "commit":
        sa.event.listen(of.database.engine, "commit", lambda _connection: come())
        return
    when, step = point.split()
    place, name = {
        "expand": (of.outbox, "expand_once"),
        "claim": (of.deliveries, "claim"),
        "send": (of.dispatcher._sender, "send"),
        "record": (of.deliveries, "record"),
    }[step]
    carried_out: Callable[..., Awaitable[object]] = getattr(place, name)

    async def armed(*given: object, **named: object) -> object:
        if when == "before":
            come()
        found = await carried_out(*given, **named)
        if when == "after":
            come()
        return found

    setattr(place, name, armed)
