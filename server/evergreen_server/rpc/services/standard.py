"""The standard services, health and reflection, behind the same gate and error table as our own."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import TypeAlias, cast

from google.protobuf.descriptor import ServiceDescriptor
from grpc.aio import ServicerContext
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from evergreen_server.rpc.arrivals import Arrivals
from evergreen_server.rpc.handlers import Call, Context, read_message
from evergreen_server.rpc.streams import Streams

HEALTH = cast(ServiceDescriptor, health_pb2.DESCRIPTOR.services_by_name["Health"])
REFLECTION = cast(ServiceDescriptor, reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"])
Checked: TypeAlias = "ServicerContext[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse]"


class Health:
    """Reports whether the server, and each of its services, is serving."""

    def __init__(self, names: Sequence[str], watches: Streams) -> None:
        self._names = ("", *names)
        self._watches = watches
        self._servicer = health.aio.HealthServicer()

    async def set_serving(self, serving: bool) -> None:
        """Sets whether all are serving."""
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in self._names:
            await self._servicer.set(name, status)

    async def close(self) -> None:
        """Sets for good that none is serving."""
        await self._servicer.enter_graceful_shutdown()

    async def Check(self, message: health_pb2.HealthCheckRequest, context: Context) -> object:
        return await self._servicer.Check(message, _typed(context.call))

    async def List(self, _message: object, context: Context) -> object:
        checks = {name: health_pb2.HealthCheckRequest(service=name) for name in self._names}
        statuses = {name: await self._servicer.Check(check, _typed(context.call)) for name, check in checks.items()}
        return health_pb2.HealthListResponse(statuses=statuses)  # type: ignore[attr-defined]  # newer than its stubs

    async def Watch(self, message: health_pb2.HealthCheckRequest, context: Context) -> None:
        with self._watches.of(context.call.peer()):
            await self._servicer.Watch(message, _typed(context.call))


class Reflection:
    """Describes the services and their messages to tools."""

    def __init__(self, names: Sequence[str], arrivals: Arrivals) -> None:
        self._arrivals = arrivals
        self._servicer = reflection.aio.ReflectionServicer(names)

    async def ServerReflectionInfo(self, _messages: object, context: Context) -> AsyncGenerator[object, None]:
        async def requests() -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
            while (data := await self._arrivals.next(context.call)) is not None:
                yield read_message(reflection_pb2.ServerReflectionRequest, data)

        # Its type information calls it a coroutine; it is a generator.
        responses = cast(AsyncIterator[object], self._servicer.ServerReflectionInfo(requests(), context.call))
        async for response in responses:
            yield response


def _typed(call: Call) -> Checked:
    # grpc makes no difference between them.
    return cast(Checked, call)
