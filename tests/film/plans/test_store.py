"""Films as rows, on both databases: one plan after the other, also where two servers write at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evergreen_server.film.codec import to_document
from evergreen_server.film.errors import (
    FilmNotFound,
    FilmRequestReused,
    PlanChanged,
    PlanDeleted,
    PlanNotFound,
    SceneTaken,
)
from evergreen_server.film.model import Plan
from evergreen_server.film.plans.store import PLANS_KEPT, FilmRequest, FilmStore, StoredPlan
from evergreen_server.film.runs.films import FilmState
from evergreen_server.jobs.db.connect import open_database
from tests.film.planned import plan_of, planned_of
from tests.film.stores import film_store_of
from tests.jobs.tools import away, request_at, store_of
from tests.postgres import Postgres

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    """A clock that goes on with each look."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    postgres: Postgres = request.getfixturevalue("postgres")
    return postgres.create()


@pytest.fixture
async def store(url: str) -> AsyncIterator[FilmStore]:
    async with open_database(url) as database:
        yield film_store_of(database, Clock())


async def record(
    store: FilmStore, plan: Plan, before: StoredPlan | None = None, request_id: str = "", digest: str = "d"
) -> StoredPlan:
    request = FilmRequest(request_id=request_id, digest=digest) if request_id else None
    return await store.record("film", planned_of(plan), to_document(plan), before=before, request=request)


async def test_a_plan_comes_back_as_it_was_recorded(store: FilmStore) -> None:
    stored = await record(store, plan_of(scenes=3, title="Füchse 🦊"))

    assert await store.get("film", "movie") == stored
    assert (stored.film.created_at, stored.film.state) == (NOW + timedelta(seconds=1), FilmState.PLANNED)
    with pytest.raises(FilmNotFound):
        await store.get("other", "movie")
    with pytest.raises(PlanNotFound):
        await store.get("film", "movie", 2)


async def test_the_newest_plans_are_kept_and_a_request_for_an_older_one_is_refused(store: FilmStore) -> None:
    stored = await record(store, plan_of(), request_id="first")
    for number in range(PLANS_KEPT):
        stored = await record(store, plan_of(title=str(number)), stored)

    assert stored.plan_revision == PLANS_KEPT + 1
    assert (await store.get("film", "movie", 2)).planned.plan.title == "0"
    with pytest.raises(PlanNotFound):
        await store.get("film", "movie", 1)
    with pytest.raises(PlanDeleted):
        await store.find("film", "movie", FilmRequest(request_id="first", digest="d"))


async def test_a_request_finds_the_plan_that_it_made_and_no_other(store: FilmStore) -> None:
    key = FilmRequest(request_id="one", digest="d")
    stored = await record(store, plan_of(), request_id="one")

    again = await record(store, plan_of(title="another"), request_id="one")
    await store.delete(stored.film)
    await record(store, plan_of(title="anew"), request_id="two")

    assert again == stored
    with pytest.raises(PlanDeleted):
        await store.find("film", "movie", key)
    with pytest.raises(FilmRequestReused):
        await store.find("film", "movie", FilmRequest(request_id="one", digest="e"))
    known, newest = await store.find("film", "movie", FilmRequest(request_id="three", digest="d"))
    assert (known, newest and newest.planned.plan.title) == (None, "anew")
    assert await store.find("other", "movie", key) == (None, None)


async def test_a_film_that_was_made_again_is_not_the_one_that_was_read(store: FilmStore) -> None:
    stored = await record(store, plan_of())
    await store.delete(stored.film)
    await record(store, plan_of(title="anew"))

    with pytest.raises(PlanChanged):
        await record(store, plan_of(), stored)


async def test_a_deletion_spares_a_plan_that_came_meanwhile(store: FilmStore) -> None:
    stored = await record(store, plan_of())
    newer = await record(store, plan_of(title="newer"), stored)

    with pytest.raises(PlanChanged):
        await store.delete(stored.film)
    await store.delete(newer.film)
    with pytest.raises(FilmNotFound):
        await store.delete(newer.film)


async def test_of_two_films_none_shares_a_scene(store: FilmStore) -> None:
    await record(store, plan_of("first", scenes=2))
    await record(store, plan_of("own-4", prefix="own-part"))

    for plan in (plan_of("second"), plan_of("second", prefix="SCENE"), plan_of("scene-9", prefix="other")):
        with pytest.raises(SceneTaken):
            await record(store, plan)
    with pytest.raises(SceneTaken, match="own-4"):
        await record(store, plan_of("second", prefix="own", scenes=4))
    await record(store, plan_of("second", prefix="own", scenes=3))
    # Other projects have scenes of their own.
    plan = plan_of("second")
    await store.record("other", planned_of(plan), to_document(plan), before=None)


