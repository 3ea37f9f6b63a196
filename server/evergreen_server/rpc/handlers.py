"""Joins a service's methods to gRPC, one wrapper around each: bytes pass as they are, exceptions become statuses.

The wrapper stands at registration, so that a call pays for no interceptor chain. It re-raises CancelledError,
since grpc.aio leaks where a cancelled handler returns normally (grpc/grpc#43360).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import cast

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from evergreen_server.rpc.status import abort

Context = grpc.aio.ServicerContext[object, object]
Unary = Callable[[object, Context], Awaitable[object]]
Streaming = Callable[[object, Context], AsyncIterator[object]]


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
    wrapped = _streaming(cast(Streaming, behaviour)) if method.server_streaming else _unary(cast(Unary, behaviour))
    return make(
        wrapped,
        request_deserializer=GetMessageClass(method.input_type).FromString,
        response_serializer=_serialize,
    )


def _serialize(response: object) -> bytes:
    return response if isinstance(response, bytes) else cast(Message, response).SerializeToString()


def _unary(behaviour: Unary) -> Unary:
    async def call(request: object, context: Context) -> object:
        try:
            return await behaviour(request, context)
        except (asyncio.CancelledError, grpc.aio.AbortError):
            raise
        except Exception as exc:
            await abort(context, exc)
            raise

    return call


def _streaming(behaviour: Streaming) -> Streaming:
    async def call(request: object, context: Context) -> AsyncIterator[object]:
        try:
            async for response in behaviour(request, context):
                yield response
        except (asyncio.CancelledError, grpc.aio.AbortError, GeneratorExit):
            raise
        except Exception as exc:
            await abort(context, exc)

    return call
