"""What becomes of a film's rows beside its runs: plans that a run names stay, and a deletion takes the runs along."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from evergreen_server.film.errors import FilmBusy, PlanNotFound
from evergreen_server.film.plans.store import PLANS_KEPT
from evergreen_server.film.runs.deciding import FilmGate, FilmStage
from evergreen_server.film.runs.run import RunState
from evergreen_server.jobs.db.film_schema import film_outputs, film_plans, film_runs, film_takes
from tests.film.planning import FILM, film, scenes_of
from tests.film.runs.studio import PROJECT, Studio, studio

SHORT = scenes_of(1)


@pytest.fixture
async def stand(database_url: str, tmp_path: Path) -> AsyncIterator[Studio]:
    async with studio(tmp_path, database_url) as opened:
        yield opened


async def counted(stand: Studio, table: sa.Table) -> int:
    query = sa.select(sa.func.count()).select_from(table)
    return (await stand.database.read(lambda db: db.execute(query).scalar())) or 0


async def test_the_plan_that_a_run_names_is_kept_beyond_the_newest(stand: Studio) -> None:
    short = film(SHORT)
    await stand.plan(short)
    await stand.start(short, stop_after=FilmStage.CLIPS, gates=frozenset({FilmGate.STORYBOARD}))
    await stand.rest()
    assert (await stand.now()).state is RunState.AWAITING_APPROVAL

    for _ in range(PLANS_KEPT + 3):
        await stand.plan(short)

    assert await counted(stand, film_plans) == PLANS_KEPT + 1
    assert (await stand.films.plan(PROJECT, FILM, 2)).film_id == FILM
    with pytest.raises(PlanNotFound):
        await stand.films.plan(PROJECT, FILM, 1)


async def test_a_film_is_deleted_with_its_runs_once_they_are_over(stand: Studio) -> None:
    short = film(SHORT)
    await stand.start(short, stop_after=FilmStage.STORYBOARD)
    with pytest.raises(FilmBusy):
        await stand.films.delete(await stand.films.present(PROJECT, FILM))
    jobs = await stand.rest()

    await stand.films.delete(await stand.films.present(PROJECT, FILM))

    assert [await counted(stand, table) for table in (film_runs, film_outputs, film_plans)] == [0, 0, 0]
    # A film that is made again finds what the jobs of this one have made.
    assert await counted(stand, film_takes) == len(jobs)
    await stand.start(short, stop_after=FilmStage.STORYBOARD)
    assert await stand.rest() == jobs
    run = await stand.now()
    assert (run.run, run.state, run.money.spent) == (1, RunState.SUCCEEDED, 0)
