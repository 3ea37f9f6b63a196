import random
from collections.abc import AsyncIterator
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import numpy
import pytest
import pytest_asyncio
from PIL import Image, ImageStat

from evergreen_server.media.limits import MediaLimits
from evergreen_server.media.tools import Media
from evergreen_server.ports.media import MediaRefused
from tests.media.web import Web

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def media(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Media]:
    """One for all tests here, since its decoders take a moment to start."""
    temp_dir = tmp_path_factory.mktemp("media")
    async with Media(private_hosts=(), limits=MediaLimits(), temp_dir=temp_dir) as media:
        yield media
    assert list(temp_dir.iterdir()) == []


def video(
    path: Path, *, codec: str = "libx264", size: tuple[int, int] = (64, 48), seconds: float = 2, rate: int = 20
) -> Path:
    """Writes a clip that is black for half a second and white from then on."""
    with av.open(str(path), "w", options={"movflags": "+faststart"} if path.suffix == ".mp4" else {}) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for number in range(int(seconds * rate)):
            shade = 0 if number < rate / 2 else 255
            frame = av.VideoFrame.from_ndarray(numpy.full((size[1], size[0], 3), shade, numpy.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def sound(path: Path, codec: str, rate: int = 48_000) -> Path:
    """Writes a second of silence."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        kind, sample = {"libmp3lame": ("s16p", "i2"), "aac": ("fltp", "f4")}.get(codec, ("s16", "i2"))
        for start in range(0, rate, 960):
            frame = av.AudioFrame.from_ndarray(numpy.zeros((1, 960), sample), kind, "mono")
            frame.sample_rate, frame.pts = rate, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


async def refusal(media: Media, path: Path) -> str:
    with pytest.raises(MediaRefused) as probed:
        await media.probe(path, owner="p")
    with pytest.raises(MediaRefused) as shown:
        await media.poster(path, owner="p")
    assert probed.value.reason == shown.value.reason == "MEDIA_REFUSED"
    return str(probed.value)


@pytest.mark.parametrize(
    ("name", "codec", "content_type", "called"),
    [
        ("a.mp4", "libx264", "video/mp4", "h264"),
        ("a.mov", "libx264", "video/quicktime", "h264"),
        ("a.mkv", "libx264", "video/x-matroska", "h264"),
        ("a.webm", "libvpx-vp9", "video/webm", "vp9"),
    ],
)
async def test_a_video_is_measured(
    media: Media, tmp_path: Path, name: str, codec: str, content_type: str, called: str
) -> None:
    clip = await media.probe(video(tmp_path / name, codec=codec), owner="p")

    assert (clip.content_type, clip.width, clip.height) == (content_type, 64, 48)
    assert clip.codec.removeprefix("lib").startswith(called)
    assert clip.duration_seconds == pytest.approx(2, abs=0.06)


@pytest.mark.parametrize(
    ("name", "codec", "content_type"),
    [
        ("a.mp3", "libmp3lame", "audio/mpeg"),
        ("a.wav", "pcm_s16le", "audio/wav"),
        ("a.flac", "flac", "audio/flac"),
        ("a.ogg", "libopus", "audio/ogg"),
        ("a.m4a", "aac", "audio/mp4"),
        ("a.mp4", "aac", "audio/mp4"),
    ],
)
async def test_sound_is_measured_and_has_no_poster(
    media: Media, tmp_path: Path, name: str, codec: str, content_type: str
) -> None:
    path = sound(tmp_path / name, codec)

    clip = await media.probe(path, owner="p")

    assert (clip.content_type, clip.width, clip.height) == (content_type, 0, 0)
    assert clip.duration_seconds == pytest.approx(1, abs=0.1)
    with pytest.raises(MediaRefused, match="no video"):
        await media.poster(path, owner="p")


async def test_a_poster_shows_a_frame_after_the_fade_in(media: Media, tmp_path: Path) -> None:
    with Image.open(BytesIO(await media.poster(video(tmp_path / "a.mp4"), owner="p"))) as poster:
        assert (poster.format, poster.size) == ("JPEG", (64, 48))
        assert min(ImageStat.Stat(poster).mean) > 240


async def test_a_poster_of_a_very_short_video_is_made(media: Media, tmp_path: Path) -> None:
    with Image.open(BytesIO(await media.poster(video(tmp_path / "a.mp4", seconds=0.05), owner="p"))) as poster:
        assert poster.size == (64, 48)


async def test_a_poster_is_at_most_1280_pixels_wide(media: Media, tmp_path: Path) -> None:
    path = video(tmp_path / "a.mp4", size=(1920, 1080), rate=4, seconds=1)

    with Image.open(BytesIO(await media.poster(path, owner="p"))) as poster:
        assert poster.size == (1280, 720)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "empty"),
        (b"\x00\x01\x02\x03" * 100, "no known kind"),
        (b"<!DOCTYPE html><html></html>", "text/html"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "image/jpeg"),
        (b"\x00\x00\x00\x18ftypmp42" + bytes(200), "broken or truncated"),
        (b"\x1aE\xdf\xa3" + bytes(200), "broken or truncated"),
        (b"OggS" + bytes(200), "broken or truncated"),
    ],
)
async def test_what_is_no_video_is_refused(media: Media, tmp_path: Path, content: bytes, named: str) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)

    assert named in await refusal(media, path)


@pytest.mark.parametrize("disguise", [b"", b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom\n"])
async def test_a_playlist_that_calls_itself_mp4_opens_nothing(media: Media, tmp_path: Path, disguise: bytes) -> None:
    path = tmp_path / "a.mp4"
    async with Web() as web:
        playlist = f"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:{web.port}/a.ts\n#EXT-X-ENDLIST\n"
        path.write_bytes(disguise + playlist.encode())

        await refusal(media, path)

        assert await web.was_untouched()


async def test_a_truncated_video_is_refused(media: Media, tmp_path: Path) -> None:
    whole = video(tmp_path / "whole.mov").read_bytes()
    path = tmp_path / "half.mov"
    path.write_bytes(whole[: len(whole) // 2])

    assert "broken or truncated" in await refusal(media, path)


async def test_a_video_with_no_decodable_frame_has_no_poster(media: Media, tmp_path: Path) -> None:
    path = video(tmp_path / "a.mp4")
    content = path.read_bytes()
    frames = content.index(b"mdat") + 4
    path.write_bytes(content[:frames] + bytes(len(content) - frames))

    assert (await media.probe(path, owner="p")).width == 64
    with pytest.raises(MediaRefused):
        await media.poster(path, owner="p")


async def test_a_video_with_too_many_pixels_is_refused(tmp_path: Path) -> None:
    async with Media(private_hosts=(), limits=MediaLimits(frame_pixels=64 * 47), temp_dir=tmp_path) as media:
        assert "64x48" in await refusal(media, video(tmp_path / "a.mp4"))


async def test_damage_of_any_kind_ends_in_an_answer_or_a_refusal(media: Media, tmp_path: Path) -> None:
    chance = random.Random(7)
    path = tmp_path / "damaged"
    refused = 0
    for name, codec in (("a.mp4", "libx264"), ("a.webm", "libvpx-vp9")):
        whole = video(tmp_path / name, codec=codec, seconds=0.5).read_bytes()
        for _ in range(60):
            damaged = bytearray(whole)
            for _ in range(chance.randint(1, 30)):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            path.write_bytes(damaged)
            for work in (media.probe, media.poster, media.last_frame):
                try:
                    await work(path, owner="p")
                except MediaRefused:
                    refused += 1

    assert refused > 10


async def test_a_missing_file_is_not_blamed_on_the_video(media: Media, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await media.probe(tmp_path / "missing.mp4", owner="p")


async def test_a_turned_clip_is_measured_and_shown_upright(media: Media, samples: Path) -> None:
    clip = await media.probe(samples / "rotate-90.mp4", owner="p")
    with Image.open(BytesIO(await media.poster(samples / "rotate-90.mp4", owner="p"))) as poster:
        assert (clip.width, clip.height) == poster.size == (180, 320)


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv"])
@pytest.mark.parametrize("angle", [0, 90, 180, 270])
@pytest.mark.parametrize("flipped", [False, True])
async def test_a_poster_is_turned_and_flipped_as_the_clip_says(
    media: Media, tmp_path: Path, name: str, angle: int, flipped: bool
) -> None:
    """The coded frames are red in the corner where their first row begins."""
    path = tmp_path / name
    pixels = numpy.zeros((48, 64, 3), numpy.uint8)
    pixels[:24, :32, 0] = 255
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_rotation(angle, hflip=flipped)
        for _ in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    # Counter-clockwise, then mirrored: where the corner at the top left goes.
    corner = {0: "top left", 90: "bottom left", 180: "bottom right", 270: "top right"}[angle]
    if flipped:
        row, side = corner.split()
        corner = f"{row} {'left' if side == 'right' else 'right'}"

    clip = await media.probe(path, owner="p")
    with Image.open(BytesIO(await media.poster(path, owner="p"))) as poster:
        width, height = poster.size
        red = {
            f"{row} {side}"
            for row, y in (("top", 4), ("bottom", height - 5))
            for side, x in (("left", 4), ("right", width - 5))
            if poster.getpixel((x, y))[0] > 128  # type: ignore[index]  # an RGB pixel
        }

    assert (clip.width, clip.height) == poster.size == ((48, 64) if angle in (90, 270) else (64, 48))
    assert red == {corner}


async def test_pixels_that_are_not_square_are_stretched(media: Media, tmp_path: Path) -> None:
    path = tmp_path / "wide.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(2)
        for _ in range(10):
            container.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        container.mux(stream.encode())

    clip = await media.probe(path, owner="p")
    with Image.open(BytesIO(await media.poster(path, owner="p"))) as poster:
        assert (clip.width, clip.height) == poster.size == (128, 48)


async def test_a_recording_without_a_duration_is_measured(media: Media, samples: Path) -> None:
    clip = await media.probe(samples / "browser-webm-no-duration.webm", owner="p")

    assert clip.duration_seconds == pytest.approx(2, abs=0.05)
