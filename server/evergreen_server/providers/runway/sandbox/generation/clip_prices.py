"""What clips cost at the provider, by its published prices: credits per second, unless said otherwise."""

import re
from collections.abc import Mapping, Sequence

from evergreen_server.providers.runway.catalog.models import Operation
from evergreen_server.providers.runway.sandbox.generation.assets import Asset
from evergreen_server.providers.runway.sandbox.generation.order import Order

__all__ = ["clip_credits"]

_UNPUBLISHED = 10.0
"""Credits per second of a model whose price is nowhere published."""

_BY_MODEL: Mapping[str, float] = {
    "gen4.5": 12,
    "gen4_turbo": 5,
    "aleph2": 28,
    "seedance2_fast": 29,
    "seedance2_mini": 16,
    "gemini_omni_flash": 10,
    "kling3.0_standard": 13,
}
_BY_AUDIO: Mapping[str, tuple[float, float]] = {"veo3.1": (40, 20), "veo3.1_fast": (15, 10)}
_BY_SIZE: Mapping[str, Mapping[str, float]] = {
    "seedance2": {"480p": 36, "720p": 36, "1080p": 40, "4k": 150},
    "seedance2_5": {"480p": 20, "720p": 30, "1080p": 68},
    "hailuo3": {"768p": 10, "2k": 15},
    "h3_max": {"480p": 5, "768p": 8},
    "wan3": {"480p": 5, "720p": 10, "1080p": 20},
    "wan3_prime": {"480p": 6.8, "720p": 14, "1080p": 28},
    "grok_imagine_1_5": {"480p": 10, "720p": 16, "1080p": 29},
    "grok_imagine_1_5_lite": {"480p": 2, "720p": 3, "1080p": 14},
    "happyhorse_1_0": {"720p": 15, "1080p": 30},
    "kling2.5_turbo_pro": {"720p": 12, "1080p": 15},
    # Only the lowest and highest prices are published; its smallest ratio is 640:360.
    "gemini_omni_flash_1.1": {"480p": 3.4, "720p": 10, "1080p": 15, "4k": 30},
}
_SMALLEST = {"seedance2_mini": 64, "seedance2_5": 80, "aleph2": 56}
_USUAL_SIZE = {"hailuo3": "2k", "h3_max": "768p", "grok_imagine_1_5": "480p", "happyhorse_1_0": "1080p"}
_MEGAPIXELS_DEAR = 4.0


def clip_credits(order: Order) -> float:
    """Returns what a clip costs."""
    model, size = order.model, size_of(order)
    seconds = order.seconds
    rate = _rate(order, size)
    videos = [asset for asset in order.media if asset.kind == "video"]
    footage = sum(asset.seconds for asset in videos)
    pictures = sum(asset.kind == "image" for asset in order.media)
    sounds = sum(asset.kind == "audio" for asset in order.media)
    cost = seconds * (rate + _of_format(order, videos))
    if model == "hailuo3":
        cost += rate * min(footage, 15) + 2 * pictures
    elif model == "seedance2_5":
        cost += rate / 2 * min(footage, 30)
    elif model == "gemini_omni_flash":
        cost += pictures
    elif model == "grok_imagine_1_5":
        cost += pictures + sounds
    elif model == "grok_imagine_1_5_lite" and order.operation is Operation.IMAGE_TO_VIDEO:
        cost += 1
    return max(cost, _SMALLEST.get(model, 0))


def size_of(order: Order) -> str:
    """Returns the size that is billed: as asked, that of the draft or the source, else the provider's default."""
    body = order.body
    if body.get("draft") is True:
        return "480p"
    if "draftTaskId" in body:
        return "1080p"
    if isinstance(named := body.get("resolution"), str):
        return named.lower()
    ratio = body.get("ratio")
    if isinstance(ratio, str) and ratio.startswith("auto_"):
        return ratio.removeprefix("auto_")
    if isinstance(ratio, str) and (pixels := re.fullmatch(r"(\d{3,4}):(\d{3,4})", ratio)):
        return _of_pixels(int(pixels[1]) * int(pixels[2]))
    source = next((asset for asset in order.media if asset.kind == "video"), None)
    if order.operation is Operation.VIDEO_TO_VIDEO and body.get("mode") in ("extend", "edit") and source is not None:
        side = min(source.width, source.height)
        return "480p" if side <= 480 else "720p" if side <= 720 else "1080p"
    return _USUAL_SIZE.get(order.model, "720p")


def _of_pixels(pixels: int) -> str:
    for name, most in (("480p", 450_000), ("720p", 1_200_000), ("1080p", 2_500_000)):
        if pixels <= most:
            return name
    return "4k"


def _rate(order: Order, size: str) -> float:
    model = order.model
    if model == "gemini_omni_flash" and order.operation is Operation.VIDEO_TO_VIDEO:
        return 11
    if model in _BY_AUDIO:
        with_sound, without = _BY_AUDIO[model]
        return without if order.body.get("audio") is False else with_sound
    if model in _BY_SIZE:
        sizes = _BY_SIZE[model]
        return sizes.get(size, max(sizes.values()))
    return _BY_MODEL.get(model, _UNPUBLISHED)


def _of_format(order: Order, videos: Sequence[Asset]) -> float:
    """Returns the surcharge for files other than MP4."""
    if order.model not in ("gen4.5", "aleph2"):
        return 0
    match order.body.get("outputFormat", "mp4"):
        case "mp4":
            return 0
        case "prores" | "png_sequence":
            return 5
        case _:
            large = any(asset.width * asset.height > _MEGAPIXELS_DEAR * 1e6 for asset in videos)
            return 40 if large else 20
