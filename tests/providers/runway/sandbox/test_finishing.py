"""Videos made from videos, avatars and recipes: their length, size, frame rate, codec and sound."""

import json
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO

import av
import numpy as np
import pytest
import pytest_asyncio
from PIL import Image

from evergreen_server.providers.runway.rendering.spoken import spoken_seconds
from evergreen_server.providers.runway.sandbox.generation.voices import pitch_of
from tests.providers.runway.sandbox.driver import Caller, data_uri, picture
from tests.providers.runway.sandbox.made import sound
from tests.providers.runway.sandbox.making import made, pitch, samples, shared

pytestmark = pytest.mark.asyncio(loop_scope="module")

LINE = "Good evening. The light is lit again."


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def runway() -> AsyncIterator[Caller]:
    async for caller in shared():
        yield caller


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    size: tuple[int, int]
    seconds: float
    codec: str
    pixels: str
    profile: str
    transfer: int
    rate: Fraction
    count: int
    sounds: int


def seen(data: bytes) -> Seen:
    with av.open(BytesIO(data)) as container:
        stream = container.streams.video[0]
        coder = stream.codec_context
        assert stream.duration is not None
        assert stream.time_base is not None
        return Seen(
            size=(coder.width, coder.height),
            seconds=float(stream.duration * stream.time_base),
            codec=coder.name,
            pixels=str(coder.pix_fmt),
            profile=str(coder.profile),
            transfer=int(coder.color_trc),
            rate=stream.average_rate or Fraction(0),
            count=sum(1 for _ in container.decode(stream)),
            sounds=len(container.streams.audio),
        )


def film(seconds: int, size: tuple[int, int] = (320, 180), *, loud: bool = True, clear: bool = False) -> str:
    """A short film of ten frames a second, each of its own grey, with a tone of 300 Hz."""
    out = BytesIO()
    form, codec, pixels = ("mov", "prores_ks", "yuva444p10le") if clear else ("mp4", "libx264", "yuv420p")
    with av.open(out, "w", format=form) as container:
        stream = container.add_stream(codec, rate=10, options={"profile": "4444"} if clear else {"preset": "ultrafast"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        track = container.add_stream("aac", rate=16_000, layout="mono") if loud else None
        for number in range(seconds * 10):
            shade = np.full((size[1], size[0], 4), 10 + number % 200, np.uint8)
            shade[:, :, 3] = 100
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shade, format="rgba")))
        container.mux(stream.encode())
        if track is not None:
            assert isinstance(track, av.AudioStream)
            wave = (0.3 * np.sin(2 * np.pi * 300 * np.arange(seconds * 16_000) / 16_000)).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
            frame.sample_rate = 16_000
            container.mux(track.encode(frame))
            container.mux(track.encode())
    return data_uri(out.getvalue(), "video/quicktime" if clear else "video/mp4")


@pytest.mark.parametrize(
    ("more", "size"), [({}, (276, 208)), ({"ratio": "720:1280"}, (180, 320)), ({"ratio": "1584:672"}, (396, 168))]
)
async def test_a_performance_is_as_long_as_the_reference_and_sounds_like_it(
    runway: Caller, more: dict[str, object], size: tuple[int, int]
) -> None:
    asked = {
        "model": "act_two",
        "character": {"type": "image", "uri": data_uri(picture(800, 600))},
        "reference": {"type": "video", "uri": film(4)},
    }

    done = await made(runway, "character_performance", {**asked, **more})

    found = seen(done.file.data)
    heard, rate, _ = samples(done.file.data)
    assert (found.size, found.codec, found.sounds) == (size, "h264", 1)
    assert found.seconds == pytest.approx(4, abs=0.1)
    assert pitch(heard, rate) == pytest.approx(300, abs=2)
    assert set(done.answer) == {"id", "estimatedCost"}


async def test_a_character_in_a_video_performs_in_silence_after_a_silent_reference(runway: Caller) -> None:
    asked = {
        "model": "act_two",
        "character": {"type": "video", "uri": film(3, (360, 640))},
        "reference": {"type": "video", "uri": film(3, loud=False)},
    }

    found = seen((await made(runway, "character_performance", asked)).file.data)

    assert (found.size, found.sounds) == ((180, 320), 0)


