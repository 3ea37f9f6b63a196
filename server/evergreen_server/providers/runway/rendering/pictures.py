"""Pictures: a gradient and shapes by the seed, with every reference to be seen as a thumbnail at the lower edge."""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from evergreen_server.providers.runway.rendering.files import whole
from evergreen_server.providers.runway.rendering.job import Job

__all__ = ["encoded", "gradient", "make_drawing", "make_enlargement", "make_picture", "opened", "thumbnail_boxes"]

Box = tuple[int, int, int, int]
_SHAPES = 5
_SAVING: dict[str, dict[str, int]] = {"png": {"compress_level": 1}, "jpeg": {"quality": 90}, "webp": {"method": 0}}


def make_picture(job: Job) -> None:
    """Writes a made-up picture, or the source with shapes over it; what is beside them is clear where asked."""
    size = (job.width, job.height)
    if job.source:
        canvas = ImageOps.fit(opened(job.source), size, Image.Resampling.BILINEAR)
    else:
        canvas = gradient(job.seed).resize(size, Image.Resampling.BILINEAR)
    seen = Image.new("L", size, 0 if job.clear else 255)
    paint, mask = ImageDraw.Draw(canvas), ImageDraw.Draw(seen)
    for box, colour in _shapes(job.seed, *size):
        paint.ellipse(box, fill=colour)
        mask.ellipse(box, fill=255)
    for path, box in zip(job.references, thumbnail_boxes(len(job.references), *size), strict=True):
        canvas.paste(ImageOps.fit(opened(path), (box[2] - box[0], box[3] - box[1])), box)
        mask.rectangle((box[0], box[1], box[2] - 1, box[3] - 1), fill=255)
    if job.clear:
        canvas.putalpha(seen)
    _save(canvas, job)


def make_enlargement(job: Job) -> None:
    """Writes the source in another size, with its transparency."""
    with Image.open(job.source) as source:
        clear = "A" in source.getbands() or "transparency" in source.info
    picture = opened(job.source, "RGBA" if clear else "RGB")
    _save(picture.resize((job.width, job.height), Image.Resampling.BICUBIC), job)


def make_drawing(job: Job) -> None:
    """Writes the same shapes as vectors."""
    ground = "#{:02x}{:02x}{:02x}".format(*np.asarray(gradient(job.seed))[0, 0])
    shapes = [
        f'<ellipse cx="{(left + right) / 2:g}" cy="{(top + bottom) / 2:g}" rx="{(right - left) / 2:g}" '
        f'ry="{(bottom - top) / 2:g}" fill="#{colour[0]:02x}{colour[1]:02x}{colour[2]:02x}"/>'
        for (left, top, right, bottom), colour in _shapes(job.seed, job.width, job.height)
    ]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{job.width}" height="{job.height}"'
    page = [
        f'{head} viewBox="0 0 {job.width} {job.height}">',
        f'<rect width="100%" height="100%" fill="{ground}"/>',
        *shapes,
        "</svg>\n",
    ]
    with whole(job.target) as path:
        path.write_text("\n".join(page))


def thumbnail_boxes(number: int, width: int, height: int) -> Sequence[Box]:
    """Returns where the references are to be seen: squares in a row at the lower edge, from the left."""
    if not number:
        return []
    side = max(1, min(height // 4, width // number))
    return [(side * index, height - side, side * (index + 1), height) for index in range(number)]


def opened(path: str, mode: str = "RGB") -> Image.Image:
    """Reads a picture as it is displayed."""
    with Image.open(path) as source:
        return ImageOps.exif_transpose(source).convert(mode)


def gradient(seed: int) -> Image.Image:
    """Returns a small gradient of two colours, the same for the same seed."""
    random = np.random.default_rng(seed)
    start, end = random.integers(32, 224, (2, 3))
    slope: NDArray[np.float64] = np.add.outer(np.linspace(0, 0.5, 180), np.linspace(0, 0.5, 320))[..., None]
    return Image.fromarray((start + (end - start) * slope).astype(np.uint8))


def encoded(picture: Image.Image, form: str) -> bytes:
    """Returns a picture as a file."""
    out = BytesIO()
    picture.save(out, form, **_SAVING[form])
    return out.getvalue()


def _save(picture: Image.Image, job: Job) -> None:
    with whole(job.target) as path:
        picture.save(path, job.form, **_SAVING[job.form])


def _shapes(seed: int, width: int, height: int) -> list[tuple[Box, tuple[int, int, int]]]:
    random = np.random.default_rng([seed, 1])
    shapes = []
    for _ in range(_SHAPES):
        left, top = int(random.uniform(0.05, 0.7) * width), int(random.uniform(0.05, 0.45) * height)
        wide, high = int(random.uniform(0.08, 0.25) * width), int(random.uniform(0.08, 0.25) * height)
        red, green, blue = (int(part) for part in random.integers(0, 256, 3))
        shapes.append(((left, top, left + max(1, wide), top + max(1, high)), (red, green, blue)))
    return shapes
