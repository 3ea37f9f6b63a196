"""The composition root: what the service is made of, in the order in which it is opened; closed in reverse."""

import asyncio
import logging
import random
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import uuid4

from aiohttp.abc import AbstractResolver

from evergreen_server.config import Config
from evergreen_server.jobs.admission.account import AccountReader
from evergreen_server.jobs.admission.durations import Durations
from evergreen_server.jobs.admission.forecast import Forecasts
from evergreen_server.jobs.admission.scheduler import SlotScheduler
from evergreen_server.jobs.cluster.engine import Engine
from evergreen_server.jobs.cluster.lease import Lease
from evergreen_server.jobs.cluster.notifier import Notifier
from evergreen_server.jobs.cluster.reaper import Reaper
from evergreen_server.jobs.cluster.storage_locks import StorageLocks
from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.execution.context import Limits, Places, StepContext
from evergreen_server.jobs.execution.polling.schedule import Pace
from evergreen_server.jobs.execution.runner import Runner
from evergreen_server.jobs.feed.hub import WatchHub
from evergreen_server.jobs.intake import Intake
from evergreen_server.jobs.maintenance.janitor import Janitor
from evergreen_server.jobs.maintenance.retention import Retention
from evergreen_server.jobs.model.change import Change
from evergreen_server.jobs.store.backlog import Backlog
from evergreen_server.jobs.store.census import take_census
from evergreen_server.jobs.store.jobs import JobStore
from evergreen_server.jobs.store.ledger import Caps
from evergreen_server.jobs.store.progress_buffer import ProgressBuffer
from evergreen_server.jobs.store.provider_tasks import TaskRecords
from evergreen_server.jobs.wakeups import Wakeups
from evergreen_server.media.guard import ThreadResolver, guarded_connector
from evergreen_server.media.limits import MediaLimits
from evergreen_server.media.tools import Media
from evergreen_server.metrics import PrometheusMetrics, serve_metrics
from evergreen_server.providers.runway.catalog.models import RunwayModels
from evergreen_server.providers.runway.http.client import RunwayClient, Timeouts
from evergreen_server.providers.runway.http.proxies import Proxies
from evergreen_server.providers.runway.http.retry import RetryPolicy
from evergreen_server.providers.runway.sandbox import SANDBOX_KEY, Sandbox
from evergreen_server.rpc.access.policy import Access
from evergreen_server.rpc.access.tls import Certificates, read_certificates
from evergreen_server.rpc.access.tokens import read_tokens
from evergreen_server.rpc.arrivals import Arrivals
from evergreen_server.rpc.connections import Connections, connections_of, raise_file_limit
from evergreen_server.rpc.messages.events import EventWire
from evergreen_server.rpc.server import serve as serve_rpc
from evergreen_server.rpc.services.scene import SceneService
from evergreen_server.rpc.services.transfers import Transfers
from evergreen_server.rpc.services.video import VideoService
from evergreen_server.rpc.status_cache import StatusCache
from evergreen_server.rpc.streams import MOST_WATCHES, Streams
from evergreen_server.runtime.background import Background
from evergreen_server.runtime.clocks import SteadyClock
from evergreen_server.runtime.ids import JobIds
from evergreen_server.runtime.reload import ReloadableFile
from evergreen_server.runtime.shield import ProtectedTasks
from evergreen_server.runtime.temp import temp_folder
from evergreen_server.runtime.threads import FileThreads
from evergreen_server.runtime.turns import Turns
from evergreen_server.scenes.deletion import SceneDeletions
from evergreen_server.scenes.writers import SceneWriters
from evergreen_storage import SceneStore, open_storage

BODIES_AT_ONCE = 16
"""Files on their way into a bucket: what callers upload, and what jobs keep. Each holds up to 20 MiB."""
FILES_AT_ONCE = 8
"""Threads for the files of all jobs."""

logger = logging.getLogger(__name__)


def utc_now() -> datetime:
    return datetime.now(UTC)


def _caps(credits: Mapping[str, float | None]) -> Caps:
    caps = {project: None if amount is None else round(amount * 1000) for project, amount in credits.items()}
    return Caps(default=caps.pop("*", None), projects=caps)


