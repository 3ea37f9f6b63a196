"""A film's run as spans: one of the whole, which those of its jobs are part of, and those of its renders."""

from collections.abc import Sequence

from evergreen_server.jobs.model.change import Change, FilmWork
from evergreen_server.ports.tracing import Span, Tracer
from evergreen_server.runtime.traces import TraceParent, read_traceparent, span_id_of, trace_id_of
from evergreen_server.tracing.jobs import nanoseconds

WHOLE = "film"


class FilmSpans:
    """Tells what this server commits; to be subscribed to its changes."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def on_changes(self, changes: Sequence[Change]) -> None:
        for change in changes:
            for work in change.film_work:
                self._tell(work)

    def _tell(self, work: FilmWork) -> None:
        run = (work.project_id, work.film_id, str(work.run))
        parent = read_traceparent(work.traceparent)
        if parent is None:
            trace_id = trace_id_of(*run)
            # As its jobs do.
            parent = TraceParent(trace_id, "", self._tracer.samples("job", trace_id))
        if not parent.sampled:
            return
        whole = span_id_of(WHOLE, *run)
        began = nanoseconds(work.began)
        self._tracer.ended(
            Span(
                name=work.name,
                trace_id=parent.trace_id,
                span_id=whole if work.name == WHOLE else span_id_of(work.name, *run, str(began)),
                parent_id=parent.span_id if work.name == WHOLE else whole,
                began_ns=began,
                ended_ns=nanoseconds(work.ended),
                attributes={
                    "evergreen.project_id": work.project_id,
                    "evergreen.film_id": work.film_id,
                    "evergreen.run": work.run,
                    **{f"evergreen.{name}": value for name, value in work.facts.items()},
                },
                error=work.error,
            )
        )
