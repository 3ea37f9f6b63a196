"""Rules for values made of parts: objects, lists, and the forms in which pictures, videos and sounds are given."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from evergreen_server.ports.specs import Json, Kind
from evergreen_server.providers.runway.catalog.rules import (
    Issue,
    OneOf,
    Path,
    Rule,
    bounds,
    custom,
    missing,
    unrecognized,
    wrong_type,
)

__all__ = [
    "DATA_URI_LIMIT", "MEDIA_TYPES", "Frames", "Items", "Object", "Sizes", "Tagged", "Uri", "member_issues", "part",
    "tagged",
]  # fmt: skip

DATA_URI_LIMIT = 5_242_880
"""Characters of a whole data URI. Older branches of the API still take 16 MiB; this bound holds for all."""

URL_LIMIT, RUNWAY_URI_LIMIT, URI_MINIMUM = 2048, 5000, 13

MEDIA_TYPES: Mapping[Kind, frozenset[str]] = {
    Kind.PICTURE: frozenset(("image/jpg", "image/jpeg", "image/png", "image/webp")),
    Kind.VIDEO: frozenset((
        "video/mp4", "video/quicktime", "video/x-matroska", "video/webm", "video/3gpp", "video/ogg",
        "video/x-msvideo", "video/x-flv", "video/mpeg",
    )),
    Kind.AUDIO: frozenset((
        "audio/mpeg", "audio/mp3", "audio/wav", "audio/wave", "audio/x-wav", "audio/flac", "audio/x-flac",
        "audio/mp4", "audio/x-m4a", "audio/aac", "audio/x-aac",
    )),
}  # fmt: skip
"""The content types that the provider takes."""

POSITION = OneOf(("first", "last"))


@dataclass(frozen=True, slots=True)
class Object:
    """Named members; unknown ones are refused unless `closed` is False."""

    members: Mapping[str, Rule]
    required: frozenset[str] = frozenset()
    closed: bool = True
    expected: ClassVar[str] = "object"

    def issues(self, value: Json, path: Path) -> Iterator[Issue]:
        if not isinstance(value, dict):
            yield wrong_type(path, self.expected, value)
            return
        yield from member_issues(self.members, self.required, value, path)
        if self.closed and (unknown := [name for name in value if name not in self.members]):
            yield unrecognized(path, unknown)

    def describe(self) -> str:
        return f"an object of {', '.join(self.members)}"


@dataclass(frozen=True, slots=True)
class Tagged:
    """One of several objects, distinguished by their `type`."""

    kinds: Mapping[str, Object]
    expected: ClassVar[str] = "object"

    def issues(self, value: Json, path: Path) -> Iterator[Issue]:
        if not isinstance(value, dict):
            yield wrong_type(path, self.expected, value)
            return
        kind = value.get("type")
        if isinstance(kind, str) and kind in self.kinds:
            yield from self.kinds[kind].issues(value, path)
            return
        details: dict[str, Json] = {"errors": [], "note": "No matching discriminator", "discriminator": "type"}
        yield Issue((*path, "type"), "invalid_union", "Invalid input", details)

    def describe(self) -> str:
        return f"an object whose type is {' or '.join(self.kinds)}"


def part(members: Mapping[str, Rule]) -> Object:
    """Returns a closed object; `!` after a member's name marks it as required."""
    required = frozenset(name[:-1] for name in members if name.endswith("!"))
    return Object({name.rstrip("!"): rule for name, rule in members.items()}, required)


def tagged(kinds: Mapping[str, Mapping[str, Rule]]) -> Tagged:
    """Returns the rule for objects with a `type`, by what else those of each type have."""
    return Tagged({kind: part({"type!": OneOf((kind,)), **members}) for kind, members in kinds.items()})


def member_issues(
    members: Mapping[str, Rule],
    required: frozenset[str],
    value: Mapping[str, Json],
    path: Path,
) -> Iterator[Issue]:
    """Checks what is there and names what is missing; says nothing of unknown members."""
    for name, rule in members.items():
        if name in value:
            yield from rule.issues(value[name], (*path, name))
        elif name in required:
            here = (*path, name)
            yield (rule.refusal(here) if isinstance(rule, OneOf) else missing(here, rule.expected))


@dataclass(frozen=True, slots=True)
class Uri:
    """An asset: an https URL on a named host, a provider upload, or a data URI."""

    kind: Kind
    expected: ClassVar[str] = "string"

    def issues(self, value: Json, path: Path) -> Iterator[Issue]:
        if not isinstance(value, str):
            yield wrong_type(path, self.expected, value)
            return
        match value[:10].lower().partition(":")[0]:
            case "data":
                yield from bounds(path, "string", len(value), URI_MINIMUM, DATA_URI_LIMIT)
                yield from self._data(value, path)
            case "runway":
                yield from bounds(path, "string", len(value), URI_MINIMUM, RUNWAY_URI_LIMIT)
            case "https":
                yield from bounds(path, "string", len(value), URI_MINIMUM, URL_LIMIT)
                yield from self._host(value, path)
            case "http":
                yield custom(path, "Only HTTPS URLs are allowed.")
            case _:
                yield custom(path, "Invalid URL")

    def _data(self, value: str, path: Path) -> Iterator[Issue]:
        found = re.match(r"data:([^;,]*)((?:;[^;,]*)*),", value[:256], re.IGNORECASE)
        if found is None or not found[2].lower().endswith(";base64") or found.end() == len(value):
            yield custom(path, "Invalid data URI.")
        elif found[1].lower() not in MEDIA_TYPES[self.kind]:
            message = "Unsupported asset type. Data URIs must include the content type of the value they encode."
            yield custom(path, message)

    def _host(self, value: str, path: Path) -> Iterator[Issue]:
        try:
            host = urlsplit(value).hostname
        except ValueError:
            host = None
        if not host:
            yield custom(path, "Invalid URL")
            return
        try:
            ip_address(host)
        except ValueError:
            return
        yield custom(path, "URLs must be hosted on a domain.")

    def describe(self) -> str:
        return f"{self.kind} as an https URL, a runway:// upload or a data URI"


