"""Joins a service's methods to gRPC, one wrapper around each: bytes pass as they are, exceptions become statuses.

The wrapper stands at registration, so that a call pays for no interceptor chain. It re-raises CancelledError,
since grpc.aio leaks where a cancelled handler returns normally (grpc/grpc#43360).
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from inspect import iscoroutinefunction
from typing import TypeVar, cast

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from evergreen_server.jobs.provider import Fault
from evergreen_server.rpc.status import InvalidRequest, abort

M = TypeVar("M", bound=Message)
Context = grpc.aio.ServicerContext[object, object]
Read = Callable[[object], object]
Unary = Callable[[object, Context], Awaitable[object]]
Streaming = Callable[[object, Context], AsyncGenerator[object, None]]


def service_handler(descriptor: ServiceDescriptor, implementation: object) -> grpc.GenericRpcHandler:
    """Builds the handler of a whole service; `implementation` has a method for each of the service's."""
    handlers = {
        method.name: _method_handler(method, getattr(implementation, method.name)) for method in descriptor.methods
    }
    return grpc.method_handlers_generic_handler(descriptor.full_name, handlers)


def _method_handler(method: MethodDescriptor, behaviour: object) -> "grpc.RpcMethodHandler[object, object]":
    make = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[method.client_streaming, method.server_streaming]
    # A message is read within the wrapper, since grpc would answer UNKNOWN to bytes that are none. Those of a stream
    # are read by the behaviour.
    read = _as_it_is if method.client_streaming else partial(read_message, GetMessageClass(method.input_type))
    # A behaviour that is a coroutine answers, or writes its stream to the context, by itself.
    return make(
        _unary(cast(Unary, behaviour), read)
        if iscoroutinefunction(behaviour)
        else _streaming(cast(Streaming, behaviour), read),
        request_deserializer=None,
        response_serializer=_serialize,
    )


def _as_it_is(messages: object) -> object:
    return messages


def read_message(kind: type[M], data: object) -> M:
    """Reads a message. Raises InvalidRequest."""
    try:
        return kind.FromString(cast(bytes, data))
    except DecodeError:
        text = "not a message of this call; the client's contract may be another than the server's"
        raise InvalidRequest([Fault(field="", description=text)]) from None


def _serialize(response: object) -> bytes:
    return response if isinstance(response, bytes) else cast(Message, response).SerializeToString()


def _unary(behaviour: Unary, read: Read) -> Unary:
    async def call(request: object, context: Context) -> object:
        try:
            return await behaviour(read(request), context)
        except (asyncio.CancelledError, grpc.aio.AbortError):
            raise
        except Exception as exc:
            await abort(context, exc)
            raise

    return call


def _streaming(behaviour: Streaming, read: Read) -> Callable[[object, Context], Awaitable[None]]:
    # Written, not yielded: a call that is cancelled while it sends then closes the behaviour at once, and in here.
    async def call(request: object, context: Context) -> None:
        try:
            async with aclosing(behaviour(read(request), context)) as responses:
                async for response in responses:
                    await context.write(response)
        except (asyncio.CancelledError, grpc.aio.AbortError):
            raise
        except Exception as exc:
            await abort(context, exc)

    return call
