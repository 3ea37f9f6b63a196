"""Which part of a file is asked for: the one range of a `Range` field."""

import re

__all__ = ["Unsatisfiable", "span_of"]

_RANGE = re.compile(r"bytes=[ \t]*([0-9]{0,100})-([0-9]{0,100})[ \t]*", re.IGNORECASE)
"""Of numbers with more than some thousand digits Python makes none."""


class Unsatisfiable(Exception):
    """The range lies beyond the end of the file."""


def span_of(text: str, size: int) -> tuple[int, int] | None:
    """Returns the first byte and the one after the last; None for the whole file.

    That is also what is sent for several ranges, other units, and what is no range. Raises Unsatisfiable.
    """
    found = _RANGE.fullmatch(text)
    if not found or found[1] == found[2] == "":
        return None
    if not found[1]:
        start, end = max(0, size - int(found[2])), size
    else:
        start, end = int(found[1]), min(size, int(found[2] or size) + 1)
        if found[2] and int(found[2]) < start:
            return None
    if start >= size or start == end:
        raise Unsatisfiable
    return start, end
