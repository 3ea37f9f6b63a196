"""The control API: the log of calls, the clock, the account, the settings."""

import asyncio

import aiohttp
import pytest

from evergreen_server.providers.runway.sandbox import Sandbox, run
from tests.providers.runway.sandbox.driver import Caller, opened


async def test_the_log_tells_every_call_in_order_with_its_task(runway: Caller) -> None:
    task_id = await runway.create("a tag to find")
    await runway.status(task_id)
    await runway.call("DELETE", f"/v1/tasks/{task_id}")
    await runway.call("GET", f"/v1/tasks/{task_id}")

    calls = (await runway.control("GET", "calls"))["calls"]

    assert [call["seq"] for call in calls] == [1, 2, 3, 4]
    assert [(call["method"], call["operation"], call["status"]) for call in calls] == [
        ("POST", "image_to_video", 200),
        ("GET", "get_task", 200),
        ("DELETE", "delete_task", 204),
        ("GET", "get_task", 404),
    ]
    assert {call["taskId"] for call in calls} == {task_id}
    assert {call["promptText"] for call in calls} == {"a tag to find"}
    assert [call["seq"] for call in (await runway.control("GET", "calls?after=2"))["calls"]] == [3, 4]
    narrowed = await runway.control("GET", "calls?operation=get_task&limit=1")
    assert ([call["seq"] for call in narrowed["calls"]], narrowed["latest"]) == ([2], 4)


async def test_a_reader_of_the_log_waits_for_the_call_it_wants(runway: Caller) -> None:
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(runway.control("GET", "calls?after=0&wait=30&operation=delete_task"))
        task_id = await runway.create()
        await runway.call("DELETE", f"/v1/tasks/{task_id}")

    assert [call["taskId"] for call in waiting.result()["calls"]] == [task_id]
    assert (await runway.control("GET", "calls?after=2&wait=0.05"))["calls"] == []


@pytest.mark.parametrize(
    ("method", "path", "sent", "named"),
    [
        ("GET", "calls?since=3", None, "unknown parameter since"),
        ("GET", "calls?after=-1", None, "after must be a number"),
        ("PATCH", "account", {"credits": 5}, "credits is unknown"),
        ("PATCH", "account", {"models": {"gen4.5": {"max": 1}}}, "models.gen4.5.max is unknown"),
        ("PATCH", "settings", {"speed": 2, "progress": "jumpy"}, "unknown setting speed"),
        ("PATCH", "settings", {"progress": "jumpy"}, "progress must be one of linear"),
        ("PATCH", "settings", {"render_scale": "small"}, "render_scale must be a float"),
        ("POST", "clock", {"advance": -1}, "time cannot be moved back"),
        ("POST", "clock", {"rewind": 1}, "advance (seconds), speed"),
    ],
)
async def test_what_the_control_api_does_not_know_is_named(
    runway: Caller, method: str, path: str, sent: object, named: str
) -> None:
    reply = await runway.call(method, f"/sandbox/{path}", json=sent, headers={})

    assert reply.status == 400
    assert named in reply.json["error"]


async def test_time_follows_the_speed_and_can_be_stopped_and_stepped() -> None:
    now = [1_000_000.0]
    async with opened(speed=10.0, clock=lambda: now[0]) as runway:
        task_id = await runway.create()
        now[0] += 2
        running = await runway.task(task_id)
        await runway.control("POST", "clock", {"speed": 0})
        now[0] += 1000
        stopped = await runway.task(task_id)
        told = await runway.control("POST", "clock", {"advance": 11})

        assert (running["status"], running["progress"]) == ("RUNNING", 0.5)
        assert stopped == running
        assert told == {"now": "1970-01-12T13:47:11.000Z", "seconds": 1_000_031.0, "speed": 0}
        assert await runway.status(task_id) == "SUCCEEDED"


async def test_a_tier_brings_its_published_limits(runway: Caller) -> None:
    await runway.control("PATCH", "account", {"tier": 1, "creditBalance": 12.5})

    account = (await runway.call("GET", "/v1/organization")).json

    assert account["creditBalance"] == 12
    assert account["tier"]["maxMonthlyCreditSpend"] == 10_000
    assert account["tier"]["models"]["veo3.1"] == {"maxConcurrentGenerations": 1, "maxDailyGenerations": 50}


async def test_run_serves_until_it_is_cancelled() -> None:
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        serving = group.create_task(run(Sandbox(), ready=ready.set_result))
        url = await ready
        async with aiohttp.ClientSession() as session:
            async with session.get(url + "/sandbox/clock") as answer:
                status = answer.status
            serving.cancel()

    assert status == 200
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(url)
