"""Figures and names in the provider's answers: kept where they can be true, else left out with a line in the log.

An implausible figure must not lose the task or account that it came with, nor harm the server. The log names the
figure and never repeats its value, which may be megabytes of anything.
"""

import logging
import math
import re

from evergreen_server.ports.specs import Json

__all__ = ["amount", "count", "is_model_name", "number", "price"]

MOST_MILLICREDITS = 10**15
"""Larger than any balance or charge; it fits every column, message and sum."""
MOST_COUNT = 2**31 - 1

_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")

logger = logging.getLogger(__name__)


def number(value: Json) -> float | None:
    """Returns a finite number; None for anything else, and for a whole number too large for a float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def amount(value: Json, figure: str) -> int | None:
    """Reads credits, negative ones too, as millicredits."""
    credits = number(value)
    if credits is not None and abs(credits) <= MOST_MILLICREDITS / 1000:
        return round(credits * 1000)
    _leave_out(value, figure)
    return None


def price(value: Json, figure: str) -> int | None:
    """Reads a price in credits, which is never negative, as millicredits."""
    found = amount(value, figure)
    if found is None or found >= 0:
        return found
    _leave_out(value, figure)
    return None


def count(value: Json) -> int | None:
    """Reads how many there are or may be."""
    found = number(value)
    return int(found) if found is not None and 0 <= found <= MOST_COUNT else None


def is_model_name(name: str) -> bool:
    """Returns whether a name can be a model's, so that it may go into logs, rows and messages."""
    return _MODEL.fullmatch(name) is not None


def _leave_out(value: Json, figure: str) -> None:
    if value is not None:
        logger.warning("provider figure left out", extra={"figure": figure, "kind": type(value).__name__})
