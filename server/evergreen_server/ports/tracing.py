"""What packages tell of their work to whoever collects traces; without tracing there is no Tracer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from evergreen_server.runtime.traces import TraceParent


class TracingUnusable(Exception):
    """Traces cannot be sent by these settings, or without the extra; the text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A piece of work that is over. Holds no prompt, no URL and no secret, and no text of the provider's."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str = ""
    """Empty for the first span of a trace."""
    server: bool = False
    """Whether it answered a call."""
    began_ns: int
    ended_ns: int
    """In nanoseconds since 1970."""
    attributes: Mapping[str, str | int] = field(default_factory=dict)
    error: str = ""
    """The code or the reason of a failure."""


class Tracer(Protocol):
    """Takes spans. Each call is quick, raises nothing, and waits for nobody."""

    def begin(self, name: str, parent: TraceParent | None) -> TraceParent:
        """Returns the identity of a new span, of its parent's trace or the first of a new one."""
        ...

    def samples(self, name: str, trace_id: str) -> bool:
        """Returns whether a trace is to be told that has no parent elsewhere; the same for the same id."""
        ...

    def ended(self, span: Span) -> None:
        """Tells a span whose trace is sampled."""
        ...
