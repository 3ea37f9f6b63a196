"""SIGKILL in the middle of an export of a film: the next server, or another one, makes the rest, once, for nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from evergreen.v1 import film_pb2, video_pb2
from tests.e2e.holds import PROGRAM, Holds
from tests.e2e.rig import visible
from tests.e2e.test_film_runs import CUT, TOLD, directed, jobs_of, killed, planned_start
from tests.postgres import Postgres
from tests.rpc.films import film_until
from tests.serving import Api, Control, ServerProcess

MOMENTS = ("start whole", "start committed", *CUT, *TOLD, "over committed")
TAKEN_OVER = (*CUT, *TOLD)
"""Where a replica dies that renders an export; CI tries the first."""
SOME = ("export whole",)
"""What CI tries, since the other moments are those of a run that makes everything; `make e2e` tries all."""


@pytest.fixture
async def holds(tmp_path: Path) -> AsyncIterator[Holds]:
    async with Holds(tmp_path / "held").open() as opened:
        yield opened


async def exported(api: Api, crf: int) -> video_pb2.FilmStatus:
    """The film after an export of this quality, which is begun unless it was."""
    key = {"project_id": "film", "film_id": "movie", "request_id": f"crf-{crf}"}
    asked = film_pb2.ExportFilmRequest(**key, plan_revision=1)
    asked.profiles.add(name="thin", width=90, height=160, crf=crf)
    run = (await api.film.ExportFilm(asked)).film.status.run
    status = (await film_until(api, "film", video_pb2.FILM_STATE_SUCCEEDED)).status
    assert (status.run, status.run_kind) == (run, video_pb2.FILM_RUN_KIND_EXPORT)
    return status


async def test_a_server_killed_anywhere_in_an_export_leaves_it_to_the_next(
    tmp_path: Path, sandbox: Control, holds: Holds, request: pytest.FixtureRequest
) -> None:
    every = request.config.getoption("--every-moment", default=False)
    data, changes = tmp_path / "data", {"PYTEST_HELD": str(tmp_path / "held")}
    if every:
        postgres: Postgres = request.getfixturevalue("postgres")
        changes |= {"EVERGREEN_DATABASE_URL": postgres.create(), "EVERGREEN_STORAGE_URL": data.as_uri()}
    async with ServerProcess(data, sandbox.url, changes, program=PROGRAM) as server:
        api = await server.start()
        await directed(api, await planned_start(api))
        jobs, moments = await jobs_of(api, "film"), MOMENTS if every else SOME
        for crf, moment in enumerate(moments, start=20):
            holds.at(moment)
            call = asyncio.create_task(exported(api, crf))
            await holds.reached()
            await killed(server, rendering=moment.startswith("render"))
            call.cancel()
            await asyncio.wait([call])
            api = await server.start()

            status = await exported(api, crf)

            assert (status.spent_credits, len(status.exports)) == (0, 1), moment
        assert await jobs_of(api, "film") == jobs
    # What a killed server left unfinished has another name, and goes within a day.
    assert len(visible(data / "projects" / "film" / "movie" / "exports")) == 5 * (1 + len(moments))


async def test_replicas_that_are_killed_in_the_middle_of_an_export_leave_it_to_those_that_render(
    tmp_path: Path, sandbox: Control, holds: Holds, request: pytest.FixtureRequest
) -> None:
    """One takes the calls and renders nothing; of the two others, the one that renders is killed."""
    moments = TAKEN_OVER if request.config.getoption("--every-moment", default=False) else TAKEN_OVER[:1]
    postgres: Postgres = request.getfixturevalue("postgres")
    changes = {
        "PYTEST_HELD": str(tmp_path / "held"),
        "EVERGREEN_DATABASE_URL": postgres.create(),
        "EVERGREEN_STORAGE_URL": (tmp_path / "scenes").as_uri(),
    }
    async with AsyncExitStack() as stack:
        asked, *rendering = [
            await stack.enter_async_context(
                ServerProcess(tmp_path / name, sandbox.url, {**changes, "EVERGREEN_RENDERS": renders}, program=PROGRAM)
            )
            for name, renders in (("asked", "0"), ("one", "1"), ("two", "1"))
        ]
        api, *_ = [await server.start() for server in (asked, *rendering)]
        await directed(api, await planned_start(api))
        jobs = await jobs_of(api, "film")
        folders = dict(zip(rendering, ("one", "two"), strict=True))
        for crf, moment in enumerate(moments, start=20):
            holds.at(moment)
            call = asyncio.create_task(exported(api, crf))
            pid = await holds.reached()
            [dead] = [server for server in rendering if server.pid == pid]
            await killed(dead, rendering=moment.startswith("render"))

            status = await call

            assert (status.spent_credits, len(status.exports)) == (0, 1), moment
            assert "NO_RENDERER" not in {warning.code for warning in status.warnings}
            await dead.start()
            # Its own temporary folder, which is another one for each process.
            left = (tmp_path / folders[dead] / "state" / "temp").glob("*/films/*")
            assert list(left) == [], moment
        assert await jobs_of(api, "film") == jobs
    assert len(visible(tmp_path / "scenes" / "projects" / "film" / "movie" / "exports")) == 5 * (1 + len(moments))
    assert not (tmp_path / "asked" / "state" / "render").exists()
