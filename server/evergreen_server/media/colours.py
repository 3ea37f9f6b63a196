"""Converts the pixels of any picture to opaque 8-bit sRGB, in bands, so that a large one is held only twice."""

import io
from collections.abc import Callable
from typing import TypeAlias

from PIL import Image, ImageChops, ImageCms, TiffImagePlugin

from evergreen_server.ports.media import MediaRefused

Box: TypeAlias = tuple[int, int, int, int]
"""Left, top, right and bottom of a part of a picture."""

_BAND_PIXELS = 1024 * 1024
_WITH_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")
_BASES = ("L", "RGB", "CMYK", "LAB")
_SPACES = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK", "Lab": "LAB"}
"""The colour spaces of profiles, and the mode in which pixels are passed to them."""
LEVELS = (TiffImagePlugin.BITSPERSAMPLE, TiffImagePlugin.PHOTOMETRIC_INTERPRETATION)
"""What a picture's `info` has the table under by which samples of two bytes become levels; no file can name it so."""
_HIGH_BYTE = [value >> 8 for value in range(65536)]
_OF_12_BITS = [min(value >> 4, 255) for value in range(65536)]
_WHITE_AT_ZERO = [255 - level for level in _HIGH_BYTE]


def is_opaque_rgb(image: Image.Image) -> bool:
    """Returns whether the pixels can stay as they are, judging by the mode and the profile."""
    return image.mode == "RGB" and "transparency" not in image.info and "icc_profile" not in image.info


def note_levels(image: Image.Image) -> None:
    """Notes what the samples of a scan mean: Pillow leaves those of 12 bits as they are, and white at zero."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile) or not image.mode.startswith("I;16"):
        return
    if image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE) == (12,):
        image.info[LEVELS] = _OF_12_BITS
    elif image.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0:
        image.info[LEVELS] = _WHITE_AT_ZERO


def opaque_srgb(image: Image.Image, box: Box) -> tuple[Image.Image, bool]:
    """Returns a part of a picture as a new one, and False where its profile is broken and the colours are unchanged.

    Raises MediaRefused where the pixels are of a kind that has no one meaning as colours.
    """
    left, top, right, bottom = box
    profile = image.info.get("icc_profile")
    to_srgb, used = _conversion(profile if isinstance(profile, bytes) else None, _split(image.crop((0, 0, 1, 1)))[0])
    made = Image.new("RGB", (right - left, bottom - top))
    rows = max(1, _BAND_PIXELS // made.width)
    for start in range(top, bottom, rows):
        colours, alpha = _split(image.crop((left, start, right, min(bottom, start + rows))))
        band = to_srgb(colours)
        made.paste(band if alpha is None else _on_white(band, alpha), (0, start - top))
    return made, used


def _split(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Splits a picture into its colours, in a mode that a profile can describe, and its alpha if it has one."""
    key = image.info.get("transparency")
    mode = image.mode
    if mode.startswith("I;16"):
        # A plain conversion would clip all but the darkest 256 levels to white.
        whole = image.convert("I")
        alpha = whole.point([0 if value == key else 255 for value in range(65536)], "L") if key is not None else None
        return whole.point(image.info.get(LEVELS, _HIGH_BYTE), "L"), alpha
    if mode in _WITH_ALPHA or (mode == "P" and key is not None):
        whole = image if mode == "RGBA" else image.convert("RGBA")
        return whole.convert("L" if mode in ("LA", "La") else "RGB"), whole.getchannel("A")
    if mode == "1":
        image = image.convert("L")
    elif mode in ("P", "RGBX", "YCbCr", "HSV"):
        image = image.convert("RGB")
    if image.mode not in _BASES:
        raise MediaRefused(f"the picture's pixel format {mode} is not supported", reason="PICTURE_INVALID")
    return image, _keyed_alpha(image, key)


def _keyed_alpha(image: Image.Image, key: object) -> Image.Image | None:
    """Returns the alpha channel of a picture with one transparent colour."""
    match image.mode, key:
        case "L", int(level):
            levels = [level]
        case "RGB", (int(red), int(green), int(blue)):
            levels = [red, green, blue]
        case _:
            return None
    alphas = [
        channel.point([0 if value == level else 255 for value in range(256)])
        for channel, level in zip(image.split(), levels, strict=True)
    ]
    alpha = alphas[0]
    for other in alphas[1:]:
        alpha = ImageChops.lighter(alpha, other)
    return alpha


def _conversion(profile: bytes | None, colours: Image.Image) -> tuple[Callable[[Image.Image], Image.Image], bool]:
    """Returns how to convert such colours to sRGB, and whether the profile, if there is one, is used."""
    mode = colours.mode
    target = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    if profile:
        try:
            given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            taken = _SPACES.get(given.profile.xcolor_space.strip(), "")
            if mode == "L" and taken == "RGB":
                mode = "RGB"
            if mode == "RGB" == taken and ImageCms.getProfileDescription(given).startswith("sRGB"):
                return _to_rgb, True
            transform = ImageCms.buildTransform(given, target, mode, "RGB")
            return lambda image: _apply(transform, image if image.mode == mode else image.convert(mode)), True
        # A broken profile raises different errors, and the pixels are intact in any case.
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError, AttributeError):
            pass
    if mode == "LAB":
        lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        of_lab = ImageCms.buildTransform(lab, target, "LAB", "RGB")
        return lambda image: _apply(of_lab, image), not profile
    return _to_rgb, not profile


def _to_rgb(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGB")


def _apply(transform: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
    made = ImageCms.applyTransform(image, transform)
    assert made is not None, "a picture is made where it is not changed in place"
    return made


def _on_white(image: Image.Image, alpha: Image.Image) -> Image.Image:
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=alpha)
    return white
