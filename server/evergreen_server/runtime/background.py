"""Tasks that run as long as the service does, and must not end before it.

Each is an outermost loop: nothing further out handles what it raises. An error is logged with its traceback and
counted, and the work is restarted after a pause: a server that ends over one odd row or answer serves nobody, and would
meet the same after its restart. If the same error repeats, it is logged in one line without the traceback.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Self, TypeAlias

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 60.0
STABLE_SECONDS = 300.0
"""After work has run for so long, its next error counts as a new one."""

logger = logging.getLogger(__name__)

Work: TypeAlias = Callable[[], Coroutine[object, object, None]]


class Background:
    """Owns the tasks: they are cancelled when the context ends, and until then restarted whatever they raise.

    `failed` is called with the name of a task each time it ends. A cancellation always passes through.
    """

    def __init__(
        self, *, failed: Callable[[str], None], sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._failed = failed
        self._sleep = sleep

    async def __aenter__(self) -> Self:
        self._group = asyncio.TaskGroup()
        await self._group.__aenter__()
        self._tasks: list[asyncio.Task[None]] = []
        return self

    def start(self, work: Work, *, name: str) -> None:
        """Starts work that is expected never to return. It must be restartable, wherever it ended."""
        self._tasks.append(self._group.create_task(self._keep(work, name), name=name))

    async def _keep(self, work: Work, name: str) -> None:
        loop = asyncio.get_running_loop()
        last, times = "", 0
        while True:
            begun, error, cause = loop.time(), None, "returned"
            try:
                await work()
            except Exception as exc:
                error, cause = exc, _cause(exc)
            times = 1 if cause != last or loop.time() - begun > STABLE_SECONDS else times + 1
            last = cause
            pause = min(FIRST_PAUSE_SECONDS * 2.0 ** min(times - 1, 16), LONGEST_PAUSE_SECONDS)
            self._failed(name)
            logger.error(
                "background task failed",
                exc_info=error if times == 1 else None,
                extra={"task": name, "cause": cause, "times": times, "pause_seconds": pause},
            )
            await self._sleep(pause)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        if error is None or isinstance(error, asyncio.CancelledError):
            await self._group.__aexit__(kind, error, trace)
        else:
            # An error from elsewhere passes through as it is, not wrapped in a group.
            await self._group.__aexit__(None, None, None)


def _cause(exc: Exception) -> str:
    """Returns an exception's type and the line that raised it, never its text, which may hold secrets."""
    trace = exc.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" at {trace.tb_frame.f_code.co_name}:{trace.tb_lineno}" if trace is not None else ""
    return type(exc).__name__ + where
