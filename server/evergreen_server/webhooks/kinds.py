"""The types of what is told, such as `video.succeeded`, and which of them a webhook hears of."""

from collections.abc import Collection, Mapping
from typing import Final

__all__ = ["DEFAULT", "EVENTS", "TYPES", "type_error", "wants"]

JOB_EVENTS: Final = (
    "succeeded",
    "failed",
    "cancelled",
    "expired",
    "needs_attention",
    "created",
    "started",
    "resolved",
    "output_added",
    "warning",
)
FILM_EVENTS: Final = (
    "awaiting_approval",
    "needs_attention",
    "succeeded",
    "failed",
    "cancelled",
    "planned",
    "started",
    "approved",
    "resolved",
    "output_ready",
    "stage_changed",
    "warning",
    "deleted",
)
EVENTS: Final[Mapping[str, Collection[str]]] = {
    "video": JOB_EVENTS,
    "image": JOB_EVENTS,
    "audio": JOB_EVENTS,
    "film": FILM_EVENTS,
}
"""By what they are about."""
TYPES: Final = frozenset(f"{subject}.{event}" for subject, events in EVENTS.items() for event in events)
DEFAULT: Final = frozenset(
    {f"{subject}.{event}" for subject in ("video", "image", "audio") for event in JOB_EVENTS[:5]}
    | {f"film.{event}" for event in FILM_EVENTS[:5]}
)
"""What a webhook without types hears of: every end, what needs attention, and films that await approval."""
GROUPS: Final = frozenset({"*", *(f"{subject}.*" for subject in EVENTS)})


def type_error(text: str) -> str | None:
    """Returns what is wrong about a type that a webhook is to hear of; None if nothing."""
    if text in TYPES or text in GROUPS:
        return None
    subject = text.partition(".")[0]
    if subject in EVENTS:
        return f"must be {subject}.* or {subject}. and one of {', '.join(EVENTS[subject])}"
    return f"must be *, or begin with one of {', '.join(f'{each}.' for each in EVENTS)}"


def wants(types: Collection[str], kind: str) -> bool:
    """Returns whether a webhook with these types hears of one."""
    if not types:
        return kind in DEFAULT
    return kind in types or "*" in types or f"{kind.partition('.')[0]}.*" in types
