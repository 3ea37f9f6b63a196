"""Videos that a request makes from a video or an avatar: performances, upscales, frame rates, HDR, talking heads."""

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

from evergreen_server.providers.runway.catalog.models import Json
from evergreen_server.providers.runway.rendering.job import Form
from evergreen_server.providers.runway.rendering.spoken import spoken_seconds
from evergreen_server.providers.runway.sandbox.generation.asked import (
    aspect_of,
    inside,
    pixels_of,
    placed,
    text_of,
    word_in,
)
from evergreen_server.providers.runway.sandbox.generation.assets import Asset
from evergreen_server.providers.runway.sandbox.generation.product import SECONDS_MOST, Product, source_of
from evergreen_server.providers.runway.sandbox.generation.shape import even, form_of, prores_profile
from evergreen_server.providers.runway.sandbox.generation.voices import pitch_of

__all__ = ["avatar_video", "frame_rate_of", "hdr", "performance", "upscale"]

_RATIOS = ((1280, 720), (720, 1280), (960, 960), (1104, 832), (832, 1104), (1584, 672))
_SHORT_SIDES = {"720p": 720, "1k": 1080, "2k": 1440, "4k": 2160}
_AVATAR = (1280, 720)


def performance(body: Mapping[str, Json], media: Sequence[Asset]) -> Product:
    """Returns what character_performance makes: the character, as long as the performance and with its sound."""
    character, acted = placed(media, "character"), placed(media, "reference")
    assert acted is not None
    aspect = aspect_of(character, 16 / 9)
    nearest = min(_RATIOS, key=lambda sides: abs(math.log(sides[0] / sides[1] / aspect)))
    width, height = pixels_of(word_in(body, "ratio")) or nearest
    references = (source_of(acted),) if acted.sound else ()
    return Product(
        form="mp4",
        width=width,
        height=height,
        seconds=min(acted.seconds, SECONDS_MOST),
        source=source_of(character),
        references=tuple(filter(None, references)),
        sound=acted.sound,
        making={"sound": "reference" if acted.sound else ""},
    )


def upscale(body: Mapping[str, Json], media: Sequence[Asset]) -> Product:
    """Returns what video_upscale makes: a larger video, or one of another frame rate."""
    video = media[0]
    if word_in(body, "model") == "enhance_frame_rate":
        return _finished(video, "mp4", video.width, video.height, frame_rate_of(body, video))
    short = _SHORT_SIDES[word_in(body, "resolution", "2k")]
    factor = short / max(1, min(video.width, video.height))
    return _finished(video, "mp4", video.width * factor, video.height * factor, frame_rate_of(body, video))


def frame_rate_of(body: Mapping[str, Json], video: Asset) -> Fraction:
    """Returns the output's frames per second: the target, else the input's, twice that with fpsBoost."""
    if target := word_in(body, "targetFramerate"):
        whole, _, rest = target.partition("_")
        return Fraction(round(float(f"{whole}.{rest}")) * 1000, 1001) if rest else Fraction(int(whole))
    rate = Fraction(video.frame_rate).limit_denominator(1001)
    return rate * 2 if body.get("fpsBoost") is True else rate


def hdr(body: Mapping[str, Json], media: Sequence[Asset]) -> Product:
    """Returns what video_to_hdr makes."""
    video = media[0]
    form = form_of(word_in(body, "outputFormat", "hdr10"))
    profile = prores_profile(word_in(body, "proresProfile", "422 HQ")) if form == "prores" else ""
    return _finished(video, form, video.width, video.height, frame_rate_of(body, video), profile=profile)


def avatar_video(body: Mapping[str, Json], media: Sequence[Asset]) -> Product:
    """Returns what avatar_videos makes: as long as what is said, or as the sound that is given."""
    said, avatar = placed(media, "speech"), inside(body, "avatar")
    voice = inside(inside(body, "speech"), "voice")
    name = word_in(voice, "presetId") or word_in(voice, "id") or word_in(avatar, "presetId")
    return Product(
        form="mp4",
        width=_AVATAR[0],
        height=_AVATAR[1],
        seconds=min(spoken_seconds(text_of(body)) if said is None else said.seconds, SECONDS_MOST),
        references=tuple(filter(None, (source_of(said),))),
        sound=True,
        making={"sound": "speech" if said is None else "reference", "pitch": pitch_of(name)},
    )


def _finished(video: Asset, form: Form, width: float, height: float, rate: Fraction, *, profile: str = "") -> Product:
    return Product(
        form=form,
        width=even(width),
        height=even(height),
        seconds=min(video.seconds, SECONDS_MOST),
        source=source_of(video),
        sound=video.sound,
        making={
            "work": "finish",
            "sound": "source" if video.sound else "",
            "frame_rate": str(rate),
            **({"profile": profile} if profile else {}),
        },
    )
