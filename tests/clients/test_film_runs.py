"""Runs of films in the Python client and on the command line: what reaches the wire, and the whole way."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from evergreen import (
    FilmBusy,
    FilmChanged,
    FilmCreditsExceeded,
    FilmGate,
    FilmRedo,
    FilmStage,
    OutputMissing,
    RunDeleted,
    RunNotFound,
    WireClient,
)
from evergreen.v1.film_pb2 import (
    ApproveFilmRequest,
    ApproveFilmResponse,
    CancelFilmRequest,
    CancelFilmResponse,
    Captions,
    ExportFilmRequest,
    ExportFilmResponse,
    ExportProfile,
    Film,
    FilmQuote,
    FilmScene,
    GetFilmResponse,
    OnShotFailure,
    ScenePlan,
    StartFilmRequest,
    StartFilmResponse,
)
from evergreen.v1.video_pb2 import (
    FilmCounts,
    FilmEvent,
    FilmState,
    FilmStatus,
    JobError,
    ShotTrouble,
    WatchProgressResponse,
)
from tests.clients.command_line import CommandLine
from tests.clients.scripted import UNAVAILABLE, Fault, ScriptedService
from tests.serving import SAMPLES, Api, open_sandbox, serving

WHERE = ("--project", "p", "--film", "f")
NAME = {"project_id": "p", "film_id": "f"}
WAITS = FilmStatus(
    **NAME,
    run=2,
    state=FilmState.FILM_STATE_AWAITING_APPROVAL,
    stage=FilmStage.FILM_STAGE_CLIPS,
    gate=FilmGate.FILM_GATE_STORYBOARD,
    revision=7,
    plan_revision=3,
    max_credits=205,
    spent_credits=40,
    images=FilmCounts(total=5, done=4, reused=1),
)
FILM = Film(status=WAITS, quote=FilmQuote(credits=165), scenes=[FilmScene(scene=ScenePlan(scene_id="scene-1"))])
MORE = GetFilmResponse(film=Film(scenes=[FilmScene(scene=ScenePlan(scene_id="scene-2"))]))


@pytest.fixture
def evergreen(service: ScriptedService) -> CommandLine:
    return CommandLine(service.target)


async def test_a_start_reaches_the_wire_and_keeps_its_id_over_every_retry(
    service: ScriptedService, client: WireClient
) -> None:
    service.answers["StartFilm"] = [UNAVAILABLE, UNAVAILABLE, StartFilmResponse(film=FILM, next_page_token="a")]
    service.answers["GetFilm"] = [MORE]

    film = await client.films.start(
        "p",
        "f",
        plan_revision=3,
        max_credits=0,
        gates=[FilmGate.FILM_GATE_CLIPS],
        stop_after=FilmStage.FILM_STAGE_CLIPS,
        redo=FilmRedo.FILM_REDO_MISSING,
        on_shot_failure=OnShotFailure.ON_SHOT_FAILURE_SKIP,
        max_attempts=2,
        priority=-3,
        finish_by=datetime(2030, 1, 1, tzinfo=UTC),
    )

    assert [each.scene.scene_id for each in film.scenes] == ["scene-1", "scene-2"]
    sent = service.requests["StartFilm"]
    assert len({request.request_id for request in sent}) == 1
    expected = StartFilmRequest(
        **NAME,
        request_id=sent[0].request_id,
        plan_revision=3,
        max_credits=0,
        gates=[FilmGate.FILM_GATE_CLIPS],
        stop_after=FilmStage.FILM_STAGE_CLIPS,
        redo=FilmRedo.FILM_REDO_MISSING,
        on_shot_failure=OnShotFailure.ON_SHOT_FAILURE_SKIP,
        max_attempts=2,
        priority=-3,
    )
    expected.finish_by.FromDatetime(datetime(2030, 1, 1, tzinfo=UTC))
    assert sent[-1] == expected
    assert sent[-1].HasField("max_credits")
    with pytest.raises(ValueError, match="timezone"):
        await client.films.start("p", "f", plan_revision=1, max_credits=1, finish_by=datetime(2030, 1, 1))


async def test_an_approval_is_of_the_film_that_was_read(service: ScriptedService, client: WireClient) -> None:
    service.answers["ApproveFilm"] = [ApproveFilmResponse(film=FILM)] * 2
    service.answers["CancelFilm"] = [CancelFilmResponse(film=FILM)]

    await client.films.approve(WAITS, max_credits=205)
    await client.films.approve(WAITS, max_credits=300, plan_revision=4)
    await client.films.cancel("p", "f", 2)

    assert service.requests["ApproveFilm"] == [
        ApproveFilmRequest(**NAME, run=2, plan_revision=3, max_credits=205, revision=7),
        ApproveFilmRequest(**NAME, run=2, plan_revision=4, max_credits=300, revision=7),
    ]
    assert service.requests["CancelFilm"] == [CancelFilmRequest(**NAME, run=2)]


async def test_an_export_reaches_the_wire_with_its_forms(
    service: ScriptedService, client: WireClient, evergreen: CommandLine
) -> None:
    tall = ExportProfile(name="tall", captions=Captions.CAPTIONS_BURNED, crf=23)
    own = ExportProfile(name="poster", width=1080, height=1350, captions=Captions.CAPTIONS_BURNED, crf=23)
    service.answers["ExportFilm"] = [UNAVAILABLE, *[ExportFilmResponse(film=FILM)] * 3]
    service.answers["GetFilm"] = [GetFilmResponse(film=FILM)]

    await client.films.export("p", "f", plan_revision=2, profiles=[tall])
    form = ("--captions", "burned", "--crf", "23", "--missing", "last-good")
    told = await evergreen("film", "export", *WHERE, "--profile", "tall", "--profile", "poster=1080x1350", *form)
    older = await evergreen("film", "export", *WHERE, "--revision", "1", "--request-id", "mine")
    refused = [
        await evergreen("film", "export", *WHERE, *arguments)
        for arguments in (("--crf", "23"), ("--profile", "poster=1080"), ("--profile", "wide", "--fps", "61"))
    ]

    first, again, asked, last = service.requests["ExportFilm"]
    assert first == again == ExportFilmRequest(**NAME, request_id=first.request_id, plan_revision=2, profiles=[tall])
    assert told.code == older.code == 0, told.stderr + older.stderr
    last_good = OnShotFailure.ON_SHOT_FAILURE_LAST_GOOD
    assert asked == ExportFilmRequest(
        **NAME, request_id=asked.request_id, plan_revision=3, profiles=[tall, own], missing=last_good
    )
    assert (last.request_id, last.plan_revision, list(last.profiles)) == ("mine", 1, [])
    assert [ended.code for ended in refused] == [2, 2, 2]


@pytest.mark.parametrize(
    ("code", "reason", "error"),
    [
        (grpc.StatusCode.FAILED_PRECONDITION, "FILM_BUSY", FilmBusy),
        (grpc.StatusCode.FAILED_PRECONDITION, "OUTPUT_MISSING", OutputMissing),
        (grpc.StatusCode.FAILED_PRECONDITION, "FILM_CREDITS_EXCEEDED", FilmCreditsExceeded),
        (grpc.StatusCode.ABORTED, "FILM_CHANGED", FilmChanged),
        (grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND", RunNotFound),
        (grpc.StatusCode.ALREADY_EXISTS, "RUN_DELETED", RunDeleted),
    ],
)
async def test_each_refusal_has_its_class(
    service: ScriptedService, client: WireClient, code: grpc.StatusCode, reason: str, error: type[Exception]
) -> None:
    service.answers["StartFilm"] = [Fault(code=code, reason=reason)]

    with pytest.raises(error):
        await client.films.start("p", "f", plan_revision=1, max_credits=1)


async def test_nothing_is_spent_before_a_yes_on_the_command_line(
    service: ScriptedService, evergreen: CommandLine
) -> None:
    service.answers["GetFilm"] = [GetFilmResponse(film=FILM)] * 4
    service.answers["StartFilm"] = [StartFilmResponse(film=FILM)]
    service.answers["ApproveFilm"] = [ApproveFilmResponse(film=FILM)]

    unsure = await evergreen("film", "start", *WHERE, "--max-credits", "205")
    sure = await evergreen(
        "film", "start", *WHERE, "--max-credits", "205", "--gate", "storyboard", "--on-failure", "last-good", "--yes"
    )
    doubtful = await evergreen("film", "approve", *WHERE)
    approved = await evergreen("film", "approve", *WHERE, "--max-credits", "300", "--yes", "--output", "json")

    assert (unsure.code, unsure.stdout) == (1, "")
    assert "takes ≤ 165 credits. Spend up to 205?" in unsure.stderr
    assert (sure.code, doubtful.code, approved.code) == (0, 1, 0), sure.stderr + approved.stderr
    assert "has spent 40 credits. Spend up to 205 in all?" in doubtful.stderr
    (started,) = service.requests["StartFilm"]
    assert (started.plan_revision, started.max_credits, list(started.gates)) == (3, 205, [1])
    assert started.on_shot_failure == OnShotFailure.ON_SHOT_FAILURE_LAST_GOOD
    (request,) = service.requests["ApproveFilm"]
    assert (request.revision, request.max_credits) == (7, 300)
    told = dict(line.split(maxsplit=1) for line in sure.stdout.splitlines())
    assert (told["state"], told["pictures"], told["spent"]) == ("AWAITING_APPROVAL", "5 of 5", "40")
    assert json.loads(approved.stdout)["status"]["run"] == 2


async def test_troubles_and_states_of_tomorrow_are_told(service: ScriptedService, evergreen: CommandLine) -> None:
    trouble = ShotTrouble(shot_id="scene-1.1", output="clip", error=JobError(reason="BAD", message="a\x1b[31m word"))
    status = FilmStatus(**NAME, run=1, state=99, stage=98, gate=97, troubles=[trouble])
    service.answers["GetFilm"] = [GetFilmResponse(film=Film(status=status))]
    service.answers["CancelFilm"] = [CancelFilmResponse(film=Film(status=status))]

    ended = await evergreen("film", "cancel", *WHERE)

    assert ended.code == 0, ended.stderr
    assert [line.split()[-1] for line in ended.stdout.splitlines()[:4]] == ["99", "1", "98", "97"]
    assert "scene-1.1 clip: BAD: a" in ended.stderr
    assert "\x1b" not in ended.stderr
    assert service.requests["CancelFilm"] == [CancelFilmRequest(**NAME, run=1)]


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with open_sandbox() as sandbox, serving(tmp_path / "data", sandbox.url) as opened:
        yield opened


async def test_a_script_becomes_pictures_by_the_command_line(api: Api, tmp_path: Path) -> None:
    """Over the real service, to the gate behind the storyboard, and cancelled there."""
    evergreen = CommandLine(api.address)
    script = str(SAMPLES / "scripts" / "the-lamp.fountain")

    planned = await evergreen("film", "plan", script, *WHERE)
    begun = await evergreen("film", "start", *WHERE, "--max-credits", "205", "--stop-after", "storyboard", "--yes")
    async with WireClient(api.address) as client:
        while (film := await client.films.get("p", "f")).status.state == FilmState.FILM_STATE_RUNNING:
            pass
        with pytest.raises(FilmChanged):
            await client.films.approve(film.status, max_credits=205)
    cancelled = await evergreen("film", "cancel", *WHERE, "--output", "json")
    shown = await evergreen("film", "show", *WHERE)

    assert (planned.code, begun.code) == (0, 0), planned.stderr + begun.stderr
    assert film.status.images.done == film.status.images.total > 0
    assert json.loads(cancelled.stdout)["status"]["state"] == "succeeded"
    assert "SUCCEEDED" in shown.stdout
    assert len(list((tmp_path / "data" / "projects" / "p").glob("scene-*/images/*.png"))) == film.status.images.total


async def test_a_film_is_followed_to_its_gate_and_to_its_end(api: Api, tmp_path: Path) -> None:
    evergreen, script = CommandLine(api.address), tmp_path / "short.fountain"
    script.write_text("Title: Short\nAuthor: A\n\nINT. KITCHEN - DAY\n\nA kettle boils over.\n\nANNA\nIt is time.\n")

    await evergreen("film", "plan", str(script), *WHERE)
    gate = ("--gate", "storyboard", "--stop-after", "clips")
    begun = await evergreen("film", "start", *WHERE, "--max-credits", "100", *gate, "--yes", "--watch")
    approved = await evergreen("film", "approve", *WHERE, "--yes", "--watch", "--output", "json")
    again = await evergreen("film", "watch", *WHERE)
    missing = await evergreen("film", "watch", "--project", "p", "--film", "none")

    assert begun.code == 4, begun.stderr
    assert f"film approve {' '.join(WHERE)}" in begun.stderr
    assert "RUNNING" in begun.stderr
    assert approved.code == again.code == 0, approved.stderr + again.stderr
    events = [json.loads(line) for line in approved.stdout.splitlines()]
    assert events[-1]["film_event"]["film"]["state"] == "succeeded"
    revisions = [int(event["revision"]) for event in events]
    assert revisions == sorted(set(revisions))
    assert "SUCCEEDED" in again.stdout
    assert missing.code == 1
    assert "there is no film" in missing.stderr


async def test_a_watch_of_a_film_survives_the_loss_of_its_stream(service: ScriptedService, client: WireClient) -> None:
    def event(revision: int, state: FilmState.ValueType) -> WatchProgressResponse:
        status = FilmStatus(**NAME, run=1, state=state)
        return WatchProgressResponse(revision=revision, film_event=FilmEvent(film=status))

    running, done = FilmState.FILM_STATE_RUNNING, FilmState.FILM_STATE_SUCCEEDED
    service.streams += [[event(4, running), event(5, done), event(6, running), UNAVAILABLE], [event(7, done)]]

    told = [message.revision async for message in client.watch(project_id="p", film_ids=["f"], after_revision=0)]

    assert told == [4, 5, 6, 7]
    first, second = service.watches
    assert (first.film_ids, first.after_revision) == (["f"], 0)
    assert (second.film_ids, second.after_revision) == (["f"], 6)
