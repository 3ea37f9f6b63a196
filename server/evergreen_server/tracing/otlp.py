"""Sends spans by OTLP, as OpenTelemetry's own variables say. Only loaded where that is asked for.

Spans wait in a bounded queue for a thread of the SDK's, which drops them where the collector is too slow: no work of
ours ever waits for it.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from uuid import uuid4

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, Sampler
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    format_span_id,
    format_trace_id,
    set_span_in_context,
)

from evergreen_server.ports.tracing import Span, TracingUnusable
from evergreen_server.runtime.traces import TraceParent

SHUTDOWN_SECONDS = 3.0
"""For what is left in the queue to be sent when the server stops."""
UNNAMED = "unknown_service"
"""How the SDK names what OTEL_SERVICE_NAME does not."""
SAMPLED = TraceFlags(TraceFlags.SAMPLED)

logger = logging.getLogger(__name__)


class OtlpTracer:
    """Implements `ports.tracing.Tracer`."""

    def __init__(self, processor: BatchSpanProcessor, *, sampler: Sampler, resource: Resource) -> None:
        self._processor = processor
        self._sampler = sampler
        self._resource = resource
        self._ids = RandomIdGenerator()
        self._scope = InstrumentationScope("evergreen_server", version("evergreen-video"))

    def begin(self, name: str, parent: TraceParent | None) -> TraceParent:
        trace_id = self._ids.generate_trace_id() if parent is None else int(parent.trace_id, 16)
        around = None if parent is None else set_span_in_context(NonRecordingSpan(_remote(parent)))
        sampled = self._sampler.should_sample(around, trace_id, name).decision is Decision.RECORD_AND_SAMPLE
        return TraceParent(format_trace_id(trace_id), format_span_id(self._ids.generate_span_id()), sampled)

    def samples(self, name: str, trace_id: str) -> bool:
        found = self._sampler.should_sample(None, int(trace_id, 16), name)
        return found.decision is Decision.RECORD_AND_SAMPLE

    def ended(self, span: Span) -> None:
        around = TraceParent(span.trace_id, span.parent_id, True) if span.parent_id else None
        here = SpanContext(int(span.trace_id, 16), int(span.span_id, 16), is_remote=False, trace_flags=SAMPLED)
        self._processor.on_end(
            ReadableSpan(
                name=span.name,
                context=here,
                parent=None if around is None else _remote(around),
                resource=self._resource,
                attributes=span.attributes,
                kind=SpanKind.SERVER if span.server else SpanKind.INTERNAL,
                status=Status(StatusCode.ERROR, span.error) if span.error else Status(),
                start_time=span.began_ns,
                end_time=span.ended_ns,
                instrumentation_scope=self._scope,
            )
        )


@asynccontextmanager
async def open_tracer(*, exporter: SpanExporter | None = None) -> AsyncIterator[OtlpTracer]:
    """Yields what sends spans; at the end it sends what is left, for a bounded time. Raises TracingUnusable."""
    told = Resource.create({})
    ours = {"service.version": version("evergreen-video"), "service.instance.id": uuid4().hex}
    # What the variables say goes before.
    resource = Resource(ours).merge(told)
    if str(resource.attributes.get("service.name", UNNAMED)).startswith(UNNAMED):
        resource = resource.merge(Resource({"service.name": "evergreen"}))
    try:
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        processor = BatchSpanProcessor(exporter or OTLPSpanExporter())
    except ValueError as exc:
        raise TracingUnusable(f"the variables OTEL_… cannot be used: {exc}") from exc
    try:
        yield OtlpTracer(processor, sampler=provider.sampler, resource=resource)
    finally:
        await _shut_down(processor)


async def _shut_down(processor: BatchSpanProcessor) -> None:
    """Ends the SDK's thread. By a thread that nobody waits for longer: the collector may hang."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()

    def run() -> None:
        processor.shutdown()  # type: ignore[no-untyped-call] # as the SDK has it
        # The loop may be closed by then.
        if not loop.is_closed():
            loop.call_soon_threadsafe(over.set)

    threading.Thread(target=run, name="tracing ends", daemon=True).start()
    try:
        async with asyncio.timeout(SHUTDOWN_SECONDS):
            await over.wait()
    except TimeoutError:
        logger.warning("spans not sent", extra={"cause": "the collector does not answer"})


def _remote(parent: TraceParent) -> SpanContext:
    flags = TraceFlags(int(parent.sampled))
    return SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), is_remote=True, trace_flags=flags)
