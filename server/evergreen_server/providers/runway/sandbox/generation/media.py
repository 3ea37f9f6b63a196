"""The provider's rules for media that need measuring: lengths, sizes and kinds of files."""

from collections.abc import Iterator, Mapping, Sequence

from evergreen_server.providers.runway.catalog.models import (
    Issue,
    Json,
    Operation,
    aspect_limits,
    duration_bounds,
    smallest_side,
)
from evergreen_server.providers.runway.sandbox.generation.asked import model_of
from evergreen_server.providers.runway.sandbox.generation.assets import Asset, Place
from evergreen_server.providers.runway.sandbox.generation.stills import enlarged_size

__all__ = ["media_issues"]

_VIDEO_MOST: Mapping[str, float] = {
    **dict.fromkeys(("seedance2", "seedance2_fast", "seedance2_mini", "hailuo3", "wan3", "wan3_prime"), 15.0),
    "seedance2_5": 30.0,
    "kling_4": 30.0,
}
"""Seconds of all reference and source videos together."""
_SOUND_MOST: Mapping[str, float] = {
    **dict.fromkeys(("seedance2", "seedance2_fast", "seedance2_mini", "hailuo3", "wan3", "wan3_prime"), 15.0),
    "seedance2_5": 30.0,
}
_EACH_SOUND: Mapping[str, tuple[float, float]] = {"grok_imagine_1_5": (3.0, 15.0)}
_LENGTHS: Mapping[tuple[str, str], tuple[float, float]] = {
    ("eleven_voice_isolation", "audioUri"): (4.6, 3600.0),
    ("act_two", "reference"): (3.0, 30.0),
    ("magnific_video_upscaler_creative", "videoUri"): (0.0, 30.0),
    ("enhance_frame_rate", "videoUri"): (0.0, 300.0),
    ("ruby", "videoUri"): (0.0, 30.0),
    ("product_swap", "referenceVideo"): (1.8, 15.0),
}
"""Seconds of what a model takes in a member of the body."""
_SIDES: Mapping[str, int] = {"magnific_precision_upscaler_v2": 8000, "ruby": 4095}
"""The most pixels of a side."""
_ENLARGED_PIXELS_MOST = 25_300_000
_ROUNDING = 0.1
"""Containers state lengths in whole frames."""


def media_issues(operation: Operation, body: Mapping[str, Json], media: Sequence[Asset]) -> Iterator[Issue]:
    """Returns what is wrong with the measured media of an otherwise valid body."""
    model = model_of(operation, body)
    yield from _finishing_issues(model, body, media)
    limits, side = aspect_limits(model, operation), smallest_side(model, operation)
    for asset in media:
        if asset.kind == "image" or (asset.kind == "video" and operation is Operation.CHARACTER_PERFORMANCE):
            yield from _aspect_issues(asset, limits)
            if min(asset.width, asset.height) < side:
                text = f"Invalid asset dimensions. Each side must be at least {side} pixels."
                yield Issue(asset.place, "custom", text)
        if asset.kind == "audio" and (bounds := _EACH_SOUND.get(model)):
            yield from _length_issues(asset.place, asset.seconds, bounds)
        if asset.place == ("videoUri",) and "duration" not in body and (longest := duration_bounds(operation, model)):
            yield from _length_issues(asset.place, asset.seconds, longest)
    for kind, most in (("video", _VIDEO_MOST.get(model)), ("audio", _SOUND_MOST.get(model))):
        of_kind = [asset for asset in media if asset.kind == kind]
        if most is not None and of_kind:
            yield from _length_issues(of_kind[-1].place, sum(asset.seconds for asset in of_kind), (0.0, most))


def _finishing_issues(model: str, body: Mapping[str, Json], media: Sequence[Asset]) -> Iterator[Issue]:
    for asset in media:
        if (seconds := _LENGTHS.get((model, str(asset.place[0])))) is not None:
            yield from _length_issues(asset.place, asset.seconds, seconds)
        if asset.kind == "audio":
            continue
        if (most := _SIDES.get(model)) is not None and max(asset.width, asset.height) > most:
            text = f"Invalid asset dimensions. Each side must be at most {most} pixels."
            yield Issue(asset.place, "custom", text)
        if model == "eleven_multilingual_sts_v2" and not asset.sound:
            yield Issue(asset.place, "custom", "Invalid asset. The video has no audio.")
    width, height = enlarged_size(body, media)
    if width * height > _ENLARGED_PIXELS_MOST:
        text = f"The output would be {width}x{height}, more than {_ENLARGED_PIXELS_MOST} pixels."
        yield Issue(("scaleFactor",), "custom", text)


def _aspect_issues(asset: Asset, limits: tuple[float, float] | None) -> Iterator[Issue]:
    if limits is None:
        return
    least, most = limits
    aspect = asset.width / asset.height
    if least <= aspect <= most:
        return
    bound = f"at least {least:g}" if aspect < least else f"at most {most:g}"
    message = f"Invalid asset aspect ratio. width / height ratio must be {bound}. Got {round(aspect, 3):g}."
    yield Issue(asset.place, "custom", message)


def _length_issues(place: Place, seconds: float, bounds: tuple[float, float]) -> Iterator[Issue]:
    details: dict[str, Json] = {"type": "number", "inclusive": True, "origin": "number"}
    low, high = bounds
    if seconds > high + _ROUNDING:
        message = f"Asset duration must be at most {high:g} seconds"
        yield Issue(place, "too_big", message, {"maximum": _plain(high), **details})
    elif seconds < low - _ROUNDING:
        message = f"Asset duration must be at least {low:g} seconds"
        yield Issue(place, "too_small", message, {"minimum": _plain(low), **details})


def _plain(number: float) -> int | float:
    return int(number) if float(number).is_integer() else number
