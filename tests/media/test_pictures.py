import asyncio
import io
import random
import subprocess
import sys
import warnings
import zlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image, ImageChops, ImageCms, ImageStat

from evergreen_server.media.limits import MediaLimits
from evergreen_server.media.tools import Media
from evergreen_server.ports.catalog import PictureRule
from evergreen_server.ports.media import MediaRefused, Picture

ANY = PictureRule()


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def media(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Media]:
    """One for all tests here, since its decoders take a moment to start."""
    temp_dir = tmp_path_factory.mktemp("media")
    async with Media(private_hosts=(), limits=MediaLimits(), temp_dir=temp_dir) as media:
        yield media
    assert list(temp_dir.iterdir()) == []


@pytest.fixture
def rocket(samples: Path) -> Image.Image:
    with Image.open(samples / "rocket.jpg") as image:
        plain = image.convert("RGB")
    plain.info.clear()
    return plain


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def opened(picture: Picture) -> Image.Image:
    image = Image.open(io.BytesIO(picture.data))
    image.load()
    assert image.size == (picture.width, picture.height)
    assert image.mode == "RGB"
    assert Image.MIME[image.format or ""] == picture.content_type
    return image


def difference(one: Image.Image, other: Image.Image) -> float:
    """The mean distance of two pictures' channels, from 0 to 255."""
    return max(ImageStat.Stat(ImageChops.difference(one, other)).mean)


async def refusal(media: Media, source: bytes | Path, rule: PictureRule = ANY) -> MediaRefused:
    with pytest.raises(MediaRefused) as caught:
        await media.picture(source, rule, owner="p")
    return caught.value


@pytest.mark.parametrize("name", ["coffee.png", "chelsea.png"])
async def test_a_picture_in_srgb_keeps_its_pixels_and_its_kind(media: Media, samples: Path, name: str) -> None:
    with Image.open(samples / name) as image:
        expected = image.convert("RGB")

    picture = await media.picture(samples / name, ANY, owner="p")

    assert (picture.content_type, picture.warnings) == ("image/png", ())
    assert difference(opened(picture), expected) == 0


async def test_a_photo_in_adobe_rgb_becomes_srgb(media: Media, samples: Path) -> None:
    with Image.open(samples / "rocket.jpg") as image:
        adobe = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        expected = ImageCms.profileToProfile(image, adobe, ImageCms.createProfile("sRGB"), outputMode="RGB")
        unconverted = image.convert("RGB")
    assert expected is not None

    picture = await media.picture(samples / "rocket.jpg", ANY, owner="p")

    assert (picture.content_type, picture.warnings) == ("image/jpeg", ())
    assert difference(opened(picture), expected) < 5
    assert difference(opened(picture), unconverted) > 10


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {"quality": 95}), ("PNG", {}), ("WEBP", {"quality": 90})])
async def test_a_picture_with_nothing_to_change_is_passed_on_byte_for_byte(
    media: Media, rocket: Image.Image, kind: str, options: dict[str, object]
) -> None:
    source = encoded(rocket, kind, **options)

    picture = await media.picture(source, PictureRule(min_aspect=0.5, max_aspect=2.0, min_side=300), owner="p")

    assert picture.data == source
    assert picture.content_type == f"image/{kind.lower()}"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
async def test_no_place_device_or_comment_is_passed_on(media: Media, rocket: Image.Image, kind: str) -> None:
    exif = Image.Exif()
    exif[0x010F] = "SECRET camera"
    exif.get_ifd(0x8825)[1] = "SECRET north"
    source = encoded(rocket, kind, exif=exif)
    assert b"SECRET" in source

    picture = await media.picture(source, ANY, owner="p")

    assert b"SECRET" not in picture.data
    assert b"Exif" not in picture.data


async def test_what_hangs_behind_the_end_of_a_picture_is_not_passed_on(media: Media, rocket: Image.Image) -> None:
    for kind in ("JPEG", "PNG", "WEBP"):
        picture = await media.picture(encoded(rocket, kind) + b"SECRET", ANY, owner="p")
        assert b"SECRET" not in picture.data

    assert b"SECRET" not in (await media.picture(encoded(rocket, "JPEG", comment="SECRET"), ANY, owner="p")).data
    assert b"SECRET" not in (await media.picture(encoded(rocket, "JPEG", xmp=b"SECRET"), ANY, owner="p")).data


@pytest.mark.parametrize("orientation", range(1, 9))
async def test_a_picture_is_turned_upright(media: Media, rocket: Image.Image, orientation: int) -> None:
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = rocket.transpose(back[orientation]) if orientation in back else rocket
    exif = Image.Exif()
    exif[0x0112] = orientation

    picture = await media.picture(encoded(stored, "PNG", exif=exif), PictureRule(min_aspect=1.0), owner="p")

    assert opened(picture).size == rocket.size
    assert difference(opened(picture), rocket) == 0


