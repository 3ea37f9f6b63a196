"""Every event becomes the deliveries that are wanted, once, whatever happens beside it; on both databases."""

import asyncio
import threading
from collections.abc import Collection
from datetime import timedelta

import sqlalchemy as sa

from evergreen_server.gateway.messages import to_json
from evergreen_server.jobs.db.schema import projects
from evergreen_server.jobs.db.webhook_schema import webhook_cursors, webhook_messages, webhook_projects
from evergreen_server.jobs.maintenance.retention import Retention
from evergreen_server.jobs.model.change import Change
from evergreen_server.ports.metrics import NullMetrics
from evergreen_server.rpc.messages.webhook_events import WebhookReader
from evergreen_server.webhooks.expansion import floor
from evergreen_server.webhooks.model import Webhook, WebhookFilter, WebhookState
from evergreen_server.webhooks.outbox import Outbox
from tests.webhooks.office import ALL, Office, office

URL = "http://127.0.0.1:9/"


async def told(of: Office, webhook: Webhook) -> list[tuple[str, int]]:
    """Of which events it has deliveries."""
    found = await of.deliveries.page(webhook.webhook_id, states=(), since=None, before="", limit=1000, owner="*")
    return sorted((delivery.project_id, delivery.revision) for delivery in found)


async def test_each_webhook_hears_of_what_fits_its_filter_from_its_beginning_on(database_url: str) -> None:
    async with office(database_url, running=False) as of:
        await of.accept("film")
        await of.accept("other")
        film = await of.hook(URL, "film", "new")
        every = await of.hook(URL)
        ends = await of.hook(URL, "film", types=())
        labelled = await of.hook(URL, "film", labels={"who": "ann"})
        await of.accept("film", who="ann", take="1")
        await of.accept("film", who="bob")
        await of.accept("new")
        await of.accept("other")

        await of.outbox.sweep()

        assert await told(of, film) == [("film", 2), ("film", 3), ("new", 1)]
        assert await told(of, every) == [("film", 2), ("film", 3), ("new", 1), ("other", 2)]
        assert await told(of, ends) == []
        assert await told(of, labelled) == [("film", 2)]


async def test_a_webhook_that_is_changed_hears_of_new_projects_from_then_on_and_misses_nothing_of_the_others(
    database_url: str,
) -> None:
    async with office(database_url, running=False) as of:
        for project_id in ("a", "b", "c"):
            await of.accept(project_id)
        hook = await of.hook(URL, "a", "b")
        await of.accept("a")

        async def change(*project_ids: str) -> None:
            await of.door.update(
                hook.webhook_id,
                lambda _: True,
                url=None,
                wanted=WebhookFilter(projects=project_ids, types=ALL),
                description=None,
                state=None,
            )

        await change("a", "c")
        await of.accept("b")
        await of.accept("c")
        await change()
        await of.accept("b")
        await change("c")
        await of.accept("a")
        await of.accept("c")
        await of.outbox.sweep()

        # Of `a` it heard no more before it was expanded: what is not wanted by then is not told.
        assert await told(of, hook) == [("c", 2), ("c", 3)]
        rows = await of.database.read(lambda db: db.execute(sa.select(webhook_projects.c.project_id)).scalars().all())
        assert rows == ["c"]


async def test_what_happens_while_a_webhook_is_paused_is_not_told_later(database_url: str) -> None:
    async with office(database_url, running=False) as of:
        hook = await of.hook(URL, "film")
        await of.accept()
        await of.outbox.sweep()

        async def set_state(state: WebhookState) -> None:
            await of.door.update(hook.webhook_id, lambda _: True, url=None, wanted=None, description=None, state=state)

        await set_state(WebhookState.PAUSED)
        await of.accept()
        await set_state(WebhookState.ACTIVE)
        await of.accept()
        await of.outbox.sweep()

        assert await told(of, hook) == [("film", 1), ("film", 3)]
        assert await of.states(hook) == [("GIVEN_UP", 0), ("PENDING", 0)]


async def test_two_that_expand_at_once_tell_each_event_once(database_url: str) -> None:
    async with office(database_url, running=False) as of:
        hook = await of.hook(URL, "film", "trailer")
        for project_id in ("film", "trailer"):
            for _ in range(20):
                await of.accept(project_id)

        await asyncio.gather(*(of.outbox.sweep() for _ in range(3)))

        assert len(await told(of, hook)) == 40
        ids = await of.database.read(lambda db: db.execute(sa.select(webhook_messages.c.message_id)).scalars().all())
        assert len(set(ids)) == 40


