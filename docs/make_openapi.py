"""Writes the OpenAPI 3.1 document of the gateway, from the contract with its comments and the table of bindings.

Run by `make docs`. The argument is the path of the descriptor set; the document goes to stdout.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)

from evergreen_server.gateway.rest.routes import BINDINGS, ROOT, Binding, By

Schema = dict[str, object]
Place = tuple[int, ...]

# Numbers of the fields in descriptor.proto, of which the paths of comments are made.
MESSAGE, ENUM, SERVICE = 4, 5, 6
METHOD = FIELD = ENUM_VALUE = 2

Type = FieldDescriptorProto.Type
SCALARS: Mapping[int, Schema] = {
    Type.TYPE_STRING: {"type": "string"},
    Type.TYPE_BOOL: {"type": "boolean"},
    Type.TYPE_DOUBLE: {"type": "number"},
    Type.TYPE_INT32: {"type": "integer", "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1},
    Type.TYPE_FIXED32: {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
    Type.TYPE_INT64: {"type": "string", "format": "int64", "pattern": "^-?[0-9]{1,19}$"},
    Type.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
}
KNOWN: Mapping[str, Schema] = {
    ".google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    ".google.protobuf.Duration": {"type": "string", "pattern": "^-?[0-9]+(\\.[0-9]+)?s$"},
    ".google.protobuf.Struct": {"type": "object"},
}
PROBLEM: Schema = {
    "type": "object",
    "description": "What is wrong with a request; see docs/errors.md for the reasons.",
    "properties": {
        "type": {"type": "string", "description": "`urn:evergreen:` and the reason."},
        "title": {"type": "string"},
        "status": {"type": "integer", "description": "The status of HTTP."},
        "detail": {"type": "string", "description": "For people."},
        "code": {"type": "string", "description": "The code of gRPC, such as `NOT_FOUND`."},
        "reason": {"type": "string", "description": "The stable word to go by."},
        "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
        "errors": {
            "type": "array",
            "description": "What is wrong, by field.",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "detail": {"type": "string"}},
                "required": ["field", "detail"],
            },
        },
        "requestId": {"type": "string"},
    },
    "required": ["type", "title", "status", "detail", "code", "requestId"],
}
KEY: Schema = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Stands for `requestId`. One of them is required; if both come, they must be the same.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,128}$"},
}
EVENT_PARAMETERS: Sequence[Schema] = (
    {
        "name": "after",
        "in": "query",
        "description": "The last revision that was seen.",
        "schema": {"type": "string", "pattern": "^[0-9]{1,19}$"},
    },
    {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "As `after`, and wins over it.",
        "schema": {"type": "string"},
    },
)
ID: Schema = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"}
PROJECT_PARAMETERS: Sequence[Schema] = (
    {
        "name": "job",
        "in": "query",
        "description": "These jobs only; ends when all have ended.",
        "schema": {"type": "array", "items": {"type": "string", "format": "uuid"}},
    },
    {
        "name": "film",
        "in": "query",
        "description": "These films only, and the jobs that are named; ends when all have ended.",
        "schema": {"type": "array", "items": ID, "maxItems": 100},
    },
    {
        "name": "kind",
        "in": "query",
        "description": "Jobs that make one of these only.",
        "schema": {"type": "array", "items": {"$ref": "#/components/schemas/MediaKind"}},
    },
    {"name": "includeFilms", "in": "query", "description": "Films too.", "schema": {"type": "boolean"}},
    {
        "name": "includeFinished",
        "in": "query",
        "description": "First the jobs that have ended too.",
        "schema": {"type": "boolean"},
    },
)
UUID: Schema = {"type": "string", "format": "uuid"}
IN_PATHS: Mapping[str, Schema] = {
    **dict.fromkeys(("projectId", "sceneId", "filmId"), ID),
    **dict.fromkeys(("jobId", "webhookId"), UUID),
    "folder": {"type": "string", "enum": ["images", "audio", "videos", "metadata", "exports"]},
    "name": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"},
}
IN_NO_MESSAGE: Mapping[str, str] = {
    "folder": "The folder of the asset's path.",
    "name": "The name of the asset's path.",
    "projectId": "The project.",
    "sceneId": "The scene.",
    "jobId": "The job.",
    "filmId": "The film.",
}
BYTES: Schema = {"*/*": {"schema": {}}}


class Contract:
    """The contract's elements by their full names, each with its comment."""

    def __init__(self, files: FileDescriptorSet) -> None:
        self.methods: dict[str, tuple[MethodDescriptorProto, str]] = {}
        self.messages: dict[str, tuple[DescriptorProto, str, list[str]]] = {}
        self.enums: dict[str, tuple[EnumDescriptorProto, str, list[str]]] = {}
        for file in files.file:
            comments = {tuple(found.path): _plain(found.leading_comments) for found in file.source_code_info.location}
            for at, service in enumerate(file.service):
                for number, method in enumerate(service.method):
                    text = comments[SERVICE, at, METHOD, number]
                    self.methods[f"{service.name}/{method.name}"] = method, text
            for at, message in enumerate(file.message_type):
                texts = [comments[MESSAGE, at, FIELD, number] for number in range(len(message.field))]
                self.messages[f".{file.package}.{message.name}"] = message, comments[MESSAGE, at], texts
            for at, enum in enumerate(file.enum_type):
                texts = [comments[ENUM, at, ENUM_VALUE, number] for number in range(len(enum.value))]
                self.enums[f".{file.package}.{enum.name}"] = enum, comments[ENUM, at], texts


