"""What uploads and downloads share: a bound on how many there are at once, by turns, and one on waiting for clients."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from evergreen_server.runtime.turns import Turns

AT_ONCE = 48
"""Of which one caller alone gets half. Each holds up to 16 MiB where the disk is the slower side, and on an object
store up to 20 MiB."""
WAIT_SECONDS = 30.0
STALL_SECONDS = 60.0
LEAST_BYTES = 128 * 1024
"""What must pass in so long a time of waiting for the client, or its turn would be a slow way to hold it for ever."""
CHECKS = 8
"""How often within that time it is looked whether the client stands still."""


class BrokenOff(Exception):
    """The client left before it had sent everything."""


class TooManyTransfers(Exception):
    """No turn became free in time."""


class TransferStalled(Exception):
    """The client sent or took nothing, or next to nothing, for too long."""


class Waiting:
    """Is entered as a context to wait for the client, and tells since when, how long in all, and for how much."""

    def __init__(self) -> None:
        self.since: float | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.passed = 0
        """Bytes, as counted by whoever moves them."""
        self._seconds = 0.0
        self._mark = 0.0, 0

    def __enter__(self) -> None:
        self.since = asyncio.get_running_loop().time()

    def __exit__(self, *_: object) -> None:
        if self.since is not None:
            self._seconds += asyncio.get_running_loop().time() - self.since
        self.since = None

    def stands_still(self, now: float, seconds: float, least: int) -> bool:
        """Tells whether the client has let the server wait for so long, once or in all, for less than `least` bytes."""
        once = 0.0 if self.since is None else now - self.since
        waited, passed = self._mark
        if once >= seconds:
            return True
        if self._seconds + once - waited < seconds:
            return False
        self._mark = self._seconds + once, self.passed
        return self.passed - passed < least


class Transfers:
    """The turns of all uploads and downloads."""

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
        """Waits for a turn of whoever it is for and keeps it. Raises TooManyTransfers."""
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
        """Bounds each wait for the client, `with` what it gives, in this task. Raises TransferStalled.

        One slow timer looks after a whole transfer: one for each chunk would cost a quarter of the speed.
        """
        loop, waiting, bound = asyncio.get_running_loop(), Waiting(), asyncio.timeout(None)

        def check() -> None:
            # Only who is waited for: with a body that has come whole the server itself is busy, storing and naming it.
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
