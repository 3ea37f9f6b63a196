"""The prices of everything that is no clip, by the published price pages; what is not named here has no known price."""

import math
import re
from collections.abc import Mapping
from types import MappingProxyType

from evergreen_server.ports.catalog import MEASURED_MORE, PriceInfo, PriceUnit
from evergreen_server.ports.specs import Json
from evergreen_server.providers.runway.catalog.figures import number
from evergreen_server.providers.runway.catalog.media_rules import MOST_FRAME_RATE
from evergreen_server.providers.runway.catalog.pricing.units import (
    Pricing,
    flat,
    given,
    of_frames,
    of_pictures,
    of_source,
    of_text,
    of_video,
    whole_number,
)
from evergreen_server.providers.runway.catalog.rows.picture_sizes import GEMINI_4K, GPT_4K
from evergreen_server.providers.runway.catalog.rows.vocabulary import KS
from evergreen_server.providers.runway.catalog.rules import Operation

__all__ = ["OPERATION_PRICES"]

Body = Mapping[str, Json]

ONE_MEGAPIXEL = 1_500_000
"""No size of the tier of one megapixel, or 1K, has more pixels; every one of the next tier has."""
FRAMES_BOOSTED = 2
"""By how much fpsBoost multiplies frames; nobody has published it, the vendor calls it a doubling."""
UPSCALED = {"720p": 700, "1k": 700, "2k": 900, "4k": 1200}


def _ratio(body: Body) -> str:
    ratio = body.get("ratio")
    return ratio if isinstance(ratio, str) else ""


def _area(body: Body) -> int | None:
    """Returns how many pixels a size has; None where the model chooses."""
    found = re.fullmatch(r"([0-9]{1,5}):([0-9]{1,5})", _ratio(body))
    return int(found[1]) * int(found[2]) if found else None


def _tier(body: Body) -> str:
    """Returns 1K or 2K; empty where the body does not tell."""
    if (area := _area(body)) is not None:
        return "1K" if area <= ONE_MEGAPIXEL else "2K"
    return {"auto_1k": "1K", "auto_2k": "2K"}.get(_ratio(body), "")


def _gen4_size(body: Body) -> str:
    return "720p" if "720" in _ratio(body).split(":") else "1080p"


def _gpt(body: Body) -> str:
    quality = "high" if body.get("quality") in (None, "auto") else body.get("quality")
    return f"{quality}, {'4K' if _ratio(body) in GPT_4K else 'up to 2K'}"


def _grok(body: Body) -> str:
    return f"{_tier(body)}, {body.get('quality', 'medium')}"


def _ideogram(body: Body) -> str:
    # A mask is an edit of a picture as `preciseEdit` is, which is billed as the best quality.
    edited = body.get("preciseEdit") is True or "maskUri" in body
    return str(body.get("quality") or ("medium" if given(body, "referenceImages") and not edited else "high"))


def _effect(body: Body, _source: float | None) -> int:
    seconds = number(body.get("duration"))
    return 2000 if seconds is None else math.ceil(seconds) * 1000


def _boosted(body: Body) -> float:
    return (MOST_FRAME_RATE + MEASURED_MORE) * (FRAMES_BOOSTED if body.get("fpsBoost") is True else 1)


def _shots_size(body: Body) -> str:
    return "720p" if body.get("ratio", KS[0]) in KS else "1080p"


def _campaign_size(body: Body) -> str:
    """Returns the tier of a recipe's video; empty where the body does not tell."""
    if "ratio" in body:
        return "720p" if _ratio(body) in ("1280:720", "720:1280", "960:960", "834:1112") else "1080p"
    return ""


def _swapped(body: Body) -> str:
    return str(body.get("resolution", "720p"))


def _stock(body: Body, _source: float | None) -> int:
    each = {"low": 2000, "medium": 11_000}.get(str(body.get("quality")), 20_000)
    return 8000 + whole_number(body, "outputCount", 4) * each


_PICTURE, _SPEECH, _SOUND = Operation.TEXT_TO_IMAGE, Operation.TEXT_TO_SPEECH, Operation.SOUND_EFFECT
_BY_TEXT = of_text(50, 1000)
_FURTHER = (("720p", 36_000), ("1080p", 40_000))

