"""What uploads and downloads share: a bound on how many there are at once, and one on waiting for clients."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

AT_ONCE = 32
"""Each holds up to 16 MiB where the disk is the slower side, and on an object store up to 20 MiB."""
WAIT_SECONDS = 30.0
STALL_SECONDS = 60.0
LOOKS = 8
"""How often within that time it is looked whether the client stands still."""


class BrokenOff(Exception):
    """The client left before it had sent everything."""


class TooManyTransfers(Exception):
    """No turn became free in time."""


class TransferStalled(Exception):
    """The client neither sent nor took a byte for too long."""


class Waiting:
    """Is entered as a context to wait for the client, and tells since when."""

    def __init__(self) -> None:
        self.since: float | None = None
        self.timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        self.since = asyncio.get_running_loop().time()

    def __exit__(self, *_: object) -> None:
        self.since = None


class Transfers:
    """The turns of all uploads and downloads."""

    def __init__(
        self, *, at_once: int = AT_ONCE, wait_seconds: float = WAIT_SECONDS, stall_seconds: float = STALL_SECONDS
    ) -> None:
        self._turns = asyncio.Semaphore(at_once)
        self._wait_seconds = wait_seconds
        self._stall_seconds = stall_seconds

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Waits for a turn and keeps it. Raises TooManyTransfers."""
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._turns.acquire()
        except TimeoutError:
            raise TooManyTransfers("too many files are being transferred; try again later") from None
        try:
            yield
        finally:
            self._turns.release()

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[Waiting]:
        """Bounds each wait for the client, `with` what it gives, in this task. Raises TransferStalled.

        One slow timer looks after a whole transfer: one for each chunk would cost a quarter of the speed.
        """
        loop, waiting, bound = asyncio.get_running_loop(), Waiting(), asyncio.timeout(None)

        def look() -> None:
            if waiting.since is not None and loop.time() - waiting.since >= self._stall_seconds:
                bound.reschedule(loop.time())
            else:
                waiting.timer = loop.call_later(self._stall_seconds / LOOKS, look)

        try:
            async with bound:
                look()
                yield waiting
        except TimeoutError:
            if not bound.expired():
                raise
            text = f"the client neither sent nor took a byte for {self._stall_seconds:g} s"
            raise TransferStalled(text) from None
        finally:
            if waiting.timer is not None:
                waiting.timer.cancel()
