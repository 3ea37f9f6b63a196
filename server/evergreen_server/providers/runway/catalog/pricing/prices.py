"""What a request may cost at most, in millicredits, and how long and large its video will be."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from evergreen_server.ports.catalog import MEASURED_MORE, PriceInfo, PriceUnit
from evergreen_server.ports.specs import CLIPS, Json
from evergreen_server.providers.runway.catalog.media_rules import source_rule
from evergreen_server.providers.runway.catalog.pricing.operation_prices import OPERATION_PRICES
from evergreen_server.providers.runway.catalog.rows.recipes import RECIPES
from evergreen_server.providers.runway.catalog.rows.table import TABLE
from evergreen_server.providers.runway.catalog.rules import Duration, OneOf, Operation

__all__ = [
    "TARIFFS",
    "default_duration",
    "duration_bounds",
    "listed_prices",
    "output_size",
    "per_second",
    "price_bound",
    "tariff_of",
]

Body = Mapping[str, Json]

ALWAYS = ""
WITH_AUDIO, WITHOUT_AUDIO = "with audio", "without audio"
SOURCE_SECONDS_MOST = {"aleph2": 30, "gemini_omni_flash": 10}

Prices = tuple[tuple[str, int], ...]
"""(condition, millicredits per second) pairs; the highest that may apply counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """One model's price. Only the provider measures input videos, so the longest possible is assumed."""

    per_second: Prices
    input_per_second: Prices = ()
    """For each second of all input videos together, of which there are at most `input_seconds_most`."""
    input_seconds_most: int = 0
    per_picture: int = 0
    per_sound: int = 0
    minimum: int = 0


def _tariff(*per_second: tuple[str, int], per_picture: int = 0, per_sound: int = 0, minimum: int = 0) -> Tariff:
    return Tariff(per_second=per_second, per_picture=per_picture, per_sound=per_sound, minimum=minimum)


_HAILUO = (("768p", 10_000), ("2k", 15_000))

TARIFFS: Mapping[str, Tariff] = MappingProxyType(
    {
        "gen4.5": _tariff((ALWAYS, 12_000)),
        "gen4_turbo": _tariff((ALWAYS, 5_000)),
        "aleph2": _tariff((ALWAYS, 28_000), minimum=56_000),
        "veo3.1": _tariff((WITH_AUDIO, 40_000), (WITHOUT_AUDIO, 20_000)),
        "veo3.1_fast": _tariff((WITH_AUDIO, 15_000), (WITHOUT_AUDIO, 10_000)),
        "seedance2": _tariff(("480p", 36_000), ("720p", 36_000), ("1080p", 40_000), ("4K", 150_000)),
        "seedance2_fast": _tariff((ALWAYS, 29_000)),
        "seedance2_mini": _tariff((ALWAYS, 16_000), minimum=64_000),
        "seedance2_5": Tariff(
            per_second=(("480p", 20_000), ("720p", 30_000), ("1080p", 68_000)),
            input_per_second=(("480p", 10_000), ("720p", 15_000), ("1080p", 34_000)),
            input_seconds_most=30,
            minimum=80_000,
        ),
        "hailuo3": Tariff(per_second=_HAILUO, input_per_second=_HAILUO, input_seconds_most=15, per_picture=2_000),
        "h3_max": _tariff(("480p", 5_000), ("768p", 8_000)),
        "wan3": _tariff(("480p", 5_000), ("720p", 10_000), ("1080p", 20_000)),
        "wan3_prime": _tariff(("480p", 6_800), ("720p", 14_000), ("1080p", 28_000)),
        "grok_imagine_1_5": _tariff(
            ("480p", 10_000), ("720p", 16_000), ("1080p", 29_000), per_picture=1_000, per_sound=1_000
        ),
        "grok_imagine_1_5_lite": _tariff(("480p", 2_000), ("720p", 3_000), ("1080p", 14_000), per_picture=1_000),
        "happyhorse_1_0": _tariff(("720p", 15_000), ("1080p", 30_000)),
        "gemini_omni_flash": _tariff((ALWAYS, 10_000), per_picture=1_000),
        "gemini_omni_flash_1.1": _tariff(("at the lowest resolution", 3_400), ("at the highest resolution", 30_000)),
        "kling2.5_turbo_pro": _tariff(("720p", 12_000), ("1080p", 15_000)),
        # Known with sound alone, without which it is assumed to cost no more.
        "kling3.0_standard": _tariff((ALWAYS, 13_000)),
    }
)
"""Models that are not named here have no known price."""

EDITING: Mapping[str, Tariff] = MappingProxyType({"gemini_omni_flash": _tariff((ALWAYS, 11_000), per_picture=1_000)})
"""What video_to_video costs, where that differs; per second of the source, which the result is as long as."""

DEFAULT_RATIOS = {
    (Operation.IMAGE_TO_VIDEO, "seedance2_5"): "1280:720",
    (Operation.TEXT_TO_VIDEO, "seedance2_5"): "1280:720",
}
"""The ratios that the provider is known to choose where none is given; any other model may choose the dearest."""

DEFAULT_SECONDS = {
    (Operation.IMAGE_TO_VIDEO, "seedance2_5"): 5,
    (Operation.TEXT_TO_VIDEO, "seedance2_5"): 5,
    (Operation.IMAGE_TO_VIDEO, "kling2.5_turbo_pro"): 5,
    (Operation.TEXT_TO_VIDEO, "kling2.5_turbo_pro"): 5,
}


OPEN_LENGTHS = frozenset({(Operation.VIDEO_TO_VIDEO, "gemini_omni_flash_1.1")})
"""Where the longest video is not known; it may be as long as the source."""


