"""Connect and gRPC-Web: every method of our services that has one request, passed through byte by byte.

A caller that leaves cancels its call, and never a job: those live on the server whatever becomes of calls.
"""

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import grpc
from aiohttp import web
from aiohttp.typedefs import Handler
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from evergreen.v1 import audit_pb2, film_pb2, scene_pb2, video_pb2, webhook_pb2
from evergreen_server.gateway.bodies import JSON_BYTES, MESSAGE_BYTES, read_body, refuse_compression
from evergreen_server.gateway.messages import read_json, to_json
from evergreen_server.gateway.places import Places
from evergreen_server.gateway.problems import Fault, Refused, fault_of, internal, refused
from evergreen_server.gateway.readers import taken
from evergreen_server.gateway.upstream import Upstream
from evergreen_server.gateway.visitors import visitor_of
from evergreen_server.gateway.wires import (
    HEAD,
    Wire,
    connect_error,
    end_of_stream,
    envelope,
    only_message,
    seconds_of,
    wire_of,
)

__all__ = ["Bridge", "Method", "methods"]

CALL_SECONDS = 300.0
"""The longest that a call with one answer may take, also where its caller names no limit."""
FILES: Sequence[FileDescriptor] = tuple(
    module.DESCRIPTOR for module in (video_pb2, scene_pb2, film_pb2, webhook_pb2, audit_pb2)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A method as the gateway knows it. `endless`: its stream has checkpoints, so it can be resumed."""

    path: str
    request: type[Message]
    response: type[Message]
    streaming: bool
    uploading: bool
    endless: bool

    @classmethod
    def of(cls, method: MethodDescriptor) -> "Method":
        return cls(
            path=f"/{method.containing_service.full_name}/{method.name}",
            request=GetMessageClass(method.input_type),
            response=GetMessageClass(method.output_type),
            streaming=method.server_streaming,
            uploading=method.client_streaming,
            endless=method.server_streaming and {"checkpoint", "revision"} <= set(method.output_type.fields_by_name),
        )


def methods() -> Mapping[str, Method]:
    """Returns every method of our services by its path."""
    described = (method for file in FILES for service in file.services_by_name.values() for method in service.methods)
    return {method.path: method for method in map(Method.of, described)}


class Bridge:
    """The handlers of all methods. Used on one loop."""

    def __init__(self, *, upstream: Upstream, places: Places, stall_seconds: float) -> None:
        self._upstream = upstream
        self._places = places
        self._stall_seconds = stall_seconds
        self._watches: set[_Watch] = set()
        self._draining = False

    def routes(self) -> Iterable[web.RouteDef]:
        """Returns a route for each method."""
        for path, method in methods().items():
            yield web.post(path, self._handler(method))

    def drain(self) -> None:
        """Ends all watches, each with its checkpoint."""
        self._draining = True
        for watch in self._watches:
            watch.end()

    def _handler(self, method: Method) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            if method.uploading:
                raise refused(
                    grpc.StatusCode.UNIMPLEMENTED,
                    "STREAM_UNSUPPORTED",
                    message="no browser can stream a request; this method is for gRPC alone",
                )
            wire = wire_of(request, streaming=method.streaming)
            if method.streaming:
                return await self._stream(request, method, wire)
            return await self._call(request, method, wire)

        return handle

    async def _call(self, request: web.Request, method: Method, wire: Wire) -> web.StreamResponse:
        fault, answer = None, b""
        try:
            seconds, message = await self._asked(request, method, wire)
            visitor = visitor_of(request)
            bound = CALL_SECONDS if seconds is None else min(seconds, CALL_SECONDS)
            async with self._places.call(visitor.owner, bound) as left:
                answer = await self._upstream.call(method.path, message, visitor.metadata(), left)
            if wire.json:
                answer = to_json(method.response.FromString(answer))
        except Exception as exc:
            fault = _fault(exc)
        if wire.grpc_web:
            body = end_of_stream(wire, fault) if fault else envelope(answer) + end_of_stream(wire, None)
            return web.Response(body=body, headers={"Content-Type": wire.answer})
        if fault is None:
            return web.Response(body=answer, headers={"Content-Type": wire.answer})
        return web.Response(
            status=fault.http,
            body=json.dumps(connect_error(fault)).encode(),
            headers={**fault.all_headers(), "Content-Type": "application/json"},
        )

    async def _stream(self, request: web.Request, method: Method, wire: Wire) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": wire.answer, "X-Accel-Buffering": "no"})
        fault = None
        try:
            seconds, message = await self._asked(request, method, wire)
            visitor = visitor_of(request)
            with self._places.stream(visitor.owner):
                await response.prepare(request)
                call = self._upstream.stream(method.path, message, visitor.metadata(), seconds)
                await self._pass_on(call, request, response, method, wire)
        except ConnectionError:
            raise
        except Exception as exc:
            fault = _fault(exc)
        if not response.prepared:
            await response.prepare(request)
        await self._write(request, response, end_of_stream(wire, fault))
        return response

    async def _pass_on(
        self,
        call: "grpc.aio.UnaryStreamCall[bytes, bytes]",
        request: web.Request,
        response: web.StreamResponse,
        method: Method,
        wire: Wire,
    ) -> None:
        watch = _Watch(call)
        try:
            if method.endless:
                self._watches.add(watch)
                if self._draining:
                    watch.end()
            async for data in call:
                watch.passed(data, method)
                await self._write(request, response, _written(data, method, wire))
        except asyncio.CancelledError:
            if not watch.ended or _cancelled_too():
                raise
            if (checkpoint := watch.checkpoint(method)) is not None:
                await self._write(request, response, _written(checkpoint, method, wire))
            raise refused(
                grpc.StatusCode.UNAVAILABLE,
                "DRAINING",
                message="the server is stopping; watch again from the last revision",
                retry_seconds=1,
            ) from None
        finally:
            self._watches.discard(watch)
            call.cancel()

    async def _write(self, request: web.Request, response: web.StreamResponse, data: bytes) -> None:
        """Writes, and waits while much is unread, so that nothing heaps up here. Raises ConnectionError."""
        async with taken(request, self._stall_seconds):
            await response.write(data)

    async def _asked(self, request: web.Request, method: Method, wire: Wire) -> tuple[float | None, bytes]:
        """Returns how long the caller waits, and its message."""
        refuse_compression(request)
        seconds = seconds_of(request, wire)
        most = (JSON_BYTES if wire.json else MESSAGE_BYTES) + (HEAD if wire.framed else 0)
        body = await read_body(request, most, self._places)
        if wire.framed:
            body = only_message(body)
        return seconds, read_json(method.request, body).SerializeToString() if wire.json else body


class _Watch:
    """A stream that can be resumed, and how far it has come."""

    def __init__(self, call: "grpc.aio.UnaryStreamCall[bytes, bytes]") -> None:
        self._call = call
        self._last = b""
        self._complete = False
        self.ended = False

    def end(self) -> None:
        self.ended = True
        self._call.cancel()

    def passed(self, data: bytes, method: Method) -> None:
        if method.endless:
            self._last = data
            # Before the first checkpoint there may be more snapshots to come, of which a checkpoint would say nothing.
            self._complete = self._complete or method.response.FromString(data).HasField("checkpoint")

    def checkpoint(self, method: Method) -> bytes | None:
        """Returns a checkpoint after the last message, None where it would say nothing new or too much."""
        last = method.response.FromString(self._last)
        if not self._complete or last.HasField("checkpoint"):
            return None
        revision = method.response.DESCRIPTOR.fields_by_name["revision"].name
        message = method.response(**{revision: getattr(last, revision)})
        getattr(message, "checkpoint").SetInParent()  # noqa: B009 - by the descriptor, it is there
        return message.SerializeToString()


def _written(data: bytes, method: Method, wire: Wire) -> bytes:
    return envelope(to_json(method.response.FromString(data)) if wire.json else data)


def _cancelled_too() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _fault(exc: Exception) -> Fault:
    if isinstance(exc, Refused):
        return exc.fault
    if isinstance(exc, grpc.aio.AioRpcError):
        return fault_of(exc)
    return internal(exc)
