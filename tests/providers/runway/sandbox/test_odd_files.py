"""Files that are odd but valid are taken, and what is made of them can be fetched."""

import wave
from collections.abc import AsyncIterator, Callable
from io import BytesIO

import av
import numpy as np
import pytest
import pytest_asyncio
from PIL import Image

from tests.providers.runway.sandbox.bodies import BODIES
from tests.providers.runway.sandbox.driver import Caller, data_uri
from tests.providers.runway.sandbox.making import made, samples, shared

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def runway() -> AsyncIterator[Caller]:
    async for caller in shared():
        yield caller


def saved(picture: Image.Image, form: str, **more: object) -> str:
    out = BytesIO()
    picture.save(out, form, **more)
    return data_uri(out.getvalue(), f"image/{form.lower()}")


def animated() -> str:
    shades = [Image.new("RGB", (400, 400), (shade, 0, 0)) for shade in (0, 200)]
    return saved(shades[0], "WEBP", save_all=True, append_images=shades[1:])


def see_through() -> str:
    picture = Image.new("P", (400, 400))
    picture.putpalette([0, 0, 0, 255, 0, 0])
    return saved(picture, "PNG", transparency=0)


PICTURES: dict[str, Callable[[], str]] = {
    "16 bits": lambda: saved(Image.fromarray(np.full((400, 400), 40_000, np.uint16)), "PNG"),
    "1 bit": lambda: saved(Image.new("1", (400, 400)), "PNG"),
    "grey with alpha": lambda: saved(Image.new("LA", (400, 400), (90, 120)), "PNG"),
    "a palette with a clear colour": see_through,
    "CMYK": lambda: saved(Image.new("CMYK", (400, 400), (9, 90, 90, 0)), "JPEG"),
    "progressive": lambda: saved(Image.new("RGB", (401, 399)), "JPEG", progressive=True),
    "moving": animated,
    "wide": lambda: saved(Image.new("RGB", (8000, 300)), "PNG"),
}


@pytest.mark.parametrize("kind", PICTURES)
async def test_pictures_of_any_mode(runway: Caller, kind: str) -> None:
    uri = PICTURES[kind]()

    larger = await made(runway, "image_upscale", {**BODIES["image_upscale"], "imageUri": uri})
    seen = await made(runway, "text_to_image", {**BODIES["text_to_image"], "referenceImages": [{"uri": uri}] * 3})

    assert larger.file.data[:4] == seen.file.data[:4] == b"\x89PNG"


def recorded(rate: int, channels: int, width: int) -> str:
    out = BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(bytes(rate * channels * width * 5))
    return data_uri(out.getvalue(), "audio/wav")


def encoded(container: str, codec: str, rate: int, content_type: str) -> str:
    out = BytesIO()
    with av.open(out, "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate, layout="stereo")
        assert isinstance(stream, av.AudioStream)
        for start in range(0, rate * 5, 1000):
            frame = av.AudioFrame.from_ndarray(np.zeros((2, 1000), np.float32), format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = rate, start
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return data_uri(out.getvalue(), content_type)


SOUNDS: dict[str, Callable[[], str]] = {
    "8 kHz, 8 bits": lambda: recorded(8_000, 1, 1),
    "six channels": lambda: recorded(8_000, 6, 2),
    "24 bits": lambda: recorded(22_050, 2, 3),
    "aac": lambda: encoded("adts", "aac", 48_000, "audio/aac"),
    "m4a": lambda: encoded("ipod", "aac", 44_100, "audio/x-m4a"),
    "flac": lambda: encoded("flac", "flac", 96_000, "audio/flac"),
    "mp3": lambda: encoded("mp3", "libmp3lame", 22_050, "audio/mpeg"),
}


@pytest.mark.parametrize("kind", SOUNDS)
@pytest.mark.parametrize("path", ["voice_dubbing", "voice_isolation"])
async def test_sounds_of_any_rate_and_codec(runway: Caller, path: str, kind: str) -> None:
    heard, rate, _ = samples((await made(runway, path, {**BODIES[path], "audioUri": SOUNDS[kind]()})).file.data)

    assert len(heard) / rate == pytest.approx(5, abs=0.2)


def filmed(container: str, codec: str, content_type: str, *, size: tuple[int, int] = (322, 182), **more: str) -> str:
    out = BytesIO()
    with av.open(out, "w", format=container) as file:
        stream = file.add_stream(codec, rate=12, options=more)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number in range(48):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((*size[::-1], 3), number, np.uint8), "rgb24")))
        file.mux(stream.encode())
    return data_uri(out.getvalue(), content_type)


VIDEOS: dict[str, Callable[[], str]] = {
    "VP9": lambda: filmed("webm", "libvpx-vp9", "video/webm", deadline="realtime"),
    "Matroska": lambda: filmed("matroska", "libx264", "video/x-matroska", preset="ultrafast"),
    "HEVC": lambda: filmed("mp4", "libx265", "video/mp4", preset="ultrafast", **{"x265-params": "log-level=none"}),
    "MPEG-4": lambda: filmed("avi", "mpeg4", "video/x-msvideo"),
    "tiny": lambda: filmed("mp4", "libx264", "video/mp4", size=(16, 16), preset="ultrafast"),
}


@pytest.mark.parametrize("kind", VIDEOS)
async def test_videos_of_any_codec(runway: Caller, kind: str) -> None:
    uri = VIDEOS[kind]()

    larger = await made(runway, "video_upscale", {**BODIES["video_upscale"], "videoUri": uri})
    graded = await made(runway, "video_to_hdr", {**BODIES["video_to_hdr"], "videoUri": uri})

    for file in (larger.file, graded.file):
        with av.open(BytesIO(file.data)) as container:
            assert sum(1 for _ in container.decode(video=0)) == 48
