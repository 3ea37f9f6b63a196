"""Reads JSON as the provider's own parser does, and whatever else is sent."""

import json
import math
import re

from evergreen_server.providers.runway.catalog.models import Json

__all__ = ["finite", "read_json"]

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def read_json(raw: bytes) -> Json:
    """Returns the JSON in UTF-8; half of a surrogate pair becomes U+FFFD, as it would on its way out.

    Raises ValueError where it is none, by the strict grammar, or nested beyond reason.
    """
    try:
        found: Json = json.loads(raw, parse_constant=_refuse)
        if _SURROGATE.search(raw):
            text = json.dumps(found, ensure_ascii=False)
            found = json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise ValueError("the JSON is not UTF-8") from error
    return found


def finite(value: object) -> float | None:
    """Returns a finite number as a float, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _refuse(word: str) -> Json:
    raise ValueError(f"{word} is no JSON")
