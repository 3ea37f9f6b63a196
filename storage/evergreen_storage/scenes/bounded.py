"""Reads JSON that anybody may have written: within bounds, in steps, and only what can be written again."""

import json
import math
from typing import Final, NoReturn

from evergreen_storage.storage import Json

MAX_BYTES: Final = 16 << 20
"""Longer documents are not read: that is some 25,000 clips of one scene."""

_MAX_VALUES: Final = 1 << 20
_MAX_DEPTH: Final = 64


class Corrupt(Exception):
    """The bytes are no document of ours."""


def read_object(data: bytes) -> dict[str, Json]:
    """Reads a JSON object of at most a million values and 64 levels. Raises Corrupt."""
    if sum(data.count(mark) for mark in (b",", b"[", b"{")) > _MAX_VALUES:
        raise Corrupt(f"it has more than {_MAX_VALUES} values")
    try:
        document = json.loads(data, parse_constant=_refuse, parse_float=_finite, object_hook=_step)
    except (ValueError, RecursionError) as exc:
        raise Corrupt(f"it is not JSON: {str(exc)[:200]}") from None
    if not isinstance(document, dict):
        raise Corrupt("it is no JSON object")
    _check_depth(document)
    return document


def _step(value: dict[str, Json]) -> dict[str, Json]:
    # The parser itself never releases the GIL; each call of Python code may.
    return value


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text[:20]} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)


def _check_depth(document: dict[str, Json]) -> None:
    level: list[dict[str, Json] | list[Json]] = [document]
    for _ in range(_MAX_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise Corrupt(f"it is nested more than {_MAX_DEPTH} deep")