@pytest.mark.parametrize(
    ("resolution", "size"), [("720p", (320, 180)), ("1k", (480, 270)), (None, (640, 360)), ("4k", (960, 540))]
)
async def test_an_upscaled_video_has_the_asked_size_and_the_frames_of_the_source(
    runway: Caller, resolution: str | None, size: tuple[int, int]
) -> None:
    asked: dict[str, object] = {"model": "magnific_video_upscaler_creative", "videoUri": film(2)}
    if resolution is not None:
        asked["resolution"] = resolution

    found = seen((await made(runway, "video_upscale", asked)).file.data)

    assert (found.size, found.rate, found.count, found.sounds) == (size, 10, 20, 1)


async def test_a_boost_doubles_the_frames(runway: Caller) -> None:
    asked = {"model": "magnific_video_upscaler_creative", "videoUri": film(2), "resolution": "720p", "fpsBoost": True}

    found = seen((await made(runway, "video_upscale", asked)).file.data)

    assert (found.rate, found.count, found.seconds) == (20, 40, pytest.approx(2, abs=0.05))


@pytest.mark.parametrize(
    ("target", "rate"), [("60", Fraction(60)), ("24", Fraction(24)), ("29_97", Fraction(30_000, 1001)),
                         ("23_98", Fraction(24_000, 1001)), ("59_94", Fraction(60_000, 1001))]
)  # fmt: skip
async def test_a_video_gets_the_frame_rate_and_keeps_its_length_and_sound(
    runway: Caller, target: str, rate: Fraction
) -> None:
    asked = {"model": "enhance_frame_rate", "videoUri": film(3), "targetFramerate": target}

    data = (await made(runway, "video_upscale", asked)).file.data

    found, (heard, samples_per_second, _) = seen(data), samples(data)
    assert (found.size, found.rate, found.count) == ((80, 44), rate, round(3 * rate))
    assert found.seconds == pytest.approx(3, abs=0.1)
    assert pitch(heard, samples_per_second) == pytest.approx(300, abs=2)


@pytest.mark.parametrize(
    ("more", "transfer"), [({}, 16), ({"outputFormat": "hdr10"}, 16), ({"outputFormat": "hlg"}, 18)]
)
async def test_hdr_is_ten_bit_hevc_with_its_transfer(runway: Caller, more: dict[str, object], transfer: int) -> None:
    done = await made(runway, "video_to_hdr", {"model": "ruby", "videoUri": film(2), **more})

    found = seen(done.file.data)
    assert (done.file.ending, done.file.content_type) == ("mp4", "video/mp4")
    assert (found.codec, found.profile, found.pixels) == ("hevc", "Main 10", "yuv420p10le")
    assert (found.transfer, found.count, found.rate, found.sounds) == (transfer, 20, 10, 1)


@pytest.mark.parametrize(
    ("profile", "clear", "pixels"), [(None, False, "yuv422p10le"), ("422", False, "yuv422p10le"),
                                     ("4444", False, "yuva444p10le"), ("422", True, "yuva444p10le")]
)  # fmt: skip
async def test_prores_is_a_mov_and_keeps_transparency(
    runway: Caller, profile: str | None, clear: bool, pixels: str
) -> None:
    asked: dict[str, object] = {"model": "ruby", "videoUri": film(1, clear=clear), "outputFormat": "hdr_prores"}
    if profile is not None:
        asked["proresProfile"] = profile

    done = await made(runway, "video_to_hdr", asked)

    found = seen(done.file.data)
    assert (done.file.ending, done.file.content_type, found.codec) == ("mov", "video/quicktime", "prores")
    assert found.pixels.replace("12le", "10le") == pixels


