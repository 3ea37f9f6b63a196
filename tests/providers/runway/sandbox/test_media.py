"""What the provider refuses once it has looked at the media, and drafts that become clips."""

from io import BytesIO

import pytest
from PIL import Image

from tests.providers.runway.sandbox.driver import Caller, body, data_uri, picture
from tests.providers.runway.sandbox.made import clip, sound


def video(seconds: int) -> dict[str, str]:
    return {"type": "video", "uri": data_uri(clip(seconds), "video/mp4")}


def audio(seconds: float) -> dict[str, str]:
    return {"type": "audio", "uri": data_uri(sound(seconds), "audio/wav")}


def still(form: str) -> str:
    out = BytesIO()
    Image.new("RGB", (400, 300)).save(out, form)
    return data_uri(out.getvalue(), "image/png")


REFUSED = [
    # (operation, members of the body, the first part of the path, what is said)
    ("video", {"model": "seedance2", "promptVideo": video(20)["uri"]}, "promptVideo", "at most 15 seconds"),
    ("video", {"model": "hailuo3", "promptVideo": video(20)["uri"]}, "promptVideo", "at most 15 seconds"),
    ("text", {"model": "seedance2_mini", "referenceVideos": [video(8), video(8)]}, "referenceVideos", "at most 15"),
    ("text", {"model": "seedance2_5", "referenceVideos": [video(16), video(16)]}, "referenceVideos", "at most 30"),
    ("text", {"model": "wan3", "referenceVideos": [video(8), video(8)]}, "referenceVideos", "at most 15 seconds"),
    ("text", {"model": "kling_4", "referenceVideos": [video(16), video(16)]}, "referenceVideos", "at most 30 seconds"),
    ("text", {"model": "seedance2", "references": [{"uri": data_uri(picture())}], "referenceAudio": [audio(8)] * 2},
     "referenceAudio", "at most 15 seconds"),
    ("text", {"model": "grok_imagine_1_5", "references": [{"uri": data_uri(picture())}], "referenceAudio": [audio(2)]},
     "referenceAudio", "at least 3 seconds"),
    ("text", {"model": "grok_imagine_1_5", "references": [{"uri": data_uri(picture())}], "referenceAudio": [audio(17)]},
     "referenceAudio", "at most 15 seconds"),
    ("text", {"model": "seedance2", "referenceAudio": [{"type": "audio", "uri": data_uri(b"junk" * 99, "audio/mp3")}]},
     "referenceAudio", "could not be read"),
    ("image", {"model": "happyhorse_1_0", "promptImage": data_uri(picture(100, 100))}, "promptImage", "300 pixels"),
    ("image", {"model": "h3_max", "promptImage": data_uri(picture(64, 64))}, "promptImage", "256 pixels"),
    ("image", {"model": "h3_max", "promptImage": still("GIF")}, "promptImage", "could not be read"),
    ("image", {"model": "h3_max", "promptImage": still("BMP")}, "promptImage", "could not be read"),
    ("image", {"model": "seedance2_5", "promptImage": still("PNG"), "draft": True, "outputFormat": "mov"},
     "outputFormat", "only rendered as mp4"),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "members", "place", "said"), REFUSED)
async def test_media_beyond_the_rules_are_refused(
    runway: Caller, operation: str, members: dict[str, object], place: str, said: str
) -> None:
    reply = await runway.call("POST", f"/v1/{operation}_to_video", json={"promptText": "a wish", **members})

    assert reply.status == 400
    [issue] = reply.json["issues"]
    assert issue["path"][0] == place
    assert said in issue["message"]


async def test_media_within_the_rules_are_taken(runway: Caller) -> None:
    asked = {
        "model": "seedance2", "promptText": "a wish", "duration": 4, "ratio": "1280:720",
        "references": [{"uri": data_uri(picture())}], "referenceVideos": [video(8), video(7)],
        "referenceAudio": [audio(7.5), audio(7.5)],
    }  # fmt: skip
    taken = await runway.call("POST", "/v1/text_to_video", json=asked)
    small = await runway.call(
        "POST",
        "/v1/image_to_video",
        json={"model": "h3_max", "promptText": "a wish", "promptImage": data_uri(picture(256, 256))},
    )

    assert (taken.status, small.status) == (200, 200)


async def test_speech_that_claims_hours_is_as_long_as_it_is(runway: Caller) -> None:
    claims = sound(4.0).replace((32000).to_bytes(4, "little"), b"\xff\xff\xff\x7f")
    asked = {
        "model": "grok_imagine_1_5", "promptText": "a wish", "references": [{"uri": data_uri(picture())}],
        "referenceAudio": [{"type": "audio", "uri": data_uri(claims, "audio/wav")}],
    }  # fmt: skip

    assert (await runway.call("POST", "/v1/text_to_video", json=asked)).status == 200


async def draft(runway: Caller) -> str:
    asked = {"model": "seedance2_5", "promptText": "a wish", "duration": 4, "ratio": "1920:1080", "draft": True}
    return str((await runway.call("POST", "/v1/text_to_video", json=asked)).json["id"])


async def test_a_draft_is_small_and_cheap_and_becomes_a_large_clip(runway: Caller) -> None:
    draft_id = await draft(runway)
    await runway.advance(120)
    made = await runway.call("POST", "/v1/text_to_video", json={"model": "seedance2_5", "draftTaskId": draft_id})
    small, large = await runway.booked(draft_id), await runway.booked(made.json["id"])

    assert (small["width"], small["height"], small["estimatedCredits"]) == (854, 480, 80)
    assert (large["width"], large["height"], large["estimatedCredits"]) == (1920, 1080, 4 * 68)
    assert (large["promptText"], large["clipSeconds"]) == ("a wish", 4.0)


@pytest.mark.parametrize("kind", ["abc", "no draft", "running", "deleted", "old"])
async def test_only_a_draft_that_succeeded_lately_is_enhanced(runway: Caller, kind: str) -> None:
    task_id = {"abc": "abc"}.get(kind) or (await runway.create() if kind == "no draft" else await draft(runway))
    if kind != "running":
        await runway.advance(8 * 86_400 if kind == "old" else 120)
    if kind == "deleted":
        await runway.call("DELETE", f"/v1/tasks/{task_id}")
    reply = await runway.call("POST", "/v1/text_to_video", json={"model": "seedance2_5", "draftTaskId": task_id})

    assert reply.status == 400
    assert reply.json["issues"][0]["path"] == ["draftTaskId"]


async def test_a_picture_of_a_camera_is_taken(runway: Caller) -> None:
    """Two JPEGs in one file, as phones write them."""
    out = BytesIO()
    one = Image.new("RGB", (400, 300))
    one.save(out, "MPO", save_all=True, append_images=[one])
    reply = await runway.call(
        "POST", "/v1/image_to_video", json=body(promptImage=data_uri(out.getvalue(), "image/jpeg"))
    )

    assert reply.status == 200
