"""Reads what a body asks for: its text, its numbers, and how many outputs, whichever operation it is for."""

from collections.abc import Mapping, Sequence

from evergreen_server.providers.runway.catalog.models import Json
from evergreen_server.providers.runway.sandbox.generation.assets import Asset

__all__ = ["aspect_of", "inside", "model_of", "number_in", "outputs_of", "pixels_of", "placed", "text_of", "word_in"]

_OUTPUTS: Mapping[str, int] = {"marketing_stock_image": 4, "product_campaign_image": 4}
"""Outputs of an operation whose body does not say how many."""


def model_of(operation: str, body: Mapping[str, Json]) -> str:
    """Returns the model under which a task is counted and charged; a recipe is its own."""
    return word_in(body, "model") or operation


def text_of(body: Mapping[str, Json]) -> str:
    """Returns the text that a task is made from."""
    speech = inside(body, "speech")
    shots = body.get("shots")
    of_shots = [inside({"shot": shot}, "shot").get("prompt") for shot in shots] if isinstance(shots, list) else []
    found = [body.get("promptText"), body.get("prompt"), speech.get("text"), *of_shots, body.get("userConcept")]
    return "\n".join(part for part in found if isinstance(part, str))


def outputs_of(operation: str, body: Mapping[str, Json]) -> int:
    """Returns how many outputs a body asks for."""
    asked = number_in(body, "outputCount") or number_in(body, "numVariants")
    return int(asked or _OUTPUTS.get(operation, 1))


def word_in(body: Mapping[str, Json], name: str, default: str = "") -> str:
    value = body.get(name)
    return value if isinstance(value, str) else default


def number_in(body: Mapping[str, Json], name: str, default: float = 0.0) -> float:
    value = body.get(name)
    return default if isinstance(value, bool) or not isinstance(value, int | float) else value


def inside(body: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    """Returns an object within a body; an empty one where there is none."""
    value = body.get(name)
    return value if isinstance(value, dict) else {}


def placed(media: Sequence[Asset], *names: str) -> Asset | None:
    """Returns the first of the media that a body names in these members."""
    return next((asset for asset in media if asset.place[0] in names), None)


def pixels_of(ratio: str) -> tuple[int, int] | None:
    """Returns the sides of a ratio that is given in pixels, such as 1280:720."""
    left, _, right = ratio.partition(":")
    if left.isdecimal() and right.isdecimal() and min(int(left), int(right)) >= 100:
        return int(left), int(right)
    return None


def aspect_of(asset: Asset | None, default: float) -> float:
    """Returns width by height, within what any model takes."""
    return min(max(asset.width / asset.height, 0.2), 5.0) if asset is not None and asset.height else default
