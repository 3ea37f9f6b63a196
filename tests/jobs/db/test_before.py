"""What a server of the release before may write, on one database with this one, of a job that it cannot run."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.schema import jobs
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.model.transitions import run_again
from evergreen_server.jobs.store.jobs import JobStore
from evergreen_server.ports.specs import GenerationSpec, Media, Operation, Role
from tests.jobs.tools import request_at, store_of
from tests.postgres import Postgres

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SPECS = {
    "picture": GenerationSpec(operation=Operation.TEXT_TO_IMAGE, model="gen4_image", prompt_text="secret", ratio="1:1"),
    "clip from another scene": GenerationSpec(
        model="gen4.5",
        prompt_text="secret",
        media=(Media(role=Role.FIRST_FRAME, asset="images/a.png", scene_id="cast"),),
    ),
}
CLIP = GenerationSpec(model="gen4.5", prompt_text="a")
STARTS: dict[str, dict[str, object]] = {
    "again": {"run": jobs.c.run + 1},
    "a further attempt": {"attempt": jobs.c.attempt + 1, "run": 0},
}
"""What it writes in the transaction that starts its workflow, which would make a clip of anything."""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    postgres: Postgres = request.getfixturevalue("postgres")
    return postgres.create()


async def accepted(database: Database, spec: GenerationSpec) -> tuple[JobStore, Job]:
    store = store_of(database, clock=lambda: NOW)
    request = replace(request_at(NOW), spec=spec)
    return store, await store.accept(request, job_id="job", estimated_millicredits=None, inline={})


def written(values: dict[str, object]) -> Callable[[sa.Connection], None]:
    return lambda db: db.execute(jobs.update().values(values)) and None


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("spec", SPECS)
async def test_the_release_before_starts_no_job_that_it_cannot_run(url: str, spec: str, start: str) -> None:
    async with open_database(url) as database:
        store, job = await accepted(database, SPECS[spec])

        with pytest.raises(sa.exc.DBAPIError) as refused:
            await database.write(written(STARTS[start]))

        assert "secret" not in str(refused.value), "it is logged"
        assert await store.get("job") == job


async def test_the_release_before_cancels_what_it_cannot_run_and_this_one_starts_it_again(url: str) -> None:
    async with open_database(url) as database:
        store, _ = await accepted(database, SPECS["picture"])

        await database.write(written({"state": "CANCELLING"}))
        again = await store.command("job", run_again)

        assert (again.state, again.restarts) == ("CANCELLING", 1)
        assert await store.get("job") == again


@pytest.mark.parametrize("start", STARTS)
async def test_the_release_before_goes_on_with_its_own_jobs(url: str, start: str) -> None:
    async with open_database(url) as database:
        store, job = await accepted(database, CLIP)

        await database.write(written(STARTS[start]))

        assert await store.get("job") != job
