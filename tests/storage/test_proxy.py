"""The proxy of these tests leaves nothing open, whatever its clients do."""

import asyncio
import socket
from contextlib import suppress

import pytest

from tests.storage.proxy import Proxy, proxying


def connected(proxy: Proxy) -> socket.socket:
    """Returns a connection that the system has made, and of which the proxy knows nothing yet."""
    host, port = proxy.address.split(":")
    return socket.create_connection((host, int(port)), timeout=20)


@pytest.mark.parametrize("turns", range(6))
async def test_a_connection_is_closed_however_short_before_the_end_it_was_accepted(turns: int) -> None:
    async with proxying() as proxy:
        client = connected(proxy)
        for _ in range(turns):
            await asyncio.sleep(0)

    # One that was not accepted is reset by the system.
    with client, suppress(ConnectionResetError):
        assert await asyncio.to_thread(client.recv, 1) == b""


@pytest.mark.parametrize("turns", range(8))
async def test_a_connection_that_comes_as_the_proxy_ends_is_closed_too(turns: int) -> None:
    async def connect(proxy: Proxy) -> socket.socket:
        for _ in range(turns):
            await asyncio.sleep(0)
        return connected(proxy)

    async with proxying() as proxy:
        connecting = asyncio.create_task(connect(proxy))

    # One that came too late was refused.
    with suppress(ConnectionError), await connecting as client:
        assert await asyncio.to_thread(client.recv, 1) == b""


async def test_a_request_that_hangs_ends_with_its_client() -> None:
    before = asyncio.all_tasks()
    async with proxying() as proxy:
        proxy.act = lambda _: "hang"
        with connected(proxy) as client:
            client.sendall(b"GET /bucket HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(20):
                await proxy.reached.wait()
        _, left = await asyncio.wait(asyncio.all_tasks() - before, timeout=20)

        assert not left
