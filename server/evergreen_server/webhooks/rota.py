"""Who sends next: webhooks take turns, those of different projects first, and slow ones hold up only themselves.

A webhook whose last send succeeded in time is *quick*. It may send several at once, as long as more than half of the
places are free; any other one at a time, and all these together have half of the places.
"""

from collections import Counter, OrderedDict
from typing import Final

__all__ = ["AT_ONCE", "Rota"]

AT_ONCE: Final = 50
OF_ONE: Final = 4


class _Lane:
    """Webhooks that wait, by their owners; both take turns."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, OrderedDict[str, None]] = OrderedDict()
        self._owner: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

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

    def pop(self) -> str:
        owner = next(iter(self._waiting))
        webhook_id = next(iter(self._waiting[owner]))
        self.remove(webhook_id)
        if owner in self._waiting:
            self._waiting.move_to_end(owner)
        return webhook_id


class Rota:
    """The places, and the webhooks that may have something to send. Used on one loop."""

    def __init__(self, at_once: int = AT_ONCE, of_one: int = OF_ONE) -> None:
        self._at_once = self._free = at_once
        self._of_one = of_one
        self._idle, self._busy, self._slow = _Lane(), _Lane(), _Lane()
        self._owners: dict[str, str] = {}
        """Of the webhooks that may have something to send."""
        self._quick: set[str] = set()
        self._sending: Counter[str] = Counter()
        self._slow_sending: set[str] = set()
        self._turn = False

    @property
    def sending(self) -> int:
        """Returns how many places are taken."""
        return self._at_once - self._free

    def wake(self, webhook_id: str, owner: str, *, quick: bool) -> None:
        """Notes that a webhook may have something to send."""
        if not self._sending[webhook_id]:
            self._judge(webhook_id, quick)
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
        lanes = [self._idle] if len(self._slow_sending) >= self._at_once // 2 else [self._idle, self._slow]
        if self._turn:
            lanes.reverse()
        if self._free > self._at_once // 2:
            lanes.append(self._busy)
        for lane in lanes:
            if lane:
                webhook_id = lane.pop()
                self._turn = not self._turn
                self._free -= 1
                self._sending[webhook_id] += 1
                if webhook_id not in self._quick:
                    self._slow_sending.add(webhook_id)
                self._queue(webhook_id)
                return webhook_id
        return None

    def give_back(self, webhook_id: str, *, quick: bool | None = None) -> None:
        """Gives a place back; `quick` is how the send was, None if there was none."""
        self._free += 1
        self._sending[webhook_id] -= 1
        if not self._sending[webhook_id]:
            self._slow_sending.discard(webhook_id)
        if quick is not None:
            self._judge(webhook_id, quick)
        if webhook_id in self._owners:
            self._queue(webhook_id)
        self._clean(webhook_id)

    def _judge(self, webhook_id: str, quick: bool) -> None:
        if quick:
            self._quick.add(webhook_id)
        else:
            self._quick.discard(webhook_id)

    def _queue(self, webhook_id: str) -> None:
        """Puts a webhook into the lane in which it may wait now, if any."""
        self._leave(webhook_id)
        sending, owner = self._sending[webhook_id], self._owners[webhook_id]
        if webhook_id in self._quick:
            if sending < self._of_one:
                (self._busy if sending else self._idle).add(webhook_id, owner)
        elif not sending:
            self._slow.add(webhook_id, owner)

    def _leave(self, webhook_id: str) -> None:
        for lane in (self._idle, self._busy, self._slow):
            lane.remove(webhook_id)

    def _clean(self, webhook_id: str) -> None:
        if not self._sending[webhook_id]:
            del self._sending[webhook_id]
            if webhook_id not in self._owners:
                self._quick.discard(webhook_id)
