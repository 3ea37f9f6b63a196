"""Runs of films over the whole service and the sandbox, on both databases: made, reused, approved, cancelled."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from uuid import uuid4

import grpc
import pytest
import pytest_asyncio

from evergreen.v1 import film_pb2, video_pb2
from tests.postgres import Postgres
from tests.rpc.films import (
    approved,
    cancelled,
    edited,
    film_of,
    film_until,
    films_of,
    outputs_of,
    plan_request,
    planned,
    start_request,
    started,
)
from tests.rpc.refusals import invalid, metadata_of, refusal
from tests.serving import Api, Control, open_sandbox, reason_of, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

SUCCEEDED, FAILED, CANCELLED = (
    video_pb2.FILM_STATE_SUCCEEDED,
    video_pb2.FILM_STATE_FAILED,
    video_pb2.FILM_STATE_CANCELLED,
)
AWAITS, ASKS = video_pb2.FILM_STATE_AWAITING_APPROVAL, video_pb2.FILM_STATE_NEEDS_ATTENTION
PRODUCE = video_pb2.FILM_RUN_KIND_PRODUCE
BUSY = (grpc.StatusCode.FAILED_PRECONDITION, "FILM_BUSY")


class Place:
    """A server, its sandbox, and where its scenes lie."""

    def __init__(self, api: Api, sandbox: Control, projects: Path) -> None:
        self.api = api
        self.sandbox = sandbox
        self.projects = projects


ON_SQLITE = pytest.mark.parametrize("place", ["sqlite"], indirect=True)
ON_POSTGRESQL = pytest.mark.parametrize("place", ["postgresql"], indirect=True)
"""Where the database plays no part, one of them is enough; `tests/film` has the parts of these on both."""


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sqlite", "postgresql"])
async def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    data, changes = tmp_path_factory.mktemp("runs"), {"EVERGREEN_PROJECT_CREDITS": '{"capped": 10}'}
    if request.param == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        changes |= {"EVERGREEN_DATABASE_URL": postgres.create(), "EVERGREEN_STORAGE_URL": data.as_uri()}
    async with open_sandbox() as sandbox, serving(data, sandbox.url, **changes) as api:
        yield Place(api, sandbox, data / "projects")


@pytest.fixture
def api(place: Place) -> Api:
    return place.api


@pytest.fixture
def project() -> str:
    """A project of its own for each test, since they share the server."""
    return f"p-{uuid4().hex[:12]}"


def script_of(project: str) -> str:
    """Two scenes with a line each; all that is asked of the provider names the project."""
    scene = "{}. {} - DAY\n\nA {} for {}.\n\nANNA\nThis is the {} for {}.\n\n"
    rooms = (("INT", "KITCHEN", "kettle"), ("EXT", "GARDEN", "chair"))
    return f"Title: {project}\nAuthor: A\n\n" + "".join(
        scene.format(where, name, thing, project, thing, project) for where, name, thing in rooms
    )


async def refused(call: Awaitable[object]) -> tuple[grpc.StatusCode, str]:
    error = await refusal(call)
    return error.code(), reason_of(error)


async def charged(place: Place, project: str) -> float:
    """What the provider has charged for a project's films."""
    return sum(task["chargedCredits"] for task in await place.sandbox.tasks(project))


@ON_POSTGRESQL
async def test_a_film_is_made_into_its_folders_and_then_costs_nothing_more(place: Place, project: str) -> None:
    api = place.api
    quote = (await planned(api, project_id=project, script=script_of(project))).film.quote.credits

    first = await started(api, project, max_credits=quote)
    film = await film_until(api, project, SUCCEEDED)
    again = await started(api, project, max_credits=0)
    same = await film_until(api, project, SUCCEEDED)

    assert (first.run, first.max_credits, first.stage) == (1, quote, video_pb2.FILM_STAGE_STORYBOARD)
    status, outputs = film.status, outputs_of(film)
    assert {key.rpartition("/")[2] for key in outputs} == {"picture", "clip", "speech"}
    for key, output in outputs.items():
        assert output.currency == film_pb2.CURRENCY_CURRENT, key
        assert (output.take, output.job_state) == (1, video_pb2.JOB_STATE_SUCCEEDED)
        assert (place.projects / project / output.scene_id / output.asset).is_file()
    assert [(count.total, count.done, count.reused) for count in (status.images, status.speech, status.clips)] == [
        (2, 2, 0)
    ] * 3
    assert 0 < status.spent_credits <= quote
    assert status.reserved_credits == 0
    assert status.spent_credits == await charged(place, project)
    assert (film.quote.credits, film.quote.reused_credits) == (0, status.spent_credits)
    assert (again.run, same.status.run, same.status.spent_credits) == (2, 2, 0)
    assert same.status.clips.reused == 2
    assert outputs_of(same) == outputs
    assert await charged(place, project) == status.spent_credits
    (listed,) = await films_of(api, project)
    assert (listed.state, listed.run, listed.end_time) == (SUCCEEDED, 2, same.status.end_time)


