"""What the recipes make: one video, or pictures."""

from collections.abc import Mapping, Sequence

from evergreen_server.providers.runway.catalog.models import Json
from evergreen_server.providers.runway.sandbox.generation.asked import (
    aspect_of,
    number_in,
    outputs_of,
    pixels_of,
    placed,
    word_in,
)
from evergreen_server.providers.runway.sandbox.generation.assets import Asset
from evergreen_server.providers.runway.sandbox.generation.product import Product, source_of
from evergreen_server.providers.runway.sandbox.generation.shape import even

__all__ = ["PICTURE_RECIPES", "VIDEO_RECIPES", "recipe_clip", "recipe_pictures"]

_SOURCES: Mapping[str, str] = {
    "multi_shot_video": "firstFrame",
    "product_ad": "productImages",
    "product_swap": "referenceVideo",
    "product_ugc": "characterImage",
}
VIDEO_RECIPES = frozenset(_SOURCES)
PICTURE_RECIPES = frozenset({"ad_localization", "marketing_stock_image", "product_campaign_image"})
_USUAL_SECONDS = {"product_ugc": 15.0}
_USUAL_RATIOS = {"product_ugc": "720:1280"}
_PICTURE = (1920, 1080)


def recipe_clip(recipe: str, body: Mapping[str, Json], media: Sequence[Asset]) -> Product:
    """Returns the video of a recipe."""
    source = placed(media, _SOURCES[recipe])
    sides = pixels_of(word_in(body, "ratio", _USUAL_RATIOS.get(recipe, "1280:720"))) or (1280, 720)
    if recipe == "product_swap":
        aspect, short = aspect_of(source, 16 / 9), int(word_in(body, "resolution", "720p").removesuffix("p"))
        sides = (even(short * max(aspect, 1)), even(short / min(aspect, 1)))
    sound = body.get("audio", recipe != "product_ad") is True
    return Product(
        form="mp4",
        width=sides[0],
        height=sides[1],
        seconds=number_in(body, "duration", _USUAL_SECONDS.get(recipe, 10.0)),
        source=source_of(source),
        sound=sound,
    )


def recipe_pictures(recipe: str, body: Mapping[str, Json], media: Sequence[Asset]) -> Product:
    """Returns the pictures of a recipe: the localized advertisement keeps its size."""
    first = placed(media, "referenceImage")
    width, height = (first.width, first.height) if recipe == "ad_localization" and first else _PICTURE
    return Product(
        form="png",
        width=width,
        height=height,
        outputs=outputs_of(recipe, body),
        source=source_of(first) if recipe == "ad_localization" else None,
        references=() if recipe == "ad_localization" else tuple(filter(None, map(source_of, media))),
        making={"work": "picture"},
    )
