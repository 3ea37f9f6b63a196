"""Pictures that are seen for a while, in a slow move towards them."""

from io import BytesIO
from pathlib import Path

import av
import numpy
from PIL import Image

from evergreen_server.media import pictures
from evergreen_server.media.clips import Display
from evergreen_server.media.limits import MediaLimits
from evergreen_server.media.render.picture.shaping import Picture, Shaper, planes
from evergreen_server.ports.catalog import PictureRule
from evergreen_server.ports.media import MediaRefused
from evergreen_server.ports.timeline import Fit

_LIMITS = MediaLimits()
_PER_SECOND = 0.012
_NEAREST = 0.12
"""How much nearer the picture comes, in a second and at most."""
_SPARE = 9 / 8
"""By how much more pixels a side has than the frame, so that it stays sharp as it comes nearer."""


class Still:
    """A picture that comes nearer. Raises MediaRefused where it cannot be used."""

    def __init__(self, path: Path, size: tuple[int, int], fit: Fit, fps: int) -> None:
        large = (2 * round(size[0] * _SPARE / 2), 2 * round(size[1] * _SPARE / 2))
        image = _image(path)
        shaper = Shaper(Display(width=image.width, height=image.height), large, fit)
        frame = av.VideoFrame.from_ndarray(numpy.asarray(image), format="rgb24")
        self._layers = [Image.fromarray(plane) for plane in planes(shaper.shape(frame), large)]
        self._size = size
        self._fps = fps

    def at(self, number: int) -> Picture:
        """Returns its frame of this number."""
        made = numpy.empty(self._size[0] * self._size[1] * 3 // 2, numpy.uint8)
        part = 1 / (1 + min(_NEAREST, _PER_SECOND * number / self._fps))
        for layer, target in zip(self._layers, planes(made, self._size), strict=True):
            left, top = layer.width * (1 - part) / 2, layer.height * (1 - part) / 2
            seen = (left, top, layer.width - left, layer.height - top)
            shape = (target.shape[1], target.shape[0])
            target[:] = numpy.asarray(layer.resize(shape, Image.Resampling.BICUBIC, box=seen))
        return made


def _image(path: Path) -> Image.Image:
    """Returns a picture upright, opaque and in sRGB."""
    if path.stat().st_size > _LIMITS.measured_bytes:
        raise MediaRefused(f"the picture is larger than {_LIMITS.measured_bytes} bytes", reason="MEDIA_REFUSED")
    try:
        prepared = pictures.prepare(path.read_bytes(), PictureRule(), _LIMITS)
        return Image.open(BytesIO(prepared.data)).convert("RGB")
    except (MediaRefused, MemoryError):
        raise
    # What Pillow raises for a broken file is not documented.
    except Exception as exc:
        raise MediaRefused(f"the picture is broken ({type(exc).__name__})", reason="PICTURE_INVALID") from exc
