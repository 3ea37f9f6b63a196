"""Work that must be recorded runs to its end, though its caller is cancelled."""

import asyncio
import logging
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")

logger = logging.getLogger(__name__)


class ProtectedTasks:
    """Lets work that must be recorded run to its end, though its caller is cancelled.

    When the context ends, what is under way has `grace_seconds` to end; then it is cancelled.
    """

    def __init__(self, *, grace_seconds: float) -> None:
        self._grace_seconds = grace_seconds
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._grace_seconds)
        for task in list(self._tasks):
            logger.warning("work cut off", extra={"work": task.get_name()})
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def run(self, work: Coroutine[object, object, T], *, name: str) -> T:
        """Runs `work`; returns what it returns and raises what it raises."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            # The caller is gone: log an error, which nobody else would see.
            task.add_done_callback(_log_failure)
            raise


async def run_to_end(work: Coroutine[object, object, T]) -> T:
    """Runs `work`, which must soon end, though its caller is cancelled meanwhile, even twice; that counts afterwards.

    Returns what `work` returns and raises what it raises.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as exc:
            cancelled = exc
    if cancelled is not None:
        # So that no error is reported as unretrieved.
        task.cancelled() or task.exception()
        raise cancelled
    return task.result()


def _log_failure(task: "asyncio.Task[Any]") -> None:
    if not task.cancelled() and (exc := task.exception()) is not None:
        logger.warning("work failed", exc_info=exc, extra={"work": task.get_name()})
