"""Lets one writer at a time use a key, for engines that cannot check and write in one step."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias
from weakref import WeakValueDictionary

Lock: TypeAlias = Callable[[str], AbstractAsyncContextManager[Callable[[], None]]]
"""Locks a key against all other processes. Yields a check, to be called just before the write, which raises
Unavailable once another process may hold the lock. Raises Unavailable where the lock cannot be acquired."""


class KeyLocks:
    """The locks of one engine: within this process, and, where `lock` is given, between processes too."""

    def __init__(self, lock: Lock | None) -> None:
        self._lock = lock
        self._mine: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def between_processes(self) -> bool:
        """Returns whether other processes are kept out too."""
        return self._lock is not None

    @asynccontextmanager
    async def held(self, key: str, *, between_processes: bool = True) -> AsyncGenerator[Callable[[], None], None]:
        """Holds a key. Yields a check to be called just before the write. Raises Unavailable."""
        async with self._mine.setdefault(key, asyncio.Lock()):
            if self._lock is None or not between_processes:
                yield _nothing
            else:
                async with self._lock(key) as check:
                    yield check


def _nothing() -> None:
    pass
