"""SIGKILL in the middle of a film: the next server, or the other replica, makes the rest, and pays nothing twice."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from evergreen.v1 import film_pb2, video_pb2
from tests.e2e.conftest import SomeMoments
from tests.e2e.holds import PROGRAM, Holds
from tests.postgres import Postgres
from tests.rpc.films import SHORT, approved, film_until, outputs_of, planned, start_request
from tests.serving import ALL_KINDS, Api, Control, ServerProcess

SUCCEEDED = video_pb2.FILM_STATE_SUCCEEDED
AWAITS = video_pb2.FILM_STATE_AWAITING_APPROVAL
MOMENTS = (
    "start committed",
    "children committed",
    "output whole",
    "approval committed",
    "over whole",
)
"""Where the server dies, from the start of a run to its end; see `held`."""
CUT = ("export committed", "publish .vtt", "publish .json")
"""Where it dies on the way from the clips to the exports."""
SMALL = film_pb2.FilmSettings(profiles=[film_pb2.ExportProfile(name="small", width=160, height=90)])


@pytest.fixture
async def holds(tmp_path: Path) -> AsyncIterator[Holds]:
    async with Holds(tmp_path / "held").open() as opened:
        yield opened


async def _start(api: Api, request: film_pb2.StartFilmRequest) -> film_pb2.StartFilmResponse:
    return await api.film.StartFilm(request)


async def jobs_of(api: Api, project: str) -> list[video_pb2.Job]:
    asked = video_pb2.ListVideosRequest(project_id=project, page_size=200, kinds=ALL_KINDS)
    return list((await api.video.ListVideos(asked)).jobs)


async def check(api: Api, sandbox: Control, project: str, film: film_pb2.Film) -> None:
    """All is there, each output by one job, and our books are those of the provider."""
    outputs, jobs = outputs_of(film), await jobs_of(api, project)
    assert {output.currency for output in outputs.values()} == {film_pb2.CURRENCY_CURRENT}
    assert {output.take for output in outputs.values()} == {1}
    assert sorted(job.job_id for job in jobs) == sorted(output.job_id for output in outputs.values())
    assert {job.state for job in jobs} == {video_pb2.JOB_STATE_SUCCEEDED}
    tasks = {task["id"]: task["chargedCredits"] for task in await sandbox.tasks()}
    ours = {job.provider_task_id: job.charged_credits for job in jobs}
    assert {task: tasks[task] for task in ours} == ours
    assert film.status.spent_credits == sum(ours.values()) <= film.status.max_credits
    assert film.status.reserved_credits == 0


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_a_server_killed_anywhere_in_a_film_leaves_it_to_the_next(
    tmp_path: Path,
    sandbox: Control,
    holds: Holds,
    request: pytest.FixtureRequest,
    database: str,
    moments: SomeMoments[str],
) -> None:
    data, changes = tmp_path / "data", {"HELD": str(tmp_path / "held")}
    if database == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        changes |= {"EVERGREEN_DATABASE_URL": postgres.create(), "EVERGREEN_STORAGE_URL": data.as_uri()}
    async with ServerProcess(data, sandbox.url, changes, program=PROGRAM) as server:
        api = await server.start()
        for moment in moments(MOMENTS, database):
            project = moment.replace(" ", "-")
            film = (await planned(api, project_id=project, script=SHORT)).film
            start = start_request(project, max_credits=film.quote.credits, gates=[video_pb2.FILM_GATE_STORYBOARD])
            if moment.startswith(("approval", "over")):
                await _start(api, start)
                waiting = (await film_until(api, project, AWAITS)).status
                holds.at(moment)
                call = asyncio.create_task(approved(api, waiting))
            else:
                holds.at(moment)
                call = asyncio.create_task(_start(api, start))
            await holds.reached()
            await server.end(signal.SIGKILL)
            await asyncio.wait([call])
            assert (call.exception() is None) is not moment.startswith(("start", "approval"))

            api = await server.start()
            assert (await _start(api, start)).film.status.run == 1
            now = await film_until(api, project, AWAITS, SUCCEEDED)
            if now.status.state == AWAITS:
                await approved(api, now.status)
            await check(api, sandbox, project, await film_until(api, project, SUCCEEDED))


async def test_a_server_killed_anywhere_on_the_way_to_the_exports_makes_each_once(
    tmp_path: Path, sandbox: Control, holds: Holds
) -> None:
    data, changes = tmp_path / "data", {"HELD": str(tmp_path / "held")}
    async with ServerProcess(data, sandbox.url, changes, program=PROGRAM) as server:
        api = await server.start()
        for moment in CUT:
            project = moment.replace(" ", "-").replace(".", "")
            await planned(api, project_id=project, script=SHORT, settings=SMALL)
            start = start_request(project, stop_after=0, gates=[video_pb2.FILM_GATE_CLIPS])
            await _start(api, start)
            waiting = (await film_until(api, project, AWAITS)).status
            holds.at(moment)
            await approved(api, waiting)
            await holds.reached()
            await server.end(signal.SIGKILL)

            api = await server.start()
            film = await film_until(api, project, SUCCEEDED)

            await check(api, sandbox, project, film)
            folder = data / "projects" / project / "movie" / "exports"
            names = [path.suffix for path in folder.iterdir() if not path.name.startswith(".")]
            assert sorted(names) == [".json", ".mp4", ".otio", ".srt", ".vtt"], moment


async def test_a_killed_replicas_films_are_taken_over(
    tmp_path: Path, sandbox: Control, request: pytest.FixtureRequest
) -> None:
    postgres: Postgres = request.getfixturevalue("postgres")
    changes = {"EVERGREEN_DATABASE_URL": postgres.create(), "EVERGREEN_STORAGE_URL": (tmp_path / "scenes").as_uri()}
    await sandbox.settings(task_mean_seconds=300.0)
    async with (
        ServerProcess(tmp_path / "one", sandbox.url, changes) as killed,
        ServerProcess(tmp_path / "two", sandbox.url, changes) as other,
    ):
        first = await killed.start()
        await planned(first, project_id="film", script=SHORT)
        await _start(first, start_request("film"))
        await sandbox.called("text_to_image", times=2)
        second = await other.start()

        await killed.end(signal.SIGKILL)

        await check(second, sandbox, "film", await film_until(second, "film", SUCCEEDED))