@pytest.mark.parametrize("clear", [False, True])
async def test_an_exr_sequence_has_a_frame_each_the_sound_and_its_colours(runway: Caller, clear: bool) -> None:
    asked = {"model": "ruby", "videoUri": film(1, (160, 120), clear=clear), "outputFormat": "hdr_exr_sequence"}

    done = await made(runway, "video_to_hdr", asked)

    with zipfile.ZipFile(BytesIO(done.file.data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    stills = sorted(name for name in files if name.endswith(".exr"))
    with av.open(BytesIO(files[stills[-1]]), format="exr_pipe") as container:
        [last] = container.decode(video=0)
    heard, rate, _ = samples(files["audio.wav"])
    assert (done.file.ending, done.file.content_type) == ("zip", "application/zip")
    assert set(files) - set(stills) == {"colorimetry.json", "provenance.json", "audio.wav"}
    assert json.loads(files["colorimetry.json"])["primaries"] == "bt2020"
    assert (len(stills), last.width, last.height) == (10, 40, 30)
    assert ("a" in last.format.name) is clear
    assert (len(heard) / rate, pitch(heard, rate)) == (pytest.approx(1, abs=0.01), pytest.approx(300, abs=2))


async def test_an_avatar_says_a_text_in_a_voice(runway: Caller) -> None:
    asked = {
        "model": "gwm1_avatars",
        "avatar": {"type": "runway-preset", "presetId": "cat-character"},
        "speech": {"type": "text", "text": LINE, "voice": {"type": "preset", "presetId": "victoria"}},
    }

    done = await made(runway, "avatar_videos", asked)

    found, (heard, rate, _) = seen(done.file.data), samples(done.file.data)
    assert set(done.answer) == {"id"}
    assert (done.file.ending, found.size, found.sounds) == ("mp4", (320, 180), 1)
    assert found.seconds == pytest.approx(spoken_seconds(LINE), abs=0.1)
    assert pitch(heard, rate) == pytest.approx(pitch_of("victoria"), abs=6)


async def test_an_avatar_is_as_long_as_the_sound_that_it_is_given(runway: Caller) -> None:
    asked = {
        "model": "gwm1_avatars",
        "avatar": {"type": "runway-preset", "presetId": "influencer"},
        "speech": {"type": "audio", "audio": data_uri(sound(2.5), "audio/wav")},
    }

    found = seen((await made(runway, "avatar_videos", asked)).file.data)

    assert (found.seconds, found.sounds) == (pytest.approx(2.5, abs=0.1), 1)


async def test_an_avatar_of_the_account_is_seen_and_speaks_in_its_voice_once_both_are_ready(runway: Caller) -> None:
    red = BytesIO()
    Image.new("RGB", (640, 360), (220, 20, 20)).save(red, "PNG")
    wished = {"type": "text", "prompt": "a calm and friendly voice", "model": "eleven_ttv_v3"}
    voice = (await runway.call("POST", "/v1/voices", json={"name": "calm", "from": wished})).json["id"]
    avatar = (
        await runway.call("POST", "/v1/avatars", json={
            "name": "Ada", "referenceImage": data_uri(red.getvalue()), "personality": "kind",
            "voice": {"type": "runway-live-preset", "presetId": "clara"},
        })
    ).json["id"]  # fmt: skip
    asked = {
        "model": "gwm1_avatars",
        "avatar": {"type": "custom", "avatarId": avatar},
        "speech": {"type": "text", "text": LINE, "voice": {"type": "custom", "id": voice}},
    }
    early = await runway.call("POST", "/v1/avatar_videos", json=asked)
    await runway.advance(3600)

    data = (await made(runway, "avatar_videos", asked)).file.data

    with av.open(BytesIO(data)) as container:
        pixel = next(container.decode(video=0)).to_ndarray(format="rgb24")[90, 160]
    assert early.status == 400
    assert [issue["path"][0] for issue in early.json["issues"]] == ["avatar", "speech"]
    assert [int(part) for part in pixel] == pytest.approx([220, 20, 20], abs=25)


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ({"avatar": {"type": "custom", "avatarId": "7f3c0d2e-4a1b-4c5d-8e6f-0a1b2c3d4e5f"}}, ["avatar", "avatarId"]),
        ({"speech": {"type": "text", "text": "hi", "voice": {"type": "custom", "id": "nobody"}}},
         ["speech", "voice", "id"]),
    ],
)  # fmt: skip
async def test_an_avatar_or_a_voice_that_was_never_made_is_refused(
    runway: Caller, more: dict[str, object], place: list[str]
) -> None:
    asked = {
        "model": "gwm1_avatars",
        "avatar": {"type": "runway-preset", "presetId": "influencer"},
        "speech": {"type": "text", "text": "hi"},
    }
    reply = await runway.call("POST", "/v1/avatar_videos", json={**asked, **more})

    assert reply.status == 400
    assert [issue["path"] for issue in reply.json["issues"]] == [place]


