"""Runs are started, approved and cancelled by what callers have read, for a sum that binds, on both databases."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from evergreen_server.film.digests import Redo
from evergreen_server.film.errors import (
    FilmBusy,
    FilmNotFound,
    FilmRequestReused,
    PlanChanged,
    RunChanged,
    RunNotFound,
)
from evergreen_server.film.model import OnShotFailure, OutputKind
from evergreen_server.film.plans.seen import seen_of
from evergreen_server.film.running.calls import ApproveRequest, StartRequest
from evergreen_server.film.running.door import FilmRuns
from evergreen_server.film.runs.deciding import FilmGate, FilmStage
from evergreen_server.film.runs.run import FilmRun, RunState, Terms
from evergreen_server.jobs.model.held import FilmCreditsExceeded
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.store.ledger import Caps, PriceUnknown, ProjectCreditsExceeded
from evergreen_server.ports.specs import InvalidRequest, MediaKind
from evergreen_storage import Meta, Unavailable
from tests.film.planning import FILM, LAMP, ORCHARD, TABLE, Film, continued, film, quoted, scenes_of
from tests.film.runs.studio import NOW, PROJECT, Studio, studio

SHORT = scenes_of(3)
OWN = ("project_id", "film_id", "request_id", "digest", "finish_by")


@pytest.fixture
async def stand(database_url: str, tmp_path: Path) -> AsyncIterator[Studio]:
    async with studio(tmp_path, database_url) as opened:
        yield opened


def door(stand: Studio) -> FilmRuns:
    context = stand.context
    return FilmRuns(
        films=stand.films,
        runs=context.runs,
        surveyor=context.surveyor,
        models=TABLE,
        threads=context.threads,
        clock=context.clock,
    )


def asked(credits: float | None = 1_000, *, plan_revision: int = 1, **fields: object) -> StartRequest:
    """A request; what is no field of it is one of its terms."""
    own = {name: fields.pop(name) for name in OWN if name in fields}
    usual = {"project_id": PROJECT, "film_id": FILM, "request_id": "first", "digest": "one"}
    terms = Terms(**{"stop_after": FilmStage.CLIPS, **fields})
    return StartRequest(**{**usual, **own}, plan_revision=plan_revision, max_credits=credits, terms=terms)


def approval(run: FilmRun, credits: float | None = None, **fields: object) -> ApproveRequest:
    """The approval of a run as it was read, by default of the sum that it has."""
    given = {
        "project_id": run.project_id,
        "film_id": run.film_id,
        "run": run.run,
        "plan_revision": run.plan_revision,
        "max_credits": run.money.approved / 1000 if credits is None else credits,
        "revision": run.revision,
    }
    return ApproveRequest(**{**given, **fields})


def is_picture(job: Job) -> bool:
    return job.request.spec.kind is MediaKind.IMAGE


def of_scene(number: int, kind: MediaKind, job: Job) -> bool:
    return job.request.spec.kind is kind and job.request.scene_id == f"scene-{number}"


def price(one: Film, *kinds: OutputKind) -> int:
    """What all outputs of some kinds cost at the most."""
    return sum(item.millicredits or 0 for item in quoted(one).items if item.kind in kinds)


@pytest.mark.parametrize(("script", "credits"), [(LAMP, 205), (ORCHARD, 289)])
async def test_a_run_holds_its_quote_and_costs_no_more(stand: Studio, script: str, credits: int) -> None:
    await stand.plan(film(script))

    run = await door(stand).start(asked(credits))

    assert (run.run, run.state, run.plan_revision, run.money.held) == (1, RunState.RUNNING, 1, credits * 1000)
    assert (await stand.project()).reserved == credits * 1000
    assert stand.legs == [(PROJECT, FILM, 1, 1)]
    await stand.claim()
    await stand.rest()
    run = await stand.now()
    assert run.state is RunState.SUCCEEDED
    assert 0 < run.money.spent <= credits * 1000
    assert (await stand.project()).reserved == 0


async def test_a_run_that_makes_no_clips_is_quoted_without_them(stand: Studio) -> None:
    short = film(SHORT)
    await stand.plan(short)

    run = await door(stand).start(asked(stop_after=FilmStage.STORYBOARD))

    assert run.money.held == price(short, OutputKind.PICTURE, OutputKind.SPEECH)


async def test_what_is_there_costs_nothing_in_the_next_run(stand: Studio) -> None:
    await stand.plan(film(SHORT))
    await door(stand).start(asked())
    await stand.claim()
    jobs = await stand.rest()

    again = await door(stand).start(asked(0, request_id="second"))

    assert (again.run, again.money.held) == (2, 0)
    await stand.claim()
    assert await stand.rest() == jobs
    assert (await stand.now()).state is RunState.SUCCEEDED


async def test_a_request_begins_one_run_whatever_has_become_of_its_rules(stand: Studio) -> None:
    short = film(SHORT)
    await stand.plan(short)
    request = asked(finish_by=NOW + timedelta(hours=1))
    runs = door(stand)

    answers = await asyncio.gather(*(runs.start(request) for _ in range(4)))
    await stand.later(hours=2)
    await stand.claim()
    await stand.rest()
    await stand.plan(film(scenes_of(2), short.plan))
    late = await runs.start(request)

    assert {answer.run for answer in (*answers, late)} == {1}
    assert len(stand.legs) == 1
    with pytest.raises(FilmRequestReused):
        await runs.start(replace(request, digest="two"))


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"project_id": "a/b"}, {"project_id"}),
        ({"film_id": ""}, {"film_id"}),
        ({"request_id": "a b"}, {"request_id"}),
        ({"plan_revision": 0}, {"plan_revision"}),
        ({"credits": None}, {"max_credits"}),
        ({"credits": -0.001}, {"max_credits"}),
        ({"credits": float("nan")}, {"max_credits"}),
        ({"credits": float("inf")}, {"max_credits"}),
        ({"credits": 1e300}, {"max_credits"}),
        ({"max_attempts": 0}, {"max_attempts"}),
        ({"max_attempts": 11}, {"max_attempts"}),
        ({"priority": -101}, {"priority"}),
        ({"finish_by": NOW}, {"finish_by"}),
        ({"stop_after": FilmStage.ASSEMBLING}, {"stop_after"}),
        ({"stop_after": FilmStage.PUBLISHING}, {"stop_after"}),
        ({"gates": frozenset({FilmGate.CLIPS})}, {"gates"}),
        ({"gates": frozenset({FilmGate.STORYBOARD}), "stop_after": FilmStage.STORYBOARD}, {"gates"}),
        ({"project_id": "", "request_id": "", "credits": None}, {"project_id", "request_id", "max_credits"}),
    ],
    ids=range(18),
)
async def test_every_field_that_is_wrong_is_named(
    tmp_path: Path, fields: Mapping[str, object], named: set[str]
) -> None:
    async with studio(tmp_path, f"sqlite:///{tmp_path / 'jobs.sqlite'}") as stand:
        await stand.plan(film(SHORT))

        with pytest.raises(InvalidRequest) as refused:
            await door(stand).start(asked(**fields))

        assert {error.field for error in refused.value.field_errors} == named
        assert await stand.context.runs.last(PROJECT, FILM) is None
        assert stand.legs == []


async def test_a_run_is_refused_for_what_the_caller_cannot_have_meant(stand: Studio) -> None:
    runs, short = door(stand), film(SHORT)
    with pytest.raises(FilmNotFound):
        await runs.start(asked())
    whole = quoted(short).millicredits
    await stand.plan(short)
    await stand.plan(short)

    with pytest.raises(PlanChanged) as changed:
        await runs.start(asked())
    with pytest.raises(FilmCreditsExceeded) as exceeded:
        await runs.start(asked((whole - 1) / 1000, plan_revision=2))

    assert (changed.value.present, exceeded.value.estimate) == (2, whole)
    assert (await stand.project()).reserved == 0
    await runs.start(asked(whole / 1000, plan_revision=2))
    with pytest.raises(FilmBusy):
        await runs.start(asked(plan_revision=2, request_id="second"))
    assert len(stand.legs) == 1


async def test_an_unknown_price_is_no_sum_and_its_lines_are_named(stand: Studio) -> None:
    await stand.plan(film(SHORT, speech_model="eleven_v4"))

    with pytest.raises(PriceUnknown, match=r"scene-1\."):
        await door(stand).start(asked())

    assert await stand.context.runs.last(PROJECT, FILM) is None


async def test_a_run_takes_no_project_beyond_its_cap(tmp_path: Path, database_url: str) -> None:
    async with studio(tmp_path, database_url, caps=Caps(default=20_000)) as stand:
        await stand.plan(film(SHORT))

        with pytest.raises(ProjectCreditsExceeded):
            await door(stand).start(asked())

        assert await stand.context.runs.last(PROJECT, FILM) is None


async def test_a_storage_that_cannot_say_what_it_has_makes_no_bill(stand: Studio) -> None:
    await stand.plan(film(SHORT))
    await door(stand).start(asked())
    await stand.claim()
    await stand.rest()

    class Blind:
        """A storage that cannot list one folder."""

        async def files(self, project_id: str, scene_id: str) -> Mapping[str, Mapping[str, Meta] | None]:
            listed = dict(await stand.scenes.files(project_id, scene_id))
            return {**listed, "images": None} if scene_id == "scene-2" else listed

    surveyor = type(stand.context.surveyor)(scenes=Blind(), threads=stand.context.threads)  # type: ignore[arg-type] # as much of it as is asked
    runs = FilmRuns(
        films=stand.films,
        runs=stand.context.runs,
        surveyor=surveyor,
        models=TABLE,
        threads=stand.context.threads,
        clock=stand.clock,
    )
    with pytest.raises(Unavailable, match="scene-2"):
        await runs.start(asked(request_id="second"))


async def test_an_approval_that_comes_twice_passes_nothing_more(stand: Studio) -> None:
    await stand.plan(film(SHORT))
    runs = door(stand)
    await runs.start(asked(300, gates=frozenset({FilmGate.STORYBOARD})))
    await stand.claim()
    await stand.rest()
    waiting = await stand.now()
    assert (waiting.state, waiting.gate) == (RunState.AWAITING_APPROVAL, FilmGate.STORYBOARD)

    answers = await asyncio.gather(*(runs.approve(approval(waiting)) for _ in range(3)))
    assert {(answer.state, answer.leg) for answer in answers} == {(RunState.RUNNING, 2)}
    await stand.claim()
    await stand.rest(lambda job: not of_scene(2, MediaKind.VIDEO, job))
    asks = await stand.now()
    assert asks.state is RunState.NEEDS_ATTENTION
    jobs = await stand.jobs()

    late = await runs.approve(approval(waiting))

    assert (late.state, late.leg) == (RunState.NEEDS_ATTENTION, 2)
    with pytest.raises(RunChanged) as changed:
        await runs.approve(approval(waiting, 400))
    assert changed.value.revision == asks.revision
    assert await stand.jobs() == jobs
    assert [leg for *_, leg in stand.legs] == [1, 2]


async def test_at_a_gate_the_rest_alone_is_held_and_must_fit(stand: Studio) -> None:
    short = film(SHORT)
    await stand.plan(short)
    runs = door(stand)
    await runs.start(asked(gates=frozenset({FilmGate.STORYBOARD})))
    await stand.claim()
    await stand.rest()
    waiting = await stand.now()
    clips = price(short, OutputKind.CLIP)

    with pytest.raises(FilmCreditsExceeded):
        await runs.approve(approval(waiting, waiting.money.spent / 1000))
    on = await runs.approve(approval(waiting, (waiting.money.spent + clips) / 1000))

    assert 0 < on.money.held <= clips
    await stand.claim()
    await stand.rest()
    run = await stand.now()
    assert run.state is RunState.SUCCEEDED
    assert run.money.spent <= run.money.approved


async def test_an_approval_has_what_failed_made_once_more_and_nothing_else(stand: Studio) -> None:
    short = film(SHORT)
    await stand.plan(short)
    runs = door(stand)
    run = await runs.start(asked())
    await stand.claim()
    before = await stand.rest(lambda job: not of_scene(2, MediaKind.IMAGE, job))
    asks = await stand.now()
    assert [trouble.item_id for trouble in asks.troubles] == ["scene-2.1"]

    on = await runs.approve(approval(asks, asks.money.approved / 1000 + 10))

    # The picture again, and the clip that begins with it.
    one = {item.kind: item.millicredits for item in quoted(short).items if item.item_id == "scene-2.1"}
    assert on.money.held <= sum(one.values())
    await stand.claim()
    after = await stand.rest()
    assert (await stand.now()).state is RunState.SUCCEEDED
    new = [(job.request.spec.kind, job.request.scene_id) for job in after[len(before) :]]
    assert new == [(MediaKind.IMAGE, "scene-2"), (MediaKind.VIDEO, "scene-2")]
    assert run.run == 1


async def test_what_was_left_out_is_not_held_for_again(stand: Studio) -> None:
    short = film(SHORT)
    await stand.plan(short)
    runs = door(stand)
    gates = frozenset({FilmGate.STORYBOARD})
    await runs.start(asked(gates=gates, on_failure=OnShotFailure.SKIP))
    await stand.claim()
    await stand.rest(lambda job: not of_scene(2, MediaKind.IMAGE, job))
    waiting = await stand.now()

    on = await runs.approve(approval(waiting))

    clips = [item for item in quoted(short).items if item.kind is OutputKind.CLIP]
    two = sum(item.millicredits or 0 for item in clips if item.item_id != "scene-2.1")
    assert on.money.held <= two
    await stand.claim()
    jobs = await stand.rest()
    assert sum(job.request.spec.kind is MediaKind.VIDEO for job in jobs) == 2
    assert (await stand.now()).state is RunState.SUCCEEDED


async def test_an_approval_is_of_the_plan_that_was_read(stand: Studio) -> None:
    short = film(SHORT)
    await stand.plan(short)
    runs = door(stand)
    await runs.start(asked(gates=frozenset({FilmGate.STORYBOARD})))
    await stand.claim()
    before = await stand.rest()
    waiting = await stand.now()
    await stand.plan(film(scenes_of(3, changed={2: "Boat 2 left the harbour long after dawn."}), short.plan))

    with pytest.raises(PlanChanged):
        await runs.approve(approval(waiting))
    on = await runs.approve(approval(waiting, plan_revision=2))

    assert on.plan_revision == 2
    await stand.claim()
    after = await stand.rest()
    new = [job.request.spec.kind for job in after[len(before) :]]
    assert sorted(new) == [MediaKind.SPEECH, *[MediaKind.VIDEO] * 3]
    assert (await stand.now()).state is RunState.SUCCEEDED


async def test_an_approval_must_be_whole_and_name_a_run(stand: Studio) -> None:
    await stand.plan(film(SHORT))
    runs = door(stand)
    run = await runs.start(asked())

    with pytest.raises(InvalidRequest) as refused:
        await runs.approve(replace(approval(run), max_credits=None, revision=0, plan_revision=0, run=0))
    with pytest.raises(RunNotFound):
        await runs.approve(replace(approval(run), run=2))
    with pytest.raises(RunChanged):
        # It waits for nobody.
        await runs.approve(approval(run))

    assert {error.field for error in refused.value.field_errors} == {"max_credits", "revision", "plan_revision", "run"}


async def test_a_run_is_cancelled_once_and_what_was_made_stays(stand: Studio) -> None:
    await stand.plan(film(SHORT))
    runs = door(stand)
    await runs.start(asked())
    await stand.claim()
    await stand.step()
    first, *_ = await stand.jobs()
    await stand.end(first, made=True)

    answers = [await runs.cancel(PROJECT, FILM, 1) for _ in range(2)]
    await stand.rest()
    over = await runs.cancel(PROJECT, FILM, 1)

    assert {answer.state for answer in answers} == {RunState.CANCELLING}
    assert (over.state, over.money.held, over.money.reserved) == (RunState.CANCELLED, 0, 0)
    assert (await stand.project()).reserved == 0
    with pytest.raises(RunNotFound):
        await runs.cancel(PROJECT, FILM, 2)
    with pytest.raises(InvalidRequest):
        await runs.cancel(PROJECT, FILM, 0)


async def test_a_run_that_waits_at_a_gate_is_cancelled_by_a_leg_of_its_own(stand: Studio) -> None:
    await stand.plan(film(SHORT))
    runs = door(stand)
    await runs.start(asked(gates=frozenset({FilmGate.STORYBOARD})))
    await stand.claim()
    await stand.rest()
    waiting = await stand.now()

    await runs.cancel(PROJECT, FILM, 1)

    assert stand.legs[-1] == (PROJECT, FILM, 1, 2)
    with pytest.raises(RunChanged):
        await runs.approve(approval(waiting))
    await stand.claim()
    await stand.rest()
    assert (await stand.now()).state is RunState.CANCELLED


@pytest.mark.parametrize(("redo", "anew"), [("scene-1.1/clip", 3), ("scene-2.1/clip", 2), ("scene-3.1/clip", 1)])
async def test_of_clips_that_go_on_from_one_another_a_run_holds_what_comes_after_the_one_made_anew(
    stand: Studio, redo: str, anew: int
) -> None:
    chain, runs = continued(film(SHORT), 2, 3), door(stand)
    await stand.plan(chain)
    await runs.start(asked())
    await stand.claim()
    before = await stand.rest()
    assert (await stand.now()).state is RunState.SUCCEEDED
    again = replace(chain.plan, redone={redo: 1})
    revision = await stand.plan(replace(chain, planned=replace(chain.planned, plan=again)))

    run = await runs.start(asked(request_id="again", plan_revision=revision))

    await stand.claim()
    new = (await stand.rest())[len(before) :]
    assert len(new) == anew
    assert run.money.held == sum(job.estimated_millicredits or 0 for job in new)
    ended = await stand.now()
    assert (ended.state, ended.money.spent) == (RunState.SUCCEEDED, run.money.held)


def in_scene(one: Film, number: int, **changed: object) -> Film:
    """The film with something else in one of its scenes."""
    scenes = list(one.plan.scenes)
    scenes[number - 1] = replace(scenes[number - 1], **changed)
    return replace(one, planned=replace(one.planned, plan=replace(one.plan, scenes=tuple(scenes))))


def said(one: Film, number: int, text: str) -> Film:
    first, *others = one.plan.scenes[number - 1].lines
    return in_scene(one, number, lines=(replace(first, text=text), *others))


def shown(one: Film, number: int, **changed: object) -> Film:
    (shot,) = one.plan.scenes[number - 1].shots
    return in_scene(one, number, shots=(replace(shot, **changed),))


def redone(one: Film, key: str) -> Film:
    return replace(one, planned=replace(one.planned, plan=replace(one.plan, redone={key: 1})))


BRIEF = film("## Pier\n\n*A pier.*\n\n**Ada**: Look.\n\n## Dune\n\n*A dune.*\n\n## Sea\n\n*The sea.*\n")
"""Three scenes of the shortest length, whatever is said in them."""
EDITS = {
    "a short line": lambda one: said(one, 1, "Look there."),
    "a long line": lambda one: said(one, 1, "Look how far out it goes, and how still it lies. " * 3),
    "a picture": lambda one: shown(one, 2, picture_prompt="A dune at night."),
    "a line anew": lambda one: redone(one, "scene-1.line-1/speech"),
    "a clip that goes on": lambda one: continued(one, 3),
}


@pytest.mark.parametrize(
    ("edit", "redo"),
    [*((edit, Redo.CHANGED) for edit in EDITS), ("a short line", Redo.CONTENT_CHANGED), ("a short line", Redo.MISSING)],
)
async def test_a_run_holds_what_its_film_was_quoted_and_no_job_goes_beyond_it(
    stand: Studio, edit: str, redo: Redo
) -> None:
    runs, changed = door(stand), EDITS[edit](BRIEF)
    await stand.plan(BRIEF)
    await runs.start(asked())
    await stand.claim()
    await stand.rest()
    revision = await stand.plan(changed)
    stored, made = await stand.films.get(PROJECT, FILM), await stand.context.runs.made(PROJECT, FILM)
    store = await stand.context.surveyor.survey(PROJECT, [], made.outputs)
    seen = seen_of(stored, table=TABLE, there=frozenset(), made=made, store=store).quote.millicredits

    run = await runs.start(asked((seen or 0) / 1000, request_id="again", plan_revision=revision, redo=redo))

    if redo is Redo.CHANGED:
        assert run.money.held == seen
    await stand.claim()
    await stand.rest()
    ended = await stand.now()
    assert (ended.state, ended.money.held) == (RunState.SUCCEEDED, 0)
    assert ended.money.spent <= run.money.held
