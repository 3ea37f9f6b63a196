"""Serves the gateway: builds its app, listens, and drains."""

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import cast

import grpc
from aiohttp import web

from evergreen_server.gateway.admit import Door, Rules
from evergreen_server.gateway.bridge import Bridge
from evergreen_server.gateway.compat.first import First
from evergreen_server.gateway.compat.folders import Folders
from evergreen_server.gateway.compat.jobs import Jobs
from evergreen_server.gateway.compat.openai import OpenAi
from evergreen_server.gateway.compat.pages import Pages
from evergreen_server.gateway.compat.retries import Retries
from evergreen_server.gateway.compat.spoken import PATH as FIRST_PATH
from evergreen_server.gateway.compat.spoken import FirstSpeech
from evergreen_server.gateway.connections import Brief, Connection, Connections
from evergreen_server.gateway.live.hub import CATCHING_UP, TOPICS, Hub
from evergreen_server.gateway.live.hub import LINGER_SECONDS as LINGER_OF_TOPICS_SECONDS
from evergreen_server.gateway.live.sockets import PATH, Sockets
from evergreen_server.gateway.live.speech import HEARTBEAT_SECONDS, Plain
from evergreen_server.gateway.live.streams import Streams
from evergreen_server.gateway.live.sweeping import Sweep
from evergreen_server.gateway.names import Names
from evergreen_server.gateway.pages import Dashboard
from evergreen_server.gateway.places import Logins, Places, most_connections
from evergreen_server.gateway.rest.assets import Assets
from evergreen_server.gateway.rest.calls import Calls
from evergreen_server.gateway.rest.document import OpenApi
from evergreen_server.gateway.rest.files import Files
from evergreen_server.gateway.rest.thumbnails import Thumbnailer, Thumbnails
from evergreen_server.gateway.rest.transcoder import Rest
from evergreen_server.gateway.rest.uploads import Uploads
from evergreen_server.gateway.session import Sessions
from evergreen_server.gateway.upstream import Upstream
from evergreen_server.gateway.visitors import Visitors
from evergreen_server.runtime.addresses import listen_parts

__all__ = ["CannotListen", "serve"]

BACKLOG = 1024
IDLE_SECONDS = 15.0
"""For a head to come, and for a connection to stay open without a request."""
READ_BYTES = 64 << 10
"""How much of a head's line is read, so that the answer can say that it is too long."""
STALL_SECONDS = 60.0
"""How long a reader may leave an answer unread, or a message of a stream."""
EVENT_STALL_SECONDS = 30.0
"""The same of an event, after which one may go on from a cursor."""
LINGER_SECONDS = 3.0
"""How long the rest of a refused body is read and dropped, so that its sender gets to the answer."""
CUT_SECONDS = 0.5
"""For handlers that were cut off to end."""

logger = logging.getLogger(__name__)
_NO_LOG = cast(logging.Logger, None)
"""No access log of aiohttp's: it would repeat queries."""


class CannotListen(OSError):
    """The address cannot be bound; the text says what to do."""


