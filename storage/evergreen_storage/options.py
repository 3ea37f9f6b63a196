"""Translates storage options, in fsspec's own names, by one table for each engine. No text here repeats a value."""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from evergreen_storage.storage import Json, Unsupported

Value: TypeAlias = str | bool | float
"""What an engine takes; numbers are seconds or counts."""

Read: TypeAlias = Callable[[Json], Value]
"""Reads a value from JSON or from a URL's query, where everything is text. Raises ValueError saying what it must be."""

Table: TypeAlias = Mapping[str, "tuple[str, Read] | Table | None"]
"""By an option's name: the engine's name and how to read it; a table, if the option holds options; None if it may be
given and changes nothing here."""

_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})


def text(value: Json) -> str:
    """Reads a text that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError("must be a text")
    return value


def flag(value: Json) -> bool:
    """Reads true or false."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _TRUE | _FALSE:
        return value.lower() in _TRUE
    raise ValueError("must be true or false")


def number(value: Json) -> float:
    """Reads a number above 0."""
    try:
        found = 0.0 if isinstance(value, bool) or not isinstance(value, str | int | float) else float(value)
    except ValueError:
        found = 0.0
    if not 0 < found < 1e9:
        raise ValueError("must be a number above 0")
    return found


def count(value: Json) -> float:
    """Reads a whole number from 0."""
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).isdecimal():
        raise ValueError("must be a whole number")
    return int(value)


def one_of(choices: Mapping[str, Value]) -> Read:
    """Returns a reader of words that stand for values."""

    def read(value: Json) -> Value:
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return choices[value]

    return read


def translate(scheme: str, table: Table, options: Mapping[str, Json]) -> dict[str, Value]:
    """Translates all options. Raises Unsupported that names every unknown and every wrong one."""
    found: dict[str, Value] = {}
    errors: list[str] = []
    _translate(table, options, "", found, errors)
    if errors:
        known = ", ".join(sorted(_names(table, "")))
        raise Unsupported(f"{scheme}:// storage options: {'; '.join(errors)}. Known are: {known}")
    return found


def from_environment(names: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, Value]:
    """Returns the options that variables set; of several variables for one option, the first in `names` counts."""
    found: dict[str, Value] = {}
    for variable, name in names.items():
        if environ.get(variable):
            found.setdefault(name, environ[variable])
    return found


def _translate(
    table: Table, options: Mapping[str, Json], above: str, found: dict[str, Value], errors: list[str]
) -> None:
    for name, value in options.items():
        if name not in table:
            errors.append(f"{above}{name} is not supported")
            continue
        match table[name]:
            case None:
                pass
            case (target, read):
                try:
                    found[target] = read(value)
                except ValueError as exc:
                    errors.append(f"{above}{name} {exc}")
            case nested:
                if isinstance(value, dict):
                    _translate(nested, value, f"{above}{name}.", found, errors)
                else:
                    errors.append(f"{above}{name} must hold options of its own")


def _names(table: Table, above: str) -> list[str]:
    names: list[str] = []
    for name, entry in table.items():
        names += _names(entry, f"{above}{name}.") if isinstance(entry, Mapping) else [f"{above}{name}"]
    return names
