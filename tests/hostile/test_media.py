"""Pictures, clips, sounds and HTTP answers that are hostile, broken or rare: each ends in what it should, soon."""

import asyncio
import io
import os
import struct
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import av
import numpy
import pytest
import pytest_asyncio
from PIL import Image, ImageCms

from evergreen_server.media.limits import MediaLimits
from evergreen_server.media.tools import Media
from evergreen_server.ports.catalog import PictureRule
from evergreen_server.ports.media import MediaError, MediaRefused, MediaUnreachable, Picture
from evergreen_server.ports.specs import Kind
from tests.media.web import Names, Web, response

pytestmark = pytest.mark.asyncio(loop_scope="module")

SAMPLES = Path(__file__).parents[1] / "samples"
SECRET = b"GPS 52.5200 N 13.4050 E of somebody's home"
JPEG = b"\xff\xd8\xff\xe0" + bytes(2000)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def web() -> AsyncIterator[Web]:
    async with Web() as web:
        yield web


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def media(web: Web, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Media]:
    async with media_of(web, tmp_path_factory.mktemp("media")) as media:
        yield media


@asynccontextmanager
async def media_of(web: Web, folder: Path) -> AsyncIterator[Media]:
    names = Names()
    names.add("pictures.internal", ["127.0.0.1"])
    ports = frozenset({80, 443, web.port})
    limits = MediaLimits(ports=ports)
    async with Media(private_hosts={"pictures.internal"}, limits=limits, resolver=names, temp_dir=folder) as media:
        yield media
    assert os.listdir(folder) == []


def chunk(name: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4) + name + data + zlib.crc32(name + data).to_bytes(4)


def png(
    depth: int,
    colours: int,
    rows: list[bytes],
    width: int,
    *parts: bytes,
    packed: bytes | None = None,
    end: bytes = b"",
) -> bytes:
    head = struct.pack(">IIBBBBB", width, len(rows), depth, colours, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows)) if packed is None else packed
    pieces = (chunk(b"IHDR", head), *parts, chunk(b"IDAT", pixels), end, chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(pieces)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def pattern() -> Image.Image:
    with Image.open(SAMPLES / "rocket.jpg") as image:
        plain = image.convert("RGB").crop((260, 200, 340, 260))
    plain.info.clear()
    return plain


def grey16(*levels: int) -> list[bytes]:
    return [b"".join(level.to_bytes(2) for level in levels)]


def tiff(big_endian: bool, tags: list[tuple[int, int, int, int]], data: bytes) -> bytes:
    """One directory whose entries are (tag, type, count, value), before the data."""
    order = ">" if big_endian else "<"
    at = 8 + 2 + 12 * len(tags) + 4
    entries = b""
    for tag, kind, count, value in tags:
        entries += struct.pack(order + "HHI", tag, kind, count)
        value = at if value == -1 else value
        entries += struct.pack(order + ("HH" if kind == 3 else "I"), *((value, 0) if kind == 3 else (value,)))
    magic = b"MM\0*" if big_endian else b"II*\0"
    return magic + struct.pack(order + "IH", 8, len(tags)) + entries + bytes(4) + data


def plain_tiff(
    big_endian: bool, bits: int, samples: int, form: int, data: bytes, *more: tuple[int, int, int, int]
) -> bytes:
    tags = [
        *((256, 3, 1, 2), (257, 3, 1, 1), (258, 3, 1, bits), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, -1)),
        *((277, 3, 1, samples), (278, 3, 1, 1), (279, 4, 1, len(data)), (339, 3, 1, form)),
    ]
    given = {tag[0]: tag for tag in (*tags, *more)}
    return tiff(big_endian, sorted(given.values()), data)


def great_tile(side: int) -> bytes:
    tags = [
        *((256, 4, 1, 64), (257, 4, 1, 64), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, 1)),
        *((322, 4, 1, side), (323, 4, 1, side), (324, 4, 1, -1), (325, 4, 1, 50)),
    ]
    return tiff(False, tags, zlib.compress(bytes(5000)))


def corner(picture: Picture, x: int = 0, y: int = 0) -> tuple[int, ...]:
    with Image.open(io.BytesIO(picture.data)) as image:
        assert image.size == (picture.width, picture.height)
        assert image.mode == "RGB"
        found = image.getpixel((x, y))
    assert isinstance(found, tuple)
    return found


