"""What callers reach: gRPC, and HTTP before it."""

from contextlib import AsyncExitStack
from pathlib import Path

from evergreen_server.gateway.places import gateways_files, most_connections
from evergreen_server.gateway.server import serve as serve_http
from evergreen_server.jobs.admission.account import AccountReader
from evergreen_server.jobs.admission.forecast import Forecasts
from evergreen_server.jobs.store.audit import AuditReader
from evergreen_server.media.tools import Thumbnailer
from evergreen_server.parts.ground import THUMBNAIL_LIMITS, Gate, Ground
from evergreen_server.parts.jobs import JobParts
from evergreen_server.parts.webhooks import WebhookParts
from evergreen_server.ports.tracing import Tracer
from evergreen_server.rpc.arrivals import Arrivals
from evergreen_server.rpc.connections import Connections, connections_of, raise_file_limit
from evergreen_server.rpc.refusals import Refusals
from evergreen_server.rpc.server import serve as serve_rpc
from evergreen_server.rpc.services.audit import AuditService
from evergreen_server.rpc.services.film import FilmService
from evergreen_server.rpc.services.scene import SceneService
from evergreen_server.rpc.services.transfers import Transfers
from evergreen_server.rpc.services.video import VideoService
from evergreen_server.rpc.streams import MOST_WATCHES, Streams
from evergreen_server.runtime.background import Background
from evergreen_server.scenes.deletion import SceneDeletions
from evergreen_server.scenes.notes import FileNotes

__all__ = ["serve_gateway", "serve_grpc"]


async def serve_grpc(
    stack: AsyncExitStack,
    ground: Ground,
    jobs: JobParts,
    deletions: SceneDeletions,
    films: FilmService,
    webhooks: WebhookParts,
    gate: Gate,
    local: Path | None,
    tracer: Tracer | None,
) -> str:
    """Serves gRPC, also at the path `local` for the gateway; returns the address."""
    config, context, now = ground.config, jobs.context, ground.now
    files = raise_file_limit()
    beside = most_connections(gateways_files(files)) if local is not None else 0
    connections = Connections(most=connections_of(files, beside=beside), age_seconds=config.connection_age_seconds)
    video = VideoService(
        store=jobs.store,
        tasks=context.tasks,
        hub=jobs.hub,
        provider=ground.provider,
        account=AccountReader(provider=ground.provider, shield=context.shield),
        models=ground.models,
        intake=jobs.intake,
        statuses=jobs.statuses,
        forecasts=Forecasts(
            database=ground.database,
            limits_for=context.scheduler.limits_for,
            durations=context.durations,
            clock=now,
            scale=config.provider_speed,
        ),
        watches=Streams(MOST_WATCHES),
        watch_seconds=connections.watch_seconds,
    )
    scene = SceneService(
        scenes=ground.scenes,
        deletions=deletions,
        media=ground.media,
        transfers=Transfers(),
        shield=context.shield,
        clock=now,
        notes=FileNotes(database=ground.database, clock=now),
    )
    refusals = Refusals(database=ground.database, clock=now)
    # Until the last call has ended, as calls may be refused until then.
    notes = await stack.enter_async_context(Background(failed=jobs.meters.process.task_failed))
    notes.start(refusals.run, name="refusals")
    serving = serve_rpc(
        listen=config.listen,
        video=video,
        scene=scene,
        film=films,
        audit=AuditService(reader=AuditReader(ground.database)),
        webhook=webhooks.service,
        access=gate.access,
        certificates=gate.certificates,
        drain=jobs.hub.drain,
        leave=jobs.engine.leave,
        healthy=ground.membership.healthy,
        grace_seconds=config.grace_seconds,
        connections=connections,
        arrivals=Arrivals(),
        refuse=refusals.refused,
        calls=jobs.meters.calls,
        tracer=tracer,
        local=f"unix:{local}" if local is not None else None,
    )
    return await stack.enter_async_context(serving)


async def serve_gateway(stack: AsyncExitStack, ground: Ground, jobs: JobParts, gate: Gate, local: Path) -> str:
    """Serves HTTP for the gRPC server at the path `local`; returns the URL."""
    config = ground.config
    thumbnailer = await stack.enter_async_context(Thumbnailer(limits=THUMBNAIL_LIMITS, temp_dir=ground.temp_dir))
    serving = serve_http(
        listen=config.http_listen,
        target=f"unix:{local}",
        tls=gate.http_tls.context if gate.http_tls is not None else None,
        hosts=config.http_hosts,
        origins=config.http_origins,
        proxies=config.http_proxies,
        models=config.http_models,
        files=gateways_files(raise_file_limit()),
        grace_seconds=config.grace_seconds,
        answered=jobs.meters.gateway.answered,
        opened=jobs.meters.gateway.opened,
        thumbnailer=thumbnailer,
    )
    return await stack.enter_async_context(serving)
