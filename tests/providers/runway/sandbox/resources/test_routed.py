"""Routed generation: who is eligible, who is chosen, and what is told of it."""

from typing import Any

import aiohttp
import pytest

from tests.providers.runway.sandbox.driver import Caller, data_uri, picture
from tests.providers.runway.sandbox.made import clip, sound
from tests.providers.runway.sandbox.resources.samples import found, made, wrong

PICTURE = data_uri(picture(640, 360))


async def router(runway: Caller, slug: str = "films", **settings: Any) -> str:
    return str((await made(runway, "routers", {"slug": slug}, settings=settings))["id"])


async def routed(runway: Caller, kind: str, slug: str = "films", **given: Any) -> Any:
    return await made(runway, f"generate/{kind}", {"configId": slug, "input": given})


async def eligible(runway: Caller, kind: str, **given: Any) -> dict[str, list[str]]:
    """Returns the models that pass each filter."""
    router_id = (await found(runway, "routers"))["data"][0]["id"]
    reply = await runway.call("POST", f"/v1/generate/{kind}", json={"configId": "films", "input": given})
    assert reply.status in (200, 400), reply.data
    entry = (await found(runway, f"routers/{router_id}/requests?limit=1"))["data"][0]
    return {step["filter"]: step["models"] for step in entry["pipeline"] if step["type"] == "filter"}


async def test_the_cheapest_model_is_taken_and_makes_a_real_task(runway: Caller) -> None:
    router_id = await router(runway)

    answer = await routed(runway, "image", promptText="a fox")

    routing = answer["routing"]
    task = await runway.booked(answer["id"])
    assert (task["model"], task["estimatedCredits"]) == (routing["model"], routing["estimatedCost"]["credits"])
    assert routing["resolvedSettings"] == {"optimizeFor": "cost", "priceCeiling": None}
    (entry,) = (await found(runway, f"routers/{router_id}/requests"))["data"]
    assert (entry["status"], entry["taskId"], entry["model"]) == ("routed", answer["id"], routing["model"])
    assert (entry["reasonCode"], entry["pipeline"][-1]) == ("lowest_cost", {"type": "rank", "outcome": "cost"})
    prices = []
    for model in entry["pipeline"][-2]["models"]:
        only = {"mode": "allowlist_only", "ids": [model]}
        await router(runway, slug := f"r{len(prices)}", models=only)
        prices.append((await routed(runway, "image", slug, promptText="a fox"))["routing"]["estimatedCost"]["credits"])
    assert min(prices) == routing["estimatedCost"]["credits"]


@pytest.mark.parametrize(
    ("kind", "given", "operation"),
    [
        ("video", {"promptText": "a fox", "duration": 5, "aspectRatio": "9:16", "resolution": "720p"}, "text_to_video"),
        ("video", {"promptText": "a fox", "referenceImages": [{"uri": PICTURE, "role": "first"}]}, "image_to_video"),
        (
            "video",
            {"promptText": "a fox", "referenceVideos": [{"uri": data_uri(clip(4), "video/mp4"), "role": "source"}]},
            "video_to_video",
        ),
        ("image", {"promptText": "a fox", "referenceImages": [{"uri": PICTURE}], "outputCount": 2}, "text_to_image"),
        ("audio", {"type": "audio", "promptText": "rain", "duration": 3, "loop": True}, "sound_effect"),
        (
            "audio",
            {"type": "speech", "promptText": "hello", "voice": {"type": "preset", "presetId": "Maya"}},
            "text_to_speech",
        ),
        (
            "audio",
            {
                "type": "speech",
                "promptText": "hello",
                "voice": {"type": "reference-audio", "audioUri": data_uri(sound(3), "audio/wav")},
            },
            "text_to_speech",
        ),
    ],
)
async def test_inputs_become_bodies_of_the_model_that_is_chosen(
    runway: Caller, kind: str, given: dict[str, Any], operation: str
) -> None:
    await router(runway)

    answer = await routed(runway, kind, **given)

    assert (await runway.booked(answer["id"]))["operation"] == operation
    await runway.advance(200)
    done = await runway.task(answer["id"])
    assert (done["status"], len(done["output"])) == ("SUCCEEDED", given.get("outputCount", 1))


async def test_filters_go_one_after_the_other(runway: Caller) -> None:
    await router(runway, models={"mode": "allow_new_except", "ids": ["seed_audio"]})

    left = await eligible(runway, "audio", type="speech", promptText="x" * 1500)

    assert left["capability"] == ["seed_audio"]
    assert left["prompt_length"] == ["seed_audio"]
    assert left["allow_deny"] == []
    assert "price" not in left


async def test_no_eligible_model_tells_what_emptied_the_list(runway: Caller) -> None:
    router_id = await router(runway, maxCreditsPerGeneration={"video": 1})

    reply = await runway.call(
        "POST", "/v1/generate/video", json={"configId": "films", "input": {"promptText": "a fox", "duration": 5}}
    )

    assert reply.status == 400
    assert (reply.json["code"], reply.json["emptiedBy"]) == ("no_eligible_model", ["price"])
    assert [step["filter"] for step in reply.json["pipeline"]] == [
        "capability",
        "prompt_length",
        "input_support",
        "allow_deny",
        "price",
    ]
    (entry,) = (await found(runway, f"routers/{router_id}/requests"))["data"]
    assert (entry["status"], entry["emptiedBy"], entry["taskId"]) == ("no_eligible_model", ["price"], None)
    assert (await runway.control("GET", "tasks"))["tasks"] == []