def tariff_of(operation: Operation, model: str) -> Tariff | None:
    """Returns the price of a model in one operation, None where it is not known."""
    edited = EDITING.get(model) if operation is Operation.VIDEO_TO_VIDEO else None
    return edited or TARIFFS.get(model)


def listed_prices(operation: Operation, model: str) -> tuple[PriceInfo, ...]:
    """Returns the prices of a model in one operation, empty where they are not known."""
    if (pricing := OPERATION_PRICES.get((operation, model))) is not None:
        return pricing.prices
    tariff = tariff_of(operation, model) if operation in CLIPS else None
    return per_second(tariff) if tariff else ()


def per_second(tariff: Tariff) -> tuple[PriceInfo, ...]:
    """Returns what a second of a clip costs."""
    return tuple(
        PriceInfo(condition=condition, unit=PriceUnit.SECOND, millicredits=price)
        for condition, price in tariff.per_second
    )


def price_bound(operation: Operation, body: Body, *, source_seconds: float | None = None) -> int | None:
    """Returns the most that the task may cost, in millicredits; None where the price or the length is unknown.

    `source_seconds` is the length that the source has at most, where that is less than the model takes.
    """
    model = str(operation if operation in RECIPES else body.get("model"))
    if operation not in CLIPS:
        pricing, lengths = OPERATION_PRICES.get((operation, model)), list[float]()
        if (most := source_rule(operation, model).max_seconds) is not None:
            lengths.append(most)
        if source_seconds is not None:
            lengths.append(source_seconds + MEASURED_MORE)
        return None if pricing is None else pricing.bound(body, min(lengths, default=None))
    tariff, seconds = tariff_of(operation, model), _longest(operation, model, body)
    if tariff is None or seconds is None:
        return None
    labels = (
        _tier(operation, body),
        WITHOUT_AUDIO if body.get("audio") is False else WITH_AUDIO,
    )
    cost = seconds * (_dearest(tariff.per_second, labels) + _surcharge(body))
    if body.get("promptVideo") or body.get("referenceVideos"):
        cost += tariff.input_seconds_most * _dearest(tariff.input_per_second, labels)
    cost += tariff.per_picture * _given(body, "promptImage", "references")
    cost += tariff.per_sound * _given(body, "referenceAudio")
    return max(cost, tariff.minimum)


def _dearest(prices: Prices, labels: tuple[str, ...]) -> int:
    applying = [price for condition, price in prices if condition in labels]
    return max(applying or [price for _, price in prices], default=0)


def _surcharge(body: Body) -> int:
    match body.get("model"), body.get("outputFormat", "mp4"):
        case (_, "mp4"):
            return 0
        case ("gen4.5" | "aleph2", "prores" | "png_sequence"):
            return 5_000
        case ("gen4.5", _):
            return 20_000
        case ("aleph2", _):
            # Above 4 megapixels, which the source may have.
            return 40_000
        case _:
            return 0


def _given(body: Body, *names: str) -> int:
    """Counts the media of these members; a single one may be given without a list."""
    given = [body.get(name) for name in names]
    return sum(len(value) if isinstance(value, list) else int(value is not None) for value in given)


def _longest(operation: Operation, model: str, body: Body) -> int | None:
    seconds = body.get("duration")
    if "draftTaskId" in body:
        # As long as the draft, which the request does not state.
        found = duration_bounds(operation, model)
        return found[1] if found else None
    if isinstance(seconds, int | float) and not isinstance(seconds, bool):
        return -int(-seconds // 1)
    if seconds is None and (usual := default_duration(operation, model)) is not None:
        return usual
    found = duration_bounds(operation, model)
    return found[1] if found and (operation, model) not in OPEN_LENGTHS else None


def duration_bounds(operation: Operation, model: str) -> tuple[int, int] | None:
    """Returns the shortest and longest video in seconds (of a source video, where its length is kept), if known."""
    row = TABLE.get((operation, model))
    rule = row.fields.get("duration") if row else None
    match rule:
        case OneOf(values):
            seconds = [value for value in values if isinstance(value, int)]
            return min(seconds), max(seconds)
        case Duration(int() as low, int() as high):
            return low, high
        case None if row and operation is Operation.VIDEO_TO_VIDEO and model in SOURCE_SECONDS_MOST:
            return 2 if model == "aleph2" else 1, SOURCE_SECONDS_MOST[model]
        case _:
            return None


def default_duration(operation: Operation, model: str) -> int | None:
    """Returns the seconds that the provider chooses where none are given; None where that is not known."""
    return DEFAULT_SECONDS.get((operation, model))


def output_size(operation: Operation, body: Body) -> tuple[int, int] | None:
    """Returns the video's width and height; None unless the ratio states them in pixels."""
    ratio = body.get("ratio", DEFAULT_RATIOS.get((operation, str(body.get("model")))))
    found = re.fullmatch(r"(\d{3,5}):(\d{3,5})", ratio) if isinstance(ratio, str) else None
    return (int(found[1]), int(found[2])) if found else None


def _tier(operation: Operation, body: Body) -> str:
    """Returns the resolution by which the price is set; empty where the request does not say."""
    if "draftTaskId" in body:
        return "1080p"
    if isinstance(named := body.get("resolution"), str):
        return named.lower()
    ratio = body.get("ratio")
    if isinstance(ratio, str) and ratio.startswith("auto_"):
        return ratio.removeprefix("auto_")
    size = output_size(operation, body)
    if size is None:
        return ""
    area = size[0] * size[1]
    return "480p" if area < 480_000 else "720p" if area < 1_400_000 else "1080p" if area < 3_200_000 else "4K"
