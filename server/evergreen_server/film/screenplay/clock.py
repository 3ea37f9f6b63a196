"""Times in scripts: `m:ss` or `h:mm:ss`, and what they say of the scenes' lengths."""

from typing import Final

from evergreen_server.film.screenplay.drafts import SceneDraft
from evergreen_server.film.screenplay.script import MAX_SECONDS, Faults

__all__ = ["TIME", "clocked", "set_lengths"]

TIME: Final = r"(?:\d{1,2}:)?\d{1,3}:\d{2}"
"""A pattern without groups."""


def clocked(text: str) -> float | None:
    """Returns the seconds that a time of the pattern says; None if its seconds or minutes pass 59, or it an hour."""
    *hours, minutes, seconds = map(int, text.split(":"))
    if seconds > 59 or (hours and minutes > 59):
        return None
    total = sum(hours) * 3600 + minutes * 60 + seconds
    return float(total) if total <= MAX_SECONDS else None


def set_lengths(drafts: list[SceneDraft], ends: list[float | None], faults: Faults) -> None:
    """Gives each scene that has a time the seconds until the next one, and the last one those until its own end.

    Times that fall, or stand still, are faults, and so is an end after the beginning of the next scene.
    """
    for position, (draft, end) in enumerate(zip(drafts, ends, strict=True)):
        if draft.start is None:
            continue
        following = drafts[position + 1].start if position + 1 < len(drafts) else None
        if end is not None and end <= draft.start:
            faults.add(draft.line, "the scene ends before it has begun")
        elif following is not None and following <= draft.start:
            faults.add(drafts[position + 1].line, "the scene begins no later than the one before it: times must rise")
        elif following is not None and end is not None and end > following:
            faults.add(draft.line, "the scene ends after the next one has begun")
        else:
            until = following if following is not None else end
            draft.seconds = None if until is None else until - draft.start
