"""The composition root: what the service is made of, in the order in which it is opened; closed in reverse."""

import asyncio
import logging
import random
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path

from aiohttp.abc import AbstractResolver

from evergreen_server.config import Config
from evergreen_server.film.assembling.assembler import Assembler
from evergreen_server.film.assembling.beginnings import Beginnings
from evergreen_server.film.assembling.store import ExportStore
from evergreen_server.film.plans.door import Films
from evergreen_server.film.plans.retention import delete_old_runs, delete_old_takes
from evergreen_server.film.plans.store import FilmStore
from evergreen_server.film.running.door import FilmRuns
from evergreen_server.film.runs.census import take_film_census
from evergreen_server.film.runs.context import FilmContext
from evergreen_server.film.runs.events import FilmEvents
from evergreen_server.film.runs.runner import FilmRunner
from evergreen_server.film.runs.store import RunStore
from evergreen_server.film.runs.survey import Surveyor
from evergreen_server.film.runs.sweep import RunSweep
from evergreen_server.film.runs.watching import WatchedFilms
from evergreen_server.gateway.messages import to_json
from evergreen_server.gateway.server import serve as serve_http
from evergreen_server.ground import THUMBNAIL_LIMITS, Gate, Ground, open_gate, open_ground
from evergreen_server.jobs.admission.account import AccountReader
from evergreen_server.jobs.admission.durations import Durations
from evergreen_server.jobs.admission.forecast import Forecasts
from evergreen_server.jobs.admission.scheduler import SlotScheduler
from evergreen_server.jobs.chronicle import log_changes
from evergreen_server.jobs.cluster.engine import Engine
from evergreen_server.jobs.execution.context import Limits, Places, StepContext
from evergreen_server.jobs.execution.kinds.measured import picture_deliverer, sound_deliverer
from evergreen_server.jobs.execution.kinds.videos import VideoDeliverer
from evergreen_server.jobs.execution.polling.schedule import Pace
from evergreen_server.jobs.execution.runner import Runner
from evergreen_server.jobs.feed.hub import WatchHub
from evergreen_server.jobs.intake import Intake
from evergreen_server.jobs.maintenance.janitor import Janitor
from evergreen_server.jobs.maintenance.retention import Retention
from evergreen_server.jobs.store.audit import AuditReader
from evergreen_server.jobs.store.backlog import Backlog
from evergreen_server.jobs.store.census import take_census
from evergreen_server.jobs.store.jobs import JobStore
from evergreen_server.jobs.store.ledger import Caps
from evergreen_server.jobs.store.progress_buffer import ProgressBuffer
from evergreen_server.jobs.store.provider_tasks import TaskRecords
from evergreen_server.jobs.wakeups import Wakeups
from evergreen_server.media.provenance.signer import Signer
from evergreen_server.media.render.limits import RenderLimits
from evergreen_server.media.render.renderer import Renderer
from evergreen_server.media.render.version import renderer_version
from evergreen_server.media.tools import Thumbnailer
from evergreen_server.metrics.counts import RowCounts
from evergreen_server.metrics.exposition import Exposition, serve_metrics
from evergreen_server.metrics.meters import Meters
from evergreen_server.ports.specs import MediaKind
from evergreen_server.ports.tracing import Tracer
from evergreen_server.rpc.arrivals import Arrivals
from evergreen_server.rpc.connections import Connections, connections_of, raise_file_limit
from evergreen_server.rpc.messages.events import EventWire
from evergreen_server.rpc.messages.webhook_events import WebhookReader
from evergreen_server.rpc.refusals import Refusals
from evergreen_server.rpc.server import serve as serve_rpc
from evergreen_server.rpc.services.audit import AuditService
from evergreen_server.rpc.services.film import FilmService
from evergreen_server.rpc.services.scene import SceneService
from evergreen_server.rpc.services.transfers import Transfers
from evergreen_server.rpc.services.video import VideoService
from evergreen_server.rpc.status_cache import StatusCache
from evergreen_server.rpc.streams import MOST_PLANS, MOST_WATCHES, Streams
from evergreen_server.runtime.background import Background
from evergreen_server.runtime.clocks import SteadyClock
from evergreen_server.runtime.ids import JobIds
from evergreen_server.runtime.places import shown
from evergreen_server.runtime.shield import ProtectedTasks
from evergreen_server.runtime.temp import socket_folder
from evergreen_server.runtime.threads import OwnThreads
from evergreen_server.scenes.deletion import SceneDeletions
from evergreen_server.scenes.notes import FileNotes
from evergreen_server.scenes.writers import CountedWriters, RecordedWriters, SceneWriters
from evergreen_server.tracing.jobs import JobSpans
from evergreen_server.tracing.opening import open_tracing
from evergreen_server.webhook_parts import WebhookParts, open_webhooks
from evergreen_server.webhooks.census import take_webhook_census

