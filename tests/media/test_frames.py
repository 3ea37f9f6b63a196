"""The last frame of a clip: the very one that is shown last, in its colours, whatever the clip is."""

from collections.abc import AsyncIterator
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy
import pytest
import pytest_asyncio
from av.video.reformatter import ColorRange, VideoReformatter
from PIL import Image

from evergreen_server.media.frames import SCALING, matrix_of
from evergreen_server.media.limits import MediaLimits
from evergreen_server.media.tools import Media
from evergreen_server.ports.media import MediaRefused
from tests.media.render.reel import Rows, clip, number_of, psnr, scene, sound, tone
from tests.media.test_clips import video

pytestmark = pytest.mark.asyncio(loop_scope="module")

LARGE = (1280, 720)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def media(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Media]:
    """One for all tests here, since its decoders take a moment to start."""
    temp_dir = tmp_path_factory.mktemp("media")
    async with Media(private_hosts=(), limits=MediaLimits(), temp_dir=temp_dir) as media:
        yield media
    assert list(temp_dir.iterdir()) == []


async def last(media: Media, path: Path) -> Rows:
    picture = await media.last_frame(path, owner="p")
    with Image.open(BytesIO(picture.data)) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (picture.width, picture.height))
        assert picture.content_type == "image/png"
        return numpy.asarray(image)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("a.mp4", {}),
        ("a.mov", {"pixels": "yuv422p10le"}),
        ("a.mp4", {"size": LARGE, "frames": 5}),
        ("a.mp4", {"size": LARGE, "frames": 5, "tagged": False}),
        ("a.mp4", {"matrix": 6}),
        ("a.mp4", {"matrix": 6, "tagged": False}),
        ("a.mp4", {"pixels": "yuvj420p"}),
        ("a.webm", {"codec": "libvpx-vp9", "options": {"crf": "10", "b": "0"}, "frames": 12}),
        ("a.mp4", {"options": {"bf": "3", "g": "250", "x264-params": "open-gop=1:b-pyramid=normal"}}),
        ("a.mp4", {"frames": 1}),
        ("a.mp4", {"sound": 0.3}),
    ],
)
async def test_the_last_frame_is_taken_in_its_colours(
    media: Media, tmp_path: Path, name: str, how: dict[str, Any]
) -> None:
    path = clip(tmp_path / name, **how)

    picture = await last(media, path)

    size, frames = how.get("size", (160, 90)), how.get("frames", 24)
    assert number_of(picture) == frames - 1
    assert psnr(picture, scene(*size, frames - 1)) >= 36


async def test_nothing_of_a_frame_is_lost(media: Media, tmp_path: Path) -> None:
    """Coded in RGB and without loss, so that what was drawn can be compared byte for byte."""
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264rgb", rate=24, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 160, 90, "rgb24"
        for number in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(scene(160, 90, number), format="rgb24")))
        container.mux(stream.encode())

    assert numpy.array_equal(await last(media, path), scene(160, 90, 9))


@pytest.mark.parametrize("angle", [90, 180, 270])
async def test_a_turned_clip_ends_upright(media: Media, tmp_path: Path, angle: int) -> None:
    path = clip(tmp_path / "a.mp4", size=(160, 90), rotated=angle)

    picture = await last(media, path)

    size = (90, 160) if angle % 180 else (160, 90)
    assert picture.shape[1::-1] == size
    assert psnr(picture, scene(*size, 23)) >= 36


async def test_pixels_that_are_not_square_are_stretched(media: Media, tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", aspect=Fraction(2))

    assert (await last(media, path)).shape[1::-1] == (320, 90)


@pytest.mark.parametrize("options", [{"g": "250"}, {"g": "4"}, {"bf": "8", "g": "40", "x264-params": "open-gop=1"}])
async def test_of_a_long_clip_too_the_very_last_is_taken(media: Media, tmp_path: Path, options: dict[str, str]) -> None:
    path = clip(tmp_path / "a.mp4", fps=3, frames=50, options={"crf": "8", **options})
    with av.open(str(path)) as container:
        *_, whole = container.decode(video=0)
    seen = VideoReformatter().reformat(
        whole, format="rgb24", interpolation=SCALING, src_colorspace=matrix_of(whole), dst_color_range=ColorRange.JPEG
    )

    picture = await last(media, path)

    assert number_of(picture) == 49
    assert numpy.array_equal(picture, seen.to_ndarray())


async def test_a_clip_that_is_damaged_ends_before_the_damage(media: Media, tmp_path: Path) -> None:
    data = bytearray(clip(tmp_path / "a.webm", codec="libvpx-vp9", fps=3, frames=40).read_bytes())
    path = tmp_path / "damaged.webm"
    path.write_bytes(data[: len(data) * 3 // 4])

    assert 10 < number_of(await last(media, path)) < 39


async def test_what_no_png_has_room_for_becomes_a_jpeg(tmp_path: Path) -> None:
    noise = numpy.random.default_rng(1).integers(0, 255, (90, 160, 3), numpy.uint8)
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264rgb", rate=24, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 160, 90, "rgb24"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
        container.mux(stream.encode())
    async with Media(private_hosts=(), limits=MediaLimits(picture_bytes=30_000), temp_dir=tmp_path) as media:
        picture = await media.last_frame(path, owner="p")

    with Image.open(BytesIO(picture.data)) as image:
        assert (image.format, image.size, picture.content_type) == ("JPEG", (160, 90), "image/jpeg")


async def test_what_has_no_frame_is_refused(media: Media, tmp_path: Path) -> None:
    heard = sound(tmp_path / "a.m4a", tone(1, 0.3))
    hdr = clip(tmp_path / "hdr.mp4", pixels="yuv420p10le", matrix=9, transfer=16)
    torn = bytearray(video(tmp_path / "a.mp4").read_bytes())
    begin = torn.index(b"mdat") + 4
    torn[begin:] = bytes(len(torn) - begin)
    broken = tmp_path / "torn.mp4"
    broken.write_bytes(torn)

    for path, named in ((heard, "no video"), (hdr, "HDR"), (broken, "no frame of the video can be decoded")):
        with pytest.raises(MediaRefused, match=named) as refused:
            await media.last_frame(path, owner="p")
        assert refused.value.reason == "MEDIA_REFUSED"
