"""Reads a scripted fault from its JSON, naming everything that is wrong with it."""

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus

from evergreen_server.providers.runway.catalog.models import Json
from evergreen_server.providers.runway.sandbox.http.answers import DOCUMENTATION, compact
from evergreen_server.providers.runway.sandbox.http.faults import CREATES, KINDS, OPERATIONS, ROUTED, Fault, Kind, Rule
from evergreen_server.providers.runway.sandbox.http.reading import finite

_RULE_MEMBERS = ("operation", "path", "method", "match", "nth", "count", "fault")
_MATCH_MEMBERS = ("promptText", "model", "taskId")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")


def _is_number(value: Json) -> bool:
    number = finite(value)
    return number is not None and 0 <= number <= 10**9


def _is_part(value: Json) -> bool:
    number = finite(value)
    return number is not None and 0 <= number <= 1


def _is_text(value: Json) -> bool:
    return isinstance(value, str)


def _is_line(value: Json) -> bool:
    return isinstance(value, str) and value.isascii() and value.isprintable()


def _is_headers(value: Json) -> bool:
    return isinstance(value, dict) and all(_TOKEN.fullmatch(name) and _is_line(item) for name, item in value.items())


def _is_code(value: Json) -> bool:
    return value is None or isinstance(value, str)


def _is_status(value: Json) -> bool:
    return type(value) is int and 200 <= value <= 599


def _is_body(value: Json) -> bool:
    return isinstance(value, str | dict | list)


def _is_flag(value: Json) -> bool:
    return isinstance(value, bool)


def _is_number_of_outputs(value: Json) -> bool:
    return type(value) is int and 1 <= value <= 10


def _is_size(value: Json) -> bool:
    return type(value) is int and 0 <= value <= 10**11


# JSON name: (name in Fault, what it must be, whether it is)
_MEMBERS: Mapping[str, tuple[str, str, Callable[[Json], bool]]] = {
    "status": ("status", "an HTTP status, 200..599", _is_status),
    "body": ("body", "a string or JSON", _is_body),
    "contentType": ("content_type", "a content type", _is_line),
    "headers": ("headers", "an object of header lines", _is_headers),
    "retryAfter": ("retry_after", "a number of seconds", _is_number),
    "accept": ("accept", "true or false", _is_flag),
    "seconds": ("seconds", "a number of seconds", _is_number),
    "failureCode": ("failure_code", "a string or null", _is_code),
    "message": ("message", "a string", _is_text),
    "at": ("at", "a part from 0 to 1", _is_part),
    "word": ("word", "a string", _is_text),
    "number": ("number", "a whole number, 1..10", _is_number_of_outputs),
    "bytes": ("bytes", "a whole number of bytes", _is_size),
}


def parse_rule(body: Json) -> Rule:
    """Reads the body of POST /sandbox/faults. Raises a ValueError that lists everything wrong with it."""
    if not isinstance(body, dict):
        raise ValueError("the body must be a JSON object")
    wrong = [f"unknown member {name}; known: {', '.join(_RULE_MEMBERS)}" for name in body if name not in _RULE_MEMBERS]
    fault, kind = _fault(body.get("fault"), wrong)
    operations = _operations(body.get("operation"), kind, fault.kind, wrong)
    match = body.get("match", {})
    if not isinstance(match, dict):
        wrong.append("match must be an object")
        match = {}
    for name, value in match.items():
        if name not in _MATCH_MEMBERS or not isinstance(value, str):
            wrong.append(f"match.{name} is unknown or no string; known: {', '.join(_MATCH_MEMBERS)}")
    wrong += [f"{name} must be a string" for name in ("path", "method") if not isinstance(body.get(name, ""), str)]
    nth, count = body.get("nth", 1), body.get("count", 1)
    if type(nth) is not int or nth < 1:
        wrong.append("nth must be a whole number from 1")
    if count is not None and (type(count) is not int or count < 1):
        wrong.append("count must be a whole number from 1, or null for every call")
    if wrong:
        raise ValueError("; ".join(wrong))
    method = _text(body.get("method"))
    return Rule(
        fault=fault,
        operations=operations,
        path=_text(body.get("path")),
        method=None if method is None else method.upper(),
        prompt=_text(match.get("promptText")),
        model=_text(match.get("model")),
        task_id=_text(match.get("taskId")),
        nth=nth if isinstance(nth, int) else 1,
        count=count if isinstance(count, int) else None,
    )


def _fault(given: Json, wrong: list[str]) -> tuple[Fault, Kind]:
    kind = KINDS.get(str(given.get("kind"))) if isinstance(given, dict) else None
    if not isinstance(given, dict) or kind is None:
        wrong.append(f"fault.kind must be one of {', '.join(KINDS)}")
        return Fault(kind=""), Kind(operations=frozenset(OPERATIONS))
    name = str(given["kind"])
    values: dict[str, object] = {}
    for member, value in given.items():
        if member == "kind":
            continue
        if member not in kind.members:
            wrong.append(f"fault.{member} is unknown for {name}; known: {', '.join(kind.members) or 'none'}")
            continue
        target, meaning, fits = _MEMBERS[member]
        if fits(value):
            values[target] = value
        else:
            wrong.append(f"fault.{member} must be {meaning}")
    wrong += [f"fault.{member} is required for {name}" for member in kind.needs if member not in given]
    if name == "status" and isinstance(status := values.get("status"), int):
        body, content_type = _body(status, given.get("body"))
        values = {"content_type": content_type, **values, "body": body}
    fault = Fault(kind=name, **values)  # type: ignore[arg-type] # each value passed the check of its member above
    return fault, kind


def _body(status: int, given: Json) -> tuple[str, str]:
    """Returns a body and its content type: as scripted, or as usual for the status."""
    reason = next((known.phrase for known in HTTPStatus if known == status), "Error")
    match given:
        case str():
            return given, "text/html" if given.lstrip().startswith("<") else "application/json; charset=utf-8"
        case None if status >= 500:
            page = f"<html><head><title>{status} {reason}</title></head><body><h1>{status} {reason}</h1></body></html>"
            return page, "text/html"
        case None:
            error = "Your daily task limit has been reached." if status == 429 else reason
            given = {"error": error, "docUrl": DOCUMENTATION}
    return compact(given).decode(), "application/json; charset=utf-8"


def _operations(given: Json, kind: Kind, name: str, wrong: list[str]) -> frozenset[str]:
    """Returns the operations that a rule applies to: those it names, else all that its kind can apply to."""
    if given is None:
        return kind.operations
    chosen = frozenset((*CREATES, *ROUTED)) if given == "create" else frozenset({str(given)})
    if not chosen <= frozenset(OPERATIONS):
        wrong.append(f"operation must be create or one of {', '.join(OPERATIONS)}")
    elif not chosen <= kind.operations:
        wrong.append(f"{name} strikes only {', '.join(sorted(kind.operations))}")
    return chosen


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) else None
