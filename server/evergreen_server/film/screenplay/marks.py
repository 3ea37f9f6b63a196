"""Fountain's marks, taken out before a line is read: notes, boneyard and emphasis.

The library that reads Fountain takes quadratic time over marks that nobody closes, and does not say where they are.
"""

import re
from dataclasses import dataclass
from typing import Final

from evergreen_server.film.screenplay.inline import veiled
from evergreen_server.film.screenplay.script import Faults
from evergreen_server.film.screenplay.source import Lines, squeezed

__all__ = ["Line", "unmarked", "without_hidden"]

_OPENING: Final = re.compile(r"/\*|\[\[")
_CLOSING: Final = {"/*": "*/", "[[": "]]"}
_NAMES: Final = {"/*": "the boneyard", "[[": "the note"}

_ESCAPED: Final = re.compile(r"\\([*_\\])")
_STARS: Final = re.compile(r"(\*{1,3})(?=[^\s*])([^*]*)(?<=\S)\1")
_UNDERLINE: Final = re.compile(r"(?<!\w)_(?=[^\s_])([^_]*)(?<=\S)_(?!\w)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of a script without what is hidden."""

    number: int
    text: str


def without_hidden(lines: Lines, begin: int, faults: Faults) -> list[Line]:
    """Returns the lines from an index on without notes and boneyard; a line that had nothing else is left out.

    A mark that is not closed is a fault; a note is none beyond an empty line, as Fountain has it.
    """
    kept: list[Line] = []
    mark, opened, column = "", 0, 0
    for number, line in enumerate(lines[begin:], start=begin + 1):
        if mark == "[[" and len(line) < 2 and not line.strip():
            faults.add(opened, "the note is not closed with ]] before the next empty line", column=column)
            mark = ""
        parts: list[str] = []
        position, touched = 0, bool(mark)
        while True:
            if mark:
                close = line.find(_CLOSING[mark], position)
                if close < 0:
                    break
                mark, position = "", close + 2
            found = _OPENING.search(line, position)
            if found is None:
                parts.append(line[position:])
                break
            parts.append(line[position : found.start()])
            mark, opened, column, touched = found.group(), number, found.start() + 1, True
            position = found.end()
        text = _joined(parts) if touched else line
        if text.strip() or not touched:
            kept.append(Line(number=number, text=text))
    if mark:
        faults.add(opened, f"{_NAMES[mark]} is never closed with {_CLOSING[mark]}", column=column)
    return kept


def unmarked(text: str) -> str:
    """Returns a text without emphasis, and with the marks that are left, or were escaped, hidden from a parser."""
    text = _ESCAPED.sub(lambda found: veiled(found[1]), text)
    text = _STARS.sub(r"\2", _STARS.sub(r"\2", text))
    return veiled(_UNDERLINE.sub(r"\1", text))


def _joined(parts: list[str]) -> str:
    """Returns what stood around hidden parts, with one space where each side had one."""
    return squeezed("".join(parts))
