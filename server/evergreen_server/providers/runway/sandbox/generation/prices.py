"""What the provider charges, by its published prices.

This table is the sandbox's own, written from the price pages and not from the service's quotes, so that a quote which
is too low shows as a charge above it. Where no price is published, a plausible one is charged, which is named
`_UNPUBLISHED` or said to be.
"""

import math
from collections.abc import Mapping

from evergreen_server.providers.runway.sandbox.generation.asked import number_in, pixels_of, text_of, word_in
from evergreen_server.providers.runway.sandbox.generation.clip_prices import clip_credits
from evergreen_server.providers.runway.sandbox.generation.finished import frame_rate_of
from evergreen_server.providers.runway.sandbox.generation.order import Order
from evergreen_server.providers.runway.sandbox.generation.picture_prices import enlargement_credits, picture_credits
from evergreen_server.providers.runway.sandbox.state.tasks import MILLI

__all__ = ["Order", "charge"]

_CHARACTERS_PER_CREDIT = 50
_SECONDS_PER_CREDIT = {"speech_to_speech": 3, "voice_dubbing": 2, "voice_isolation": 6}
_SEED_AUDIO_PER_SECOND, _SEED_AUDIO_LEAST = 0.25, 5
_MIRELO_UNPUBLISHED = 1.0
"""Credits per second and variant."""
_PER_UPSCALED_FRAME = {"720p": 0.7, "1k": 0.7, "2k": 0.9, "4k": 1.2}
_HDR_PIXELS_DEAR = 4_000_000
_STOCK, _STOCK_EACH = 8, {"low": 1, "medium": 5, "high": 20}
_FIRST_SECONDS = 4
_RECIPES: Mapping[str, tuple[float, float]] = {
    "product_ad": (200, 216), "product_swap": (212, 228), "product_ugc": (192, 208)
}  # fmt: skip
"""Credits of the first four seconds at 720p and at 1080p; each further second costs 36 or 40."""
_MOST = 10.0**12


def charge(order: Order) -> int:
    """Returns what the task costs if it succeeds, in millicredits; not always a whole number of credits."""
    return round(min(_credits(order), _MOST) * MILLI)


def _credits(order: Order) -> float:
    match order.operation:
        case "text_to_image":
            return picture_credits(order)
        case "image_upscale":
            return enlargement_credits(order)
        case "text_to_speech" | "sound_effect" | "video_to_audio":
            return _sound(order)
        case "speech_to_speech" | "voice_dubbing" | "voice_isolation":
            return math.ceil(_source_seconds(order) / _SECONDS_PER_CREDIT[order.operation])
        case "character_performance":
            return 5 * order.seconds
        case "video_upscale":
            return _upscale(order)
        case "video_to_hdr":
            large = any(asset.width * asset.height > _HDR_PIXELS_DEAR for asset in order.media)
            return (40 if large else 20) * order.seconds
        case "avatar_videos":
            # Unpublished; what a live session of an avatar costs.
            return 2 + 2 * math.ceil(order.seconds / 6)
        case "multi_shot_video" | "product_ad" | "product_swap" | "product_ugc":
            return _recipe_clip(order)
        case "ad_localization":
            return 21
        case "marketing_stock_image":
            return _STOCK + _STOCK_EACH[word_in(order.body, "quality", "high")] * order.outputs
        case "product_campaign_image":
            return 36 * order.outputs
        case _:
            return clip_credits(order)


def _sound(order: Order) -> float:
    match order.model:
        case "seed_audio":
            return max(_SEED_AUDIO_PER_SECOND * order.seconds, _SEED_AUDIO_LEAST)
        case "mirelo_sfx_2_0":
            return _MIRELO_UNPUBLISHED * order.seconds * order.outputs
        case "eleven_text_to_sound_v2":
            return number_in(order.body, "duration", 2.0)
        case _:
            return max(1, math.ceil(len(text_of(order.body)) / _CHARACTERS_PER_CREDIT))


def _source_seconds(order: Order) -> float:
    """Returns the length of the input, without the part of a frame by which containers round it up."""
    return round(sum(asset.seconds for asset in order.media), 1)


def _upscale(order: Order) -> float:
    seconds = _source_seconds(order)
    if order.model == "enhance_frame_rate":
        return 0.5 * seconds
    rate = _PER_UPSCALED_FRAME[word_in(order.body, "resolution", "2k")]
    frames = sum(round(asset.seconds * frame_rate_of(order.body, asset)) for asset in order.media)
    return max(1, math.ceil(round(rate * frames, 6)))


def _recipe_clip(order: Order) -> float:
    sides = pixels_of(word_in(order.body, "ratio"))
    large = word_in(order.body, "resolution") == "1080p" or (sides is not None and min(sides) > 960)
    if order.model == "multi_shot_video":
        return (17 if large else 13) * order.seconds
    first = _RECIPES[order.model][large]
    return first + (40 if large else 36) * max(0.0, order.seconds - _FIRST_SECONDS)