WHITE = (255, 255, 255)
HALF = (0x80, 0x80, 0x80)
TWO_BITS = [bytes([0b00_01_10_11])]
PALETTE = chunk(b"PLTE", bytes(range(9)))

SHOWN: dict[str, tuple[bytes, list[tuple[int, ...]]]] = {
    "16-bit grey": (png(16, 0, grey16(0, 0x8000, 0xFFFF), 3), [(0, 0, 0), HALF, WHITE]),
    "16-bit grey, one level clear": (
        png(16, 0, grey16(0, 0x8000, 0x8001), 3, chunk(b"tRNS", b"\x80\x00")),
        [(0, 0, 0), WHITE, HALF],
    ),
    "16-bit grey, black clear": (
        png(16, 0, grey16(0, 1, 0x8000), 3, chunk(b"tRNS", bytes(2))),
        [WHITE, (0, 0, 0), HALF],
    ),
    "16-bit grey with alpha": (png(16, 4, grey16(0x8000, 0xFFFF, 0x8000, 0), 2), [HALF, WHITE]),
    "16-bit RGB": (png(16, 2, grey16(0x8000, 0x8000, 0x8000), 1), [HALF]),
    "16-bit RGB, one colour clear": (
        png(16, 2, grey16(*[0x8000] * 3, *[0x1000] * 3), 2, chunk(b"tRNS", b"\x80\x00" * 3)),
        [WHITE, (0x10, 0x10, 0x10)],
    ),
    "16-bit RGB with alpha": (png(16, 6, grey16(*[0x8000] * 3, 0xFFFF, *[0x8000] * 3, 0), 2), [HALF, WHITE]),
    "2-bit grey, one level clear": (
        png(2, 0, TWO_BITS, 4, chunk(b"tRNS", b"\0\x01")),
        [(0, 0, 0), WHITE, (170, 170, 170), WHITE],
    ),
    "1-bit, black clear": (png(1, 0, [b"\x40"], 2, chunk(b"tRNS", b"\0\0")), [WHITE, WHITE]),
    "8-bit grey, one level clear": (
        png(8, 0, [b"\x05\x06"], 2, chunk(b"tRNS", b"\0\x05")),
        [WHITE, (6, 6, 6)],
    ),
    "300 clear entries for a palette": (png(8, 3, [b"\0\1\2"], 3, PALETTE, chunk(b"tRNS", bytes(300))), [(0, 1, 2)]),
    "more clear entries than the palette has": (
        png(8, 3, [b"\0\1\2"], 3, PALETTE, chunk(b"tRNS", bytes(200))),
        [WHITE],
    ),
    "a palette that is too short": (png(8, 3, [b"\0\1\xff"], 3, PALETTE), [(0, 1, 2), (3, 4, 5)]),
    "a text that is called transparency": (
        png(8, 2, [b"\x10\x20\x30"], 1, chunk(b"tEXt", b"transparency\0yes")),
        [(0x10, 0x20, 0x30)],
    ),
    "a text that is called icc_profile": (
        png(8, 2, [b"\x10\x20\x30"], 1, chunk(b"tEXt", b"icc_profile\0yes")),
        [(0x10, 0x20, 0x30)],
    ),
    "17 MB of text in a zTXt": (
        png(8, 2, [b"\x10\x20\x30"], 1, chunk(b"zTXt", b"workflow\0\0" + zlib.compress(bytes(17_000_000)))),
        [(0x10, 0x20, 0x30)],
    ),
    "17 MB of text in an iTXt": (
        png(8, 2, [b"\x10\x20\x30"], 1, chunk(b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(bytes(17_000_000)))),
        [(0x10, 0x20, 0x30)],
    ),
    "17 MB of XMP in an iTXt": (
        png(
            8,
            2,
            [b"\x10\x20\x30"],
            1,
            chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(17_000_000))),
        ),
        [(0x10, 0x20, 0x30)],
    ),
    "70 texts of 1 MB": (
        png(8, 2, [b"\x10\x20\x30"], 1, *[chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_000_000)))] * 70),
        [(0x10, 0x20, 0x30)],
    ),
    "a text of an unknown compression": (png(8, 2, [b"\1\2\3"], 1, chunk(b"zTXt", b"a\0\7zzz")), [(1, 2, 3)]),
    "a big-endian scan": (plain_tiff(True, 16, 1, 1, b"\x80\x00\xff\xff"), [HALF, WHITE]),
    "a little-endian scan": (plain_tiff(False, 16, 1, 1, b"\x00\x80\xff\xff"), [HALF, WHITE]),
    "a big-endian scan that is white at zero": (
        plain_tiff(True, 8, 1, 1, b"\x00\xff", (262, 3, 1, 0)),
        [WHITE, (0, 0, 0)],
    ),
    "a scan of two bytes that is white at zero": (
        plain_tiff(False, 16, 1, 1, struct.pack("<HHH", 0, 0xFFFF, 0x4000), (256, 3, 1, 3), (262, 3, 1, 0)),
        [WHITE, (0, 0, 0), (0xBF, 0xBF, 0xBF)],
    ),
    "the same, packed": (
        plain_tiff(False, 16, 1, 1, zlib.compress(struct.pack("<HH", 0, 0x8000)), (259, 3, 1, 8), (262, 3, 1, 0)),
        [WHITE, (0x7F, 0x7F, 0x7F)],
    ),
    "a scan of 12 bits": (plain_tiff(False, 12, 1, 1, b"\x80\x0f\xff"), [HALF, WHITE]),
    "a text that is called levels": (
        png(16, 0, grey16(0, 0xFFFF), 2, chunk(b"tEXt", b"(258, 262)\0yes"), chunk(b"tEXt", b"levels\0yes")),
        [(0, 0, 0), WHITE],
    ),
    "one pixel": (encoded(Image.new("RGB", (1, 1), (1, 2, 3))), [(1, 2, 3)]),
    "one pixel of a GIF": (encoded(Image.new("P", (1, 1)), "GIF"), [(0, 0, 0)]),
    "one pixel, one bit": (encoded(Image.new("1", (1, 1), 1)), [WHITE]),
    "65,500 pixels in one row": (encoded(Image.new("L", (65_500, 1), 128)), [HALF]),
    "65,500 pixels in one column": (encoded(Image.new("L", (1, 65_500), 128)), [HALF]),
    "colours for print": (encoded(Image.new("CMYK", (8, 8), (0, 0, 0, 255)), "TIFF"), [(0, 0, 0)]),
    "Lab, white": (encoded(Image.new("LAB", (8, 8), (255, 128, 128)), "TIFF"), [WHITE]),
    "a profile for print on RGB": (
        encoded(
            Image.new("RGB", (8, 8), (1, 2, 3)),
            icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(),
        ),
        [(1, 2, 3)],
    ),
    "an sRGB profile on grey": (
        encoded(
            Image.new("L", (8, 8), 128), icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        ),
        [HALF],
    ),
    "an empty profile": (encoded(Image.new("RGB", (8, 8), (1, 2, 3)), icc_profile=b"x"), [(1, 2, 3)]),
    "a profile of nothing but zeros": (
        encoded(Image.new("RGB", (8, 8), (1, 2, 3)), icc_profile=bytes(4096)),
        [(1, 2, 3)],
    ),
}


