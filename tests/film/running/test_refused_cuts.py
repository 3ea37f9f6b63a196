"""Cuts that are refused for a file that is there: what is said, and which approval helps."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from evergreen_server.film.errors import OutputsMissing
from evergreen_server.film.model import OnShotFailure, OutputKind
from evergreen_server.film.planning.editing import RedoShot, UseAsset, edit
from evergreen_server.film.runs.run import FilmRun, RunKind, RunState
from evergreen_server.jobs.db.schema import jobs
from evergreen_server.jobs.model.held import FilmCreditsExceeded
from evergreen_server.ports.rendering import Rendered, RenderOrder, RenderRefused
from tests.film.assembling.cinema import Cinema, Render, cinema, short
from tests.film.assembling.test_kills import Fate, written
from tests.film.planning import FILM, TABLE, Film
from tests.film.running.test_door import approval, door
from tests.film.running.test_exports import asked
from tests.film.runs.studio import PROJECT, words


class Choosy:
    """A renderer that refuses the file that one shot was given first, however often it is asked."""

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self.code = "CLIP_UNSUPPORTED"
        self.asked = 0

    async def render(self, render: Render, order: RenderOrder, tell: object) -> Rendered:
        self.asked += 1
        sources = [span.source for span in order.timeline.spans]
        self.refused = self.refused or {sources[1].sha256}
        for span, source in enumerate(sources):
            if source.sha256 in self.refused:
                raise RenderRefused("it is HDR", code=self.code, span=span)
        return await written(Fate())(render, order, lambda _: None)


@pytest.fixture
async def hall(tmp_path: Path) -> AsyncIterator[Cinema]:
    async with cinema(tmp_path, f"sqlite:///{tmp_path / 'jobs.sqlite'}") as opened:
        opened.studio.content = words
        opened.fate = Choosy()
        opened.screen.instead = opened.fate.render
        yield opened


async def on(hall: Cinema, run: FilmRun, credits: float | None = None, **fields: object) -> FilmRun:
    """The run after an approval, where its leg ends."""
    await door(hall.studio).approve(approval(run, credits, **fields))
    return await hall.to_the_end()


async def changed(hall: Cinema, one: Film, *edits: object) -> int:
    """Records the plan after some edits; returns its revision."""
    return await hall.studio.plan(replace(one, planned=edit(one.plan, edits, TABLE)))


async def test_a_refused_clip_is_asked_about_once_and_an_edit_makes_it_anew(hall: Cinema) -> None:
    one = short(2)
    run = await hall.make(one)
    made, [trouble] = await hall.studio.jobs(), run.troubles
    assert (run.state, trouble.item_id, trouble.reason) == (RunState.NEEDS_ATTENTION, "scene-2.1", "CLIP_UNSUPPORTED")
    assert "it is HDR" in trouble.message
    assert "redo" in trouble.message
    assert "use_asset" in trouble.message

    with pytest.raises(OutputsMissing, match=r"scene-2\.1; change that by an edit"):
        await door(hall.studio).approve(approval(run))
    other = await changed(hall, one, RedoShot(item_id="scene-1.1", output=OutputKind.CLIP))
    with pytest.raises(OutputsMissing):
        await door(hall.studio).approve(approval(run, plan_revision=other))
    assert (hall.fate.asked, await hall.studio.now()) == (1, run)
    mended = await changed(hall, one, RedoShot(item_id="scene-2.1", output=OutputKind.CLIP))
    done = await on(hall, run, plan_revision=mended)

    assert (done.state, done.troubles) == (RunState.SUCCEEDED, ())
    assert len(await hall.studio.jobs()) == len(made) + 1


async def test_a_file_in_place_of_a_refused_clip_costs_nothing(hall: Cinema) -> None:
    one = short(2)
    run = await hall.make(one)
    await hall.studio.scenes.add(PROJECT, FILM, "videos/own.mp4", b"own", "video/mp4")
    use = UseAsset(item_id="scene-2.1", output=OutputKind.CLIP, scene_id=FILM, asset="videos/own.mp4")

    done = await on(hall, run, run.money.spent / 1000, plan_revision=await changed(hall, one, use))

    assert (done.state, done.money.spent) == (RunState.SUCCEEDED, run.money.spent)


@pytest.mark.parametrize(
    ("policy", "instead"), [(OnShotFailure.STILL, "its picture is seen"), (OnShotFailure.SKIP, "left out")]
)
async def test_what_stands_in_for_a_refused_clip_is_as_the_run_says(
    hall: Cinema, policy: OnShotFailure, instead: str
) -> None:
    run = await hall.make(short(3), on_failure=policy)

    assert (run.state, run.troubles, hall.fate.asked) == (RunState.SUCCEEDED, (), 2)
    assert any("scene-2.1" in warning.message and instead in warning.message for warning in run.warnings)
    made = await hall.studio.jobs()
    # What stood in is found again, and nothing is made anew.
    assert (await hall.make(short(3), on_failure=policy, quote=0)).state is RunState.SUCCEEDED
    assert (await hall.studio.jobs(), len(hall.screen.made)) == (made, 1)


async def test_a_refused_picture_that_stands_in_for_a_refused_clip_is_asked_about(hall: Cinema) -> None:
    async def render(_: Render, order: RenderOrder, __: object) -> Rendered:
        raise RenderRefused("it is HDR", code="CLIP_UNSUPPORTED", span=1)

    hall.screen.instead = render
    run = await hall.make(short(3), on_failure=OnShotFailure.STILL)

    assert (run.state, [trouble.item_id for trouble in run.troubles]) == (RunState.NEEDS_ATTENTION, ["scene-2.1"])


async def test_what_stands_in_is_published_by_a_run_that_is_begun_again(hall: Cinema) -> None:
    await hall.to_the_cut(short(3), on_failure=OnShotFailure.STILL)
    while not (await hall.studio.now()).exports:
        assert await hall.studio.step()
    hall.with_scenes(hall.studio.scenes)

    run = await hall.to_the_end()

    assert (run.state, run.published, len(hall.screen.made)) == (RunState.SUCCEEDED, True, 1)


async def test_a_refused_clip_of_an_export_is_not_made_anew(hall: Cinema) -> None:
    hall.screen.instead = written(Fate())
    await hall.make(short(2))
    hall.screen.instead = hall.fate.render
    await door(hall.studio).export(asked())
    run = await hall.to_the_end()

    assert (run.kind, run.state) == (RunKind.EXPORT, RunState.NEEDS_ATTENTION)
    assert "cancel" in run.troubles[0].message
    with pytest.raises(OutputsMissing):
        await door(hall.studio).approve(approval(run, 0))


async def test_a_renderer_that_died_is_tried_again_by_an_approval(hall: Cinema) -> None:
    hall.fate.code = "RENDER_FAILED"
    run = await hall.make(short(2))
    assert "tries it once more" in run.troubles[0].message
    hall.fate.refused = {"none"}

    done = await on(hall, run)

    assert done.state is RunState.SUCCEEDED


async def test_a_job_that_is_no_longer_kept_is_no_reason_to_make_its_clip_anew(hall: Cinema) -> None:
    hall.fate.code = "RENDER_FAILED"
    run = await hall.make(short(2))
    [trouble] = run.troubles
    gone = jobs.delete().where(jobs.c.job_id == trouble.job_id)
    await hall.studio.database.write(lambda db: db.execute(gone))
    hall.fate.refused = {"none"}

    done = await on(hall, run, run.money.spent / 1000)

    assert (done.state, done.money.spent, done.takes) == (RunState.SUCCEEDED, run.money.spent, {})


async def test_a_sum_covers_what_is_spent_even_where_nothing_is_left_to_make(hall: Cinema) -> None:
    hall.fate.code = "RENDER_FAILED"
    run = await hall.make(short(2))
    spent = run.money.spent
    assert spent > 0

    for credits, over in ((0, spent), (spent / 1000 - 0.001, 1), (spent / 2000, spent - round(spent / 2))):
        with pytest.raises(FilmCreditsExceeded) as refused:
            await door(hall.studio).approve(approval(run, credits))
        assert (refused.value.estimate, refused.value.left) == (0, -over)
        assert f"{over / 1000:g} credits more than the sum" in str(refused.value)
    hall.fate.refused = {"none"}
    done = await on(hall, run, spent / 1000)

    assert (done.state, done.money.approved) == (RunState.SUCCEEDED, spent)
