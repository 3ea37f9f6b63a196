"""Registers a service's methods with gRPC, each in a wrapper that identifies the caller, passes bytes through, and
turns exceptions into statuses.

The wrapper is built at registration, so that a call pays for no interceptor chain. It re-raises CancelledError,
since grpc.aio leaks if a cancelled handler returns normally (grpc/grpc#43360).
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import TypeVar, cast

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from evergreen_server.ports.audit import Origin
from evergreen_server.ports.metrics import CallMeter, Calls, NullCalls
from evergreen_server.ports.specs import FieldError, InvalidRequest
from evergreen_server.ports.tracing import Tracer
from evergreen_server.rpc.access.origin import origin_of
from evergreen_server.rpc.access.policy import ANYONE, Access, Caller, Gate
from evergreen_server.rpc.arrivals import Arrivals
from evergreen_server.rpc.messages.judging import part_errors
from evergreen_server.rpc.status import abort, status_of
from evergreen_server.rpc.tracing import caller_trace, traced
from evergreen_server.rpc.trailers import Status
from evergreen_server.runtime.traces import current_trace

M = TypeVar("M", bound=Message)
Call = grpc.aio.ServicerContext[object, object]
Handler = Callable[[object, Call], Awaitable[object]]
Read = Callable[[object, Call], Awaitable[object]]


class Context:
    """What a method knows about its call."""

    __slots__ = ("_origin", "call", "caller")

    def __init__(self, caller: Caller, call: Call) -> None:
        self.caller = caller
        self.call = call
        self._origin: Origin | None = None

    @property
    def origin(self) -> Origin:
        """Returns whence the call comes: the same each time, and made only for a call that asks."""
        if self._origin is None:
            self._origin = origin_of(self.call, self.caller.name)
        return self._origin

    @property
    def traceparent(self) -> str:
        """Returns the span that the call is, or is part of; empty if of no trace."""
        return current_trace.get() or str(caller_trace(self.call) or "")


Refuse = Callable[[Origin, str, Exception, Status], None]
"""Takes note of a call of a method that ends with a status."""
Unary = Callable[[object, Context], Awaitable[object]]
Streaming = Callable[[object, Context], AsyncGenerator[object, None]]


def unnoticed(_origin: Origin, _method: str, _exc: Exception, _status: Status) -> None:
    """Takes no note of a refused call."""


@dataclass(frozen=True, slots=True)
class _Way:
    """The way into a method: who may take it, and who is told of those who may not."""

    gate: Gate
    refuse: Refuse


def service_handler(
    descriptor: ServiceDescriptor,
    implementation: object,
    access: Access,
    arrivals: Arrivals | None = None,
    calls: Calls | None = None,
    refuse: Refuse = unnoticed,
    tracer: Tracer | None = None,
) -> grpc.GenericRpcHandler:
    """Returns the handler of a whole service; `implementation` has a method for each of the service's."""
    arrivals, calls = arrivals or Arrivals(), calls or NullCalls()
    handlers = {
        method.name: _method_handler(
            method,
            getattr(implementation, method.name),
            _Way(Gate(access, f"{descriptor.full_name}.{method.name}"), refuse),
            arrivals,
            calls.of(f"{descriptor.name}.{method.name}", stream=method.client_streaming or method.server_streaming),
            tracer,
        )
        for method in descriptor.methods
    }
    return grpc.method_handlers_generic_handler(descriptor.full_name, handlers)


