"""The text of a script as lines: normalised, bounded, and free of characters that hide what it says."""

import re
import unicodedata
from typing import Final

from evergreen_server.film.screenplay.script import MAX_BYTES, Faults

__all__ = ["Lines", "lines_of", "refused_character", "squeezed"]

Lines = tuple[str, ...]
"""The lines of a script; the first has number 1."""

_MAX_SOURCE_LINES: Final = 20_000
_MAX_COLUMNS: Final = 20_000
_MAX_MARKS: Final = 30
"""Of combining marks on one letter, as in Unicode's stream-safe text: putting more in order takes quadratic time."""

# Directional overrides and isolates make a text look other than it reads; noncharacters are used inside the parser.
_REFUSED: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)
_SPACES: Final = re.compile(r"\s+")


def lines_of(text: str) -> Lines:
    """Returns the lines of a script in NFC. Raises InvalidScript for a text that is empty, too long or not text."""
    faults = Faults()
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        faults.add(1, f"the script has {size} bytes; at most {MAX_BYTES} are taken")
        faults.check()
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    if not text.strip():
        faults.add(1, "the script is empty")
    if len(lines) > _MAX_SOURCE_LINES:
        faults.add(_MAX_SOURCE_LINES + 1, f"the script has {len(lines)} lines; at most {_MAX_SOURCE_LINES} are taken")
    faults.check()
    for number, line in enumerate(lines, start=1):
        _check(line, number, faults)
    faults.check()
    return tuple(line if line.isascii() else unicodedata.normalize("NFC", line) for line in lines)


def refused_character(text: str) -> str:
    """Returns the first character of a text that no script may have either, as `U+0000`; "" if there is none."""
    found = _REFUSED.search(text)
    return f"U+{ord(found.group()):04X}" if found else ""


def squeezed(text: str) -> str:
    """Returns a text with every run of white space made one space, and none at its ends."""
    return _SPACES.sub(" ", text).strip()


def _check(line: str, number: int, faults: Faults) -> None:
    if len(line) > _MAX_COLUMNS:
        faults.add(number, f"the line has {len(line)} characters; at most {_MAX_COLUMNS} are taken")
        return
    for found in _REFUSED.finditer(line):
        code = ord(found.group())
        faults.add(number, f"the character U+{code:04X} is not allowed in a script", column=found.start() + 1)
    if line.isascii():
        return
    run = 0
    for column, character in enumerate(line, start=1):
        run = run + 1 if unicodedata.combining(character) else 0
        if run > _MAX_MARKS:
            faults.add(number, f"a letter has more than {_MAX_MARKS} combining marks", column=column)
            return
