"""Protobuf to JSON and back: one printer and one reader for all that the gateway says and hears."""

import json
import re
from typing import TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message

from evergreen_server.gateway.problems import invalid

__all__ = ["read_json", "read_object", "to_json"]

M = TypeVar("M", bound=Message)

MOST_VALUES = 20_000
"""Of one document. Each costs the loop some microseconds."""
_UNKNOWN = re.compile(r'has no field named "([^"]*)"')
TOO_MANY = f"it has more than {MOST_VALUES} values"


def to_json(message: Message) -> bytes:
    """Returns a message as proto3 JSON: camelCase, int64 as texts, fields without presence always there."""
    document = json_format.MessageToDict(message, always_print_fields_with_no_presence=True)
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def read_json(kind: type[M], data: bytes) -> M:
    """Parses a message; both spellings of names are taken, and unknown ones refused. Raises Refused."""
    document = read_object(data)
    try:
        return json_format.ParseDict(document, kind())
    except (json_format.ParseError, ValueError, RecursionError) as exc:
        if unknown := _UNKNOWN.search(str(exc)):
            raise invalid(unknown[1][:100], "the message has no such field") from None
        raise _wrong(_cause(exc)) from None
    except (TypeError, AttributeError, OverflowError):
        # The parser itself stumbles over some values of the wrong kind.
        raise _wrong("a value is of the wrong kind") from None


def read_object(data: bytes) -> dict[str, object]:
    """Parses one object, bounded in its number of values; nothing stands for an empty one. Raises Refused."""
    try:
        document = json.loads(data.decode() or "{}", object_pairs_hook=_Objects().one, parse_constant=_no_constant)
        if not isinstance(document, dict):
            raise ValueError("it is no object")
        _bound(document)
        return document
    except (ValueError, RecursionError) as exc:
        raise _wrong(_cause(exc)) from None


def _wrong(cause: str) -> Exception:
    return invalid("", f"not the JSON of this call's message: {cause}")


class _Objects:
    """Makes the objects of one document, as many as it may have."""

    def __init__(self) -> None:
        self._left = MOST_VALUES

    def one(self, pairs: list[tuple[str, object]]) -> dict[str, object]:
        self._left -= 1
        if self._left < 0:
            raise ValueError(TOO_MANY)
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a name stands twice in an object")
        return found


def _bound(document: object) -> None:
    """Raises ValueError if a document has too many values."""
    found, waiting = 0, [document]
    while waiting:
        value = waiting.pop()
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        found += len(inner)
        if found > MOST_VALUES:
            raise ValueError(TOO_MANY)
        waiting.extend(inner)


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def _cause(exc: Exception) -> str:
    if isinstance(exc, RecursionError):
        return "it is nested too deeply"
    if isinstance(exc, UnicodeDecodeError):
        return "it is not UTF-8"
    return str(exc)[:300]
