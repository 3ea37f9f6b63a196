"""How tasks live: states, progress, queues, quotas and credits, by a clock that the tests move."""

import asyncio

import pytest

from tests.providers.runway.sandbox.driver import STEADY, Caller, body, opened


async def test_a_task_is_pending_then_runs_with_rising_progress_then_succeeds(runway: Caller) -> None:
    task_id = await runway.create()
    pending = await runway.task(task_id)
    await runway.advance(1)
    running = [await runway.task(task_id)]
    for _ in range(5):
        await runway.advance(5)
        running.append(await runway.task(task_id))
    await runway.advance(5)
    done = await runway.task(task_id)

    assert pending.keys() == {"id", "createdAt", "status", "estimatedCost"}
    assert pending["status"] == "PENDING"
    assert pending["createdAt"].endswith("Z")
    assert len(pending["createdAt"]) == len("2026-08-26T06:30:33.796Z")
    assert [task["status"] for task in running] == ["RUNNING"] * 6
    assert [task["progress"] for task in running] == [0, 0.17, 0.33, 0.5, 0.67, 0.83]
    assert done.keys() == {"id", "createdAt", "status", "output", "cost"}
    assert (done["status"], done["cost"]) == ("SUCCEEDED", {"credits": 60})


async def test_progress_changes_no_faster_than_every_five_seconds(runway: Caller) -> None:
    task_id = await runway.create()
    await runway.advance(1 + 9.9)

    assert (await runway.task(task_id))["progress"] == 0.17


@pytest.mark.parametrize(("shape", "seen"), [("stepwise", [0, 0.1, 0.45]), ("none", [0, 0, 0])])
async def test_progress_can_be_stepwise_or_absent(shape: str, seen: list[float]) -> None:
    async with opened() as runway:
        await runway.control("PATCH", "settings", {"progress": shape})
        task_id = await runway.create()
        await runway.advance(1)
        found = []
        for seconds in (0, 10, 10):
            await runway.advance(seconds)
            found.append((await runway.task(task_id))["progress"])

        assert found == seen


async def test_durations_are_drawn_from_the_seed_around_the_mean() -> None:
    async def durations(seed: int) -> list[float]:
        chosen = STEADY.changed({"task_sigma": 0.25, "pending_seconds": 0})
        async with opened(settings=chosen, seed=seed) as runway:
            await runway.control("PATCH", "account", {"maxConcurrentGenerations": None})
            await asyncio.gather(*(runway.create() for _ in range(200)))
            tasks = (await runway.control("GET", "tasks"))["tasks"]
            now = (await runway.control("GET", "clock"))["seconds"]
            return [task["endsAtSeconds"] - now for task in tasks]

    first, again, other = await durations(1), await durations(1), await durations(2)

    assert first == pytest.approx(again, abs=0.001)
    assert first != pytest.approx(other, abs=0.001)
    mean = sum(first) / len(first)
    spread = (sum((each - mean) ** 2 for each in first) / len(first)) ** 0.5
    assert mean == pytest.approx(30, rel=0.1)
    assert spread / mean == pytest.approx(0.25, rel=0.25)


async def test_tasks_over_the_limit_are_throttled_and_let_in_first_come_first_served(runway: Caller) -> None:
    await runway.control("PATCH", "account", {"models": {"gen4.5": {"maxConcurrentGenerations": 1}}})
    first, second, third = [await runway.create(prompt) for prompt in ("one", "two", "three")]
    other_model = await runway.create(model="gen4_turbo")
    at_once = [await runway.status(each) for each in (first, second, third, other_model)]
    await runway.advance(31)
    after_one = [await runway.status(each) for each in (first, second, third)]
    await runway.call("DELETE", f"/v1/tasks/{second}")
    after_delete = await runway.status(third)

    assert at_once == ["PENDING", "THROTTLED", "THROTTLED", "PENDING"]
    assert after_one == ["SUCCEEDED", "PENDING", "THROTTLED"]
    assert after_delete == "PENDING"


async def test_raising_the_limit_lets_waiting_tasks_in_at_once(runway: Caller) -> None:
    await runway.control("PATCH", "account", {"maxConcurrentGenerations": 1})
    waiting = [await runway.create() for _ in range(3)][1:]
    await runway.control("PATCH", "account", {"maxConcurrentGenerations": 2})

    assert [await runway.status(each) for each in waiting] == ["PENDING", "THROTTLED"]