async def test_only_scenes_that_are_new_must_be_free_of_jobs(url: str) -> None:
    async with open_database(url) as database:
        store = film_store_of(database, Clock())
        stored = await record(store, plan_of(prefix="scene"))
        jobs = store_of(database, clock=lambda: NOW)
        await jobs.accept(request_at(NOW), job_id="job", estimated_millicredits=1, inline={})

        again = await record(store, plan_of(title="again"), stored)
        await store.delete(again.film)
        with pytest.raises(SceneTaken, match="it has jobs"):
            await record(store, plan_of("other"))

    assert again.plan_revision == 2


async def test_servers_that_replace_one_plan_at_once_agree_on_the_winner(postgres: Postgres) -> None:
    url = postgres.create()
    async with AsyncExitStack() as stack:
        databases = [await stack.enter_async_context(open_database(url)) for _ in range(3)]
        stores = [film_store_of(database, Clock()) for database in databases]
        first = await asyncio.gather(*(record(store, plan_of()) for store in stores), return_exceptions=True)
        winner = next(result for result in first if isinstance(result, StoredPlan))
        seen = await stores[0].get("film", "movie")
        second = await asyncio.gather(
            *(record(store, plan_of(title=str(number)), seen) for number, store in enumerate(stores)),
            return_exceptions=True,
        )
        same = await asyncio.gather(
            *(record(store, plan_of("again", prefix="a"), request_id="one") for store in stores)
        )

    assert seen == winner
    assert [type(result) for result in first].count(PlanChanged) == 2
    assert [type(result) for result in second].count(PlanChanged) == 2
    assert len({stored.film.created_at for stored in same}) == 1


async def test_a_database_that_is_away_keeps_nothing(url: str) -> None:
    async with open_database(url) as database:
        store = film_store_of(database, Clock())
        with away(database), pytest.raises(Exception, match="no server"):
            await record(store, plan_of())

        assert await store.page("film", states=(), after="", limit=10) == []


async def test_films_are_listed_by_state_in_the_order_of_their_ids(store: FilmStore) -> None:
    for number in (3, 1, 2):
        await record(store, plan_of(f"film-{number}", prefix=f"part{number}"))

    async def ids(states: tuple[FilmState, ...], after: str = "", limit: int = 10) -> list[str]:
        return [film.film_id for film in await store.page("film", states=states, after=after, limit=limit)]

    assert await ids(()) == await ids((FilmState.PLANNED,)) == ["film-1", "film-2", "film-3"]
    assert await ids((), after="film-1", limit=1) == ["film-2"]


async def test_a_project_has_so_many_films_and_no_more_however_many_come_at_once(url: str) -> None:
    async with open_database(url) as database:
        store = film_store_of(database, Clock(), most_films=2)
        first = await record(store, plan_of("movie-a", prefix="a"))

        plans = [plan_of(f"movie-{name}", prefix=name) for name in "bcd"]
        answers = await asyncio.gather(*(record(store, plan) for plan in plans), return_exceptions=True)

        assert sorted(type(answer).__name__ for answer in answers) == ["StoredPlan", "TooManyFilms", "TooManyFilms"]
        # Films that there are go on, and other projects have their own.
        again = await record(store, plan_of("movie-a", prefix="a", title="Again"), first)
        await store.record("other", planned_of(plans[0]), to_document(plans[0]), before=None)
        await store.delete(again.film)
        await record(store, plan_of("movie-e", prefix="e"))


async def test_the_scripts_of_plans_that_are_no_longer_kept_are_told(url: str) -> None:
    async with open_database(url) as database:
        store = film_store_of(database, Clock())
        scripts = ["metadata/one.txt", "metadata/two.txt", "metadata/one.txt", *["metadata/three.txt"] * PLANS_KEPT]
        stored, dropped = None, list[tuple[str, ...]]()
        for script in scripts:
            stored = await record(store, replace(plan_of(), script_asset=script), stored)
            dropped.append(stored.dropped)

        # The third plan names the script of the first one still.
        assert dropped == [()] * (len(scripts) - 2) + [("metadata/two.txt",), ("metadata/one.txt",)]
