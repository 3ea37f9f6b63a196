"""Speech and sounds as they are asked for: length, format, voice, and what is heard of the input."""

import wave
from collections.abc import AsyncIterator
from io import BytesIO

import numpy as np
import pytest
import pytest_asyncio
from numpy.typing import NDArray

from evergreen_server.providers.runway.rendering.spoken import SPOKEN_MOST, spoken_seconds
from evergreen_server.providers.runway.sandbox.generation.voices import pitch_of
from tests.providers.runway.sandbox.driver import Caller, data_uri
from tests.providers.runway.sandbox.made import clip, sound
from tests.providers.runway.sandbox.making import made, pitch, samples, shared

pytestmark = pytest.mark.asyncio(loop_scope="module")

RATE = 16_000
LINE = "The light has gone out. Who will climb the stairs?"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def runway() -> AsyncIterator[Caller]:
    async for caller in shared():
        yield caller


def spoken(name: str = "Maya", **more: object) -> dict[str, object]:
    voice = {"type": "runway-preset", "presetId": name}
    return {"model": "eleven_v3", "promptText": LINE, "voice": voice, **more}


def tones(*parts: tuple[float, float]) -> str:
    """A WAV of a tone of 440 Hz, by the seconds and the loudness of its parts."""
    levels = np.concatenate([np.full(round(seconds * RATE), level) for seconds, level in parts])
    heard = levels * np.sin(2 * np.pi * 440 * np.arange(len(levels)) / RATE)
    out = BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((heard * 32_000).astype("<i2").tobytes())
    return data_uri(out.getvalue(), "audio/wav")


def loudness(heard: NDArray[np.float32], rate: int, start: float, end: float) -> float:
    return float(np.abs(heard[round(start * rate) : round(end * rate)]).mean())


async def test_a_line_is_spoken_in_an_mp3_with_a_pause_at_its_stop(runway: Caller) -> None:
    done = await made(runway, "text_to_speech", spoken())

    heard, rate, codec = samples(done.file.data)
    stop = spoken_seconds(LINE.partition(".")[0])
    assert (done.file.ending, done.file.content_type, codec, rate) == ("mp3", "audio/mpeg", "mp3float", 44_100)
    assert len(heard) / rate == pytest.approx(spoken_seconds(LINE), abs=0.1)
    assert loudness(heard, rate, stop + 0.1, stop + 0.3) < 0.01 < loudness(heard, rate, 0.1, stop - 0.1)
    assert set(done.answer) == {"id", "estimatedCost"}


async def test_a_voice_has_its_own_height_and_a_line_its_pace(runway: Caller) -> None:
    async def heard(**more: object) -> tuple[NDArray[np.float32], int]:
        told, rate, _ = samples((await made(runway, "text_to_speech", spoken(**more))).file.data)
        return told, rate

    maya, leslie, slow = await heard(name="Maya"), await heard(name="Leslie"), await heard(name="Maya", speed=0.7)

    assert pitch(*maya) == pytest.approx(pitch_of("Maya"), abs=6)
    assert pitch(*leslie) == pytest.approx(pitch_of("Leslie"), abs=6)
    assert pitch_of("Maya") != pitch_of("Leslie")
    assert len(slow[0]) / len(maya[0]) == pytest.approx(1 / 0.7, abs=0.05)


