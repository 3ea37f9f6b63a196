"""Turns a caller's picture into one that every model takes: upright, sRGB, opaque, without metadata.

A JPEG, PNG or WebP that already is all that, and lies within the model's rule, is passed on byte for byte if every byte
of it was needed to decode it. PNG and other lossless pictures become PNG as long as that fits, all else JPEG.
"""

import io
import struct
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

from PIL import Image, JpegImagePlugin, TiffImagePlugin

from evergreen_server.media.colours import is_opaque_rgb, note_levels, opaque_srgb
from evergreen_server.media.limits import MediaLimits
from evergreen_server.media.parts import Parts, parts, shortened
from evergreen_server.media.signatures import HEAD_BYTES, PICTURE_FORMATS, misfit, sniff
from evergreen_server.ports.catalog import PictureRule
from evergreen_server.ports.media import Clip, MediaRefused, Picture
from evergreen_server.ports.specs import Kind

if TYPE_CHECKING:
    from typing_extensions import Buffer

_LOSSLESS = ("image/png", "image/bmp", "image/gif")
_ANIMATED = ("PNG", "WEBP", "AVIF", "GIF")
_JPEG_QUALITIES = (92, 82, 72, 60)
_THUMBNAIL_QUALITY = 80
_TALLEST = 3
"""How much higher than wide a thumbnail may be."""
_MAX_SIDE = 65_500
"""The longest side that can be encoded as JPEG."""
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
_PIXEL_BYTES = 8
"""A pixel as it was decoded and as it will be encoded."""
_COPYING = ("image/webp", "image/avif")
"""Formats whose decoders hold further copies of the pixels while Pillow holds its own."""
_TILE_BYTES = 64 * 1024 * 1024
_PALETTE = 256
_TAIL_BYTES = 8
_DIGEST_ROWS = 256
# What Pillow raises for broken metadata is not documented; these are seen in its plugins.
_BROKEN = (
    *(OSError, SyntaxError, ValueError, TypeError, EOFError, LookupError, ArithmeticError, AttributeError),
    *(AssertionError, RuntimeError, struct.error),
)


def prepare(data: bytes, rule: PictureRule, limits: MediaLimits) -> Picture:
    """Decodes, normalises and encodes a picture. Blocks; raises MediaRefused.

    For a broken file it also raises whatever the decoders raise.
    """
    content_type = _format(data)
    found = parts(data, content_type)
    image, orientation, animated = _load(found.decoded, content_type, limits)
    warnings = ["PICTURE_ANIMATED: only the first frame is used"] if animated else []
    if found.surplus:
        warnings.append(f"PICTURE_SURPLUS: {found.surplus} bytes that are no part of the picture were left out")
    swapped = orientation in _SWAPS_SIDES
    upright = (image.height, image.width) if swapped else image.size
    width, height = size = _allowed_size(*upright, rule)
    if reason := _wrong_size(width, height, rule):
        raise _invalid(f"the picture has {width}x{height} pixels; {reason}")
    if size != upright:
        warnings.append(
            f"PICTURE_CROPPED: {upright[0]}x{upright[1]} was cropped from the centre to {width}x{height}, "
            f"the nearest width / height that the model takes"
        )
    elif found.bare and orientation not in _UPRIGHT and not animated and is_opaque_rgb(image):
        seen = _digest(image)
        del image
        if _tail_matters(data, content_type, found, seen):
            return Picture(data=data, content_type=content_type, width=width, height=height)
        image, _, _ = _load(data, content_type, limits)
    # Each step drops the picture of the one before, since large pictures must not be held twice.
    image, profile_used = opaque_srgb(image, _centre(image, (height, width) if swapped else size))
    if not profile_used:
        warnings.append("PICTURE_PROFILE_IGNORED: the colour profile is broken; the colours are taken as sRGB")
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    encoded, encoded_type = encode(image, lossless=content_type in _LOSSLESS, limit=limits.picture_bytes)
    return Picture(data=encoded, content_type=encoded_type, width=width, height=height, warnings=tuple(warnings))