async def test_sound_keeps_models_that_have_it_and_silence_those_that_can_do_without(runway: Caller) -> None:
    await router(runway)

    loud = (await eligible(runway, "video", promptText="a fox", audio=True))["capability"]
    silent = (await eligible(runway, "video", promptText="a fox", audio=False))["capability"]

    assert "gen4.5" in silent
    assert "gen4.5" not in loud
    assert "veo3.1" in loud


async def test_a_seed_of_pictures_is_taken_by_those_that_know_it_alone(runway: Caller) -> None:
    await router(runway)

    left = (await eligible(runway, "image", promptText="a fox", seed=7))["capability"]

    assert "gen4_image" in left
    assert "gpt_image_2" not in left


async def test_a_router_that_does_not_exist_is_said_so(runway: Caller) -> None:
    reply = await runway.call("POST", "/v1/generate/image", json={"configId": "none", "input": {"promptText": "x"}})

    assert (reply.status, reply.json["code"], reply.json.keys()) == (
        404,
        "router_config_not_found",
        {"error", "code"},
    )


async def test_a_full_model_is_passed_over_where_the_router_says_so(runway: Caller) -> None:
    await runway.control("PATCH", "account", {"maxConcurrentGenerations": 1})
    await router(runway, fallback={"onCapacity": True})

    first = (await routed(runway, "image", promptText="a fox"))["routing"]
    second = (await routed(runway, "image", promptText="a hen"))["routing"]

    assert "capacityFallback" not in first
    assert second["capacityFallback"] == {"skipped": [first["model"]], "allExhausted": False}
    assert second["model"] != first["model"]


async def test_a_dry_run_makes_nothing_and_leaves_no_record(runway: Caller) -> None:
    router_id = await router(runway)

    answer = await made(runway, "generate/image", {"configId": "films", "input": {"promptText": "x"}, "dryRun": True})

    assert answer.keys() == {"routing"}
    assert (await found(runway, f"routers/{router_id}/requests"))["data"] == []
    assert (await runway.control("GET", "tasks"))["tasks"] == []


@pytest.mark.parametrize(
    ("kind", "given", "fields"),
    [
        ("video", {"duration": 31, "promptText": "x" * 6001}, {"input.duration", "input.promptText"}),
        ("video", {"referenceImages": [{"uri": PICTURE, "role": "first"}] * 2}, {"input.referenceImages"}),
        ("video", {"keyframes": [{"uri": PICTURE, "seconds": 1}]}, {"input.keyframes"}),
        ("video", {"referenceVideos": [{"uri": data_uri(b"x"), "role": "source"}]}, {"input.referenceVideos.0.uri"}),
        ("video", {"referenceImages": [{"uri": data_uri(b"x"), "role": "last"}]}, {"input.referenceImages.0.uri"}),
        ("image", {"promptText": "x", "outputCount": 11, "model": "gen4"}, {"input.outputCount", "input"}),
        ("image", {}, {"input.promptText"}),
        ("audio", {"promptText": "x"}, {"input.type"}),
        (
            "audio",
            {"type": "speech", "promptText": "x", "loop": True, "duration": 3, "referenceAudios": []},
            {"input.loop", "input.duration", "input.referenceAudios"},
        ),
        (
            "audio",
            {"type": "speech", "promptText": "x", "voice": {"type": "preset", "presetId": "Bob"}},
            {"input.voice.presetId"},
        ),
    ],
)
async def test_what_is_wrong_with_an_input_is_named_and_recorded(
    runway: Caller, kind: str, given: dict[str, Any], fields: set[str]
) -> None:
    router_id = await router(runway)

    assert await wrong(runway, "POST", f"generate/{kind}", {"configId": "films", "input": given}) == fields
    (entry,) = (await found(runway, f"routers/{router_id}/requests"))["data"]
    assert entry["status"] == "invalid_request"


async def test_scripted_faults_strike_a_routed_task(runway: Caller) -> None:
    await router(runway)
    await runway.fault(
        "failure",
        rule={"operation": "create", "match": {"promptText": "doomed"}},
        failureCode="INTERNAL",
        message="No.",
    )

    answer = await routed(runway, "image", promptText="doomed")
    await runway.advance(100)

    assert (await runway.task(answer["id"]))["status"] == "FAILED"


GIVEN: dict[str, dict[str, Any]] = {
    "video": {"promptText": "a fox"},
    "image": {"promptText": "a fox"},
    "audio": {"type": "audio", "promptText": "rain"},
}


@pytest.mark.parametrize("kind", GIVEN)
async def test_every_fault_of_a_create_strikes_the_routed_ones_too(runway: Caller, kind: str) -> None:
    await router(runway)
    rule: dict[str, object] = {"operation": f"generate_{kind}"}
    await runway.fault("throttle", rule=rule, seconds=50)
    await runway.fault("failure", rule=rule, failureCode="INTERNAL", message="No.")
    failing = (await routed(runway, kind, **GIVEN[kind]))["id"]
    assert await runway.status(failing) == "THROTTLED"
    await runway.fault("many_outputs", rule=rule, number=2)
    several = (await routed(runway, kind, **GIVEN[kind]))["id"]
    await runway.advance(600)
    assert await runway.status(failing) == "FAILED"
    assert len((await runway.task(several))["output"]) == 2

    body = {"configId": "films", "input": GIVEN[kind]}
    await runway.fault("status", rule={"operation": "create"}, status=503)
    refused = await runway.call("POST", f"/v1/generate/{kind}", json=body)
    await runway.fault("lost_answer", rule=rule)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await runway.call("POST", f"/v1/generate/{kind}", json=body)
    (lost,) = (await runway.control("GET", "calls?operation=generate_" + kind))["calls"][-1:]

    assert refused.status == 503
    assert (await runway.booked(lost["taskId"]))["deleted"] is False
