"""The proxy of these tests leaves nothing open, whatever its clients do."""

import asyncio
import socket

from tests.storage.proxy import Proxy, proxying


def connected(proxy: Proxy) -> socket.socket:
    """Returns a connection that the system has made, and of which the proxy knows nothing yet."""
    host, port = proxy.address.split(":")
    return socket.create_connection((host, int(port)), timeout=20)


async def test_a_request_that_hangs_ends_with_its_client() -> None:
    before = asyncio.all_tasks()
    async with proxying() as proxy:
        proxy.act = lambda _: "hang"
        with connected(proxy) as client:
            client.sendall(b"GET /bucket HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(60):
                await proxy.reached.wait()
        _, left = await asyncio.wait(asyncio.all_tasks() - before, timeout=60)

        assert not left
