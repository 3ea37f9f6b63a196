"""What runs jobs, and what the edge asks of them."""

import random
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from evergreen_server.film.runs.watching import WatchedFilms
from evergreen_server.jobs.admission.durations import Durations
from evergreen_server.jobs.admission.scheduler import SlotScheduler
from evergreen_server.jobs.assets import AssetCheck
from evergreen_server.jobs.chronicle import log_changes
from evergreen_server.jobs.cluster.engine import Engine
from evergreen_server.jobs.execution.context import Limits, Places, StepContext
from evergreen_server.jobs.execution.kinds.measured import picture_deliverer, sound_deliverer
from evergreen_server.jobs.execution.kinds.videos import VideoDeliverer
from evergreen_server.jobs.execution.polling.schedule import Pace
from evergreen_server.jobs.execution.runner import Runner
from evergreen_server.jobs.feed.hub import WatchHub
from evergreen_server.jobs.intake import Intake
from evergreen_server.jobs.store.backlog import Backlog
from evergreen_server.jobs.store.jobs import JobStore
from evergreen_server.jobs.store.ledger import Caps
from evergreen_server.jobs.store.progress_buffer import ProgressBuffer
from evergreen_server.jobs.store.provider_tasks import TaskRecords
from evergreen_server.jobs.wakeups import Wakeups
from evergreen_server.metrics.meters import Meters
from evergreen_server.parts.ground import Ground
from evergreen_server.ports.specs import MediaKind
from evergreen_server.rpc.messages.events import EventWire
from evergreen_server.rpc.status_cache import StatusCache
from evergreen_server.runtime.ids import JobIds
from evergreen_server.runtime.shield import ProtectedTasks
from evergreen_server.runtime.threads import OwnThreads
from evergreen_server.scenes.writers import CountedWriters, RecordedWriters, SceneWriters

__all__ = ["JobParts", "open_jobs"]

FILES_AT_ONCE = 8
"""Threads for the files of all jobs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobParts:
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


async def open_jobs(stack: AsyncExitStack, ground: Ground, meters: Meters) -> JobParts:
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
    ground.announcer.subscribe(engine.queues.on_changes, on_resync=engine.queues.look_soon)
    ground.announcer.subscribe_here(scheduler.on_commit)
    ground.announcer.subscribe_here(log_changes)
    ground.announcer.subscribe_here(meters.jobs.on_changes)
    await stack.enter_async_context(membership.open())
    context = await _context(stack, ground, store, scheduler, wakeups, meters)
    new_id = JobIds(now, newest=await store.newest()).new
    return JobParts(
        store=store,
        engine=engine,
        hub=hub,
        statuses=statuses,
        writers=writers,
        context=context,
        runner=Runner(context),
        intake=Intake(
            store=store,
            models=ground.models,
            media=ground.media,
            assets=AssetCheck(scenes=ground.scenes, heads=ground.media, shield=context.shield),
            clock=now,
            new_id=new_id,
        ),
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