@pytest.mark.parametrize("what", SHOWN)
async def test_a_rare_picture_is_shown_as_it_is_meant(media: Media, what: str) -> None:
    data, pixels = SHOWN[what]

    picture = await media.picture(data, PictureRule(), owner="p")

    for x, expected in enumerate(pixels):
        near = zip(corner(picture, x), expected, strict=True)
        assert max(abs(one - other) for one, other in near) <= 2, (x, corner(picture, x), expected)


REFUSED: dict[str, bytes] = {
    "floating point": plain_tiff(False, 32, 1, 3, struct.pack("<ff", 0.5, 1.0)),
    "big-endian floating point": plain_tiff(True, 32, 1, 3, struct.pack(">ff", 0.5, 1.0)),
    "32-bit grey": plain_tiff(False, 32, 1, 1, bytes(8)),
    "signed 16-bit grey": plain_tiff(False, 16, 1, 2, bytes(4)),
    "64-bit samples": plain_tiff(False, 64, 1, 1, bytes(16)),
    "no samples": plain_tiff(False, 8, 0, 1, bytes(2)),
    "60,000 samples": plain_tiff(False, 8, 60_000, 1, bytes(2)),
    "a tile of 0.9 gigapixels": great_tile(30_000),
    "a tile of 4 gigapixels": great_tile(65_520),
    "a tile of no width": great_tile(0),
    "a TIFF whose directory is itself": b"II*\0\x08\0\0\0\x01\0\x0e\x01\x04\0\x01\0\0\0\x08\0\0\0\x08\0\0\0",
    "a TIFF whose directory is far away": b"II*\0\xff\xff\xff\xff" + bytes(40),
    "a TIFF that makes libtiff talk": plain_tiff(False, 8, 1, 1, b"\0\0", (259, 3, 1, 5)),
    "16-bit RGB of 225 megapixels": png(16, 2, [], 15_000, packed=zlib.compress(bytes(1_000_000))).replace(
        struct.pack(">II", 15_000, 0), struct.pack(">II", 15_000, 15_000)
    ),
    "no pixels": png(8, 2, [], 1, packed=b""),
    "pixels that are no stream": png(8, 2, [b"\1\2\3"], 1, packed=b"\x78\x9cnothing"),
    "a width of zero": png(8, 2, [b""], 0),
    "a depth of seven": png(7, 0, [b"\0"], 1),
    "colours of no kind": png(8, 5, [b"\0"], 1),
    "a key that is cut short": png(8, 2, [b"\1\2\3"], 1, chunk(b"tRNS", b"\1")),
    "a header that comes twice as large": b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", bytes(26)) + chunk(b"IEND", b""),
    "a chunk of 2 GB": b"\x89PNG\r\n\x1a\n" + b"\x7f\xff\xff\xff" + b"IHDR" + bytes(100),
    "a JPEG without a frame": b"\xff\xd8\xff\xd9",
    "a JPEG of segments without end": b"\xff\xd8" + b"\xff\xe1\x00\x02" * 100_000,
    "a JPEG of 65,535 x 65,535": b"\xff\xd8\xff\xc0\x00\x0b\x08\xff\xff\xff\xff\x01\x01\x11\x00\xff\xd9",
    "a GIF without a frame": b"GIF89a\x01\0\x01\0\0\0\0;",
    "a GIF of 65,535 x 65,535": b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x08\x01\0\0;",
    "a BMP of 2^31 rows": b"BM"
    + struct.pack("<IHHIIiiHHIIiiII", 100, 0, 0, 54, 40, 1, -(2**31), 1, 24, 0, 0, 0, 0, 0, 0),
    "a WebP of 16,384 x 16,384": b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\x3f\0\xff\x3f\0",
    "a WebP whose parts are longer than it": b"RIFF\x20\0\0\0WEBPVP8L\xff\xff\xff\x7f" + bytes(20),
    "an AVIF of nothing": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + bytes(100),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_a_picture_that_cannot_be_one_is_refused(media: Media, what: str) -> None:
    with pytest.raises(MediaRefused) as caught:
        await media.picture(REFUSED[what], PictureRule(), owner="p")

    assert caught.value.reason == "PICTURE_INVALID"
    assert not caught.value.unreadable


def behind(kind: str, surplus: bytes) -> bytes:
    return encoded(pattern(), kind, **({"quality": 90} if kind != "PNG" else {})) + surplus


def before_the_end(surplus: bytes) -> bytes:
    whole = encoded(pattern(), "JPEG", quality=90)
    return whole[:-2] + surplus + whole[-2:]


def in_webp(surplus: bytes, *, named: bytes = b"junk") -> bytes:
    whole = encoded(pattern(), "WEBP", quality=90)
    body = whole[12:] + named + len(surplus).to_bytes(4, "little") + surplus + bytes(len(surplus) % 2)
    return b"RIFF" + (4 + len(body)).to_bytes(4, "little") + b"WEBP" + body


def in_vp8(surplus: bytes) -> bytes:
    whole = encoded(pattern(), "WEBP", quality=90)
    body = whole[20:] + surplus + bytes(len(surplus) % 2)
    return b"RIFF" + (12 + len(body)).to_bytes(4, "little") + b"WEBPVP8 " + len(body).to_bytes(4, "little") + body


def in_png(*parts: bytes, end: bytes = b"") -> bytes:
    image = pattern()
    rows = [image.crop((0, y, image.width, y + 1)).tobytes() for y in range(image.height)]
    return png(8, 2, rows, image.width, *parts, end=end)


def in_png_pixels(packed: Callable[[bytes], bytes]) -> bytes:
    image = pattern()
    rows = [image.crop((0, y, image.width, y + 1)).tobytes() for y in range(image.height)]
    return png(8, 2, rows, image.width, packed=packed(b"".join(b"\0" + row for row in rows)))


def with_segment(marker: int, body: bytes) -> bytes:
    whole = encoded(pattern(), "JPEG", quality=90)
    return whole[:2] + bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2) + body + whole[2:]


