"""The composition root: what the service is made of, in the order in which it is opened; closed in reverse."""

import asyncio
import logging
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from importlib.metadata import version

from aiohttp.abc import AbstractResolver

from evergreen_server.config import Config
from evergreen_server.gateway.messages import to_json
from evergreen_server.metrics.meters import Meters
from evergreen_server.parts.edge import serve_gateway, serve_grpc
from evergreen_server.parts.films import film_service, open_films
from evergreen_server.parts.ground import Ground, open_gate, open_ground
from evergreen_server.parts.jobs import open_jobs
from evergreen_server.parts.upkeep import start_background, start_upkeep
from evergreen_server.parts.webhooks import open_webhooks
from evergreen_server.rpc.messages.webhook_events import WebhookReader
from evergreen_server.runtime.places import shown
from evergreen_server.runtime.temp import socket_folder
from evergreen_server.tracing.films import FilmSpans
from evergreen_server.tracing.jobs import JobSpans
from evergreen_server.tracing.opening import open_tracing

DISTRIBUTION = "evergreen-video"

logger = logging.getLogger(__name__)


def utc_now() -> datetime:
    return datetime.now(UTC)


async def serve(
    config: Config,
    *,
    stop: asyncio.Event,
    ready: Callable[[str, str, str], None],
    resolver: AbstractResolver | None = None,
    now: Callable[[], datetime] = utc_now,
) -> None:
    """Serves until `stop`; calls `ready` with the gRPC address, the provider's URL and the gateway's, or "",
    once all of them answer.

    `resolver` looks up the hosts of callers' URLs; without one the system does. `now` is the wall clock, which may be
    set at any moment: what must last so long is measured by the monotonic one.

    Raises what keeps it from starting. Background work is started again whatever it raises; see `background`.
    """
    async with AsyncExitStack() as stack:
        gate, meters = open_gate(config), Meters()
        tracer = await stack.enter_async_context(open_tracing()) if config.tracing else None
        ground = await open_ground(stack, config, resolver, now, meters)
        jobs = await open_jobs(stack, ground, meters)
        if tracer is not None:
            ground.announcer.subscribe_here(JobSpans(tracer).on_changes)
            ground.announcer.subscribe_here(FilmSpans(tracer).on_changes)
        runs = await open_films(stack, ground, jobs)
        await start_background(stack, ground, jobs, runs, gate)
        webhooks = await open_webhooks(stack, ground, reader=WebhookReader(to_json), metrics=jobs.meters.webhooks)
        deletions = await start_upkeep(stack, ground, jobs, runs, webhooks)
        films = await film_service(stack, ground, jobs, runs, deletions)
        local = stack.enter_context(socket_folder(tempfile.gettempdir())) / "grpc" if config.http_listen else None
        address = await serve_grpc(stack, ground, jobs, deletions, films, webhooks, gate, local, tracer)
        url = await serve_gateway(stack, ground, jobs, gate, local) if local is not None else ""
        logger.info("serving", extra={"address": address, "http": url or None, **_places(ground)})
        ready(address, ground.provider_url, url)
        await stop.wait()


def _places(ground: Ground) -> dict[str, object]:
    """Returns where everything lies, and who may call, as whoever starts a server wants to know."""
    config = ground.config
    return {
        "data": str(config.data_dir),
        "scenes": shown(config.storage_url),
        "jobs": shown(config.database_url),
        "provider": shown(ground.provider_url),
        "tokens": config.tokens_file is not None,
        "tls": bool(config.tls_files),
        "version": version(DISTRIBUTION),
    }
