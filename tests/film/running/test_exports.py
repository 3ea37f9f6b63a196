"""Exports of what is there: in other forms, without a job and for nothing, and never rendered twice."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from evergreen_server.film.errors import FilmBusy, FilmNotFound, FilmRequestReused, OutputsMissing, PlanNotFound
from evergreen_server.film.model import OnShotFailure
from evergreen_server.film.running.calls import ExportRequest
from evergreen_server.film.runs.run import FilmRun, RunKind, RunState
from evergreen_server.ports.specs import InvalidRequest
from evergreen_server.ports.timeline import Captions, Fit
from tests.film.assembling.cinema import SMALL, TALL, Cinema, short
from tests.film.assembling.test_ends import command, rendering
from tests.film.assembling.test_kills import POINTS, Died, mortal_cinema
from tests.film.planning import FILM
from tests.film.running.test_door import door
from tests.film.runs.studio import PROJECT


@pytest.fixture
async def hall(database_url: str, tmp_path: Path) -> AsyncIterator[Cinema]:
    async with mortal_cinema(database_url, tmp_path) as opened:
        yield opened


def asked(request_id: str = "x", *, plan_revision: int = 1, **fields: object) -> ExportRequest:
    usual = {"project_id": PROJECT, "film_id": FILM, "digest": request_id, "profiles": [TALL], "missing": None}
    return ExportRequest(**{**usual, **fields}, request_id=request_id, plan_revision=plan_revision)


async def exported(hall: Cinema, request: ExportRequest) -> FilmRun:
    await door(hall.studio).export(request)
    return await hall.to_the_end()


async def test_an_export_makes_the_other_form_of_what_is_there_and_costs_nothing(hall: Cinema) -> None:
    await hall.make(short(2))
    before, jobs = hall.files(), await hall.studio.jobs()
    totals = await hall.studio.project()
    form = {**TALL, "captions": Captions.BURNED, "fit": Fit.BLUR, "crf": 30, "loudness_lufs": -23.0}

    run = await exported(hall, asked(profiles=[form]))

    assert (run.run, run.kind, run.state, run.money.spent, run.published) == (2, RunKind.EXPORT, "SUCCEEDED", 0, True)
    assert (await hall.studio.jobs(), await hall.studio.project()) == (jobs, totals)
    [row] = await hall.rows()
    assert (row.profile, row.width, row.height, row.run) == ("thin", 90, 160, 2)
    assert hall.files().items() > before.items()
    told = json.loads(hall.path("thin-" + row.digest[:8] + ".json").read_bytes())
    assert (told["export"]["profile"]["captions"], told["export"]["profile"]["crf"]) == ("BURNED", 30)
    assert (await hall.studio.films.get(PROJECT, FILM)).film.exports == (row,)
    index = hall.folder / "data" / "projects" / PROJECT / FILM / "metadata" / "film.json"
    assert [(each["profile"], each["run"]) for each in json.loads(index.read_bytes())["exports"]] == [
        ("thin", 2),
        ("small", 1),
    ]


async def test_the_same_export_is_not_rendered_again_whatever_run_made_it(hall: Cinema) -> None:
    await hall.make(short(2, profiles=[SMALL, TALL]))

    own = await exported(hall, asked(profiles=[]))
    other = await exported(hall, asked("y", profiles=[TALL, {**SMALL, "crf": 40}]))
    again = await exported(hall, asked("z", profiles=[{**SMALL, "crf": 40}, TALL]))

    assert [run.state for run in (own, other, again)] == [RunState.SUCCEEDED] * 3
    assert hall.fate.seen.count("rendered") == 3
    assert own.exports[1] == other.exports[0] == again.exports[1]


async def test_a_request_begins_one_export(hall: Cinema) -> None:
    await hall.make(short())
    runs, request = door(hall.studio), asked()

    answers = await asyncio.gather(*(runs.export(request) for _ in range(4)))
    other = [asked("y"), asked("z")]
    refused = await asyncio.gather(*map(runs.export, other), return_exceptions=True)
    await hall.to_the_end()
    late = await runs.export(request)

    assert {answer.run for answer in (*answers, late)} == {2}
    assert [type(each) for each in refused] == [FilmBusy, FilmBusy]
    with pytest.raises(FilmRequestReused):
        await runs.export(asked(digest="another"))
    two = await asyncio.gather(*map(runs.export, other), return_exceptions=True)
    assert {type(each) for each in two} == {FilmRun, FilmBusy}


FAULTS = (
    ({"project_id": "a/b", "request_id": "", "plan_revision": 0}, {"project_id", "request_id", "plan_revision"}),
    ({"film_id": ".."}, {"film_id"}),
    ({"profiles": [{"name": "own"}]}, {"profiles[0].width", "profiles[0].height"}),
    ({"profiles": [{"name": "wide", "fps": 61, "crf": 52}]}, {"profiles[0].fps", "profiles[0].crf"}),
    ({"profiles": [{"name": "wide"}, {"name": "Wide", "height": 720}]}, {"profiles[1].name", "profiles[1].width"}),
    ({"profiles": [{"name": "wide", "loudness_lufs": float("nan")}]}, {"profiles[0].loudness_lufs"}),
    ({"profiles": [{"name": f"p{n}", "width": 64, "height": 64} for n in range(9)]}, {"profiles"}),
    ({"missing": OnShotFailure.ASK}, {"missing"}),
)


async def test_every_fault_of_an_export_is_named(hall: Cinema) -> None:
    for fields, named in FAULTS:
        with pytest.raises(InvalidRequest) as refused:
            await door(hall.studio).export(asked(**{"request_id": "x", **fields}))

        assert {error.field for error in refused.value.field_errors} == named


async def test_what_is_not_there_is_named_unless_something_may_stand_in(hall: Cinema) -> None:
    one = short(2)
    with pytest.raises(FilmNotFound):
        await door(hall.studio).export(asked())
    await hall.studio.plan(one)
    with pytest.raises(OutputsMissing, match=r"scene-1\.line-1, scene-1\.line-2, scene-1\.1, scene-2\.line-1"):
        await door(hall.studio).export(asked())
    with pytest.raises(PlanNotFound):
        await door(hall.studio).export(asked(plan_revision=2))
    await hall.make(one)
    stale = short(2, changed={2: "Boat 2 left the harbour long after dawn, and nobody saw it go."}, before=one)
    revision = await hall.studio.plan(stale)
    jobs = await hall.studio.jobs()

    with pytest.raises(OutputsMissing, match=r"scene-2\.line-1"):
        await door(hall.studio).export(asked(plan_revision=revision))
    run = await exported(hall, asked(plan_revision=revision, missing=OnShotFailure.LAST_GOOD))

    assert (run.state, {warning.code for warning in run.warnings}) == (RunState.SUCCEEDED, {"OUTPUT_REPLACED"})
    assert await hall.studio.jobs() == jobs


async def test_an_older_plan_is_exported_as_it_was(hall: Cinema) -> None:
    one = short(2)
    await hall.make(one)
    await hall.studio.plan(short(3, before=one))

    run = await exported(hall, asked(profiles=[], plan_revision=1))

    assert (run.state, run.plan_revision, hall.fate.seen.count("rendered")) == (RunState.SUCCEEDED, 1, 1)


async def test_a_file_that_vanishes_before_it_is_cut_ends_the_export_and_is_not_paid_for(hall: Cinema) -> None:
    await hall.make(short(2))
    jobs = await hall.studio.jobs()
    await door(hall.studio).export(asked())
    clip = next(job for job in jobs if job.request.spec.kind == "VIDEO")
    await hall.studio.scenes.discard(PROJECT, clip.request.scene_id, clip.outputs[0].path)

    run = await hall.to_the_end()

    assert (run.state, run.error.reason if run.error else "") == (RunState.FAILED, "SHOT_FAILED")
    assert await hall.studio.jobs() == jobs


async def test_a_cancelled_export_ends_at_once_and_leaves_the_film_as_it_was(hall: Cinema) -> None:
    await hall.make(short())
    before = hall.files()
    await door(hall.studio).export(asked())
    await hall.studio.claim()

    async with rendering(hall) as (step, _):
        await command(hall, lambda run: run.cancelling(), run=2)
        assert await step
    await hall.studio.rest()

    assert (await hall.studio.now()).state is RunState.CANCELLED
    assert hall.files() == before


async def test_exports_that_die_at_any_moment_make_each_file_once_when_they_are_begun_again(hall: Cinema) -> None:
    await hall.make(short())
    jobs = await hall.studio.jobs()
    # The folder is there by now.
    for crf, point in enumerate((point for point in POINTS if point != "created"), start=30):
        before = hall.files()
        hall.fate.seen.clear()
        await door(hall.studio).export(asked(point, profiles=[{**TALL, "crf": crf}]))
        await hall.studio.claim()
        hall.fate.after = point

        with pytest.raises(Died):
            await hall.studio.rest()
        run = await hall.to_the_end()

        assert (run.state, run.published) == (RunState.SUCCEEDED, True)
        assert len(hall.files().keys() - before.keys()) == 5, point
        assert hall.fate.seen.count("rendered") == 1 + (point in ("rendered", "sealed"))
    assert await hall.studio.jobs() == jobs