class Document:
    """Renders bindings, and collects the schemas that they need."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._schemas: dict[str, Schema] = {"Problem": PROBLEM}

    def whole(self) -> Schema:
        """Returns the document."""
        paths: dict[str, dict[str, object]] = {}
        for binding in BINDINGS:
            paths.setdefault(binding.path, {})[binding.verb.lower()] = self._operation(binding)
        return {
            "openapi": "3.1.0",
            "info": {
                "title": "Evergreen",
                "version": "v1",
                "summary": "Video generation that never loses a paid task.",
                "description": "The contract `evergreen.v1` over HTTP. Names are read in both spellings, `jobId` and "
                "`job_id`; members that a message does not have are refused.",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": ROOT}],
            "security": [{"token": []}, {}],
            "tags": [{"name": name} for name in dict.fromkeys(binding.call.partition("/")[0] for binding in BINDINGS)],
            "paths": paths,
            "components": {
                "schemas": dict(sorted(self._schemas.items())),
                "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
                "responses": {
                    "Problem": {
                        "description": "What is wrong.",
                        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
                    }
                },
            },
        }

    def _operation(self, binding: Binding) -> Schema:
        method, text = self._contract.methods[binding.call]
        message, _, texts = self._contract.messages[method.input_type]
        fields = {field.json_name: (field, each) for field, each in zip(message.field, texts, strict=True)}
        parameters = [self._in_path(name, fields) for name in binding.variables]
        operation: Schema = {
            "operationId": _operation_id(binding),
            "tags": [binding.call.partition("/")[0]],
            "summary": re.split(r"(?<=\.)\s", text, maxsplit=1)[0],
            "description": text,
            "parameters": parameters,
        }
        match binding.by:
            case By.EVENTS:
                parameters.extend(EVENT_PARAMETERS)
                if not {"jobId", "filmId"} & {*binding.variables}:
                    parameters.extend(PROJECT_PARAMETERS)
                operation["responses"] = _events()
            case By.FILES if binding.verb == "PUT":
                parameters.extend(_upload_parameters())
                operation["requestBody"] = {"description": "The file.", "required": True, "content": BYTES}
                operation["responses"] = self._answers(binding, method)
            case By.FILES:
                parameters.extend(_download_parameters())
                operation["responses"] = _download()
            case By.CALL:
                held = {*binding.variables, *(("path",) if "folder" in binding.variables else ())}
                rest = {name: each for name, each in fields.items() if name not in held}
                if binding.in_query:
                    parameters.extend(self._in_query(name, *each) for name, each in rest.items())
                else:
                    operation["requestBody"] = self._body(rest)
                    if "requestId" in rest:
                        parameters.append(KEY)
                if binding.tagged:
                    parameters.append(_header("If-None-Match", "Answers 304 if this is still the `ETag`."))
                operation["responses"] = self._answers(binding, method)
        return operation

    def _in_path(self, name: str, fields: Mapping[str, tuple[FieldDescriptorProto, str]]) -> Schema:
        text = fields[name][1] if name in fields else IN_NO_MESSAGE[name]
        return {"name": name, "in": "path", "required": True, "description": text, "schema": dict(IN_PATHS[name])}

    def _in_query(self, name: str, field: FieldDescriptorProto, text: str) -> Schema:
        parameter: Schema = {"name": name, "in": "query", "description": text, "schema": self._field(field)}
        if "Required." in text:
            parameter["required"] = True
        if field.type_name in self._maps(field):
            # Each entry by its own name: `labels.take=2`.
            parameter |= {"name": f"{name}.{{key}}", "schema": {"type": "string"}}
        return parameter

    def _maps(self, field: FieldDescriptorProto) -> set[str]:
        return {field.type_name} if field.type_name and field.type_name.endswith("Entry") else set()

    def _body(self, fields: Mapping[str, tuple[FieldDescriptorProto, str]]) -> Schema:
        properties = {name: self._described(field, text) for name, (field, text) in fields.items()}
        required = [name for name, (_, text) in fields.items() if "Required." in text and name != "requestId"]
        schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
        if required:
            schema["required"] = required
        return {"required": bool(required), "content": {"application/json": {"schema": schema}}}

    def _answers(self, binding: Binding, method: MethodDescriptorProto) -> Schema:
        content = {"application/json": {"schema": self._ref(method.output_type)}}
        answers: Schema = {"default": {"$ref": "#/components/responses/Problem"}}
        link = {"Location": {"description": "The path of what was made.", "schema": {"type": "string"}}}
        tag = {"ETag": {"description": "Changes with the answer.", "schema": {"type": "string"}}}
        message, _, _ = self._contract.messages[method.output_type]
        if "known" in (field.name for field in message.field):
            answers["201"] = {"description": "It was made.", "headers": link, "content": content}
            text = "It was there already, or nothing was to be made (`validateOnly`)."
            answers["200"] = {"description": text, "content": content}
        elif binding.by is By.FILES:
            answers["201"] = {"description": "The file is stored.", "headers": link | tag, "content": content}
        else:
            answers["200"] = {"description": "The answer.", "content": content}
            if binding.tagged:
                answers["200"] = {"description": "The answer.", "headers": tag, "content": content}
                answers["304"] = {"description": "It is as it was."}
        return dict(sorted(answers.items()))

    def _described(self, field: FieldDescriptorProto, text: str) -> Schema:
        return {**self._field(field), "description": text}

    def _field(self, field: FieldDescriptorProto) -> Schema:
        if self._maps(field):
            # The contract has maps of texts alone.
            return {"type": "object", "additionalProperties": {"type": "string"}}
        schema = self._ref(field.type_name) if field.type_name else SCALARS[field.type]
        repeated = field.label == FieldDescriptorProto.LABEL_REPEATED
        return {"type": "array", "items": schema} if repeated else dict(schema)

    def _ref(self, full_name: str) -> Schema:
        if full_name in KNOWN:
            return dict(KNOWN[full_name])
        name = full_name.rpartition(".")[2]
        if name not in self._schemas:
            # Known from now on, also to what it holds.
            self._schemas[name] = {}
            self._schemas[name] = dict(
                self._enum(full_name) if full_name in self._contract.enums else self._message(full_name)
            )
        return {"$ref": f"#/components/schemas/{name}"}

    def _message(self, full_name: str) -> Schema:
        message, text, texts = self._contract.messages[full_name]
        properties = {
            field.json_name: self._described(field, text) for field, text in zip(message.field, texts, strict=True)
        }
        return {"type": "object", "description": text, "properties": properties}

    def _enum(self, full_name: str) -> Schema:
        enum, text, texts = self._contract.enums[full_name]
        values = "\n".join(f"* `{value.name}`: {text}" for value, text in zip(enum.value, texts, strict=True))
        return {"type": "string", "description": f"{text}\n\n{values}", "enum": [value.name for value in enum.value]}


def _operation_id(binding: Binding) -> str:
    name = binding.call.partition("/")[2]
    if name == "WatchProgress":
        names = {"jobId": "WatchVideo", "filmId": "WatchFilm"}
        name = next((names[each] for each in binding.variables if each in names), "WatchProject")
    return name[0].lower() + name[1:]


def _header(name: str, text: str) -> Schema:
    return {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}


def _events() -> Schema:
    kinds = {kind: {"schema": {"type": "string"}} for kind in ("text/event-stream", "application/x-ndjson")}
    return {
        "200": {"description": "Events as they come; see docs/http.md.", "content": kinds},
        "204": {"description": "All that was named had ended, and the ends were seen."},
        "default": {"$ref": "#/components/responses/Problem"},
    }


def _upload_parameters() -> Iterator[Schema]:
    text = "Whether an existing file with this path may be replaced."
    yield {"name": "overwrite", "in": "query", "description": text, "schema": {"type": "boolean"}}
    text = "The CRC32C (Castagnoli) of the body. If set, any other body is refused."
    yield {"name": "x-evergreen-crc32c", "in": "header", "description": text, "schema": SCALARS[Type.TYPE_FIXED32]}


def _download_parameters() -> Iterator[Schema]:
    text = "A thumbnail in JPEG instead, 160, 320, 640 or 1280 pixels wide, whichever is next."
    schema = {"type": "integer", "minimum": 1, "maximum": 1280}
    yield {"name": "w", "in": "query", "description": text, "schema": schema}
    text = "Answers 302 to a URL of the storage, if that can sign one; for 15 minutes whoever has it can read the file."
    yield {"name": "redirect", "in": "query", "description": text, "schema": {"type": "integer", "enum": [1]}}
    yield _header("Range", "One range of bytes.")
    yield _header("If-Range", "The range only if this is still the `ETag`.")
    yield _header("If-None-Match", "Answers 304 if this is still the `ETag`.")


def _download() -> Schema:
    return {
        "200": {"description": "The file.", "content": BYTES},
        "206": {"description": "The range that was asked for, or its beginning.", "content": BYTES},
        "302": {"description": "The file is at the storage's own URL."},
        "304": {"description": "It is as it was."},
        "default": {"$ref": "#/components/responses/Problem"},
    }


def _plain(comment: str) -> str:
    return "\n".join(line.removeprefix(" ") for line in comment.splitlines()).strip("\n")


if __name__ == "__main__":
    contract = Contract(FileDescriptorSet.FromString(Path(sys.argv[1]).read_bytes()))
    text = json.dumps(Document(contract).whole(), indent=1, ensure_ascii=False)
    sys.stdout.buffer.write(text.encode() + b"\n")
