"""The states of a job, its stages, and which state may follow which."""

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    """Where a job is in its life; the last four are final."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    NEEDS_ATTENTION = "NEEDS_ATTENTION"
    CANCELLING = "CANCELLING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"


class Stage(StrEnum):
    """What a QUEUED or RUNNING job is busy with; NONE elsewhere."""

    NONE = ""
    PREPARING = "PREPARING"
    WAITING = "WAITING"
    SUBMITTING = "SUBMITTING"
    THROTTLED = "THROTTLED"
    GENERATING = "GENERATING"
    DELIVERING = "DELIVERING"


FINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED, State.EXPIRED})


UNFINISHED = frozenset(State) - FINAL


MOVES: Mapping[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.QUEUED, State.RUNNING, State.CANCELLING, State.FAILED, State.EXPIRED}),
    State.RUNNING: frozenset(
        {
            State.RUNNING,
            State.QUEUED,
            State.NEEDS_ATTENTION,
            State.CANCELLING,
            State.SUCCEEDED,
            State.FAILED,
            State.EXPIRED,
        }
    ),
    State.NEEDS_ATTENTION: frozenset({State.QUEUED, State.RUNNING, State.FAILED}),
    State.CANCELLING: frozenset(
        {State.CANCELLING, State.CANCELLED, State.SUCCEEDED, State.FAILED, State.NEEDS_ATTENTION}
    ),
    **{state: frozenset[State]() for state in FINAL},
}
"""From each state, the states that may follow. A transition to the same state changes stage, progress or lists."""


class EventKind(StrEnum):
    """What happened. PROGRESS alone may be left out, if a later event of the same job follows."""

    CREATED = "CREATED"
    STARTED = "STARTED"
    STAGE_CHANGED = "STAGE_CHANGED"
    PROGRESS = "PROGRESS"
    OUTPUT_ADDED = "OUTPUT_ADDED"
    WARNING = "WARNING"
    CANCELLING = "CANCELLING"
    NEEDS_ATTENTION = "NEEDS_ATTENTION"
    RESOLVED = "RESOLVED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    SNAPSHOT = "SNAPSHOT"


class OnUnknownSubmission(StrEnum):
    """What to do when it is not known whether a create made a paid task."""

    ASK = "ASK"
    RESUBMIT = "RESUBMIT"


class TaskRole(StrEnum):
    """What a provider task is to the job that it was made for.

    NEW until the job takes it as its OWN. One that comes too late for that is SURPLUS until it has ENDED.
    """

    NEW = "NEW"
    OWN = "OWN"
    SURPLUS = "SURPLUS"
    ENDED = "ENDED"


class CostBasis(StrEnum):
    """What is known of `charged_millicredits`: the provider's word, or only that it is not more."""

    CONFIRMED = "CONFIRMED"
    UPPER_BOUND = "UPPER_BOUND"


class Slot(StrEnum):
    """Whether a job wants or has one of the model's slots; the account's tier sets how many there are."""

    WANTED = "WANTED"
    """It is queued for one."""
    HELD = "HELD"
    """It has one: granted, or because its task is under way or may be."""
