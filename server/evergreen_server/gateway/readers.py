"""Bounds how long writing waits for whoever reads."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

__all__ = ["taken"]


@asynccontextmanager
async def taken(request: web.Request, seconds: float) -> AsyncIterator[None]:
    """Bounds how long the reader may leave unread what is written meanwhile. Raises ConnectionError."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        if request.transport is not None:
            # Closed, it would wait for the reader as well.
            request.transport.abort()
        raise ConnectionAbortedError("the reader stands still") from None
