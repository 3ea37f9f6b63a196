"""A job's life as spans: one of the whole, and one of each stage, told when it is over.

Their ids follow from the job, and their beginnings are in its row. So a stage that another server began is told whole
by the one that ends it, and the spans of all servers are of one trace.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from evergreen_server.jobs.model.change import Change, Step
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.model.states import Stage, State
from evergreen_server.ports.tracing import Span, Tracer
from evergreen_server.runtime.traces import TraceParent, read_traceparent, span_id_of, trace_id_of

NAMES: Mapping[Stage, str] = {
    Stage.NONE: "attention",
    Stage.PREPARING: "prepare",
    Stage.WAITING: "wait",
    Stage.SUBMITTING: "submit",
    Stage.THROTTLED: "throttled",
    Stage.GENERATING: "generate",
    Stage.DELIVERING: "deliver",
}
BROKEN = frozenset({State.FAILED, State.EXPIRED, State.NEEDS_ATTENTION})
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class JobSpans:
    """Tells what this server commits; to be subscribed to its changes."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def on_changes(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.step is not None and (change.step.leaves or change.step.new.final):
                self._tell(change.step)

    def _tell(self, step: Step) -> None:
        old, new = step.old, step.new
        parent = self._parent(new)
        if not parent.sampled:
            return
        whole, error = span_id_of("job", new.job_id), new.error.reason if new.error and new.state in BROKEN else ""
        if step.leaves and old.stage_at is not None:
            name, attempt = NAMES[old.stage], str(old.attempt)
            self._tracer.ended(
                Span(
                    name=name,
                    trace_id=parent.trace_id,
                    span_id=span_id_of(name, new.job_id, attempt, str(nanoseconds(old.stage_at))),
                    parent_id=whole,
                    began_ns=nanoseconds(old.stage_at),
                    ended_ns=nanoseconds(new.updated_at),
                    attributes={"evergreen.job_id": new.job_id, "evergreen.attempt": old.attempt},
                    error=error,
                )
            )
        if new.final and not old.final:
            self._tracer.ended(
                Span(
                    name="job",
                    trace_id=parent.trace_id,
                    span_id=whole,
                    parent_id=parent.span_id,
                    began_ns=nanoseconds(new.created_at),
                    ended_ns=nanoseconds(new.updated_at),
                    attributes=_attributes(new),
                    error=error,
                )
            )

    def _parent(self, job: Job) -> TraceParent:
        """Returns what the job is part of: its caller's span or its film's run, or else a trace of its own."""
        request = job.request
        if (given := read_traceparent(request.traceparent)) is not None:
            return given
        run = (request.project_id, request.film_id, str(request.film_run))
        trace_id = trace_id_of(*run) if request.film_id else trace_id_of(job.job_id)
        span_id = span_id_of("film", *run) if request.film_id else ""
        return TraceParent(trace_id, span_id, self._tracer.samples("job", trace_id))


def _attributes(job: Job) -> dict[str, str | int]:
    request = job.request
    found: dict[str, str | int] = {
        "evergreen.job_id": job.job_id,
        "evergreen.project_id": request.project_id,
        "evergreen.scene_id": request.scene_id,
        "evergreen.model": request.spec.model,
        "evergreen.state": job.state.value,
        "evergreen.attempts": job.attempt,
    }
    return {**found, "evergreen.film_id": request.film_id} if request.film_id else found


def nanoseconds(at: datetime) -> int:
    """Returns how long after the beginning of 1970 a moment is."""
    return (at - EPOCH) // timedelta(microseconds=1) * 1000