ANOTHER = encoded(Image.new("RGB", (8, 8)), "JPEG", comment=SECRET)
HIDDEN: dict[str, tuple[bytes, bool]] = {
    "a zip behind a PNG": (behind("PNG", b"PK\x03\x04" + SECRET), True),
    "a zip behind a JPEG": (behind("JPEG", b"PK\x03\x04" + SECRET), True),
    "a zip behind a WebP": (behind("WEBP", b"PK\x03\x04" + SECRET), True),
    "a JPEG behind a JPEG": (behind("JPEG", ANOTHER), True),
    "a JPEG behind a PNG": (behind("PNG", ANOTHER), True),
    "a PNG's end behind a PNG": (behind("PNG", SECRET + b"\0\0\0\0IEND\xaeB`\x82"), True),
    "a private chunk of a PNG": (in_png(chunk(b"prVt", SECRET)), True),
    "a private chunk behind the pixels": (in_png(end=chunk(b"zzZz", SECRET)), True),
    "a text of a PNG": (in_png(chunk(b"tEXt", b"Comment\0" + SECRET)), False),
    "EXIF of a PNG": (in_png(chunk(b"eXIf", b"II*\0\x08\0\0\0\0\0" + SECRET)), False),
    "more pixels than a PNG needs": (in_png_pixels(lambda rows: zlib.compress(rows + SECRET, 0)), False),
    "bytes behind a PNG's stream": (in_png_pixels(lambda rows: zlib.compress(rows) + SECRET), False),
    "a comment of a JPEG": (with_segment(0xFE, SECRET), False),
    "an APP15 of a JPEG": (with_segment(0xEF, SECRET), False),
    "a thumbnail in a JFIF": (with_segment(0xE0, b"JFXX\0\x10" + SECRET), False),
    "tables that nobody needs": (with_segment(0xDB, b"\x03" + SECRET.ljust(64, b"\1")), False),
    "bytes before a JPEG's end": (before_the_end(SECRET), False),
    "a long archive before a JPEG's end": (before_the_end(b"PK\x03\x04" + SECRET * 100), False),
    "an unknown part of a WebP": (in_webp(SECRET), True),
    "EXIF of a WebP": (in_webp(SECRET, named=b"EXIF"), False),
    "a second picture in a WebP": (in_webp(SECRET, named=b"VP8 "), False),
    "bytes behind a WebP's pixels": (in_vp8(SECRET), False),
    "bytes behind a BMP": (encoded(pattern(), "BMP") + SECRET, False),
    "bytes behind a GIF": (encoded(pattern().quantize(), "GIF") + SECRET, False),
    "bytes behind a TIFF": (encoded(pattern(), "TIFF") + SECRET, False),
}


