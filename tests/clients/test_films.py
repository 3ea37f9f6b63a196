"""Films in the Python client and on the command line: what reaches the wire, pages, and the whole way."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from evergreen import FilmNotFound, InvalidRequest, PlanChanged, WireClient
from evergreen.v1.film_pb2 import (
    CastMember,
    DeleteFilmRequest,
    DeleteFilmResponse,
    EditFilmRequest,
    EditFilmResponse,
    Film,
    FilmChanges,
    FilmEdit,
    FilmQuote,
    FilmScene,
    FilmSettings,
    GetFilmRequest,
    GetFilmResponse,
    ListFilmsRequest,
    ListFilmsResponse,
    PlanFilmRequest,
    PlanFilmResponse,
    QuoteItem,
    ScenePlan,
    ScriptFormat,
    ShotPlan,
    SpokenLine,
    Transition,
    TransitionKind,
)
from evergreen.v1.video_pb2 import FilmState, FilmStatus
from tests.clients.command_line import CommandLine
from tests.clients.scripted import UNAVAILABLE, Fault, ScriptedService
from tests.serving import SAMPLES, Api, open_sandbox, serving

NONE = Fault(code=grpc.StatusCode.NOT_FOUND, reason="FILM_NOT_FOUND")
LAMP = SAMPLES / "scripts" / "the-lamp.fountain"
WHERE = ("--project", "p", "--film", "f")


def page(number: int, **fields: object) -> Film:
    """A page of a film: one scene of two shots and a line, and its part of the quote."""
    scene = ScenePlan(
        scene_id=f"scene-{number}",
        number=str(number),
        title="A\x1b[31m room",
        shots=[ShotPlan(seconds=4), ShotPlan(seconds=2.5)],
        lines=[SpokenLine(text="No.")],
    )
    quote = FilmQuote(credits=9, seconds=13, items=[QuoteItem(shot_id=f"scene-{number}.1", credits=3)])
    return Film(scenes=[FilmScene(scene=scene)], quote=quote, **fields)


STATUS = FilmStatus(project_id="p", film_id="f", state=FilmState.FILM_STATE_PLANNED, plan_revision=3)


def pages(first: type[PlanFilmResponse | EditFilmResponse | GetFilmResponse]) -> list[object]:
    return [
        first(film=page(1, status=STATUS, title="Rooms"), next_page_token="a"),
        GetFilmResponse(film=page(2), next_page_token="b"),
        GetFilmResponse(film=page(3)),
    ]


def check_whole(film: Film) -> None:
    assert [each.scene.scene_id for each in film.scenes] == ["scene-1", "scene-2", "scene-3"]
    assert [item.shot_id for item in film.quote.items] == ["scene-1.1", "scene-2.1", "scene-3.1"]
    assert film.status == STATUS


async def test_a_plan_reaches_the_wire_and_keeps_its_id_over_every_retry(
    service: ScriptedService, client: WireClient
) -> None:
    answer = PlanFilmResponse(film=page(1), changes=FilmChanges(added=["scene-1"]))
    service.answers["PlanFilm"] = [UNAVAILABLE, UNAVAILABLE, answer, answer]

    got = await client.films.plan("p", "f", "A door.")
    await client.films.plan(
        "p",
        "f",
        "A door.",
        settings=FilmSettings(aspect="9:16"),
        cast=[CastMember(name="Ada")],
        script_format=ScriptFormat.SCRIPT_FORMAT_PLAIN,
        plan_revision=2,
        request_id="mine",
        validate_only=True,
    )

    first, *again, last = service.requests["PlanFilm"]
    assert got == answer
    assert first.request_id
    assert again == [first, first]
    assert first == PlanFilmRequest(project_id="p", film_id="f", script="A door.", request_id=first.request_id)
    assert last == PlanFilmRequest(
        project_id="p",
        film_id="f",
        script="A door.",
        settings=FilmSettings(aspect="9:16"),
        cast=[CastMember(name="Ada")],
        format=ScriptFormat.SCRIPT_FORMAT_PLAIN,
        plan_revision=2,
        request_id="mine",
        validate_only=True,
    )


async def test_a_film_of_several_pages_is_put_together(service: ScriptedService, client: WireClient) -> None:
    planned, edited, got = pages(PlanFilmResponse), pages(EditFilmResponse), pages(GetFilmResponse)
    service.answers["PlanFilm"], service.answers["EditFilm"] = planned[:1], edited[:1]
    service.answers["GetFilm"] = [*planned[1:], *edited[1:], *got]
    edit = FilmEdit(delete_scene_id="scene-9")

    check_whole((await client.films.plan("p", "f", "A door.")).film)
    check_whole((await client.films.edit("p", "f", [edit], plan_revision=2)).film)
    check_whole(await client.films.get("p", "f", plan_revision=3, scene_ids=["scene-1", "scene-2", "scene-3"]))

    chosen = {"plan_revision": 3, "scene_ids": ["scene-1", "scene-2", "scene-3"]}
    assert service.requests["GetFilm"] == [
        GetFilmRequest(project_id="p", film_id="f", page_token=token, **asked)
        for asked, tokens in (({}, "ab"), ({}, "ab"), (chosen, ("", "a", "b")))
        for token in tokens
    ]
    assert service.requests["EditFilm"] == [EditFilmRequest(project_id="p", film_id="f", edits=[edit], plan_revision=2)]


async def test_films_are_listed_page_by_page_and_what_a_deletion_left_is_told(
    service: ScriptedService, client: WireClient
) -> None:
    service.answers["ListFilms"] = [
        ListFilmsResponse(films=[FilmStatus(film_id="a")], next_page_token="n"),
        ListFilmsResponse(films=[FilmStatus(film_id="b")]),
    ]
    service.answers["DeleteFilm"] = [DeleteFilmResponse(left=["f/images/locked.png"])]
    planned = [FilmState.FILM_STATE_PLANNED]

    assert [film.film_id async for film in client.films.list("p", states=planned, page_size=1)] == ["a", "b"]
    assert await client.films.delete("p", "f", delete_scenes=True) == ("f/images/locked.png",)

    assert service.requests["ListFilms"] == [
        ListFilmsRequest(project_id="p", states=planned, page_size=1, page_token=token) for token in ("", "n")
    ]
    assert service.requests["DeleteFilm"] == [DeleteFilmRequest(project_id="p", film_id="f", delete_scenes=True)]


async def test_a_script_is_planned_with_its_settings_and_cast(
    service: ScriptedService, evergreen: CommandLine, tmp_path: Path
) -> None:
    script = tmp_path / "script.txt"
    script.write_text("Füchse.\n")
    status = FilmStatus(project_id="p", film_id="f", plan_revision=4)
    status.warnings.add(code="PROMPT_SHORTENED", message="scene-1.1")
    service.answers["GetFilm"] = [GetFilmResponse(film=page(1, status=STATUS))]
    changes = FilmChanges(added=["scene-4"], kept=["scene-1", "scene-2"], removed=["scene-3"])
    service.answers["PlanFilm"] = [PlanFilmResponse(film=page(1, status=status, title="Rooms"), changes=changes)]

    ended = await evergreen(
        *("film", "plan", str(script), *WHERE, "--dry-run"),
        *("--set", "aspect=9:16", "--set", "speech=in_clip", "--set", "candidates=2", "--set", "style=a=b"),
        *("--set", "transition=dissolve:0.5", "--set", "profiles=wide,tall", "--cast", "Ada=images/ada.png"),
    )

    assert ended.code == 0, ended.stderr
    [request] = service.requests["PlanFilm"]
    assert request == PlanFilmRequest(
        project_id="p",
        film_id="f",
        request_id=request.request_id,
        script="Füchse.\n",
        settings=FilmSettings(
            aspect="9:16",
            speech="SPEECH_IN_CLIP",
            candidates=2,
            style="a=b",
            transition=Transition(kind=TransitionKind.TRANSITION_KIND_DISSOLVE, seconds=0.5),
            profiles=[{"name": "wide"}, {"name": "tall"}],
        ),
        cast=[CastMember(name="Ada", assets=["images/ada.png"])],
        plan_revision=3,
        validate_only=True,
    )
    lines = ended.stdout.splitlines()
    assert lines[0].split() == ["SCENE", "NUMBER", "TITLE", "SHOTS", "LINES", "SECONDS"]
    assert lines[1].split() == ["scene-1", "1", "A\N{REPLACEMENT CHARACTER}[31m", "room", "2", "1", "6.5"]
    facts = [line.split(maxsplit=1) for line in lines[3:]]
    assert facts == [
        ["film", "p/f"],
        ["title", "Rooms"],
        ["plan", "4"],
        ["scenes", "1"],
        ["shots", "2"],
        ["seconds", "13"],
        ["credits", "≤ 9"],
        ["state", "UNSPECIFIED"],
        ["spent", "0"],
        ["added", "1 scenes"],
        ["removed", "1 scenes"],
    ]
    assert ended.stderr == "PROMPT_SHORTENED: scene-1.1\n"


async def test_every_fault_of_a_script_is_a_line_of_its_own(
    service: ScriptedService, evergreen: CommandLine, tmp_path: Path
) -> None:
    script = tmp_path / "script.txt"
    script.write_text("x")
    faults = {"script": "line 4, column 1: the character U+0007 is not allowed", "settings.aspect": "no such aspect"}
    service.answers["GetFilm"] = [NONE]
    refusal = Fault(code=grpc.StatusCode.INVALID_ARGUMENT, reason="INVALID_REQUEST", violations=faults)
    service.answers["PlanFilm"] = [refusal]

    ended = await evergreen("film", "plan", str(script), *WHERE)

    assert (ended.code, ended.stdout) == (1, "")
    assert [f"  {field}: {text}" in ended.stderr.splitlines() for field, text in faults.items()] == [True, True]
    assert service.requests["PlanFilm"][0].plan_revision == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--set", "aspect"), "KEY=VALUE"),
        (("--set", "nothing=1"), "'nothing=1' is not KEY=VALUE"),
        (("--set", "timing=soon"), "'soon' is not one of script, speech"),
        (("--set", "timing=unspecified"), "'unspecified' is not one of"),
        (("--set", "transition=wipe"), "'wipe' is not one of cut, dissolve, black"),
        (("--set", "transition=cut:x"), "transition=cut:x"),
        (("--set", "candidates=many"), "candidates=many"),
        (("--cast", "Ada"), "NAME=PICTURE"),
        (("--cast", "=a.png"), "NAME=PICTURE"),
        (("--cast", "Ada=gone.png"), "gone.png"),
    ],
)
async def test_what_the_command_line_says_wrong_is_told_before_anything_is_sent(
    service: ScriptedService, evergreen: CommandLine, tmp_path: Path, arguments: tuple[str, str], told: str
) -> None:
    script = tmp_path / "script.txt"
    script.write_text("x")

    ended = await evergreen("film", "plan", str(script), *WHERE, *arguments)

    assert ended.code in (1, 2)
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not service.requests


async def test_a_film_is_shown_with_all_its_pages_also_as_json(
    service: ScriptedService, evergreen: CommandLine
) -> None:
    unpriced = GetFilmResponse(film=Film(status=STATUS, quote=FilmQuote(seconds=1)))
    service.answers["GetFilm"] = [*pages(GetFilmResponse), *pages(GetFilmResponse), unpriced]

    shown = await evergreen("film", "show", *WHERE, "--revision", "3")
    whole = await evergreen("film", "show", *WHERE, "--output", "json")
    bare = await evergreen("film", "show", *WHERE)

    assert [line.split()[0] for line in shown.stdout.splitlines()[1:4]] == ["scene-1", "scene-2", "scene-3"]
    assert [each["scene"]["scene_id"] for each in json.loads(whole.stdout)["scenes"]] == [
        "scene-1",
        "scene-2",
        "scene-3",
    ]
    assert "credits  not known" in bare.stdout
    assert [request.plan_revision for request in service.requests["GetFilm"]] == [3, 3, 3, 0, 0, 0, 0]


async def test_films_are_listed_and_a_state_of_tomorrow_is_its_number(
    service: ScriptedService, evergreen: CommandLine
) -> None:
    later = FilmStatus(project_id="p", film_id="g", state=99, plan_revision=1)
    service.answers["ListFilms"] = [ListFilmsResponse(films=[STATUS, later])] * 2

    listed = await evergreen("film", "list", "--project", "p")
    as_json = await evergreen("film", "list", "--project", "p", "--output", "json")

    assert [line.split() for line in listed.stdout.splitlines()] == [
        ["FILM", "STATE", "PLAN", "UPDATED"],
        ["f", "PLANNED", "3", "-"],
        ["g", "99", "1", "-"],
    ]
    assert [json.loads(line)["film_id"] for line in as_json.stdout.splitlines()] == ["f", "g"]


async def test_a_deletion_is_confirmed_first_and_tells_what_it_left(
    service: ScriptedService, evergreen: CommandLine
) -> None:
    service.answers["DeleteFilm"] = [DeleteFilmResponse(left=["scene-1/images/locked.png"]), NONE]

    unsure = await evergreen("film", "delete", *WHERE, "--scenes")
    done = await evergreen("film", "delete", *WHERE, "--scenes", "--yes")
    gone = await evergreen("film", "delete", *WHERE, "--yes")

    assert (unsure.code, unsure.stdout) == (1, "")
    assert "Delete p/f with all its files?" in unsure.stderr
    assert (done.code, done.stdout) == (0, "")
    assert done.stderr.splitlines()[0] == "p/f is deleted"
    assert "scene-1/images/locked.png" in done.stderr
    assert (gone.code, gone.stdout) == (1, "")
    assert [request.delete_scenes for request in service.requests["DeleteFilm"]] == [True, False]


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with open_sandbox() as sandbox, serving(tmp_path / "data", sandbox.url) as opened:
        yield opened


async def test_a_script_goes_all_the_way_from_its_file_to_a_film_and_back(api: Api, tmp_path: Path) -> None:
    """Over the real service: the client and the command in turn."""
    picture = tmp_path / "ada.png"
    picture.write_bytes((SAMPLES / "coffee.png").read_bytes())
    evergreen = CommandLine(api.address)

    tried = await evergreen("film", "plan", str(LAMP), *WHERE, "--dry-run")
    planned = await evergreen("film", "plan", str(LAMP), *WHERE, "--cast", f"Ada={picture}", "--output", "json")
    async with WireClient(api.address) as client:
        film = await client.films.get("p", "f")
        style = FilmEdit(settings=FilmSettings(style="ink on paper"))
        edited = await client.films.edit("p", "f", [style], plan_revision=1)
        with pytest.raises(PlanChanged) as late:
            await client.films.edit("p", "f", [style], plan_revision=1)
        with pytest.raises(InvalidRequest) as refused:
            await client.films.plan("p", "g", "")
        listed = [each async for each in client.films.list("p")]
        again = await evergreen("film", "plan", str(LAMP), *WHERE)
        deleted = await evergreen("film", "delete", *WHERE, "--scenes", "--yes")
        with pytest.raises(FilmNotFound):
            await client.films.get("p", "f")

    assert "credits  ≤ 205" in tried.stdout, tried.stderr
    assert planned.code == 0, planned.stderr
    [ada] = [member for member in film.cast if member.name.casefold() == "ada"]
    assert list(ada.assets) == ["images/ada.png"]
    assert json.loads(planned.stdout)["film"]["status"]["plan_revision"] == film.status.plan_revision == 1
    assert edited.film.settings.style == "ink on paper"
    assert (late.value.metadata["plan_revision"], {each.field for each in refused.value.violations}) == (
        "2",
        {"script"},
    )
    assert [(each.film_id, each.plan_revision) for each in listed] == [("f", 2)]
    assert (again.code, deleted.code) == (0, 0), again.stderr + deleted.stderr
    assert not (tmp_path / "data" / "projects" / "p" / "f").exists()
