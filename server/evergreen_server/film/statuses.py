"""How an output stands in a run of its film."""

from enum import StrEnum

__all__ = ["Status"]


class Status(StrEnum):
    """What a run has of an output, or awaits."""

    WAITS = "WAITS"
    READY = "READY"
    OPEN = "OPEN"
    ASKS = "ASKS"
    THERE = "THERE"
    """Made, or reused."""
    OLDER = "OLDER"
    """An older output stands in."""
    STILL = "STILL"
    """For a clip, its picture stands in."""
    LEFT_OUT = "LEFT_OUT"
    TROUBLE = "TROUBLE"
    """It failed, and somebody is to say what becomes of it."""
    FATAL = "FATAL"
    """It failed, and the run with it."""
    UNREACHABLE = "UNREACHABLE"
    """Something that it is made from is in trouble."""
    BLOCKED = "BLOCKED"