DISTRIBUTION = "evergreen-video"
FILES_AT_ONCE = 8
"""Threads for the files of all jobs."""
LOOKS_AT_ONCE = 2
"""Threads that look at runs of films, and hash what those are made from, projects in turn."""
SCRIPTS_AT_ONCE = 2
"""Threads that read scripts and make plans: one for a project that asks for many, one for the others."""

logger = logging.getLogger(__name__)


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Jobs:
    """What runs jobs, and what the edge asks of them."""

    store: JobStore
    engine: Engine
    hub: WatchHub
    statuses: StatusCache
    writers: SceneWriters
    context: StepContext
    runner: Runner
    intake: Intake
    new_id: Callable[[], str]
    meters: Meters


@dataclass(frozen=True, slots=True, kw_only=True)
class _Runs:
    """What runs films."""

    plans: FilmStore
    store: RunStore
    surveyor: Surveyor
    threads: OwnThreads
    runner: FilmRunner


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
        jobs = await _jobs(stack, ground, meters)
        if tracer is not None:
            ground.announcer.subscribe_here(JobSpans(tracer).on_changes)
        runs = await _runs(stack, ground, jobs)
        await _background(stack, ground, jobs, runs, gate)
        webhooks = await open_webhooks(stack, ground, reader=WebhookReader(to_json), metrics=jobs.meters.webhooks)
        deletions = await _upkeep(stack, ground, jobs, runs, webhooks)
        films = await _films(stack, ground, jobs, runs, deletions)
        local = stack.enter_context(socket_folder(tempfile.gettempdir())) / "grpc" if config.http_listen else None
        address = await _edge(stack, ground, jobs, deletions, films, webhooks, gate, local, tracer)
        url = await _gateway(stack, ground, jobs, gate, local) if local is not None else ""
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


async def _jobs(stack: AsyncExitStack, ground: Ground, meters: Meters) -> _Jobs:
    config, database, now, membership = ground.config, ground.database, ground.now, ground.membership
    wire, wakeups = EventWire(), Wakeups()
    statuses = StatusCache(final_only=membership.replicated)
    hub = WatchHub(
        database=database,
        wire=wire,
        clock=now,
        on_events_read=statuses.on_events_read,
        films=WatchedFilms(wire=wire, clock=now),
        on_sent=meters.service.events_sent,
    )
    meters.service.watched(lambda: hub.watchers)
    engine = Engine(database, replica_id=membership.replica_id)
    writers: SceneWriters = CountedWriters(database=database)
    if membership.replicated:
        writers = RecordedWriters(database=database, replica_id=membership.replica_id, clock=now)
    store = JobStore(
        database=database,
        clock=now,
        encode_event=wire.event,
        enqueue=engine.enqueue,
        changed=ground.announcer.committed,
        replica_id=membership.replica_id,
        caps=Caps.of_credits(config.project_credits),
        backlog=Backlog(config.max_queued),
        refuse=writers.refuse,
    )
    scheduler = SlotScheduler(
        database=database,
        store=store,
        provider=ground.provider,
        wakeups=wakeups,
        clock=now,
        random=random.Random(),
        scale=config.provider_speed,
    )
    # Before all others, a cached status is dropped: a watcher must not read it after its event.
    ground.announcer.subscribe(statuses.on_commit)
    ground.announcer.subscribe(hub.on_commit, on_resync=hub.on_resync)
    ground.announcer.subscribe(wakeups.on_changes)
    ground.announcer.subscribe_here(scheduler.on_commit)
    ground.announcer.subscribe_here(log_changes)
    ground.announcer.subscribe_here(meters.jobs.on_changes)
    await stack.enter_async_context(membership.open())
    context = await _context(stack, ground, store, scheduler, wakeups, meters)
    new_id = JobIds(now, newest=await store.newest()).new
    return _Jobs(
        store=store,
        engine=engine,
        hub=hub,
        statuses=statuses,
        writers=writers,
        context=context,
        runner=Runner(context),
        intake=Intake(store=store, models=ground.models, uris=ground.media, clock=now, new_id=new_id),
        new_id=new_id,
        meters=meters,
    )