@pytest.mark.parametrize("what", HIDDEN)
async def test_only_what_was_decoded_goes_out(media: Media, what: str) -> None:
    data, surplus = HIDDEN[what]
    picture = await media.picture(data, PictureRule(), owner="p")

    assert (picture.width, picture.height) == (80, 60)
    assert picture.data != data
    assert SECRET not in picture.data
    assert b"PK\x03\x04" not in picture.data
    assert [warning.partition(":")[0] for warning in picture.warnings] == ["PICTURE_SURPLUS"] * surplus


def turned(kind: str, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(Image.new("RGB", (40, 20)), kind, exif=exif)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", [0, 5, 6, 8, 9, 65535])
async def test_any_orientation_in_any_format_is_followed_or_makes_no_sense(
    media: Media, kind: str, orientation: int
) -> None:
    picture = await media.picture(turned(kind, orientation), PictureRule(), owner="p")

    assert (picture.width, picture.height) == ((20, 40) if orientation in (5, 6, 8) else (40, 20))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "MPO", "TIFF"])
async def test_of_several_frames_the_first_goes_out(media: Media, kind: str) -> None:
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "green", "blue")]

    picture = await media.picture(
        encoded(frames[0], kind, save_all=True, append_images=frames[1:]), PictureRule(), owner="p"
    )

    red, green, blue = corner(picture)
    assert (red > 240, green < 15, blue < 15) == (True, True, True)


