"""What is told, and what it costs those who tell it."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from evergreen_server.config.telemetry import tracing
from evergreen_server.jobs.model.change import Change, Step
from evergreen_server.jobs.model.job import Job, JobFailure, JobRequest
from evergreen_server.ports.specs import GenerationSpec
from evergreen_server.ports.tracing import Span, TracingUnusable
from evergreen_server.rpc.access.policy import ANYONE
from evergreen_server.rpc.handlers import Context
from evergreen_server.rpc.tracing import traced
from evergreen_server.runtime.traces import TraceParent, read_traceparent
from evergreen_server.tracing.jobs import JobSpans
from evergreen_server.tracing.otlp import open_tracer

TRACE, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN_ID}-01"
NOW = datetime(2026, 11, 29, tzinfo=UTC)
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


@dataclass
class Call:
    """What a call says of its trace."""

    values: tuple[object, ...]

    def invocation_metadata(self) -> list[tuple[str, object]]:
        return [("user-agent", "x"), *(("traceparent", value) for value in self.values)]


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ((PARENT,), PARENT),
        ((f"cc-{TRACE}-{SPAN_ID}-00-more",), f"00-{TRACE}-{SPAN_ID}-00"),
        ((f"00-{TRACE}-{SPAN_ID}-ff",), PARENT),
        ((), ""),
        (("",), ""),
        (("rm -rf",), ""),
        ((PARENT.upper(),), ""),
        ((f" {PARENT}",), ""),
        ((f"{PARENT}\n",), ""),
        ((f"00-{'0' * 32}-{SPAN_ID}-01",), ""),
        ((f"00-{TRACE}-{'0' * 16}-01",), ""),
        ((f"ff-{TRACE}-{SPAN_ID}-01",), ""),
        ((f"{PARENT}-more",), ""),
        ((f"cc-{TRACE}-{SPAN_ID}-01-{'x' * 10_000}",), ""),
        ((PARENT, PARENT), ""),
        ((PARENT.encode(),), ""),
    ],
)
def test_a_trace_is_that_of_the_caller_and_what_is_none_is_ignored(values: tuple[object, ...], kept: str) -> None:
    assert Context(ANYONE, Call(values)).traceparent == kept


class Notes:
    """A tracer that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Span] = []

    def samples(self, name: str, trace_id: str) -> bool:
        return True

    def ended(self, span: Span) -> None:
        self.told.append(span)


def ended(job_id: str, **of: object) -> Step:
    """A job of a request that has ended, all at once."""
    usual = {"project_id": "film", "scene_id": "one", "request_id": job_id, "digest": "", "start_by": NOW}
    asked = JobRequest(spec=GenerationSpec(model="gen4.5", prompt_text="hush"), **{**usual, **of})
    old = Job(job_id=job_id, request=asked, stage_at=NOW, created_at=NOW, updated_at=NOW)
    failure = JobFailure(reason="SCENE_REFUSED", message="hush")
    return Step(old=old, new=replace(old.failed(failure), ended_at=NOW))


def test_jobs_of_a_run_are_one_trace_and_others_each_their_own() -> None:
    notes = Notes()
    steps = [ended("one", film_id="movie", film_run=1), ended("two", film_id="movie", film_run=1), ended("three")]
    steps += [ended("four", traceparent=PARENT), ended("five", traceparent=f"00-{TRACE}-{SPAN_ID}-00")]
    JobSpans(notes).on_changes([Change(project_id="film", job_id=step.new.job_id, step=step) for step in steps])

    jobs = {span.attributes["evergreen.job_id"]: span for span in notes.told if span.name == "job"}
    assert jobs["one"].trace_id == jobs["two"].trace_id != jobs["three"].trace_id
    assert (jobs["four"].trace_id, jobs["four"].parent_id) == (TRACE, SPAN_ID)
    assert "five" not in jobs
    assert {span.error for span in notes.told} == {"SCENE_REFUSED"}
    assert "hush" not in repr(notes.told)
    assert len({span.span_id for span in notes.told}) == len(notes.told) == 8


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