async def _context(
    stack: AsyncExitStack,
    ground: Ground,
    store: JobStore,
    scheduler: SlotScheduler,
    wakeups: Wakeups,
    meters: Meters,
) -> StepContext:
    """Returns what the steps of a job work with."""
    pace = Pace(scale=ground.config.provider_speed)
    if (spread := ground.membership.restart_spread_seconds) is not None:
        pace = replace(pace, after_restart_spread_seconds=spread)
    grace_seconds = ground.membership.submission_grace_seconds(ground.create_seconds)
    files = await stack.enter_async_context(OwnThreads(FILES_AT_ONCE, name="job-files"))
    # Left before the provider and the database close, so that a POST under way can still record its task.
    shield = await stack.enter_async_context(ProtectedTasks(grace_seconds=ground.config.grace_seconds))
    return StepContext(
        store=store,
        tasks=TaskRecords(database=ground.database, store=store, clock=ground.now),
        provider=ground.provider,
        models=ground.models,
        media=ground.media,
        deliverers={
            MediaKind.VIDEO: VideoDeliverer(ground.media),
            MediaKind.IMAGE: picture_deliverer(ground.media),
            MediaKind.SPEECH: (sounds := sound_deliverer(ground.media)),
            MediaKind.SOUND: sounds,
        },
        scenes=ground.scenes,
        scheduler=scheduler,
        wakeups=wakeups,
        progress=ProgressBuffer(store.flush),
        durations=Durations(),
        pace=pace,
        limits=Limits(submission_grace_seconds=grace_seconds),
        random=random.Random(),
        clock=ground.now,
        monotonic=time.monotonic,
        shield=shield,
        places=Places(),
        files=files,
        temp_dir=ground.temp_dir,
        lease_check=ground.membership.lease_check,
        metrics=meters.service,
    )


async def _runs(stack: AsyncExitStack, ground: Ground, jobs: _Jobs) -> _Runs:
    threads = await stack.enter_async_context(OwnThreads(LOOKS_AT_ONCE, name="films"))
    events = FilmEvents(EventWire())
    plans = FilmStore(database=ground.database, jobs=jobs.store, clock=ground.now, events=events)
    surveyor = Surveyor(scenes=ground.scenes, threads=threads)
    store = RunStore(
        database=ground.database,
        jobs=jobs.store,
        clock=ground.now,
        enqueue=jobs.engine.enqueue_film,
        events=events,
        replica_id=ground.membership.replica_id,
    )
    work, cache = ground.temp_dir / "films", ground.config.data_dir / "state" / "render"
    for folder in (work, cache):
        folder.mkdir(parents=True, exist_ok=True)
    exports, font = ExportStore(database=ground.database, clock=ground.now), ground.config.caption_font
    assembler = Assembler(
        scenes=ground.scenes,
        exports=exports,
        tools=ground.media,
        writers=jobs.writers,
        renderer=Renderer(RenderLimits()),
        version=await asyncio.to_thread(renderer_version, font),
        threads=threads,
        work=work,
        cache=cache,
        caption_font=str(font or ""),
        signer=await _signer(ground.config),
        metrics=jobs.meters.service,
    )
    context = FilmContext(
        runs=store,
        plans=plans,
        jobs=jobs.store,
        intake=jobs.intake,
        surveyor=surveyor,
        beginnings=Beginnings(
            scenes=ground.scenes, writers=jobs.writers, tools=ground.media, threads=threads, work=work
        ),
        table=ground.models,
        wakeups=jobs.context.wakeups,
        threads=threads,
        clock=ground.now,
        new_id=jobs.new_id,
        assembler=assembler,
    )
    runner = FilmRunner(context)
    ground.announcer.subscribe(runner.on_changes)
    return _Runs(plans=plans, store=store, surveyor=surveyor, threads=threads, runner=runner)


async def _background(stack: AsyncExitStack, ground: Ground, jobs: _Jobs, runs: _Runs, gate: Gate) -> None:
    """Starts what jobs wait for, then the engine, which starts the jobs."""
    scheduler = jobs.context.scheduler
    background = await stack.enter_async_context(Background(failed=jobs.meters.process.task_failed))
    for name, work in (
        ("feed", jobs.hub.run),
        ("admission", scheduler.run),
        ("account", scheduler.refresh),
        ("warnings", scheduler.warn),
        ("progress", jobs.context.progress.run),
        *ground.membership.tasks(),
        *gate.tasks,
    ):
        background.start(work, name=name)
    await stack.enter_async_context(jobs.engine.open(jobs.runner.run, runs.runner.run))


