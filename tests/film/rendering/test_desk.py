"""The desk: it renders what waits, as many films at a time as it has places, and loses none that it cannot."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from evergreen_server.film.rendering.desk import RenderDesk
from evergreen_server.film.rendering.slots import RenderSlots
from evergreen_server.film.runs.leg import Leg
from evergreen_server.film.runs.run import FilmRun, RunState
from evergreen_server.film.runs.runner import RENDER_AGAIN_SECONDS, FilmRunner
from evergreen_server.film.runs.sweep import RunSweep
from evergreen_server.jobs.model.states import Slot
from evergreen_server.ports.rendering import Rendered, RenderOrder, RenderRefused
from tests.film.assembling.cinema import Cinema, Render, cinema, short
from tests.film.assembling.test_kills import Fate, written
from tests.film.planning import FILM
from tests.film.rendering.test_slots import queued, slots_of
from tests.film.runs.studio import NOW, PROJECT, words

MUST_NOT_HANG = 60


@pytest.fixture
async def hall(tmp_path: Path) -> AsyncIterator[Cinema]:
    async with cinema(tmp_path, f"sqlite:///{tmp_path / 'jobs.sqlite'}") as opened:
        opened.studio.content = words
        opened.screen.instead = written(Fate())
        yield opened


async def to_the_queue(hall: Cinema, **terms: object) -> None:
    """Makes all outputs of a film, whose run then waits for a slot."""
    await hall.to_the_cut(short(), **terms)
    run = await hall.studio.claim()
    assert not await Leg(hall.studio.context, run).step()
    assert (await hall.studio.now()).slot is Slot.WANTED


@dataclass
class Runner:
    """Renders as long as nobody ends it."""

    begun: list[FilmRun] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def render(self, run: FilmRun) -> None:
        self.begun.append(run)
        self.news.set()
        await asyncio.Event().wait()


class Asked(RenderSlots):
    """Slots that note whether there was anything to do."""

    def __init__(self, *args: object, **given: object) -> None:
        super().__init__(*args, **given)
        self.answers: asyncio.Queue[bool] = asyncio.Queue()

    async def any(self) -> bool:
        answer = await super().any()
        self.answers.put_nowait(answer)
        return answer


def desk_of(
    hall: Cinema, *, places: int = 1, runner: object = None, healthy: bool = True, **given: object
) -> RenderDesk:
    studio = hall.studio
    return RenderDesk(
        **{"slots": slots_of(studio), **given},
        runner=runner or FilmRunner(studio.context),
        wakeups=studio.context.wakeups,
        places=places,
        healthy=lambda: healthy,
        clock=studio.clock,
    )


@asynccontextmanager
async def open_desk(hall: Cinema, **given: object) -> AsyncIterator[RenderDesk]:
    desk = desk_of(hall, **given)
    task = asyncio.create_task(desk.run())
    try:
        async with asyncio.timeout(MUST_NOT_HANG):
            yield desk
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(hall: Cinema, *, slot: Slot | None) -> FilmRun:
    """Waits until the run has this slot, or none."""
    while True:
        hall.studio.news.clear()
        if (run := await hall.studio.now()).slot is slot:
            return run
        await hall.studio.news.wait()


async def once(desk: RenderDesk) -> None:
    async with asyncio.TaskGroup() as renders:
        await desk.run_once(renders)


async def test_a_film_that_waits_is_rendered_and_published(hall: Cinema) -> None:
    await to_the_queue(hall)

    async with open_desk(hall):
        run = await until(hall, slot=None)

    assert (run.state, run.published, run.leg) == (RunState.SUCCEEDED, True, 1)
    assert len(hall.files()) == 5
    # No workflow had to begin again for it.
    assert hall.studio.legs == [(PROJECT, FILM, 1, 1)]


async def test_no_more_films_are_rendered_at_a_time_than_there_are_places(hall: Cinema) -> None:
    await queued(hall.studio, "many", 5)
    runner = Runner()

    async with open_desk(hall, places=2, runner=runner) as desk:
        while len(runner.begun) < 2:
            await runner.news.wait()
            runner.news.clear()
        async with asyncio.TaskGroup() as renders:
            await desk.run_once(renders)

    assert sorted(run.film_id for run in runner.begun) == ["film-00", "film-01"]


async def test_a_server_that_found_nothing_to_render_looks_again_once_anything_has_changed(hall: Cinema) -> None:
    """Of what other servers put into the queue nobody tells more than that something has changed."""
    runner = Runner()
    slots = Asked(database=hall.studio.database, runs=hall.studio.context.runs, clock=hall.studio.clock, replica_id="a")

    async with open_desk(hall, runner=runner, slots=slots, quiet_seconds=3600) as desk:
        assert not await slots.answers.get()
        await queued(hall.studio, "late", 1)
        desk.on_changes([])
        await runner.news.wait()

    assert [run.film_id for run in runner.begun] == ["film-00"]


@pytest.mark.parametrize("given", [{"places": 0}, {"healthy": False}])
async def test_a_server_without_places_or_without_a_lease_renders_nothing(
    hall: Cinema, given: dict[str, object]
) -> None:
    await to_the_queue(hall)
    desk = desk_of(hall, **given)
    await once(desk)
    early = await hall.studio.now()
    await hall.studio.later(seconds=61)

    await once(desk)
    await once(desk)

    assert (early.slot, early.warnings) == (Slot.WANTED, ())
    late = await hall.studio.now()
    assert (late.state, late.slot, [warning.code for warning in late.warnings]) == (
        RunState.RUNNING,
        Slot.WANTED,
        ["NO_RENDERER"],
    )


async def test_a_run_that_waits_for_a_slot_is_not_begun_again_by_anybody(hall: Cinema) -> None:
    await to_the_queue(hall)
    sweep = RunSweep(runs=hall.studio.context.runs, running=lambda: (), clock=hall.studio.clock)

    for _ in range(3):
        await sweep.run_once()
    again = await hall.studio.context.runs.claim(PROJECT, FILM, 1, leg=1, token="a workflow begun again")

    assert (again, len(hall.studio.legs)) == (None, 1)


async def test_a_run_that_waits_for_a_slot_is_cancelled_at_once(hall: Cinema) -> None:
    await to_the_queue(hall)
    await hall.studio.context.runs.command(PROJECT, FILM, 1, lambda run: run.cancelling())
    await once(desk_of(hall))

    await hall.to_the_end()

    run = await hall.studio.now()
    assert (run.state, run.slot, hall.files()) == (RunState.CANCELLED, None, {})
    assert hall.studio.legs[1:] == [(PROJECT, FILM, 1, 2)]


async def test_a_run_whose_time_is_over_while_it_waits_for_a_slot_ends(hall: Cinema) -> None:
    await to_the_queue(hall, finish_by=NOW + timedelta(minutes=5))
    await hall.studio.later(minutes=6)

    await RunSweep(runs=hall.studio.context.runs, running=lambda: (), clock=hall.studio.clock).run_once()
    await hall.to_the_end()

    run = await hall.studio.now()
    assert (run.state, run.error.reason) == (RunState.FAILED, "FILM_EXPIRED")


async def test_what_an_earlier_process_was_rendering_is_rendered_again(hall: Cinema) -> None:
    await to_the_queue(hall)
    slots = slots_of(hall.studio)
    assert await slots.grant((PROJECT, FILM, 1), "of a process that was killed")

    async with open_desk(hall):
        taken = await until(hall, slot=None)
        assert (taken.state, hall.studio.legs[1:]) == (RunState.RUNNING, [(PROJECT, FILM, 1, 2)])
        await FilmRunner(hall.studio.context).run(PROJECT, FILM, 1, 2)
        run = await until(hall, slot=None)

    assert (run.state, len(hall.files())) == (RunState.SUCCEEDED, 5)


async def test_a_film_that_cannot_be_rendered_now_lets_others_go_first(hall: Cinema) -> None:
    await to_the_queue(hall)
    working = hall.screen.instead

    async def full(_render: Render, _order: RenderOrder, _tell: object) -> Rendered:
        raise OSError(28, "No space left on device")

    hall.screen.instead = full
    await once(desk_of(hall))
    rests = await hall.studio.now()
    hall.screen.instead = working
    await once(desk_of(hall))
    resting = await hall.studio.now()
    await hall.studio.later(seconds=RENDER_AGAIN_SECONDS)

    await once(desk_of(hall))

    assert (rests.slot, [warning.code for warning in rests.warnings]) == (Slot.WANTED, ["STORAGE_UNAVAILABLE"])
    assert resting.slot is Slot.WANTED
    assert (await hall.studio.now()).state is RunState.SUCCEEDED


async def test_a_film_that_is_asked_about_leaves_its_slot_and_waits_for_people(hall: Cinema) -> None:
    await to_the_queue(hall)

    async def refused(_render: Render, _order: RenderOrder, _tell: object) -> Rendered:
        raise RenderRefused("the renderer ended again and again", code="RENDER_FAILED")

    hall.screen.instead = refused
    await once(desk_of(hall))

    run = await hall.studio.now()
    assert (run.state, run.slot, hall.studio.legs[1:]) == (RunState.NEEDS_ATTENTION, None, [])


async def test_a_film_whose_clip_is_lost_leaves_its_slot_until_the_clip_is_made_anew(hall: Cinema) -> None:
    await to_the_queue(hall)
    clip = next(job for job in await hall.studio.jobs() if job.request.spec.kind == "VIDEO")
    await hall.studio.scenes.discard(PROJECT, clip.request.scene_id, clip.outputs[0].path)

    await once(desk_of(hall))

    run = await hall.studio.now()
    assert (run.state, run.slot, hall.studio.legs[1:]) == (RunState.RUNNING, None, [(PROJECT, FILM, 1, 2)])
    assert [job.final for job in await hall.studio.jobs()].count(False) == 1


async def test_a_render_that_somebody_took_over_records_nothing_and_ends(hall: Cinema) -> None:
    await to_the_queue(hall)
    slots = slots_of(hall.studio)
    begun, ended = asyncio.Event(), asyncio.Event()

    async def held(_render: Render, _order: RenderOrder, _tell: object) -> Rendered:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError("nobody sets it")

    hall.screen.instead = held
    async with open_desk(hall):
        await begun.wait()
        [holder] = await slots.held(here=True)
        # Another server thinks that this one is gone.
        await slots.take_back(holder)
        other = await hall.studio.claim()
        hall.studio.context.wakeups.wake(other.key)
        await ended.wait()

    run = await hall.studio.now()
    assert (run.state, run.leg, run.execution, run.exports) == (RunState.RUNNING, 2, other.execution, ())
