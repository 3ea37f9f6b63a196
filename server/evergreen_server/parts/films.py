"""What makes and runs films."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from evergreen_server.config import Config
from evergreen_server.film.assembling.assembler import Assembler
from evergreen_server.film.assembling.beginnings import Beginnings
from evergreen_server.film.assembling.store import ExportStore
from evergreen_server.film.plans.door import Films
from evergreen_server.film.plans.store import FilmStore
from evergreen_server.film.rendering.desk import RenderDesk
from evergreen_server.film.rendering.slots import RenderSlots
from evergreen_server.film.running.door import FilmRuns
from evergreen_server.film.runs.context import FilmContext
from evergreen_server.film.runs.events import FilmEvents
from evergreen_server.film.runs.runner import FilmRunner
from evergreen_server.film.runs.store import RunStore
from evergreen_server.film.runs.survey import Surveyor
from evergreen_server.media.provenance.signer import Signer
from evergreen_server.media.render.limits import RenderLimits
from evergreen_server.media.render.renderer import Renderer
from evergreen_server.media.render.version import renderer_version
from evergreen_server.parts.ground import Ground
from evergreen_server.parts.jobs import JobParts
from evergreen_server.rpc.messages.events import EventWire
from evergreen_server.rpc.services.film import FilmService
from evergreen_server.rpc.streams import MOST_PLANS, Streams
from evergreen_server.runtime.threads import OwnThreads
from evergreen_server.scenes.deletion import SceneDeletions

__all__ = ["FilmParts", "film_service", "open_films"]

LOOKS_AT_ONCE = 2
"""Threads that look at runs of films, and hash what those are made from, projects in turn."""
SCRIPTS_AT_ONCE = 2
"""Threads that read scripts and make plans: one for a project that asks for many, one for the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmParts:
    """What runs films."""

    plans: FilmStore
    store: RunStore
    surveyor: Surveyor
    threads: OwnThreads
    runner: FilmRunner
    desk: RenderDesk


async def open_films(stack: AsyncExitStack, ground: Ground, jobs: JobParts) -> FilmParts:
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
    work = ground.temp_dir / "films"
    work.mkdir(parents=True, exist_ok=True)
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
        assembler=await _assembler(ground, jobs, threads, work) if ground.config.renders else None,
    )
    runner = FilmRunner(context)
    ground.announcer.subscribe(runner.on_changes)
    replica_id = ground.membership.replica_id
    desk = RenderDesk(
        slots=RenderSlots(database=ground.database, runs=store, clock=ground.now, replica_id=replica_id),
        runner=runner,
        wakeups=jobs.context.wakeups,
        places=ground.config.renders,
        healthy=ground.membership.healthy,
        clock=ground.now,
    )
    ground.announcer.subscribe(desk.on_changes)
    return FilmParts(plans=plans, store=store, surveyor=surveyor, threads=threads, runner=runner, desk=desk)


async def _assembler(ground: Ground, jobs: JobParts, threads: OwnThreads, work: Path) -> Assembler:
    """Returns what makes the exports of the films that this server renders."""
    cache, font = ground.config.data_dir / "state" / "render", ground.config.caption_font
    cache.mkdir(parents=True, exist_ok=True)
    return Assembler(
        scenes=ground.scenes,
        exports=ExportStore(database=ground.database, clock=ground.now),
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


async def film_service(
    stack: AsyncExitStack, ground: Ground, jobs: JobParts, runs: FilmParts, deletions: SceneDeletions
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


async def _signer(config: Config) -> Signer | None:
    """Returns what signs exports, where keys are given. Raises FileUnusable."""
    if config.c2pa_files is None:
        return None
    certificates, key = config.c2pa_files
    signer = Signer(certificates=certificates, key=key)
    await signer.check()
    return signer
