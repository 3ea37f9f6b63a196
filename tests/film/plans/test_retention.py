"""Runs that ended long ago go, but for the newest of each film, and nothing of what they made is paid for again."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from evergreen_server.film.errors import RunDeleted, RunNotFound
from evergreen_server.film.model import FilmRequest, OnShotFailure
from evergreen_server.film.plans.retention import TAKES_AT_ONCE, delete_old_runs, delete_old_takes
from evergreen_server.film.runs.deciding import FilmStage
from evergreen_server.film.runs.run import RunState
from evergreen_server.jobs.db.film_schema import film_outputs, film_takes
from evergreen_server.jobs.db.schema import requests
from tests.film.planning import FILM, film, scenes_of
from tests.film.runs.studio import NOW, PROJECT, Studio, studio


@pytest.fixture
async def stand(database_url: str, tmp_path: Path) -> AsyncIterator[Studio]:
    async with studio(tmp_path, database_url) as opened:
        yield opened


async def removed(stand: Studio, *, days: int) -> int:
    return await stand.database.write(lambda db: delete_old_runs(db, NOW + timedelta(days=days)))


async def empty_outputs(stand: Studio) -> int:
    count = sa.select(sa.func.count()).where(film_outputs.c.asset.is_(None))
    return await stand.database.read(lambda db: db.execute(count).scalar_one())


async def test_old_runs_go_but_for_the_newest_and_what_they_made_stays(stand: Studio) -> None:
    short = film(scenes_of(2))
    await stand.start(short, stop_after=FilmStage.CLIPS, on_failure=OnShotFailure.SKIP)
    await stand.rest(lambda job: job.request.scene_id != "scene-2")
    assert await empty_outputs(stand) > 0
    await stand.later(days=10)
    await stand.start(short, stop_after=FilmStage.CLIPS)
    await stand.rest()
    made = await stand.jobs()
    await stand.later(days=10)
    await stand.start(short, stop_after=FilmStage.CLIPS)
    await stand.rest()

    assert await removed(stand, days=0) == 0
    assert await removed(stand, days=5) == 1
    assert await empty_outputs(stand) == 0
    assert await removed(stand, days=100) == 1
    assert await removed(stand, days=100) == 0
    last = await stand.now()
    assert (last.run, last.state) == (3, RunState.SUCCEEDED)
    with pytest.raises(RunNotFound):
        await stand.context.runs.get(PROJECT, FILM, 1)
    with pytest.raises(RunDeleted, match="no longer kept"):
        await stand.context.runs.find(PROJECT, FilmRequest(request_id="leg 0 of plan 1", digest=""))
    await stand.start(short, stop_after=FilmStage.CLIPS, quote=0)
    await stand.rest()
    assert await stand.jobs() == made
    assert ((await stand.now()).run, (await stand.now()).state) == (4, RunState.SUCCEEDED)


async def test_a_run_that_is_not_over_stays_however_old_it_is(stand: Studio) -> None:
    await stand.start(film(scenes_of(1)))
    await stand.step()

    assert await removed(stand, days=1000) == 0
    assert (await stand.now()).state is RunState.RUNNING


async def takes_left(stand: Studio) -> set[str]:
    """The takes that are there once all that nothing needs are gone."""
    place: tuple[str, str] | None = ("", "")
    while place is not None:
        after = place
        _, place = await stand.database.write(lambda db, after=after: delete_old_takes(db, after))
    query = sa.select(film_takes.c.base)
    return set(await stand.database.read(lambda db: db.execute(query).scalars().all()))


async def test_takes_go_once_neither_a_request_nor_a_film_needs_them(stand: Studio) -> None:
    await stand.start(film(scenes_of(1)), stop_after=FilmStage.CLIPS)
    await stand.rest()
    many = [{"project_id": f"p{number % 2}", "base": f"{number:04}", "take": 2} for number in range(2 * TAKES_AT_ONCE)]
    await stand.database.write(lambda db: db.execute(film_takes.insert(), many))

    made = await takes_left(stand)
    assert len(made) == len(await stand.jobs())
    # Without its film a take is known as long as its request, so that a film made again asks for no old job.
    await stand.films.delete((await stand.films.get(PROJECT, FILM)).film)
    assert await takes_left(stand) == made
    await stand.database.write(lambda db: db.execute(requests.delete()))
    assert await takes_left(stand) == set()


async def test_takes_of_a_film_stay_when_their_requests_go(stand: Studio) -> None:
    await stand.start(film(scenes_of(1)), stop_after=FilmStage.CLIPS)
    await stand.rest()
    await stand.database.write(lambda db: db.execute(requests.delete()))

    assert len(await takes_left(stand)) == len(await stand.jobs())
