"""Writes the API reference in Markdown, from a descriptor set of the contract that includes its comments.

Run by `make docs`. The argument is the path of the descriptor set; the page goes to stdout.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)

HEAD = """# API reference: `evergreen.v1`

<!-- Generated from the comments in protos/evergreen/v1 by `make docs`. Edit those, not this file. -->

[errors.md](errors.md) explains each error reason and what to do about it. [watching.md](watching.md) explains how
to watch and how to resume.
"""

# Numbers of the fields in descriptor.proto, of which the paths of comments are made.
MESSAGE, ENUM, SERVICE = 4, 5, 6
METHOD = FIELD = ENUM_VALUE = 2
ONEOF = 8

Place = tuple[int, ...]


class Page:
    """Renders one file of the contract as lines of Markdown, each kind of element in the order of the file."""

    def __init__(self, file: FileDescriptorProto, known: frozenset[str]) -> None:
        self._file = file
        self._known = known
        self._comments: Mapping[Place, str] = {
            tuple(found.path): "\n".join(line.removeprefix(" ") for line in found.leading_comments.splitlines())
            for found in file.source_code_info.location
        }

    def services(self) -> Iterator[str]:
        for number, service in enumerate(self._file.service):
            yield from self._service(service, (SERVICE, number))

    def messages(self) -> Iterator[str]:
        for number, message in enumerate(self._file.message_type):
            yield from self._message(message, (MESSAGE, number))

    def enums(self) -> Iterator[str]:
        for number, enum in enumerate(self._file.enum_type):
            yield from self._enum(enum, (ENUM, number))

    def _service(self, service: ServiceDescriptorProto, place: Place) -> Iterator[str]:
        yield from ("", f"## {service.name}", "", self._comment(place))
        for number, method in enumerate(service.method):
            yield from ("", f"### {method.name}", "", _signature(method), "", self._comment((*place, METHOD, number)))

    def _message(self, message: DescriptorProto, place: Place) -> Iterator[str]:
        yield from ("", f"### {message.name}", "", self._comment(place), "")
        maps = {entry.name: entry for entry in message.nested_type if entry.options.map_entry}
        shown = set[int]()
        for number, field in enumerate(message.field):
            where = (*place, FIELD, number)
            if not field.HasField("oneof_index") or field.proto3_optional:
                yield from self._item(f"`{field.name}`", _type(field, maps), where)
                continue
            if field.oneof_index not in shown:
                shown.add(field.oneof_index)
                oneof = message.oneof_decl[field.oneof_index].name
                yield from self._item(f"`{oneof}`", "one of the following", (*place, ONEOF, field.oneof_index))
            yield from (
                f"  {line}" if line else "" for line in self._item(f"`{field.name}`", _type(field, maps), where)
            )
        if not message.field:
            yield "No fields."

    def _enum(self, enum: EnumDescriptorProto, place: Place) -> Iterator[str]:
        yield from ("", f"### {enum.name}", "", self._comment(place), "")
        for number, value in enumerate(enum.value):
            yield from self._item(f"`{value.name}`", str(value.number), (*place, ENUM_VALUE, number))

    def _item(self, name: str, kind: str, place: Place) -> Iterator[str]:
        """Yields one list entry; the lines after the first are indented so that they stay part of it."""
        first, *others = f"- **{name}** ({kind}): {self._comment(place)}".splitlines()
        yield first
        yield from (f"  {line}" if line else "" for line in others)

    def _comment(self, place: Place) -> str:
        return re.sub(r"`(?:\w+\.)?(\w+)`", self._link, self._comments[place].strip("\n"))

    def _link(self, found: re.Match[str]) -> str:
        return f"[{found[0]}](#{found[1].lower()})" if found[1] in self._known else found[0]


def _signature(method: MethodDescriptorProto) -> str:
    request, response = _linked(method.input_type), _linked(method.output_type)
    if method.client_streaming:
        request = f"stream of {request}"
    if method.server_streaming:
        response = f"stream of {response}"
    return f"{request} → {response}"


def _type(field: FieldDescriptorProto, maps: Mapping[str, DescriptorProto]) -> str:
    entry = maps.get(field.type_name.rpartition(".")[2])
    if entry is not None:
        key, value = entry.field
        return f"map of {_type(key, {})} to {_type(value, {})}"
    name = _linked(field.type_name) if field.type_name else FieldDescriptorProto.Type.Name(field.type)[5:].lower()
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return f"repeated {name}"
    return f"optional {name}" if field.proto3_optional else name


def _linked(full_name: str) -> str:
    name = full_name.rpartition(".")[2]
    if full_name.startswith(".google.protobuf."):
        return f"`{full_name[1:]}`"
    return f"[{name}](#{name.lower()})"


def reference(files: Sequence[FileDescriptorProto]) -> str:
    """Returns the page. Every element must have a comment; the contract's lint enforces that."""
    messages = sorted(message.name for file in files for message in file.message_type)
    enums = sorted(enum.name for file in files for enum in file.enum_type)
    methods = {service.name: [method.name for method in service.method] for file in files for service in file.service}
    pages = [Page(file, frozenset((*messages, *enums, *methods, *chain(*methods.values())))) for file in files]
    return "\n".join(
        (
            HEAD,
            *(f"- [{service}](#{service.lower()}): {_links(names)}" for service, names in methods.items()),
            f"- [Messages](#messages): {_links(messages)}",
            f"- [Enums](#enums): {_links(enums)}",
            *chain.from_iterable(page.services() for page in pages),
            "\n## Messages",
            *chain.from_iterable(page.messages() for page in pages),
            "\n## Enums",
            *chain.from_iterable(page.enums() for page in pages),
            "",
        )
    )


def _links(names: Iterable[str]) -> str:
    return ", ".join(f"[{name}](#{name.lower()})" for name in names)


if __name__ == "__main__":
    descriptors = FileDescriptorSet.FromString(Path(sys.argv[1]).read_bytes())
    sys.stdout.buffer.write(reference(descriptors.file).encode())
