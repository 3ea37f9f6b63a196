"""What things cost, by the published prices: credits as the page has them, for the real length, size and number."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from evergreen_server.providers.runway.rendering.spoken import spoken_seconds
from tests.providers.runway.sandbox.bodies import AVATAR, BODIES, FILE, VOICE
from tests.providers.runway.sandbox.driver import Caller, data_uri, picture
from tests.providers.runway.sandbox.made import clip, sound
from tests.providers.runway.sandbox.making import LONG_ENOUGH, shared

pytestmark = pytest.mark.asyncio(loop_scope="module")

IMAGES, RECIPES = "text_to_image", "recipes/"
TWO = [{"uri": FILE["uri"], "tag": "one"}, {"uri": FILE["uri"], "tag": "two"}]
PLAIN = [{"uri": FILE["uri"]}] * 2


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def runway() -> AsyncIterator[Caller]:
    async for caller in shared():
        yield caller


def gpt(quality: str | None, ratio: str, count: int = 1) -> dict[str, object]:
    return {"model": "gpt_image_2", "ratio": ratio, "outputCount": count, **({"quality": quality} if quality else {})}


def audio(seconds: float) -> str:
    return data_uri(sound(seconds), "audio/wav")


def video(seconds: int) -> str:
    return data_uri(clip(seconds), "video/mp4")


PRICES = [
    # (path, what differs from the smallest body of the operation, credits)
    (IMAGES, {"ratio": "1280:720"}, 5),
    (IMAGES, {"ratio": "720:720"}, 5),
    (IMAGES, {"ratio": "1920:1080"}, 8),
    (IMAGES, {"model": "gen4_image_turbo", "ratio": "1920:1080", "referenceImages": TWO}, 2),
    (IMAGES, gpt("low", "1920:1088"), 1),
    (IMAGES, gpt("low", "3840:2160"), 2),
    (IMAGES, gpt("medium", "2560:2560"), 5),
    (IMAGES, gpt("medium", "2880:2880"), 11),
    (IMAGES, gpt("high", "2912:1248"), 20),
    (IMAGES, gpt("auto", "1920:1920"), 20),
    (IMAGES, gpt(None, "3840:1648"), 41),
    (IMAGES, gpt(None, "auto", 10), 410),
    (IMAGES, {"model": "gemini_2.5_flash", "ratio": "1024:1024"}, 5),
    (IMAGES, {"model": "gemini_image3_pro", "ratio": "1024:1024"}, 20),
    (IMAGES, {"model": "gemini_image3_pro", "ratio": "3168:1344", "outputCount": 4}, 80),
    (IMAGES, {"model": "gemini_image3_pro", "ratio": "6336:2688"}, 40),
    (IMAGES, {"model": "seedream5_pro", "ratio": "1376:768"}, 5),
    (IMAGES, {"model": "seedream5_pro", "ratio": "2720:1530", "outputCount": 3}, 27),
    (IMAGES, {"model": "seedream5_pro", "ratio": "auto_1k"}, 5),
    (IMAGES, {"model": "seedream5_pro", "ratio": "auto_2k"}, 9),
    (IMAGES, {"model": "seedream5_lite", "ratio": "4096:2304", "outputCount": 4}, 16),
    (IMAGES, {"model": "muse_image", "ratio": "auto", "outputCount": 10}, 10),
    (IMAGES, {"model": "grok_imagine_image_2", "ratio": "1280:720", "quality": "low"}, 4),
    (IMAGES, {"model": "grok_imagine_image_2", "ratio": "1024:1024", "outputCount": 2}, 12),
    (IMAGES, {"model": "grok_imagine_image_2", "ratio": "2048:2048", "quality": "low"}, 6),
    # One for each reference, once a request.
    (IMAGES, {"model": "grok_imagine_image_2", "ratio": "auto_2k", "outputCount": 2, "referenceImages": PLAIN}, 18),
    (IMAGES, {"model": "bria_fibo_1_5", "ratio": "1024:1024"}, 5),
    (IMAGES, {"model": "bria_fibo_1_5", "ratio": "1152:2048"}, 10),
    (IMAGES, {"model": "ideogram_4_0", "ratio": "2048:2048", "quality": "low", "outputCount": 2}, 8),
    (IMAGES, {"model": "ideogram_4_0", "ratio": "2048:2048", "quality": "high"}, 11),
    (IMAGES, {"model": "ideogram_4_5", "ratio": "1024:1024"}, 25),
    (IMAGES, {"model": "ideogram_4_5", "ratio": "1024:1024", "referenceImages": PLAIN}, 8),
    (IMAGES, {"model": "ideogram_4_5", "ratio": "1024:1024", "referenceImages": PLAIN, "quality": "very_low"}, 1),
    ("image_upscale", {"imageUri": data_uri(picture(1024, 1024)), "scaleFactor": 4}, 25),
    ("image_upscale", {"imageUri": data_uri(picture(1030, 400)), "scaleFactor": 4}, 150),
    ("text_to_speech", {"promptText": "x" * 50}, 1),
    ("text_to_speech", {"promptText": "x"}, 1),
    ("text_to_speech", {"promptText": "x" * 51}, 2),
    ("text_to_speech", {"model": "eleven_multilingual_v2", "promptText": "x" * 1000}, 20),
    ("sound_effect", {}, 2),
    ("sound_effect", {"duration": 30}, 30),
    ("sound_effect", {"duration": 2.5}, 2.5),
    ("speech_to_speech", {"media": {"type": "audio", "uri": audio(9)}}, 3),
    ("speech_to_speech", {"media": {"type": "audio", "uri": audio(9.5)}}, 4),
    ("voice_dubbing", {"audioUri": audio(10)}, 5),
    ("voice_dubbing", {"audioUri": audio(10.5)}, 6),
    ("voice_isolation", {"audioUri": audio(12)}, 2),
    ("voice_isolation", {"audioUri": audio(13)}, 3),
    ("character_performance", {"reference": {"type": "video", "uri": video(7)}}, 35),
    # The videos of these tests have two frames a second.
    ("video_upscale", {"videoUri": video(10), "resolution": "720p"}, 14),
    ("video_upscale", {"videoUri": video(10), "resolution": "1k"}, 14),
    ("video_upscale", {"videoUri": video(5), "resolution": "2k"}, 9),
    ("video_upscale", {"videoUri": video(5), "resolution": "4k"}, 12),
    ("video_upscale", {"videoUri": video(5), "resolution": "4k", "fpsBoost": True}, 24),
    ("video_to_hdr", {"videoUri": video(3)}, 60),
    (RECIPES + "multi_shot_video", {}, 65),
    (RECIPES + "multi_shot_video", {"ratio": "960:960", "duration": 15}, 195),
    (RECIPES + "multi_shot_video", {"ratio": "1440:1440", "duration": 10}, 170),
    (RECIPES + "product_ad", {}, 200),
    (RECIPES + "product_ad", {"ratio": "834:1112", "duration": 5}, 236),
    (RECIPES + "product_ad", {"ratio": "1248:1664"}, 216),
    (RECIPES + "product_ad", {"ratio": "1080:1920", "duration": 15}, 216 + 11 * 40),
    (RECIPES + "product_swap", {}, 212),
    (RECIPES + "product_swap", {"resolution": "1080p", "duration": 6}, 308),
    (RECIPES + "product_ugc", {}, 192),
    (RECIPES + "product_ugc", {"ratio": "1080:1920", "duration": 5}, 248),
    (RECIPES + "ad_localization", {}, 21),
    (RECIPES + "marketing_stock_image", {}, 88),
    (RECIPES + "marketing_stock_image", {"quality": "low", "outputCount": 1}, 9),
    (RECIPES + "marketing_stock_image", {"quality": "medium", "outputCount": 2}, 18),
    (RECIPES + "product_campaign_image", {}, 144),
]


@pytest.mark.parametrize(("path", "more", "credits"), PRICES)
async def test_a_charge_is_the_published_price(
    runway: Caller, path: str, more: dict[str, object], credits: float
) -> None:
    known = BODIES[path]
    if more.get("model", known.get("model")) != known.get("model") and path == IMAGES:
        known = {"promptText": known["promptText"]}

    reply = await runway.call("POST", f"/v1/{path}", json={**known, **more})

    assert reply.status == 200, reply.json
    assert reply.json["estimatedCost"]["credits"] == credits


@pytest.mark.parametrize(("sentences", "credits"), [(1, 5), (20, None)])
async def test_seed_audio_costs_a_quarter_a_second_and_five_at_least(
    runway: Caller, sentences: int, credits: float | None
) -> None:
    text = "The lamp is lit and the sea is calm. " * sentences
    expected = credits or round(0.25 * spoken_seconds(text), 3)
    body = {"model": "seed_audio", "promptText": text}

    reply = await runway.call("POST", "/v1/text_to_speech", json=body)

    assert reply.json["estimatedCost"]["credits"] == pytest.approx(expected, abs=0.001)


async def test_a_frame_rate_costs_half_a_credit_a_second_and_the_end_is_whole(runway: Caller) -> None:
    body = {"model": "enhance_frame_rate", "targetFramerate": "120", "videoUri": video(5)}

    reply = await runway.call("POST", "/v1/video_upscale", json=body)
    await runway.advance(LONG_ENOUGH)

    assert reply.json["estimatedCost"] == {"credits": 2.5}
    assert (await runway.task(reply.json["id"]))["cost"] == {"credits": 2}


async def test_hdr_of_a_large_source_costs_twice_as_much(runway: Caller) -> None:
    large = data_uri(clip(2, (2600, 1560)), "video/mp4")

    reply = await runway.call("POST", "/v1/video_to_hdr", json={"model": "ruby", "videoUri": large})

    assert reply.json["estimatedCost"] == {"credits": 80}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        # What is charged where no price is published is written down here alone.
        (IMAGES, {"model": "nano_banana_2.1", "promptText": "x", "ratio": "1024:1024", "outputCount": 2}),
        ("text_to_speech", {"model": "eleven_v4", "promptText": "x" * 1000, "voice": VOICE}),
        ("sound_effect", {"model": "mirelo_sfx_2_0", "promptText": "x", "duration": 10, "numVariants": 2}),
    ],
)
async def test_where_no_price_is_published_a_plausible_one_is_charged(
    runway: Caller, path: str, body: dict[str, object]
) -> None:
    reply = await runway.call("POST", f"/v1/{path}", json=body)

    assert reply.json["estimatedCost"] == {"credits": 20}


async def test_a_talking_head_costs_what_a_live_avatar_does(runway: Caller) -> None:
    asked = {"model": "gwm1_avatars", "avatar": AVATAR, "speech": {"type": "audio", "audio": audio(13)}}

    task_id = (await runway.call("POST", "/v1/avatar_videos", json=asked)).json["id"]

    assert (await runway.task(task_id))["estimatedCost"] == {"credits": 2 + 2 * 3}
