"""Blocking work, on files or by the processor, in its own threads: the engine needs those of the loop to start jobs."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

from evergreen_server.runtime.turns import Turns

T = TypeVar("T")


class OwnThreads:
    """A few threads, which owners get in turn: reads that hang delay only their own project's.

    A thread cannot be stopped. Work whose caller is gone keeps its thread and its owner's place until it ends, so it
    must not need what its caller removes. Open as a context.
    """

    def __init__(self, at_once: int, *, name: str) -> None:
        self._executor = ThreadPoolExecutor(at_once, thread_name_prefix=name)
        self._turns = Turns(at_once)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def run(self, work: Callable[[], T], *, owner: str) -> T:
        """Runs `work` when it is the owner's turn, and returns its result. Raises what `work` raises."""
        place = self._turns.ask(owner)
        try:
            await place
            doing = asyncio.get_running_loop().run_in_executor(self._executor, work)
        except BaseException:
            self._turns.give_back(owner, place)
            raise

        def ended(doing: "asyncio.Future[T]") -> None:
            self._turns.give_back(owner, place)
            # So that no error is reported as unretrieved if the caller is gone.
            doing.cancelled() or doing.exception()

        doing.add_done_callback(ended)
        return await asyncio.shield(doing)
