"""Whatever it makes, a create is a task like a clip's: states, limits, money, faults and cancel."""

from collections.abc import AsyncIterator, Mapping

import aiohttp
import pytest
import pytest_asyncio

from evergreen_server.providers.runway.catalog.models import Operation, path_of
from tests.providers.runway.sandbox.bodies import BODIES, TEXT
from tests.providers.runway.sandbox.driver import Caller, opened
from tests.providers.runway.sandbox.making import LONG_ENOUGH, shared

pytestmark = pytest.mark.asyncio(loop_scope="module")
EVERY = pytest.mark.parametrize("path", BODIES)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def runway() -> AsyncIterator[Caller]:
    async for caller in shared():
        yield caller


async def created(runway: Caller, path: str) -> str:
    reply = await runway.call("POST", f"/v1/{path}", json=BODIES[path])
    assert reply.status == 200, reply.data
    return str(reply.json["id"])


def model_of(path: str) -> str:
    return str(BODIES[path].get("model", path.removeprefix("recipes/")))


async def test_there_is_a_body_for_every_operation() -> None:
    assert set(BODIES) == {path_of(operation) for operation in Operation}


@EVERY
async def test_a_task_waits_runs_and_succeeds_and_costs_what_was_estimated(runway: Caller, path: str) -> None:
    before = await runway.balance()
    reply = await runway.call("POST", f"/v1/{path}", json=BODIES[path])
    task_id = reply.json["id"]
    pending = await runway.task(task_id)
    await runway.advance(1.5)
    running = await runway.status(task_id)
    await runway.advance(LONG_ENOUGH)
    ended = await runway.task(task_id)

    estimate = pending["estimatedCost"]["credits"]
    assert reply.json.get("estimatedCost", {"credits": estimate}) == {"credits": estimate}
    assert ("estimatedCost" in reply.json) is (path != "avatar_videos")
    assert (pending["status"], running, ended["status"]) == ("PENDING", "RUNNING", "SUCCEEDED")
    assert ended["cost"]["credits"] == int(estimate) == before - await runway.balance()


@EVERY
async def test_a_cancel_before_it_runs_gives_the_credits_back(runway: Caller, path: str) -> None:
    before = await runway.balance()
    task_id = await created(runway, path)

    answers = [await runway.call("DELETE", f"/v1/tasks/{task_id}") for _ in range(2)]

    assert [answer.status for answer in answers] == [204, 404]
    assert await runway.balance() == before


@EVERY
async def test_every_fault_of_a_create_strikes(runway: Caller, path: str) -> None:
    name = path.removeprefix("recipes/")
    rule = {"operation": name}
    await runway.fault("failure", rule=rule, failureCode="SAFETY.INPUT.IMAGE", message="No.")
    await runway.fault("throttle", rule=rule, seconds=50)
    refused = await created(runway, path)
    assert await runway.status(refused) == "THROTTLED"
    await runway.advance(LONG_ENOUGH)
    failed = await runway.task(refused)
    assert (failed["status"], failed["failureCode"]) == ("FAILED", "SAFETY.INPUT.IMAGE")
    # A request that moderation refused is paid for.
    assert failed["cost"]["credits"] > 0

    await runway.fault("many_outputs", rule=rule, number=2)
    await runway.fault("large_output", rule=rule, bytes=300_000)
    padded = await created(runway, path)
    await runway.advance(LONG_ENOUGH)
    urls = (await runway.task(padded))["output"]
    head = await runway.call("HEAD", urls[-1], headers={})
    assert len(urls) == 2
    assert int(head.headers["Content-Length"]) > 300_000

    await runway.fault("status", rule=rule, status=503)
    assert (await runway.call("POST", f"/v1/{path}", json=BODIES[path])).status == 503
    before = len((await runway.control("GET", "tasks"))["tasks"])
    await runway.fault("lost_answer", rule=rule)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await runway.call("POST", f"/v1/{path}", json=BODIES[path])
    assert len((await runway.control("GET", "tasks"))["tasks"]) == before + 1
    await runway.control("DELETE", "faults")


@EVERY
async def test_rules_see_the_text_that_a_task_is_made_from(runway: Caller, path: str) -> None:
    rule = {"operation": "create", "match": {"promptText": TEXT}}
    await runway.fault("status", rule=rule, status=418)

    reply = await runway.call("POST", f"/v1/{path}", json=BODIES[path])
    await runway.control("DELETE", "faults")

    has_text = TEXT in str(BODIES[path])
    assert reply.status == (418 if has_text else 200)


LIMITS: Mapping[str, tuple[int, int]] = {
    # As a key of tier 1 shows them; the group of finishing from the published table.
    "text_to_image": (2, 200), "image_to_video": (1, 50), "character_performance": (1, 50), "avatar_videos": (1, 50),
    "text_to_speech": (1, 50), "video_to_hdr": (1, 50), "recipes/marketing_stock_image": (2, 200),
}  # fmt: skip


@pytest.mark.parametrize(("path", "limits"), LIMITS.items())
async def test_a_model_has_the_limits_of_its_group(path: str, limits: tuple[int, int]) -> None:
    at_once, a_day = limits
    async with opened(tier=1) as runway:
        tasks = [await created(runway, path) for _ in range(at_once + 1)]
        states = [await runway.status(task) for task in tasks]
        told = (await runway.call("GET", "/v1/organization")).json["tier"]["models"][model_of(path)]

    assert states == ["PENDING"] * at_once + ["THROTTLED"]
    assert told == {"maxConcurrentGenerations": at_once, "maxDailyGenerations": a_day}


async def test_the_groups_have_limits_of_their_own_on_higher_tiers() -> None:
    async with opened(tier=4) as runway:
        models = (await runway.call("GET", "/v1/organization")).json["tier"]["models"]
        await runway.control(
            "PATCH", "account", {"maxDailyGenerations": 7, "models": {"ruby": {"maxDailyGenerations": 9}}}
        )
        changed = (await runway.call("GET", "/v1/organization")).json["tier"]["models"]

    def a_day(told: Mapping[str, Mapping[str, int]]) -> list[int]:
        return [told[name]["maxDailyGenerations"] for name in ("eleven_v3", "gpt_image_2", "ruby", "act_two")]

    assert a_day(models) == [5_000, 10_000, 10_000, 5_000]
    assert a_day(changed) == [7, 7, 9, 7]


@EVERY
async def test_the_daily_quota_refuses(runway: Caller, path: str) -> None:
    async def limit(number: int | None) -> None:
        await runway.control("PATCH", "account", {"models": {model_of(path): {"maxDailyGenerations": number}}})

    await limit(0)
    refused = await runway.call("POST", f"/v1/{path}", json=BODIES[path])
    await limit(None)

    assert (refused.status, refused.json["error"]) == (429, "Your daily task limit has been reached.")