@ON_SQLITE
async def test_a_film_is_cut_into_its_exports_and_the_same_film_is_not_cut_again(place: Place, project: str) -> None:
    api = place.api
    settings = film_pb2.FilmSettings(profiles=[film_pb2.ExportProfile(name="small", width=160, height=90)])
    await planned(api, project_id=project, script=script_of(project), settings=settings)

    await started(api, project, stop_after=0, gates=[video_pb2.FILM_GATE_CLIPS])
    waiting = (await film_until(api, project, AWAITS)).status
    assert (waiting.gate, list(waiting.exports), waiting.clips.done) == (video_pb2.FILM_GATE_CLIPS, [], 2)
    await approved(api, waiting)
    status = (await film_until(api, project, SUCCEEDED)).status
    await started(api, project, stop_after=0, max_credits=0)
    again = (await film_until(api, project, SUCCEEDED)).status

    assert (status.stage, status.progress, again.run) == (video_pb2.FILM_STAGE_PUBLISHING, 1.0, 2)
    (export,) = status.exports
    assert list(again.exports) == [export]
    folder = place.projects / project / "movie" / "exports"
    assert (folder.parent / export.asset).stat().st_size == export.size_bytes
    assert (export.width, export.height) == (160, 90)
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", ".mp4", ".otio", ".srt", ".vtt"]

    whole = film_pb2.ExportFilmRequest(project_id=project, film_id="movie", request_id="thin", plan_revision=1)
    whole.profiles.add(name="thin", width=90, height=160, captions=film_pb2.CAPTIONS_BURNED)
    begun = (await api.film.ExportFilm(whole)).film.status
    watch = api.video.WatchProgress(video_pb2.WatchProgressRequest(project_id=project, film_ids=["movie"]))
    told = [message.film_event.film async for message in watch if message.HasField("film_event")]
    thin = (await film_until(api, project, SUCCEEDED)).status

    assert (begun.run, begun.run_kind, again.run_kind) == (3, video_pb2.FILM_RUN_KIND_EXPORT, PRODUCE)
    assert (thin.run, thin.progress, thin.max_credits, thin.spent_credits) == (3, 1.0, 0, 0)
    assert [(each.width, each.height) for each in thin.exports] == [(90, 160)]
    assert list(told[-1].exports) == list(thin.exports)
    assert (await api.film.ExportFilm(whole)).film.status.run == 3
    assert (folder.parent / export.asset).is_file()
    assert (await api.film.DeleteFilm(film_pb2.DeleteFilmRequest(project_id=project, film_id="movie"))).left == []


async def test_a_gate_is_passed_once_by_an_approval_that_comes_twice(place: Place, project: str) -> None:
    api = place.api
    await planned(api, project_id=project, script=script_of(project))
    await started(api, project, gates=[video_pb2.FILM_GATE_STORYBOARD])
    waiting = (await film_until(api, project, AWAITS)).status
    assert waiting.gate == video_pb2.FILM_GATE_STORYBOARD
    assert waiting.clips.running == 0
    before = len(await place.sandbox.tasks(project))
    await place.sandbox.fault(
        "failure", operation="create", path="/v1/image_to_video", prompt=project, failureCode="SAFETY.OUTPUT.VIDEO"
    )

    answers = await asyncio.gather(*(approved(api, waiting) for _ in range(3)))
    asks = (await film_until(api, project, ASKS)).status
    late = await approved(api, waiting)
    other = await refusal(approved(api, waiting, max_credits=400))

    assert before == 4, "two pictures and two lines"
    assert {answer.run for answer in answers} == {1}
    assert (other.code(), reason_of(other)) == (grpc.StatusCode.ABORTED, "FILM_CHANGED")
    assert metadata_of(other) == {"revision": str(late.revision)}
    assert (late.state, late.revision) == (ASKS, asks.revision)
    assert len(await place.sandbox.tasks(project)) == 6


