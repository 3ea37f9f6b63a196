"""Voices of the account's own."""

from io import BytesIO
from typing import Any

import av
import pytest

from tests.providers.runway.sandbox.driver import Caller, data_uri
from tests.providers.runway.sandbox.made import sound
from tests.providers.runway.sandbox.resources.samples import VOICE, found, made, wrong


async def heard(runway: Caller, url: str) -> float:
    """Returns the seconds of an MP3."""
    reply = await runway.call("GET", url, headers={})
    assert (reply.status, reply.headers["Content-Type"]) == (200, "audio/mpeg")
    with av.open(BytesIO(reply.data)) as container:
        assert container.format.name == "mp3"
        return sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))


async def test_a_voice_is_ready_after_ten_seconds_and_can_be_heard(runway: Caller) -> None:
    voice_id = (await made(runway, "voices", VOICE))["id"]

    fresh = await found(runway, f"voices/{voice_id}")
    await runway.advance(10)
    ready = await found(runway, f"voices/{voice_id}")

    assert fresh == {
        "id": voice_id,
        "name": "Ada",
        "description": None,
        "createdAt": fresh["createdAt"],
        "status": "PROCESSING",
    }
    assert {**fresh, "status": "READY", "previewUrl": ready["previewUrl"]} == ready
    assert await heard(runway, ready["previewUrl"]) > 2


async def test_a_preview_tells_its_length_and_its_url_lives_a_day(runway: Caller) -> None:
    preview = await made(runway, "voices/preview", {"prompt": "a bright voice of a child", "model": "eleven_ttv_v3"})

    assert await heard(runway, preview["url"]) == pytest.approx(preview["durationSecs"], abs=0.1)
    await runway.advance(24 * 3600)
    assert (await runway.call("GET", preview["url"], headers={})).status == 403


async def test_a_url_for_one_voice_opens_no_other(runway: Caller) -> None:
    first, second = await made(runway, "voices", VOICE), await made(runway, "voices", VOICE)
    await runway.advance(10)
    url = (await found(runway, f"voices/{first['id']}"))["previewUrl"]

    assert (await runway.call("GET", url.replace(first["id"], second["id"]), headers={})).status == 403


async def test_a_recording_is_measured_before_it_becomes_a_voice(runway: Caller) -> None:
    good, junk = data_uri(sound(2), "audio/wav"), data_uri(b"no sound at all" * 50, "audio/mp3")

    assert await made(runway, "voices", VOICE, **{"from": {"type": "audio", "audio": good}})
    assert await wrong(runway, "POST", "voices", {**VOICE, "from": {"type": "audio", "audio": junk}}) == {"from.audio"}


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"name": ""}, {"name"}),
        ({"name": "x" * 101, "description": "x" * 1025}, {"name", "description"}),
        ({"from": {"type": "text", "prompt": "x" * 19, "model": "eleven_ttv_v3"}}, {"from.prompt"}),
        ({"from": {"type": "text", "prompt": "x" * 20}}, {"from.model"}),
        ({"from": {"type": "text", "prompt": "x" * 1001, "model": "v9"}}, {"from.prompt", "from.model"}),
        ({"from": {"type": "song"}}, {"from.type"}),
        ({"from": "text"}, {"from"}),
        ({"pitch": 3}, {""}),
    ],
)
async def test_what_is_wrong_with_a_voice_is_named(runway: Caller, changes: dict[str, Any], fields: set[str]) -> None:
    assert await wrong(runway, "POST", "voices", {**VOICE, **changes}) == fields


async def test_a_change_keeps_what_it_does_not_name_and_null_clears_the_description(runway: Caller) -> None:
    voice_id = (await made(runway, "voices", VOICE, description="deep"))["id"]
    path = f"/v1/voices/{voice_id}"

    renamed = (await runway.call("PATCH", path, json={"name": "Eve"})).json
    cleared = (await runway.call("PATCH", path, json={"description": None})).json

    assert (renamed["name"], renamed["description"]) == ("Eve", "deep")
    assert (cleared["name"], cleared["description"]) == ("Eve", None)
    assert await wrong(runway, "PATCH", f"voices/{voice_id}", {"name": None, "mood": "x"}) == {"name", ""}


async def test_a_deleted_voice_is_gone(runway: Caller) -> None:
    path = f"/v1/voices/{(await made(runway, 'voices', VOICE))['id']}"

    assert (await runway.call("DELETE", path)).status == 204
    for method in ("GET", "DELETE"):
        gone = await runway.call(method, path)
        assert (gone.status, gone.json) == (404, {"error": "Could not find Voice"})
    assert (await runway.call("PATCH", path, json={})).status == 404


async def test_a_voice_can_be_scripted_to_fail(runway: Caller) -> None:
    await runway.fault("failure", rule={"operation": "create_voice"}, message="Too noisy.")
    voice_id = (await made(runway, "voices", VOICE))["id"]
    await runway.advance(10)

    voice = await found(runway, f"voices/{voice_id}")

    assert (voice["status"], voice["failureReason"]) == ("FAILED", "Too noisy.")
