"""Slots for renders: projects have their turns over all servers, and what a dead server held is found."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from evergreen_server.film.rendering.slots import RenderSlots, Waiting
from evergreen_server.film.runs.rows import run_row
from evergreen_server.film.runs.run import FilmRun, Terms
from evergreen_server.jobs.db.film_schema import film_runs
from evergreen_server.jobs.db.replicas import DatabaseNow
from evergreen_server.jobs.db.shared_schema import replicas
from evergreen_server.jobs.model.held import Held
from evergreen_server.jobs.model.states import Slot
from tests.film.runs.studio import NOW, Studio, studio


@pytest.fixture
async def stand(database_url: str, tmp_path: Path) -> AsyncIterator[Studio]:
    async with studio(tmp_path, database_url) as opened:
        yield opened


def slots_of(stand: Studio, replica_id: str = "local") -> RenderSlots:
    return RenderSlots(database=stand.database, runs=stand.context.runs, clock=stand.clock, replica_id=replica_id)


async def queued(stand: Studio, project_id: str, number: int, *, after: float = 0, **given: object) -> None:
    """Films of a project that wait for slots, each a second after the one before."""
    rows = [
        run_row(
            FilmRun(
                project_id=project_id,
                film_id=f"film-{count:02}",
                run=1,
                plan_revision=1,
                terms=Terms(),
                money=Held(approved=0),
                created_at=NOW,
                updated_at=NOW,
                **{"slot": Slot.WANTED, "slot_at": NOW + timedelta(seconds=after + count - 60), **given},
            )
        )
        for count in range(number)
    ]
    await stand.database.write(lambda db: db.execute(film_runs.insert(), rows))


async def granted(stand: Studio, slots: RenderSlots) -> str | None:
    """Grants the next slot, and returns the project that has it."""
    await stand.later(seconds=0.001)
    if (waiting := await slots.next()) is None:
        return None
    return waiting[0] if await slots.grant(waiting, "token") else None


async def over(stand: Studio, *projects: str) -> None:
    held = film_runs.c.slot == Slot.HELD.value, film_runs.c.project_id.in_(projects)
    await stand.database.write(lambda db: db.execute(film_runs.update().where(*held).values(slot=None)))


async def test_one_film_of_a_project_is_second_behind_ten_of_another(stand: Studio) -> None:
    await queued(stand, "greedy", 10)
    slots, order = slots_of(stand), list[str | None]()
    order.append(await granted(stand, slots))
    await queued(stand, "honest", 1, after=30)

    for _ in range(2):
        await over(stand, "greedy", "honest")
        order.append(await granted(stand, slots))

    assert order == ["greedy", "honest", "greedy"]


async def test_projects_have_their_turns_over_all_servers(stand: Studio) -> None:
    await queued(stand, "greedy", 4)
    await queued(stand, "honest", 4, after=30)
    order = list[str | None]()

    for number in range(6):
        order.append(await granted(stand, slots_of(stand, f"server-{number % 2}")))
        await over(stand, "greedy", "honest")

    assert order == ["greedy", "honest"] * 3


async def test_a_project_that_holds_slots_is_behind_one_that_holds_none(stand: Studio) -> None:
    await queued(stand, "greedy", 4)
    slots, order = slots_of(stand), list[str | None]()
    for _ in range(2):
        order.append(await granted(stand, slots))
    await queued(stand, "honest", 2, after=30)

    while order[-1] is not None:
        order.append(await granted(stand, slots))

    assert order == ["greedy", "greedy", "honest", "honest", "greedy", "greedy", None]


async def test_of_two_servers_that_take_the_same_film_one_has_it(stand: Studio) -> None:
    await queued(stand, "honest", 1)
    one, two = slots_of(stand, "one"), slots_of(stand, "two")
    waiting = await one.next()
    assert waiting == await two.next()

    first, second = await one.grant(waiting, "first"), await two.grant(waiting, "second")

    assert first is not None
    assert (first.slot, first.replica, first.execution, second) == (Slot.HELD, "one", "first", None)
    assert await two.next() is None


async def test_a_film_that_could_not_be_rendered_rests_unless_the_clock_was_set_back(stand: Studio) -> None:
    slots = slots_of(stand)
    await queued(stand, "resting", 1, slot_at=NOW + timedelta(seconds=20))
    early = await slots.next()
    await stand.later(seconds=21)
    rested = await slots.next()
    await stand.later(days=-1)

    assert (early, rested) == (None, ("resting", "film-00", 1))
    assert await slots.next() == rested


async def test_the_slots_of_servers_that_are_gone_are_found_and_no_others(stand: Studio) -> None:
    await stand.database.write(
        lambda db: db.execute(
            replicas.insert().values(replica_id="alive", beat_at=sa.select(DatabaseNow()).scalar_subquery())
        )
    )
    for project_id in ("local", "alive", "dead"):
        await queued(stand, project_id, 1, slot=Slot.HELD, replica=project_id)
    slots = slots_of(stand)

    gone, here = await slots.held(here=False), await slots.held(here=True)

    assert [holder.project_id for holder in gone] == ["dead"]
    assert [holder.project_id for holder in here] == ["local"]


async def test_films_that_wait_for_long_are_told_apart_from_those_that_do_not(stand: Studio) -> None:
    await queued(stand, "early", 2, after=-60)
    await queued(stand, "late", 2, after=30)
    slots = slots_of(stand)

    waiting: Sequence[Waiting] = await slots.waiting(before=NOW - timedelta(seconds=60))

    assert sorted(waiting) == [("early", "film-00", 1), ("early", "film-01", 1)]
