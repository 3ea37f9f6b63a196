"""What one task of a model costs: the prices as they are listed, and the most that a given body may cost by them."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from evergreen_server.ports.catalog import PriceInfo, PriceUnit
from evergreen_server.ports.specs import Json
from evergreen_server.providers.runway.catalog.figures import number

__all__ = [
    "Bound", "Pricing", "flat", "given", "of_frames", "of_pictures", "of_source", "of_text", "of_video", "whole_number",
]  # fmt: skip

Body = Mapping[str, Json]
Bound = Callable[[Body, float | None], int | None]
"""Takes a body and the greatest length of its source in seconds; returns millicredits, None where that is not known."""
Label = Callable[[Body], str]
Prices = tuple[tuple[str, int], ...]
"""(condition, millicredits) pairs; where the body does not tell which one holds, the highest counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pricing:
    """A model's prices in one operation."""

    prices: tuple[PriceInfo, ...]
    bound: Bound


def _always(_body: Body) -> str:
    return ""


def _listed(unit: PriceUnit, prices: Prices, quantity: float = 1.0) -> tuple[PriceInfo, ...]:
    return tuple(
        PriceInfo(condition=condition, unit=unit, quantity=quantity, millicredits=price) for condition, price in prices
    )


def _of(prices: Prices, label: str) -> int:
    return dict(prices).get(label, max(price for _, price in prices))


def _credits(millicredits: float) -> int:
    """Returns whole credits, of which the provider charges no part for frames, nor less than one."""
    return max(1, math.ceil(millicredits / 1000)) * 1000


def given(body: Body, name: str) -> int:
    """Returns how many items a list of the body has."""
    value = body.get(name)
    return len(value) if isinstance(value, list) else 0


def whole_number(body: Body, name: str, usual: int) -> int:
    """Returns a whole number of the body, or what the provider takes where there is none."""
    found = number(body.get(name))
    return usual if found is None else int(found)


def of_pictures(
    *prices: tuple[str, int], label: Label = _always, once_per_reference: int = 0, usual: int = 1
) -> Pricing:
    """Prices each picture, of which there are `usual` where the body does not say, and each reference once."""

    def bound(body: Body, _source: float | None) -> int:
        once = once_per_reference * given(body, "referenceImages")
        return whole_number(body, "outputCount", usual) * _of(prices, label(body)) + once

    listed = _listed(PriceUnit.PICTURE, prices)
    if once_per_reference:
        listed += _listed(PriceUnit.PICTURE, (("each reference, once", once_per_reference),))
    return Pricing(prices=listed, bound=bound)


def of_text(characters: int, millicredits: int) -> Pricing:
    """Prices every so many UTF-16 code units of a text, which are never fewer than its characters."""

    def bound(body: Body, _source: float | None) -> int:
        text = body.get("promptText")
        units = len(text.encode("utf-16-le", "surrogatepass")) // 2 if isinstance(text, str) else 0
        return max(1, math.ceil(units / characters)) * millicredits

    return Pricing(prices=_listed(PriceUnit.CHARACTER, (("", millicredits),), characters), bound=bound)


def of_source(*prices: tuple[str, int], seconds: float = 1.0, begun: bool = True) -> Pricing:
    """Prices every so many seconds of the source; one that is only begun counts whole unless `begun` is False."""

    def bound(_body: Body, source: float | None) -> int | None:
        if source is None:
            return None
        count = math.ceil(source / seconds) if begun else source / seconds
        return _credits(count * _of(prices, ""))

    return Pricing(prices=_listed(PriceUnit.SECOND, prices, seconds), bound=bound)


def of_frames(*prices: tuple[str, int], label: Label, rate: Callable[[Body], float]) -> Pricing:
    """Prices each frame of a video as long as the source, with at most so many frames per second."""

    def bound(body: Body, source: float | None) -> int | None:
        return None if source is None else _credits(math.ceil(source * rate(body)) * _of(prices, label(body)))

    return Pricing(prices=_listed(PriceUnit.FRAME, prices), bound=bound)


def of_video(*prices: tuple[str, int], usual: int, label: Label, first: Prices = (), included: int = 0) -> Pricing:
    """Prices each second of a video, the `included` ones by the price of the whole, `first`."""

    def bound(body: Body, _source: float | None) -> int:
        seconds = max(0, whole_number(body, "duration", usual) - included)
        return seconds * _of(prices, label(body)) + (_of(first, label(body)) if first else 0)

    whole = tuple((f"{condition}, first {included} seconds", price) for condition, price in first)
    further = tuple((f"{condition}, further" if first else condition, price) for condition, price in prices)
    return Pricing(prices=_listed(PriceUnit.TASK, whole) + _listed(PriceUnit.SECOND, further), bound=bound)


def flat(millicredits: int) -> Pricing:
    """Prices the task, whatever it makes."""
    return Pricing(prices=_listed(PriceUnit.TASK, (("", millicredits),)), bound=lambda _body, _source: millicredits)
