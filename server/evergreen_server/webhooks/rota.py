"""Who sends next: webhooks take turns, those of different projects first, and slow ones hold up only themselves.

A webhook whose last send succeeded in time is *quick*. It may send several at once, as long as more than half of the
places are free. Any other sends one at a time: those whose last send was slow or failed have half of the places
together, and those that have sent nothing yet a quarter, of which an owner gets a further one only while it holds fewer
than are free. So a quarter is left for quick ones, whatever others do.
"""

from collections import Counter, OrderedDict
from typing import Final

__all__ = ["AT_ONCE", "Rota"]

AT_ONCE: Final = 50
OF_ONE: Final = 4


class _Lane:
    """Webhooks that wait, by their owners; both take turns. With `most`, no more of them send at once."""

    def __init__(self, most: int | None = None) -> None:
        self._waiting: OrderedDict[str, OrderedDict[str, None]] = OrderedDict()
        self._owner: dict[str, str] = {}
        self._left = most
        self._held: Counter[str] = Counter()
        self._sending: dict[str, str] = {}

    def add(self, webhook_id: str, owner: str) -> None:
        if webhook_id not in self._owner:
            self._owner[webhook_id] = owner
            self._waiting.setdefault(owner, OrderedDict())[webhook_id] = None

    def remove(self, webhook_id: str) -> None:
        owner = self._owner.pop(webhook_id, None)
        if owner is not None:
            del self._waiting[owner][webhook_id]
            if not self._waiting[owner]:
                del self._waiting[owner]

    def take(self) -> str | None:
        """Takes the webhook whose turn it is out of the lane; None if none may send."""
        # No more owners hold a place than there are, so this is short however many wait.
        may = (owner for owner in self._waiting if self._left is None or self._held[owner] < self._left)
        owner = next(may, None)
        if owner is None:
            return None
        webhook_id = next(iter(self._waiting[owner]))
        self.remove(webhook_id)
        if owner in self._waiting:
            self._waiting.move_to_end(owner)
        if self._left is not None:
            self._left -= 1
            self._held[owner] += 1
            self._sending[webhook_id] = owner
        return webhook_id

    def ended(self, webhook_id: str) -> None:
        """Notes that a webhook that was taken out of the lane sends no more."""
        owner = self._sending.pop(webhook_id, None)
        if owner is not None and self._left is not None:
            self._left += 1
            self._held[owner] -= 1
            if not self._held[owner]:
                del self._held[owner]


class Rota:
    """The places, and the webhooks that may have something to send. Used on one loop."""

    def __init__(self, at_once: int = AT_ONCE, of_one: int = OF_ONE) -> None:
        self._at_once = self._free = at_once
        self._of_one = of_one
        self._idle, self._busy = _Lane(), _Lane()
        self._slow, self._new = _Lane(at_once // 2), _Lane(max(1, at_once // 4))
        self._owners: dict[str, str] = {}
        """Of the webhooks that may have something to send."""
        self._quick: dict[str, bool] = {}
        """Of those that have sent something."""
        self._sending: Counter[str] = Counter()
        self._turn = 0

    @property
    def sending(self) -> int:
        """Returns how many places are taken."""
        return self._at_once - self._free

    def wake(self, webhook_id: str, owner: str, *, quick: bool | None) -> None:
        """Notes that a webhook may have something to send; `quick` is how its last send was, None before the first."""
        if not self._sending[webhook_id]:
            self._quick.pop(webhook_id, None)
            if quick is not None:
                self._quick[webhook_id] = quick
        self._owners[webhook_id] = owner
        self._queue(webhook_id)

    def sleep(self, webhook_id: str) -> None:
        """Notes that it has nothing to send, until it is woken."""
        self._owners.pop(webhook_id, None)
        self._leave(webhook_id)
        self._clean(webhook_id)

    def take(self) -> str | None:
        """Takes a place for the webhook whose turn it is and returns it; None if none may send now."""
        if not self._free:
            return None
        lanes = [self._idle, self._slow, self._new]
        # Each kind in turn goes first.
        self._turn = (self._turn + 1) % len(lanes)
        lanes = lanes[self._turn :] + lanes[: self._turn]
        if self._free > self._at_once // 2:
            lanes.append(self._busy)
        for lane in lanes:
            if (webhook_id := lane.take()) is not None:
                self._free -= 1
                self._sending[webhook_id] += 1
                self._queue(webhook_id)
                return webhook_id
        return None

    def give_back(self, webhook_id: str, *, quick: bool | None = None) -> None:
        """Gives a place back; `quick` is how the send was, None if there was none."""
        self._free += 1
        self._sending[webhook_id] -= 1
        if not self._sending[webhook_id]:
            self._slow.ended(webhook_id)
            self._new.ended(webhook_id)
        if quick is not None:
            self._quick[webhook_id] = quick
        if webhook_id in self._owners:
            self._queue(webhook_id)
        self._clean(webhook_id)

    def _queue(self, webhook_id: str) -> None:
        """Puts a webhook into the lane in which it may wait now, if any."""
        self._leave(webhook_id)
        sending, owner = self._sending[webhook_id], self._owners[webhook_id]
        quick = self._quick.get(webhook_id)
        if quick and sending < self._of_one:
            (self._busy if sending else self._idle).add(webhook_id, owner)
        elif not quick and not sending:
            (self._new if quick is None else self._slow).add(webhook_id, owner)

    def _leave(self, webhook_id: str) -> None:
        for lane in (self._idle, self._busy, self._new, self._slow):
            lane.remove(webhook_id)

    def _clean(self, webhook_id: str) -> None:
        if not self._sending[webhook_id]:
            del self._sending[webhook_id]
            if webhook_id not in self._owners:
                self._quick.pop(webhook_id, None)
