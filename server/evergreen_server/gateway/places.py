"""What callers share: calls at once, streams, and bodies on their way; each with its bound."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import grpc

from evergreen_server.gateway.problems import refused
from evergreen_server.runtime.turns import Turns

__all__ = ["Places"]

CALLS = 200
"""Calls with one answer; one caller alone gets half of them, and more of its calls wait."""
BODIES = 32
"""Bodies beyond `SMALL_BYTES` in memory. By address, since whoever sends one may have no token yet."""
STREAMS = 10_000
STREAMS_EACH = 2000
KEPT_FILES = 512
WAIT_SECONDS = 30.0


class Places:
    """Places for the requests of one gateway that may have `files` files open. Used on one loop."""

    def __init__(self, *, files: int) -> None:
        self.most = max(16, min(STREAMS, files - KEPT_FILES))
        """The most streams, and about as many connections."""
        self._calls = Turns(CALLS)
        self._bodies = Turns(BODIES)
        self._streams: Counter[str] = Counter()

    @asynccontextmanager
    async def call(self, owner: str) -> AsyncIterator[None]:
        """Waits for a place of a call with one answer. Raises Refused after half a minute."""
        async with _in_time(self._calls, owner, "calls"):
            yield

    @asynccontextmanager
    async def body(self, address: str) -> AsyncIterator[None]:
        """Waits for a place of a large body. Raises Refused after half a minute."""
        async with _in_time(self._bodies, address, "bodies"):
            yield

    @contextmanager
    def stream(self, owner: str) -> Iterator[None]:
        """Holds a place of a stream. Raises Refused at once if there is none."""
        if self._streams[owner] >= STREAMS_EACH or self._streams.total() >= self.most:
            raise _full("streams")
        self._streams[owner] += 1
        try:
            yield
        finally:
            self._streams[owner] -= 1
            if not self._streams[owner]:
                del self._streams[owner]


@asynccontextmanager
async def _in_time(turns: Turns, owner: str, what: str) -> AsyncIterator[None]:
    place = turns.ask(owner)
    try:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await place
        except TimeoutError:
            raise _full(what) from None
        yield
    finally:
        turns.give_back(owner, place)


def _full(what: str) -> Exception:
    return refused(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "QUEUE_FULL",
        message=f"too many {what} are open; close some, or try again later",
        retry_seconds=1,
    )
