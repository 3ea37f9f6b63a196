"""A job's life as spans: one of the whole, and one of each stage, told when it is over.

Their ids follow from the job, and their beginnings are in its row. So a stage that another server began is told whole
by the one that ends it, and the spans of all servers are of one trace.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from evergreen_server.jobs.model.change import Change, Step
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.model.states import Stage, State
from evergreen_server.ports.tracing import Span, Tracer
from evergreen_server.runtime.traces import TraceParent, read_traceparent

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
        whole, error = _id("job", new.job_id), new.error.reason if new.error and new.state in BROKEN else ""
        if step.leaves and old.stage_at is not None:
            name, attempt = NAMES[old.stage], str(old.attempt)
            self._tracer.ended(
                Span(
                    name=name,
                    trace_id=parent.trace_id,
                    span_id=_id(name, new.job_id, attempt, str(_nanoseconds(old.stage_at))),
                    parent_id=whole,
                    began_ns=_nanoseconds(old.stage_at),
                    ended_ns=_nanoseconds(new.updated_at),
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
                    began_ns=_nanoseconds(new.created_at),
                    ended_ns=_nanoseconds(new.updated_at),
                    attributes=_attributes(new),
                    error=error,
                )
            )

    def _parent(self, job: Job) -> TraceParent:
        """Returns what the job is part of: its caller's span, or else a trace of its own, or of its film's run."""
        if (given := read_traceparent(job.request.traceparent)) is not None:
            return given
        request = job.request
        run = (request.project_id, request.film_id, str(request.film_run)) if request.film_id else (job.job_id,)
        trace_id = _digest("trace", *run)[:32]
        return TraceParent(trace_id, "", self._tracer.samples("job", trace_id))


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


def _digest(*parts: str) -> str:
    return sha256("/".join(parts).encode()).hexdigest()


def _id(*parts: str) -> str:
    return _digest(*parts)[:16]


def _nanoseconds(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1) * 1000
