"""Brings the pixels of any picture to opaque 8-bit sRGB."""

import io

from PIL import Image, ImageCms

from evergreen_server.jobs.media import MediaRefused

_WITH_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")
_BASES = ("L", "RGB", "CMYK", "YCbCr", "LAB", "HSV")


def is_opaque_rgb(image: Image.Image) -> bool:
    """Tells whether the pixels can stay as they are, as far as the mode and the profile tell."""
    return image.mode == "RGB" and "transparency" not in image.info and "icc_profile" not in image.info


def split(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Parts a picture into its colours, in a mode that a profile can speak of, and its alpha if it has one."""
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        grey = image.mode in ("LA", "La")
        whole = image if image.mode == "RGBA" else image.convert("RGBA")
        return whole.convert("L" if grey else "RGB"), whole.getchannel("A")
    if image.mode == "P":
        return image.convert("RGB"), None
    if image.mode == "1":
        return image.convert("L"), None
    if image.mode.startswith("I;16"):
        # A plain conversion would clip all but the darkest 256 levels to white.
        return image.point(lambda value: value * (1 / 256)).convert("L"), None
    if image.mode not in _BASES:
        raise MediaRefused(f"the picture's pixel format {image.mode} is not supported", reason="PICTURE_INVALID")
    return image, None


def in_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, bool]:
    """Converts to sRGB by the profile; False where that is broken and the colours were taken as they are."""
    if not profile:
        return (image if image.mode == "RGB" else image.convert("RGB")), True
    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if image.mode == "RGB" and ImageCms.getProfileDescription(given).startswith("sRGB"):
            return image, True
        target = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        converted = ImageCms.profileToProfile(image, given, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return image.convert("RGB"), False
    return converted or image.convert("RGB"), converted is not None


def on_white(image: Image.Image, alpha: Image.Image) -> Image.Image:
    """Lays the colours on white."""
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=alpha)
    return white
