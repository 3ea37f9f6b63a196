"""The table of calls under /v1: what each is named, its method and path, and who answers it.

A group of calls that belong together is a function or a method that returns its rows; `server.py` joins the groups.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from evergreen_server.providers.runway.catalog.models import Json
from evergreen_server.providers.runway.sandbox.http.answers import Answer
from evergreen_server.providers.runway.sandbox.http.faults import Fault
from evergreen_server.providers.runway.sandbox.settings import Settings

__all__ = ["Asked", "Found", "Handler", "Route", "Routes"]

_PART = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A call that passed the checks which are the same for all."""

    origin: str
    """Scheme and host by which the caller reached the sandbox, for the URLs in answers."""
    parts: Mapping[str, str]
    """The variable parts of the path."""
    query: Mapping[str, str]
    body: Mapping[str, Json]
    """The JSON object that was sent; empty for the methods that send none."""
    digest: str
    """The SHA-256 of the body's bytes, in hexadecimal."""
    settings: Settings
    plan: Sequence[Fault]
    """Scripted faults that decide how the task of this call ends."""
    now: float
    key: str
    """What the caller sent as bearer token."""

    @property
    def failure(self) -> str:
        """Returns why a resource of this call is to fail, as scripted; empty if it is not."""
        return next((fault.message for fault in self.plan if fault.kind == "failure"), "")

    @property
    def failure_code(self) -> str:
        return next((fault.failure_code or "" for fault in self.plan if fault.kind == "failure"), "")


Handler = Callable[[Asked], Awaitable[Answer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One row: `path` is a pattern such as `/v1/tasks/{task_id}`; a call that names a task calls it `task_id`."""

    operation: str
    method: str
    path: str
    handler: Handler
    keyed: bool = True
    """The bearer token is the account's key; where it is not, the handler checks it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The rows of one path, by method."""

    routes: Mapping[str, Route]
    parts: Mapping[str, str]


class Routes:
    """Finds the rows of a path. A path without variable parts goes before one with them."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._plain: dict[str, dict[str, Route]] = {}
        self._patterns: dict[str, tuple[re.Pattern[str], dict[str, Route]]] = {}
        for route in routes:
            if _PART.search(route.path):
                pattern = re.compile(_PART.sub(r"(?P<\1>[^/]+)", route.path))
                self._patterns.setdefault(route.path, (pattern, {}))[1][route.method] = route
            else:
                self._plain.setdefault(route.path, {})[route.method] = route

    def find(self, path: str) -> Found | None:
        """Returns what the path leads to; None if it leads nowhere."""
        if (routes := self._plain.get(path)) is not None:
            return Found(routes=routes, parts={})
        for pattern, routes in self._patterns.values():
            if (match := pattern.fullmatch(path)) is not None:
                return Found(routes=routes, parts=match.groupdict())
        return None