def frames_of(codec: str, size: tuple[int, int], streams: int, path: Path) -> Path:
    with av.open(str(path), "w") as container:
        made = []
        for _ in range(streams):
            stream = container.add_stream(codec, rate=10)
            stream.width, stream.height, stream.pix_fmt = *size, "rgb48be" if codec == "png" else "yuv420p"
            made.append(stream)
        for stream in made:
            frame = av.VideoFrame(*size, stream.pix_fmt)
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            container.mux(stream.encode(frame))
            container.mux(stream.encode())
    return path


@pytest.mark.parametrize("streams", [1, 4])
async def test_frames_of_many_megapixels_take_no_memory(tmp_path: Path, streams: int) -> None:
    """Each frame would take 600 MB, and as much again on its way; the system holds the decoder to 512 MiB."""
    small = await asyncio.to_thread(frames_of, "png", (100, 100), streams, tmp_path / "small.mov")
    data = small.read_bytes()
    wide = struct.pack(">II", 10_000, 10_000)
    head = data.index(b"IHDR") + 4
    assert data.count(b"IHDR") == streams
    for _ in range(streams):
        body = wide + data[head + 8 : head + 13]
        data = data[:head] + body + zlib.crc32(b"IHDR" + body).to_bytes(4) + data[head + 17 :]
        head = data.find(b"IHDR", head) + 4
    (tmp_path / "large.mov").write_bytes(data)

    async with Media(private_hosts=(), limits=MediaLimits(), temp_dir=tmp_path) as media:
        with pytest.raises(MediaRefused):
            await media.poster(tmp_path / "large.mov", owner="p")


CLIPS: dict[str, bytes] = {
    "an MP4 of a name and zeros": b"\0\0\0\x18ftypmp42" + bytes(300),
    "boxes within boxes": b"\0\0\0\x18ftypmp42" + bytes(12) + b"\0\0\x10\0moov" * 500,
    "a box of 2^63 bytes": b"\0\0\0\x18ftypmp42" + bytes(12) + b"\0\0\0\1moov" + b"\x7f" + b"\xff" * 7,
    "a box that is shorter than its head": b"\0\0\0\x18ftypmp42" + bytes(12) + b"\0\0\0\4moov" + bytes(50),
    "a WebM of a name and noise": b"\x1aE\xdf\xa3" + bytes(range(256)) * 8,
    "a WebM element of unknown size": b"\x1aE\xdf\xa3\x84\x42\x82\x81w\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff"
    * 50,
    "Ogg pages of nothing": b"OggS\0\x02" + bytes(21) + b"\0" * 400,
    "an MP3 of a tag alone": b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + bytes(100),
    "a WAV of a head alone": b"RIFF\xff\xff\xff\xffWAVE",
    "a WAV of no channels": b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0data\0\0\0\0",
    "a FLAC of a name alone": b"fLaC" + bytes(60),
    "a playlist": b"#EXTM3U\nhttp://127.0.0.1/a.ts\n",
    "a concat script": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "a picture": encoded(Image.new("RGB", (8, 8))),
}


@pytest.mark.parametrize("what", CLIPS)
async def test_a_clip_that_cannot_be_one_is_refused(media: Media, tmp_path: Path, what: str) -> None:
    path = tmp_path / "clip"
    path.write_bytes(CLIPS[what])

    for work in (media.probe, media.poster):
        with pytest.raises(MediaRefused) as caught:
            await work(path, owner="p")
        assert caught.value.reason == "MEDIA_REFUSED"


def wav(claimed: int, riff: int) -> bytes:
    """Two seconds of silence, whose head says what it likes."""
    data = bytes(2 * 2 * 16_000)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 16_000, 32_000, 2, 16)
    return b"RIFF" + struct.pack("<I", riff) + b"WAVE" + form + b"data" + struct.pack("<I", claimed) + data


