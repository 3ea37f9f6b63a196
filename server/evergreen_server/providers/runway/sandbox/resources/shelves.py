"""Where resources are kept: a bounded shelf for each kind, rebuilt from the journal."""

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import Field, asdict, dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from evergreen_server.providers.runway.catalog.models import Json
from evergreen_server.providers.runway.sandbox.resources.records import (
    AuditEvent,
    Avatar,
    Charge,
    Document,
    Invocation,
    Router,
    Routing,
    Session,
    Voice,
    Workflow,
)
from evergreen_server.providers.runway.sandbox.state.journal import Journal

__all__ = ["Shelf", "ShelfFull", "Shelves"]

_KEPT, _LOGGED = 1_000, 10_000
_BYTES = 64 * 1024 * 1024
"""The bound of all resources together, as JSON: single ones may have megabytes."""


class _Record(Protocol):
    @property
    def id(self) -> str: ...

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


Item = TypeVar("Item", bound=_Record)


class ShelfFull(Exception):
    """There is no room for another resource; the text is for the caller."""


@dataclass(slots=True)
class _Room:
    """The bytes that all shelves share."""

    used: int = 0


class Shelf(Generic[Item]):
    """The resources of one kind, by id, oldest first. A log forgets its oldest entries, other shelves get full."""

    def __init__(
        self, name: str, read: Callable[..., Item], *, journal: Journal, room: _Room, most: int, log: bool
    ) -> None:
        self._name = name
        self._read = read
        self._journal = journal
        self._room = room
        self._most = most
        self._log = log
        self._items: dict[str, Item] = {}
        self._sizes: dict[str, int] = {}
        self._numbers: dict[str, int] = {}
        self._counter = itertools.count(1)

    def get(self, item_id: str) -> Item | None:
        return self._items.get(item_id)

    def all(self) -> list[Item]:
        return list(self._items.values())

    def number(self, item: Item) -> int:
        """Returns the place of a resource in the order of creation, which also tells apart those of one instant."""
        return self._numbers[item.id]

    def put(self, item: Item, now: float) -> None:
        """Adds a resource or replaces the one with its id. Raises ShelfFull."""
        entry: dict[str, Json] = {"shelf": self._name, "item": {**asdict(item)}}
        size = len(json.dumps(entry))
        self._make_room(item.id, size)
        self._journal.append({"kind": "put", "at": float(now), "entry": entry})
        self._place(item, size)

    def remove(self, item_id: str, now: float) -> None:
        """Removes a resource that is there."""
        entry: dict[str, Json] = {"shelf": self._name, "id": item_id}
        self._journal.append({"kind": "remove", "at": float(now), "entry": entry})
        self._take(item_id)

    def replay(self, entry: Mapping[str, Json]) -> None:
        """Repeats what the journal tells of a `put` or a `remove`."""
        if isinstance(values := entry.get("item"), dict):
            item, size = self._read(**values), len(json.dumps(entry))
            self._make_room(item.id, size)
            self._place(item, size)
        else:
            self._take(str(entry["id"]))

    def _make_room(self, item_id: str, size: int) -> None:
        more = size - self._sizes.get(item_id, 0)
        while self._log and self._items and self._lacks(item_id, more):
            self._take(next(iter(self._items)))
            more = size - self._sizes.get(item_id, 0)
        if self._lacks(item_id, more):
            raise ShelfFull(f"You have reached the limit of {self._name}.")

    def _lacks(self, item_id: str, more: int) -> bool:
        full = item_id not in self._items and len(self._items) >= self._most
        return full or self._room.used + more > _BYTES

    def _place(self, item: Item, size: int) -> None:
        self._room.used += size - self._sizes.get(item.id, 0)
        if item.id not in self._numbers:
            self._numbers[item.id] = next(self._counter)
        self._items[item.id], self._sizes[item.id] = item, size

    def _take(self, item_id: str) -> None:
        del self._items[item_id], self._numbers[item_id]
        self._room.used -= self._sizes.pop(item_id)


class Shelves:
    """All shelves, as the journal left them."""

    def __init__(self, *, journal: Journal) -> None:
        self._journal = journal
        self._room = _Room()
        self._by_name: dict[str, Shelf[Any]] = {}
        self.voices = self._shelf("voices", Voice)
        self.documents = self._shelf("documents", Document)
        self.avatars = self._shelf("avatars", Avatar)
        self.routers = self._shelf("routers", Router)
        self.workflows = self._shelf("workflows", Workflow)
        self.routings = self._shelf("routings", Routing, log=True)
        self.invocations = self._shelf("invocations", Invocation, log=True)
        self.sessions = self._shelf("sessions", Session, log=True)
        self.charges = self._shelf("charges", Charge, log=True)
        self.audit_events = self._shelf("audit events", AuditEvent, log=True)
        for line in journal.replay(b'{"kind":"put"', b'{"kind":"remove"'):
            match line:
                case {"entry": dict(entry)}:
                    self._by_name[str(entry["shelf"])].replay(entry)

    def picture_of(self, avatar_id: str, now: float) -> str | None:
        """Returns the digest of an avatar's picture; None where there is no such avatar that is ready."""
        avatar = self.avatars.get(avatar_id)
        return avatar.digest if avatar is not None and _is_ready(avatar, now) else None

    def has_voice(self, voice_id: str, now: float) -> bool:
        """Returns whether there is such a voice, and it is ready."""
        return _is_ready(self.voices.get(voice_id), now)

    def _shelf(self, name: str, read: Callable[..., Item], *, log: bool = False) -> Shelf[Item]:
        shelf = Shelf(name, read, journal=self._journal, room=self._room, most=_LOGGED if log else _KEPT, log=log)
        self._by_name[name] = shelf
        return shelf


def _is_ready(made: Avatar | Voice | None, now: float) -> bool:
    return made is not None and not made.failure and made.ready_at <= now
