"""Films over the whole service, on both databases: plans that replace one another, and what is refused."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from uuid import uuid4

import grpc
import pytest
import pytest_asyncio

from evergreen.v1 import film_pb2, scene_pb2, video_pb2
from tests.postgres import Postgres
from tests.rpc.films import (
    LAMP,
    SCRIPTS,
    SHORT,
    edited,
    film_of,
    films_of,
    plan_request,
    planned,
    scene_ids_of,
)
from tests.rpc.refusals import invalid, metadata_of, refusal
from tests.serving import SAMPLES, Api, Control, open_sandbox, reason_of, request, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHANGED = (grpc.StatusCode.ABORTED, "PLAN_CHANGED")
TAKEN = (grpc.StatusCode.ALREADY_EXISTS, "SCENE_TAKEN")
NO_FILM = (grpc.StatusCode.NOT_FOUND, "FILM_NOT_FOUND")


class Place:
    """A server, and where its scenes lie."""

    def __init__(self, api: Api, sandbox: Control, projects: Path) -> None:
        self.api = api
        self.sandbox = sandbox
        self.projects = projects


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sqlite", "postgresql"])
async def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    data, changes = tmp_path_factory.mktemp("films"), dict[str, str]()
    if request.param == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        changes = {"EVERGREEN_DATABASE_URL": postgres.create(), "EVERGREEN_STORAGE_URL": data.as_uri()}
    async with open_sandbox() as sandbox, serving(data, sandbox.url, **changes) as api:
        yield Place(api, sandbox, data / "projects")


@pytest.fixture
def api(place: Place) -> Api:
    return place.api


@pytest.fixture
def project() -> str:
    """A project of its own for each test, since they share the server."""
    return f"p-{uuid4().hex[:12]}"


async def refused(call: Awaitable[object]) -> tuple[grpc.StatusCode, str]:
    error = await refusal(call)
    return error.code(), reason_of(error)


@pytest.mark.parametrize(("name", "credits"), [("the-lamp.fountain", 205), ("the-orchard.av.txt", 289)])
async def test_a_sample_is_planned_quoted_and_kept(place: Place, project: str, name: str, credits: float) -> None:
    script = (SCRIPTS / name).read_text()

    answer = await planned(place.api, project_id=project, script=script)

    film = answer.film
    assert film.quote.credits == credits
    assert list(answer.changes.added) == scene_ids_of(film) == [f"scene-{number}" for number in range(1, 6)]
    assert (film.status.state, film.status.plan_revision) == (video_pb2.FILM_STATE_PLANNED, 1)
    assert (place.projects / project / "movie" / film.script_asset).read_text() == script
    assert film.script_asset.startswith("metadata/script-")
    assert sum(item.credits for item in film.quote.items) == credits
    outputs = [output for each in film.scenes for shot in each.shots for output in shot.outputs]
    assert {output.currency for output in outputs} == {film_pb2.CURRENCY_MISSING}
    assert answer.next_page_token == ""
    assert await film_of(place.api, project) == film
    assert await films_of(place.api, project) == [_listed(film)]
    assert await place.sandbox.tasks() == []


def _listed(film: film_pb2.Film) -> video_pb2.FilmStatus:
    status = video_pb2.FilmStatus()
    status.CopyFrom(film.status)
    status.ClearField("warnings")
    return status


async def test_a_plan_that_is_only_validated_leaves_nothing(place: Place, project: str) -> None:
    answer = await planned(place.api, project_id=project, script=LAMP, validate_only=True)

    assert answer.film.quote.credits == 205
    assert await films_of(place.api, project) == []
    assert not (place.projects / project).exists()
    assert await refused(film_of(place.api, project)) == NO_FILM


async def test_the_same_request_gives_the_same_plan_and_another_body_is_refused(api: Api, project: str) -> None:
    request = plan_request(project_id=project)
    first = await api.film.PlanFilm(request)
    again = await asyncio.gather(*(api.film.PlanFilm(request) for _ in range(5)))
    await edited(api, project, 1, film_pb2.FilmEdit(settings=film_pb2.FilmSettings(style="ink")))

    late = await api.film.PlanFilm(request)
    request.script += "\nThe end.\n"
    error = await refusal(api.film.PlanFilm(request))

    assert again == [first] * 5
    assert late.film.scenes == first.film.scenes
    assert (late.film.status.plan_revision, late.changes) == (1, first.changes)
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert metadata_of(error) == {"film_id": "movie"}


async def test_of_requests_that_come_at_once_one_makes_the_plan(api: Api, project: str) -> None:
    same = plan_request(project_id=project)
    answers = await asyncio.gather(*(api.film.PlanFilm(same) for _ in range(5)))
    others = [plan_request(project_id=project, script=SHORT + f"\nA {word}.\n", plan_revision=1) for word in "abcde"]
    results = await asyncio.gather(*map(api.film.PlanFilm, others), return_exceptions=True)

    lost = [error for error in results if isinstance(error, grpc.aio.AioRpcError)]

    assert [answer.film.status.plan_revision for answer in answers] == [1] * 5
    assert len(lost) == 4
    assert {(error.code(), reason_of(error)) for error in lost} == {CHANGED}
    assert [metadata_of(error)["plan_revision"] for error in lost] == ["2"] * 4
    assert (await film_of(api, project)).status.plan_revision == 2


async def test_a_plan_replaces_the_one_that_it_names_and_keeps_what_goes_on(place: Place, project: str) -> None:
    api = place.api
    first = (await planned(api, project_id=project)).film
    other = SHORT.replace("A kettle boils over.", "INT. HALL - DAY\n\nA clock strikes.").replace(
        "red chair", "blue chair"
    )

    stale = await refusal(planned(api, project_id=project, script=other))
    ahead = await refused(planned(api, project_id=project, script=other, plan_revision=7))
    missing = await refused(planned(api, project_id=project, film_id="none", plan_revision=1))
    second = await planned(api, project_id=project, script=other, plan_revision=1)

    assert (stale.code(), reason_of(stale), metadata_of(stale)) == (*CHANGED, {"plan_revision": "1"})
    assert ahead == CHANGED
    assert missing == NO_FILM
    assert second.film.status.plan_revision == 2
    assert set(second.changes.kept) | set(second.changes.changed) <= set(scene_ids_of(first))
    assert list(second.changes.added) == ["scene-3"]
    assert second.film.script_asset != first.script_asset
    assert {path.name for path in (place.projects / project / "movie" / "metadata").glob("script-*")} == {
        Path(film.script_asset).name for film in (first, second.film)
    }
    assert (await film_of(api, project, plan_revision=1)).scenes == first.scenes
    assert await refused(film_of(api, project, plan_revision=3)) == (grpc.StatusCode.NOT_FOUND, "PLAN_NOT_FOUND")


async def test_every_fault_of_the_script_and_of_the_settings_is_named_at_once(api: Api, project: str) -> None:
    script = "INT. HALL - DAY\n\nA [[note.\n\x07\n\nANNA (\nHello.\n"
    settings = film_pb2.FilmSettings(aspect="17:1", clip_model="none", candidates=9)

    error = await refusal(planned(api, project_id=project, script=script, request_id="a b", settings=settings))

    named = _violations(error)
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert any(text.startswith("line 4, column 1: ") for text in named["script"])
    assert {"request_id", "settings.candidates"} <= named.keys()
    assert await films_of(api, project) == []


def _violations(error: grpc.aio.AioRpcError) -> dict[str, list[str]]:
    from google.rpc import error_details_pb2

    from tests.serving import detail_of

    named: dict[str, list[str]] = {}
    for violation in detail_of(error, error_details_pb2.BadRequest()).field_violations:
        named.setdefault(violation.field, []).append(violation.description)
    return named


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"project_id": "no/project"}, "project_id"),
        ({"film_id": "CON"}, "film_id"),
        ({"film_id": ""}, "film_id"),
        ({"request_id": ""}, "request_id"),
        ({"plan_revision": -1}, "plan_revision"),
        ({"format": 99}, "format"),
        ({"settings": film_pb2.FilmSettings(timing=7)}, "settings.timing"),
        ({"settings": film_pb2.FilmSettings(scene_prefix="../a")}, "settings.scene_prefix"),
        ({"settings": film_pb2.FilmSettings(picture_model="none")}, "settings.picture_model"),
        ({"settings": film_pb2.FilmSettings(transition=film_pb2.Transition(kind=9))}, "settings.transition.kind"),
        ({"settings": film_pb2.FilmSettings(music="audio/none.mp3")}, "settings.music"),
        ({"settings": film_pb2.FilmSettings(profiles=[{"name": "wide", "fit": 8}])}, "settings.profiles[0].fit"),
        ({"settings": film_pb2.FilmSettings(profiles=[{"name": "odd", "width": 3}])}, "settings.profiles[0].width"),
        ({"cast": [film_pb2.CastMember(name="Anna", assets=["images/none.png"])]}, "cast[0].assets[0]"),
        ({"cast": [film_pb2.CastMember(name="Anna", assets=["../none.png"])]}, "cast[0].assets[0]"),
        ({"film_id": "scene-3"}, "settings.scene_prefix"),
    ],
)
async def test_what_is_wrong_with_a_request_is_named_by_its_field(
    api: Api, project: str, fields: dict[str, object], field: str
) -> None:
    assert field in await invalid(planned(api, **{"project_id": project, **fields}))
    assert await films_of(api, project) == []


async def test_pictures_of_the_cast_must_be_there_when_they_are_named(api: Api, project: str) -> None:
    cast = [film_pb2.CastMember(name="Anna", assets=["images/anna.png"], description="tall")]
    assert list(await invalid(planned(api, project_id=project, cast=cast))) == ["cast[0].assets[0]"]
    await _upload(api, project, "images/anna.png")

    film = (await planned(api, project_id=project, cast=cast)).film

    assert list(film.cast[0].assets) == ["images/anna.png"]
    await api.scene.DeleteAsset(
        scene_pb2.DeleteAssetRequest(project_id=project, scene_id="movie", path="images/anna.png")
    )
    other = film_pb2.FilmEdit(settings=film_pb2.FilmSettings(style="ink"))
    assert (await edited(api, project, 1, other)).film.status.plan_revision == 2
    again = film_pb2.FilmEdit(cast=film_pb2.CastMember(name="Ben", assets=["images/ben.png"]))
    assert list(await invalid(edited(api, project, 2, other, again))) == ["edits[1].cast.assets[0]"]


async def _upload(api: Api, project: str, path: str, scene_id: str = "movie") -> None:
    async def body() -> AsyncIterator[scene_pb2.UploadAssetRequest]:
        yield scene_pb2.UploadAssetRequest(info=scene_pb2.UploadInfo(project_id=project, scene_id=scene_id, path=path))
        yield scene_pb2.UploadAssetRequest(chunk=(SAMPLES / "coffee.png").read_bytes())

    await api.scene.UploadAsset(body())


async def test_scenes_with_jobs_are_taken_and_so_are_those_of_another_film(place: Place, project: str) -> None:
    api = place.api
    for scene_id in ("own", "shot-2"):
        await api.finished((await api.video.GenerateVideo(request(project_id=project, scene_id=scene_id))).job.job_id)
    await planned(api, project_id=project, film_id="first-7", settings=film_pb2.FilmSettings(scene_prefix="part"))

    async def taken(**fields: object) -> str:
        error = await refusal(planned(api, project_id=project, **fields))
        assert (error.code(), reason_of(error)) == TAKEN
        return metadata_of(error)["scene_id"]

    assert await taken(film_id="own") == "own"
    assert await taken(settings=film_pb2.FilmSettings(scene_prefix="shot")) == "shot-2"
    assert await taken(settings=film_pb2.FilmSettings(scene_prefix="part")) == "part-1"
    assert await taken(settings=film_pb2.FilmSettings(scene_prefix="PART")) == "PART-1"
    assert await taken(film_id="part-9") == "part-9"
    assert await taken(film_id="Part-1") == "Part-1"
    assert await taken(film_id="own", validate_only=True) == "own"
    script = "".join(f"INT. ROOM {number} - DAY\n\nIt rains.\n\n" for number in range(8))
    assert await taken(script=script, settings=film_pb2.FilmSettings(scene_prefix="first")) == "first-7"
    assert [film.film_id for film in await films_of(api, project)] == ["first-7"]
    assert not (place.projects / project / "movie").exists()


async def test_the_prefix_of_a_films_scenes_stays(api: Api, project: str) -> None:
    await planned(api, project_id=project)
    other = film_pb2.FilmSettings(scene_prefix="other")

    assert list(await invalid(planned(api, project_id=project, plan_revision=1, settings=other))) == [
        "settings.scene_prefix"
    ]
    assert list(await invalid(edited(api, project, 1, film_pb2.FilmEdit(settings=other)))) == [
        "edits[0].settings.scene_prefix"
    ]


async def test_edits_change_the_plan_that_was_read_all_or_none(api: Api, project: str) -> None:
    film = (await planned(api, project_id=project)).film
    shot = film_pb2.ShotPlan()
    shot.CopyFrom(film.scenes[0].scene.shots[0])
    shot.picture_prompt = "A silver kettle."
    good = film_pb2.FilmEdit(replace_shot=shot)
    bad = film_pb2.FilmEdit(delete_scene_id="scene-9")

    unread = await invalid(edited(api, project, 1, good, bad, film_pb2.FilmEdit()))
    wrong = await invalid(edited(api, project, 1, good, bad, film_pb2.FilmEdit(delete_scene_id="scene-8")))
    tried = await edited(api, project, 1, good, validate_only=True)
    kept = await film_of(api, project)
    done = await edited(api, project, 1, good)
    stale = await refusal(edited(api, project, 1, good))

    assert list(unread) == ["edits[2]"]
    assert wrong == {
        "edits[1].delete_scene_id": "The film has no scene 'scene-9'.",
        "edits[2].delete_scene_id": "The film has no scene 'scene-8'.",
    }
    assert kept == film
    assert (tried.film.status.plan_revision, done.film.status.plan_revision) == (2, 2)
    for answer in (tried, done):
        assert answer.film.scenes[0].scene.shots == [shot]
        assert answer.film.scenes[1:] == film.scenes[1:]
        assert answer.changes == film_pb2.FilmChanges(changed=["scene-1"], kept=["scene-2"])
    assert (stale.code(), reason_of(stale), metadata_of(stale)) == (*CHANGED, {"plan_revision": "2"})
    assert await film_of(api, project) == done.film
    assert await film_of(api, project, plan_revision=1) == _with_revision(film, 1, done.film)
    assert await refused(edited(api, project, 1, good, film_id="none")) == NO_FILM


def _with_revision(film: film_pb2.Film, plan_revision: int, newest: film_pb2.Film) -> film_pb2.Film:
    """An older plan of a film as it is read when there is a newer one."""
    older = film_pb2.Film()
    older.CopyFrom(film)
    older.status.plan_revision = plan_revision
    older.status.update_time.CopyFrom(newest.status.update_time)
    return older


async def test_an_edit_whose_output_or_enum_is_unknown_is_named(api: Api, project: str) -> None:
    await planned(api, project_id=project)
    redo = film_pb2.FilmEdit(redo=film_pb2.ShotRedo(shot_id="scene-1.1", output="smell"))
    camera = film_pb2.FilmEdit(replace_shot=film_pb2.ShotPlan(shot_id="scene-1.1", camera=77))

    faults = await invalid(edited(api, project, 1, redo, camera))

    assert faults.keys() == {"edits[0].redo.output", "edits[1].replace_shot.camera"}


async def test_a_new_scene_of_an_edit_is_taken_if_it_has_jobs(api: Api, project: str) -> None:
    film = (await planned(api, project_id=project)).film
    await api.finished((await api.video.GenerateVideo(request(project_id=project, scene_id="scene-3"))).job.job_id)
    scene = film_pb2.ScenePlan(title="New", shots=[film_pb2.ShotPlan(picture_prompt="A door.", seconds=4)])

    error = await refusal(edited(api, project, 1, film_pb2.FilmEdit(insert_scene=scene, after_id="scene-2")))

    assert (error.code(), reason_of(error), metadata_of(error)) == (*TAKEN, {"scene_id": "scene-3"})
    assert (await film_of(api, project)).scenes == film.scenes


async def test_some_scenes_can_be_read_alone(api: Api, project: str) -> None:
    await planned(api, project_id=project, script=LAMP)

    film = await film_of(api, project, scene_ids=["scene-4", "scene-2"])

    assert scene_ids_of(film) == ["scene-2", "scene-4"]
    assert {item.shot_id.split(".")[0] for item in film.quote.items} == {"scene-2", "scene-4"}
    assert film.quote.credits == 205
    assert await invalid(film_of(api, project, scene_ids=["scene-1", "scene-9"])) == {
        "scene_ids[1]": "the plan has no such scene"
    }
    assert list(await invalid(film_of(api, project, page_token="nonsense"))) == ["page_token"]


async def test_films_are_listed_in_pages(api: Api, project: str) -> None:
    for number in range(5):
        settings = film_pb2.FilmSettings(scene_prefix=f"f{number}")
        await planned(api, project_id=project, film_id=f"film{number}", settings=settings)
    found, token = list[str](), ""
    for _ in range(3):
        page = await api.film.ListFilms(
            film_pb2.ListFilmsRequest(
                project_id=project, page_size=2, page_token=token, states=[video_pb2.FILM_STATE_PLANNED]
            )
        )
        found += [film.film_id for film in page.films]
        token = page.next_page_token

    assert found == [f"film{number}" for number in range(5)]
    assert token == ""
    assert await films_of(api, "nobody") == []
    assert list(await invalid(films_of(api, project, states=[0], page_size=-1, page_token="x"))) == [
        "page_size",
        "states[0]",
        "page_token",
    ]


async def test_a_film_is_deleted_alone_or_with_its_folders(place: Place, project: str) -> None:
    api, folder = place.api, place.projects / project
    request = plan_request(project_id=project)
    await api.film.PlanFilm(request)
    for scene_id in ("scene-1", "kept"):
        await _upload(api, project, "images/a.png", scene_id)

    await _delete(api, project)
    after = {path.name for path in folder.iterdir() if path.is_dir()}
    late = await refusal(api.film.PlanFilm(request))
    await planned(api, project_id=project)
    later = await refused(api.film.PlanFilm(request))
    await _delete(api, project, delete_scenes=True)

    assert after == {"movie", "scene-1", "kept"}
    assert (late.code(), reason_of(late)) == (grpc.StatusCode.ALREADY_EXISTS, "PLAN_DELETED")
    assert metadata_of(late) == {"film_id": "movie"}
    assert later == (grpc.StatusCode.ALREADY_EXISTS, "PLAN_DELETED")
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {"kept"}
    assert await refused(_delete(api, project)) == NO_FILM


async def _delete(api: Api, project: str, **fields: object) -> film_pb2.DeleteFilmResponse:
    return await api.film.DeleteFilm(film_pb2.DeleteFilmRequest(project_id=project, film_id="movie", **fields))


async def test_a_film_with_a_job_under_way_keeps_all_of_its_folders(place: Place, project: str) -> None:
    api, folder = place.api, place.projects / project
    await planned(api, project_id=project)
    await _upload(api, project, "images/a.png", "scene-1")
    await place.sandbox.fault("throttle", operation="create", prompt=project, seconds=10_000, count=None)
    busy = request(project_id=project, scene_id="scene-2", prompt_text=project)
    job = (await api.video.GenerateVideo(busy)).job

    error = await refusal(_delete(api, project, delete_scenes=True))

    assert (error.code(), reason_of(error)) == (grpc.StatusCode.FAILED_PRECONDITION, "SCENE_BUSY")
    assert metadata_of(error) == {"job_id": job.job_id}
    assert (folder / "scene-1" / "images" / "a.png").exists()
    assert (await film_of(api, project)).status.plan_revision == 1
    await _delete(api, project)
    assert await films_of(api, project) == []


async def test_a_film_whose_folder_was_deleted_is_read_and_planned_again(place: Place, project: str) -> None:
    api, folder = place.api, place.projects / project / "movie"
    film = (await planned(api, project_id=project)).film
    await api.scene.DeleteScene(scene_pb2.DeleteSceneRequest(project_id=project, scene_id="movie"))

    read = await film_of(api, project)
    again = await planned(api, project_id=project, plan_revision=1)

    assert read == film
    assert list(again.changes.kept) == scene_ids_of(film)
    assert (folder / film.script_asset).read_text() == SHORT


async def test_a_storage_that_does_not_answer_leaves_nothing_recorded(place: Place, project: str) -> None:
    place.projects.mkdir(exist_ok=True)
    # No folder can be made in the place of a file.
    (place.projects / project).write_text("in the way")

    refusal_of = await refused(planned(place.api, project_id=project))
    (place.projects / project).unlink()

    assert refusal_of == (grpc.StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE")
    assert await films_of(place.api, project) == []
    assert (await planned(place.api, project_id=project)).film.status.plan_revision == 1


async def test_scripts_go_with_the_last_plan_that_names_them(place: Place, project: str) -> None:
    """Plans are kept by twenty; edits are plans as well."""
    api, folder = place.api, place.projects / project / "movie" / "metadata"
    scripts = [SHORT.replace("Snow", f"Snow {number}") for number in range(3)]
    for number, script in enumerate(scripts):
        film = (await planned(api, project_id=project, script=script, plan_revision=number)).film
    first = sorted(path.name for path in folder.glob("script-*"))
    for number in range(19):
        style = film_pb2.FilmEdit(settings=film_pb2.FilmSettings(style=f"ink {number}"))
        await edited(api, project, 3 + number, style)

    assert len(first) == 3
    assert [f"metadata/{path.name}" for path in folder.glob("script-*")] == [film.script_asset]
    assert (folder.parent / film.script_asset).read_text() == scripts[-1]


async def test_a_script_that_comes_back_has_a_file_that_nobody_is_removing(place: Place, project: str) -> None:
    """A call that has recorded a plan removes the scripts that none names any more, and may be late with that."""
    api, folder = place.api, place.projects / project / "movie"
    other = SHORT.replace("Snow", "Rain")
    first = (await planned(api, project_id=project)).film
    again = (await planned(api, project_id=project, plan_revision=1)).film
    second = (await planned(api, project_id=project, script=other, plan_revision=2)).film
    third = (await planned(api, project_id=project, plan_revision=3)).film
    style = film_pb2.FilmEdit(settings=film_pb2.FilmSettings(style="ink"))
    edit = (await edited(api, project, 4, style)).film

    assert again.script_asset == first.script_asset
    assert third.script_asset not in (first.script_asset, second.script_asset)
    assert edit.script_asset == third.script_asset
    (folder / first.script_asset).unlink()
    assert (folder / edit.script_asset).read_text() == SHORT
    assert (await planned(api, project_id=project, plan_revision=5)).film.script_asset == edit.script_asset
