"""What a request must look like, and the exact answers to one that does not."""

import json
import math
import re
from io import BytesIO

import aiohttp
import pytest

from evergreen_server.providers.runway.sandbox import SANDBOX_KEY
from tests.providers.runway.sandbox.driver import HEADERS, Caller, body, data_uri, opened
from tests.providers.runway.sandbox.made import clip
from tests.serving import sandbox_process

DOCUMENTATION = "https://docs.dev.runwayml.com/api"


async def test_a_task_is_created_with_a_version_4_id_and_its_price_in_compact_json(runway: Caller) -> None:
    reply = await runway.call("POST", "/v1/image_to_video", json=body())

    assert reply.status == 200
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", reply.json["id"])
    assert reply.json["estimatedCost"] == {"credits": 60}
    assert reply.data == json.dumps(reply.json, separators=(",", ":")).encode()
    assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
    assert {"apigw-requestid", "Etag", "X-Powered-By", "Strict-Transport-Security"} <= set(reply.headers)


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"X-Runway-Version": None}, 400, "The X-Runway-Version header is required."),
        (
            {"X-Runway-Version": "2023-01-01", "Authorization": None},
            400,
            "The API version that was provided in the X-Runway-Version header is not valid.",
        ),
        ({"Authorization": None}, 401, "No API key was provided."),
        ({"Authorization": "Basic abc"}, 401, "No API key was provided."),
        ({"Authorization": "Bearer key_123"}, 401, "The API key that was provided is not valid."),
        ({"Authorization": "Bearer key_" + "A" * 128}, 401, "The API key that was provided is not valid."),
    ],
)
async def test_version_and_key_are_checked_before_anything_else(
    runway: Caller, changes: dict[str, str | None], status: int, error: str
) -> None:
    headers = {name: value for name, value in {**HEADERS, **changes}.items() if value is not None}

    reply = await runway.call("POST", "/v1/nowhere", json={}, headers=headers)

    assert reply.status == status
    assert reply.json["error"].startswith(error)
    assert reply.json["docUrl"] == DOCUMENTATION


async def test_a_key_that_is_not_among_the_named_ones_is_unauthorized(runway: Caller) -> None:
    await runway.control("PATCH", "account", {"apiKeys": ["key_" + "0" * 128]})

    assert (await runway.call("GET", "/v1/organization")).status == 401


async def test_a_named_key_may_have_any_form(runway: Caller) -> None:
    """Such as the one of the official SDKs' own tests."""
    await runway.control("PATCH", "account", {"apiKeys": ["My API Key"]})
    headers = {**HEADERS, "Authorization": "Bearer My API Key"}

    assert (await runway.call("GET", "/v1/organization", headers=headers)).status == 200
    assert (await runway.call("GET", "/v1/organization")).status == 401


async def test_keys_that_it_is_started_with_are_the_only_ones() -> None:
    async with (
        sandbox_process("--api-key", "My API Key", "--api-key", "b") as control,
        aiohttp.ClientSession() as session,
    ):
        runway = Caller(control.url, session)
        statuses = [
            (await runway.call("GET", "/v1/organization", headers={**HEADERS, "Authorization": f"Bearer {key}"})).status
            for key in ("My API Key", "b", SANDBOX_KEY)
        ]

    assert statuses == [200, 200, 401]


async def test_paths_and_methods_that_do_not_exist_are_refused(runway: Caller) -> None:
    assert (await runway.call("POST", "/v1/text_to_music", json={})).status == 404
    assert (await runway.call("PUT", "/v1/tasks/x")).status == 405
    unknown = await runway.call("GET", "/v1/tasks/17f20503-6c24-4c16-946b-35dbbce2af2f")
    assert (unknown.status, unknown.data) == (404, b'{"error":"Could not find Task"}')


async def test_an_empty_body_gets_the_two_records_of_the_real_validator(runway: Caller) -> None:
    reply = await runway.call("POST", "/v1/image_to_video", json={})

    assert reply.status == 400
    assert (reply.json["error"], reply.json["docUrl"]) == ("Validation of body failed", DOCUMENTATION)
    first, second = reply.json["issues"]
    assert first == {
        "expected": "string",
        "code": "invalid_type",
        "path": ["model"],
        "message": "Invalid input: expected string, received undefined",
    }
    assert (second["code"], second["note"], second["path"]) == ("invalid_union", "No matching discriminator", ["model"])


