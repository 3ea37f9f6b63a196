"""Places that several owners share: a number at once, and never all of them for the owner that asks most.

An owner gets a further place only while it holds fewer than are free. So one alone gets half of them, several get
equal shares, and an owner that holds none finds one free, unless many others came before. A place that is given back
goes to the owner that holds fewest; of several, to the one whose last turn, or arrival, is longest ago.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

Place = asyncio.Future[None]
"""Done as soon as its owner has it."""


class Turns:
    """`at_once` places, for owners that are named by any text, such as a project's id. Made for one event loop.

    Waiting has no time limit: put `asyncio.timeout` around it if there is one.
    """

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._held: Counter[str] = Counter()
        self._waiting: OrderedDict[str, OrderedDict[Place, None]] = OrderedDict()

    @asynccontextmanager
    async def of(self, owner: str) -> AsyncIterator[None]:
        """Waits for a place and holds it for as long as the context lasts."""
        place = self.ask(owner)
        try:
            await place
            yield
        finally:
            self.give_back(owner, place)

    def ask(self, owner: str) -> Place:
        """Returns a place that is free at once or later; call `give_back` in either case."""
        place: Place = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, OrderedDict())[place] = None
        self._serve()
        return place

    def give_back(self, owner: str, place: Place) -> None:
        """Gives a place back, or stops waiting for it."""
        queue = self._waiting.get(owner, OrderedDict())
        if place in queue:
            del queue[place]
            if not queue:
                del self._waiting[owner]
            return
        self._free += 1
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]
        if owner in self._waiting:
            self._waiting.move_to_end(owner)
        self._serve()

    def _serve(self) -> None:
        while self._free and self._waiting:
            owner = self._next()
            if self._held[owner] >= self._free:
                return
            queue = self._waiting[owner]
            place, _ = queue.popitem(last=False)
            if queue:
                self._waiting.move_to_end(owner)
            else:
                del self._waiting[owner]
            self._free -= 1
            self._held[owner] += 1
            # If its owner was cancelled, it gives the place back.
            if not place.done():
                place.set_result(None)

    def _next(self) -> str:
        # No more owners hold one than there are places, so this is short however many wait.
        empty_handed = (owner for owner in self._waiting if owner not in self._held)
        return next(empty_handed, None) or min(self._waiting, key=self._held.__getitem__)
