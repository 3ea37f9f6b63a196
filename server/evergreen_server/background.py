"""Tasks that run as long as the service does, and must not end before it."""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Self


class Background:
    """Owns the tasks: they are cancelled when the context ends, and the first that fails ends the context."""

    async def __aenter__(self) -> Self:
        self._group = asyncio.TaskGroup()
        await self._group.__aenter__()
        self._tasks: list[asyncio.Task[None]] = []
        return self

    def start(self, work: Coroutine[object, object, None], *, name: str) -> None:
        """Starts a task that is expected never to return."""
        self._tasks.append(self._group.create_task(work, name=name))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        if error is None or isinstance(error, asyncio.CancelledError):
            await self._group.__aexit__(kind, error, trace)
        else:
            # What went wrong elsewhere goes on as it is, and not as a group of one.
            await self._group.__aexit__(None, None, None)
