"""What ends or holds a render: its run's caller, its time, a newer execution, files that changed, and refusals."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from evergreen_server.film.assembling.files import LocalFiles
from evergreen_server.film.assembling.material import Claim, FileLost, Material
from evergreen_server.film.cut.cutting import Used
from evergreen_server.film.outputs import wanted_of
from evergreen_server.film.runs.run import FilmRun, RunState
from evergreen_server.film.statuses import Status
from evergreen_server.jobs.model.errors import Superseded
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.store.project_lock import mark
from evergreen_server.ports.rendering import Rendered, RenderOrder, RenderProgress, RenderRefused
from evergreen_server.ports.specs import MediaKind
from evergreen_server.ports.timeline import Source
from evergreen_server.runtime.threads import OwnThreads
from evergreen_storage import Asset, SceneStore, open_storage
from tests.film.assembling.cinema import SMALL, Cinema, Render, cinema, filmed, short
from tests.film.planning import FILM
from tests.film.runs.studio import NOW, PROJECT
from tests.media.render.reel import sound, tone
from tests.media.render.test_process import renderers

MUST_NOT_HANG = 60
LARGE = {"name": "large", "width": 1280, "height": 720}


@pytest.fixture
async def hall(tmp_path: Path) -> AsyncIterator[Cinema]:
    async with cinema(tmp_path, f"sqlite:///{tmp_path / 'jobs.sqlite'}") as opened:
        yield opened


@dataclass
class Held:
    """A render that has begun, and goes on as long as nobody ends it."""

    begun: asyncio.Event
    tell: Callable[[RenderProgress], None] | None = None

    async def render(self, _render: Render, order: RenderOrder, tell: Callable[[RenderProgress], None]) -> Rendered:
        self.tell = tell
        self.begun.set()
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")


@asynccontextmanager
async def rendering(hall: Cinema) -> AsyncIterator[tuple["asyncio.Task[bool]", Held]]:
    """A run whose render has begun."""
    held = Held(asyncio.Event())
    hall.screen.instead = held.render
    step = asyncio.create_task(hall.studio.step())
    try:
        async with asyncio.timeout(MUST_NOT_HANG):
            await held.begun.wait()
            yield step, held
    finally:
        step.cancel()
        await asyncio.wait([step])


async def command(hall: Cinema, edit: Callable[[FilmRun], FilmRun], run: int = 1) -> None:
    now = await hall.studio.context.runs.command(PROJECT, FILM, run, edit)
    # As the service's own announcements do.
    hall.studio.context.wakeups.wake(now.key)


async def test_a_cancelled_run_ends_its_renderer_at_once_and_keeps_its_outputs(hall: Cinema) -> None:
    await hall.to_the_cut(short(2, profiles=[LARGE]))
    begun = asyncio.Event()

    async def render(render: Render, order: RenderOrder, tell: Callable[[RenderProgress], None]) -> Rendered:
        def note(progress: RenderProgress) -> None:
            tell(progress)
            begun.set()

        return await render(order, note)

    hall.screen.instead = render
    step = asyncio.create_task(hall.studio.step())
    async with asyncio.timeout(MUST_NOT_HANG):
        await begun.wait()
        assert renderers()
        await command(hall, lambda run: run.cancelling())
        assert await step
    assert renderers() == []

    await hall.studio.rest()

    run = await hall.studio.now()
    assert (run.state, run.exports, run.published) == (RunState.CANCELLED, (), False)
    assert run.money.spent == sum(job.charged_millicredits or 0 for job in await hall.studio.jobs())
    assert hall.files() == {}
    assert list(hall.work.iterdir()) == []


async def test_a_film_that_is_rendered_is_published_while_the_next_one_renders(hall: Cinema) -> None:
    await hall.to_the_cut(short())
    while not (await hall.studio.now()).exports:
        assert await hall.studio.step()
    await copy_scenes(hall, "other")
    other = await material_of(hall, short())
    held = Held(asyncio.Event())
    hall.screen.instead = held.render
    assembler = hall.studio.context.assembler
    assert assembler is not None
    # Without a row: it is never recorded.
    claim = Claim(project_id="other", film_id=FILM, run=1, leg=1, execution="")
    task = asyncio.create_task(assembler.render(claim, other, lambda _done, _total: None))
    try:
        async with asyncio.timeout(MUST_NOT_HANG):
            await held.begun.wait()
            await hall.studio.rest()
    finally:
        task.cancel()
        await asyncio.wait([task])

    assert (await hall.studio.now()).state is RunState.SUCCEEDED
    assert len(hall.screen.made) == 1


async def test_a_run_whose_time_is_over_ends_its_render(hall: Cinema) -> None:
    await hall.to_the_cut(short(), finish_by=NOW + timedelta(hours=1))

    async with rendering(hall) as (step, _):
        await hall.studio.later(hours=2)
        hall.studio.context.wakeups.wake(f"{PROJECT}/{FILM}")
        assert await step
        await hall.studio.rest()

    run = await hall.studio.now()
    assert (run.state, run.error.reason) == (RunState.FAILED, "FILM_EXPIRED")


async def test_a_newer_execution_ends_the_render_of_the_older_one(hall: Cinema) -> None:
    await hall.to_the_cut(short())

    async with rendering(hall) as (step, _):
        await hall.studio.claim()
        hall.studio.context.wakeups.wake(f"{PROJECT}/{FILM}")
        with pytest.raises(Superseded):
            await step
    hall.screen.instead = None
    await hall.studio.rest()

    assert (await hall.studio.now()).state is RunState.SUCCEEDED


async def test_an_execution_that_was_superseded_records_no_export(hall: Cinema) -> None:
    await hall.to_the_cut(short())

    async def render(render: Render, order: RenderOrder, tell: Callable[[RenderProgress], None]) -> Rendered:
        made = await render(order, tell)
        await hall.studio.claim()
        return made

    hall.screen.instead = render
    old = hall.studio.leg
    with pytest.raises(Superseded):
        await old.step()

    assert hall.files() == {}
    hall.screen.instead = None
    await hall.studio.rest()
    assert (await hall.studio.now()).state is RunState.SUCCEEDED


async def test_the_run_tells_how_far_its_render_is(hall: Cinema) -> None:
    await hall.to_the_cut(short())
    async with rendering(hall) as (_, held):
        for done in (10, 20, 30):
            held.tell(RenderProgress(done=done, total=100))
        told = (await hall.studio.films.present(PROJECT, FILM)).revision
        before = (await hall.studio.now()).revision
        hall.studio.news.clear()
        hall.studio.context.wakeups.wake(f"{PROJECT}/{FILM}")
        while (run := await hall.studio.now()).frames_done < 30:
            await hall.studio.news.wait()
            hall.studio.news.clear()

    assert run.frames > 30
    # However often it is told, one look records the newest, which changes nothing that is approved.
    assert (await hall.studio.films.present(PROJECT, FILM)).revision == told + 1
    assert run.revision == before


async def test_a_clip_that_cannot_be_rendered_is_the_trouble_of_its_shot(hall: Cinema) -> None:
    async def broken(job: Job) -> tuple[bytes, float]:
        if job.request.spec.kind is MediaKind.VIDEO and job.request.scene_id == "scene-2":
            return b"no clip at all", 5.0
        return await filmed(job)

    hall.studio.content = broken

    run = await hall.make(short(3))

    assert (run.state, run.stage) == (RunState.NEEDS_ATTENTION, "ASSEMBLING")
    [trouble] = run.troubles
    job = next(job for job in await hall.studio.jobs() if job.request.scene_id == "scene-2" and is_clip(job))
    assert (trouble.item_id, trouble.output, trouble.reason, trouble.job_id) == (
        "scene-2.1",
        "clip",
        "CLIP_UNSUPPORTED",
        job.job_id,
    )
    assert hall.files() == {}


def is_clip(job: Job) -> bool:
    return job.request.spec.kind is MediaKind.VIDEO


async def test_speech_that_cannot_be_heard_is_the_trouble_of_its_line(hall: Cinema) -> None:
    async def broken(job: Job) -> tuple[bytes, float]:
        if "counted" in job.request.spec.prompt_text:
            return b"no speech at all", 2.0
        return await filmed(job)

    hall.studio.content = broken

    run = await hall.make(short())

    [trouble] = run.troubles
    assert (trouble.item_id, trouble.output) == ("scene-1.line-2", "speech")


async def test_a_renderer_that_gives_up_asks_what_is_to_become_of_the_film(hall: Cinema) -> None:
    async def render(*_: object) -> Rendered:
        raise RenderRefused("the disk is full", code="RENDER_FAILED")

    hall.screen.instead = render

    run = await hall.make(short())

    assert (run.state, run.error.reason, run.error.message) == (
        RunState.NEEDS_ATTENTION,
        "RENDER_FAILED",
        "the disk is full",
    )


async def test_a_clip_that_changed_since_it_was_made_is_made_anew(hall: Cinema) -> None:
    one = short(2)
    await hall.make(one)
    clip = next(job for job in await hall.studio.jobs() if is_clip(job))
    path = place(hall, clip)
    # Of the same length, so that only its content tells.
    path.write_bytes(path.read_bytes()[::-1])

    run = await hall.make(short(2, before=one, profiles=[{**SMALL, "name": "other"}]))

    assert run.state is RunState.SUCCEEDED
    clips = [job for job in await hall.studio.jobs() if is_clip(job)]
    assert len(clips) == 3
    assert clips[-1].request.spec == clip.request.spec
    assert place(hall, clips[-1]).name in hall.path("other-" + run.exports[0][:8] + ".json").read_text()
    assert len(hall.screen.made) == 2


@pytest.mark.parametrize("how", ["changed", "gone"])
async def test_a_clip_that_is_not_as_it_was_delivered_is_made_anew(hall: Cinema, how: str) -> None:
    """The run has not read it yet."""
    await hall.to_the_cut(short(2))
    clip = next(job for job in await hall.studio.jobs() if is_clip(job))
    path = place(hall, clip)
    path.write_bytes(path.read_bytes()[::-1])
    if how == "gone":
        path.unlink()

    await hall.studio.rest()

    assert (await hall.studio.now()).state is RunState.SUCCEEDED
    assert len([job for job in await hall.studio.jobs() if is_clip(job)]) == 3


def place(hall: Cinema, job: Job) -> Path:
    return hall.folder / "data" / "projects" / PROJECT / job.request.scene_id / job.outputs[0].path


async def test_a_film_waits_while_its_scene_is_being_deleted(hall: Cinema) -> None:
    await hall.to_the_cut(short())
    marks = partial(mark, project_id=PROJECT, scene_id=FILM, replica_id="", now=NOW)
    await hall.studio.database.write(lambda db: marks(db))

    assert await hall.studio.step()

    run = await hall.studio.now()
    assert (run.state, [warning.code for warning in run.warnings]) == (RunState.RUNNING, ["SCENE_BUSY"])
    assert (hall.files(), hall.screen.made) == ({}, [])


async def test_a_scene_is_not_deleted_while_a_film_is_put_into_it(hall: Cinema) -> None:
    counts: list[int] = []

    class Watched(SceneStore):
        async def add_stream(self, *given: Any, **how: Any) -> Asset:
            counts.append(await hall.writers.count(PROJECT, FILM))
            return await super().add_stream(*given, **how)

        async def add(self, *given: Any, **how: Any) -> Asset:
            counts.append(await hall.writers.count(PROJECT, FILM))
            return await super().add(*given, **how)

    async with open_storage((hall.folder / "data").as_uri()) as storage:
        hall.with_scenes(Watched(storage, clock=hall.studio.clock))
        await hall.make(short())

    assert counts == [1] * 5
    assert await hall.writers.count(PROJECT, FILM) == 0


async def test_a_film_without_its_music_is_asked_about_and_not_made_silently(hall: Cinema) -> None:
    run = await hall.make(short(music="audio/bed.mp3"))

    assert (run.state, run.error.reason) == (RunState.NEEDS_ATTENTION, "ASSET_NOT_FOUND")
    assert hall.files() == {}


async def test_music_is_heard_throughout(hall: Cinema) -> None:
    bed = sound(hall.folder / "bed.wav", tone(1.0, 0.2))
    await hall.studio.scenes.add(PROJECT, FILM, "audio/bed.wav", bed.read_bytes(), "audio/wav")

    run = await hall.make(short(music="audio/bed.wav"))

    assert run.state is RunState.SUCCEEDED
    heard = [each["heard"] for each in json.loads(hall.path(".json").read_bytes())["sounds"]]
    assert heard.count("MUSIC") == 1
    # Its length was measured, and so an editor finds it again and again.
    assert hall.path(".otio").read_text().count("bed.wav") > 1


async def test_files_that_take_more_of_the_disk_than_a_film_may_have_are_refused(hall: Cinema) -> None:
    assembler = hall.assembler(hall.studio.scenes, most_bytes=10_000)
    hall.studio.context = replace(hall.studio.context, assembler=assembler)

    run = await hall.make(short())

    assert (run.state, run.error.reason) == (RunState.NEEDS_ATTENTION, "RENDER_FAILED")
    assert "10,000 bytes" in run.error.message
    assert list(hall.work.iterdir()) == []


async def test_a_file_is_copied_once_and_only_with_the_content_that_it_had(hall: Cinema, tmp_path: Path) -> None:
    await hall.studio.scenes.add(PROJECT, FILM, "audio/bed.mp3", b"music", "audio/mpeg")
    async with OwnThreads(1, name="copies") as threads:
        local = LocalFiles(
            scenes=hall.studio.scenes, threads=threads, project_id=PROJECT, folder=tmp_path, most_bytes=100
        )
        known = "f6cf2e4a0e01ad5bbd9d1a4df8a5ef5e0bd7ae9a6b9a1c5cbb6bb0d0dbd0c0f0"
        with pytest.raises(FileLost) as lost:
            await local.path(Source(scene_id=FILM, asset="audio/bed.mp3", sha256=known))
        assert lost.value.place == (FILM, "audio/bed.mp3")
        with pytest.raises(FileLost):
            await local.path(Source(scene_id=FILM, asset="audio/none.mp3", sha256=known))


async def copy_scenes(hall: Cinema, project_id: str) -> None:
    root = hall.folder / "data" / "projects"
    for path in (root / PROJECT).rglob("*.mp*"):
        target = root / project_id / path.relative_to(root / PROJECT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())


async def material_of(hall: Cinema, one: object) -> Material:
    snapshot = await hall.studio.context.runs.snapshot(await hall.studio.now())
    used = {row.key: Used(source=row.source, seconds=row.seconds) for row in snapshot.outputs if row.source}
    return Material(
        plan=one.plan,
        plan_revision=1,
        models=one.models,
        statuses={wanted.key: Status.THERE for wanted in wanted_of(one.plan)},
        used=used,
    )
