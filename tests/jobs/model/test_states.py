"""Which state may follow which is the store's to say, whatever an edit makes of a job."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import pytest
import pytest_asyncio

from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.schema import jobs
from evergreen_server.jobs.model.errors import WrongState
from evergreen_server.jobs.model.job import JobFailure
from evergreen_server.jobs.model.states import FINAL, MOVES, CostBasis, Stage, State
from tests.jobs.tools import request_at, store_of

NOW = datetime(2026, 11, 1, tzinfo=UTC)
FORBIDDEN = [(old, new) for old, new in product(State, State) if old is not new and new not in MOVES[old]]

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def database(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Database]:
    folder: Path = tmp_path_factory.mktemp("moves")
    async with open_database(f"sqlite:///{folder / 'jobs.sqlite'}") as opened:
        await store_of(opened, clock=lambda: NOW).accept(
            request_at(NOW), job_id="job-1", estimated_millicredits=None, inline={}
        )
        yield opened


@pytest.mark.parametrize(("old", "new"), FORBIDDEN)
async def test_a_move_that_is_not_in_the_table_is_refused_and_changes_nothing(
    database: Database, old: State, new: State
) -> None:
    ended_at = 1 if old in FINAL else None
    values = {"state": old.value, "stage": Stage.NONE.value, "ended_at": ended_at}
    await database.write(lambda db: db.execute(jobs.update().values(**values)))
    store = store_of(database, clock=lambda: NOW)
    before = await store.get("job-1")

    def move(job):
        job = job.charged(0, CostBasis.CONFIRMED) if new in FINAL else job
        return replace(job, state=new, error=JobFailure(reason="ODD", message="an odd edit"))

    with pytest.raises(WrongState, match=f"a {old} job cannot become {new}") as refused:
        await store.command("job-1", move)

    assert refused.value.reason == "WRONG_STATE"
    assert await store.get("job-1") == before


async def test_nothing_follows_a_final_state() -> None:
    assert {state for state in State if not MOVES[state]} == FINAL
