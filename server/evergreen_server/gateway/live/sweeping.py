"""Looks once a second after every connection that is told of events: who takes nothing, and who is not there any more.

One look at all of them costs less than a timer with every message of each.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol, Self

from evergreen_server.gateway.problems import internal

__all__ = ["Sweep", "Swept"]

SWEEP_SECONDS = 1.0


class Swept(Protocol):
    """A connection that is looked after."""

    def look(self, now: float) -> None:
        """Does what is due."""


class Sweep:
    """All of them. A context; used on one loop."""

    def __init__(self) -> None:
        self._swept: set[Swept] = set()

    async def __aenter__(self) -> Self:
        self._tasks = asyncio.TaskGroup()
        await self._tasks.__aenter__()
        self._task = self._tasks.create_task(self._run(), name="sweep of event streams")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        await self._tasks.__aexit__(None, None, None)

    @contextmanager
    def of(self, swept: Swept) -> Iterator[None]:
        """Looks after one more."""
        self._swept.add(swept)
        try:
            yield
        finally:
            self._swept.discard(swept)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            for each in list(self._swept):
                try:
                    each.look(loop.time())
                except Exception as exc:
                    # One odd connection must not end the gateway.
                    internal(exc)
