"""Calls as spans, and the trace that a caller says its call belongs to."""

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol, TypeVar

import grpc

from evergreen_server.ports.tracing import Span, Tracer
from evergreen_server.runtime.traces import TraceParent, current_trace, read_traceparent

SERVICES = "evergreen.v1."
"""Of all others no span is told: health is asked for every few seconds."""
OURS = frozenset(
    code.name
    for code in (
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    )
)
"""The codes of failures that are not the caller's."""


class Call(Protocol):
    """The part of a call that names its trace."""

    def invocation_metadata(self) -> "Iterable[tuple[str, str | bytes]] | None": ...


C = TypeVar("C", bound=Call)


def caller_trace(call: Call) -> TraceParent | None:
    """Returns the span of the caller that the call is part of; None if it names none, or more than one."""
    values = [value for name, value in call.invocation_metadata() or () if name == "traceparent"]
    return read_traceparent(values[0]) if len(values) == 1 and isinstance(values[0], str) else None


def traced(
    handler: Callable[[object, C], Awaitable[object]],
    tracer: Tracer | None,
    service: str,
    method: str,
    code_of: Callable[[BaseException, C], str],
) -> Callable[[object, C], Awaitable[object]]:
    """Returns a handler that tells of each call; the very same one where nothing is traced."""
    if tracer is None or not service.startswith(SERVICES):
        return handler
    name, told = f"{service}/{method}", tracer

    async def handle(request: object, call: C) -> object:
        parent = caller_trace(call)
        here = told.begin(name, parent)
        current_trace.set(str(here))
        began, code = time.time_ns(), "OK"
        try:
            return await handler(request, call)
        except BaseException as exc:
            code = code_of(exc, call)
            raise
        finally:
            if here.sampled:
                told.ended(
                    Span(
                        name=name,
                        trace_id=here.trace_id,
                        span_id=here.span_id,
                        parent_id=parent.span_id if parent is not None else "",
                        server=True,
                        began_ns=began,
                        ended_ns=time.time_ns(),
                        attributes={
                            "rpc.system": "grpc",
                            "rpc.service": service,
                            "rpc.method": method,
                            "evergreen.code": code,
                        },
                        error=code if code in OURS else "",
                    )
                )

    return handle