@pytest.mark.parametrize(
    ("path", "asked", "ending", "content_type", "codec", "rate"),
    [
        ("text_to_speech", {"model": "seed_audio", "outputFormat": "wav", "sampleRate": 8000}, "wav", "audio/wav",
         "pcm_s16le", 8000),
        ("text_to_speech", {"model": "seed_audio", "outputFormat": "ogg_opus", "sampleRate": 44_100}, "ogg",
         "audio/ogg", "opus", 48_000),
        ("text_to_speech", {"model": "seed_audio", "sampleRate": 24_000}, "mp3", "audio/mpeg", "mp3float", 24_000),
        ("text_to_speech", {"model": "eleven_v4", "voice": {"type": "runway-preset", "presetId": "Jack"}}, "mp3",
         "audio/mpeg", "mp3float", 44_100),
        ("sound_effect", {"model": "mirelo_sfx_2_0", "duration": 1.5, "format": "flac"}, "flac", "audio/flac", "flac",
         44_100),
        ("sound_effect", {"model": "seed_audio", "outputFormat": "wav"}, "wav", "audio/wav", "pcm_s16le", 44_100),
        ("sound_effect", {"model": "eleven_text_to_sound_v2"}, "mp3", "audio/mpeg", "mp3float", 44_100),
    ],
)  # fmt: skip
async def test_a_sound_has_the_format_that_was_asked_for(
    runway: Caller, path: str, asked: dict[str, object], ending: str, content_type: str, codec: str, rate: int
) -> None:
    done = await made(runway, path, {"promptText": "a door falls shut", **asked})

    heard, found, name = samples(done.file.data)
    assert (done.file.ending, done.file.content_type, name, found) == (ending, content_type, codec, rate)
    assert len(heard) > rate


async def test_the_rates_of_seed_audio_are_heard(runway: Caller) -> None:
    asked = {"model": "seed_audio", "promptText": LINE, "outputFormat": "wav", "sampleRate": 16_000}
    voice = {"type": "reference-audio", "audioUri": data_uri(sound(1), "audio/wav")}
    plain, rate, _ = samples((await made(runway, "text_to_speech", {**asked, "voice": voice})).file.data)
    rates = {"pitchRate": 12, "speechRate": 100, "loudnessRate": -50}
    other, _, _ = samples((await made(runway, "text_to_speech", {**asked, "voice": voice, **rates})).file.data)

    assert pitch(other, rate) == pytest.approx(2 * pitch(plain, rate), rel=0.06)
    assert len(other) / len(plain) == pytest.approx(0.5, abs=0.02)
    assert np.abs(other).mean() < 0.7 * np.abs(plain).mean()


@pytest.mark.parametrize("seconds", [0.5, 2.7, 30])
async def test_an_effect_is_as_long_as_asked(runway: Caller, seconds: float) -> None:
    asked = {"model": "eleven_text_to_sound_v2", "promptText": "rain", "duration": seconds}

    heard, rate, _ = samples((await made(runway, "sound_effect", asked)).file.data)

    assert len(heard) / rate == pytest.approx(seconds, abs=0.06)
    assert np.abs(heard).max() > 0.05


async def test_the_end_of_a_loop_meets_its_beginning(runway: Caller) -> None:
    async def last(loop: bool) -> float:
        asked = {"model": "eleven_text_to_sound_v2", "promptText": "rain", "duration": 2, "loop": loop}
        heard, rate, _ = samples((await made(runway, "sound_effect", asked)).file.data)
        return loudness(heard, rate, 1.97, 2)

    assert await last(False) < 0.02 < await last(True)


@pytest.mark.parametrize("path", ["sound_effect", "video_to_audio"])
async def test_each_variant_of_a_sound_differs_and_is_as_long_as_asked(runway: Caller, path: str) -> None:
    asked: dict[str, object] = {
        "model": "mirelo_sfx_2_0", "promptText": "waves", "duration": 2.5, "numVariants": 3, "format": "wav"
    }  # fmt: skip
    if path == "video_to_audio":
        asked["videoUri"] = data_uri(clip(2), "video/mp4")

    files = (await made(runway, path, asked)).files

    assert len({file.data for file in files}) == len(files) == 3
    assert [len(heard) / rate for heard, rate, _ in (samples(file.data) for file in files)] == [2.5] * 3