@ON_POSTGRESQL
async def test_what_failed_is_asked_about_and_made_once_more_by_an_approval(place: Place, project: str) -> None:
    api = place.api
    await planned(api, project_id=project, script=script_of(project))
    await place.sandbox.fault(
        "failure", operation="create", path="/v1/text_to_image", prompt=project, failureCode="SAFETY.INPUT.TEXT"
    )
    await started(api, project)
    asks = (await film_until(api, project, ASKS)).status

    (trouble,) = asks.troubles
    assert (trouble.output, trouble.error.reason, asks.trouble_count) == ("picture", "MODERATED_INPUT", 1)
    assert asks.images.failed == 1
    await approved(api, asks)
    film = await film_until(api, project, SUCCEEDED)
    output = outputs_of(film)[f"{trouble.shot_id}/picture"]
    assert (output.take, output.currency) == (2, film_pb2.CURRENCY_CURRENT)
    assert film.status.spent_credits == await charged(place, project)


async def test_a_run_is_cancelled_with_its_jobs(place: Place, project: str) -> None:
    api = place.api
    await planned(api, project_id=project, script=script_of(project))
    await place.sandbox.fault("throttle", operation="create", prompt=project, seconds=10_000, count=None)
    running = await started(api, project)

    cancelling = await cancelled(api, running)
    film = await film_until(api, project, CANCELLED)
    again = await cancelled(api, running)

    assert cancelling.state in (video_pb2.FILM_STATE_CANCELLING, CANCELLED)
    assert (film.status.reserved_credits, film.status.spent_credits) == (0, 0)
    assert (again.state, again.run) == (CANCELLED, 1)
    jobs = (await api.video.ListVideos(video_pb2.ListVideosRequest(project_id=project, kinds=[2, 3]))).jobs
    assert {job.state for job in jobs} <= {video_pb2.JOB_STATE_CANCELLED}


async def test_a_film_is_not_changed_while_it_is_made(place: Place, project: str) -> None:
    api = place.api
    await planned(api, project_id=project, script=script_of(project))
    await place.sandbox.fault("throttle", operation="create", prompt=project, seconds=10_000, count=None)
    running = await started(api, project)

    plan = plan_request(project_id=project, script=script_of(project), plan_revision=1)
    edit = film_pb2.FilmEdit(delete_scene_id="scene-2")
    error = await refusal(api.film.PlanFilm(plan))
    assert (error.code(), reason_of(error)) == BUSY
    assert metadata_of(error) == {"film_id": "movie"}
    assert await refused(edited(api, project, 1, edit)) == BUSY
    assert await refused(started(api, project)) == BUSY
    delete = film_pb2.DeleteFilmRequest(project_id=project, film_id="movie")
    assert await refused(api.film.DeleteFilm(delete)) == BUSY

    await cancelled(api, running)
    await film_until(api, project, CANCELLED)
    await edited(api, project, 1, edit)
    await api.film.DeleteFilm(delete)
    assert await films_of(api, project) == []


@ON_SQLITE
async def test_a_plan_may_be_edited_at_a_gate_and_is_approved_as_it_is_then(place: Place, project: str) -> None:
    api = place.api
    await planned(api, project_id=project, script=script_of(project))
    await started(api, project, gates=[video_pb2.FILM_GATE_STORYBOARD])
    waiting = (await film_until(api, project, AWAITS)).status

    await edited(api, project, 1, film_pb2.FilmEdit(delete_scene_id="scene-2"))
    assert await refused(approved(api, waiting)) == (grpc.StatusCode.ABORTED, "PLAN_CHANGED")
    await approved(api, waiting, plan_revision=2)
    film = await film_until(api, project, SUCCEEDED)

    assert set(outputs_of(film)) == {"scene-1.1/picture", "scene-1.1/clip", "scene-1.line-1/speech"}
    assert film.status.clips.done == 1