def _method_handler(
    method: MethodDescriptor,
    behaviour: object,
    way: _Way,
    arrivals: Arrivals,
    meter: CallMeter,
    tracer: Tracer | None,
) -> "grpc.RpcMethodHandler[object, object]":
    # Every request is registered as a stream. On the wire that is the same, but for a unary request whose message never
    # comes, or comes incomplete, gRPC would inform neither us nor, if the stream has ended, its caller.
    make = grpc.stream_stream_rpc_method_handler if method.server_streaming else grpc.stream_unary_rpc_method_handler
    # A message is parsed in the wrapper, since grpc would answer UNKNOWN to invalid bytes. The behaviour parses those
    # of a stream.
    read = _as_they_come if method.client_streaming else _first(arrivals, GetMessageClass(method.input_type))
    # A behaviour that is a coroutine returns the answer, or writes its stream to the call itself.
    if not iscoroutinefunction(behaviour):
        handler = _streaming(cast(Streaming, behaviour), read, way)
    elif method.server_streaming:
        handler = _writing(cast(Unary, behaviour), read, way)
    else:
        handler = _unary(cast(Unary, behaviour), read, way)
    handler = traced(_metered(handler, meter), tracer, method.containing_service.full_name, method.name, _code_of)
    return make(handler, request_deserializer=None, response_serializer=_serialize)


def _metered(handler: Handler, meter: CallMeter) -> Handler:
    async def handle(request: object, call: Call) -> object:
        began, code = time.perf_counter(), "OK"
        meter.began()
        try:
            return await handler(request, call)
        except BaseException as exc:
            code = _code_of(exc, call)
            raise
        finally:
            meter.ended(code, time.perf_counter() - began)

    return handle


def _code_of(exc: BaseException, call: Call) -> str:
    """Returns the code by which a call ends that an exception has left."""
    if isinstance(exc, asyncio.CancelledError):
        left = call.time_remaining()
        late = left is not None and left <= 0
        return (grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED).name
    # As `abort` has set it; what gRPC itself raises leaves none.
    set_by_us: object = call.code()
    return set_by_us.name if isinstance(set_by_us, grpc.StatusCode) else "UNKNOWN"


async def _as_they_come(messages: object, _call: Call) -> object:
    return messages


def _first(arrivals: Arrivals, kind: type[Message]) -> Read:
    async def read(_messages: object, call: Call) -> object:
        return read_message(kind, await arrivals.message(call))

    return read


def read_message(kind: type[M], data: object) -> M:
    """Parses a message. Raises InvalidRequest for invalid bytes, too many parts, and texts that cannot be stored."""
    try:
        message = kind.FromString(cast(bytes, data))
    except DecodeError:
        text = "not a message of this call; the client's contract may be another than the server's"
        raise InvalidRequest([FieldError(field="", description=text)]) from None
    if field_errors := part_errors(message, cast(bytes, data)):
        raise InvalidRequest(field_errors)
    return message


def _serialize(response: object) -> bytes:
    return response if isinstance(response, bytes) else cast(Message, response).SerializeToString()


def _unary(behaviour: Unary, read: Read, way: _Way) -> Handler:
    gate = way.gate

    async def handle(request: object, call: Call) -> object:
        context = Context(ANYONE, call)
        try:
            context.caller = caller = gate.identify(call)
            gate.admit(caller)
            message = await read(request, call)
            gate.check(caller, message)
            return await behaviour(message, context)
        except (asyncio.CancelledError, grpc.aio.AbortError, grpc.aio.UsageError):
            raise
        except grpc.aio.InternalError:
            raise _left() from None
        except Exception as exc:
            status = status_of(exc)
            way.refuse(context.origin, gate.method, exc, status)
            try:
                await abort(call, status)
            except grpc.aio.InternalError:
                raise _left() from None
            raise

    return handle


def _left() -> asyncio.CancelledError:
    """Returns what ends a call whose client left during a write: as quietly as a cancelled call."""
    return asyncio.CancelledError("the client has left")


def _writing(behaviour: Unary, read: Read, way: _Way) -> Handler:
    async def held(message: object, context: Context) -> object:
        async with way.gate.held(context.caller):
            return await behaviour(message, context)

    return _unary(held, read, way)


def _streaming(behaviour: Streaming, read: Read, way: _Way) -> Handler:
    # Written, not yielded: a call that is cancelled while it sends then closes the behaviour here, at once.
    async def write(message: object, context: Context) -> None:
        async with aclosing(behaviour(message, context)) as responses:
            async for response in responses:
                await context.call.write(response)

    return _writing(write, read, way)