async def serve(
    config: Config,
    *,
    stop: asyncio.Event,
    ready: Callable[[str, str], None],
    resolver: AbstractResolver | None = None,
    now: Callable[[], datetime] = utc_now,
) -> None:
    """Serves until `stop`; calls `ready` with the gRPC address and the provider's URL once both answer.

    `resolver` looks up the hosts of callers' URLs; without one the system does. `now` is the wall clock, which may be
    set at any moment: what must last so long is measured by the monotonic one.

    Raises what keeps it from starting. What runs beside the calls is begun again whatever it raises; see `background`.
    """
    async with AsyncExitStack() as stack:
        access, certificates = Access(None), None
        if config.tokens_file:
            tokens = ReloadableFile([config.tokens_file], read_tokens, secret=[config.tokens_file])
            access = Access(tokens.read())
        if config.tls_files:
            pems = ReloadableFile(
                config.tls_files, partial(read_certificates, config.tls_files), secret=config.tls_files[1:2]
            )
            certificates = Certificates(pems.read(), client_ca=len(config.tls_files) > 2)
        database = await stack.enter_async_context(open_database(config.database_url))
        # New for each process where there can be several; else always the same, since its jobs are ours again.
        replica_id = f"{socket.gethostname()}-{uuid4().hex[:12]}" if database.shared else "local"
        locks = StorageLocks(database=database, replica_id=replica_id, guard=lambda: lease.guard())
        temp_dir = stack.enter_context(temp_folder(config.data_dir / "state" / "temp"))
        storage = await stack.enter_async_context(
            open_storage(
                config.storage_url,
                clock=now,
                environ=config.storage_environ,
                lock=locks.held if database.shared else None,
                temp_dir=temp_dir,
                upload_turn=Turns(BODIES_AT_ONCE).of,
                **config.storage_options,
            )
        )
        base_url, secret = config.base_url, config.api_secret
        if config.sandbox:
            state_dir = config.data_dir / "state" / "sandbox"
            names = ThreadPoolExecutor(2, thread_name_prefix="sandbox-names")
            stack.callback(names.shutdown, wait=False, cancel_futures=True)
            # It fetches what callers name, as the provider does, but from inside.
            connector = partial(guarded_connector, resolver or ThreadResolver(names))
            sandbox = await stack.enter_async_context(
                Sandbox(speed=config.provider_speed, state_dir=state_dir, connector=connector)
            )
            base_url, secret = sandbox.url, SANDBOX_KEY
        create_seconds = max(10.0, Timeouts().create / config.provider_speed)
        provider = await stack.enter_async_context(
            RunwayClient(
                base_url=base_url,
                api_key=secret,
                timeouts=Timeouts(create=create_seconds),
                retries=RetryPolicy(),
                proxies=Proxies() if config.sandbox else Proxies(**config.provider_proxies),
                random=random.random,
                now=now,
                monotonic=time.monotonic,
            )
        )
        media = await stack.enter_async_context(
            Media(private_hosts=config.picture_hosts, limits=MediaLimits(), temp_dir=temp_dir, resolver=resolver)
        )
        files = await stack.enter_async_context(FileThreads(FILES_AT_ONCE))
        models = RunwayModels()
        scenes = SceneStore(storage, clock=now)
        wire = EventWire()
        statuses = StatusCache(final_only=database.shared)
        metrics = PrometheusMetrics(census=partial(take_census, database, now), watchers=lambda: feed.watchers)
        feed = WatchHub(database=database, wire=wire, clock=now, found=statuses.found, told=metrics.told)
        wakeups = Wakeups()

        def heard(changes: Sequence[Change]) -> None:
            statuses.changed(changes)
            feed.changed(changes)
            for change in changes:
                if change.external:
                    wakeups.wake(change.job_id)

        engine = Engine(database, replica_id=replica_id)
        lease = Lease(database, replica_id, boottime=partial(time.clock_gettime, time.CLOCK_BOOTTIME))
        notifier = Notifier(database=database, replica_id=replica_id, heard=heard, missed=feed.missed)

        def changed(changes: Sequence[Change]) -> None:
            heard(changes)
            scheduler.changed(changes)
            if database.shared:
                notifier.tell(changes)

        writers = SceneWriters(database=database, replica_id=replica_id, clock=now)
        store = JobStore(
            database=database,
            clock=now,
            encode_event=wire.event,
            enqueue=engine.enqueue,
            changed=changed,
            replica_id=replica_id,
            caps=_caps(config.project_credits),
            backlog=Backlog(config.max_queued),
            refuse=writers.refuse,
        )
        tasks = TaskRecords(database=database, store=store, clock=now)
        scheduler = SlotScheduler(
            database=database,
            store=store,
            provider=provider,
            wakeups=wakeups,
            clock=now,
            random=random.Random(),
            scale=config.provider_speed,
        )
        progress, durations = ProgressBuffer(store.flush), Durations()
        if database.shared:
            await stack.enter_async_context(lease.open())
        background = await stack.enter_async_context(Background(failed=metrics.task_failed))
        # Left before the provider and the database close, so that a POST under way can still record its task.
        shield = await stack.enter_async_context(ProtectedTasks(grace_seconds=config.grace_seconds))
        pace = Pace(scale=config.provider_speed)
        if database.shared:
            pace = replace(pace, after_restart_spread_seconds=(0.0, 0.5))
        context = StepContext(
            store=store,
            tasks=tasks,
            provider=provider,
            models=models,
            media=media,
            scenes=scenes,
            scheduler=scheduler,
            wakeups=wakeups,
            progress=progress,
            durations=durations,
            pace=pace,
            limits=Limits(submission_grace_seconds=create_seconds + 5.0 if database.shared else 0.0),
            random=random.Random(),
            clock=now,
            monotonic=time.monotonic,
            shield=shield,
            places=Places(),
            files=files,
            temp_dir=temp_dir,
            guard=lease.guard if database.shared else lambda: lambda: None,
            metrics=metrics,
        )
        runner = Runner(context)
        for name, work in (
            ("feed", feed.run),
            ("admission", scheduler.run),
            ("account", scheduler.refresh),
            ("warnings", scheduler.warn),
            ("progress", progress.run),
        ):
            background.start(work, name=name)
        if database.shared:
            for name, work in (
                ("notices sent", notifier.send),
                ("notices heard", notifier.listen),
                ("wishes", notifier.look),
            ):
                background.start(work, name=name)
        if config.tokens_file:
            background.start(partial(tokens.watch, access.replace), name="tokens")
        if certificates:
            background.start(partial(pems.watch, certificates.replace), name="certificates")
        await stack.enter_async_context(engine.open(runner.run))
        retention = Retention(
            database=database,
            workflows=engine,
            clock=SteadyClock(now, monotonic=time.monotonic),
            events_kept=timedelta(days=config.event_retention_days),
            jobs_kept=timedelta(days=config.job_retention_days),
            requests_kept=None if (days := config.request_retention_days) is None else timedelta(days=days),
            metrics=metrics,
        )
        deletions = SceneDeletions(
            database=database,
            store=store,
            feed=feed,
            scenes=scenes,
            clock=now,
            replica_id=replica_id,
            writers=writers,
            guard=context.guard,
        )
        janitor = Janitor(database=database, context=context, running=lambda: runner.running, deletions=deletions)
        # Of its own, so that it starts after the engine that it works on, and ends before.
        upkeep = await stack.enter_async_context(Background(failed=metrics.task_failed))
        upkeep.start(retention.run, name="retention")
        upkeep.start(janitor.run, name="sweep")
        if database.shared:
            reaper = Reaper(database=database, lease=lease, handover=engine, taken_over=metrics.taken_over)
            upkeep.start(reaper.run, name="reaper")
        if config.metrics_listen:
            upkeep.start(metrics.watch_loop, name="loop lag")
            metrics_address = await stack.enter_async_context(serve_metrics(config.metrics_listen, metrics))
            logger.info("metrics served", extra={"address": metrics_address})
        connections = Connections(most=connections_of(raise_file_limit()), age_seconds=config.connection_age_seconds)
        video = VideoService(
            store=store,
            tasks=tasks,
            feed=feed,
            provider=provider,
            account=AccountReader(provider=provider, shield=shield),
            models=models,
            intake=Intake(
                store=store,
                models=models,
                uris=media,
                clock=now,
                new_id=JobIds(now, newest=await store.newest()).new,
            ),
            statuses=statuses,
            forecasts=Forecasts(
                database=database, terms=scheduler.terms, durations=durations, clock=now, scale=config.provider_speed
            ),
            watches=Streams(MOST_WATCHES),
            watch_seconds=connections.watch_seconds,
        )
        address = await stack.enter_async_context(
            serve_rpc(
                listen=config.listen,
                video=video,
                scene=SceneService(
                    scenes=scenes,
                    deletions=deletions,
                    media=media,
                    transfers=Transfers(),
                    shield=shield,
                    clock=now,
                ),
                access=access,
                certificates=certificates,
                drain=feed.drain,
                leave=engine.leave,
                healthy=lambda: lease.live if database.shared else True,
                grace_seconds=config.grace_seconds,
                connections=connections,
                arrivals=Arrivals(),
            )
        )
        ready(address, base_url)
        await stop.wait()
