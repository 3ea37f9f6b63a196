"""Brings frames into the form of a film: turned, scaled, cropped or padded, 8-bit 4:2:0 in BT.709.

In between, a picture is one flat array of its three planes, on which blends and captions work.
"""

from typing import TypeAlias

import numpy
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from evergreen_server.media.clips import Display
from evergreen_server.media.frames import SCALING, matrix_of
from evergreen_server.ports.timeline import Fit

Picture: TypeAlias = NDArray[numpy.uint8]
"""The planes Y, U and V of a frame in 4:2:0, one after the other."""

_SHRUNK = 8
_BLUR = 4.0
"""The radius of the blur of a picture that is shrunk eight times; in pixels."""
_BLACK = (16, 128, 128)


def planes(picture: Picture, size: tuple[int, int]) -> tuple[Picture, Picture, Picture]:
    """Returns views of the three planes of a picture of this width and height, both even."""
    width, height = size
    luma, chroma = width * height, width * height // 4
    return (
        picture[:luma].reshape(height, width),
        picture[luma : luma + chroma].reshape(height // 2, width // 2),
        picture[luma + chroma :].reshape(height // 2, width // 2),
    )


def black(size: tuple[int, int]) -> Picture:
    """Returns a black picture of this width and height."""
    made = numpy.empty(size[0] * size[1] * 3 // 2, numpy.uint8)
    for plane, level in zip(planes(made, size), _BLACK, strict=True):
        plane[:] = level
    return made


class Shaper:
    """Converts the frames of one clip, or one picture, to one size. Made for one thread."""

    def __init__(self, shown: Display, size: tuple[int, int], fit: Fit) -> None:
        self._shown = shown
        self._size = size
        self._fit = fit
        # Each holds its tables for frames of one kind.
        self._scaler, self._shrinker = VideoReformatter(), VideoReformatter()

    def shape(self, frame: VideoFrame) -> Picture:
        """Returns the picture that is seen of a frame."""
        wide = _scaled(self._shown, self._size, covering=self._fit is Fit.CROP)
        made = self._convert(self._scaler, frame, wide)
        if wide == self._size:
            return made
        if self._fit is Fit.BLUR:
            return _placed(made, wide, self._blurred(frame), self._size)
        return _placed(made, wide, black(self._size), self._size)

    def _blurred(self, frame: VideoFrame) -> Picture:
        small = (_even(self._size[0] / _SHRUNK), _even(self._size[1] / _SHRUNK))
        wide = _scaled(self._shown, small, covering=True)
        cut = _placed(self._convert(self._shrinker, frame, wide), wide, black(small), small)
        made = numpy.empty(self._size[0] * self._size[1] * 3 // 2, numpy.uint8)
        radii = (_BLUR, _BLUR / 2, _BLUR / 2)
        for source, target, radius in zip(planes(cut, small), planes(made, self._size), radii, strict=True):
            soft = Image.fromarray(source).filter(ImageFilter.GaussianBlur(radius))
            target[:] = numpy.asarray(soft.resize((target.shape[1], target.shape[0]), Image.Resampling.BICUBIC))
        return made

    def _convert(self, scaler: VideoReformatter, frame: VideoFrame, wide: tuple[int, int]) -> Picture:
        """Scales a frame so that it has these sides once it is turned, and turns it."""
        shown = self._shown
        sides = (wide[1], wide[0]) if shown.transposed else wide
        made = scaler.reformat(
            frame,
            width=sides[0],
            height=sides[1],
            format="yuv420p",
            interpolation=SCALING,
            src_colorspace=matrix_of(frame),
            dst_colorspace=Colorspace.ITU709,
            src_color_range=frame.color_range or None,
            dst_color_range=ColorRange.MPEG,
        )
        flat = made.to_ndarray().reshape(-1).astype(numpy.uint8, copy=False)
        if not (shown.transposed or shown.mirrored or shown.upside_down):
            return flat
        turned = []
        for plane in planes(flat, sides):
            plane = plane.T if shown.transposed else plane
            turned.append(plane[:: -1 if shown.upside_down else 1, :: -1 if shown.mirrored else 1].reshape(-1))
        return numpy.concatenate(turned)


def _scaled(shown: Display, size: tuple[int, int], *, covering: bool) -> tuple[int, int]:
    """Returns the sides, even, with which a picture covers a frame, or just has room in it."""
    across, down = size[0] / shown.width, size[1] / shown.height
    factor = max(across, down) if covering else min(across, down)
    # What is off by less than a pixel is stretched rather than cut or framed.
    sides = [
        side if abs(length * factor - side) < 1 else _even(length * factor)
        for length, side in ((shown.width, size[0]), (shown.height, size[1]))
    ]
    return sides[0], sides[1]


def _even(length: float) -> int:
    return max(2, 2 * round(length / 2))


def _placed(picture: Picture, size: tuple[int, int], ground: Picture, whole: tuple[int, int]) -> Picture:
    """Puts a picture into the middle of another one; what stands over is cut off."""
    columns, rows = (min(pair) for pair in zip(size, whole, strict=True))
    # Even, as the planes of colours have half of each.
    left, top = (2 * ((length - part) // 4) for length, part in zip(size, (columns, rows), strict=True))
    right, down = (2 * ((length - part) // 4) for length, part in zip(whole, (columns, rows), strict=True))
    halves = (1, 2, 2)
    for source, target, half in zip(planes(picture, size), planes(ground, whole), halves, strict=True):
        seen = source[top // half : (top + rows) // half, left // half : (left + columns) // half]
        target[down // half : (down + rows) // half, right // half : (right + columns) // half] = seen
    return ground
