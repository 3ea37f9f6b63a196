"""Draws captions into pictures."""

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TypeAlias

import numpy
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from evergreen_server.media.render.picture.shaping import Picture, planes
from evergreen_server.media.render.pieces import Shown

Font: TypeAlias = ImageFont.FreeTypeFont

_SHORT_SIDE_PART = 0.05
"""The height of the letters, as part of the picture's shorter side."""
_WIDTH_PART, _MARGIN_PART = 0.9, 0.06
_SMALLEST = 8
_OUTLINE = 12
"""The letters are so many times larger than their outline."""
_SPACING = 1.25
_NO_CHARACTER = "\U0010fffe"
_UNSEEN = ("Cc", "Cf", "Zs", "Zl", "Zp")
"""The kinds of characters that have no picture."""
_SELECTORS = re.compile("[\u034f\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
"""Marks that have none either: they choose between pictures of the character before them."""
_WHITE, _DARK, _GREY = 235, 16, 128


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plate:
    """A caption as it is laid onto the three planes: levels, and how much of them is seen, from 0 to 256."""

    top: int
    left: int
    luma: NDArray[numpy.uint16]
    cover: NDArray[numpy.uint16]
    thin: NDArray[numpy.uint16]
    """The cover of the planes of colours, of half the size."""


class Letters:
    """Draws captions in one font into pictures of one size."""

    def __init__(self, *, font: str, size: tuple[int, int], shaping: bool) -> None:
        """`shaping` says whether letters can be joined and ordered as their script wants it.

        Raises OSError for a font that cannot be read.
        """
        self._font = Path(font).read_bytes() if font else b""
        self._size = size
        self._shaping = shaping
        self.digest = hashlib.sha256(self._font).hexdigest()

    def missing(self, lines: Sequence[str]) -> str:
        """Returns the characters for which the font has no picture."""
        # Without joining letters: else a mark would be drawn with a ring for what it stands on, which is a picture.
        font = self._sized(24, ImageFont.Layout.BASIC)
        nothing = (_drawn(font, _NO_CHARACTER), _drawn(font, " "))
        return "".join(character for character in _seen(lines) if _drawn(font, character) in nothing)

    def unshaped(self, lines: Sequence[str]) -> str:
        """Returns the characters that would stand beside one another in the wrong order or form."""
        if self._shaping:
            return ""
        return "".join(
            character
            for character in _seen(lines)
            if unicodedata.bidirectional(character) in ("R", "AL", "AN") or unicodedata.category(character)[0] == "M"
        )

    def drawn(self, pictures: Iterator[Picture], captions: Sequence[Shown]) -> Iterator[Picture]:
        """Yields the pictures with their captions."""
        plates = [(caption, self._plate(caption)) for caption in captions]
        for number, picture in enumerate(pictures):
            seen = [plate for caption, plate in plates if caption.start <= number < caption.end]
            if seen:
                # The same picture may be seen again without them.
                picture = picture.copy()
            for plate in seen:
                self._lay(plate, picture)
            yield picture

    def _lay(self, plate: _Plate, picture: Picture) -> None:
        luma, *chroma = planes(picture, self._size)
        _blend(luma, plate.top, plate.left, plate.cover, plate.luma)
        for plane in chroma:
            _blend(plane, plate.top // 2, plate.left // 2, plate.thin, numpy.uint16(_GREY))

    def _plate(self, caption: Shown) -> _Plate:
        width, height = self._size
        lines = [unicodedata.normalize("NFC", " ".join(line.split())) for line in caption.lines]
        size = max(_SMALLEST, round(min(width, height) * _SHORT_SIDE_PART))
        font = self._sized(size)
        widest = max((font.getlength(line) for line in lines), default=0)
        if widest > width * _WIDTH_PART:
            size = max(_SMALLEST, int(size * width * _WIDTH_PART / widest))
            font = self._sized(size)
        outline, step, margin = max(1, round(size / _OUTLINE)), round(size * _SPACING), round(height * _MARGIN_PART)
        # Even places, so that the planes of colours have half of each; room for what reaches below the last line.
        tall = min(height, 2 * ((step * len(lines) + size) // 2))
        top = margin if caption.top else height - margin - step * len(lines)
        top = 2 * (max(0, min(top, height - tall)) // 2)
        inner, outer = Image.new("L", (width, tall)), Image.new("L", (width, tall))
        for number, line in enumerate(lines):
            at = (width / 2, number * step + size)
            ImageDraw.Draw(outer).text(at, line, 255, font, anchor="ms", stroke_width=outline)
            ImageDraw.Draw(inner).text(at, line, 255, font, anchor="ms")
        cover = numpy.asarray(outer).astype(numpy.uint16)
        letters = numpy.asarray(inner).astype(numpy.uint16)
        luma = (letters * _WHITE + (255 - letters) * _DARK) // 255
        thin = (cover[::2, ::2] + cover[1::2, ::2] + cover[::2, 1::2] + cover[1::2, 1::2]) // 4
        return _Plate(top=top, left=0, luma=luma, cover=cover + cover // 255, thin=thin + thin // 255)

    def _sized(self, size: int, layout: ImageFont.Layout | None = None) -> Font:
        if self._font:
            return ImageFont.truetype(BytesIO(self._font), size, layout_engine=layout)
        made = ImageFont.load_default(size)
        assert isinstance(made, ImageFont.FreeTypeFont), "Pillow was built with FreeType"
        return made if layout is None else made.font_variant(layout_engine=layout)


def _blend(
    plane: Picture, top: int, left: int, cover: NDArray[numpy.uint16], level: "NDArray[numpy.uint16] | numpy.uint16"
) -> None:
    part = plane[top : top + cover.shape[0], left : left + cover.shape[1]]
    part[:] = (part * (256 - cover) + level * cover) >> 8


def _seen(lines: Sequence[str]) -> list[str]:
    """Returns all characters that are to be seen, composed with their marks where there is such a character."""
    text = _SELECTORS.sub("", unicodedata.normalize("NFC", "".join(lines)))
    return sorted({character for character in text if unicodedata.category(character) not in _UNSEEN})


def _drawn(font: Font, character: str) -> bytes:
    mask = font.getmask(character)
    return bytes(mask) + repr(mask.size).encode()
