"""Reads requests of REST: a path, a query and a body become one message; what none of them may say is refused."""

import hashlib
from collections.abc import Mapping
from typing import TypeVar, cast

import grpc
from aiohttp import web
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from evergreen_server.gateway.bodies import JSON_BYTES, read_body, refuse_compression
from evergreen_server.gateway.messages import read_document, read_object
from evergreen_server.gateway.places import Places
from evergreen_server.gateway.problems import invalid, refused
from evergreen_server.gateway.rest.routes import Binding
from evergreen_server.gateway.visitors import malformed, only

__all__ = [
    "SWITCHES",
    "idempotency_key",
    "json_body",
    "matches",
    "message_of",
    "path_of",
    "refuse_body",
    "tag_of_bytes",
]

M = TypeVar("M", bound=Message)
KEY = "Idempotency-Key"
SWITCHES = {"": True, "true": True, "false": False}
"""`?force` is `?force=true`."""


async def message_of(request: web.Request, binding: Binding, kind: type[M], places: Places) -> M:
    """Returns the message of a request. Raises Refused."""
    described = cast(Descriptor, kind.DESCRIPTOR)
    fields = {name: field for field in described.fields for name in (field.name, field.json_name)}
    if binding.in_query:
        refuse_body(request)
        document = _query(request, fields)
    else:
        if unknown := sorted(request.query):
            raise invalid(_shown(unknown[0]), "this call takes nothing in its query")
        document = await json_body(request, places)
    for name, value in path_of(request, binding).items():
        _set(document, fields[name], value, "the path")
    if "request_id" in fields and (key := idempotency_key(request)):
        _set(document, fields["request_id"], key, KEY)
    return read_document(kind, document)


def idempotency_key(request: web.Request) -> str:
    """Returns the id of a request in its head, empty if it has none. Raises Refused if it came twice."""
    # Some write it in quotes, as a structured field.
    return only(request, KEY).removeprefix('"').removesuffix('"')


def path_of(request: web.Request, binding: Binding) -> dict[str, str]:
    """Returns the fields that are in the path, by their JSON names."""
    found = {name: request.match_info[name] for name in binding.variables}
    if "folder" in found:
        found["path"] = f"{found.pop('folder')}/{found.pop('name')}"
    return found


async def json_body(request: web.Request, places: Places) -> dict[str, object]:
    """Returns the object in the body, an empty one if there is no body. Raises Refused."""
    refuse_compression(request)
    kind, _, parameter = only(request, "Content-Type").lower().partition(";")
    typed = kind.strip() == "application/json" and parameter.replace('"', "").strip() in ("", "charset=utf-8")
    if request.body_exists and not typed:
        raise refused(
            grpc.StatusCode.UNIMPLEMENTED,
            "CONTENT_TYPE_UNSUPPORTED",
            message="this call takes application/json",
            status=415,
            headers={"Accept-Post": "application/json"},
        )
    return read_object(await read_body(request, JSON_BYTES, places))


def refuse_body(request: web.Request) -> None:
    """Raises Refused for a body where nothing would read it."""
    if request.body_exists:
        raise malformed(f"a {request.method} takes no body here")


def matches(request: web.Request, tag: str) -> bool:
    """Returns whether the caller has what this ETag names."""
    tags = [each.strip() for line in request.headers.getall("If-None-Match", []) for each in line.split(",")]
    return tag.removeprefix("W/") in (each.removeprefix("W/") for each in tags) or "*" in tags


def tag_of_bytes(body: bytes) -> str:
    """Returns the ETag of a body: a digest of it."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def _query(request: web.Request, fields: Mapping[str, FieldDescriptor]) -> dict[str, object]:
    document: dict[str, object] = {}
    for name in dict.fromkeys(request.query):
        plain, _, key = name.partition(".")
        field = fields.get(plain)
        is_map = field is not None and field.message_type is not None and field.message_type.GetOptions().map_entry
        if field is None or bool(key) is not is_map:
            raise invalid(_shown(name), "this call has no such parameter")
        values = request.query.getall(name)
        if is_map:
            entries = document.setdefault(plain, {})
            assert isinstance(entries, dict)
            entries[key] = _single(name, values)
        elif field.is_repeated:
            document[plain] = values
        elif field.type == FieldDescriptor.TYPE_BOOL:
            value = _single(name, values)
            if value not in SWITCHES:
                raise invalid(field.json_name, "must be true or false")
            document[plain] = SWITCHES[value]
        else:
            document[plain] = _single(name, values)
    return document


def _single(name: str, values: list[str]) -> str:
    if len(values) > 1:
        raise invalid(_shown(name), f"came {len(values)} times")
    return values[0]


def _set(document: dict[str, object], field: FieldDescriptor, value: str, where: str) -> None:
    """Sets a field that the document may say as well, if it says the same."""
    for name in {field.name, field.json_name} & document.keys():
        if document.pop(name) != value:
            raise invalid(field.json_name, f"is another than in {where}")
    document[field.json_name] = value


def _shown(name: str) -> str:
    return name[:100].encode(errors="replace").decode()
