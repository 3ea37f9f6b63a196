"""A plan as a JSON document, and back.

A member that has its default is left out, so that an old document reads as what it meant; a document that says more
than this release knows is refused, since saving it again would lose what it says.
"""

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Final, Union, get_args, get_origin, get_type_hints

from evergreen_server.film.model import Plan
from evergreen_server.ports.specs import Json

__all__ = ["VERSION", "UnreadablePlan", "from_document", "to_document"]

VERSION: Final = 1


class UnreadablePlan(ValueError):
    """The document is of a later version, or none of a plan."""


def to_document(plan: Plan) -> dict[str, Json]:
    """Returns a plan as a JSON object, which says its own version."""
    written = _written(plan)
    assert isinstance(written, dict)
    return {"version": VERSION, **written}


def from_document(document: Mapping[str, Json]) -> Plan:
    """Returns the plan of a document. Raises UnreadablePlan."""
    version = document.get("version")
    if version != VERSION:
        raise UnreadablePlan(f"a plan of version {version!r} cannot be read; this release reads version {VERSION}")
    plan = _Reader().read({name: value for name, value in document.items() if name != "version"}, Plan, "plan")
    assert isinstance(plan, Plan)
    return plan


def _written(value: object) -> Json:
    if isinstance(value, Enum):
        return str(value.value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _written(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_written(item) for item in value]
    assert is_dataclass(value)
    return {
        one.name: _written(item)
        for one in fields(value)
        if (item := getattr(value, one.name)) != one.default
        and not (one.default_factory is not MISSING and item == one.default_factory())
    }


class _Reader:
    """Reads values by their types, whose members are looked up once."""

    def __init__(self) -> None:
        self._members: dict[type, dict[str, object]] = {}

    def read(self, value: Json, kind: object, at: str) -> object:
        """Returns the value of a type that a document has at a place. Raises UnreadablePlan."""
        origin, arguments = get_origin(kind), get_args(kind)
        if origin in (Union, UnionType):
            if bool in arguments:
                # Options, which may be any JSON.
                return value
            one = next(one for one in arguments if one is not NoneType)
            return None if value is None else self.read(value, one, at)
        if origin is tuple and isinstance(value, list):
            return self._tuple(value, arguments, at)
        if isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(value, dict):
            return {key: self.read(item, arguments[1], f"{at}.{key}") for key, item in value.items()}
        if isinstance(kind, type) and issubclass(kind, Enum) and value in [str(member.value) for member in kind]:
            return kind(value)
        if isinstance(kind, type) and is_dataclass(kind) and isinstance(value, dict):
            return self._object(value, kind, at)
        if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        if isinstance(kind, type) and type(value) is kind and kind in (str, int, bool):
            return value
        raise UnreadablePlan(f"{at} is no {getattr(kind, '__name__', kind)}")

    def _tuple(self, value: list[Json], arguments: tuple[object, ...], at: str) -> tuple[object, ...]:
        if arguments[-1] is Ellipsis:
            return tuple(self.read(item, arguments[0], f"{at}[{index}]") for index, item in enumerate(value))
        if len(value) != len(arguments):
            raise UnreadablePlan(f"{at} has {len(value)} items, not {len(arguments)}")
        return tuple(self.read(item, kind, at) for item, kind in zip(value, arguments, strict=True))

    def _object(self, value: dict[str, Json], kind: type, at: str) -> object:
        if kind not in self._members:
            self._members[kind] = get_type_hints(kind)
        known = self._members[kind]
        if unknown := sorted(set(value) - set(known)):
            raise UnreadablePlan(f"{at} has members that this release does not know: {', '.join(unknown)}")
        try:
            return kind(**{name: self.read(item, known[name], f"{at}.{name}") for name, item in value.items()})
        except TypeError as exc:
            raise UnreadablePlan(f"{at} lacks a member: {exc}") from exc
