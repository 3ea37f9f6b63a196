"""How soon receivers are told of a change at 100 events a second, and how little others that hang add to that.

The time of a delivery runs from the time that its event carries (when the change was written, within its transaction)
to the arrival of the request's body at the receiver, by the one clock of this machine, which also makes the events.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles

import aiohttp
import sqlalchemy as sa
from aiohttp import web

from evergreen_server.jobs.db.webhook_schema import webhooks
from evergreen_server.runtime.ids import id_at
from evergreen_server.webhooks.dispatcher import LOOK_SECONDS
from evergreen_server.webhooks.model import Webhook, WebhookFilter, WebhookState
from evergreen_server.webhooks.rows import begin, to_row
from tests.benchmarks.machine import table
from tests.postgres import any_postgres
from tests.webhooks.office import ALL, KEYS, Got, Office, office, receiving
from tests.webhooks.worker import Ahead

HERTZ = 100
PROJECTS = 20
HOOKS = 1000
HANGING = 20
AIM_MS = 250.0


class Ages:
    """How old each event was when its request came, in milliseconds."""

    def __init__(self) -> None:
        self.found: list[float] = []

    async def answer(self, got: Got) -> web.StreamResponse:
        now = time.time()
        told = json.loads(got.body)["timestamp"].replace("Z", "+00:00")
        self.found.append((now - datetime.fromisoformat(told).astimezone(UTC).timestamp()) * 1000)
        return web.Response(status=204)


async def paced(of: Office, hooks: int, seconds: float) -> int:
    """Makes events at an even pace, each for one webhook, and gives how many."""
    times = round(seconds * HERTZ)
    begun = time.monotonic()
    async with asyncio.TaskGroup() as making:
        for number in range(times):
            await asyncio.sleep(max(0.0, begun + number / HERTZ - time.monotonic()))
            hook = number % hooks
            making.create_task(of.accept(f"film-{hook % PROJECTS}", hook=str(hook)))
    return times


async def measured(url: str, hooks: int, hanging: int, seconds: float) -> list[float]:
    """Gives the ages of what came to the receiver that answers."""
    ages, never = Ages(), asyncio.Event()

    async def hang(_got: Got) -> web.StreamResponse:
        await never.wait()
        return web.Response()

    usual = office(url, clock=Ahead(0.0), look_seconds=LOOK_SECONDS)
    async with usual as of, receiving(ages.answer) as well, receiving(hang) as ill:
        # Spread over the projects.
        ills = {number * (hooks // hanging) + number % PROJECTS for number in range(hanging)}
        urls = [ill.url if number in ills else well.url for number in range(hooks)]
        await of.database.write(lambda db: set_up(db, urls, of.clock()))
        # So that each has shown how quick it is, as those of a service that runs have.
        for pause in (HOOKS / HERTZ, seconds):
            ages.found.clear()
            made = await paced(of, hooks, pause)
            wanted = made - sum(number % hooks in ills for number in range(made))
            async with asyncio.timeout(180):
                while len(ages.found) < wanted:
                    await of.counted.next()
        never.set()
    return ages.found


def set_up(db: sa.Connection, urls: Sequence[str], now: datetime) -> None:
    """Writes a webhook for each URL, which hears of one label, the number of its place."""
    for number, url in enumerate(urls):
        hook = Webhook(
            webhook_id=id_at(now),
            url=url,
            filter=WebhookFilter(projects=(f"film-{number % PROJECTS}",), types=ALL, labels={"hook": str(number)}),
            description="",
            state=WebhookState.ACTIVE,
            generation=1,
            fingerprint=KEYS.fingerprint,
            created_at=now,
            updated_at=now,
        )
        db.execute(webhooks.insert(), to_row(hook))
        begin(db, hook.webhook_id, hook.filter.projects)


async def posts(seconds: float) -> list[float]:
    """The reference: the same requests by aiohttp alone, each on a connection of its own."""
    ages: list[float] = []

    async def answer(got: Got) -> web.StreamResponse:
        ages.append((time.time() - float(got.headers["at"])) * 1000)
        return web.Response(status=204)

    async with (
        receiving(answer) as well,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as ours,
    ):
        for _ in range(round(seconds * HERTZ)):
            async with ours.post(well.url, data=b"x" * 700, headers={"at": f"{time.time():.6f}"}):
                await asyncio.sleep(1 / HERTZ)
    return ages


async def measure(seconds: float) -> None:
    rows: list[list[str]] = []
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = stack.enter_context(any_postgres(synced=True))
        found = {"aiohttp alone, without a database": await posts(seconds)}
        for name, make in (
            ("SQLite", lambda number: f"sqlite:///{folder / f'{number}.sqlite'}"),
            ("PostgreSQL", lambda _number: postgres.create()),
        ):
            found[f"{name}: {PROJECTS} webhooks"] = await measured(make(1), PROJECTS, 0, seconds)
            alone = await measured(make(2), HOOKS, 0, seconds)
            beside = await measured(make(3), HOOKS, HANGING, seconds)
            found[f"{name}: {HOOKS:,} webhooks"] = alone
            found[f"{name}: {HOOKS:,}, of which {HANGING} hang"] = beside
    for name, ages in found.items():
        ranks = quantiles(ages, n=100)
        aim = "" if "alone" in name else "met" if ranks[49] <= AIM_MS else "missed"
        rows.append([name, f"{len(ages):,}", f"{ranks[49]:.0f}", f"{ranks[98]:.0f}", aim])
    table(
        f"webhooks: from a change to the request that tells of it, in ms, at {HERTZ} events a second",
        ["", "requests", "p50", "p99", f"p50 <= {AIM_MS:.0f}"],
        rows,
        "changes are gathered for 50 ms; what makes them, sends them and receives them shares a core here",
    )


def run(*, quick: bool) -> None:
    asyncio.run(measure(4.0 if quick else 20.0))
