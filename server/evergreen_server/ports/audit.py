"""Who did what: the values that edges pass on with a call, to be recorded together with what it changes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Action", "Note", "Origin", "note_of"]


class Action(StrEnum):
    """What a caller did."""

    GENERATE = "GENERATE"
    CANCEL = "CANCEL"
    RESOLVE = "RESOLVE"
    UPLOAD_ASSET = "UPLOAD_ASSET"
    DELETE_ASSET = "DELETE_ASSET"
    DELETE_SCENE = "DELETE_SCENE"
    PLAN_FILM = "PLAN_FILM"
    START_FILM = "START_FILM"
    APPROVE_FILM = "APPROVE_FILM"
    EXPORT_FILM = "EXPORT_FILM"
    CANCEL_FILM = "CANCEL_FILM"
    DELETE_FILM = "DELETE_FILM"
    CREATE_WEBHOOK = "CREATE_WEBHOOK"
    UPDATE_WEBHOOK = "UPDATE_WEBHOOK"
    DELETE_WEBHOOK = "DELETE_WEBHOOK"
    ROTATE_SECRET = "ROTATE_SECRET"
    TOKEN_REFUSED = "TOKEN_REFUSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Whence a call comes. Where a function takes one, None stands for the service itself, which nobody asked."""

    caller: str
    """The name of its token; empty where none are required."""
    call_id: str
    address: str
    trace_id: str = ""

    def did(self, action: Action, **details: object) -> "Note":
        """Returns the note of something that the caller does; details become texts, and None is left out."""
        texts = {name: str(value) for name, value in details.items() if value is not None}
        return Note(origin=self, action=action, details=texts)

    def facts(self) -> dict[str, str]:
        """Returns what a log says of the call; what is not known is left out."""
        found = {"caller": self.caller, "call_id": self.call_id, "address": self.address, "trace_id": self.trace_id}
        return {name: value for name, value in found.items() if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What a caller does, to be recorded if it changes something. Its details hold no prompt and no secret."""

    origin: Origin
    action: Action
    details: Mapping[str, str] = field(default_factory=dict)


def note_of(origin: Origin | None, action: Action, **details: object) -> Note | None:
    """Returns the note of what a caller does; None for what the service does by itself."""
    return None if origin is None else origin.did(action, **details)
