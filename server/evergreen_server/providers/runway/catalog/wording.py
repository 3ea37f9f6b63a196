"""Words about a body's issues that the diagnoses of all operations share."""

from collections.abc import Iterator, Mapping

from evergreen_server.ports.specs import FieldError, Json
from evergreen_server.providers.runway.catalog.rules import Issue, Path

__all__ = ["ABSENT", "at", "size_told", "uri_errors"]


class _Absent:
    """What stands where a body has nothing, since None is a value."""


ABSENT = _Absent()


def at(body: Mapping[str, Json], path: Path) -> "Json | _Absent":
    """Returns what a body has at a path, ABSENT where it has nothing there."""
    value: Json | _Absent = dict(body)
    for part in path:
        match value, part:
            case dict(), str() if part in value:
                value = value[part]
            case list(), int() if 0 <= part < len(value):
                value = value[part]
            case _:
                return ABSENT
    return value


def size_told(issue: Issue, body: Mapping[str, Json]) -> str:
    """Returns how long a text or list is that is too long or short; empty for any other issue."""
    if issue.code not in ("too_big", "too_small"):
        return ""
    match at(body, issue.path):
        case str() as text:
            return f"; it has {len(text.encode('utf-16-le', 'surrogatepass')) // 2}"
        case list() as items:
            return f"; there are {len(items)}"
        case _:
            return ""


def uri_errors(options: Mapping[str, Json]) -> Iterator[FieldError]:
    """Yields an error for each option that holds a URI, which would evade all checks of media."""
    for name, value in options.items():
        if any("://" in text or text.lstrip().lower().startswith("data:") for text in _texts(value)):
            yield FieldError(field=f"options.{name}", description="Options hold no URIs; give media instead.")


def _texts(value: Json) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for item in value:
                yield from _texts(item)
        case dict():
            for name, item in value.items():
                yield name
                yield from _texts(item)