@dataclass(frozen=True, slots=True)
class Sizes:
    """One of the named sizes, or any `width:height` with an area in pixels within `least` and `most`."""

    values: tuple[str, ...]
    least: int
    most: int
    expected: ClassVar[str] = "string"

    def issues(self, value: Json, path: Path) -> Iterator[Issue]:
        if not isinstance(value, str):
            yield wrong_type(path, self.expected, value)
            return
        found = re.fullmatch(r"([0-9]{1,5}):([0-9]{1,5})", value)
        if value not in self.values and not (found and self.least <= int(found[1]) * int(found[2]) <= self.most):
            yield custom(path, f"Invalid ratio: expected {self.describe()}")

    def describe(self) -> str:
        named = ", ".join(self.values)
        return f"one of {named}, or another width:height of {self.least} to {self.most} pixels"


@dataclass(frozen=True, slots=True)
class Items:
    """A list of equal parts; `maximum` None means that no bound is known."""

    item: Rule
    maximum: int | None = None
    minimum: int = 0
    or_string: Uri | None = None
    expected: ClassVar[str] = "array"

    def issues(self, value: Json, path: Path) -> Iterator[Issue]:
        if self.or_string is not None and isinstance(value, str):
            yield from self.or_string.issues(value, path)
        elif not isinstance(value, list):
            yield wrong_type(path, self.expected, value)
        else:
            yield from bounds(path, "array", len(value), self.minimum, self.maximum)
            for index, item in enumerate(value):
                yield from self.item.issues(item, (*path, index))

    def describe(self) -> str:
        if self.maximum is None:
            return "a list"
        return f"{self.minimum} to {self.maximum} of them" if self.minimum else f"at most {self.maximum} of them"


@dataclass(frozen=True, slots=True)
class Frames:
    """`promptImage`: one URI (the first frame), or a list of pictures with or without a position.

    `first` takes the first frame alone, `first_last` a last one beside it, `modes` positions on all pictures
    or, as references, on none; `untyped` is a list whose items the provider does not describe.
    """

    mode: Literal["first", "first_last", "modes", "untyped"]
    maximum: int | None = None
    expected: ClassVar[str] = "string"
    uri: Uri = field(default=Uri(Kind.PICTURE))

    def issues(self, value: Json, path: Path) -> Iterator[Issue]:
        if isinstance(value, str):
            yield from self.uri.issues(value, path)
        elif isinstance(value, list):
            yield from bounds(path, "array", len(value), 1, self.most)
            for index, item in enumerate(value):
                yield from self.item.issues(item, (*path, index))
            if self.mode != "untyped":
                yield from self._positions(value, path)
        else:
            yield Issue(path, "invalid_union", "Invalid input")

    @property
    def most(self) -> int | None:
        """Returns the greatest length of the list; None where no bound is known."""
        return {"first": 1, "first_last": 2}.get(self.mode, self.maximum)

    @property
    def item(self) -> Object:
        """Returns what each picture of the list must be."""
        match self.mode:
            case "first":
                return Object(
                    {"uri": self.uri, "position": OneOf(("first",))},
                    frozenset({"uri", "position"}),
                )
            case "first_last":
                return Object(
                    {"uri": self.uri, "position": POSITION},
                    frozenset({"uri", "position"}),
                )
            case "modes":
                return Object({"uri": self.uri, "position": POSITION}, frozenset({"uri"}))
            case "untyped":
                return Object({"uri": self.uri}, frozenset({"uri"}), closed=False)

    def _positions(self, items: list[Json], path: Path) -> Iterator[Issue]:
        taken = [item.get("position") if isinstance(item, dict) else None for item in items]
        for index, position in enumerate(taken):
            if position is not None and position in taken[:index]:
                text = (
                    "Duplicate position values are not allowed. Each position (`first`, `last`) may only be used once."
                )
                yield custom((*path, index, "position"), text)
        if self.mode == "first_last" and "last" in taken and "first" not in taken:
            where = (*path, taken.index("last"), "position")
            yield custom(where, "You must specify a frame in position `first`.")
        if self.mode == "modes" and None in taken and any(taken):
            yield custom(
                path,
                "Pictures with a position and pictures without one cannot be mixed.",
            )

    def describe(self) -> str:
        return {
            "first": "one picture, FIRST_FRAME",
            "first_last": "FIRST_FRAME and, if wanted, LAST_FRAME",
            "modes": "FIRST_FRAME and LAST_FRAME, or REFERENCE pictures, never both",
            "untyped": "FIRST_FRAME and, if wanted, LAST_FRAME",
        }[self.mode]
