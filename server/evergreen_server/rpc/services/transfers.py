"""What uploads and downloads share: slots, which callers get in turn, and a bound on waiting for clients."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from evergreen_server.runtime.turns import Turns

AT_ONCE = 48
"""One caller alone gets half of them. Each holds up to 16 MiB if the disk is the slower side, and on an object store
up to 20 MiB."""
WAIT_SECONDS = 30.0
STALL_SECONDS = 60.0
LEAST_BYTES = 128 * 1024
"""The least that must pass per `STALL_SECONDS` of waiting for the client, so that none holds a slot for ever."""
CHECKS = 8
"""How often within `STALL_SECONDS` a stalled client is checked for."""


class BrokenOff(Exception):
    """The client left before it had sent everything."""


class TooManyTransfers(Exception):
    """No slot became free in time."""


class TransferStalled(Exception):
    """The client sent or took nothing, or almost nothing, for too long."""


class Waiting:
    """Measures waits for the client, each entered as a context: since when, how long in all, and for how many bytes."""

    def __init__(self) -> None:
        self.since: float | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.passed = 0
        """Bytes, counted by the code that moves them."""
        self._seconds = 0.0
        self._mark = 0.0, 0

    def __enter__(self) -> None:
        self.since = asyncio.get_running_loop().time()

    def __exit__(self, *_: object) -> None:
        if self.since is not None:
            self._seconds += asyncio.get_running_loop().time() - self.since
        self.since = None

    def stands_still(self, now: float, seconds: float, least: int) -> bool:
        """Returns whether the server has waited so long, once or in all, for less than `least` bytes."""
        once = 0.0 if self.since is None else now - self.since
        waited, passed = self._mark
        if once >= seconds:
            return True
        if self._seconds + once - waited < seconds:
            return False
        self._mark = self._seconds + once, self.passed
        return self.passed - passed < least


class Transfers:
    """The slots of all uploads and downloads."""

    def __init__(
        self,
        *,
        at_once: int = AT_ONCE,
        wait_seconds: float = WAIT_SECONDS,
        stall_seconds: float = STALL_SECONDS,
        least_bytes: int = LEAST_BYTES,
    ) -> None:
        self._turns = Turns(at_once)
        self._wait_seconds = wait_seconds
        self._stall_seconds = stall_seconds
        self._least_bytes = least_bytes

    @asynccontextmanager
    async def slot(self, owner: str) -> AsyncIterator[None]:
        """Waits for a slot for `owner` and holds it. Raises TooManyTransfers."""
        place = self._turns.ask(owner)
        try:
            try:
                async with asyncio.timeout(self._wait_seconds):
                    await place
            except TimeoutError:
                raise TooManyTransfers("too many files are being transferred; try again later") from None
            yield
        finally:
            self._turns.give_back(owner, place)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[Waiting]:
        """Bounds the waits for the client, each `with` the yielded object, in this task. Raises TransferStalled.

        One slow timer watches a whole transfer: one for each chunk would cost a quarter of the speed.
        """
        loop, waiting, bound = asyncio.get_running_loop(), Waiting(), asyncio.timeout(None)

        def check() -> None:
            # Only while waiting for the client: once a body is complete, the server itself is busy storing it.
            still = waiting.since is not None
            if still and waiting.stands_still(loop.time(), self._stall_seconds, self._least_bytes):
                bound.reschedule(loop.time())
            else:
                waiting.timer = loop.call_later(self._stall_seconds / CHECKS, check)

        try:
            async with bound:
                check()
                yield waiting
        except TimeoutError:
            if not bound.expired():
                raise
            text = f"the client let less than {self._least_bytes} bytes pass in {self._stall_seconds:g} s"
            raise TransferStalled(text) from None
        finally:
            if waiting.timer is not None:
                waiting.timer.cancel()