@pytest.mark.parametrize("size", [64_000, 0, 0x7FFFFFFF, 0xFFFFFFFF, 2_000_000_000])
async def test_a_sound_is_as_long_as_it_is_whatever_its_head_says(media: Media, tmp_path: Path, size: int) -> None:
    path = tmp_path / "speech.wav"
    path.write_bytes(wav(size, min(0xFFFFFFFF, size + 36)))

    clip = await media.probe(path, owner="p")

    assert clip.duration_seconds == pytest.approx(2.0, abs=0.01)


@pytest.mark.parametrize(
    ("matrix", "size"),
    [
        ((0, 0, 0, 0, 0, 0, 0, 0, 0), (64, 48)),
        ((-(2**31),) * 9, (64, 48)),
        ((2**31 - 1,) * 9, (64, 48)),
        ((1, 65536, 0, -65536, 1, 0, 0, 0, 2**30), (48, 64)),
    ],
)
async def test_a_display_matrix_of_any_numbers_does_no_harm(
    media: Media, tmp_path: Path, matrix: tuple[int, ...], size: tuple[int, int]
) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_matrix(matrix)
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(numpy.zeros((48, 64, 3), numpy.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())

    clip = await media.probe(path, owner="p")

    assert (clip.width, clip.height) == size
    with Image.open(io.BytesIO(await media.poster(path, owner="p"))) as poster:
        assert poster.size == size


def head(*lines: str, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\n{''.join(line + chr(13) + chr(10) for line in lines)}\r\n".encode("latin-1")


LENGTH = f"Content-Length: {len(JPEG)}"
TAKEN: dict[str, bytes] = {
    "aws-chunked": head(LENGTH, "Content-Encoding: aws-chunked") + JPEG,
    "AWS-Chunked": head(LENGTH, "Content-Encoding: AWS-Chunked") + JPEG,
    "aws-chunked and a comma": head(LENGTH, "Content-Encoding: aws-chunked,") + JPEG,
    "identity": head(LENGTH, "Content-Encoding: identity") + JPEG,
    "identity, identity": head(LENGTH, "Content-Encoding: identity, identity") + JPEG,
    "nothing": head(LENGTH, "Content-Encoding:") + JPEG,
    "none": head(LENGTH, "Content-Encoding: none") + JPEG,
    "two headers": head(LENGTH, "Content-Encoding: identity", "Content-Encoding: aws-chunked") + JPEG,
    "a few interim answers": head(status="103 Early Hints") * 5 + head(LENGTH) + JPEG,
    "a type of nonsense": head(LENGTH, "Content-Type: ;;;=\xff") + JPEG,
    "a cookie of nonsense": head(LENGTH, "Set-Cookie: =;=;=") + JPEG,
    "no length": head("Connection: close") + JPEG,
}
NOT_TAKEN: dict[str, tuple[bytes, type[MediaError], str]] = {
    "gzip": (head(LENGTH, "Content-Encoding: gzip") + JPEG, MediaRefused, "compressed"),
    "aws-chunked, gzip": (head(LENGTH, "Content-Encoding: aws-chunked, gzip") + JPEG, MediaRefused, "compressed"),
    "two headers, one of them br": (
        head(LENGTH, "Content-Encoding: identity", "Content-Encoding: br") + JPEG,
        MediaRefused,
        "compressed",
    ),
    "zstd": (head(LENGTH, "Content-Encoding: zstd") + JPEG, MediaRefused, "compressed"),
    "an encoding of no name": (head(LENGTH, "Content-Encoding: x-mine") + JPEG, MediaRefused, "compressed"),
    "100 interim answers": (head(status="100 Continue") * 100 + head(LENGTH) + JPEG, MediaUnreachable, "broke off"),
    "100,000 interim answers": (head(status="102 Processing") * 100_000, MediaUnreachable, "broke off"),
    "a header of 100 KB": (head(LENGTH, "X-A: " + "a" * 100_000) + JPEG, MediaUnreachable, "broke off"),
    "10,000 headers": (
        head(LENGTH, *(f"X-{number}: a" for number in range(10_000))) + JPEG,
        MediaUnreachable,
        "broke off",
    ),
    "a status of nonsense": (b"HTTP/1.1 abc\r\n\r\n", MediaUnreachable, "broke off"),
    "a status of four digits": (b"HTTP/1.1 2000 OK\r\n\r\n", MediaUnreachable, "broke off"),
    "a version of nonsense": (b"HTTP/9.9 200 OK\r\n\r\n", MediaUnreachable, "pictures.internal"),
    "a length below zero": (head("Content-Length: -1") + JPEG, MediaUnreachable, "broke off"),
    "a length of 400 digits": (head("Content-Length: " + "9" * 400) + JPEG, MediaUnreachable, "broke off"),
    "two lengths": (head("Content-Length: 5", LENGTH) + JPEG, MediaUnreachable, "broke off"),
    "a chunk of no size": (head("Transfer-Encoding: chunked") + b"zz\r\n" + JPEG, MediaUnreachable, "broke off"),
    "a chunk of 2^80 bytes": (
        head("Transfer-Encoding: chunked") + b"f" * 20 + b"\r\n" + JPEG,
        MediaUnreachable,
        "pictures.internal",
    ),
    "an upgrade": (
        head("Upgrade: websocket", "Connection: Upgrade", status="101 Switching Protocols"),
        MediaUnreachable,
        "status 101",
    ),
    "a redirect to itself": (
        head("Location: /answer", "Content-Length: 0", status="302 Found"),
        MediaRefused,
        "redirects",
    ),
    "a redirect to a NUL": (
        head("Location: http://a\0b/", "Content-Length: 0", status="302 Found"),
        MediaUnreachable,
        "broke off",
    ),
    "a redirect to nowhere": (
        head("Location: http://[", "Content-Length: 0", status="302 Found"),
        MediaRefused,
        "malformed",
    ),
    "a redirect of 100 KB": (head("Location: /" + "a" * 100_000, status="302 Found"), MediaUnreachable, "broke off"),
    "no answer": (b"", MediaUnreachable, "broke off"),
    "half a head": (b"HTTP/1.1 200", MediaUnreachable, "broke off"),
}


async def fetched(media: Media, web: Web, answer: bytes) -> int:
    web.routes["/answer"] = answer
    async with media.fetch(f"http://pictures.internal:{web.port}/answer", Kind.PICTURE, owner="p") as body:
        return body.size


@pytest.mark.parametrize("what", TAKEN)
async def test_an_answer_with_odd_headers_and_plain_bytes_is_taken(media: Media, web: Web, what: str) -> None:
    assert await fetched(media, web, TAKEN[what]) == len(JPEG)


@pytest.mark.parametrize("what", NOT_TAKEN)
async def test_an_answer_that_makes_no_sense_is_told_as_that(media: Media, web: Web, what: str) -> None:
    answer, kind, named = NOT_TAKEN[what]

    with pytest.raises(kind, match=named):
        await fetched(media, web, answer)


async def test_interim_answers_without_end_leave_the_loop_to_others(web: Web, tmp_path: Path) -> None:
    web.routes["/endless"] = web.endless(b"", head(status="100 Continue") * 1000)
    sent = web.sent
    web.closed_by_client.clear()

    async with asyncio.timeout(60), media_of(web, tmp_path) as media:
        with pytest.raises(MediaUnreachable, match="broke off"):
            async with media.fetch(f"http://pictures.internal:{web.port}/endless", Kind.PICTURE, owner="p"):
                pass
        await web.closed_by_client.wait()

        assert web.sent - sent < 16 * 2**20
        web.routes["/fine"] = response(JPEG)
        assert await fetched(media, web, web.routes["/fine"]) == len(JPEG)


@pytest.mark.parametrize(
    "uri",
    [
        "http://no-such-name.example.com/a.png",
        "https://no-such-name.example.com/a.png?X-Amz-Signature=secret",
        "https://xn--0000h.example.com/",
        "https://" + ".".join(["a" * 60] * 20) + ".example.com/",
        "https://a_b.example.com/",
    ],
)
async def test_a_name_that_does_not_resolve_is_told_without_its_query(media: Media, uri: str) -> None:
    with pytest.raises(MediaUnreachable, match="does not resolve") as caught:
        async with media.fetch(uri, Kind.PICTURE, owner="p"):
            pass

    assert "secret" not in str(caught.value)
