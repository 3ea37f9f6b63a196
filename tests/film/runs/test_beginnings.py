"""Clips that go on where the one before ends: when they are made, from what, and what becomes of them without it."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import pytest

from evergreen_server.film.assembling.beginnings import Beginnings
from evergreen_server.film.composing.compose import Composed
from evergreen_server.film.model import OnShotFailure, Plan
from evergreen_server.film.outputs import composed_of, wanted_of
from evergreen_server.film.runs.deciding import FilmStage
from evergreen_server.film.runs.run import Approval, FilmRun, RunState
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.model.names import first_frame_path, is_reserved
from evergreen_server.jobs.store.project_lock import mark
from evergreen_server.ports.media import MediaUnreachable, Picture
from evergreen_server.ports.specs import MediaKind
from evergreen_server.ports.timeline import Source
from evergreen_server.scenes.writers import CountedWriters
from evergreen_storage import Unavailable
from tests.film.planning import FILM, Film, continued, film, scenes_of
from tests.film.runs.studio import NOW, PROJECT, Ends, Studio, studio

CLIPS = FilmStage.CLIPS
SHORT = film(scenes_of(4))
CHAIN = continued(SHORT, 2, 3)
"""Four shots: the third goes on from the second, and that from the first."""
ENOUGH = 1_000_000
CONTENT = b"a clip"
SOURCE = Source(scene_id="scene-1", asset="videos/a.mp4", sha256=hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
async def stand(database_url: str, tmp_path: Path) -> AsyncIterator[Studio]:
    async with studio(tmp_path, database_url) as opened:
        yield opened


@pytest.fixture
async def alone(tmp_path: Path) -> AsyncIterator[Studio]:
    """For what is decided alike on both databases."""
    async with studio(tmp_path, f"sqlite:///{tmp_path / 'jobs.sqlite'}") as opened:
        yield opened


def is_clip(job: Job) -> bool:
    return job.request.spec.kind is MediaKind.VIDEO


async def clips(stand: Studio) -> dict[str, Job]:
    """The newest clip of each scene."""
    return {job.request.scene_id: job for job in await stand.jobs() if is_clip(job)}


async def begins(stand: Studio, job: Job) -> bytes:
    (media,) = job.request.spec.media
    assert media.asset is not None
    scene_id = media.scene_id or job.request.scene_id
    return b"".join([chunk async for chunk in stand.scenes.open(PROJECT, scene_id, media.asset)])


async def content(stand: Studio, job: Job) -> bytes:
    return b"".join([chunk async for chunk in stand.scenes.open(PROJECT, job.request.scene_id, job.outputs[0].path)])


def redone(one: Film, *keys: str) -> Film:
    """A film of which the caller wants these outputs anew."""
    plan: Plan = replace(one.plan, redone={**one.plan.redone, **{key: one.plan.redone.get(key, 0) + 1 for key in keys}})
    return replace(one, planned=replace(one.planned, plan=plan))


def fails(*scenes: str) -> object:
    return lambda job: not (is_clip(job) and job.request.scene_id in scenes)


async def approve(stand: Studio, *, again: str = "") -> FilmRun:
    """Approves what a run asks about, with another take of the clip of a scene."""
    run = await stand.now()
    outputs = (await stand.context.runs.snapshot(run)).outputs
    takes = {output.base: output.take + 1 for output in outputs if output.key == f"{again}.1/clip"}
    approval = Approval(revision=run.revision, plan_revision=run.plan_revision, approved=run.money.approved + ENOUGH)
    await stand.context.runs.approve(run, approval, quote=ENOUGH, takes=takes)
    return await stand.claim()


async def test_each_clip_of_a_chain_waits_for_the_one_before_and_begins_with_its_end(stand: Studio) -> None:
    await stand.start(CHAIN, stop_after=CLIPS)
    await stand.step()
    for job in await stand.jobs():
        await stand.end(job, made=True)
    order: list[list[str]] = []
    while await stand.step():
        new = [job for job in await stand.jobs() if not job.final]
        order.append([job.request.scene_id for job in new])
        for job in new:
            await stand.end(job, made=True)

    assert [scenes for scenes in order if scenes] == [["scene-1", "scene-4"], ["scene-2"], ["scene-3"]]
    made = await clips(stand)
    for before, after in (("scene-1", "scene-2"), ("scene-2", "scene-3")):
        assert await begins(stand, made[after]) == b"the end of " + await content(stand, made[before])
        (media,) = made[after].request.spec.media
        assert (media.scene_id, is_reserved(media.asset or "")) == ("", True)
        (shown,) = [asset for asset in (await stand.scenes.get(PROJECT, after)).images if asset.path == media.asset]
        assert (shown.content_type, shown.width, shown.height) == ("image/png", 16, 9)
    assert (await stand.now()).state is RunState.SUCCEEDED
    pictures = [job for job in await stand.jobs() if job.request.spec.kind is MediaKind.IMAGE]
    assert [job.request.scene_id for job in pictures] == ["scene-1", "scene-4"]


async def test_the_same_chain_again_asks_for_nothing(stand: Studio) -> None:
    await stand.start(CHAIN, stop_after=CLIPS)
    before = await stand.rest()

    await stand.start(CHAIN, quote=0, stop_after=CLIPS)

    assert await stand.rest() == before
    assert (await stand.now()).state is RunState.SUCCEEDED


@pytest.mark.parametrize(
    ("first", "again"), [("scene-1", ["scene-1", "scene-2", "scene-3"]), ("scene-2", ["scene-2", "scene-3"])]
)
async def test_what_is_made_anew_in_a_chain_makes_anew_what_goes_on_from_it(
    alone: Studio, first: str, again: list[str]
) -> None:
    await alone.start(CHAIN, stop_after=CLIPS)
    before = await alone.rest()

    await alone.start(redone(CHAIN, f"{first}.1/clip"), quote=ENOUGH, stop_after=CLIPS)
    new = (await alone.rest())[len(before) :]

    assert [job.request.scene_id for job in new] == again
    assert all(is_clip(job) for job in new)
    for one, other in pairwise(new):
        assert await begins(alone, other) == b"the end of " + await content(alone, one)


async def test_a_clip_that_was_deleted_by_hand_and_comes_alike_changes_nothing_after_it(alone: Studio) -> None:
    await alone.start(CHAIN, stop_after=CLIPS)
    before = await alone.rest()
    gone = (await clips(alone))["scene-1"]
    await alone.scenes.discard(PROJECT, "scene-1", gone.outputs[0].path)

    async def alike(job: Job) -> tuple[bytes, float]:
        spec = job.request.spec
        return f"{spec.kind} of {gone.request.digest}".encode(), spec.duration_seconds or 1.0

    alone.content = alike
    await alone.start(CHAIN, quote=ENOUGH, stop_after=CLIPS)
    new = (await alone.rest())[len(before) :]

    assert [job.request.scene_id for job in new] == ["scene-1"]
    assert (await alone.now()).state is RunState.SUCCEEDED


POLICIES = [
    # policy of the clip before, of the clip after, how the run is, what is in trouble
    (OnShotFailure.ASK, None, RunState.NEEDS_ATTENTION, ["scene-1.1"]),
    (OnShotFailure.STILL, None, RunState.NEEDS_ATTENTION, ["scene-2.1"]),
    (OnShotFailure.SKIP, OnShotFailure.SKIP, RunState.SUCCEEDED, []),
    (OnShotFailure.FAIL, None, RunState.FAILED, []),
]


@pytest.mark.parametrize(("policy", "next_policy", "state", "troubles"), POLICIES)
async def test_the_failure_of_the_clip_before_goes_by_its_policy_and_then_by_that_of_the_next(
    alone: Studio, policy: OnShotFailure, next_policy: OnShotFailure | None, state: RunState, troubles: list[str]
) -> None:
    one = continued(SHORT, 2, on_failure=next_policy)
    first, *others = one.plan.scenes
    scenes = (replace(first, shots=(replace(first.shots[0], on_failure=policy),)), *others)
    one = replace(one, planned=replace(one.planned, plan=replace(one.plan, scenes=scenes)))
    await alone.start(one, stop_after=CLIPS)

    await alone.rest(fails("scene-1"))

    run = await alone.now()
    assert (run.state, [trouble.item_id for trouble in run.troubles]) == (state, troubles)
    made = await clips(alone)
    # Nobody pays for a clip that has nothing to begin with, and all others are made.
    assert sorted(made) == ["scene-1", "scene-3", "scene-4"]
    if run.ended:
        assert (run.money.held, run.money.reserved) == (0, 0)


async def test_an_older_clip_that_stands_in_is_what_the_next_one_goes_on_from(alone: Studio) -> None:
    await alone.start(CHAIN, stop_after=CLIPS)
    before = await alone.rest()

    await alone.start(
        redone(CHAIN, "scene-1.1/clip"), quote=ENOUGH, stop_after=CLIPS, on_failure=OnShotFailure.LAST_GOOD
    )
    new = (await alone.rest(fails("scene-1")))[len(before) :]

    assert [job.request.scene_id for job in new] == ["scene-1"]
    assert (await alone.now()).state is RunState.SUCCEEDED


async def test_once_the_clip_before_is_made_after_all_the_chain_goes_on(alone: Studio) -> None:
    await alone.start(CHAIN, stop_after=CLIPS)
    await alone.rest(fails("scene-1"))
    assert [trouble.item_id for trouble in (await alone.now()).troubles] == ["scene-1.1"]

    await approve(alone, again="scene-1")
    await alone.rest()

    assert (await alone.now()).state is RunState.SUCCEEDED
    made = await clips(alone)
    assert await begins(alone, made["scene-2"]) == b"the end of " + await content(alone, made["scene-1"])


@pytest.mark.parametrize("policy", [OnShotFailure.ASK, OnShotFailure.SKIP])
async def test_a_clip_of_which_no_frame_can_be_taken_fails_what_goes_on_from_it(
    alone: Studio, policy: OnShotFailure
) -> None:
    await alone.scenes.create(PROJECT, FILM)
    await alone.scenes.add(PROJECT, FILM, "videos/old.mp4", b"no video", "video/mp4")
    chosen = replace(CHAIN.plan, chosen={"scene-1.1/clip": (FILM, "videos/old.mp4")})
    one = replace(CHAIN, planned=replace(CHAIN.planned, plan=chosen))
    alone.ends.frameless = b"no video"
    await alone.start(one, quote=ENOUGH, stop_after=CLIPS, on_failure=policy)

    await alone.rest()

    run = await alone.now()
    if policy is OnShotFailure.SKIP:
        assert run.state is RunState.SUCCEEDED
        assert sorted(await clips(alone)) == ["scene-4"]
        return
    (trouble,) = run.troubles
    assert (run.state, trouble.item_id, trouble.output) == (RunState.NEEDS_ATTENTION, "scene-2.1", "clip")
    assert (trouble.reason, "no frame" in trouble.message) == ("CLIP_UNSUPPORTED", True)
    alone.ends.frameless = b""
    await approve(alone)
    await alone.rest()
    assert (await alone.now()).state is RunState.SUCCEEDED
    assert await begins(alone, (await clips(alone))["scene-2"]) == b"the end of no video"


async def to_the_second(stand: Studio) -> None:
    """Goes on until the clip of the first scene is there; the next step asks for that of the second."""
    await stand.start(CHAIN, spare=ENOUGH, stop_after=CLIPS)
    for _ in range(2):
        await stand.step()
        for job in await stand.jobs():
            if not job.final:
                await stand.end(job, made=True)


@dataclass
class Between:
    """Does something before and after the end of a clip is taken, once."""

    real: Beginnings
    before: Callable[[Source], Awaitable[None]] | None = None
    after: Callable[[], None] | None = None

    async def of(self, composed: Composed, clip: Source, project_id: str, scene_id: str) -> Composed:
        if (before := self.before) is not None:
            self.before = None
            await before(clip)
        found = await self.real.of(composed, clip, project_id, scene_id)
        if (after := self.after) is not None:
            self.after = None
            after()
        return found


async def between(stand: Studio, **what: object) -> None:
    """Begins the leg anew with something that happens once."""
    stand.context = replace(stand.context, beginnings=Between(stand.context.beginnings, **what))
    await stand.claim()


async def test_a_clip_that_is_gone_before_its_end_was_taken_is_made_once_more(stand: Studio) -> None:
    await to_the_second(stand)

    async def gone(clip: Source) -> None:
        await stand.scenes.discard(PROJECT, clip.scene_id, clip.asset)

    await between(stand, before=gone)
    jobs = [job for job in await stand.rest() if is_clip(job)]

    assert [job.request.scene_id for job in jobs] == ["scene-1", "scene-4", "scene-1", "scene-2", "scene-3"]
    assert (await stand.now()).state is RunState.SUCCEEDED


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (MediaUnreachable("the decoders are busy"), "DECODERS_BUSY"),
        (Unavailable("no answer"), "STORAGE_UNAVAILABLE"),
        (OSError(28, "No space left on device"), "STORAGE_UNAVAILABLE"),
    ],
)
async def test_a_clip_whose_end_cannot_be_taken_for_now_holds_up_no_other(
    alone: Studio, fault: Exception, code: str
) -> None:
    await alone.start(continued(SHORT, 2, 4), spare=ENOUGH, stop_after=CLIPS)
    for _ in range(2):
        await alone.step()
        for job in await alone.jobs():
            if not job.final:
                await alone.end(job, made=True)

    async def failing(_: Source) -> None:
        raise fault

    await between(alone, before=failing)
    await alone.step()

    assert sorted(await clips(alone)) == ["scene-1", "scene-3", "scene-4"]
    assert [warning.code for warning in (await alone.now()).warnings] == [code]
    await alone.rest()
    assert (await alone.now()).state is RunState.SUCCEEDED
    assert len(await clips(alone)) == 4


class Killed(BaseException):
    """The server was killed."""


async def test_a_run_that_is_killed_between_the_picture_and_its_job_makes_no_second_one(stand: Studio) -> None:
    await to_the_second(stand)

    def killed() -> None:
        raise Killed

    await between(stand, after=killed)
    with pytest.raises(Killed):
        await stand.step()
    before = (await stand.scenes.get(PROJECT, "scene-2")).images
    assert "scene-2" not in await clips(stand)

    await stand.claim()
    await stand.rest()

    assert (await stand.scenes.get(PROJECT, "scene-2")).images == before
    assert len(before) == 1
    assert (await clips(stand))["scene-2"].request.spec.media[0].asset == before[0].path
    assert (await stand.now()).state is RunState.SUCCEEDED


async def test_another_file_that_has_the_name_of_a_first_frame_is_left_as_it_is(alone: Studio) -> None:
    await to_the_second(alone)
    first = await content(alone, (await clips(alone))["scene-1"])
    taken = first_frame_path("scene-2.1", hashlib.sha256(first).hexdigest(), "png")
    await alone.scenes.create(PROJECT, "scene-2")
    await alone.scenes.add(PROJECT, "scene-2", taken, b"somebody else's", "image/png")

    await alone.rest()

    made = (await clips(alone))["scene-2"]
    assert made.request.spec.media[0].asset == taken.replace(".png", "a.png")
    assert await begins(alone, made) == b"the end of " + first


async def test_a_picture_waits_while_its_scene_is_being_deleted(stand: Studio) -> None:
    await to_the_second(stand)
    await stand.database.write(lambda db: mark(db, PROJECT, "scene-2", "another", NOW))

    assert await stand.step()

    run = await stand.now()
    assert [warning.code for warning in run.warnings] == ["SCENE_BUSY"]
    assert "scene-2" not in await clips(stand)


class Slow(Ends):
    """Never finishes the clips of one project."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.stuck = asyncio.Event()

    async def last_frame(self, path: Path, *, owner: str) -> Picture:
        self.begun.append(owner)
        if owner == "greedy":
            self.stuck.set()
            await asyncio.Event().wait()
        return await super().last_frame(path, owner=owner)


async def test_a_project_that_asks_for_the_ends_of_many_clips_leaves_a_place_to_another(
    alone: Studio, tmp_path: Path
) -> None:
    await alone.start(CHAIN, stop_after=CLIPS)
    await alone.rest()
    composed = composed_of(CHAIN.plan, CHAIN.models, list(wanted_of(CHAIN.plan))[-1], {}, first=SOURCE)
    slow = Slow()
    beginnings = Beginnings(
        scenes=alone.scenes,
        writers=CountedWriters(database=alone.database),
        tools=slow,
        threads=alone.context.threads,
        work=tmp_path,
    )
    for project_id in ("greedy", "honest"):
        await alone.scenes.create(project_id, "scene-1")
        await alone.scenes.add(project_id, "scene-1", SOURCE.asset, CONTENT, "video/mp4")
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(beginnings.of(composed, SOURCE, "greedy", "scene-1")) for _ in range(20)]
        await slow.stuck.wait()

        made = await beginnings.of(composed, SOURCE, "honest", "scene-1")

        assert (slow.begun.count("greedy"), slow.begun.count("honest")) == (1, 1)
        assert made.spec.media[0].asset == first_frame_path(composed.item_id, SOURCE.sha256, "png")
        for task in asked:
            task.cancel()