async def test_the_daily_quota_refuses_and_rolls_on(runway: Caller) -> None:
    await runway.control("PATCH", "account", {"models": {"gen4.5": {"maxDailyGenerations": 1}}})
    await runway.create()
    refused = await runway.call("POST", "/v1/image_to_video", json=body())
    await runway.advance(24 * 3600)

    assert refused.status == 429
    assert refused.data == (
        b'{"error":"Your daily task limit has been reached.","docUrl":"https://docs.dev.runwayml.com/api"}'
    )
    assert len(refused.data) == 96
    await runway.create()


async def test_without_credits_nothing_is_created(runway: Caller) -> None:
    await runway.control("PATCH", "account", {"creditBalance": 59})

    reply = await runway.call("POST", "/v1/image_to_video", json=body())

    assert reply.status == 400
    assert reply.json == {
        "error": "You do not have enough credits to run this task.",
        "docUrl": "https://docs.dev.runwayml.com/api",
    }
    assert await runway.balance() == 59


@pytest.mark.parametrize(
    ("code", "charged"),
    [
        ("SAFETY.INPUT.IMAGE", 60),
        ("SAFETY.OUTPUT.VIDEO", 60),
        ("INPUT_PREPROCESSING.SAFETY.TEXT", 60),
        ("INPUT_PREPROCESSING.INTERNAL", 0),
        ("INTERNAL.BAD_OUTPUT.CODE01", 0),
        ("ASSET.INVALID", 0),
        ("THIRD_PARTY.UNAVAILABLE", 0),
        ("INTERNAL", 0),
        (None, 0),
    ],
)
async def test_a_failure_gives_back_what_its_code_says(runway: Caller, code: str | None, charged: int) -> None:
    await runway.fault("failure", failureCode=code, at=0.5, message="It broke.")
    before = await runway.balance()
    task_id = await runway.create()
    await runway.advance(1 + 14)
    running = await runway.status(task_id)
    await runway.advance(1)
    failed = await runway.task(task_id)

    assert running == "RUNNING"
    assert (failed["status"], failed["failure"], failed["cost"]) == ("FAILED", "It broke.", {"credits": charged})
    assert failed.get("failureCode") == code
    assert ("failureCode" in failed) == (code is not None)
    assert before - await runway.balance() == charged


@pytest.mark.parametrize(("seconds", "refunded"), [(0, True), (2, False), (60, False)])
async def test_deleting_gives_credits_back_only_before_the_task_runs(
    runway: Caller, seconds: float, refunded: bool
) -> None:
    task_id = await runway.create()
    await runway.advance(seconds)

    first = await runway.call("DELETE", f"/v1/tasks/{task_id}")
    second = await runway.call("DELETE", f"/v1/tasks/{task_id}")

    assert (first.status, first.data) == (204, b"")
    assert (second.status, (await runway.call("GET", f"/v1/tasks/{task_id}")).status) == (404, 404)
    assert await runway.balance() == 1_000_000 - (0 if refunded else 60)


async def test_a_cancelled_task_can_be_kept_visible(runway: Caller) -> None:
    await runway.control("PATCH", "settings", {"show_cancelled": True})
    task_id = await runway.create()
    await runway.call("DELETE", f"/v1/tasks/{task_id}")

    cancelled = await runway.task(task_id)

    assert (cancelled["status"], cancelled["cost"]) == ("CANCELLED", {"credits": 0})


async def test_five_thousand_tasks_in_flight_leave_the_loop_free() -> None:
    """A GET costs the same however many tasks there are, and nothing holds the loop."""
    async with opened() as runway:
        await runway.control("PATCH", "account", {"maxConcurrentGenerations": 100})
        small = {"model": "gen4.5", "promptText": "x", "ratio": "1280:720", "duration": 5}
        ids: list[str] = []

        async def create(count: int) -> None:
            ids.extend([(await runway.call("POST", "/v1/text_to_video", json=small)).json["id"] for _ in range(count)])

        async with asyncio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(create(500))
        loop = asyncio.get_running_loop()
        start = loop.time()
        found = [await runway.status(each) for each in ids[:300]]
        each_get = (loop.time() - start) / 300

        assert len(found) == 300
        assert each_get < 0.02
        assert len((await runway.control("GET", "tasks"))["tasks"]) == 5000
