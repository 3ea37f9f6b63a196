"""The rules that a value in a request body must follow; each describes what breaks it as the provider would.

The records follow the validator behind the provider's API (Zod 4), so that a refusal by this service, by the
sandbox and by the provider itself read alike.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from evergreen_server.ports.specs import Json, Operation

__all__ = [
    "Duration", "Flag", "Issue", "Number", "OneOf", "Operation", "Path", "Rule", "Text",
    "Whole", "bounds", "custom", "missing", "unrecognized", "wrong_type",
]  # fmt: skip

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing wrong with a body. `details` are the further members of the provider's own record."""

    path: Path
    code: str
    message: str
    details: Mapping[str, Json] = field(default_factory=dict)

    def record(self) -> dict[str, Json]:
        """Returns the record as the provider writes it in the `issues` of a 400."""
        return {
            **self.details,
            "code": self.code,
            "path": list(self.path),
            "message": self.message,
        }


def custom(path: Path, message: str) -> Issue:
    return Issue(path, "custom", message)


def missing(path: Path, expected: str) -> Issue:
    message = f"Invalid input: expected {expected}, received undefined"
    return Issue(path, "invalid_type", message, {"expected": expected})


def wrong_type(path: Path, expected: str, value: Json) -> Issue:
    message = f"Invalid input: expected {expected}, received {_type_name(value)}"
    return Issue(path, "invalid_type", message, {"expected": expected})


def unrecognized(path: Path, keys: Sequence[str]) -> Issue:
    names = ", ".join(f'"{key}"' for key in keys)
    return Issue(
        path,
        "unrecognized_keys",
        f"Unrecognized key{'s' * (len(keys) > 1)}: {names}",
        {"keys": list(keys)},
    )


def bounds(path: Path, origin: str, size: float, low: float | None, high: float | None) -> Iterator[Issue]:
    """Yields an issue for a size outside `low..high`; None leaves that side open."""
    verb = "to be" if origin == "number" else "to have"
    unit = {"string": " characters", "array": " items"}.get(origin, "")
    if low is not None and size < low:
        details: dict[str, Json] = {"origin": origin, "minimum": low, "inclusive": True}
        yield Issue(
            path,
            "too_small",
            f"Too small: expected {origin} {verb} >={_plain(low)}{unit}",
            details,
        )
    if high is not None and size > high:
        details = {"origin": origin, "maximum": high, "inclusive": True}
        yield Issue(
            path,
            "too_big",
            f"Too big: expected {origin} {verb} <={_plain(high)}{unit}",
            details,
        )


def _plain(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else str(number)


def _type_name(value: Json) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


class Rule(Protocol):
    """What a field's value must be."""

    @property
    def expected(self) -> str: ...

    def issues(self, value: Json, path: Path) -> Iterator[Issue]: ...

    def describe(self) -> str:
        """Returns what is allowed, in words; empty where the message of an issue already says so."""
        ...


@dataclass(frozen=True, slots=True)
class Text:
    """A string whose length is counted in UTF-16 code units; `pattern` is what a whole one looks like, `^` to `$`."""

    maximum: int | None = None
    minimum: int = 1
    pattern: str = ""
    expected: ClassVar[str] = "string"

    def issues(self, value: Json, path: Path) -> Iterator[Issue]:
        if not isinstance(value, str):
            yield wrong_type(path, self.expected, value)
            return
        units = len(value.encode("utf-16-le", "surrogatepass")) // 2
        yield from bounds(path, "string", units, self.minimum, self.maximum)
        if self.pattern and not re.fullmatch(self.pattern, value):
            details: dict[str, Json] = {"origin": "string", "format": "regex", "pattern": f"/{self.pattern}/"}
            yield Issue(path, "invalid_format", f"Invalid string: must match pattern /{self.pattern}/", details)

    def describe(self) -> str:
        if self.pattern and self.maximum is None:
            return f"text of the form {self.pattern}"
        top = "" if self.maximum is None else f" to {self.maximum}"
        form = f" of the form {self.pattern}" if self.pattern else ""
        return f"{self.minimum}{top or ' or more'} UTF-16 code units{form}"


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number; None leaves a side open."""

    low: int | None = None
    high: int | None = None
    expected: ClassVar[str] = "number"

    def issues(self, value: Json, path: Path) -> Iterator[Issue]:
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield wrong_type(path, self.expected, value)
        elif isinstance(value, float) and not value.is_integer():
            message = "Invalid input: expected int, received number"
            yield Issue(path, "invalid_type", message, {"expected": "int", "format": "safeint"})
        else:
            yield from bounds(path, "number", value, self.low, self.high)

    def describe(self) -> str:
        if self.low is None:
            return "a whole number"
        return f"a whole number from {self.low}" + ("" if self.high is None else f" to {self.high}")


@dataclass(frozen=True, slots=True)
class Number:
    """Any number; None leaves a side open."""

    low: float | None = None
    high: float | None = None
    expected: ClassVar[str] = "number"

    def issues(self, value: Json, path: Path) -> Iterator[Issue]:
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield wrong_type(path, self.expected, value)
        elif not math.isfinite(value):
            yield Issue(path, "invalid_type", "Invalid input: expected number, received NaN", {"expected": "number"})
        else:
            yield from bounds(path, "number", value, self.low, self.high)

    def describe(self) -> str:
        if self.low is None:
            return "a number"
        return f"a number from {self.low:g}" + ("" if self.high is None else f" to {self.high:g}")


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    expected: ClassVar[str] = "boolean"

    def issues(self, value: Json, path: Path) -> Iterator[Issue]:
        if not isinstance(value, bool):
            yield wrong_type(path, self.expected, value)

    def describe(self) -> str:
        return "true or false"


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of a closed set."""

    values: tuple[str | int, ...]

    @property
    def expected(self) -> str:
        return "string" if isinstance(self.values[0], str) else "number"

    def issues(self, value: Json, path: Path) -> Iterator[Issue]:
        if isinstance(value, bool) or value not in self.values:
            yield self.refusal(path)

    def refusal(self, path: Path) -> Issue:
        choices = "|".join(f'"{value}"' if isinstance(value, str) else str(value) for value in self.values)
        message = f"Invalid option: expected one of {choices}"
        return Issue(path, "invalid_value", message, {"values": list(self.values)})

    def describe(self) -> str:
        return ""


@dataclass(frozen=True, slots=True)
class Duration:
    """Whole seconds, or "auto" where the model may choose; None leaves a side open."""

    low: int | None = None
    high: int | None = None
    auto: bool = False
    expected: ClassVar[str] = "number"

    def issues(self, value: Json, path: Path) -> Iterator[Issue]:
        if not (self.auto and value == "auto"):
            yield from Whole(self.low, self.high).issues(value, path)

    def describe(self) -> str:
        return Whole(self.low, self.high).describe() + (' of seconds, or "auto" (in options)' * self.auto)
