"""Thumbnails: small, upright, opaque, of the first frame; made in processes of their own, and nothing is left."""

import io
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from PIL import Image

from evergreen_server.media.limits import MediaLimits
from evergreen_server.media.tools import Thumbnailer
from evergreen_server.ports.media import MediaRefused

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def thumbnailer(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Thumbnailer]:
    temp_dir = tmp_path_factory.mktemp("thumbnails")
    limits = MediaLimits(decoders_at_once=2, picture_bytes=1 << 20, picture_pixels=4_000_000)
    async with Thumbnailer(limits=limits, temp_dir=temp_dir) as opened:
        yield opened
    assert list(temp_dir.iterdir()) == []


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    assert (image.format, image.mode) == ("JPEG", "RGB")
    return image


@pytest.mark.parametrize(
    ("size", "wanted"),
    [((400, 200), (160, 80)), ((100, 50), (100, 50)), ((100, 2000), (24, 480)), ((2000, 2), (160, 1))],
)
async def test_a_thumbnail_is_as_wide_as_asked_for_or_as_its_picture(
    thumbnailer: Thumbnailer, size: tuple[int, int], wanted: tuple[int, int]
) -> None:
    made = await thumbnailer.thumbnail(encoded(Image.new("RGB", size, "teal")), 160, owner="one")

    assert opened(made).size == wanted


async def test_it_is_upright_and_on_white(thumbnailer: Thumbnailer) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(Image.new("RGB", (400, 200), "teal"), "JPEG", exif=exif)
    clear = encoded(Image.new("RGBA", (20, 20), (255, 0, 0, 0)))

    assert opened(await thumbnailer.thumbnail(turned, 100, owner="one")).size == (100, 200)
    assert opened(await thumbnailer.thumbnail(clear, 100, owner="one")).getpixel((9, 9)) == (255, 255, 255)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<svg/>",
        encoded(Image.new("RGB", (100, 100)))[:60],
        encoded(Image.new("L", (5000, 5000))),
        encoded(Image.effect_noise((1200, 1000), 99)) + bytes(1 << 20),
    ],
    ids=["empty", "no picture", "cut off", "too many pixels", "too many bytes"],
)
async def test_what_is_no_picture_or_too_large_is_refused(thumbnailer: Thumbnailer, data: bytes) -> None:
    with pytest.raises(MediaRefused):
        await thumbnailer.thumbnail(data, 160, owner="one")

    assert opened(await thumbnailer.thumbnail(encoded(Image.new("RGB", (9, 9))), 160, owner="one")).size == (9, 9)