@asynccontextmanager
async def serve(
    *,
    listen: str,
    target: str,
    tls: ssl.SSLContext | None,
    hosts: Collection[str],
    origins: Collection[str],
    proxies: Collection[str],
    models: Mapping[str, str],
    files: int,
    grace_seconds: float,
    answered: Callable[[str, int], None],
    opened: Callable[[Mapping[str, Callable[[], int]]], None],
    thumbnailer: Thumbnailer,
    credentials: grpc.ChannelCredentials | None = None,
    stall_seconds: float = STALL_SECONDS,
    event_stall_seconds: float = EVENT_STALL_SECONDS,
    linger_seconds: float = LINGER_OF_TOPICS_SECONDS,
    heartbeat_seconds: float = HEARTBEAT_SECONDS,
) -> AsyncIterator[str]:
    """Serves HTTP for the gRPC server at `target` until the context ends, and yields the URL (port 0 picks one).

    With `tls` only over TLS, and by `credentials` the server is called over TLS. `models` are ours by the names of
    `/v1/videos`; `files` is how many files the process may have open; `answered` is called with the route and the
    status of each answer, 499 if it was not taken within `stall_seconds`, and `opened` once
    with what counts the open sockets, streams and topics. At the end `/readyz` says 503, watches end
    with their checkpoint, and other requests get `grace_seconds`. Raises CannotListen.
    """
    places, visitors = Places(files=files), Visitors(proxies=proxies)
    async with (
        Upstream(target, streams=places.most + TOPICS + CATCHING_UP, credentials=credentials) as upstream,
        Hub(upstream=upstream, linger_seconds=linger_seconds) as hub,
        Sweep() as sweep,
    ):
        door = Door(
            rules=Rules(hosts=hosts, origins=origins),
            visitors=visitors,
            names=Names(upstream=upstream, monotonic=time.monotonic),
            answered=answered,
            stall_seconds=stall_seconds,
        )
        bridge = Bridge(upstream=upstream, places=places, stall_seconds=stall_seconds)
        sessions = Sessions(upstream=upstream, places=places, logins=Logins(time.monotonic))
        app = web.Application(middlewares=[door.middleware()])
        app.on_response_prepare.append(door.prepare)
        calls, assets = Calls(upstream=upstream, places=places), Assets(upstream=upstream, places=places)
        thumbnails = Thumbnails(assets=assets, calls=calls, places=places, thumbnailer=thumbnailer)
        uploads = Uploads(upstream=upstream, places=places, stall_seconds=stall_seconds)
        downloads = Files(assets=assets, thumbnails=thumbnails, places=places, stall_seconds=stall_seconds)
        rest = (Rest(calls=calls, places=places), downloads, uploads, OpenApi())
        jobs, now = Jobs(calls=calls, uploads=uploads), partial(datetime.now, UTC)
        compat = (
            First(jobs=jobs, folders=Folders(calls=calls), places=places),
            OpenAi(
                jobs=jobs,
                pages=Pages(calls=calls, jobs=jobs),
                retries=Retries(calls=calls, monotonic=time.monotonic, now=now),
                files=downloads,
                places=places,
                models=models,
                now=now,
            ),
        )
        sockets = partial(
            Sockets,
            hub=hub,
            places=places,
            sweep=sweep,
            stall_seconds=event_stall_seconds,
            heartbeat_seconds=heartbeat_seconds,
        )
        live = (
            sockets(path=PATH, speech=Plain()),
            sockets(path=FIRST_PATH, speech=FirstSpeech()),
            streams := Streams(hub=hub, places=places, sweep=sweep, stall_seconds=event_stall_seconds),
        )
        spoken = live[:2]
        opened(
            {
                "sockets": lambda: sum(each.open for each in spoken),
                "streams": lambda: streams.open,
                "topics": lambda: hub.topics,
            }
        )
        served = (sessions, bridge, *rest, *compat, *live, Dashboard())
        routes = (*_health(door, upstream), *(route for each in served for route in each.routes()))
        for route in routes:
            kwargs = {**route.kwargs, "expect_handler": _later}
            app.add_routes([web.RouteDef(route.method, route.path, route.handler, kwargs)])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=CUT_SECONDS)
        await runner.setup()
        try:
            connections = Connections(most=most_connections(files), proxy=visitors.trusts)
            async with _listening(runner, listen, tls, connections) as port:
                host, _, _ = listen.rpartition(":")
                logger.info("http served", extra={"address": f"{host}:{port}", "most_streams": places.most})
                try:
                    yield f"{'http' if tls is None else 'https'}://{host}:{port}"
                finally:
                    bridge.drain()
                    hub.drain()
                    await door.drained(grace_seconds)
        finally:
            await runner.cleanup()


async def _later(_: web.Request) -> None:
    """Leaves it to whoever reads a body to say that it may come."""


def _health(door: Door, upstream: Upstream) -> list[web.RouteDef]:
    async def alive(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def ready(_: web.Request) -> web.Response:
        serving = not door.draining and await upstream.healthy()
        return web.Response(status=200 if serving else 503, text="ready\n" if serving else "not ready\n")

    return [web.get("/healthz", alive), web.get("/readyz", ready)]


@asynccontextmanager
async def _listening(
    runner: web.AppRunner, listen: str, tls: ssl.SSLContext | None, connections: Connections
) -> AsyncIterator[int]:
    loop, server = asyncio.get_running_loop(), runner.server
    assert server is not None
    server.handler_cancellation = True

    def connection() -> asyncio.Protocol:
        return Connection(
            connections,
            server,
            loop=loop,
            access_log=_NO_LOG,
            keepalive_timeout=IDLE_SECONDS,
            lingering_time=LINGER_SECONDS,
            auto_decompress=False,
            max_line_size=READ_BYTES,
            max_field_size=READ_BYTES,
            logger=cast(logging.Logger, Brief(logger)),
        )

    host, number = listen_parts(listen)
    try:
        listener = await loop.create_server(
            connection, host, number, ssl=tls, backlog=BACKLOG, ssl_handshake_timeout=IDLE_SECONDS if tls else None
        )
    except OSError as exc:
        raise CannotListen(
            f"cannot listen on {listen}: another process uses the port, or the host is not of this machine; "
            "choose another with --http or EVERGREEN_HTTP_LISTEN"
        ) from exc
    try:
        yield int(listener.sockets[0].getsockname()[1])
    finally:
        listener.close()
        server.pre_shutdown()
        await server.shutdown(CUT_SECONDS)
