"""What is told, and what it costs those who tell it."""

import threading
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from evergreen_server.config.telemetry import tracing
from evergreen_server.ports.tracing import Span, TracingUnusable
from evergreen_server.rpc.tracing import traced
from evergreen_server.runtime.traces import TraceParent, read_traceparent
from evergreen_server.tracing.otlp import open_tracer

SPAN = Span(name="one", trace_id="1" * 32, span_id="2" * 16, parent_id="3" * 16, began_ns=1, ended_ns=2)


class Stuck(SpanExporter):
    """Takes spans, and gives its thread back only when it may."""

    def __init__(self) -> None:
        self.may, self.seen = threading.Event(), list[ReadableSpan]()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.may.wait(60)
        self.seen += spans
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Holds nothing."""


async def test_spans_that_nobody_takes_are_dropped_beyond_a_bound() -> None:
    stuck = Stuck()
    async with open_tracer(exporter=stuck) as tracer:
        for _ in range(20_000):
            tracer.ended(SPAN)
        stuck.may.set()

    assert 0 < len(stuck.seen) < 5000


async def test_a_span_is_of_its_parents_trace_and_sampled_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    parents = [TraceParent("a" * 32, "b" * 16, sampled) for sampled in (True, False)]
    async with open_tracer(exporter=Stuck()) as tracer:
        found = [tracer.begin("call", parent) for parent in parents]
        alone = tracer.begin("call", None)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    async with open_tracer(exporter=Stuck()) as tracer:
        rare = [tracer.begin("call", parents[0]).sampled, tracer.begin("call", None).sampled]

    assert [(each.trace_id, each.sampled) for each in found] == [("a" * 32, True), ("a" * 32, False)]
    assert alone.sampled
    assert read_traceparent(str(alone)) == alone
    assert rare == [True, False]


async def test_variables_that_cannot_be_used_are_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "100000")

    with pytest.raises(TracingUnusable, match="OTEL_"):
        async with open_tracer(exporter=Stuck()):
            pass


def test_where_nothing_is_traced_a_call_is_handled_by_the_very_same_handler() -> None:
    async def handle(_request: object, _call: object) -> object:
        return None

    assert traced(handle, None, "evergreen.v1.VideoService", "GetStatus", lambda _exc, _call: "") is handle


@pytest.mark.parametrize(
    ("environ", "wanted", "wrong"),
    [
        ({}, False, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4318"}, True, ""),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x:4318/v1/traces"}, True, ""),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True, ""),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4318"}, False, ""),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4318"}, False, ""),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, False, "OTEL_TRACES_EXPORTER"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            True,
            "OTEL_EXPORTER_OTLP_PROTOCOL",
        ),
    ],
)
def test_traces_are_sent_as_the_standard_variables_say(environ: dict[str, str], wanted: bool, wrong: str) -> None:
    errors: list[str] = []

    assert tracing(environ, errors) is wanted
    assert [error.partition(":")[0] for error in errors] == ([wrong] if wrong else [])
