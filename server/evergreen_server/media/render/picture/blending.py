"""How the frames at the ends of a piece become those of its neighbours, or black."""

from collections.abc import Iterator

import numpy

from evergreen_server.media.render.picture.shaping import Picture, black
from evergreen_server.ports.timeline import Blend

_WHOLE = 256
"""The weight of a picture that is seen alone."""


def mixed(picture: Picture, other: Picture, share: float) -> Picture:
    """Returns a picture with a share, from 0 to 1, of another one."""
    weight = round(share * _WHOLE)
    total = picture.astype(numpy.uint16)
    total *= _WHOLE - weight
    total += other.astype(numpy.uint16) * numpy.uint16(weight)
    total += _WHOLE // 2
    total >>= 8
    return total.astype(numpy.uint8)


def share_before(blend: Blend, number: int, frames: int) -> float:
    """Returns how much of the former picture is still in a piece's frame of that number, of so many that it enters."""
    if blend is Blend.BLACK:
        return (frames - number) / frames
    return (frames - number) / (2 * frames + 1)


def blended(
    pictures: Iterator[Picture],
    total: int,
    size: tuple[int, int],
    *,
    before: tuple[Blend, int, Picture | None] | None,
    after: tuple[Blend, int, Picture | None] | None,
) -> Iterator[Picture]:
    """Yields the frames of a piece of so many, blended at its ends with a neighbour's picture, or black for None."""
    ground = black(size)
    for number, picture in enumerate(pictures):
        if before is not None and number < before[1]:
            other = ground if before[2] is None else before[2]
            picture = mixed(picture, other, share_before(before[0], number, before[1]))
        if after is not None and total - 1 - number < after[1]:
            other = ground if after[2] is None else after[2]
            picture = mixed(picture, other, share_before(after[0], total - 1 - number, after[1]))
        yield picture
