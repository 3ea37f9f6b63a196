"""The rows of the recipes, which are whole workflows of the provider.

The row of each has the recipe's own name for a model; its bodies have no `model`.
"""

from collections.abc import Iterator, Mapping

from evergreen_server.ports.specs import Json
from evergreen_server.providers.runway.catalog.rows.vocabulary import (
    KP,
    KS,
    PICTURE,
    VIDEO,
    WITH_AUDIO,
    Check,
    Fields,
    Row,
    row,
)
from evergreen_server.providers.runway.catalog.rules import (
    Issue,
    OneOf,
    Operation,
    Text,
    Whole,
    custom,
    missing,
    unrecognized,
)
from evergreen_server.providers.runway.catalog.shapes import Items, part

__all__ = ["RECIPES", "path_of", "recipe_rows"]

RECIPES = frozenset((
    Operation.MULTI_SHOT_VIDEO, Operation.PRODUCT_AD, Operation.PRODUCT_SWAP, Operation.PRODUCT_UGC,
    Operation.AD_LOCALIZATION, Operation.MARKETING_STOCK_IMAGE, Operation.PRODUCT_CAMPAIGN_IMAGE,
))  # fmt: skip

VERSIONS = ("2026-06", "unsafe-latest")
FILE = part({"uri!": PICTURE})
LANGUAGES = (
    "ar", "zh", "zh-Hant", "nl", "en", "fr", "de", "hi", "id", "it", "ja", "ko", "pl", "pt", "ru", "es", "sv", "th",
    "tr", "uk", "vi", "el",
)  # fmt: skip
SHOTS = Items(part({"prompt!": Text(512, 3), "duration!": Whole(1, 15)}), 5, 3)
AD_SIZES = ("1280:720", "720:1280", "960:960", "834:1112", "1920:1080", "1080:1920", "1440:1440", "1248:1664")
USUAL_SECONDS = 10
"""How long multi_shot_video is where the body does not say."""


def path_of(operation: Operation) -> str:
    """Returns where an operation's create is posted, below `/v1/`."""
    return f"recipes/{operation}" if operation in RECIPES else str(operation)


def recipe_rows() -> Iterator[Row]:
    """Yields every row of this module."""
    shots: Fields = {
        "mode!": OneOf(("auto", "custom")), "prompt": Text(2500), "shots": SHOTS, "duration": OneOf((5, 10, 15)),
        "ratio": OneOf(KS + KP), "firstFrame": FILE, **WITH_AUDIO,
    }  # fmt: skip
    yield _recipe(Operation.MULTI_SHOT_VIDEO, shots, _mode, _shots_fill_the_video)
    words: Fields = {"productInfo": Text(2500, 0), "userConcept": Text(3500, 0)}
    ad: Fields = {
        "productImages!": Items(FILE, 10, 1), "styleImages": Items(FILE, 4), "ratio": OneOf(AD_SIZES),
        "duration": Whole(4, 15), **WITH_AUDIO, **words,
    }  # fmt: skip
    yield _recipe(Operation.PRODUCT_AD, ad, versions=("2026-06", "2026-07", "unsafe-latest"))
    views = part({"uri!": PICTURE, "view": OneOf(("front", "side", "back"))})
    swap: Fields = {
        "referenceVideo!": part({"uri!": VIDEO}), "originalProductImage!": FILE,
        "newProductImages!": Items(views, 10, 1), "duration": Whole(4, 15), "resolution": OneOf(("720p", "1080p")),
        **WITH_AUDIO,
    }  # fmt: skip
    yield _recipe(Operation.PRODUCT_SWAP, swap)
    ugc: Fields = {
        "characterImage!": FILE, "productImage!": FILE, "duration": Whole(4, 15),
        "ratio": OneOf(("720:1280", "1080:1920")), **WITH_AUDIO, **words,
    }  # fmt: skip
    yield _recipe(Operation.PRODUCT_UGC, ugc)
    yield _recipe(Operation.AD_LOCALIZATION, {"referenceImage!": FILE, "targetLanguage!": OneOf(LANGUAGES)})
    stock: Fields = {
        "prompt!": Text(3500), "referenceImage": FILE, "outputCount": Whole(1, 4),
        "quality": OneOf(("low", "medium", "high")),
    }  # fmt: skip
    yield _recipe(Operation.MARKETING_STOCK_IMAGE, stock)
    yield _recipe(Operation.PRODUCT_CAMPAIGN_IMAGE, {"image!": FILE, "prompt!": Text(3500)})


def _recipe(operation: Operation, fields: Fields, *checks: Check, versions: tuple[str, ...] = VERSIONS) -> Row:
    return row(operation, str(operation), {"version!": OneOf(versions), **fields}, *checks, closed=True)


def _mode(body: Mapping[str, Json]) -> Iterator[Issue]:
    """Checks that a story comes with the mode auto alone, and shots with custom alone."""
    match body.get("mode"):
        case "auto":
            wanted, other, expected = "prompt", "shots", "string"
        case "custom":
            wanted, other, expected = "shots", "prompt", "array"
        case _:
            return
    if wanted not in body:
        yield missing((wanted,), expected)
    if other in body:
        yield unrecognized((), [other])


def _shots_fill_the_video(body: Mapping[str, Json]) -> Iterator[Issue]:
    """Checks that the shots of the mode custom add up to the length of the video."""
    shots, whole = body.get("shots"), body.get("duration", USUAL_SECONDS)
    if body.get("mode") != "custom" or not isinstance(shots, list):
        return
    lengths = [shot.get("duration") for shot in shots if isinstance(shot, dict)]
    total = sum(length for length in lengths if isinstance(length, int | float))
    if total != whole:
        yield custom(("shots",), f"Shot durations must sum to the duration of {whole} seconds, not {total:g}.")