async def test_the_same_start_again_is_the_same_run_also_beyond_its_end(place: Place, project: str) -> None:
    api = place.api
    await planned(api, project_id=project, script=script_of(project))
    request = start_request(project, stop_after=video_pb2.FILM_STAGE_STORYBOARD)

    answers = await asyncio.gather(*(api.film.StartFilm(request) for _ in range(4)))
    await film_until(api, project, SUCCEEDED)
    late = await api.film.StartFilm(request)
    other = film_pb2.StartFilmRequest.FromString(request.SerializeToString())
    other.max_credits = 1
    error = await refusal(api.film.StartFilm(other))
    plan = await refusal(api.film.PlanFilm(plan_request(project_id=project, request_id=request.request_id)))

    assert {answer.film.status.run for answer in (*answers, late)} == {1}
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert metadata_of(error) == {"film_id": "movie"}
    assert reason_of(plan) == "REQUEST_ID_REUSED"
    await api.film.DeleteFilm(film_pb2.DeleteFilmRequest(project_id=project, film_id="movie"))
    assert await refused(api.film.StartFilm(request)) == (grpc.StatusCode.ALREADY_EXISTS, "RUN_DELETED")


async def test_every_refusal_is_named(place: Place, project: str) -> None:
    api = place.api
    assert await refused(started(api, project)) == (grpc.StatusCode.NOT_FOUND, "FILM_NOT_FOUND")
    film = (await planned(api, project_id=project, script=script_of(project))).film

    fields = await invalid(
        api.film.StartFilm(
            film_pb2.StartFilmRequest(project_id=project, film_id="movie", gates=[0, 9], redo=9, on_shot_failure=77)
        )
    )
    assert set(fields) == {
        "request_id",
        "plan_revision",
        "max_credits",
        "gates[0]",
        "gates[1]",
        "redo",
        "on_shot_failure",
    }
    export = film_pb2.ExportFilmRequest(
        project_id=project, film_id="movie", profiles=[film_pb2.ExportProfile(name="x", fit=9)], missing=9
    )
    assert set(await invalid(api.film.ExportFilm(export))) == {
        *("request_id", "plan_revision", "profiles[0].width", "profiles[0].height", "profiles[0].fit", "missing")
    }
    whole = film_pb2.ExportFilmRequest(project_id=project, film_id="movie", request_id="x", plan_revision=1)
    missing = await refusal(api.film.ExportFilm(whole))
    assert (missing.code(), reason_of(missing)) == (grpc.StatusCode.FAILED_PRECONDITION, "OUTPUT_MISSING")
    assert metadata_of(missing) == {"film_id": "movie"}
    whole.plan_revision = 7
    assert await refused(api.film.ExportFilm(whole)) == (grpc.StatusCode.NOT_FOUND, "PLAN_NOT_FOUND")
    error = await refusal(started(api, project, plan_revision=7))
    assert (reason_of(error), metadata_of(error)) == ("PLAN_CHANGED", {"plan_revision": "1"})
    error = await refusal(started(api, project, max_credits=1))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.FAILED_PRECONDITION, "FILM_CREDITS_EXCEEDED")
    assert metadata_of(error) == {"estimated_credits": f"{film.quote.credits:g}", "left_credits": "1"}
    status = video_pb2.FilmStatus(project_id=project, film_id="movie", run=1, revision=1, plan_revision=1)
    assert await refused(approved(api, status)) == (grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND")
    assert await refused(cancelled(api, status)) == (grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND")
    assert (await film_of(api, project)).status.run == 0
    assert await place.sandbox.tasks(project) == []


async def test_a_film_takes_no_project_beyond_its_cap(place: Place) -> None:
    await planned(place.api, project_id="capped", script=script_of("capped"))

    error = await refusal(started(place.api, "capped"))

    assert (error.code(), reason_of(error)) == (grpc.StatusCode.FAILED_PRECONDITION, "PROJECT_CREDITS_EXCEEDED")
