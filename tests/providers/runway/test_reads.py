"""Reads over real sockets: what is repeated, how long is waited, and what each answer means."""

import pytest

from evergreen_server.ports.provider import (
    Account,
    ModelLimits,
    ProviderUnavailable,
    Task,
    TaskGone,
    TaskState,
    Unauthorized,
)
from evergreen_server.ports.specs import Json
from evergreen_server.providers.runway.http.client import Timeouts
from evergreen_server.providers.runway.http.retry import RetryPolicy
from tests.providers.runway.scripted import KEY, TASK_ID, Act, Naps, Partial, answer, client_for, scripted

RUNNING: Json = {"id": TASK_ID, "createdAt": "2026-08-26T06:30:33.796Z", "status": "RUNNING", "progress": 0.45}
BALANCE: Json = {"creditBalance": 5}


async def test_a_task_is_asked_for_with_the_key_and_read() -> None:
    async with scripted(answer(200, RUNNING)) as script, client_for(script.url) as client:
        task = await client.task(TASK_ID)

    assert task == Task(task_id=TASK_ID, state=TaskState.RUNNING, status="RUNNING", progress=0.45)
    assert script.requests[0].target == f"/v1/tasks/{TASK_ID}"
    assert script.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert script.requests[0].headers["x-runway-version"] == "2024-11-06"


