"""SIGKILL between any two steps of a plan, an edit and a deletion: the call that is repeated completes it, once."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from evergreen.v1 import film_pb2, scene_pb2
from tests.e2e.conftest import SomeMoments
from tests.e2e.holds import PROGRAM, Holds
from tests.postgres import Postgres
from tests.rpc.films import LAMP, edited, film_of, films_of, plan_request, planned
from tests.rpc.refusals import metadata_of, refusal
from tests.serving import SAMPLES, Api, Control, ServerProcess, reason_of

MOMENTS = {
    "publish .fountain": (False, False),
    "plan whole": (True, False),
    "plan committed": (True, True),
}
"""Where the server dies. Beside each, whether the script is there by then, and whether the plan is."""


EDITS = {"plan whole": False, "plan committed": True}
"""Beside each, whether the edit is made by then."""
ENDS = ("unmark whole", "unmark committed", "end whole", "end committed")
"""The first folder is gone, and its mark is not yet; it is; the film's rows are still there; they are not."""


@pytest.fixture
async def holds(tmp_path: Path) -> AsyncIterator[Holds]:
    async with Holds(tmp_path / "held").open() as opened:
        yield opened


def _changes(tmp_path: Path, request: pytest.FixtureRequest, database: str) -> dict[str, str]:
    changes = {"PYTEST_HELD": str(tmp_path / "held")}
    if database == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        url = (tmp_path / "data").as_uri()
        changes |= {"EVERGREEN_DATABASE_URL": postgres.create(), "EVERGREEN_STORAGE_URL": url}
    return changes


async def _plan(api: Api, plan: film_pb2.PlanFilmRequest) -> film_pb2.PlanFilmResponse:
    return await api.film.PlanFilm(plan)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_a_server_killed_between_any_two_steps_of_a_plan_makes_it_once(
    tmp_path: Path,
    sandbox: Control,
    holds: Holds,
    request: pytest.FixtureRequest,
    database: str,
    moments: SomeMoments[str],
) -> None:
    data, changes = tmp_path / "data", _changes(tmp_path, request, database)
    async with ServerProcess(data, sandbox.url, changes, program=PROGRAM) as server:
        api = await server.start()
        for moment in moments(MOMENTS, database):
            written, recorded = MOMENTS[moment]
            project = moment.replace(" ", "-").replace(".", "")
            plan = plan_request(project_id=project, script=LAMP)
            holds.at(moment)
            broken = asyncio.create_task(_plan(api, plan))
            await holds.reached()
            scripts = list((data / "projects" / project).rglob("script-*.fountain"))
            await server.end(signal.SIGKILL)
            with pytest.raises(grpc.aio.AioRpcError):
                await broken

            api = await server.start()
            before = await films_of(api, project)
            answer = await api.film.PlanFilm(plan)

            assert (bool(scripts), bool(before)) == (written, recorded)
            assert answer.film.status.plan_revision == 1
            assert await film_of(api, project) == answer.film
            assert [path.name for path in (data / "projects" / project).rglob("script-*")] == [
                Path(answer.film.script_asset).name
            ]


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_a_server_killed_in_an_edit_has_made_all_of_it_or_nothing(
    tmp_path: Path,
    sandbox: Control,
    holds: Holds,
    request: pytest.FixtureRequest,
    database: str,
    moments: SomeMoments[str],
) -> None:
    edits = [film_pb2.FilmEdit(delete_scene_id="scene-1"), film_pb2.FilmEdit(move_scene={"scene_id": "scene-5"})]
    changes = _changes(tmp_path, request, database)
    async with ServerProcess(tmp_path / "data", sandbox.url, changes, program=PROGRAM) as server:
        api = await server.start()
        for moment in moments(EDITS, database):
            done = EDITS[moment]
            project = moment.replace(" ", "-")
            await planned(api, project_id=project, script=LAMP)
            holds.at(moment)
            broken = asyncio.create_task(edited(api, project, 1, *edits))
            await holds.reached()
            await server.end(signal.SIGKILL)
            with pytest.raises(grpc.aio.AioRpcError):
                await broken

            api = await server.start()
            before = await film_of(api, project)
            if done:
                error = await refusal(edited(api, project, 1, *edits))
                assert (reason_of(error), metadata_of(error)) == ("PLAN_CHANGED", {"plan_revision": "2"})
            else:
                await edited(api, project, 1, *edits)
            after = await film_of(api, project)

            assert before.status.plan_revision == 1 + done
            assert after.status.plan_revision == 2
            assert [each.scene.scene_id for each in after.scenes] == ["scene-5", "scene-2", "scene-3", "scene-4"]


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_a_deletion_of_a_film_that_is_killed_is_finished_by_the_next_call(
    tmp_path: Path,
    sandbox: Control,
    holds: Holds,
    request: pytest.FixtureRequest,
    database: str,
    moments: SomeMoments[str],
) -> None:
    changes = _changes(tmp_path, request, database)
    async with ServerProcess(tmp_path / "data", sandbox.url, changes, program=PROGRAM) as server:
        api = await server.start()
        for moment in moments(ENDS, database):
            project = moment.replace(" ", "-")
            folder = tmp_path / "data" / "projects" / project
            await planned(api, project_id=project, script=LAMP)
            for scene_id in ("scene-2", "scene-4", "kept"):
                await _upload(api, project, scene_id)
            deletion = film_pb2.DeleteFilmRequest(project_id=project, film_id="movie", delete_scenes=True)
            holds.at(moment)
            broken = asyncio.create_task(_delete(api, deletion))
            await holds.reached()
            await server.end(signal.SIGKILL)
            with pytest.raises(grpc.aio.AioRpcError):
                await broken

            api = await server.start()
            left = [film.film_id for film in await films_of(api, project)]
            if left:
                await _delete(api, deletion)

            assert left == ([] if moment == "end committed" else ["movie"])
            assert await films_of(api, project) == []
            assert {path.name for path in folder.iterdir() if path.is_dir()} == {"kept"}
            assert (await planned(api, project_id=project, script=LAMP)).film.status.plan_revision == 1


async def _delete(api: Api, deletion: film_pb2.DeleteFilmRequest) -> film_pb2.DeleteFilmResponse:
    return await api.film.DeleteFilm(deletion)


async def _upload(api: Api, project: str, scene_id: str) -> None:
    async def body() -> AsyncIterator[scene_pb2.UploadAssetRequest]:
        info = scene_pb2.UploadInfo(project_id=project, scene_id=scene_id, path="images/a.png")
        yield scene_pb2.UploadAssetRequest(info=info)
        yield scene_pb2.UploadAssetRequest(chunk=(SAMPLES / "coffee.png").read_bytes())

    await api.scene.UploadAsset(body())
