"""The newest messages of one project, ready to send, and the newest of each job that has not ended."""

from collections.abc import Iterable, Sequence
from itertools import takewhile

from evergreen_server.gateway.live.items import Item

__all__ = ["AT_ONCE", "MESSAGES", "Window"]

MESSAGES = 4096
AT_ONCE = 100
"""How many messages a follower takes at a time: times their size, that bounds what one that stops reading holds."""
ITEM_BYTES = 200
"""What a message takes beside its JSON."""


class Window:
    """Messages by their places, which count from the first that there ever was. Used on one loop.

    `revision` is up to where everything is known; `bytes` what all of it takes.
    """

    def __init__(self) -> None:
        self.revision = 0
        self.bytes = 0
        self._items: list[Item] = []
        self._first = 0
        self._base = 0
        self._newest: dict[str, Item] | None = {}

    @property
    def end(self) -> int:
        """Returns the place of the next message."""
        return self._first + len(self._items)

    def begin(self, revision: int) -> None:
        """Takes what was noted as all that there is up to a revision."""
        self.revision = self._base = revision

    def note(self, item: Item) -> None:
        """Keeps an item as the newest of its subject, which a final one ends."""
        if self._newest is None:
            return
        if (before := self._newest.pop(item.subject, None)) is not None:
            self.bytes -= _size(before)
        if not item.final:
            # Anew at the end, so that they are in the order of their revisions.
            self._newest[item.subject] = item
            self.bytes += _size(item)

    def append(self, item: Item) -> None:
        """Adds the next message."""
        self.note(item)
        self._items.append(item)
        self.bytes += _size(item)
        self.revision = item.revision

    def trim(self, most_bytes: int) -> None:
        """Lets the oldest messages go that are too many, and if need be the states of jobs."""
        surplus, number = self.bytes - most_bytes, 0
        # By half of it, so that the rest is not moved along with every message.
        if len(self._items) >= 2 * MESSAGES:
            number = len(self._items) - MESSAGES
            surplus -= sum(map(_size, self._items[:number]))
        while surplus > 0 and number < len(self._items):
            surplus -= _size(self._items[number])
            number += 1
        if number:
            self._base = self._items[number - 1].revision
            self.bytes -= sum(map(_size, self._items[:number]))
            del self._items[:number]
            self._first += number
        if surplus > 0 and self._newest is not None:
            self.bytes -= sum(map(_size, self._newest.values()))
            self._newest = None

    def after(self, place: int) -> Sequence[Item] | None:
        """Returns the next messages from a place on; None if the window begins later."""
        start = place - self._first
        return self._items[start : start + AT_ONCE] if start >= 0 else None

    def place_after(self, revision: int) -> int | None:
        """Returns the place of what comes after a revision; None if that is not all here any more, or not yet."""
        if not self._base <= revision <= self.revision:
            return None
        newer = sum(1 for _ in takewhile(lambda item: item.revision > revision, reversed(self._items)))
        return self.end - newer

    def snapshots(self) -> Iterable[Item] | None:
        """Returns the state of every job and film that has not ended, by rising revision; None if not all are kept."""
        return None if self._newest is None else [item.as_snapshot() for item in self._newest.values()]

    def is_last(self, item: Item) -> bool:
        """Returns whether nothing is known of the item's subject that came later."""
        later = takewhile(lambda each: each.revision > item.revision, reversed(self._items))
        return all(each.subject != item.subject for each in later)

    def snapshots_of(self, subjects: Iterable[str]) -> Sequence[Item] | None:
        """Returns the states of these jobs and films by rising revision; None if they are not all at hand."""
        found = [self._newest.get(subject) if self._newest is not None else None for subject in subjects]
        there = [item for item in found if item is not None]
        if len(there) < len(found):
            return None
        return [item.as_snapshot() for item in sorted(there, key=lambda item: item.revision)]


def _size(item: Item) -> int:
    return len(item.data) + ITEM_BYTES
