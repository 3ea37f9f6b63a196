"""Messages as JSON for programs to reckon with: numbers are numbers, zeros are there, states are words of options."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

_WELL_KNOWN = "google.protobuf."


def json_line(message: Message) -> str:
    """Returns a message as one line."""
    return json.dumps(as_dict(message), ensure_ascii=False)


def as_dict(message: Message) -> Any:
    """Returns a message with the contract's field names.

    Zeros, empty texts and empty lists are there; what the message does not say (a message, an optional number) is left
    out. An enum's value is its name in lower case without the enum's prefix, empty if unspecified, its number if it is
    newer than this client. 64-bit numbers are numbers.
    """
    if message.DESCRIPTOR.full_name.startswith(_WELL_KNOWN):
        return MessageToDict(message)
    return {
        field.name: _value(field, getattr(message, field.name))
        for field in message.DESCRIPTOR.fields
        if not field.has_presence or message.HasField(field.name)
    }


def word(enum: EnumDescriptor, value: int) -> str | int:
    """Returns the word for a value of an enum."""
    found = enum.values_by_number.get(value)
    if found is None:
        return value
    if not value:
        return ""
    return found.name.removeprefix(enum.values_by_number[0].name.removesuffix("UNSPECIFIED")).lower()


def _value(field: Any, value: Any) -> Any:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        entry: Mapping[Any, Any] = value
        kind = field.message_type.fields_by_name["value"]
        return {str(key): _one(kind, each) for key, each in sorted(entry.items())}
    if field.is_repeated:
        several: Sequence[Any] = value
        return [_one(field, each) for each in several]
    return _one(field, value)


def _one(field: Any, value: Any) -> Any:
    if field.message_type is not None:
        return as_dict(value)
    if field.enum_type is not None:
        return word(field.enum_type, value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value
