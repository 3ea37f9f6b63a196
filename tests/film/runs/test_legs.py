"""A run from its approval to its end: which jobs it asks for, which it reuses, and what it does when one fails."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from evergreen_server.film.composing.compose import File
from evergreen_server.film.model import OnShotFailure
from evergreen_server.film.runs.deciding import AT_ONCE, FilmGate, FilmStage
from evergreen_server.film.runs.leg import Leg
from evergreen_server.film.runs.looking import Store
from evergreen_server.film.runs.rows import FilmOutput
from evergreen_server.film.runs.run import Approval, FilmRun, RunState
from evergreen_server.film.runs.store import RunStore, Snapshot
from evergreen_server.film.runs.survey import Surveyor
from evergreen_server.jobs.model.errors import Superseded
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.model.states import CostBasis, State
from evergreen_server.jobs.store.backlog import Backlog
from evergreen_server.ports.specs import MediaKind
from tests.film.planning import FILM, LAMP, film, scenes_of
from tests.film.runs.studio import FAILURE, NOW, PROJECT, Studio, studio

CLIPS = FilmStage.CLIPS
SHORT = scenes_of(3)


@pytest.fixture
async def stand(database_url: str, tmp_path: Path) -> AsyncIterator[Studio]:
    async with studio(tmp_path, database_url) as opened:
        yield opened


def kinds(jobs: list[Job]) -> Counter[MediaKind]:
    return Counter(job.request.spec.kind for job in jobs)


def is_picture(job: Job) -> bool:
    return job.request.spec.kind is MediaKind.IMAGE


async def test_a_film_is_made_from_its_pictures_and_speech_to_its_clips(stand: Studio) -> None:
    lamp = film(LAMP)
    await stand.start(lamp, stop_after=CLIPS)

    assert await stand.step()
    first = await stand.jobs()
    shots, lines = len(list(lamp.plan.shots())), len(list(lamp.plan.lines()))
    assert kinds(first) == {MediaKind.IMAGE: shots, MediaKind.SPEECH: lines}
    jobs = await stand.rest()

    run = await stand.now()
    assert run.state is RunState.SUCCEEDED
    assert kinds(jobs)[MediaKind.VIDEO] == shots
    assert all(job.state is State.SUCCEEDED for job in jobs)
    spent = sum(job.charged_millicredits or 0 for job in jobs)
    assert (run.money.held, run.money.reserved, run.money.spent) == (0, 0, spent)
    totals = await stand.project()
    assert (totals.reserved, totals.spent) == (0, spent)
    assert spent <= run.money.approved


async def test_clips_begin_with_the_pictures_that_were_made(stand: Studio) -> None:
    await stand.start(film(SHORT), stop_after=CLIPS)

    jobs = await stand.rest()

    pictures = {job.request.scene_id: job.outputs[0].path for job in jobs if is_picture(job)}
    clips = [job for job in jobs if job.request.spec.kind is MediaKind.VIDEO]
    assert {job.request.scene_id: job.request.spec.media[0].asset for job in clips} == pictures


async def test_the_same_plan_again_asks_for_nothing(stand: Studio) -> None:
    short = film(SHORT)
    await stand.start(short, stop_after=CLIPS)
    before = await stand.rest()

    await stand.start(short, quote=0, stop_after=CLIPS)

    assert await stand.rest() == before
    run = await stand.now()
    assert (run.run, run.state, run.money.spent) == (2, RunState.SUCCEEDED, 0)


async def test_one_changed_line_is_spoken_anew_and_nothing_else(stand: Studio) -> None:
    short = film(SHORT)
    await stand.start(short, stop_after=CLIPS)
    before = await stand.rest()
    changed = film(scenes_of(3, changed={2: "Boat 2 left the harbour long after dawn."}), short.plan)

    await stand.start(changed, quote=1_000, spare=30_000, stop_after=CLIPS)
    after = await stand.rest()

    new = after[len(before) :]
    assert [(job.request.spec.kind, job.request.scene_id) for job in new] == [(MediaKind.SPEECH, "scene-2")]


FORTY = scenes_of(40)


@pytest.mark.parametrize(
    ("change", "made"),
    [
        ("one line", {MediaKind.SPEECH: 1}),
        ("another order", {}),
    ],
)
async def test_of_forty_scenes_only_what_changed_is_paid_for_again(
    tmp_path: Path, change: str, made: dict[MediaKind, int]
) -> None:
    """On one database: what is decided is the same on both."""
    forty = film(FORTY)
    async with studio(tmp_path, f"sqlite:///{tmp_path / 'jobs.sqlite'}") as stand:
        await stand.start(forty, stop_after=CLIPS)
        await stand.step()
        assert len(await stand.jobs()) == AT_ONCE
        # As after a crash between two batches of jobs.
        await stand.claim()
        before = await stand.rest()
        assert kinds(before) == {MediaKind.IMAGE: 40, MediaKind.SPEECH: 80, MediaKind.VIDEO: 40}
        match change:
            case "one line":
                after = film(scenes_of(40, changed={17: "Boat 17 left the harbour long after dawn."}), forty.plan)
            case _:
                scenes = (*forty.plan.scenes[20:], *forty.plan.scenes[:20])
                after = replace(forty, planned=replace(forty.planned, plan=replace(forty.plan, scenes=scenes)))

        await stand.start(after, quote=0, spare=100_000_000, stop_after=CLIPS)
        new = (await stand.rest())[len(before) :]

        run = await stand.now()
        assert kinds(new) == made
        assert run.state is RunState.SUCCEEDED
        assert run.money.spent == sum(job.charged_millicredits or 0 for job in new)
        if change == "one line":
            assert {job.request.scene_id for job in new} == {"scene-17"}


async def test_a_file_that_was_deleted_by_hand_is_made_once_more(stand: Studio) -> None:
    short = film(SHORT)
    await stand.start(short, stop_after=CLIPS)
    before = await stand.rest()
    clip = next(job for job in before if job.request.spec.kind is MediaKind.VIDEO)
    await stand.scenes.discard(PROJECT, clip.request.scene_id, clip.outputs[0].path)

    await stand.start(short, quote=50_000, stop_after=CLIPS)
    after = await stand.rest()

    (new,) = after[len(before) :]
    assert new.request.spec == clip.request.spec
    assert new.request.request_id != clip.request.request_id
    assert (await stand.now()).state is RunState.SUCCEEDED


async def test_an_execution_that_begins_again_asks_for_no_job_twice(stand: Studio) -> None:
    await stand.start(film(SHORT), stop_after=CLIPS)
    await stand.step()
    before = await stand.jobs()
    old = stand.leg

    await stand.claim()
    await stand.step()

    assert await stand.jobs() == before
    with pytest.raises(Superseded):
        await old.step()
    assert len({job.request.request_id for job in await stand.rest()}) == len(await stand.jobs())


async def test_a_gate_waits_for_its_approval_before_any_clip(stand: Studio) -> None:
    short = film(SHORT)
    await stand.start(short, stop_after=CLIPS, gates=frozenset({FilmGate.STORYBOARD}))

    jobs = await stand.rest()
    waiting = await stand.now()
    assert (waiting.state, waiting.gate, kinds(jobs)[MediaKind.VIDEO]) == (
        RunState.AWAITING_APPROVAL,
        FilmGate.STORYBOARD,
        0,
    )

    await approve(stand, quote=100_000)
    await stand.claim()
    jobs = await stand.rest()
    assert (await stand.now()).state is RunState.SUCCEEDED
    assert kinds(jobs)[MediaKind.VIDEO] == 3


async def approve(stand: Studio, *, quote: int, takes: dict[str, int] | None = None) -> None:
    run = await stand.now()
    spent = run.money.spent + run.money.reserved
    approval = Approval(revision=run.revision, plan_revision=run.plan_revision, approved=spent + quote)
    await stand.context.runs.approve(run, approval, quote=quote, takes=takes or {})


async def test_one_failure_is_asked_about_once_all_else_is_made_and_then_tried_again(stand: Studio) -> None:
    await stand.start(film(SHORT), stop_after=CLIPS)

    jobs = await stand.rest(lambda job: not (is_picture(job) and job.request.scene_id == "scene-2"))

    run = await stand.now()
    assert run.state is RunState.NEEDS_ATTENTION
    (trouble,) = run.troubles
    assert (trouble.item_id, trouble.output, trouble.reason) == ("scene-2.1", "picture", "GENERATION_FAILED")
    assert kinds(jobs)[MediaKind.VIDEO] == 2
    failed = next(job for job in jobs if job.state is State.FAILED)
    base = next(
        output.base for output in (await stand.context.runs.snapshot(run)).outputs if output.job_id == failed.job_id
    )
    await approve(stand, quote=60_000, takes={base: 2})
    await stand.claim()
    jobs = await stand.rest()
    assert (await stand.now()).state is RunState.SUCCEEDED
    assert kinds(jobs) == {MediaKind.IMAGE: 4, MediaKind.SPEECH: 6, MediaKind.VIDEO: 3}


@pytest.mark.parametrize(
    ("policy", "state", "clips"),
    [
        (OnShotFailure.SKIP, RunState.SUCCEEDED, 3),
        (OnShotFailure.STILL, RunState.SUCCEEDED, 3),
        (OnShotFailure.FAIL, RunState.FAILED, 3),
    ],
)
async def test_a_failed_clip_goes_by_the_policy(
    stand: Studio, policy: OnShotFailure, state: RunState, clips: int
) -> None:
    await stand.start(film(SHORT), stop_after=CLIPS, on_failure=policy)

    jobs = await stand.rest(
        lambda job: job.request.spec.kind is not MediaKind.VIDEO or job.request.scene_id != "scene-2"
    )

    run = await stand.now()
    assert (run.state, kinds(jobs)[MediaKind.VIDEO]) == (state, clips)
    assert run.money.held == 0
    assert (await stand.project()).reserved == 0


async def test_a_later_run_tries_what_failed_in_an_earlier_one(stand: Studio) -> None:
    short = film(SHORT)
    await stand.start(short, stop_after=CLIPS, on_failure=OnShotFailure.FAIL)
    before = await stand.rest(lambda job: job.request.spec.kind is not MediaKind.VIDEO)
    assert (await stand.now()).state is RunState.FAILED

    await stand.start(short, stop_after=CLIPS)
    after = await stand.rest()

    assert kinds(after[len(before) :]) == {MediaKind.VIDEO: 3}
    assert (await stand.now()).state is RunState.SUCCEEDED


async def test_paid_failures_that_use_up_the_sum_are_asked_about(stand: Studio) -> None:
    short = film(SHORT)
    await stand.start(short, stop_after=CLIPS)
    await stand.step()
    for job in await stand.jobs():
        if is_picture(job):
            await stand.end(job, made=False)
    run = await stand.now()
    outputs = (await stand.context.runs.snapshot(run)).outputs
    bases = {output.base: 2 for output in outputs if output.key.endswith("/picture")}
    await stand.rest()
    await approve(stand, quote=0, takes=bases)

    await stand.claim()
    await stand.rest()

    asking = await stand.now()
    assert (asking.state, asking.error.reason) == (RunState.NEEDS_ATTENTION, "FILM_CREDITS_EXCEEDED")
    assert asking.money.reserved + asking.money.spent <= asking.money.approved


async def test_a_run_that_is_cancelled_cancels_its_jobs_and_keeps_what_is_made(stand: Studio) -> None:
    await stand.start(film(SHORT), stop_after=CLIPS)
    await stand.step()
    first = (await stand.jobs())[0]
    await stand.end(first, made=True)
    await stand.step()

    await stand.context.runs.command(PROJECT, FILM, 1, lambda run: run.cancelling())
    assert await stand.step()
    jobs = await stand.jobs()
    assert {job.state for job in jobs if job.job_id != first.job_id} == {State.CANCELLING}
    for job in jobs:
        if not job.final:
            await stand.context.jobs.command(job.job_id, lambda old: old.ended(State.CANCELLED))
    assert not await stand.step()

    run = await stand.now()
    assert (run.state, run.money.reserved, run.money.held) == (RunState.CANCELLED, 0, 0)
    assert run.money.spent == first.estimated_millicredits


async def test_a_run_whose_time_is_over_ends_as_expired(stand: Studio) -> None:
    await stand.start(film(SHORT), stop_after=CLIPS, finish_by=NOW + timedelta(hours=1))
    await stand.step()
    for job in await stand.jobs():
        await stand.context.jobs.command(job.job_id, lambda old: replace(old, state=State.EXPIRED))

    await stand.later(hours=2)
    while await stand.step():
        pass

    run = await stand.now()
    assert (run.state, run.error.reason) == (RunState.FAILED, "FILM_EXPIRED")
    assert (await stand.project()).reserved == 0


@pytest.mark.parametrize("late", [False, True])
async def test_a_run_that_asks_while_it_ends_keeps_the_reason_for_its_end(stand: Studio, late: bool) -> None:
    await stand.start(film(SHORT), stop_after=FilmStage.STORYBOARD, finish_by=NOW + timedelta(hours=1))
    await stand.step()
    asking, *others = await stand.jobs()
    await answers(stand, asking, State.RUNNING)
    await answers(stand, asking, State.NEEDS_ATTENTION)
    if late:
        await stand.later(hours=2)
    else:
        await stand.context.runs.command(PROJECT, FILM, 1, lambda run: run.cancelling())
    for _ in range(2):
        assert await stand.step()
    for job in others:
        await stand.context.jobs.command(job.job_id, lambda old: old.ended(State.CANCELLED))
    for _ in range(3):
        assert await stand.step()
    run = await stand.now()
    reason = "FILM_EXPIRED" if late else None
    assert (run.state, run.error and run.error.reason) == (RunState.CANCELLING, reason)
    assert [trouble.job_id for trouble in run.troubles] == [asking.job_id]

    await stand.context.jobs.command(asking.job_id, lambda old: old.charged(0, CostBasis.CONFIRMED).failed(FAILURE))
    assert not await stand.step()

    run, end = await stand.now(), RunState.FAILED if late else RunState.CANCELLED
    assert (run.state, run.error and run.error.reason) == (end, reason)
    assert (run.troubles, run.money.held, run.money.reserved) == ((), 0, 0)


async def test_a_job_that_asks_is_heard_once_it_is_resolved(stand: Studio) -> None:
    await stand.start(film(SHORT), stop_after=FilmStage.STORYBOARD)
    await stand.step()
    jobs = await stand.jobs()
    asking = jobs[0]
    for job in jobs:
        await stand.context.jobs.command(job.job_id, lambda old: replace(old, state=State.RUNNING))
        if job is not asking:
            await stand.end(replace(job, state=State.RUNNING), made=True)
    await stand.context.jobs.command(asking.job_id, lambda old: replace(old, state=State.NEEDS_ATTENTION))

    assert await stand.step()
    assert (await stand.now()).state is RunState.NEEDS_ATTENTION
    await stand.context.jobs.command(asking.job_id, lambda old: replace(old, state=State.RUNNING))
    assert await stand.step()
    assert (await stand.now()).state is RunState.RUNNING
    await stand.end(replace(asking, state=State.RUNNING), made=True)
    assert not await stand.step()

    assert (await stand.now()).state is RunState.SUCCEEDED


async def answers(stand: Studio, job: Job, state: State) -> Job:
    return await stand.context.jobs.command(job.job_id, lambda old: replace(old, state=state))


async def test_a_run_goes_on_to_its_clips_once_a_job_that_asked_is_resolved(stand: Studio) -> None:
    await stand.start(film(scenes_of(1)), stop_after=CLIPS)
    await stand.step()
    jobs = await stand.jobs()
    picture = next(job for job in jobs if is_picture(job))
    for job in jobs:
        if job is not picture:
            await stand.end(job, made=True)
    await answers(stand, picture, State.RUNNING)
    await answers(stand, picture, State.NEEDS_ATTENTION)
    assert await stand.step()
    assert (await stand.now()).state is RunState.NEEDS_ATTENTION

    await stand.end(await answers(stand, picture, State.RUNNING), made=True)
    assert await stand.step()

    assert kinds(await stand.jobs())[MediaKind.VIDEO] == 1
    await stand.rest()
    assert (await stand.now()).state is RunState.SUCCEEDED


async def test_a_sum_that_is_too_small_is_asked_about_once_what_it_paid_for_is_over(stand: Studio) -> None:
    short = film(SHORT)
    await stand.start(short, quote=11_000, stop_after=FilmStage.STORYBOARD)

    assert await stand.step()
    under_way = await stand.jobs()
    assert 0 < len(under_way) < 9
    assert await stand.step()
    assert (await stand.now()).state is RunState.RUNNING
    for job in under_way:
        await stand.end(job, made=True)
    while await stand.step():
        for job in await stand.jobs():
            if not job.final:
                await stand.end(job, made=True)

    run = await stand.now()
    assert (run.state, run.error.reason) == (RunState.NEEDS_ATTENTION, "FILM_CREDITS_EXCEEDED")
    assert all(job.final for job in await stand.jobs())


async def test_a_sum_that_is_too_small_is_asked_about_though_a_job_asks_as_well(stand: Studio) -> None:
    await stand.start(film(SHORT), quote=11_000, stop_after=FilmStage.STORYBOARD)
    await stand.step()
    asking, *others = await stand.jobs()
    for job in others:
        await stand.end(job, made=True)
    await answers(stand, asking, State.RUNNING)
    await answers(stand, asking, State.NEEDS_ATTENTION)

    for _ in range(9):
        if not await stand.step():
            break
        for job in await stand.jobs():
            if not job.final and job.job_id != asking.job_id:
                await stand.end(job, made=True)

    run = await stand.now()
    assert (run.state, run.error and run.error.reason) == (RunState.NEEDS_ATTENTION, "FILM_CREDITS_EXCEEDED")
    assert [trouble.job_id for trouble in run.troubles] == [asking.job_id]
    assert run.money.held + run.money.reserved + run.money.spent <= run.money.approved == 11_000

    approval = Approval(revision=run.revision, plan_revision=1, approved=400_000)
    await stand.context.runs.approve(run, approval, quote=300_000, takes={})
    await stand.claim()
    while (await stand.now()).state is RunState.RUNNING:
        assert await stand.step()
        for job in await stand.jobs():
            if not job.final and job.job_id != asking.job_id:
                await stand.end(job, made=True)
    run = await stand.now()
    assert (run.state, run.error, len(run.troubles)) == (RunState.NEEDS_ATTENTION, None, 1)
    await stand.end(await answers(stand, asking, State.RUNNING), made=True)
    assert not await stand.step()
    assert (await stand.now()).state is RunState.SUCCEEDED


async def test_a_run_that_is_cancelled_between_a_look_and_its_acts_is_ended(stand: Studio) -> None:
    await stand.start(film(SHORT), stop_after=CLIPS)
    look = stand.context.runs.snapshot
    cancelled = False

    async def cancelled_after(run: FilmRun) -> Snapshot:
        nonlocal cancelled
        seen = await look(run)
        if not cancelled:
            cancelled = True
            await stand.context.runs.command(PROJECT, FILM, 1, lambda old: old.cancelling())
        return seen

    stand.leg = Leg(replace(stand.context, runs=Watched(stand.context.runs, cancelled_after)), stand.leg.run)

    assert await stand.step()
    assert not await stand.step()
    assert (await stand.now()).state is RunState.CANCELLED
    assert await stand.jobs() == []


class Watched:
    """A store of runs that has something happen after each snapshot."""

    def __init__(self, runs: RunStore, snapshot: Callable[[FilmRun], Awaitable[Snapshot]]) -> None:
        self.snapshot = snapshot
        self.accept, self.change, self.record = runs.accept, runs.change, runs.record


async def test_a_file_that_is_removed_before_it_was_read_is_made_once_more(stand: Studio) -> None:
    await stand.start(film(scenes_of(1)), quote=60_000, stop_after=CLIPS)
    await stand.step()
    picture = next(job for job in await stand.jobs() if is_picture(job))
    made = await stand.end(picture, made=True)
    await stand.scenes.discard(PROJECT, picture.request.scene_id, made.outputs[0].path)

    jobs = await stand.rest()

    assert kinds(jobs) == {MediaKind.IMAGE: 2, MediaKind.SPEECH: 2, MediaKind.VIDEO: 1}
    clip = next(job for job in jobs if job.request.spec.kind is MediaKind.VIDEO)
    assert clip.request.spec.media[0].asset != made.outputs[0].path


class Blind:
    """A surveyor who cannot list the folders of outputs, for so many times."""

    def __init__(self, surveyor: Surveyor, times: int) -> None:
        self._surveyor = surveyor
        self._times = times
        self.sha256 = surveyor.sha256

    async def survey(self, project_id: str, files: Iterable[File], outputs: Sequence[FilmOutput]) -> Store:
        self._times -= 1
        if self._times < 0:
            return await self._surveyor.survey(project_id, files, outputs)
        made = (row.source for row in outputs if row.source is not None)
        return Store(files={}, unknown=frozenset((source.scene_id, source.asset) for source in made))


async def test_a_store_that_cannot_say_what_it_has_makes_no_bill(stand: Studio) -> None:
    short = film(SHORT)
    await stand.start(short, stop_after=CLIPS)
    before = await stand.rest()
    await stand.start(short, quote=200_000, stop_after=CLIPS)
    blind = Blind(stand.context.surveyor, 3)
    stand.leg = Leg(replace(stand.context, surveyor=blind), stand.leg.run)

    for _ in range(3):
        assert await stand.step()
    assert [warning.code for warning in (await stand.now()).warnings] == ["STORAGE_UNAVAILABLE"]
    assert not await stand.step()

    assert await stand.jobs() == before
    assert (await stand.now()).state is RunState.SUCCEEDED


async def test_a_job_that_asked_and_failed_meanwhile_goes_by_the_policy(stand: Studio) -> None:
    await stand.start(film(scenes_of(1)), stop_after=FilmStage.STORYBOARD, on_failure=OnShotFailure.SKIP)
    await stand.step()
    asking, *others = await stand.jobs()
    for job in others:
        await stand.end(job, made=True)
    await answers(stand, asking, State.RUNNING)
    await answers(stand, asking, State.NEEDS_ATTENTION)
    assert await stand.step()
    await stand.context.jobs.command(asking.job_id, lambda old: old.charged(0, CostBasis.CONFIRMED).failed(FAILURE))

    assert not await stand.step()

    assert (await stand.now()).state is RunState.SUCCEEDED


@pytest.mark.parametrize("asks", [False, True])
async def test_a_job_that_an_edited_plan_no_longer_wants_must_end_before_the_run(stand: Studio, asks: bool) -> None:
    two = film(scenes_of(2))
    await stand.start(two, stop_after=FilmStage.STORYBOARD)
    await stand.step()
    stray = next(job for job in await stand.jobs() if is_picture(job) and job.request.scene_id == "scene-2")
    for job in await stand.jobs():
        if job.job_id != stray.job_id:
            await stand.end(job, made=True)
    await answers(stand, stray, State.RUNNING)
    await answers(stand, stray, State.NEEDS_ATTENTION)
    await stand.step()
    await stand.plan(film(scenes_of(1), two.plan))
    run = await stand.now()
    approval = Approval(revision=run.revision, plan_revision=2, approved=run.money.approved)
    await stand.context.runs.approve(run, approval, quote=0, takes={})
    if not asks:
        await answers(stand, stray, State.RUNNING)
    await stand.claim()

    assert await stand.step()
    run, (present,) = await stand.now(), [job for job in await stand.jobs() if job.job_id == stray.job_id]
    if asks:
        assert (run.state, [trouble.job_id for trouble in run.troubles]) == (RunState.NEEDS_ATTENTION, [stray.job_id])
        await answers(stand, stray, State.RUNNING)
    else:
        assert (run.state, present.state) == (RunState.RUNNING, State.CANCELLING)
    await stand.context.jobs.command(stray.job_id, lambda old: old.charged(0, CostBasis.CONFIRMED).failed(FAILURE))
    assert not await stand.step()

    run = await stand.now()
    assert (run.state, run.money.reserved, run.money.held) == (RunState.SUCCEEDED, 0, 0)
    assert (await stand.project()).reserved == 0


async def test_a_full_queue_is_waited_for(stand: Studio) -> None:
    await stand.start(film(SHORT), stop_after=FilmStage.STORYBOARD)
    full = stand.context.jobs._backlog
    stand.context.jobs._backlog = Backlog(4)

    assert await stand.step()
    some = await stand.jobs()
    assert 0 < len(some) <= 4
    assert [warning.code for warning in (await stand.now()).warnings] == ["QUEUE_FULL"]
    stand.context.jobs._backlog = full

    assert len(await stand.rest()) == 9
    assert (await stand.now()).state is RunState.SUCCEEDED
