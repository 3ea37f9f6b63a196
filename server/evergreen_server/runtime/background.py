"""Tasks that run as long as the service does, and must not end before it.

Each is an outermost loop: what it raises is nobody's to handle further out. It is logged with its traceback, counted,
and the work begun again after a pause, since a server that ends over one odd row or answer serves nobody, and after
its restart would meet the same again. Repeated alike, it is told of in one line without the traceback.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Self, TypeAlias

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 60.0
SOUND_SECONDS = 300.0
"""Work that ran for so long was sound, and what it raises then is not what it raised before."""

logger = logging.getLogger(__name__)

Work: TypeAlias = Callable[[], Coroutine[object, object, None]]


class Background:
    """Owns the tasks: they are cancelled when the context ends, and until then begun again whatever they raise.

    `failed` hears the name of a task each time that it ended. A cancellation always passes through.
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
        """Starts work that is expected never to return. It must be fit to be begun again after it ended anywhere."""
        self._tasks.append(self._group.create_task(self._keep(work, name), name=name))

    async def _keep(self, work: Work, name: str) -> None:
        loop = asyncio.get_running_loop()
        last, times = "", 0
        while True:
            begun, fault, cause = loop.time(), None, "returned"
            try:
                await work()
            except Exception as exc:
                fault, cause = exc, _cause(exc)
            times = 1 if cause != last or loop.time() - begun > SOUND_SECONDS else times + 1
            last = cause
            pause = min(FIRST_PAUSE_SECONDS * 2.0 ** min(times - 1, 16), LONGEST_PAUSE_SECONDS)
            self._failed(name)
            logger.error(
                "background task failed",
                exc_info=fault if times == 1 else None,
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
            # What went wrong elsewhere goes on as it is, and not as a group of one.
            await self._group.__aexit__(None, None, None)


def _cause(exc: Exception) -> str:
    """Names an exception by its kind and the line that raised it, never by its text, which may hold anything."""
    trace = exc.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" at {trace.tb_frame.f_code.co_name}:{trace.tb_lineno}" if trace is not None else ""
    return type(exc).__name__ + where
