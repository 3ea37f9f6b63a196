"""Checks a request body against its row of the table, as the provider does."""

from collections.abc import Mapping

from evergreen_server.ports.specs import Json
from evergreen_server.providers.runway.catalog.rows.recipes import RECIPES
from evergreen_server.providers.runway.catalog.rows.table import TABLE
from evergreen_server.providers.runway.catalog.rules import Issue, OneOf, Operation, missing, unrecognized, wrong_type
from evergreen_server.providers.runway.catalog.shapes import member_issues

__all__ = ["ENLARGED_PIXELS_MOST", "ENLARGED_SIDE_MOST", "aspect_limits", "check_body", "smallest_side"]

ENLARGED_SIDE_MOST, ENLARGED_PIXELS_MOST = 8000, 25_300_000
"""The longest side of a picture to enlarge, and the most pixels that it may have afterwards."""


def check_body(operation: Operation, body: Mapping[str, Json], *, strict: bool = True) -> list[Issue]:
    """Returns everything wrong with a body; empty means acceptable.

    `strict` refuses unknown fields on every model; without it only on those whose schema is declared closed.
    """
    recipe = operation in RECIPES
    model = str(operation) if recipe else body.get("model")
    row = TABLE.get((operation, model)) if isinstance(model, str) else None
    if row is None:
        return _unknown_model(operation, body)
    issues = list(member_issues(row.fields, row.required, body, ()))
    unknown = [name for name in body if name not in row.fields and (recipe or name != "model")]
    if unknown and (strict or row.closed):
        issues.append(unrecognized((), unknown))
    for check in row.checks:
        issues += check(body)
    return issues


def _unknown_model(operation: Operation, body: Mapping[str, Json]) -> list[Issue]:
    model = body.get("model")
    if isinstance(model, str):
        known = OneOf(tuple(name for found, name in TABLE if found is operation))
        return [known.refusal(("model",))]
    details: dict[str, Json] = {
        "errors": [],
        "note": "No matching discriminator",
        "discriminator": "model",
    }
    union = Issue(("model",), "invalid_union", "Invalid input", details)
    if "model" not in body:
        return [missing(("model",), "string"), union]
    return [wrong_type(("model",), "string", model), union]


def aspect_limits(model: str, operation: Operation) -> tuple[float, float] | None:
    """Returns the least and greatest width / height of input pictures; None where the provider has no such limits."""
    match model, operation:
        case ("gen4_turbo", Operation.IMAGE_TO_VIDEO) | ("act_two", Operation.CHARACTER_PERFORMANCE):
            return 0.5, 2.358
        case "gemini_2.5_flash", Operation.TEXT_TO_IMAGE:
            return 0.25, 4.0
        case _, Operation.PRODUCT_UGC:
            return 0.4, 4.0
        case (
            "gen4.5" | "veo3.1" | "veo3.1_fast" | "gemini_omni_flash",
            Operation.IMAGE_TO_VIDEO,
        ):
            return 0.5, 2.0
        case "seedance2" | "seedance2_fast" | "seedance2_mini" | "seedance2_5", _:
            return 0.4, 4.0
        case "hailuo3", _:
            return 0.2, 4.0
        case "grok_imagine_1_5" | "grok_imagine_1_5_lite", Operation.IMAGE_TO_VIDEO:
            return 0.4, 2.5
        case "happyhorse_1_0", Operation.IMAGE_TO_VIDEO:
            return 0.55, 1.8
        case _:
            return None


def smallest_side(model: str, operation: Operation) -> int:
    """Returns the least number of pixels for each side of an input picture."""
    match model, operation:
        case "h3_max", Operation.IMAGE_TO_VIDEO:
            return 256
        case ("happyhorse_1_0", Operation.IMAGE_TO_VIDEO) | (_, Operation.IMAGE_UPSCALE):
            return 300
        case _:
            return 1
