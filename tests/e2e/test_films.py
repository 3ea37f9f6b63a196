"""SIGKILL between any two steps of a plan: the request that is repeated makes it once, with its script in place."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from evergreen.v1 import film_pb2
from tests.e2e.holds import PROGRAM, Holds
from tests.postgres import Postgres
from tests.rpc.films import LAMP, film_of, films_of, plan_request
from tests.serving import Api, Control, ServerProcess

MOMENTS = {
    "publish .fountain": (False, False),
    "plan whole": (True, False),
    "plan committed": (True, True),
}
"""Where the server dies. Beside each, whether the script is there by then, and whether the plan is."""


@pytest.fixture
async def holds(tmp_path: Path) -> AsyncIterator[Holds]:
    async with Holds(tmp_path / "held").open() as opened:
        yield opened


async def _plan(api: Api, plan: film_pb2.PlanFilmRequest) -> film_pb2.PlanFilmResponse:
    return await api.film.PlanFilm(plan)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_a_server_killed_between_any_two_steps_of_a_plan_makes_it_once(
    tmp_path: Path, sandbox: Control, holds: Holds, request: pytest.FixtureRequest, database: str
) -> None:
    data, changes = tmp_path / "data", {"HELD": str(tmp_path / "held")}
    if database == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        changes |= {"EVERGREEN_DATABASE_URL": postgres.create(), "EVERGREEN_STORAGE_URL": data.as_uri()}
    async with ServerProcess(data, sandbox.url, changes, program=PROGRAM) as server:
        api = await server.start()
        for moment, (written, recorded) in MOMENTS.items():
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