async def _upkeep(
    stack: AsyncExitStack, ground: Ground, jobs: _Jobs, runs: _Runs, webhooks: WebhookParts
) -> SceneDeletions:
    """Starts what repairs and removes. Of its own, so that it starts after the engine and ends before it."""
    config, meters = ground.config, jobs.meters
    deletions = SceneDeletions(
        database=ground.database,
        store=jobs.store,
        hub=jobs.hub,
        scenes=ground.scenes,
        clock=ground.now,
        replica_id=ground.membership.replica_id,
        writers=jobs.writers,
        lease_check=ground.membership.lease_check,
    )
    days = config.request_retention_days
    retention = Retention(
        database=ground.database,
        workflows=jobs.engine,
        clock=SteadyClock(ground.now, monotonic=time.monotonic),
        events_kept=timedelta(days=config.event_retention_days),
        jobs_kept=timedelta(days=config.job_retention_days),
        requests_kept=None if days is None else timedelta(days=days),
        metrics=meters.service,
        films=delete_old_runs,
        takes=delete_old_takes,
        audit_kept=timedelta(days=config.audit_retention_days),
        floor=webhooks.floor,
    )
    janitor = Janitor(
        database=ground.database, context=jobs.context, running=lambda: jobs.runner.running, deletions=deletions
    )
    upkeep = await stack.enter_async_context(Background(failed=meters.process.task_failed))
    reaping = ground.membership.upkeep(jobs.engine, meters.service.taken_over)
    sweep = RunSweep(runs=runs.store, running=lambda: runs.runner.running, clock=ground.now)
    for name, work in (
        ("retention", retention.run),
        ("sweep", janitor.run),
        ("sweep of runs", sweep.run),
        *reaping,
        *webhooks.tasks,
    ):
        upkeep.start(work, name=name)
    if config.metrics_listen:
        upkeep.start(meters.process.watch_loop, name="loop lag")
        counts = RowCounts(
            meters.registry,
            census=partial(take_census, ground.database, ground.now),
            films=partial(take_film_census, ground.database, ground.now),
            webhooks=partial(take_webhook_census, ground.database, ground.now),
        )
        upkeep.start(counts.run, name="counts of rows")
        exposition = Exposition(meters.registry, refresh=counts.refresh)
        await stack.enter_async_context(serve_metrics(config.metrics_listen, exposition))
    return deletions


async def _signer(config: Config) -> Signer | None:
    """Returns what signs exports, where keys are given. Raises FileUnusable."""
    if config.c2pa_files is None:
        return None
    certificates, key = config.c2pa_files
    signer = Signer(certificates=certificates, key=key)
    await signer.check()
    return signer


async def _films(
    stack: AsyncExitStack, ground: Ground, jobs: _Jobs, runs: _Runs, deletions: SceneDeletions
) -> FilmService:
    scheduler = jobs.context.scheduler
    films = Films(
        store=runs.plans,
        runs=runs.store,
        surveyor=runs.surveyor,
        scenes=ground.scenes,
        deletions=deletions,
        models=ground.models,
        account=lambda: scheduler.account,
        threads=await stack.enter_async_context(OwnThreads(SCRIPTS_AT_ONCE, name="scripts")),
        clock=ground.now,
    )
    door = FilmRuns(
        films=runs.plans,
        runs=runs.store,
        surveyor=runs.surveyor,
        models=ground.models,
        threads=runs.threads,
        clock=ground.now,
    )
    return FilmService(films=films, runs=door, calls=Streams(MOST_PLANS, of="calls about plans"))


async def _edge(
    stack: AsyncExitStack,
    ground: Ground,
    jobs: _Jobs,
    deletions: SceneDeletions,
    films: FilmService,
    webhooks: WebhookParts,
    gate: Gate,
    local: Path | None,
    tracer: Tracer | None,
) -> str:
    """Serves gRPC, also at the path `local` for the gateway; returns the address."""
    config, context, now = ground.config, jobs.context, ground.now
    connections = Connections(most=connections_of(raise_file_limit()), age_seconds=config.connection_age_seconds)
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


async def _gateway(stack: AsyncExitStack, ground: Ground, jobs: _Jobs, gate: Gate, local: Path) -> str:
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
        files=raise_file_limit(),
        grace_seconds=config.grace_seconds,
        answered=jobs.meters.gateway.answered,
        opened=jobs.meters.gateway.opened,
        thumbnailer=thumbnailer,
    )
    return await stack.enter_async_context(serving)