def measure(data: bytes, limits: MediaLimits) -> Clip:
    """Decodes a whole picture, of which nothing is changed. Blocks; raises MediaRefused.

    For a broken file it also raises whatever the decoders raise.
    """
    content_type = _format(data)
    image, _, _ = _load(data, content_type, limits)
    return Clip(content_type=content_type, width=image.width, height=image.height, duration_seconds=0.0, codec="")


def thumbnail(data: bytes, width: int, limits: MediaLimits) -> bytes:
    """Makes a JPEG of a picture's first frame, upright and on white, at most `width` pixels wide and thrice as high.

    Never larger than the picture. Blocks; raises MediaRefused, and for a broken file whatever the decoders raise.
    """
    image, orientation, _ = _load(data, _format(data), limits)
    small, _ = opaque_srgb(image, (0, 0, image.width, image.height))
    if orientation in _UPRIGHT:
        small = small.transpose(_UPRIGHT[orientation])
    small.thumbnail((width, _TALLEST * width), Image.Resampling.LANCZOS)
    return _save(small, limits.picture_bytes, format="JPEG", quality=_THUMBNAIL_QUALITY)


def _format(data: bytes) -> str:
    if not data:
        raise _invalid("the picture is empty")
    content_type = sniff(data[:HEAD_BYTES])
    if content_type in PICTURE_FORMATS:
        return content_type
    unreadable = content_type is None or content_type.startswith("image/")
    reason = "PICTURE_INVALID" if unreadable else "MEDIA_REFUSED"
    raise MediaRefused(misfit(data[:HEAD_BYTES], Kind.PICTURE), reason=reason, unreadable=unreadable)


def _load(data: bytes, content_type: str, limits: MediaLimits) -> tuple[Image.Image, int, bool]:
    """Decodes the first frame. Returns it, its orientation, and whether there are more frames."""
    try:
        image = Image.open(io.BytesIO(data), formats=[PICTURE_FORMATS[content_type]])
    except Image.DecompressionBombError:
        raise _invalid(f"the picture has more than {limits.picture_pixels} pixels") from None
    _check_size(image, content_type, limits)
    _fix_transparency(image, data)
    image.load()
    note_levels(image)
    # Once more: a format with a size per frame reveals the real one only now.
    _check_size(image, content_type, limits)
    animated = image.format in _ANIMATED and bool(getattr(image, "is_animated", False))
    return image, _orientation(image), animated


def _check_size(image: Image.Image, content_type: str, limits: MediaLimits) -> None:
    size = f"the picture has {image.width}x{image.height} pixels"
    if max(image.size) > _MAX_SIDE:
        raise _invalid(f"{size}; no side may have more than {_MAX_SIDE}")
    most = int(limits.picture_pixels * _PIXEL_BYTES / _pixel_bytes(image, content_type))
    if image.width * image.height > most:
        raise _invalid(f"{size}, more than {most} in all")
    if isinstance(image, TiffImagePlugin.TiffImageFile) and _tile_bytes(image) > _TILE_BYTES:
        raise _invalid(f"a tile of the picture takes more than {_TILE_BYTES} bytes")


def _pixel_bytes(image: Image.Image, content_type: str) -> float:
    """Returns about how many bytes each pixel takes while a picture is processed."""
    if content_type in _COPYING:
        return 2 * _PIXEL_BYTES
    if isinstance(image, JpegImagePlugin.JpegImageFile) and "progressive" in image.info:
        # All coefficients are held until the last scan, two bytes each, beside the pixels.
        areas = [across * down for _, across, down, _ in image.layer]
        return max(_PIXEL_BYTES, _PIXEL_BYTES / 2 + 2 * sum(areas) / max(areas))
    return _PIXEL_BYTES


def _tile_bytes(image: TiffImagePlugin.TiffImageFile) -> float:
    tags = image.tag_v2
    across, down = tags.get(TiffImagePlugin.TILEWIDTH, 0), tags.get(TiffImagePlugin.TILELENGTH, 0)
    bits = tags.get(TiffImagePlugin.BITSPERSAMPLE, (8,))
    samples = tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1)
    return float(across * down * samples * max(bits) / 8)


