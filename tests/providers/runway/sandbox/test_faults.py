"""Every scripted fault, seen from the caller's side, and how rules aim."""

import asyncio
import json

import aiohttp
import pytest

from tests.providers.runway.sandbox.driver import Caller, body


async def created(runway: Caller) -> list[str]:
    return [task["id"] for task in (await runway.control("GET", "tasks"))["tasks"]]


@pytest.mark.parametrize(("accept", "tasks"), [(False, 0), (True, 1)])
async def test_a_status_comes_before_or_after_the_task_was_made(runway: Caller, accept: bool, tasks: int) -> None:
    await runway.fault("status", status=502, accept=accept, retryAfter=7, headers={"x-should-retry": "false"})

    reply = await runway.call("POST", "/v1/image_to_video", json=body())

    assert reply.status == 502
    assert reply.headers["Content-Type"] == "text/html"
    assert (reply.headers["Retry-After"], reply.headers["x-should-retry"]) == ("7", "false")
    assert b"<html>" in reply.data
    assert len(await created(runway)) == tasks


async def test_a_status_can_carry_any_body(runway: Caller) -> None:
    await runway.fault("status", status=400, body={"error": "Nope"})
    await runway.fault("status", rule={"nth": 2}, status=503, body="busy", contentType="text/plain")

    first = await runway.call("GET", "/v1/organization")
    second = await runway.call("GET", "/v1/organization")

    assert (first.status, first.json) == (400, {"error": "Nope"})
    assert (second.status, second.data, second.headers["Content-Type"]) == (503, b"busy", "text/plain")


@pytest.mark.parametrize(("kind", "tasks"), [("lost_answer", 1), ("drop", 0)])
async def test_a_dropped_connection_leaves_a_task_only_if_it_was_the_answer_that_got_lost(
    runway: Caller, kind: str, tasks: int
) -> None:
    await runway.fault(kind)

    with pytest.raises(aiohttp.ServerDisconnectedError):
        await runway.call("POST", "/v1/image_to_video", json=body())

    assert len(await created(runway)) == tasks


async def test_a_hang_says_nothing_and_is_seen_in_the_log_while_it_lasts(runway: Caller) -> None:
    await runway.fault("hang", rule={"operation": "create"}, seconds=600, accept=True)

    async with asyncio.TaskGroup() as group:
        hanging = group.create_task(runway.call("POST", "/v1/image_to_video", json=body("stuck")))
        seen = await runway.control("GET", "calls?wait=10&promptText=stuck")
        hanging.cancel()

    assert seen["calls"][0]["status"] is None
    assert seen["calls"][0]["fault"] == "hang"
    assert [seen["calls"][0]["taskId"]] == await created(runway)


async def test_a_slow_answer_is_a_right_one(runway: Caller) -> None:
    await runway.fault("slow", seconds=0.2)
    loop = asyncio.get_running_loop()
    before = loop.time()

    reply = await runway.call("POST", "/v1/image_to_video", json=body())

    assert reply.status == 200
    assert loop.time() - before > 0.19
    assert (await runway.control("GET", "calls"))["calls"][0]["status"] == 200


async def test_invalid_json_is_half_of_an_answer_to_a_call_that_was_acted_on(runway: Caller) -> None:
    await runway.fault("invalid_json")

    async with runway.session.post(
        runway.url + "/v1/image_to_video",
        json=body(),
        headers={"X-Runway-Version": "2024-11-06", "Authorization": "Bearer key_" + "0" * 128},
    ) as answer:
        text = await answer.text()

    assert answer.status == 200
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)
    assert len(await created(runway)) == 1


async def test_reads_of_a_task_can_lie_about_it(runway: Caller) -> None:
    task_id = await runway.create()
    await runway.fault("status_word", word="DREAMING", rule={"count": 2})
    await runway.fault("gone", rule={"nth": 3})

    words = [(await runway.status(task_id)) for _ in range(2)]
    gone = await runway.call("GET", f"/v1/tasks/{task_id}")

    assert words == ["DREAMING", "DREAMING"]
    assert (gone.status, gone.data) == (404, b'{"error":"Could not find Task"}')
    assert await runway.status(task_id) == "PENDING"


async def test_a_task_can_be_held_throttled_and_fail_in_the_end(runway: Caller) -> None:
    await runway.fault("throttle", seconds=100)
    await runway.fault("failure", failureCode="INTERNAL", at=0)
    task_id, free = await runway.create(), await runway.create()
    await runway.advance(99)
    held = [await runway.status(task_id), await runway.status(free)]
    await runway.advance(3)

    assert held == ["THROTTLED", "SUCCEEDED"]
    assert await runway.status(task_id) == "FAILED"