@pytest.mark.parametrize("exif", [b"Exif\x00\x00garbage", b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff\x12\x01"])
async def test_broken_metadata_does_not_harm_a_whole_picture(media: Media, rocket: Image.Image, exif: bytes) -> None:
    picture = await media.picture(encoded(rocket, "JPEG", exif=exif, quality=95), ANY, owner="p")

    assert difference(opened(picture), rocket) < 6


def swapped_profile() -> bytes:
    """The sRGB profile with red and green swapped, under another name."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    tags = profile.replace(b"rXYZ", b"temp", 1).replace(b"gXYZ", b"rXYZ", 1).replace(b"temp", b"gXYZ", 1)
    return tags.replace("sRGB".encode("utf-16-be"), "test".encode("utf-16-be"))


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {"quality": 95, "subsampling": 0}), ("PNG", {}), ("TIFF", {})])
async def test_colours_are_converted_by_the_profile(media: Media, kind: str, options: dict[str, object]) -> None:
    red = Image.new("RGB", (40, 30), (255, 0, 0))

    picture = await media.picture(encoded(red, kind, icc_profile=swapped_profile(), **options), ANY, owner="p")

    assert difference(opened(picture), Image.new("RGB", (40, 30), (0, 255, 0))) < 12
    assert "icc_profile" not in opened(picture).info


async def test_an_srgb_profile_changes_no_pixel_and_a_broken_one_is_ignored_with_a_warning(
    media: Media, rocket: Image.Image
) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    same = await media.picture(encoded(rocket, icc_profile=srgb), ANY, owner="p")
    broken = await media.picture(encoded(rocket, icc_profile=b"no profile" * 30), ANY, owner="p")

    assert (difference(opened(same), rocket), same.warnings) == (0, ())
    assert difference(opened(broken), rocket) == 0
    assert [warning.partition(":")[0] for warning in broken.warnings] == ["PICTURE_PROFILE_IGNORED"]


def half_transparent(mode: str) -> Image.Image:
    image = Image.new("RGBA", (20, 10), (200, 0, 0, 128))
    return image.convert(mode) if mode != "P" else image.quantize(method=Image.Quantize.FASTOCTREE)


@pytest.mark.parametrize(
    ("mode", "expected"), [("RGBA", (227, 127, 127)), ("P", (227, 127, 127)), ("LA", (157, 157, 157))]
)
async def test_alpha_is_laid_on_white(media: Media, mode: str, expected: tuple[int, int, int]) -> None:
    picture = await media.picture(encoded(half_transparent(mode)), ANY, owner="p")

    assert difference(opened(picture), Image.new("RGB", (20, 10), expected)) <= 2


async def test_a_transparent_colour_is_laid_on_white(media: Media) -> None:
    source = encoded(Image.new("RGB", (20, 10), (1, 2, 3)), transparency=(1, 2, 3))

    assert opened(await media.picture(source, ANY, owner="p")).getpixel((3, 3)) == (255, 255, 255)


async def test_sixteen_bit_grey_is_scaled_and_not_clipped(media: Media) -> None:
    source = encoded(Image.new("I;16", (20, 10), 0x8000))

    assert opened(await media.picture(source, ANY, owner="p")).getpixel((3, 3)) == (128, 128, 128)


async def test_a_picture_for_print_becomes_rgb(media: Media, rocket: Image.Image) -> None:
    picture = await media.picture(encoded(rocket.convert("CMYK"), "JPEG", quality=95), ANY, owner="p")

    assert difference(opened(picture), rocket) < 5


@pytest.mark.parametrize(
    ("kind", "content_type"),
    [
        ("AVIF", "image/jpeg"),
        ("BMP", "image/png"),
        ("GIF", "image/png"),
        ("TIFF", "image/jpeg"),
        ("MPO", "image/jpeg"),
    ],
)
async def test_a_format_that_no_model_takes_is_converted(
    media: Media, rocket: Image.Image, kind: str, content_type: str
) -> None:
    picture = await media.picture(encoded(rocket, kind), ANY, owner="p")

    assert picture.content_type == content_type
    assert difference(opened(picture), rocket) < 12


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF"])
async def test_of_an_animation_the_first_frame_is_used_with_a_warning(media: Media, kind: str) -> None:
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "green", "blue")]

    picture = await media.picture(encoded(frames[0], kind, save_all=True, append_images=frames[1:]), ANY, owner="p")

    assert difference(opened(picture), frames[0]) < 6
    assert [warning.partition(":")[0] for warning in picture.warnings] == ["PICTURE_ANIMATED"]


@pytest.mark.parametrize(
    ("rule", "size"),
    [
        (PictureRule(min_aspect=0.5, max_aspect=2.0), (640, 427)),
        (PictureRule(max_aspect=1.0), (427, 427)),
        (PictureRule(max_aspect=0.5), (213, 427)),
        (PictureRule(min_aspect=2.0), (640, 320)),
        (PictureRule(min_aspect=2.358, max_aspect=2.358), (640, 271)),
    ],
)
async def test_a_picture_is_cropped_from_the_centre_only_where_its_aspect_would_be_refused(
    media: Media, rocket: Image.Image, rule: PictureRule, size: tuple[int, int]
) -> None:
    picture = await media.picture(encoded(rocket), rule, owner="p")

    left, top = (640 - size[0]) // 2, (427 - size[1]) // 2
    assert difference(opened(picture), rocket.crop((left, top, left + size[0], top + size[1]))) == 0
    assert bool(picture.warnings) == (size != (640, 427))
    assert all(warning.startswith("PICTURE_CROPPED: 640x427 ") for warning in picture.warnings)


async def test_any_picture_fits_the_rule_after_cropping(media: Media) -> None:
    chance = random.Random(7)
    for _ in range(60):
        low = chance.choice([0.2, 0.4, 0.5, 0.55, 1.0])
        high = chance.choice([1.0, 1.8, 2.0, 2.358, 2.5, 4.0])
        size = (chance.randint(1, 400), chance.randint(1, 400))

        picture = await media.picture(
            encoded(Image.new("RGB", size)), PictureRule(min_aspect=low, max_aspect=high), owner="p"
        )

        # Where one side is a single pixel, no whole number of pixels may lie within the rule.
        assert low <= picture.width / picture.height <= high or 1 in (picture.width, picture.height)


async def test_a_picture_with_a_side_too_short_is_refused_also_after_cropping(
    media: Media, rocket: Image.Image
) -> None:
    source = encoded(rocket)

    assert (await media.picture(source, PictureRule(min_side=427), owner="p")).height == 427
    assert (await refusal(media, source, PictureRule(min_side=428))).reason == "PICTURE_INVALID"
    assert "213x427" in str(await refusal(media, source, PictureRule(max_aspect=0.5, min_side=300)))


async def test_a_picture_that_is_too_large_for_the_model_is_refused(media: Media, rocket: Image.Image) -> None:
    source = encoded(rocket)
    width, height = rocket.size

    for taken in (PictureRule(max_side=width), PictureRule(max_pixels=width * height)):
        assert (await media.picture(source, taken, owner="p")).width == width
    for wrong, told in (
        (PictureRule(max_side=width - 1), f"{width}x{height} pixels; no side may have more than {width - 1}"),
        (PictureRule(max_pixels=width * height - 1), f"it may have {width * height - 1} at most"),
    ):
        error = await refusal(media, source, wrong)
        assert error.reason == "PICTURE_INVALID"
        assert told in str(error)


@pytest.mark.parametrize(
    ("source", "reason", "unreadable"),
    [
        (b"", "PICTURE_INVALID", False),
        (b"<!DOCTYPE html><html><body>Not found</body></html>", "MEDIA_REFUSED", False),
        (b"#!/bin/sh\necho hello\n", "MEDIA_REFUSED", False),
        (b"%PDF-1.7\n\x00\x01", "MEDIA_REFUSED", False),
        (b"\x00\x00\x00\x18ftypmp42" + bytes(100), "MEDIA_REFUSED", False),
        (b"\x00\x00\x00\x18ftypheic" + bytes(100), "PICTURE_INVALID", True),
        (b"\x8a\x01\x02\x03 some format of the future \x00\xff", "PICTURE_INVALID", True),
        (b"\xff\xd8\xff", "PICTURE_INVALID", False),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "PICTURE_INVALID", False),
        (b"GIF89a" + bytes(40), "PICTURE_INVALID", False),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 " + bytes(40), "PICTURE_INVALID", False),
        (b"II*\x00\x08\x00\x00\x00" + bytes(40), "PICTURE_INVALID", False),
        (b"\x00\x00\x00\x18ftypavif" + bytes(40), "PICTURE_INVALID", False),
    ],
)
async def test_what_is_no_picture_is_refused_with_its_reason(
    media: Media, tmp_path: Path, source: bytes, reason: str, unreadable: bool
) -> None:
    file = tmp_path / "picture"
    file.write_bytes(source)

    for refused in (await refusal(media, source), await refusal(media, file)):
        assert (refused.reason, refused.unreadable) == (reason, unreadable)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"])
async def test_a_truncated_picture_is_refused(media: Media, rocket: Image.Image, kind: str) -> None:
    source = encoded(rocket, kind)

    for part in (0.1, 0.5, 0.95):
        refused = await refusal(media, source[: int(len(source) * part)])
        assert (refused.reason, refused.unreadable) == ("PICTURE_INVALID", False)


async def test_damage_of_any_kind_ends_in_a_picture_or_a_refusal(media: Media, rocket: Image.Image) -> None:
    chance = random.Random(7)
    small = rocket.resize((64, 43))
    refused = 0
    for kind in ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"):
        whole = encoded(small, kind)
        for _ in range(40):
            damaged = bytearray(whole)
            for _ in range(chance.randint(1, 8)):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            try:
                await media.picture(bytes(damaged), ANY, owner="p")
            except MediaRefused:
                refused += 1

    assert refused > 50


async def test_a_picture_over_the_size_limit_is_refused(media: Media, tmp_path: Path) -> None:
    large = b"\xff\xd8\xff" + bytes(MediaLimits().picture_bytes)
    file = tmp_path / "large.jpg"
    file.write_bytes(large)

    for refused in (await refusal(media, large), await refusal(media, file)):
        assert refused.reason == "MEDIA_REFUSED"
        assert "larger" in str(refused)


def bomb(side: int) -> bytes:
    """A PNG of side x side black pixels, one bit each."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    size = side.to_bytes(4, "big")
    squeeze = zlib.compressobj(1)
    row = bytes(1 + (side + 7) // 8) * 64
    pixels = b"".join(squeeze.compress(row) for _ in range(-(-side // 64))) + squeeze.flush()
    head = chunk(b"IHDR", size + size + b"\x01\x00\x00\x00\x00")
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


async def test_a_picture_longer_than_a_jpeg_can_be_is_refused(media: Media) -> None:
    refused = await refusal(media, encoded(Image.new("L", (65_501, 1)), "BMP"))

    assert (refused.reason, "65500" in str(refused)) == ("PICTURE_INVALID", True)


@pytest.mark.parametrize("side", [7_072, 12_000, 20_000])
async def test_a_bomb_is_refused_without_a_warning_of_the_decoder(media: Media, side: int) -> None:
    with warnings.catch_warnings(record=True) as leaked:
        refused = await refusal(media, bomb(side))

    assert refused.reason == "PICTURE_INVALID"
    assert "50000000" in str(refused)
    assert leaked == []


async def test_a_gif_whose_frame_is_larger_than_its_screen_is_refused(media: Media) -> None:
    source = bytearray(encoded(Image.new("P", (10, 10)), "GIF"))
    frame = source.index(b",", 13)
    source[frame + 5 : frame + 9] = (12_000).to_bytes(2, "little") * 2

    assert (await refusal(media, bytes(source))).reason == "PICTURE_INVALID"


async def test_a_bomb_costs_no_memory(tmp_path: Path) -> None:
    """Measured in a process of its own, whose peak no other test has raised."""
    (tmp_path / "bomb.png").write_bytes(bomb(20_000))
    measure = """
import sys
from pathlib import Path
from evergreen_server.ports.media import MediaRefused
from evergreen_server.ports.catalog import PictureRule
from evergreen_server.media.limits import MediaLimits
from evergreen_server.media.pictures import prepare
from PIL import Image

def peak():
    # In KiB. The maximum of getrusage counts the memory of the process that began this one.
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])

Image.init()
before = peak()
try:
    prepare(Path(sys.argv[1]).read_bytes(), PictureRule(), MediaLimits())
except MediaRefused:
    print(peak() - before)
"""

    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", measure, str(tmp_path / "bomb.png")],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    # The whole picture would take 400 MB.
    assert int(done.stdout) < 16 * 1024


async def test_a_small_picture_that_takes_endless_work_is_given_up(tmp_path: Path) -> None:
    """A progressive JPEG may repeat its scans as often as its size allows."""
    source = encoded(Image.effect_noise((2_000, 2_000), 20), "JPEG", progressive=True, quality=10)
    last_scan = source.rindex(b"\xff\xda")
    source = source[:-2] + source[last_scan:-2] * (15_000_000 // (len(source) - last_scan)) + source[-2:]
    limits = replace(MediaLimits(), work_seconds=0.2)
    async with Media(private_hosts=(), limits=limits, temp_dir=tmp_path) as media:
        refused = await refusal(media, source)

    assert refused.reason == "PICTURE_INVALID"
    assert "0.2 s" in str(refused)


async def test_a_lossless_picture_that_would_be_too_large_becomes_a_jpeg(tmp_path: Path) -> None:
    chance = random.Random(7)
    noise = Image.frombytes("P", (300, 300), chance.randbytes(90_000))
    noise.putpalette(chance.randbytes(768))
    source = encoded(noise)
    limits = replace(MediaLimits(), picture_bytes=len(source) + 1_000)
    async with Media(private_hosts=(), limits=limits, temp_dir=tmp_path) as media:
        picture = await media.picture(source, ANY, owner="p")

    assert picture.content_type == "image/jpeg"
    assert len(picture.data) <= limits.picture_bytes
