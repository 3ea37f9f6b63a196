"""The gRPC server: its settings, its standard services, and its graceful end."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import grpc
from google.protobuf.internal import api_implementation

from evergreen.v1 import audit_pb2, film_pb2, scene_pb2, video_pb2, webhook_pb2
from evergreen_server.ports.metrics import Calls
from evergreen_server.ports.tracing import Tracer
from evergreen_server.rpc.access.policy import Access
from evergreen_server.rpc.access.tls import Certificates
from evergreen_server.rpc.arrivals import Arrivals
from evergreen_server.rpc.connections import Connections
from evergreen_server.rpc.handlers import Refuse, service_handler, unnoticed
from evergreen_server.rpc.services.standard import HEALTH, REFLECTION, Health, Reflection
from evergreen_server.rpc.streams import MOST_HEALTH_WATCHES, Streams

MAX_MESSAGE_BYTES = 4 * 1024 * 1024 + 64 * 1024
CLIENT_KEEPALIVE_MS = 30_000
"""The interval that the documentation tells clients to use; half of it is permitted, for their jitter."""
HEALTH_SECONDS = 1.0
SERVICES = (
    "evergreen.v1.VideoService",
    "evergreen.v1.SceneService",
    "evergreen.v1.FilmService",
    "evergreen.v1.AuditService",
    "evergreen.v1.WebhookService",
)

MAX_METADATA_BYTES = 16 << 10
"""Of a call, as HTTP/2 counts them; gRPC refuses more with RESOURCE_EXHAUSTED."""
OPTIONS: list[tuple[str, int]] = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # Both limits alike: of calls between the two gRPC refuses some by chance.
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.max_concurrent_streams", 2000),
    # Without these two, most of 10,000 watchers that reconnect at once are refused (grpc/grpc#34782).
    ("grpc.server.max_pending_requests", 20_000),
    ("grpc.server.max_pending_requests_hard_limit", 40_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", CLIENT_KEEPALIVE_MS // 2),
    ("grpc.http2.min_ping_interval_without_data_ms", CLIENT_KEEPALIVE_MS // 2),
    ("grpc.http2.max_ping_strikes", 3),
    ("grpc.so_reuseport", 0),
]

GRPC_LOGGER = logging.getLogger("grpc._cython.cygrpc")


class SlowProtobuf(Exception):
    """The pure Python protobuf is in use, which is twenty times slower; install a wheel with upb."""


class CannotListen(Exception):
    """The address cannot be bound; the text says what to do."""


@asynccontextmanager
async def serve(
    *,
    listen: str,
    video: object,
    scene: object,
    film: object,
    audit: object,
    webhook: object,
    access: Access,
    certificates: Certificates | None,
    drain: Callable[[], None],
    leave: Callable[[], Awaitable[None]],
    healthy: Callable[[], bool],
    grace_seconds: float,
    connections: Connections,
    arrivals: Arrivals,
    calls: Calls,
    tracer: Tracer | None,
    refuse: Refuse = unnoticed,
    local: str | None = None,
) -> AsyncIterator[str]:
    """Serves until the context ends and yields the address bound (port 0 picks one); over TLS with certificates.

    `local` is a second address, such as unix:PATH, for this machine alone and so never over TLS.
    Health says SERVING while `healthy` does. At the end it says NOT_SERVING, `drain` ends the watches, calls under
    way get `grace_seconds`, and `leave` is awaited meanwhile.
    Raises SlowProtobuf, CannotListen.
    """
    GRPC_LOGGER.addFilter(_has_no_secret)
    if api_implementation.Type() != "upb":
        raise SlowProtobuf(f"protobuf's implementation is {api_implementation.Type()}, not upb")
    server = grpc.aio.server(options=OPTIONS + connections.options())
    checks = Health(SERVICES, Streams(MOST_HEALTH_WATCHES))
    services = (
        (video_pb2.DESCRIPTOR.services_by_name["VideoService"], video),
        (scene_pb2.DESCRIPTOR.services_by_name["SceneService"], scene),
        (film_pb2.DESCRIPTOR.services_by_name["FilmService"], film),
        (audit_pb2.DESCRIPTOR.services_by_name["AuditService"], audit),
        (webhook_pb2.DESCRIPTOR.services_by_name["WebhookService"], webhook),
        (HEALTH, checks),
        (REFLECTION, Reflection((*SERVICES, HEALTH.full_name, REFLECTION.full_name), arrivals)),
    )
    server.add_generic_rpc_handlers(
        tuple(
            service_handler(descriptor, implementation, access, arrivals, calls, refuse, tracer)
            for descriptor, implementation in services
        )
    )
    host, _, _ = listen.rpartition(":")
    try:
        port = (
            server.add_insecure_port(listen)
            if certificates is None
            else server.add_secure_port(listen, certificates.credentials())
        )
        if local is not None:
            server.add_insecure_port(local)
    except RuntimeError as exc:
        raise CannotListen(
            f"cannot listen on {listen}: another process uses the port, or the host is not of this machine; "
            "choose another with --listen or EVERGREEN_LISTEN"
        ) from exc
    await server.start()
    await checks.set_serving(True)
    watching = asyncio.create_task(_watch_health(checks, healthy), name="health")
    try:
        yield f"{host}:{port}"
    finally:
        watching.cancel()
        await asyncio.wait([watching])
        await checks.close()
        drain()
        # Work is handed over at once, not only after the last call has ended.
        async with asyncio.TaskGroup() as ending:
            ending.create_task(server.stop(grace_seconds), name="calls end")
            ending.create_task(_awaited(leave), name="work is handed over")


def _has_no_secret(record: logging.LogRecord) -> bool:
    """Returns whether a record may be logged: gRPC's own about invalid metadata repeats it, including tokens."""
    return not str(record.msg).startswith("Invalid encoding")


async def _watch_health(checks: Health, healthy: Callable[[], bool]) -> None:
    said = True
    while True:
        await asyncio.sleep(HEALTH_SECONDS)
        if healthy() is not said:
            said = not said
            await checks.set_serving(said)


async def _awaited(leave: Callable[[], Awaitable[None]]) -> None:
    await leave()
