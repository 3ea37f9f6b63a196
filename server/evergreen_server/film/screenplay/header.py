"""The settings at the top of a script, `Key: value` by line; what is common to all forms."""

import re
from collections.abc import Callable
from typing import Final

from evergreen_server.film.screenplay.cast import cast_member, name_key
from evergreen_server.film.screenplay.script import MAX_CAST, CastMember, Faults, Header, Timing
from evergreen_server.film.screenplay.source import squeezed
from evergreen_storage.keys import path_error

__all__ = ["ASPECT", "KEYS", "LANGUAGE", "HeaderReader", "is_indented", "key_and_value"]

KEYS: Final = frozenset({"title", "style", "aspect", "language", "narrator", "music", "timing", "cast"})

_LINE: Final = re.compile(r"([^\W\d_][\w /-]{0,39}?)[ \t]*:(?:[ \t]+(.*))?")
_LONGEST: Final = 2_000
"""Characters of one value."""
_MAX_OTHERS: Final = 50

ASPECT: Final = re.compile(r"[1-9]\d?:[1-9]\d?")
LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")
_VOICE: Final = re.compile(r"[A-Za-z][A-Za-z0-9 _-]{0,63}")

_FORMS: Final[dict[str, tuple[Callable[[str], bool], str]]] = {
    "aspect": (lambda value: bool(ASPECT.fullmatch(value)), "an aspect is WIDTH:HEIGHT, such as 16:9"),
    "language": (lambda value: bool(LANGUAGE.fullmatch(value)), "a language is a tag, such as en or pt-BR"),
    "narrator": (lambda value: bool(_VOICE.fullmatch(value)), "the narrator is the name of a preset voice"),
    "music": (
        lambda value: value.startswith("audio/") and path_error(value) is None,
        "music is a sound of the film's own scene, audio/FILE",
    ),
    "timing": (lambda value: value.upper() in Timing.__members__, "timing is script or speech"),
}


def key_and_value(line: str) -> tuple[str, str] | None:
    """Returns the key, as written, and the value of a line of the form `Key: value`; None for any other line."""
    found = _LINE.fullmatch(line.rstrip())
    return (found[1], (found[2] or "").strip()) if found else None


def is_indented(line: str) -> bool:
    """Returns whether a line goes on with the key above it."""
    return line.startswith(("  ", "\t")) and bool(line.strip())


class HeaderReader:
    """Takes a header line by line, and judges it as a whole at its end."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._values: dict[str, list[str]] = {}
        self._lines: dict[str, int] = {}
        self._others: dict[str, str] = {}
        self._cast: list[CastMember] = []
        self._key = ""

    def set(self, number: int, key: str, value: str) -> None:
        """Takes a key; what it means nothing for is kept. A key that is given twice is a fault."""
        self._key = name = squeezed(key).lower()
        if name not in KEYS:
            if len(self._others) < _MAX_OTHERS:
                self._others[key] = value[:_LONGEST]
            self._key = key
        elif name in self._lines:
            self._faults.add(number, f"{name} is given twice; it is in line {self._lines[name]} already")
        else:
            self._lines[name] = number
            if name == "cast":
                self._add_cast(number, value)
            else:
                self._values[name] = [value]

    def go_on(self, number: int, line: str) -> None:
        """Takes an indented line, which belongs to the key before it."""
        if self._key == "cast":
            self._add_cast(number, line)
        elif self._key in KEYS:
            self._values[self._key].append(line)
        elif self._key in self._others and len(self._others[self._key]) < _LONGEST:
            self._others[self._key] = f"{self._others[self._key]}\n{line.strip()}".strip()[:_LONGEST]

    def header(self) -> Header:
        """Returns the header; what is wrong with it is added to the faults."""
        values = {key: squeezed(" ".join(parts)) for key, parts in self._values.items()}
        for key, value in values.items():
            fits, rule = _FORMS.get(key, (lambda _value: True, ""))
            if len(value) > _LONGEST:
                self._faults.add(self._lines[key], f"{key} has more than {_LONGEST} characters")
            elif value and not fits(value):
                self._faults.add(self._lines[key], rule)
        timing = values.get("timing", "").upper()
        return Header(
            title=values.get("title", ""),
            style=values.get("style", ""),
            aspect=values.get("aspect", ""),
            language=values.get("language", ""),
            narrator=values.get("narrator", ""),
            music=values.get("music", ""),
            timing=Timing.__members__.get(timing),
            cast=tuple(self._cast),
            others=tuple(self._others.items()),
        )

    def _add_cast(self, number: int, text: str) -> None:
        text = text.strip().removeprefix("- ").strip()
        if not text:
            return
        member = cast_member(number, text, self._faults)
        if member is None:
            return
        if any(name_key(member.name) == name_key(other.name) for other in self._cast):
            self._faults.add(number, f"{member.name} is in the cast twice")
        elif len(self._cast) == MAX_CAST:
            self._faults.add(number, f"the cast has more than {MAX_CAST} members")
        else:
            self._cast.append(member)