OPERATION_PRICES: Mapping[tuple[Operation, str], Pricing] = MappingProxyType({
    (_PICTURE, "gen4_image"): of_pictures(("720p", 5000), ("1080p", 8000), label=_gen4_size),
    (_PICTURE, "gen4_image_turbo"): of_pictures(("", 2000)),
    (_PICTURE, "gpt_image_2"): of_pictures(
        ("low, up to 2K", 1000), ("low, 4K", 2000), ("medium, up to 2K", 5000), ("medium, 4K", 11_000),
        ("high, up to 2K", 20_000), ("high, 4K", 41_000), label=_gpt,
    ),
    (_PICTURE, "gemini_2.5_flash"): of_pictures(("", 5000)),
    (_PICTURE, "gemini_image3_pro"): of_pictures(
        ("up to 2K", 20_000), ("4K", 40_000), label=lambda body: "4K" if _ratio(body) in GEMINI_4K else "up to 2K"
    ),
    (_PICTURE, "seedream5_pro"): of_pictures(("1K", 5000), ("2K", 9000), label=_tier),
    (_PICTURE, "seedream5_lite"): of_pictures(("", 4000)),
    (_PICTURE, "muse_image"): of_pictures(("", 1000)),
    (_PICTURE, "grok_imagine_image_2"): of_pictures(
        ("1K, low", 4000), ("1K, medium", 6000), ("2K, low", 6000), ("2K, medium", 8000), label=_grok,
        once_per_reference=1000,
    ),
    (_PICTURE, "bria_fibo_1_5"): of_pictures(
        ("1 megapixel", 5000), ("4 megapixels", 10_000),
        label=lambda body: {"1K": "1 megapixel", "2K": "4 megapixels"}.get(_tier(body), ""),
    ),
    (_PICTURE, "ideogram_4_0"): of_pictures(
        ("low", 4000), ("medium", 7000), ("high", 11_000), label=lambda body: str(body.get("quality"))
    ),
    (_PICTURE, "ideogram_4_5"): of_pictures(
        ("very_low", 1000), ("low", 4000), ("medium", 8000), ("high", 25_000), label=_ideogram
    ),
    (Operation.IMAGE_UPSCALE, "magnific_precision_upscaler_v2"): Pricing(
        prices=(
            PriceInfo(condition="up to 4096 pixels", unit=PriceUnit.PICTURE, millicredits=25_000),
            PriceInfo(condition="above", unit=PriceUnit.PICTURE, millicredits=150_000),
        ),
        # The size of the picture is not known before it is fetched.
        bound=lambda _body, _source: 150_000,
    ),
    (_SPEECH, "eleven_multilingual_v2"): _BY_TEXT,
    (_SPEECH, "eleven_v3"): _BY_TEXT,
    (_SOUND, "eleven_text_to_sound_v2"): Pricing(
        prices=(
            PriceInfo(condition="with a length", unit=PriceUnit.SECOND, millicredits=1000),
            PriceInfo(condition="without", unit=PriceUnit.TASK, millicredits=2000),
        ),
        bound=_effect,
    ),
    # How long speech and sounds of seed_audio become is not known before, nor is a bound of it.
    **{
        (operation, "seed_audio"): Pricing(
            prices=(
                PriceInfo(condition="", unit=PriceUnit.SECOND, millicredits=250),
                PriceInfo(condition="at least", unit=PriceUnit.TASK, millicredits=5000),
            ),
            bound=lambda _body, _source: None,
        )
        for operation in (_SPEECH, _SOUND)
    },
    (Operation.SPEECH_TO_SPEECH, "eleven_multilingual_sts_v2"): of_source(("", 1000), seconds=3),
    (Operation.VOICE_DUBBING, "eleven_voice_dubbing"): of_source(("", 1000), seconds=2),
    (Operation.VOICE_ISOLATION, "eleven_voice_isolation"): of_source(("", 1000), seconds=6),
    (Operation.CHARACTER_PERFORMANCE, "act_two"): of_source(("", 5000)),
    (Operation.VIDEO_UPSCALE, "enhance_frame_rate"): of_source(("", 500)),
    (Operation.VIDEO_UPSCALE, "magnific_video_upscaler_creative"): of_frames(
        *UPSCALED.items(), label=lambda body: str(body.get("resolution", "2k")), rate=_boosted
    ),
    # The size of the source is not known before it is fetched. 5.7 seconds were seen to cost 114 credits.
    (Operation.VIDEO_TO_HDR, "ruby"): of_source(("up to 4 megapixels", 20_000), ("above", 40_000), begun=False),
    (Operation.MULTI_SHOT_VIDEO, "multi_shot_video"): of_video(
        ("720p", 13_000), ("1080p", 17_000), usual=10, label=_shots_size
    ),
    (Operation.PRODUCT_AD, "product_ad"): of_video(
        *_FURTHER, usual=10, label=_campaign_size, first=(("720p", 200_000), ("1080p", 216_000)), included=4
    ),
    (Operation.PRODUCT_SWAP, "product_swap"): of_video(
        *_FURTHER, usual=10, label=_swapped, first=(("720p", 212_000), ("1080p", 228_000)), included=4
    ),
    (Operation.PRODUCT_UGC, "product_ugc"): of_video(
        *_FURTHER, usual=15, label=_campaign_size, first=(("720p", 192_000), ("1080p", 208_000)), included=4
    ),
    (Operation.AD_LOCALIZATION, "ad_localization"): flat(21_000),
    (Operation.MARKETING_STOCK_IMAGE, "marketing_stock_image"): Pricing(
        prices=(
            PriceInfo(condition="the request", unit=PriceUnit.TASK, millicredits=8000),
            PriceInfo(condition="each picture at most", unit=PriceUnit.PICTURE, millicredits=20_000),
        ),
        bound=_stock,
    ),
    (Operation.PRODUCT_CAMPAIGN_IMAGE, "product_campaign_image"): of_pictures(("", 36_000), usual=4),
})  # fmt: skip
