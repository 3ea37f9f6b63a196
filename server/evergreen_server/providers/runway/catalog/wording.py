"""Words about a body's issues that the diagnoses of all operations share."""

import math
from collections.abc import Iterator, Mapping

from evergreen_server.ports.specs import FieldError, Json
from evergreen_server.providers.runway.catalog.rules import Issue, Path

__all__ = ["ABSENT", "at", "told", "uri_errors"]


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


def told(issue: Issue, body: Mapping[str, Json], allowed: str = "") -> str:
    """Returns an issue in the words of all other errors of fields: what must be, and what was given. The provider's own
    words, of its validator, are for its own callers. `allowed` is what the field's rule says in words.
    """
    value = at(body, issue.path)
    match issue.code, value:
        case (("too_big" | "too_small"), str()):
            size = len(value.encode("utf-16-le", "surrogatepass")) // 2
            return f"must have {allowed or _bound(issue, ' UTF-16 code units')}; it has {size}"
        case (("too_big" | "too_small"), list()):
            return f"must have {allowed or _bound(issue, '')}; there are {len(value)}"
        case (("too_big" | "too_small"), (int() | float())):
            return f"must be {allowed or _bound(issue, '')}, not {value}"
        case "invalid_value", _:
            values = issue.details.get("values")
            choices = ", ".join(map(str, values)) if isinstance(values, list) else allowed
            given = f", not {value}" if isinstance(value, str | int | float) and len(str(value)) <= 100 else ""
            return f"must be one of {choices}{given}"
        case "invalid_type", _ if "expected" in issue.details:
            given = ", not NaN" if isinstance(value, float) and not math.isfinite(value) else ""
            return f"must be {allowed or issue.details['expected']}{given}"
    return issue.message.rstrip(".") + (f"; allowed: {allowed}" if allowed else "")


def _bound(issue: Issue, unit: str) -> str:
    least, most = issue.details.get("minimum"), issue.details.get("maximum")
    return f"at least {least}{unit}" if least is not None else f"at most {most}{unit}"


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
