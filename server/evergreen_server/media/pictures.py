"""Turns a caller's picture into one that every model takes: upright, sRGB, opaque, without metadata.

A JPEG, PNG or WebP that already is all that, and lies within the model's rule, is passed on byte for byte
after it was decoded once. PNG and other lossless pictures become PNG as long as that fits, all else JPEG.
"""

import io
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from PIL import Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from evergreen_server.jobs.media import MediaRefused, Picture
from evergreen_server.jobs.provider import PictureRule
from evergreen_server.media.colours import in_srgb, is_opaque_rgb, on_white, split
from evergreen_server.media.limits import MediaLimits
from evergreen_server.media.signatures import HEAD_BYTES, sniff

if TYPE_CHECKING:
    from typing_extensions import Buffer

Clock: TypeAlias = Callable[[], float]

_FORMATS = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/webp": "WEBP",
    "image/avif": "AVIF",
    "image/gif": "GIF",
    "image/bmp": "BMP",
    "image/tiff": "TIFF",
}
_LOSSLESS = ("image/png", "image/bmp", "image/gif")
_ANIMATED = ("PNG", "WEBP", "AVIF", "GIF")
_JPEG_QUALITIES = (92, 82, 72, 60)
_MAX_SIDE = 65_500
"""As far as a JPEG can be encoded."""
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SWAPS_SIDES = (5, 6, 7, 8)
_PNG_END = b"IEND\xaeB`\x82"
_HARMLESS_PNG = {"dpi", "srgb", "gamma", "chromaticity", "interlace"}
# What Pillow raises for broken files, beside OSError, is not documented; these are seen in its plugins.
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    LookupError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    RuntimeError,
    struct.error,
)


def prepare(source: Path | bytes, rule: PictureRule, limits: MediaLimits, *, clock: Clock = time.monotonic) -> Picture:
    """Decodes, normalises and encodes a picture. Blocks; raises MediaRefused."""
    data = _read(source, limits.picture_bytes)
    content_type = _format(data)
    image, orientation, animated = _loaded(
        _TimedBytes(data, clock, clock() + limits.work_seconds), content_type, limits
    )
    warnings = ["PICTURE_ANIMATED: only the first frame is used"] if animated else []
    swapped = orientation in _SWAPS_SIDES
    upright = (image.height, image.width) if swapped else image.size
    width, height = size = _allowed_size(*upright, rule)
    if min(size) < rule.min_side:
        raise _invalid(f"the picture has {width}x{height} pixels; each side must have at least {rule.min_side}")
    if size != upright:
        warnings.append(
            f"PICTURE_CROPPED: {upright[0]}x{upright[1]} was cropped from the centre to {width}x{height}, "
            f"the nearest width / height that the model takes"
        )
    elif orientation not in _UPRIGHT and not animated and is_opaque_rgb(image) and _is_bare(image, data):
        return Picture(data=data, content_type=content_type, width=width, height=height)
    profile = image.info.get("icc_profile")
    # Each step lets go of the one before, since a large picture is held once per name.
    image = _centre(image, (height, width) if swapped else size)
    image, alpha = split(image)
    image, profile_used = in_srgb(image, profile)
    if not profile_used:
        warnings.append("PICTURE_PROFILE_IGNORED: the colour profile is broken; the colours are taken as sRGB")
    if alpha is not None:
        image = on_white(image, alpha)
        del alpha
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    encoded, encoded_type = _encoded(image, lossless=content_type in _LOSSLESS, limit=limits.picture_bytes)
    return Picture(data=encoded, content_type=encoded_type, width=width, height=height, warnings=tuple(warnings))


def _read(source: Path | bytes, limit: int) -> bytes:
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    if size > limit:
        raise _refused(f"the picture is larger than {limit} bytes")
    data = source if isinstance(source, bytes) else source.read_bytes()
    if not data:
        raise _invalid("the picture is empty")
    return data


def _format(data: bytes) -> str:
    content_type = sniff(data[:HEAD_BYTES])
    if content_type in _FORMATS:
        return content_type
    if content_type is None or content_type.startswith("image/"):
        raise MediaRefused(
            f"the picture's format is not one that can be read; use {', '.join(_FORMATS)}",
            reason="PICTURE_INVALID",
            unreadable=True,
        )
    raise _refused(f"the file is {content_type}, not a picture")