async def test_a_truncated_download_breaks_off_and_a_wrong_length_ends_too_soon(runway: Caller) -> None:
    url = await runway.done(duration=2)
    whole = (await runway.call("GET", url)).data
    await runway.fault("truncate", at=0.25)
    await runway.fault("wrong_length", rule={"nth": 2}, at=0.25)

    with pytest.raises(aiohttp.ClientPayloadError):
        await runway.call("GET", url)
    short = await runway.call("GET", url)

    assert (short.status, short.data) == (200, whole[: len(whole) // 4])
    assert (await runway.call("GET", url)).data == whole


@pytest.mark.parametrize(
    ("kind", "status", "content_type"),
    [
        ("expired_url", 403, "application/xml"),
        ("output_404", 404, "application/xml"),
        ("not_a_video", 200, "video/mp4"),
    ],
)
async def test_a_download_can_fail_once(runway: Caller, kind: str, status: int, content_type: str) -> None:
    url = await runway.done(duration=2)
    await runway.fault(kind)

    reply, again = await runway.call("GET", url), await runway.call("GET", url)

    assert (reply.status, reply.headers["Content-Type"]) == (status, content_type)
    assert again.data[4:8] == b"ftyp"
    assert reply.data != again.data


async def test_rules_aim_by_prompt_model_path_method_and_count(runway: Caller) -> None:
    await runway.fault("failure", rule={"match": {"promptText": "shot 12"}}, at=0)
    await runway.fault("failure", rule={"match": {"model": "gen4_turbo"}, "nth": 2, "count": None}, at=0)
    await runway.fault("status", rule={"path": "/v1/organ*", "method": "get"}, status=503)
    plain, aimed = await runway.create("shot 1"), await runway.create("this is shot 12.")
    turbo = [await runway.create(model="gen4_turbo") for _ in range(3)]
    usage = await runway.call("POST", "/v1/organization/usage", json={})
    account = await runway.call("GET", "/v1/organization")
    await runway.advance(2)

    states = [await runway.status(each) for each in (plain, aimed, *turbo)]

    assert states == ["RUNNING", "FAILED", "RUNNING", "FAILED", "FAILED"]
    assert (usage.status, account.status) == (200, 503)
    struck = [rule["struck"] for rule in (await runway.control("GET", "faults"))["faults"]]
    assert struck == [1, 2, 1]


async def test_a_rule_aims_at_the_reads_and_downloads_of_one_prompt(runway: Caller) -> None:
    mine, other = await runway.done("mine", duration=2), await runway.done("other", duration=2)
    await runway.fault("output_404", rule={"match": {"promptText": "mine"}, "count": None})

    assert [(await runway.call("GET", url)).status for url in (other, mine, mine)] == [200, 404, 404]


async def test_faults_can_be_removed_one_or_all(runway: Caller) -> None:
    for _ in range(3):
        await runway.fault("gone", rule={"count": None})
    await runway.control("DELETE", "faults/fault-2")
    left = [rule["id"] for rule in (await runway.control("GET", "faults"))["faults"]]
    unknown = await runway.call("DELETE", "/sandbox/faults/fault-9", headers={})
    await runway.control("DELETE", "faults")

    assert left == ["fault-1", "fault-3"]
    assert unknown.status == 404
    assert (await runway.control("GET", "faults"))["faults"] == []


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        ({"fault": {"kind": "explode"}}, ["fault.kind must be one of status, lost_answer"]),
        ({"fault": {"kind": "gone", "seconds": 1}, "often": 2}, ["fault.seconds is unknown", "unknown member often"]),
        ({"fault": {"kind": "status"}}, ["fault.status is required"]),
        ({"fault": {"kind": "status", "status": "503"}}, ["fault.status must be an HTTP status"]),
        ({"fault": {"kind": "truncate"}, "operation": "get_task"}, ["truncate strikes only output"]),
        ({"fault": {"kind": "drop"}, "operation": "fly", "count": 0}, ["operation must be create", "count must be"]),
        ({"fault": {"kind": "drop"}, "match": {"prompt": "x"}, "nth": 0}, ["match.prompt is unknown", "nth must be"]),
        ([], ["the body must be a JSON object"]),
    ],
)
async def test_a_rule_with_faults_of_its_own_is_refused_and_they_are_all_named(
    runway: Caller, rule: object, named: list[str]
) -> None:
    reply = await runway.call("POST", "/sandbox/faults", json=rule, headers={})

    assert reply.status == 400
    assert all(part in reply.json["error"] for part in named), reply.json
