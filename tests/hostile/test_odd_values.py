"""Each field of each call of one message, set to what it cannot mean: an answer or a refusal, never a fault of ours.

The fields are read from the contract, so that none that comes later is left out.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest
import pytest_asyncio
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from evergreen.v1 import audit_pb2, film_pb2, scene_pb2, video_pb2, webhook_pb2
from tests.postgres import Postgres
from tests.rpc.test_webhooks import key_file
from tests.serving import Api, open_sandbox, other_request, request, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 30
STREAM_SECONDS = 0.3
"""After which a stream of events that has begun is left."""
MANY = 3000
DEEPEST = 4
FAULTS = frozenset(
    {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
)
TEXTS = ("\0", "a\0b", "\u202e\ufeff\uffff", "../../etc/passwd", "x" * 300_000)
WHOLE = (-1, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63), 2**64 - 1)
REAL = (float("nan"), float("inf"), float("-inf"), 1e308, -1e308, 5e-324)
BOUNDS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
TIMES = ((2**63 - 1, 0), (-(2**63), 0), (253_402_300_800, 0), (0, -1), (0, 2**31 - 1))
STRUCTS = ({"a": "\0"}, {"\0": 1}, {"a": 1e308}, {f"k{n}": n for n in range(MANY)}, {"a": [[[[]]]] * 99})
Change = tuple[str, Callable[[Any], object]]
"""What is changed, and how."""
METHODS: dict[str, MethodDescriptor] = {
    method.full_name.rpartition(".")[0] + "/" + method.name: method
    for module in (video_pb2, scene_pb2, film_pb2, audit_pb2, webhook_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
    if method.input_type.fields and not method.client_streaming
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> AsyncIterator[Api]:
    folder = tmp_path_factory.mktemp("odd")
    changes = {"EVERGREEN_DATABASE_URL": postgres.create(), "EVERGREEN_WEBHOOK_KEY_FILE": str(key_file(folder))}
    async with open_sandbox() as sandbox, serving(Path(folder) / "data", sandbox.url, **changes) as opened:
        yield opened


def values(field: FieldDescriptor) -> tuple[object, ...]:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING if field.type == FieldDescriptor.TYPE_BYTES:
            return (b"\0", bytes(3_000_000))
        case FieldDescriptor.CPPTYPE_STRING:
            return TEXTS
        case FieldDescriptor.CPPTYPE_ENUM:
            return (-1, 99, 2**31 - 1)
        case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
            return REAL
        case FieldDescriptor.CPPTYPE_BOOL:
            return (True,)
        case kind:
            least, most = BOUNDS[kind]
            return tuple(value for value in WHOLE if least <= value <= most)


def changes(kind: type[Message], depth: int = 0) -> Iterator[Change]:
    """Yields what may be done to a message of this kind, one thing at a time."""
    for field in kind.DESCRIPTOR.fields:
        name, inner = field.name, field.message_type
        if inner is None:
            yield from _of_values(field)
        elif inner.GetOptions().map_entry:
            for text in TEXTS:
                yield f"{name}[…]", lambda message, name=name, text=text: getattr(message, name).update({text: "v"})
                yield f"{name}: …", lambda message, name=name, text=text: getattr(message, name).update({"k": text})
            many = {f"k{number}": "v" for number in range(MANY)}
            yield f"{name}, many", lambda message, name=name, many=many: getattr(message, name).update(many)
        elif inner.full_name == "google.protobuf.Struct":
            for value in (
                {"a": "\0"},
                {"\0": 1},
                {"a": 1e308},
                {f"k{n}": n for n in range(MANY)},
                {"a": [[[[]]]] * 99},
            ):
                yield name, lambda message, name=name, value=value: getattr(message, name).update(value)
        elif inner.full_name == "google.protobuf.Timestamp":
            for seconds, nanos in TIMES:
                time = inner._concrete_class(seconds=seconds, nanos=nanos)
                yield name, lambda message, name=name, time=time: getattr(message, name).MergeFrom(time)
        elif field.is_repeated:
            yield f"{name}, many", lambda message, name=name: [getattr(message, name).add() for _ in range(MANY)]
            if depth < DEEPEST:
                for what, change in changes(GetMessageClass(inner), depth + 1):
                    yield f"{name}[].{what}", lambda message, name=name, change=change: change(_one(message, name))
        elif depth < DEEPEST:
            yield name, lambda message, name=name: getattr(message, name).SetInParent()
            for what, change in changes(GetMessageClass(inner), depth + 1):
                yield f"{name}.{what}", lambda message, name=name, change=change: change(getattr(message, name))


def _of_values(field: FieldDescriptor) -> Iterator[Change]:
    for value in values(field):
        if field.is_repeated:
            yield f"{field.name}[]", lambda message, value=value: getattr(message, field.name).append(value)
        else:
            yield field.name, lambda message, value=value: setattr(message, field.name, value)
    if field.is_repeated:
        yield f"{field.name}, many", lambda message: getattr(message, field.name).extend([values(field)[-1]] * 40)


def _one(message: Message, name: str) -> Message:
    """Returns the first of a list, which is added if there is none."""
    listed = getattr(message, name)
    return listed[0] if len(listed) else listed.add()


def right(kind: type[Message], job_id: str) -> Message:
    """Returns a message that is right, or at least names what is there."""
    name = kind.DESCRIPTOR.name
    start: Message = kind()
    if name == "GenerateVideoRequest":
        start = request(validate_only=True)
    elif name == "GenerateRequest":
        start = other_request("image", "a rocket", validate_only=True)
    usual = {"project_id": "film", "scene_id": "one", "film_id": "one", "job_id": job_id, "request_id": uuid4().hex}
    for field, value in {**usual, "path": "images/a.png", "script": "# One\n\nA rocket rises.\n"}.items():
        if field in kind.DESCRIPTOR.fields_by_name and not getattr(start, field):
            setattr(start, field, value)
    return start


@pytest.mark.parametrize("path", METHODS)
async def test_no_value_of_any_field_is_a_fault_of_the_service(api: Api, path: str) -> None:
    method = METHODS[path]
    kind = GetMessageClass(method.input_type)
    job_id = (await api.generate(prompt_text=path)).job_id
    faults: list[tuple[str, grpc.StatusCode, str]] = []
    tried = 0
    for what, change in changes(kind):
        message = right(kind, job_id)
        change(message)
        tried += 1
        try:
            await answered(api, method, message)
        except grpc.aio.AioRpcError as error:
            if error.code() in FAULTS:
                faults.append((what, error.code(), error.details() or ""))

    assert faults == []
    assert tried
    # Whatever was taken, others are answered.
    assert (await api.status(job_id)).job_id == job_id


async def answered(api: Api, method: MethodDescriptor, message: Message) -> None:
    path, data = f"/{method.containing_service.full_name}/{method.name}", message.SerializeToString()
    if not method.server_streaming:
        await api.channel.unary_unary(path)(data, timeout=SECONDS)
        return
    call = api.channel.unary_stream(path)(data, timeout=SECONDS)
    try:
        async with asyncio.timeout(STREAM_SECONDS):
            while await call.read() is not grpc.aio.EOF:
                pass
    except TimeoutError:
        pass
    finally:
        call.cancel()
