"""Sleeps until there are news, and waits for others only until the gateway stops."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from evergreen_server.gateway.live.hub import Draining

__all__ = ["Sleeper"]


class Sleeper:
    """The flag of one who follows. Used on one loop."""

    __slots__ = ("_joining", "_sleeping", "_woken", "draining")

    def __init__(self) -> None:
        self.draining = self._woken = False
        self._sleeping: asyncio.Future[None] | None = None
        self._joining: asyncio.Timeout | None = None

    def wake(self) -> None:
        self._woken = True
        if self._sleeping is not None and not self._sleeping.done():
            self._sleeping.set_result(None)

    def drain(self) -> None:
        """Wakes it for good, and ends what it waits for."""
        self.draining = True
        if self._joining is not None:
            self._joining.reschedule(asyncio.get_running_loop().time())
        self.wake()

    async def sleep(self) -> None:
        """Returns at the next `wake`, or at once after one that came meanwhile."""
        if not self._woken:
            self._sleeping = asyncio.get_running_loop().create_future()
            await self._sleeping
        self._woken = False

    @asynccontextmanager
    async def interruptible(self) -> AsyncIterator[None]:
        """Ends what waits for others as soon as the gateway stops. Raises Draining."""
        if self.draining:
            raise Draining
        try:
            async with asyncio.timeout(None) as self._joining:
                yield
        except TimeoutError:
            if self._joining is None or not self._joining.expired():
                raise
            raise Draining from None
        finally:
            self._joining = None
