"""What pictures cost at the provider, by its published prices: credits per picture, unless said otherwise."""

from collections.abc import Mapping

from evergreen_server.providers.runway.sandbox.generation.asked import word_in
from evergreen_server.providers.runway.sandbox.generation.order import Order
from evergreen_server.providers.runway.sandbox.generation.stills import enlarged_size, picture_size

__all__ = ["enlargement_credits", "picture_credits"]

_UNPUBLISHED = 10.0
"""Credits of a picture whose price is nowhere published."""

_FLAT: Mapping[str, float] = {"gen4_image_turbo": 2, "gemini_2.5_flash": 5, "seedream5_lite": 4, "muse_image": 1}
_BY_QUALITY: Mapping[str, Mapping[str, float]] = {
    "ideogram_4_0": {"low": 4, "medium": 7, "high": 11},
    "ideogram_4_5": {"very_low": 1, "low": 4, "medium": 8, "high": 25},
}
_GPT: Mapping[str, tuple[float, float]] = {"low": (1, 2), "medium": (5, 11), "high": (20, 41), "auto": (20, 41)}
"""Up to 2K, and above."""
_GPT_2_5 = ("gpt_image_2_5_flare", "gpt_image_2_5_sunburst")

_PIXELS_1K, _PIXELS_2K = 1_800_000, 6_000_000
_LARGE_SIDE = 4096


def picture_credits(order: Order) -> float:
    """Returns what the pictures of text_to_image cost together."""
    references = sum(asset.place[0] == "referenceImages" for asset in order.media)
    width, height = picture_size(order.body, order.media)
    model = order.model
    if model == "grok_imagine_image_2":
        low, medium = (4, 6) if width * height <= _PIXELS_1K else (6, 8)
        return (low if word_in(order.body, "quality") == "low" else medium) * order.outputs + references
    return (_each(order, width, height) + (references if model in _GPT_2_5 else 0)) * order.outputs


def enlargement_credits(order: Order) -> float:
    """Returns what image_upscale costs."""
    return 150 if max(enlarged_size(order.body, order.media)) > _LARGE_SIDE else 25


def _each(order: Order, width: int, height: int) -> float:
    pixels, quality = width * height, word_in(order.body, "quality")
    match order.model:
        case "gen4_image":
            return 5 if min(width, height) <= 720 else 8
        case "gemini_image3_pro":
            return 20 if pixels <= _PIXELS_2K else 40
        case "seedream5_pro":
            return 5 if pixels <= _PIXELS_1K else 9
        case "bria_fibo_1_5":
            return 5 if pixels <= _PIXELS_1K else 10
        case "gpt_image_2":
            # The widest of its 2K sizes has more pixels than the narrowest of its 4K ones.
            return _GPT[quality or "high"][max(width, height) >= 3200 or min(width, height) >= 2880]
        case "ideogram_4_0" | "ideogram_4_5":
            return _BY_QUALITY[order.model][quality or _usual_quality(order)]
        case _:
            return _FLAT.get(order.model, _UNPUBLISHED)


def _usual_quality(order: Order) -> str:
    """Returns the documented default: ideogram_4_5 spends less on a picture that is only remixed."""
    remixed = "referenceImages" in order.body and order.body.get("preciseEdit") is not True
    return "medium" if order.model == "ideogram_4_0" or remixed else "high"
