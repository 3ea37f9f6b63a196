"""What is sent, how it is signed, when it is sent again, and when no more; on both databases where that matters."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from evergreen_server.webhooks.claims import ATTEMPTS, WAITS
from evergreen_server.webhooks.deliveries import Deliveries
from evergreen_server.webhooks.keys import Keys
from evergreen_server.webhooks.model import Attempt, DeliveryState, Webhook, WebhookFilter, WebhooksOff, WebhookState
from tests.webhooks.office import ALL, KEYS, Got, Receiver, office, receiving, status, well

FAILED = Attempt(succeeded=False, status=500, error="no", milliseconds=1, answer=b"")


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as opened:
        yield opened


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'jobs.sqlite'}"


def verify(got: Got, secret: str) -> None:
    """As receivers do, but for the age: the clock of these tests stands in another time."""
    at = datetime.fromtimestamp(int(got.headers["webhook-timestamp"]), tz=UTC)
    if Verifier(secret).sign(got.message_id, at, got.body.decode()) not in got.headers["webhook-signature"].split():
        raise WebhookVerificationError("no matching signature found")


async def test_an_event_is_sent_once_signed_with_its_job_and_without_its_prompt(
    database_url: str, receiver: Receiver
) -> None:
    async with office(database_url) as of:
        hook = await of.hook(receiver.url + "/in", "film")
        job = await of.accept(who="ann")
        await of.until(hook, ("DELIVERED", 1))

    [got] = receiver.got
    verify(got, KEYS.secret(hook))
    assert got.path == "/in"
    assert got.headers["content-type"] == "application/json"
    assert got.event["type"] == "video.created"
    assert got.event["timestamp"].endswith("Z")
    assert got.event["data"]["revision"] == "1"
    assert got.event["data"]["job"]["jobId"] == job.job_id
    assert got.event["data"]["job"]["state"] == "JOB_STATE_QUEUED"
    assert got.event["data"]["job"]["labels"] == {"who": "ann"}
    assert b"rocket" not in got.body
    assert of.counted.sent == ["DELIVERED"]


async def test_all_webhooks_get_the_same_bytes_under_the_same_id(url: str, receiver: Receiver) -> None:
    async with office(url) as of:
        for _ in range(3):
            await of.hook(receiver.url, "film")
        await of.accept()
        await receiver.until(3)

    assert len({got.message_id for got in receiver.got}) == 1
    assert len({got.body for got in receiver.got}) == 1


async def test_requests_verify_before_during_and_after_a_rotation(url: str, receiver: Receiver) -> None:
    async with office(url) as of:
        hook = await of.hook(receiver.url, "film")
        old = KEYS.secret(hook)
        await of.accept()
        await receiver.until(1)
        rotated, new = await of.door.rotate(hook.webhook_id, lambda _: True, overlap=timedelta(days=1))
        await of.accept()
        await receiver.until(2)
        of.clock.advance(days=1, seconds=1)
        await of.accept()
        await receiver.until(3)
        await of.until(hook, *[("DELIVERED", 1)] * 3)

    before, during, after = receiver.got
    assert rotated.generation == 2
    verify(before, old)
    verify(during, old)
    verify(during, new)
    verify(after, new)
    for got, secret in ((before, new), (after, old)):
        with pytest.raises(WebhookVerificationError):
            verify(got, secret)


async def test_a_failed_delivery_is_sent_again_by_the_schedule_and_given_up_after_the_last(
    database_url: str, receiver: Receiver
) -> None:
    receiver.answer = status(500)
    async with office(database_url) as of:
        hook = await of.hook(receiver.url, "film")
        await of.accept()
        for number, wait in enumerate(WAITS, start=1):
            await of.until(hook, ("PENDING", number))
            of.clock.advance(seconds=wait - 1)
            assert await of.deliveries.due() == [], "not yet"
            of.clock.advance(seconds=1)
        await of.until(hook, ("GIVEN_UP", ATTEMPTS))
        of.clock.advance(days=1)
        assert await of.deliveries.due() == []

        [delivery] = await of.deliveries.page(
            hook.webhook_id, states=[DeliveryState.GIVEN_UP], since=None, before="", limit=9, owner="*"
        )
        shown = await of.store.get(hook.webhook_id)
        assert (delivery.last_status, delivery.last_error) == (500, "the receiver answered with HTTP status 500")
        assert shown.failing_since is not None
        assert shown.last_status == 500

        receiver.answer = well
        assert await of.door.redeliver(hook.webhook_id, lambda _: True, delivery.message_id) == 1
        await of.until(hook, ("DELIVERED", 1))
        assert (await of.store.get(hook.webhook_id)).failing_since is None
        assert len(of.counted.lags) == 1, "of the first request alone, not of one that was asked for weeks later"

    assert len(receiver.got) == ATTEMPTS + 1
    assert len({got.message_id for got in receiver.got}) == 1
    assert len({got.headers["webhook-signature"] for got in receiver.got}) == ATTEMPTS + 1


async def test_the_attempts_are_spread_by_a_fifth(url: str) -> None:
    async with office(url, running=False) as of:
        for number, expected in ((0.0, 0.8), (1.0, 1.2)):
            spread = Deliveries(database=of.database, clock=of.clock, random=lambda number=number: number)
            assert spread._wait(0, FAILED) == pytest.approx(5 * expected)
            assert spread._wait(8, FAILED) == pytest.approx(24 * 3600 * expected)


async def test_after_a_day_without_its_receiver_everything_is_delivered_the_oldest_first(
    url: str, receiver: Receiver
) -> None:
    receiver.answer = status(503)
    async with office(url) as of:
        hook = await of.hook(receiver.url, "film")
        for _ in range(24):
            await of.accept()
            of.clock.advance(hours=1)
        async with asyncio.timeout(60):
            while len(found := await of.states(hook)) < 24 or not all(attempts for _, attempts in found):
                await of.counted.next()
        expected = [f"{number + 1}" for number in range(24)]
        receiver.answer = well
        tried, seen = len(receiver.got), set()
        for _ in range(15):
            of.clock.advance(hours=2)
            await of.deliveries.due()
            async with asyncio.timeout(60):
                while await of.deliveries.due():
                    await of.counted.next()
        await of.until(hook, *[("DELIVERED", attempts) for _, attempts in await of.states(hook)])
        later = [got.event["data"]["revision"] for got in receiver.got[tried:]]
        seen = set(later)

    assert seen >= set(expected[:-1])
    assert len(later) == len(seen), "none twice, once the receiver is back"


async def test_what_is_due_together_is_sent_the_oldest_first(url: str, receiver: Receiver) -> None:
    async with office(url, sending=False) as of:
        await of.hook(receiver.url, "film")
        for _ in range(10):
            await of.accept()
        await of.outbox.sweep()
        [hook] = await of.deliveries.due()
        claims, more = await of.deliveries.claim({hook.webhook_id: 4}, token="t")
        rest, none = await of.deliveries.claim({hook.webhook_id: 6}, token="t")

    assert (more, none) == ({hook.webhook_id}, frozenset())
    assert len(rest) == 6
    assert [claim.attempts for claim in claims] == [0] * 4
    assert sorted(claim.message_id for claim in claims) == [claim.message_id for claim in claims]


@pytest.mark.parametrize("answered", ["429", "503"])
async def test_a_receiver_that_asks_to_be_left_alone_is_for_up_to_a_day(
    url: str, receiver: Receiver, answered: str
) -> None:
    receiver.answer = status(int(answered), Retry_After="31536000")
    async with office(url) as of:
        hook = await of.hook(receiver.url, "film")
        await of.accept()
        await of.until(hook, ("PENDING", 1))
        of.clock.advance(hours=23, minutes=59)
        assert await of.deliveries.due() == []
        of.clock.advance(minutes=2)
        await of.until(hook, ("PENDING", 2))


async def test_a_receiver_that_is_gone_is_switched_off_with_one_line(
    url: str, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answer = status(410)
    async with office(url, sending=False) as of:
        hook = await of.hook(receiver.url + "/secret-path", "film")
        for _ in range(3):
            await of.accept()
        await of.outbox.sweep()
        with caplog.at_level(logging.WARNING):
            sending = asyncio.create_task(of.dispatcher.run())
            await receiver.until(1)
            async with asyncio.timeout(60):
                while (await of.store.get(hook.webhook_id)).state is not WebhookState.SWITCHED_OFF:
                    await of.counted.next()
            await of.deliveries.give_up()
            sending.cancel()
            await asyncio.wait([sending])

        off = await of.store.get(hook.webhook_id)
        assert off.switched_off_reason == "the receiver answered 410: it wants no more events"
        assert {state for state, _ in await of.states(hook)} == {"GIVEN_UP"}
        said = [record for record in caplog.records if record.getMessage() == "webhook switched off"]
        assert [(record.webhook_id, record.host) for record in said] == [(hook.webhook_id, "127.0.0.1")]
        assert "secret-path" not in caplog.text

        on = await of.door.update(
            hook.webhook_id, lambda _: True, url=None, wanted=None, description=None, state=WebhookState.ACTIVE
        )
        assert (on.switched_off_reason, on.failing_since) == ("", None)


async def test_five_days_of_nothing_but_failures_switch_a_webhook_off(url: str, receiver: Receiver) -> None:
    receiver.answer = status(500)
    async with office(url) as of:
        hook = await of.hook(receiver.url, "film")

        async def state() -> Webhook:
            return await of.store.get(hook.webhook_id)

        for day in range(6):
            before = len(receiver.got)
            await of.accept()
            await receiver.until(before + 1)
            async with asyncio.timeout(60):
                while (await state()).last_attempt_at is None or await of.deliveries.due():
                    await of.counted.next()
            if day < 5:
                assert (await state()).state is WebhookState.ACTIVE
            of.clock.advance(days=1)
        async with asyncio.timeout(60):
            while (await state()).state is WebhookState.ACTIVE:
                await of.counted.next()
        assert (await state()).switched_off_reason == "all attempts failed for five days"


async def test_a_success_in_between_begins_the_five_days_anew(url: str, receiver: Receiver) -> None:
    async with office(url) as of:
        hook = await of.hook(receiver.url, "film")
        for answer in (status(500), well, status(500)):
            receiver.answer = answer
            sent = len(of.counted.sent)
            await of.accept()
            async with asyncio.timeout(60):
                while len(of.counted.sent) == sent:
                    await of.counted.next()
            of.clock.advance(days=4)
        assert (await of.store.get(hook.webhook_id)).state is WebhookState.ACTIVE


async def test_a_claim_whose_holder_died_is_due_again_and_only_the_newest_is_recorded(database_url: str) -> None:
    async with office(database_url, sending=False) as of:
        hook = await of.hook("http://127.0.0.1:9/", "film")
        await of.accept()
        await of.outbox.sweep()
        [dead], _ = await of.deliveries.claim({hook.webhook_id: 4}, token="dead")
        assert await of.deliveries.claim({hook.webhook_id: 4}, token="other") == ([], frozenset())
        of.clock.advance(seconds=61)
        [newest], _ = await of.deliveries.claim({hook.webhook_id: 4}, token="newest")
        well_done = Attempt(succeeded=True, status=200, error="", milliseconds=1, answer=b"")

        await of.deliveries.record(dead, FAILED)
        assert await of.states(hook) == [("PENDING", 0)]
        await of.deliveries.record(newest, well_done)
        assert await of.states(hook) == [("DELIVERED", 1)]
        assert (dead.message_id, dead.body) == (newest.message_id, newest.body)


async def test_what_a_newer_key_signs_is_left_to_servers_that_have_it(
    url: str, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    async with office(url, running=False) as of:
        newer = await of.hook(receiver.url, "film")
    async with office(url, clock=of.clock, keys=Keys([b"o" * 40])) as of:
        known = await of.hook(receiver.url, "film")
        for _ in range(2):
            await of.accept()
        await of.until(known, *[("DELIVERED", 1)] * 2)

        claims, _ = await of.deliveries.claim({newer.webhook_id: 4}, token="newer")
        with pytest.raises(WebhooksOff, match="EVERGREEN_WEBHOOK_KEY_FILE"):
            await of.door.test(newer.webhook_id, lambda _: True)
        assert len(claims) == 2, "no claim of the server without the key is to be waited for"
    warned = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [(record.message, record.webhook_id) for record in warned] == [
        ("webhook with another key", newer.webhook_id)
    ]


async def test_what_a_webhook_hears_of_no_more_is_never_sent_even_if_somebody_asks(url: str) -> None:
    async with office(url, sending=False) as of:
        hook = await of.hook("http://127.0.0.1:9/", "film", "secret")
        for project_id in ("film", "secret"):
            await of.accept(project_id)
        await of.outbox.sweep()
        await of.door.update(
            hook.webhook_id,
            lambda _: True,
            url="http://127.0.0.1:10/",
            wanted=WebhookFilter(projects=("film",), types=ALL),
            description=None,
            state=None,
        )

        claims, more = await of.deliveries.claim({hook.webhook_id: 4}, token="some")
        assert ["film" in claim.body.decode() for claim in claims] == [True]
        assert more == frozenset()
        assert await of.states(hook) == [("PENDING", 0), ("GIVEN_UP", 0)]
        assert await of.door.redeliver(hook.webhook_id, lambda _: True, datetime(2026, 1, 1, tzinfo=UTC)) == 1
        assert await of.deliveries.claim({hook.webhook_id: 4}, token="again") == ([], frozenset())
        assert await of.states(hook) == [("PENDING", 0), ("GIVEN_UP", 0)]


async def test_all_that_was_given_up_is_sent_again_from_a_time_on(url: str, receiver: Receiver) -> None:
    async with office(url, sending=False) as of:
        hook = await of.hook(receiver.url, "film")
        await of.accept()
        of.clock.advance(hours=1)
        since = of.clock()
        for _ in range(3):
            await of.accept()
        await of.outbox.sweep()
        await of.door.update(
            hook.webhook_id, lambda _: True, url=None, wanted=None, description=None, state=WebhookState.PAUSED
        )
        await of.door.update(
            hook.webhook_id, lambda _: True, url=None, wanted=None, description=None, state=WebhookState.ACTIVE
        )

        assert await of.door.redeliver(hook.webhook_id, lambda _: True, since) == 3
        assert await of.states(hook) == [("GIVEN_UP", 0), *[("PENDING", 0)] * 3]


async def test_a_test_is_sent_and_what_came_back_is_told(url: str, receiver: Receiver) -> None:
    async def answer(_got: Got) -> web.StreamResponse:
        return web.Response(status=202, text="thanks " * 1000)

    receiver.answer = answer
    async with office(url, running=False) as of:
        hook = await of.hook(receiver.url, "film")
        message_id, attempt = await of.door.test(hook.webhook_id, lambda _: True)

    [got] = receiver.got
    verify(got, KEYS.secret(hook))
    assert got.event["type"] == "evergreen.ping"
    assert got.message_id == message_id
    assert (attempt.succeeded, attempt.status, len(attempt.answer)) == (True, 202, 1024)


async def test_what_is_cut_off_as_a_server_stops_is_sent_again_at_once(database_url: str, receiver: Receiver) -> None:
    never = asyncio.Event()

    async def hang(_got: Got) -> web.StreamResponse:
        await never.wait()
        return web.Response()

    receiver.answer = hang
    async with office(database_url) as of:
        hook = await of.hook(receiver.url, "film")
        await of.accept()
        await receiver.until(1)
    receiver.answer = well
    async with office(database_url, clock=of.clock) as of:
        await of.until(hook, ("DELIVERED", 1))
    never.set()
