"""Group commit: changes to one key that arrive while a write is under way share the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

from evergreen_storage.storage import StorageError

C = TypeVar("C")
R = TypeVar("R")


class _Batch(Generic[C, R]):
    def __init__(self) -> None:
        self.changes: list[C] = []
        self.results: list[R] = []
        self.error: StorageError | None = None


class _Turn(Generic[C, R]):
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.open: _Batch[C, R] | None = None


class Batches(Generic[C, R]):
    """Gathers changes per key. The caller whose turn it is writes for all that wait; there is no background task."""

    def __init__(self, write: Callable[[str, Sequence[C]], Awaitable[R]]) -> None:
        self._write = write
        self._turns: WeakValueDictionary[str, _Turn[C, R]] = WeakValueDictionary()

    async def submit(self, key: str, change: C) -> R:
        """Makes a change, alone or together with others; returns once it is written.

        If the writing caller is cancelled, the next one writes the same changes; so they must be idempotent.
        """
        turn = self._turns.get(key)
        if turn is None:
            turn = self._turns[key] = _Turn()
        batch = turn.open
        if batch is None:
            batch = turn.open = _Batch()
        batch.changes.append(change)
        async with turn.lock:
            if batch.error:
                raise batch.error
            if not batch.results:
                if turn.open is batch:
                    turn.open = None  # from here on the batch takes no more changes
                try:
                    batch.results.append(await self._write(key, batch.changes))
                except StorageError as exc:
                    batch.error = exc
                    raise
            return batch.results[0]
