"""The servers of these tests leave nothing open, whatever their clients do."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import pytest
from aiohttp import web

from tests.loopback import listening, serving_app, turns


@asynccontextmanager
async def of_bytes() -> AsyncIterator[str]:
    async def never(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # More than the system takes of a peer that reads nothing.
        writer.write(bytes(1 << 24))
        await asyncio.Event().wait()

    async with listening(never) as port:
        yield f"127.0.0.1:{port}"


def of_http() -> AbstractAsyncContextManager[str]:
    return serving_app(web.Application())


@pytest.fixture(params=[of_bytes, of_http])
def opening(request: pytest.FixtureRequest) -> Callable[[], AbstractAsyncContextManager[str]]:
    return request.param


def connected(address: str) -> socket.socket:
    """Returns a connection that the system has made, and of which the server knows nothing yet."""
    host, port = address.split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def is_closed(client: socket.socket) -> bool:
    """Tells whether the server has closed a connection, once its bytes have been read."""
    # One that was not accepted, or is aborted, is reset.
    with suppress(ConnectionResetError):
        while client.recv(1 << 20):
            pass
    return True


@pytest.mark.parametrize("number", range(6))
async def test_a_connection_is_closed_however_short_before_the_end_it_was_accepted(
    opening: Callable[[], AbstractAsyncContextManager[str]], number: int
) -> None:
    async with opening() as address:
        client = connected(address)
        await turns(number)

    with client:
        assert await asyncio.to_thread(is_closed, client)


@pytest.mark.parametrize("number", range(8))
async def test_a_connection_that_comes_as_a_server_ends_is_closed_too(
    opening: Callable[[], AbstractAsyncContextManager[str]], number: int
) -> None:
    async def connect(address: str) -> socket.socket:
        await turns(number)
        return connected(address)

    async with opening() as address:
        connecting = asyncio.create_task(connect(address))

    # One that came too late was refused.
    with suppress(ConnectionError), await connecting as client:
        assert await asyncio.to_thread(is_closed, client)