async def test_a_long_way_is_gone_in_steps_and_what_nobody_wants_is_passed_over(
    database_url: str,
) -> None:
    steps = {"events_at_once": 7, "deliveries_at_once": 5}
    async with office(database_url, running=False, steps=steps) as of:
        for _ in range(30):
            await of.accept()
        hooks = [await of.hook(URL, "film") for _ in range(2)]
        for _ in range(20):
            await of.accept()

        await of.outbox.sweep()

        for hook in hooks:
            assert await told(of, hook) == [("film", revision) for revision in range(31, 51)]
        cursor = await of.database.read(
            lambda db: db.execute(
                sa.select(webhook_cursors.c.revision).where(webhook_cursors.c.project_id == "film")
            ).scalar()
        )
        assert cursor == 50


async def test_no_writer_waits_while_bodies_are_printed(database_url: str) -> None:
    class Reads(WebhookReader):
        def __init__(self) -> None:
            super().__init__(to_json)
            self.threads: list[str] = []

        def body(self, event: bytes) -> bytes:
            self.threads.append(threading.current_thread().name)
            return super().body(event)

    reads = Reads()
    async with office(database_url, running=False) as of:
        hooks = [await of.hook(URL, "film") for _ in range(2)]
        for _ in range(6):
            await of.accept()
        outbox = Outbox(database=of.database, reader=reads, told=lambda _: None, deliveries_at_once=5)
        await outbox.sweep()

        for hook in hooks:
            assert len(await told(of, hook)) == 6
    assert len(reads.threads) == 6, "each once, also where it takes two steps"
    assert not [name for name in reads.threads if name.startswith("store-write")]


async def test_retention_never_passes_the_cursor_of_a_project_that_somebody_hears_of(database_url: str) -> None:
    class Workflows:
        def forget_ended(self, before: object, most: int) -> int:
            return 0

    async with office(database_url, running=False) as of:
        hook = await of.hook(URL, "film")
        for project_id in ("film", "other"):
            for _ in range(3):
                await of.accept(project_id)
        of.clock.advance(days=30)
        retention = Retention(
            database=of.database,
            workflows=Workflows(),
            clock=of.clock,
            events_kept=timedelta(days=7),
            jobs_kept=timedelta(days=3650),
            metrics=NullMetrics(),
            films=lambda _db, _before: 0,
            takes=lambda _db, _after: (0, None),
            floor=floor,
        )

        async def compacted() -> dict[str, int]:
            query = sa.select(projects.c.project_id, projects.c.compacted_revision)
            return {row[0]: row[1] for row in await of.database.read(lambda db: db.execute(query).all())}

        await retention.run_once()
        assert await compacted() == {"film": 0, "other": 3}
        await of.outbox.sweep()
        await retention.run_once()
        assert await compacted() == {"film": 3, "other": 3}
        assert await told(of, hook) == [("film", 1), ("film", 2), ("film", 3)]


async def test_messages_outlive_their_last_pending_delivery_and_nothing_else_is_kept_for_longer_than_a_week(
    database_url: str,
) -> None:
    async with office(database_url, running=False) as of:
        hooks = [await of.hook(URL, "film") for _ in range(3)]
        await of.accept()
        await of.outbox.sweep()
        await of.door.delete(hooks[1].webhook_id, lambda _: True)
        await of.door.update(
            hooks[2].webhook_id,
            lambda _: True,
            url=None,
            wanted=None,
            description=None,
            state=WebhookState.PAUSED,
        )

        of.clock.advance(days=6)
        assert await of.states(hooks[1]) == []
        assert await of.deliveries.remove_old() == 0
        of.clock.advance(days=2)
        assert await of.deliveries.remove_old() == 1, "of the paused one: given up, and old"
        assert await of.states(hooks[0]) == [("PENDING", 0)]
        await of.store.delete(hooks[0].webhook_id)
        assert await of.deliveries.remove_old() == 2, "a delivery that came as its webhook went, and then its message"


async def test_a_project_that_is_far_behind_keeps_no_other_waiting(database_url: str) -> None:
    async with office(database_url, running=False) as of:
        first, greedy, honest = [(await of.hook(URL, name)).webhook_id for name in ("first", "greedy", "honest")]
        rounds: list[Collection[str]] = []
        came = asyncio.Event()

        def told_of(webhook_ids: Collection[str]) -> None:
            rounds.append(webhook_ids)
            came.set()
            if len(rounds) == 2:
                expands.on_commit([Change(project_id="honest", job_id="")])

        expands = Outbox(database=of.database, reader=WebhookReader(to_json), told=told_of, events_at_once=1)
        await of.accept("first")
        expanding = asyncio.create_task(expands.run())
        async with asyncio.timeout(60):
            await came.wait()
        # What follows is expanded when it is told of: the sweep has been.
        for _ in range(10):
            await of.accept("greedy")
        await of.accept("honest")
        expands.on_commit([Change(project_id="greedy", job_id="")])
        async with asyncio.timeout(60):
            while len(rounds) < 11:
                came.clear()
                await came.wait()
        expanding.cancel()
        await asyncio.wait([expanding])

        assert [set(each) for each in rounds] == [{first}, {greedy}, {greedy, honest}, *[{greedy}] * 8]
