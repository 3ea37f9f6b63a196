"""Reads the parameters of lists, and answers with one page of a list."""

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from operator import itemgetter
from typing import Protocol, TypeVar

from evergreen_server.providers.runway.catalog.models import Issue, Json
from evergreen_server.providers.runway.catalog.rules import OneOf, Text, Whole, custom, missing
from evergreen_server.providers.runway.sandbox.http.answers import Answer, refusal
from evergreen_server.providers.runway.sandbox.resources.bodies import UUID
from evergreen_server.providers.runway.sandbox.state.clock import LATEST

__all__ = ["Query", "page", "query_refusal"]

_LIMIT_MOST = 100
_LIMIT_USUAL = 50
_CURSOR = Text(1000)


class _Item(Protocol):
    @property
    def created_at(self) -> float: ...


Item = TypeVar("Item", bound=_Item)


class Query:
    """The parameters of one call, read one by one; `issues` are all that is wrong with them."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given
        self.issues: list[Issue] = []

    def limit(self, usual: int = _LIMIT_USUAL) -> int:
        text = self._given.get("limit", str(usual))
        # Python alone would take "1_0", " 7" and digits of other scripts.
        number = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None
        value: Json = text if number is None else number
        found = list(Whole(1, _LIMIT_MOST).issues(value, ("limit",)))
        self.issues += found
        return usual if found or number is None else number

    def cursor(self) -> tuple[float, int] | None:
        """Returns the sort key of the last item that was seen, None for the first page."""
        if "cursor" not in self._given:
            return None
        text, place = self._given["cursor"], ("cursor",)
        if found := list(_CURSOR.issues(text, place)):
            self.issues += found
            return None
        try:
            match json.loads(base64.urlsafe_b64decode(text)):
                case [int() | float() as at, int(number)]:
                    return float(at), number
        except (ValueError, RecursionError, OverflowError):
            pass
        self.issues.append(custom(place, "Invalid cursor"))
        return None

    def one_of(self, name: str, values: tuple[str, ...]) -> str:
        """Returns the value of a parameter that is usually the first of `values`."""
        value = self._given.get(name, values[0])
        self.issues += OneOf(values).issues(value, (name,))
        return value

    def moment(self, name: str, *, required: bool = False) -> float | None:
        """Returns a date or date-time in seconds since the epoch; without a zone it is UTC."""
        text = self._given.get(name)
        if text is None:
            if required:
                self.issues.append(missing((name,), "string"))
            return None
        try:
            found: datetime | None = datetime.fromisoformat(text)
        except ValueError:
            found = None
        at = None if found is None else (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
        if at is None or not 0 <= at <= LATEST:
            self.issues.append(Issue((name,), "invalid_format", "Invalid ISO datetime"))
            return None
        return at

    def uuid(self, name: str) -> str | None:
        text = self._given.get(name)
        if text is not None:
            self.issues += Text(pattern=UUID).issues(text.lower(), (name,))
        return text

    def words(self, name: str, *, most: int | None = None, values: tuple[str, ...] | None = None) -> list[str]:
        """Returns the parts of a list with commas."""
        parts = [part.strip() for part in self._given.get(name, "").split(",") if part.strip()]
        if most is not None and len(parts) > most:
            self.issues.append(custom((name,), f"At most {most} values are allowed, received {len(parts)}"))
        if values is not None:
            for unknown in set(parts) - set(values):
                self.issues.append(custom((name,), f"Unknown value: {unknown[:64]}"))
        return parts


def query_refusal(query: Query) -> Answer:
    return refusal(400, "Validation of query failed", issues=[issue.record() for issue in query.issues])


def page(
    query: Query,
    items: Iterable[Item],
    show: Callable[[Item], Json],
    *,
    number: Callable[[Item], int],
    limit: int = _LIMIT_USUAL,
    key: Callable[[Item], float] = lambda item: item.created_at,
    newest_first: bool = True,
) -> Answer:
    """Returns the page that a query asks for, in order of `key`, then `number`; it usually has `limit` items.

    A cursor names the last item of the page before by its place in the order, so that it holds when that item is gone.
    """
    most, seen = query.limit(limit), query.cursor()
    if query.issues:
        return query_refusal(query)
    ordered = sorted((((key(item), number(item)), item) for item in items), key=itemgetter(0), reverse=newest_first)
    if seen is not None:
        ordered = [(place, item) for place, item in ordered if place != seen and (place < seen) == newest_first]
    more = len(ordered) > most
    body: dict[str, Json] = {
        "data": [show(item) for _, item in ordered[:most]],
        "hasMore": more,
        "nextCursor": _cursor(*ordered[most - 1][0]) if more else None,
    }
    return Answer(status=200, body=body)


def _cursor(at: float, number: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([at, number]).encode()).decode()
