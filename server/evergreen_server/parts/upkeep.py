"""What runs beside the calls: what jobs wait for, and what repairs and removes."""

import time
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial

from evergreen_server.film.plans.retention import delete_old_runs, delete_old_takes
from evergreen_server.film.runs.census import take_film_census
from evergreen_server.film.runs.sweep import RunSweep
from evergreen_server.jobs.maintenance.janitor import Janitor
from evergreen_server.jobs.maintenance.retention import Retention
from evergreen_server.jobs.store.census import take_census
from evergreen_server.metrics.counts import RowCounts
from evergreen_server.metrics.exposition import Exposition, serve_metrics
from evergreen_server.parts.films import FilmParts
from evergreen_server.parts.ground import Gate, Ground
from evergreen_server.parts.jobs import JobParts
from evergreen_server.parts.webhooks import WebhookParts
from evergreen_server.runtime.background import Background
from evergreen_server.runtime.clocks import SteadyClock
from evergreen_server.scenes.deletion import SceneDeletions
from evergreen_server.webhooks.census import take_webhook_census

__all__ = ["start_background", "start_upkeep"]


async def start_background(stack: AsyncExitStack, ground: Ground, jobs: JobParts, runs: FilmParts, gate: Gate) -> None:
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


async def start_upkeep(
    stack: AsyncExitStack, ground: Ground, jobs: JobParts, runs: FilmParts, webhooks: WebhookParts
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
        ("renders", runs.desk.run),
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
