"""Figures and names in the provider's answers: kept where they can be true, else left out with a line in the log.

An odd figure must never cost more than itself: not the task that it came with, nor the account, nor the server. The
log names the figure and never repeats it, since it may be megabytes of anything.
"""

import logging
import math
import re

from evergreen_server.ports.specs import Json

__all__ = ["amount", "count", "is_model_name", "number", "price"]

MOST_MILLICREDITS = 10**15
"""No balance is larger, and what is charged surely is not; it fits every column, message and sum."""
MOST_COUNT = 2**31 - 1

_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")

logger = logging.getLogger(__name__)


def number(value: Json) -> float | None:
    """Gives a finite number, None for anything else; a whole number too large for a float is none."""
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
    """Reads credits that somebody pays, which are never negative, as millicredits."""
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
    """Tells whether a name can be a model's, so that it may go into logs, rows and messages."""
    return _MODEL.fullmatch(name) is not None


def _leave_out(value: Json, figure: str) -> None:
    if value is not None:
        logger.warning("provider figure left out", extra={"figure": figure, "kind": type(value).__name__})