def _fix_transparency(image: Image.Image, data: bytes) -> None:
    """Converts a PNG's transparent colour to the depth of its pixels, and drops entries outside the palette."""
    key = image.info.get("transparency")
    if image.format != "PNG" or key is None:
        return
    depth = data[24]
    if image.mode == "P" and isinstance(key, bytes) and len(key) > _PALETTE:
        del image.info["transparency"]
    elif image.mode == "L" and isinstance(key, int):
        image.info["transparency"] = (key & 0xFF) if depth == 8 else key * 255 // (2**depth - 1)
    elif image.mode == "RGB" and isinstance(key, tuple):
        image.info["transparency"] = tuple(level >> 8 if depth == 16 else level & 0xFF for level in key)


def _orientation(image: Image.Image) -> int:
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except _BROKEN:
        # Broken metadata is no reason to refuse pixels that are whole.
        return 1
    return found if isinstance(found, int) else 1


def _wrong_size(width: int, height: int, rule: PictureRule) -> str:
    """Returns what the model requires of a picture that is too small or too large for it; empty if it is neither."""
    if min(width, height) < rule.min_side:
        return f"each side must have at least {rule.min_side}"
    if rule.max_side is not None and max(width, height) > rule.max_side:
        return f"no side may have more than {rule.max_side}"
    if rule.max_pixels is not None and width * height > rule.max_pixels:
        return f"it may have {rule.max_pixels} at most"
    return ""


def _allowed_size(width: int, height: int, rule: PictureRule) -> tuple[int, int]:
    """Returns the size of the largest part of a picture whose aspect the model takes."""
    if rule.max_aspect is not None and width > height * rule.max_aspect:
        return max(1, int(height * rule.max_aspect)), height
    if rule.min_aspect is not None and width < height * rule.min_aspect:
        return width, max(1, int(width / rule.min_aspect))
    return width, height


def _centre(image: Image.Image, size: tuple[int, int]) -> tuple[int, int, int, int]:
    left, top = (image.width - size[0]) // 2, (image.height - size[1]) // 2
    return left, top, left + size[0], top + size[1]


def _tail_matters(data: bytes, content_type: str, found: Parts, seen: int) -> bool:
    """Returns whether a bare file's last bytes are pixels: without them, it decodes differently or not at all."""
    if found.tail is None:
        return True
    try:
        image = Image.open(
            io.BytesIO(shortened(data, content_type, found.tail, _TAIL_BYTES)), formats=[PICTURE_FORMATS[content_type]]
        )
        return _digest(image) != seen
    except _BROKEN:
        return True


def _digest(image: Image.Image) -> int:
    crc = 0
    for top in range(0, image.height, _DIGEST_ROWS):
        band = image.crop((0, top, image.width, min(image.height, top + _DIGEST_ROWS)))
        crc = zlib.crc32(band.tobytes(), crc)
    return crc


def encode(image: Image.Image, *, lossless: bool, limit: int) -> tuple[bytes, str]:
    """Returns a picture in so many bytes at most, with its type: a PNG where that fits and nothing may be lost, else a
    JPEG. Raises MediaRefused.
    """
    if lossless:
        with suppress(_Full):
            return _save(image, limit, format="PNG"), "image/png"
    for quality in _JPEG_QUALITIES:
        with suppress(_Full):
            return _save(image, limit, format="JPEG", quality=quality), "image/jpeg"
    raise MediaRefused(f"the picture cannot be encoded in {limit} bytes", reason="MEDIA_REFUSED")


def _save(image: Image.Image, limit: int, *, format: str, quality: int | None = None) -> bytes:
    target = _CappedBytes(limit)
    image.save(target, format=format, **({} if quality is None else {"quality": quality}))
    return target.getvalue()


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


def _invalid(message: str) -> MediaRefused:
    return MediaRefused(message, reason="PICTURE_INVALID")
