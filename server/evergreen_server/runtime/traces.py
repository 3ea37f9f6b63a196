"""The trace that work belongs to, as W3C's `traceparent` names it."""

import re
from contextvars import ContextVar
from dataclasses import dataclass
from hashlib import sha256

current_trace: ContextVar[str] = ContextVar("current_trace", default="")
"""The `traceparent` of what this task works on, empty if of none."""

LONGEST = 256
"""Characters of what is read at all; the present version has 55."""
_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[!-~]*)?")


@dataclass(frozen=True, slots=True)
class TraceParent:
    """A span that others are part of. Its ids are in hex: 32 digits of the trace's, 16 of the span's."""

    trace_id: str
    span_id: str
    sampled: bool

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"


def read_traceparent(text: str) -> TraceParent | None:
    """Returns what a `traceparent` names, of this version or a later one; None for what is none."""
    found = _FORM.fullmatch(text) if len(text) <= LONGEST else None
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return TraceParent(trace_id, span_id, bool(int(flags, 16) & 1))


def trace_id_of(*names: str) -> str:
    """Returns the id of the trace of what has these names, where nobody else has begun one; always the same."""
    return sha256("/".join(("trace", *names)).encode()).hexdigest()[:32]


def span_id_of(*names: str) -> str:
    """Returns the id of the span of what has these names; always the same."""
    return sha256("/".join(names).encode()).hexdigest()[:16]