async def test_all_faults_of_a_body_are_named_at_once_and_nothing_is_created(runway: Caller) -> None:
    wrong = body("x" * 1001, ratio="16:9", seed=-1, watermark=True)

    reply = await runway.call("POST", "/v1/image_to_video", json=wrong)

    assert reply.status == 400
    assert {issue["path"][0] if issue["path"] else "" for issue in reply.json["issues"]} == {
        "promptText",
        "ratio",
        "seed",
        "",
    }
    assert (await runway.control("GET", "tasks"))["tasks"] == []


async def test_unknown_fields_pass_on_a_lax_model_when_strictness_is_off(runway: Caller) -> None:
    await runway.control("PATCH", "settings", {"strict": False})

    assert (await runway.call("POST", "/v1/image_to_video", json=body(watermark=True))).status == 200


async def test_a_body_that_is_no_json_or_not_called_so_is_refused(runway: Caller) -> None:
    json_type = {**HEADERS, "Content-Type": "application/json"}

    broken = await runway.call("POST", "/v1/image_to_video", data=b'{"model":', headers=json_type)
    mistyped = await runway.call("POST", "/v1/image_to_video", data=b"{}", headers={**HEADERS, "Content-Type": "a/b"})
    huge = await runway.call("POST", "/v1/image_to_video", data=BytesIO(b" " * 11_000_000), headers=json_type)

    assert (broken.status, mistyped.status, huge.status) == (400, 400, 413)


async def test_text_to_video_needs_no_picture() -> None:
    async with opened() as runway:
        request = {"model": "veo3.1_fast", "promptText": "a fox", "ratio": "1280:720", "duration": 4, "audio": False}

        reply = await runway.call("POST", "/v1/text_to_video", json=request)

        assert reply.json["estimatedCost"] == {"credits": 40}


async def test_the_organization_tells_limits_balance_and_use(runway: Caller) -> None:
    await runway.create()

    account = (await runway.call("GET", "/v1/organization")).json

    assert account["tier"]["models"]["gen4.5"] == {"maxConcurrentGenerations": 20, "maxDailyGenerations": 25000}
    assert account["usage"]["models"]["gen4.5"] == {"dailyGenerations": 1}
    assert account["creditBalance"] == 1_000_000 - 60


async def test_the_balance_is_whole_where_a_reserved_price_is_not(runway: Caller) -> None:
    """The SDKs read it as a whole number."""
    upscale = {
        "model": "enhance_frame_rate",
        "videoUri": data_uri(clip(5), "video/mp4"),
        "targetFramerate": "60",
    }
    price = (await runway.call("POST", "/v1/video_upscale", json=upscale)).json["estimatedCost"]["credits"]

    balance = (await runway.call("GET", "/v1/organization")).json["creditBalance"]

    assert price != int(price)
    assert (type(balance), balance) == (int, math.floor(1_000_000 - price))


async def test_usage_is_net_of_refunds_by_day_and_model(runway: Caller) -> None:
    kept, refunded = await runway.create(), await runway.create(model="gen4_turbo")
    await runway.call("DELETE", f"/v1/tasks/{refunded}")
    created = (await runway.task(kept))["createdAt"]
    await runway.advance(24 * 3600)

    usage = (await runway.call("POST", "/v1/organization/usage", json={})).json

    assert usage["results"] == [
        {
            "date": created[:10],
            "usedCredits": [{"model": "gen4.5", "amount": 60}, {"model": "gen4_turbo", "amount": 0}],
        }
    ]
    bad = await runway.call("POST", "/v1/organization/usage", json={"startDate": "2026-01-01", "beforeDate": "x"})
    long = {"startDate": "2026-01-01", "beforeDate": "2026-12-01"}
    assert (bad.status, (await runway.call("POST", "/v1/organization/usage", json=long)).status) == (400, 400)
