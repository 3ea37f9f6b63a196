"""What is served to Prometheus, and how: made once a second at most, however many ask."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from evergreen_server.runtime.addresses import listen_address, listen_parts
from evergreen_server.runtime.doors import BACKLOG, http_runner, refuse_long_heads

TEXT_SECONDS = 1.0
"""For so long a text is given to all who ask."""
INDEX = "<!doctype html><title>Evergreen</title><p><a href=/metrics>metrics</a>, <a href=/healthz>health</a></p>\n"

logger = logging.getLogger(__name__)


async def _nothing() -> None:
    """Has nothing to count."""


class Exposition:
    """The text of a registry. `refresh` is awaited before each, and must be bounded in time."""

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        refresh: Callable[[], Awaitable[None]] = _nothing,
        seconds: float = TEXT_SECONDS,
    ) -> None:
        self._registry = _Lean(registry)
        self._refresh = refresh
        self._seconds = seconds
        self._turn = asyncio.Lock()
        self._made_at = float("-inf")
        self._text = b""

    async def text(self) -> bytes:
        """Returns everything in Prometheus' format, a second old at most."""
        async with self._turn:
            if time.monotonic() - self._made_at > self._seconds:
                await self._refresh()
                self._text = generate_latest(self._registry)
                self._made_at = time.monotonic()
        return self._text


class _Lean(Collector):
    """A registry without the times of creation, which would double every counter and histogram."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family


@asynccontextmanager
async def serve_metrics(listen: str, exposition: Exposition) -> AsyncIterator[str]:
    """Serves `/metrics` over HTTP on this loop and yields the address bound. Raises OSError if it cannot be bound."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=await exposition.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def index(_: web.Request) -> web.Response:
        return web.Response(text=INDEX, content_type="text/html")

    async def alive(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    app = web.Application(middlewares=[refuse_long_heads])
    app.add_routes([web.get("/metrics", answer), web.get("/", index), web.get("/healthz", alive)])
    runner = http_runner(app)
    await runner.setup()
    try:
        host, port = listen_parts(listen)
        try:
            await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
        except OSError as exc:
            raise OSError(
                f"cannot listen on {listen}: another process uses the port, or the host is not of this machine; "
                "choose another with EVERGREEN_METRICS_LISTEN"
            ) from exc
        address = listen_address(f"{listen.rpartition(':')[0]}:{runner.addresses[0][1]}")
        logger.info("metrics served", extra={"address": address})
        yield address
    finally:
        await runner.cleanup()