FILE = {"uri": data_uri(picture(640, 640))}

RECIPES = [
    # (recipe, body, size at a quarter, seconds, tracks of sound)
    ("multi_shot_video", {"mode": "auto", "prompt": "a chase"}, (320, 180), 10, 1),
    ("multi_shot_video", {"mode": "custom", "duration": 5, "ratio": "1080:1920", "audio": False, "firstFrame": FILE,
                          "shots": [{"prompt": "one", "duration": 2}, {"prompt": "two", "duration": 2},
                                    {"prompt": "three", "duration": 1}]}, (270, 480), 5, 0),
    ("product_ad", {"productImages": [FILE], "styleImages": [FILE]}, (320, 180), 10, 0),
    ("product_ad", {"productImages": [FILE], "ratio": "834:1112", "duration": 4, "audio": True}, (208, 278), 4, 1),
    ("product_swap", {"referenceVideo": {"uri": film(2, (240, 320))}, "originalProductImage": FILE,
                      "newProductImages": [{**FILE, "view": "front"}], "duration": 4}, (180, 240), 4, 1),
    ("product_ugc", {"characterImage": FILE, "productImage": FILE, "duration": 6, "ratio": "1080:1920"}, (270, 480),
     6, 1),
    ("product_ugc", {"characterImage": FILE, "productImage": FILE, "audio": False}, (180, 320), 15, 0),
]  # fmt: skip


@pytest.mark.parametrize(("recipe", "body", "size", "seconds", "sounds"), RECIPES)
async def test_a_recipe_makes_one_video(
    runway: Caller, recipe: str, body: dict[str, object], size: tuple[int, int], seconds: int, sounds: int
) -> None:
    done = await made(runway, f"recipes/{recipe}", {"version": "2026-06", **body})

    found = seen(done.file.data)
    assert (found.size, found.sounds) == (size, sounds)
    assert found.seconds == pytest.approx(seconds, abs=0.1)
    assert set(done.answer) == {"id", "estimatedCost"}


@pytest.mark.parametrize(
    ("recipe", "body", "size", "number"),
    [
        ("ad_localization", {"referenceImage": FILE, "targetLanguage": "zh-Hant"}, (160, 160), 1),
        ("marketing_stock_image", {"prompt": "a tram"}, (480, 270), 4),
        ("marketing_stock_image", {"prompt": "a tram", "outputCount": 2, "referenceImage": FILE}, (480, 270), 2),
        ("product_campaign_image", {"prompt": "on a beach", "image": FILE}, (480, 270), 4),
    ],
)
async def test_a_recipe_makes_pictures(
    runway: Caller, recipe: str, body: dict[str, object], size: tuple[int, int], number: int
) -> None:
    done = await made(runway, f"recipes/{recipe}", {"version": "unsafe-latest", **body})

    assert [Image.open(BytesIO(file.data)).size for file in done.files] == [size] * number
    assert {file.content_type for file in done.files} == {"image/png"}
    assert len({file.data for file in done.files}) == number


async def test_a_video_that_breaks_off_is_finished_to_its_stated_length(runway: Caller) -> None:
    whole = (await made(runway, "text_to_video", {"model": "gen4.5", "promptText": "x", "ratio": "1280:720",
                                                  "duration": 4})).file.data  # fmt: skip
    broken = data_uri(whole[: len(whole) * 3 // 4], "video/mp4")
    asked = {"model": "enhance_frame_rate", "videoUri": broken, "targetFramerate": "30"}

    assert seen((await made(runway, "video_upscale", asked)).file.data).count == 120
