"""The bounds of media that only measuring can find, of every operation but the clips: as the provider says them."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from evergreen_server.providers.runway.catalog.models import Operation
from evergreen_server.providers.runway.sandbox.generation.assets import Asset
from evergreen_server.providers.runway.sandbox.generation.media import media_issues
from tests.providers.runway.sandbox.bodies import BODIES, FILE
from tests.providers.runway.sandbox.driver import Caller, data_uri, picture
from tests.providers.runway.sandbox.made import clip, sound
from tests.providers.runway.sandbox.making import shared

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def runway() -> AsyncIterator[Caller]:
    async for caller in shared():
        yield caller


def still(width: int, height: int) -> str:
    return data_uri(picture(width, height))


def video(seconds: int, size: tuple[int, int] = (320, 180)) -> str:
    return data_uri(clip(seconds, size), "video/mp4")


def audio(seconds: float) -> str:
    return data_uri(sound(seconds), "audio/wav")


REFUSED = [
    # (path, what differs from the smallest body, the place, what is said)
    ("image_upscale", {"imageUri": still(299, 400)}, "imageUri", "Each side must be at least 300 pixels."),
    ("image_upscale", {"imageUri": still(8001, 300)}, "imageUri", "Each side must be at most 8000 pixels."),
    ("image_upscale", {"imageUri": still(1600, 1600), "scaleFactor": 4}, "scaleFactor", "more than 25300000 pixels"),
    ("image_upscale", {"imageUri": still(320, 320), "scaleFactor": 16}, "scaleFactor", "would be 5120x5120"),
    ("voice_isolation", {"audioUri": audio(4)}, "audioUri", "Asset duration must be at least 4.6 seconds"),
    ("character_performance", {"reference": {"type": "video", "uri": video(2)}}, "reference", "at least 3 seconds"),
    ("character_performance", {"reference": {"type": "video", "uri": video(31)}}, "reference", "at most 30 seconds"),
    ("character_performance", {"reference": {"type": "video", "uri": video(4, (800, 300))}}, "reference",
     "ratio must be at most 2.358. Got 2.667."),
    ("character_performance", {"character": {"type": "image", "uri": still(200, 500)}}, "character",
     "ratio must be at least 0.5. Got 0.4."),
    ("character_performance", {"character": {"type": "video", "uri": video(4, (800, 300))}}, "character",
     "ratio must be at most 2.358"),
    ("video_upscale", {"videoUri": video(31)}, "videoUri", "Asset duration must be at most 30 seconds"),
    ("video_upscale", {"model": "enhance_frame_rate", "videoUri": video(301), "targetFramerate": "24"}, "videoUri",
     "Asset duration must be at most 300 seconds"),
    ("video_to_hdr", {"videoUri": video(31)}, "videoUri", "Asset duration must be at most 30 seconds"),
    ("video_to_hdr", {"videoUri": video(1, (4096, 256))}, "videoUri", "Each side must be at most 4095 pixels."),
    ("recipes/product_swap", {"referenceVideo": {"uri": video(1)}}, "referenceVideo", "at least 1.8 seconds"),
    ("recipes/product_swap", {"referenceVideo": {"uri": video(16)}}, "referenceVideo", "at most 15 seconds"),
    ("recipes/product_ugc", {"characterImage": {"uri": still(1000, 200)}}, "characterImage", "at most 4. Got 5."),
    ("recipes/product_ugc", {"productImage": {"uri": still(100, 300)}}, "productImage", "at least 0.4. Got 0.333."),
    ("text_to_image", {"model": "gemini_2.5_flash", "ratio": "1024:1024",
                       "referenceImages": [FILE, {"uri": still(1000, 200)}]}, "referenceImages", "at most 4. Got 5."),
]  # fmt: skip


@pytest.mark.parametrize(("path", "more", "place", "said"), REFUSED)
async def test_media_beyond_the_bounds_are_refused(
    runway: Caller, path: str, more: dict[str, object], place: str, said: str
) -> None:
    known = {name: value for name, value in BODIES[path].items() if "model" not in more or name != "resolution"}

    reply = await runway.call("POST", f"/v1/{path}", json={**known, **more})

    assert reply.status == 400
    [issue] = reply.json["issues"]
    assert issue["path"][0] == place
    assert said in issue["message"]


TAKEN = [
    ("image_upscale", {"imageUri": still(300, 300), "scaleFactor": 16}),
    ("image_upscale", {"imageUri": still(3140, 2000)}),
    ("voice_isolation", {"audioUri": audio(4.7)}),
    ("character_performance", {"reference": {"type": "video", "uri": video(30, (706, 300))}}),
    ("video_upscale", {"videoUri": video(30)}),
    ("video_to_hdr", {"videoUri": video(1, (4094, 256))}),
    ("recipes/product_swap", {"referenceVideo": {"uri": video(15)}}),
    ("recipes/product_ugc", {"characterImage": {"uri": still(800, 200)}}),
]


@pytest.mark.parametrize(("path", "more"), TAKEN)
async def test_media_at_the_bounds_are_taken(runway: Caller, path: str, more: dict[str, object]) -> None:
    reply = await runway.call("POST", f"/v1/{path}", json={**BODIES[path], **more})

    assert reply.status == 200, reply.json


@pytest.mark.parametrize(("seconds", "code"), [(3_599.0, None), (3_601.0, "too_big"), (4.0, "too_small")])
async def test_an_hour_is_the_longest_voice(seconds: float, code: str | None) -> None:
    """Without a file of an hour."""
    asked = Asset(place=("audioUri",), digest="", kind="audio", seconds=seconds)

    found = list(media_issues(Operation.VOICE_ISOLATION, {"model": "eleven_voice_isolation"}, [asked]))

    assert [issue.code for issue in found] == ([code] if code else [])


JUNK = [
    ("image_upscale", {"imageUri": data_uri(b"junk" * 99)}, "imageUri", "The image could not be read."),
    ("video_to_hdr", {"videoUri": data_uri(b"junk" * 99, "video/mp4")}, "videoUri", "The video could not be read."),
    ("voice_dubbing", {"audioUri": data_uri(b"junk" * 99, "audio/mp3")}, "audioUri", "The audio could not be read."),
    ("voice_dubbing", {"audioUri": data_uri(clip(2), "audio/mp4")}, "audioUri", "The audio could not be read."),
    ("video_upscale", {"videoUri": data_uri(sound(2), "video/mp4")}, "videoUri", "The video could not be read."),
    ("avatar_videos", {"speech": {"type": "audio", "audio": data_uri(b"junk" * 99, "audio/wav")}}, "speech",
     "The audio could not be read."),
    ("character_performance", {"character": {"type": "image", "uri": video(4).replace("video/mp4", "image/png")}},
     "character", "The image could not be read."),
    ("text_to_speech", {"model": "seed_audio", "promptText": "x",
                        "voice": {"type": "reference-audio", "audioUri": data_uri(b"junk" * 99, "audio/wav")}},
     "voice", "The audio could not be read."),
    ("sound_effect", {"model": "seed_audio", "referenceAudios": [audio(1), data_uri(b"junk" * 99, "audio/wav")]},
     "referenceAudios", "The audio could not be read."),
    ("recipes/product_ad", {"styleImages": [{"uri": data_uri(b"junk" * 99)}]}, "styleImages",
     "The image could not be read."),
]  # fmt: skip


@pytest.mark.parametrize(("path", "more", "place", "said"), JUNK)
async def test_files_of_another_kind_are_refused_wherever_they_stand(
    runway: Caller, path: str, more: dict[str, object], place: str, said: str
) -> None:
    reply = await runway.call("POST", f"/v1/{path}", json={**BODIES[path], **more})

    assert reply.status == 400
    [issue] = reply.json["issues"]
    assert issue["path"][0] == place
    assert said in issue["message"]
