"""Runs many storage calls at once, a bounded number at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, TypeVar

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE: Final = 32


async def map_concurrently(call: Callable[[T], Awaitable[R]], values: Iterable[T]) -> Sequence[R]:
    """Calls once for each value and gives the results in order. The first failure ends the rest and is raised."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(value: T) -> R:
        async with room:
            return await call(value)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(value)) for value in values]
    except ExceptionGroup as faults:
        # Callers know the kinds of one call's failure, and the others failed for the same reason or were cancelled.
        raise faults.exceptions[0] from None
    return [task.result() for task in tasks]