@pytest.mark.parametrize(
    ("path", "asked", "voice"),
    [
        ("speech_to_speech", {"model": "eleven_multilingual_sts_v2",
                              "voice": {"type": "runway-preset", "presetId": "Kirk"}}, "Kirk"),
        ("voice_dubbing", {"model": "eleven_voice_dubbing", "targetLang": "de"}, "de"),
    ],
)  # fmt: skip
async def test_another_voice_speaks_when_and_as_long_as_the_input_does(
    runway: Caller, path: str, asked: dict[str, object], voice: str
) -> None:
    given = tones((2, 0.5), (1, 0), (1.3, 0.5))
    given_as = {"media": {"type": "audio", "uri": given}} if path == "speech_to_speech" else {"audioUri": given}

    heard, rate, _ = samples((await made(runway, path, {**asked, **given_as})).file.data)

    assert len(heard) / rate == pytest.approx(4.3, abs=0.06)
    assert loudness(heard, rate, 2.2, 2.8) < 0.01 < 0.1 < loudness(heard, rate, 0.3, 1.8)
    assert pitch(heard[: 2 * rate], rate) == pytest.approx(pitch_of(voice), abs=2)


async def test_the_voice_of_a_video_is_changed_and_one_without_sound_is_refused(runway: Caller) -> None:
    asked = {"model": "eleven_multilingual_sts_v2", "voice": {"type": "runway-preset", "presetId": "Kirk"}}
    with_sound = await made(
        runway, "text_to_video", {"model": "veo3.1", "promptText": "x", "ratio": "1280:720", "duration": 4}
    )
    loud, silent = (data_uri(one, "video/mp4") for one in (with_sound.file.data, clip(4)))

    heard, rate, _ = samples(
        (await made(runway, "speech_to_speech", {**asked, "media": {"type": "video", "uri": loud}})).file.data
    )
    refused = await runway.call(
        "POST", "/v1/speech_to_speech", json={**asked, "media": {"type": "video", "uri": silent}}
    )

    assert len(heard) / rate == pytest.approx(4, abs=0.1)
    assert refused.status == 400
    assert refused.json["issues"][0]["message"] == "Invalid asset. The video has no audio."


async def test_an_isolated_voice_has_lost_what_is_quiet_and_keeps_its_height(runway: Caller) -> None:
    asked = {"model": "eleven_voice_isolation", "audioUri": tones((3, 0.5), (3, 0.01))}

    heard, rate, _ = samples((await made(runway, "voice_isolation", asked)).file.data)

    assert len(heard) / rate == pytest.approx(6, abs=0.06)
    assert loudness(heard, rate, 3.5, 5.5) < 0.0005 < 0.1 < loudness(heard, rate, 0.5, 2.5)
    assert pitch(heard[: 2 * rate], rate) == pytest.approx(440, abs=2)


async def test_a_sound_that_breaks_off_keeps_the_length_that_it_was_taken_with(runway: Caller) -> None:
    whole, rate, _ = samples((await made(runway, "text_to_speech", spoken())).file.data)
    data = (await made(runway, "text_to_speech", spoken())).file.data
    broken = data[: len(data) // 2] + bytes(len(data) // 2)
    asked = {"model": "eleven_voice_dubbing", "targetLang": "fr", "audioUri": data_uri(broken, "audio/mpeg")}

    heard, found, _ = samples((await made(runway, "voice_dubbing", asked)).file.data)

    assert rate == found
    assert 0.4 * len(whole) < len(heard) < 1.1 * len(whole)


async def test_long_texts_end_and_empty_ones_are_a_syllable() -> None:
    assert spoken_seconds("a" * 10**6) == spoken_seconds("a. " * 10**6) == pytest.approx(SPOKEN_MOST)
    assert 0 < spoken_seconds("...") == spoken_seconds("[laughs]") < 1
    assert spoken_seconds("你好世界") > spoken_seconds("abcd")
    assert spoken_seconds("one, two", 2.0) == pytest.approx(spoken_seconds("one, two") / 2)
