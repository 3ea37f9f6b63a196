"""What a request may cost at most, in millicredits, and how long and large its video will be."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from evergreen_server.jobs.provider import Json
from evergreen_server.runway.rows import TABLE
from evergreen_server.runway.rules import Duration, OneOf, Operation

__all__ = [
    "TARIFFS",
    "default_duration",
    "duration_bounds",
    "output_size",
    "price_bound",
]

Body = Mapping[str, Json]

ALWAYS = ""
WITH_AUDIO, WITHOUT_AUDIO = "with audio", "without audio"
INPUT_SECONDS_MOST = 30
SOURCE_SECONDS_MOST = {"aleph2": 30, "gemini_omni_flash": 10}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """One model's price: (condition, millicredits per second) pairs, of which the dearest that may apply counts."""

    per_second: tuple[tuple[str, int], ...]
    input_per_second: tuple[tuple[str, int], ...] = ()
    per_picture: int = 0
    minimum: int = 0


def _tariff(*per_second: tuple[str, int], per_picture: int = 0, minimum: int = 0) -> Tariff:
    return Tariff(per_second=per_second, per_picture=per_picture, minimum=minimum)


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
            minimum=80_000,
        ),
        "hailuo3": _tariff(("768p", 10_000), ("2k", 15_000), per_picture=2_000),
        "h3_max": _tariff(("480p", 5_000), ("768p", 8_000)),
        "wan3": _tariff(("480p", 5_000), ("720p", 10_000), ("1080p", 20_000)),
        "wan3_prime": _tariff(("480p", 6_800), ("720p", 14_000), ("1080p", 28_000)),
        "grok_imagine_1_5": _tariff(("480p", 10_000), ("720p", 16_000), ("1080p", 29_000), per_picture=1_000),
        "happyhorse_1_0": _tariff(("720p", 15_000), ("1080p", 30_000)),
        "gemini_omni_flash": _tariff((ALWAYS, 10_000), per_picture=1_000),
        "gemini_omni_flash_1.1": _tariff(("at the lowest resolution", 3_400), ("at the highest resolution", 30_000)),
    }
)
"""Models that are not named here have no known price."""


def price_bound(operation: Operation, body: Body) -> int | None:
    """Tells the most that the task may be charged; None where the price or the length is unknown."""
    model = str(body.get("model"))
    tariff, seconds = TARIFFS.get(model), _longest(operation, model, body)
    if tariff is None or seconds is None:
        return None
    labels = (
        _tier(operation, body),
        WITHOUT_AUDIO if body.get("audio") is False else WITH_AUDIO,
    )
    cost = seconds * (_dearest(tariff.per_second, labels) + _surcharge(body))
    if body.get("promptVideo") or body.get("referenceVideos"):
        cost += INPUT_SECONDS_MOST * _dearest(tariff.input_per_second, labels)
    return max(cost + tariff.per_picture * _pictures(body), tariff.minimum)


def _dearest(prices: tuple[tuple[str, int], ...], labels: tuple[str, ...]) -> int:
    applying = [price for condition, price in prices if condition in labels]
    return max(applying or [price for _, price in prices], default=0)


def _surcharge(body: Body) -> int:
    match body.get("model"), body.get("outputFormat", "mp4"):
        case (_, "mp4"):
            return 0
        case ("gen4.5" | "aleph2", "prores" | "png_sequence"):
            return 5_000
        case ("gen4.5" | "aleph2", _):
            return 20_000
        case _:
            return 0


def _pictures(body: Body) -> int:
    given = (body.get("promptImage"), body.get("references"))
    return sum(len(value) if isinstance(value, list) else int(value is not None) for value in given)


def _longest(operation: Operation, model: str, body: Body) -> int | None:
    seconds = body.get("duration")
    if isinstance(seconds, int | float) and not isinstance(seconds, bool):
        return -int(-seconds // 1)
    if seconds is None and (usual := default_duration(operation, model)) is not None:
        return usual
    found = duration_bounds(operation, model)
    return found[1] if found else None


def duration_bounds(operation: Operation, model: str) -> tuple[int, int] | None:
    """Tells the shortest and longest video in seconds (of a source video, where its length is kept), if known."""
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
    """Tells the seconds that the provider is known to choose where none are given."""
    known = {"seedance2_5": 5, "kling2.5_turbo_pro": 5}
    return known.get(model) if (operation, model) in TABLE else None


def output_size(operation: Operation, body: Body) -> tuple[int, int] | None:
    """Tells the video's width and height, where the ratio states them in pixels."""
    ratio = body.get("ratio")
    if ratio is None and operation is Operation.IMAGE_TO_VIDEO and body.get("model") == "seedance2_5":
        ratio = "1280:720"
    found = re.fullmatch(r"(\d{3,5}):(\d{3,5})", ratio) if isinstance(ratio, str) else None
    return (int(found[1]), int(found[2])) if found else None


def _tier(operation: Operation, body: Body) -> str:
    """Names the resolution by which the price is set; empty where the request does not tell it."""
    if isinstance(named := body.get("resolution"), str):
        return named.lower()
    ratio = body.get("ratio")
    if isinstance(ratio, str) and ratio.startswith("auto_"):
        return ratio.removeprefix("auto_")
    size = output_size(operation, body)
    if size is None:
        return ""
    area = size[0] * size[1]
    return "480p" if area < 600_000 else "720p" if area < 1_400_000 else "1080p" if area < 3_200_000 else "4K"
