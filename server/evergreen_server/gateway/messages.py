"""Protobuf to JSON and back: one printer and one reader for all that the gateway says and hears."""

import json
import re
import string
from typing import TypeVar, cast

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from evergreen_server.gateway.problems import invalid

__all__ = ["read_document", "read_json", "read_object", "to_json"]

M = TypeVar("M", bound=Message)

MOST_VALUES = 20_000
"""Of one document. Each costs the loop some microseconds."""
PACKAGE = "evergreen.v1"
BASE64 = (string.ascii_letters + string.digits + "+/-_").encode()
_FIELDS = re.compile(r"Failed to parse (\w+) field: ")
_WITHIN = re.compile(r' at "?[A-Za-z]+\.([\w.\[\]]+?)"?\.*$')
TOO_MANY = f"it has more than {MOST_VALUES} values"


def to_json(message: Message) -> bytes:
    """Returns a message as proto3 JSON: camelCase, int64 as texts, fields without presence always there."""
    document = json_format.MessageToDict(message, always_print_fields_with_no_presence=True)
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def read_json(kind: type[M], data: bytes) -> M:
    """Parses a message; both spellings of names are taken, and unknown ones refused. Raises Refused."""
    return read_document(kind, read_object(data))


def read_document(kind: type[M], document: dict[str, object]) -> M:
    """Makes a message of an object. Raises Refused, with the field where it is known."""
    message = kind()
    _check(document, cast(Descriptor, message.DESCRIPTOR), "")
    try:
        return json_format.ParseDict(document, message)
    except (json_format.ParseError, ValueError, RecursionError) as exc:
        text = _cause(exc)
        within = _WITHIN.search(text)
        field = within[1] if within else ".".join(_FIELDS.findall(text))
        if not field:
            raise _wrong(text) from None
        raise invalid(field[:100], _WITHIN.sub("", _FIELDS.sub("", text)).rstrip(".")) from None
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


def _check(document: dict[str, object], kind: Descriptor, at: str) -> None:
    """Raises Refused for members that the parser would refuse without their place, or not at all."""
    fields = {name: field for field in kind.fields for name in (field.name, field.json_name)}
    chosen: dict[str, str] = {}
    for name, value in document.items():
        field, where = fields.get(name), f"{at}{name}"
        if field is None:
            raise invalid(where[:100].encode(errors="replace").decode(), "the message has no such field")
        if name != field.json_name and field.json_name in document:
            raise invalid(where, "stands twice, in both spellings")
        if field.containing_oneof is not None and value is not None:
            other = chosen.setdefault(field.containing_oneof.name, name)
            if other != name:
                raise invalid(where, f"cannot stand beside {other}: give one of them")
        inner = field.message_type
        if inner is not None and inner.GetOptions().map_entry:
            _check_texts(value, where)
            continue
        if field.is_repeated and not isinstance(value, list | None):
            raise invalid(where, "must be a list")
        for number, each in enumerate(value if field.is_repeated and isinstance(value, list) else [value]):
            place = f"{where}[{number}]" if field.is_repeated else where
            if inner is None and field.type == FieldDescriptor.TYPE_BYTES and not _is_base64(each):
                raise invalid(place, "must be base64")
            if inner is None or inner.file.package != PACKAGE or each is None:
                continue
            if not isinstance(each, dict):
                raise invalid(place, "must be an object")
            _check(each, inner, f"{place}.")


def _check_texts(value: object, where: str) -> None:
    """Raises Refused for what is no map. The contract has maps of texts alone."""
    if not isinstance(value, dict | None):
        raise invalid(where, "must be an object")
    if not all(isinstance(each, str) for each in (value or {}).values()):
        raise invalid(where, "must hold texts alone")


def _is_base64(value: object) -> bool:
    """Returns whether all of a text means something: the parser would pass over what does not."""
    if not isinstance(value, str):
        return value is None
    digits = value.rstrip("=")
    padded, whole = len(value) - len(digits), len(digits) % 4 != 1
    return padded <= 2 and whole and digits.isascii() and not digits.encode().translate(None, BASE64)


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