def _loaded(stream: io.BytesIO, content_type: str, limits: MediaLimits) -> tuple[Image.Image, int, bool]:
    """Decodes the first frame; tells its orientation and whether there are more. All parsing happens here."""
    try:
        image = Image.open(stream, formats=[_FORMATS[content_type]])
        _judge_pixels(image, limits.picture_pixels)
        image.load()
        # Once more: a format that keeps a size per frame tells the real one only now.
        _judge_pixels(image, limits.picture_pixels)
        animated = image.format in _ANIMATED and bool(getattr(image, "is_animated", False))
        return image, _orientation(image), animated
    except TimeoutError:
        raise _invalid(f"the picture took longer than {limits.work_seconds:g} s to decode") from None
    except Image.DecompressionBombError:
        raise _invalid(f"the picture has more than {limits.picture_pixels} pixels") from None
    except _BROKEN as exc:
        raise _invalid(f"the picture is broken or truncated ({content_type})") from exc


def _judge_pixels(image: Image.Image, limit: int) -> None:
    if max(image.size) > _MAX_SIDE:
        raise _invalid(f"the picture has {image.width}x{image.height} pixels; no side may have more than {_MAX_SIDE}")
    if image.width * image.height > limit:
        raise _invalid(f"the picture has {image.width}x{image.height} pixels, more than {limit} in all")


def _orientation(image: Image.Image) -> int:
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except _BROKEN:
        # Broken metadata is no reason to refuse pixels that are whole.
        return 1
    return found if isinstance(found, int) else 1


def _allowed_size(width: int, height: int, rule: PictureRule) -> tuple[int, int]:
    """Tells the largest part of a picture whose aspect the model takes."""
    if rule.max_aspect is not None and width > height * rule.max_aspect:
        return max(1, int(height * rule.max_aspect)), height
    if rule.min_aspect is not None and width < height * rule.min_aspect:
        return width, max(1, int(width / rule.min_aspect))
    return width, height


def _centre(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    if size == image.size:
        return image
    left, top = (image.width - size[0]) // 2, (image.height - size[1]) // 2
    return image.crop((left, top, left + size[0], top + size[1]))


def _is_bare(image: Image.Image, data: bytes) -> bool:
    """Tells whether the file holds its pixels and nothing else that could tell of place, person or device."""
    match image:
        case JpegImagePlugin.JpegImageFile(format="JPEG"):
            segments = {name for name, _ in image.applist}
            return segments <= {"APP0", "APP14"} and data.endswith(b"\xff\xd9")
        case PngImagePlugin.PngImageFile():
            unknown = image.text or image.private_chunks or not _HARMLESS_PNG.issuperset(image.info)
            return not unknown and data.endswith(_PNG_END)
        case WebPImagePlugin.WebPImageFile():
            return not {"exif", "xmp"} & image.info.keys() and len(data) <= int.from_bytes(data[4:8], "little") + 9
        case _:
            return False


def _encoded(image: Image.Image, *, lossless: bool, limit: int) -> tuple[bytes, str]:
    if lossless:
        with suppress(_Full):
            return _saved(image, limit, format="PNG"), "image/png"
    for quality in _JPEG_QUALITIES:
        with suppress(_Full):
            return _saved(image, limit, format="JPEG", quality=quality), "image/jpeg"
    raise _refused(f"the picture cannot be encoded in {limit} bytes")


def _saved(image: Image.Image, limit: int, *, format: str, quality: int | None = None) -> bytes:
    target = _CappedBytes(limit)
    # The encoders would take profile, comment and resolution from there.
    image.info.clear()
    image.save(target, format=format, **({} if quality is None else {"quality": quality}))
    return target.getvalue()


class _TimedBytes(io.BytesIO):
    """Ends the decoding of a file that is small but endless work, since a thread cannot be interrupted."""

    def __init__(self, data: bytes, clock: Clock, until: float) -> None:
        super().__init__(data)
        self._clock = clock
        self._until = until

    def read(self, size: int | None = -1, /) -> bytes:
        if self._clock() > self._until:
            raise TimeoutError
        return super().read(size)


class _Full(Exception):
    """The encoded picture passed its bound."""


class _CappedBytes(io.BytesIO):
    """Ends an encoding as soon as it is larger than allowed."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def write(self, data: "Buffer", /) -> int:
        written = super().write(data)
        if self.tell() > self._limit:
            raise _Full
        return written


def _refused(message: str) -> MediaRefused:
    return MediaRefused(message, reason="MEDIA_REFUSED")


def _invalid(message: str) -> MediaRefused:
    return MediaRefused(message, reason="PICTURE_INVALID")
