"""Checks a message before anything else: how many parts it has, and that its texts can be stored.

A short message without a zero byte needs neither check: it can hold neither too many parts nor U+0000.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import cast

from google.protobuf.message import Message

from evergreen_server.ports.specs import FieldError

MOST_ITEMS = 1024
"""Of one list or map. Fewer are allowed anyway; up to here the errors of each item are reported."""
MOST_PARTS = 4000
"""Of one field: its items and everything in them, at any depth."""
LONGEST_KEY = 63
ZERO = "\0"


def part_errors(message: Message, data: bytes) -> list[FieldError]:
    """Returns the fields with too many parts, else the texts with U+0000; `data` is the message as received."""
    if len(data) > MOST_ITEMS and (field_errors := list(_too_many(message))):
        return field_errors
    if ZERO.encode() not in data:
        return []
    text = "must not have the character U+0000"
    return [FieldError(field=path, description=text) for path, value in _texts(message, "") if ZERO in value]


def _too_many(message: Message) -> Iterator[FieldError]:
    """Yields the fields with too many items, or too many values in them; stops counting at the bounds."""
    for field, value in message.ListFields():
        if len(_items(value)) > MOST_ITEMS:
            yield FieldError(field=field.name, description=f"at most {MOST_ITEMS} items")
            continue
        left, count = [value], 0
        while left and count <= MOST_PARTS:
            items = _items(left.pop())
            count += len(items)
            if count <= MOST_PARTS:
                left += items
        if count > MOST_PARTS:
            yield FieldError(field=field.name, description=f"at most {MOST_PARTS} values in all")


def _items(value: object) -> Collection[object]:
    """Returns the items of a field's value: none, if it is a plain one."""
    if isinstance(value, Message):
        fields = value.ListFields()
        # A Struct and the like are messages of one list or map.
        return _items(fields[0][1]) if len(fields) == 1 else [item for _, item in fields]
    if isinstance(value, Mapping):
        return cast(Collection[object], value.values())
    return () if isinstance(value, str | bytes | int | float) else cast(Collection[object], value)


def _texts(value: object, path: str, key_form: str = "[{}]") -> Iterator[tuple[str, str]]:
    """Yields every text in a message, including the keys of its maps, each with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Message):
        # The fields of a Struct have names that no caller knows.
        known = value.DESCRIPTOR.file.package != "google.protobuf"
        for field, item in value.ListFields():
            yield from (
                _texts(item, f"{path}.{field.name}".removeprefix("."), "[{}]") if known else _texts(item, path, ".{}")
            )
    elif isinstance(value, Mapping):
        for key, item in value.items():
            at = path + key_form.format(str(key)[:LONGEST_KEY].replace(ZERO, "\\0"))
            if isinstance(key, str):
                yield at, key
            yield from _texts(item, at)
    elif not isinstance(value, bytes | int | float):
        for number, item in enumerate(cast(Collection[object], value)):
            yield from _texts(item, f"{path}[{number}]")
