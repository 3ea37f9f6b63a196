"""A collector of OTLP over HTTP, which keeps every span that it is sent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.serving import WAIT_SECONDS


@dataclass(frozen=True)
class Told:
    """A span, and the server that told it."""

    span: Span
    service: str
    server: str

    @property
    def name(self) -> str:
        return self.span.name

    @property
    def attributes(self) -> dict[str, object]:
        return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in self.span.attributes}


@dataclass
class Collector:
    """What came; `hangs` is set where it takes requests and answers none."""

    url: str = ""
    hangs: bool = False
    told: list[Told] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.asked.set()
        if self.hangs:
            await asyncio.Event().wait()
        assert request.content_type == "application/x-protobuf"
        message = ExportTraceServiceRequest.FromString(body)
        async with self._news:
            self.bodies.append(body)
            for part in message.resource_spans:
                of = {each.key: each.value.string_value for each in part.resource.attributes}
                self.told += [
                    Told(span, of["service.name"], of["service.instance.id"])
                    for scope in part.scope_spans
                    for span in scope.spans
                ]
            self._news.notify_all()
        return web.Response(
            body=ExportTraceServiceResponse().SerializeToString(), content_type="application/x-protobuf"
        )

    async def until(self, *names: str) -> dict[str, Told]:
        """Waits until there is a span of each name, and gives the last of each."""
        async with asyncio.timeout(WAIT_SECONDS), self._news:
            await self._news.wait_for(lambda: set(names) <= {each.name for each in self.told})
            return {each.name: each for each in self.told}


@asynccontextmanager
async def collector(*, hangs: bool = False) -> AsyncIterator[Collector]:
    found = Collector(hangs=hangs)
    app = web.Application()
    app.router.add_post("/v1/traces", found.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield found
    finally:
        await runner.cleanup()
