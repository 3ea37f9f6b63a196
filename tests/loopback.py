"""Servers on the loopback that leave no connection open when they end: of raw bytes by a function, of HTTP by an app.

By a function, tests give answers as wrong as only raw bytes can be.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ssl import SSLContext
from typing import Any, TypeAlias

from aiohttp import web

ACCEPT_TURNS = 3
"""Turns of the loop from where it accepts a connection to where its server knows of it, and can close it."""
ABORT_TURNS = 3
"""Turns of the loop from where a connection is aborted to where its socket is closed."""

Handle: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def turns(number: int) -> None:
    """Lets the loop go on for so many turns."""
    for _ in range(number):
        await asyncio.sleep(0)


async def accept_no_more(server: asyncio.Server) -> None:
    """Ends accepting, and lets the loop make connections of all that were accepted: Python 3.11 leaves those open that
    are accepted just as their server closes."""
    for listener in server.sockets:
        asyncio.get_running_loop().remove_reader(listener)
    await turns(ACCEPT_TURNS)
    server.close()


@asynccontextmanager
async def listening(handle: Handle) -> AsyncIterator[int]:
    """Serves each connection by `handle`, and closes it afterwards, when the peer breaks it off, and at the end.

    Yields the port. A handle that has not ended by the end is cancelled.
    """
    tasks: set[asyncio.Task[None]] = set()
    transports: list[asyncio.WriteTransport] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        transports.append(writer.transport)
        try:
            await handle(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        await accept_no_more(server)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # One whose peer reads no more, and that has bytes to send, would not close.
        for transport in transports:
            transport.abort()
        await turns(ABORT_TURNS)


@asynccontextmanager
async def serving_app(app: web.Application, *, ssl: SSLContext | None = None, **options: Any) -> AsyncIterator[str]:
    """Serves an app, with more options of its runner. Yields the address.

    At the end, what it is still asked is given a moment, and then ends with its connection.
    """
    runner = web.AppRunner(app, **{"access_log": None, "shutdown_timeout": 0.1, **options})
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    try:
        await web.SockSite(runner, listener, ssl_context=ssl).start()
        host, port = listener.getsockname()
        yield f"{host}:{port}"
    finally:
        asyncio.get_running_loop().remove_reader(listener)
        await turns(ACCEPT_TURNS)
        await runner.cleanup()