@pytest.mark.parametrize(
    "bad",
    [
        answer(500),
        answer(502, b"<html>"),
        answer(503),
        answer(504),
        answer(429, {"error": "slow"}),
        answer(408),
        answer(200, b"<html>"),
        answer(200, {"id": TASK_ID}),
        answer(200, {"creditBalance": "5"}),
        answer(200, b"[" * 100_000),
        b"garbage\r\n\r\nConnection: close",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{",
        Act.CLOSE,
        Act.HANG,
        Partial(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
    ],
)
async def test_a_read_that_fails_for_now_is_repeated(bad: bytes | Act | Partial) -> None:
    naps = Naps()
    async with (
        scripted(bad, answer(200, BALANCE)) as script,
        client_for(script.url, naps=naps, timeouts=Timeouts(read=0.3)) as client,
    ):
        account = await client.account()

    assert account.balance_millicredits == 5_000
    assert naps.seconds == [0.5]
    assert len(script.requests) == 2


@pytest.mark.parametrize(("random", "waits"), [(0.0, [0.5, 1.0, 2.0, 4.0]), (1.0, [0.75, 1.5, 3.0, 6.0])])
async def test_waits_double_and_have_up_to_half_as_much_at_random(random: float, waits: list[float]) -> None:
    naps = Naps()
    async with (
        scripted(*[answer(503)] * 9) as script,
        client_for(script.url, naps=naps, policy=RetryPolicy(tries=5), random=random) as client,
    ):
        with pytest.raises(ProviderUnavailable, match="HTTP 503"):
            await client.account()

    assert naps.seconds == waits
    assert len(script.requests) == 5


@pytest.mark.parametrize(("header", "wait"), [("7", 7.0), ("Sun, 22 Nov 2026 12:00:30 GMT", 30.0), ("60", 60.0)])
async def test_the_servers_own_wait_is_obeyed(header: str, wait: float) -> None:
    naps = Naps()
    async with (
        scripted(answer(429, b"", {"Retry-After": header}), answer(200, BALANCE)) as script,
        client_for(script.url, naps=naps) as client,
    ):
        await client.account()

    assert naps.seconds == [wait]


async def test_a_wait_longer_than_a_minute_is_left_to_the_caller() -> None:
    naps = Naps()
    async with (
        scripted(answer(503, b"", {"Retry-After": "3600"})) as script,
        client_for(script.url, naps=naps) as client,
    ):
        with pytest.raises(ProviderUnavailable):
            await client.account()

    assert (naps.seconds, len(script.requests)) == ([], 1)


async def test_the_total_time_bounds_the_tries() -> None:
    naps = Naps()
    policy = RetryPolicy(tries=50, total_seconds=3.0)
    async with scripted(*[answer(503)] * 50) as script, client_for(script.url, naps=naps, policy=policy) as client:
        with pytest.raises(ProviderUnavailable):
            await client.account()

    assert naps.seconds == [0.5, 1.0, 2.0]


@pytest.mark.parametrize(
    "bad", [answer(503), answer(429, b"", {"Retry-After": "7"}), answer(200, b"<html>"), Act.CLOSE]
)
async def test_a_poll_is_one_request_whatever_comes_of_it(bad: bytes | Act) -> None:
    """The poller slows down by itself; retries within each poll would multiply the load on a failing provider."""
    naps = Naps()
    async with scripted(bad, answer(200, RUNNING)) as script, client_for(script.url, naps=naps) as client:
        with pytest.raises(ProviderUnavailable) as raised:
            await client.task(TASK_ID)

    assert (len(script.requests), naps.seconds) == (1, [])
    assert raised.value.retry_after_seconds == (7.0 if isinstance(bad, bytes) and b"Retry-After" in bad else None)


@pytest.mark.parametrize(
    ("status", "error"),
    [(404, TaskGone), (401, Unauthorized), (403, Unauthorized), (400, ProviderUnavailable), (302, ProviderUnavailable)],
)
async def test_an_answer_that_will_not_change_is_not_asked_for_again(status: int, error: type[Exception]) -> None:
    body: Json = {"error": "Could not find Task"}
    async with scripted(answer(status, body, {"Location": "/x"})) as script, client_for(script.url) as client:
        with pytest.raises(error):
            await client.task(TASK_ID)

    assert len(script.requests) == 1


@pytest.mark.parametrize("task_id", ["", "../organization", "a/b", "a b", "x" * 65, "a?b"])
async def test_what_cannot_be_a_task_id_is_never_put_into_a_path(task_id: str) -> None:
    async with scripted() as script, client_for(script.url) as client:
        with pytest.raises(TaskGone):
            await client.task(task_id)
        assert await client.delete(task_id) is False

    assert script.connections == 0


async def test_a_malformed_id_that_the_provider_calls_bad_is_an_unknown_task() -> None:
    async with scripted(answer(400, {"error": "bad id"})) as script, client_for(script.url) as client:
        with pytest.raises(TaskGone):
            await client.task("task_123")


async def test_an_unreachable_provider_is_unavailable() -> None:
    async with scripted() as script:
        url = script.url
    naps = Naps()
    async with client_for(url, naps=naps) as client:
        with pytest.raises(ProviderUnavailable, match="no answer"):
            await client.account()

    assert len(naps.seconds) == 3


async def test_delete_tells_whether_there_was_something_to_delete() -> None:
    async with scripted(answer(204), answer(404, {"error": "gone"})) as script, client_for(script.url) as client:
        assert await client.delete(TASK_ID) is True
        assert await client.delete(TASK_ID) is False

    assert [request.method for request in script.requests] == ["DELETE", "DELETE"]


async def test_a_404_after_a_delete_whose_answer_was_lost_counts_as_deleted() -> None:
    for lost in (answer(502), Act.CLOSE):
        async with scripted(lost, answer(404, {"error": "gone"})) as script, client_for(script.url) as client:
            assert await client.delete(TASK_ID) is True


async def test_the_account_is_read_with_its_limits() -> None:
    body: Json = {
        "tier": {
            "maxMonthlyCreditSpend": 10000,
            "models": {"gen4.5": {"maxConcurrentGenerations": 1, "maxDailyGenerations": None}},
        },
        "creditBalance": 5000.5,
        "usage": {"models": {"gen4.5": {"dailyGenerations": 12}, "new": {"dailyGenerations": 1}}},
    }
    async with scripted(answer(200, body)) as script, client_for(script.url) as client:
        account = await client.account()

    assert account == Account(
        balance_millicredits=5_000_500,
        max_monthly_millicredits=10_000_000,
        limits={
            "gen4.5": ModelLimits(max_concurrent=1, max_daily=None, used_today=12),
            "new": ModelLimits(max_concurrent=None, max_daily=None, used_today=1),
        },
        api_version="2024-11-06",
    )


async def test_the_key_is_kept_out_of_what_is_raised() -> None:
    body: Json = {"error": f"Wrong {KEY}", "details": KEY}
    async with scripted(answer(401, body)) as script, client_for(script.url) as client:
        with pytest.raises(Unauthorized, match="Wrong") as raised:
            await client.account()

    assert KEY not in str(raised.value)
