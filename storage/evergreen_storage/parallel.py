"""Runs many storage calls concurrently, a bounded number at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, TypeVar

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE: Final = 32


async def map_concurrently(call: Callable[[T], Awaitable[R]], values: Iterable[T]) -> Sequence[R]:
    """Runs a call for each value, AT_ONCE at a time. Returns the results in order; raises the first failure."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(value: T) -> R:
        async with slots:
            return await call(value)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(value)) for value in values]
    except ExceptionGroup as errors:
        # Callers handle the errors of one call; the others failed for the same reason or were cancelled.
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
