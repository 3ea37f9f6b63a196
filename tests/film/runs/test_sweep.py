"""Runs that nobody looks at: those whose time is over while they wait for people, and those whose leg was lost."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from evergreen_server.film.runs.deciding import FilmGate, FilmStage
from evergreen_server.film.runs.run import RunState
from evergreen_server.film.runs.sweep import RunSweep
from evergreen_server.jobs.db.film_schema import film_runs
from evergreen_server.jobs.db.replicas import DatabaseNow
from evergreen_server.jobs.db.shared_schema import replicas
from tests.film.planning import FILM, film, scenes_of
from tests.film.runs.studio import NOW, PROJECT, Studio, studio

Leg = tuple[str, str, int, int]


@pytest.fixture
async def stand(database_url: str, tmp_path: Path) -> AsyncIterator[Studio]:
    async with studio(tmp_path, database_url) as opened:
        yield opened


def sweep(stand: Studio, *running: Leg) -> RunSweep:
    return RunSweep(runs=stand.context.runs, running=lambda: running, clock=stand.clock)


async def test_a_run_whose_time_is_over_while_it_waits_for_people_ends(stand: Studio) -> None:
    gates = frozenset({FilmGate.STORYBOARD})
    await stand.start(film(scenes_of(1)), gates=gates, stop_after=FilmStage.CLIPS, finish_by=NOW + timedelta(minutes=5))
    await stand.rest()
    await stand.later(minutes=4)
    await sweep(stand).run_once()
    early = await stand.now()
    await stand.later(minutes=2)

    await sweep(stand).run_once()
    await sweep(stand).run_once()

    assert early.state is RunState.AWAITING_APPROVAL
    run = await stand.now()
    assert (run.state, run.error.reason, run.money.held) == (RunState.CANCELLING, "FILM_EXPIRED", 0)
    assert stand.legs[-1] == (PROJECT, FILM, 1, 2)
    await stand.claim()
    await stand.rest()
    over = await stand.now()
    assert (over.state, over.error.reason, len(stand.legs)) == (RunState.FAILED, "FILM_EXPIRED", 2)


async def test_a_run_without_an_end_waits_for_people_for_ever(stand: Studio) -> None:
    await stand.start(film(scenes_of(1)), gates=frozenset({FilmGate.STORYBOARD}), stop_after=FilmStage.CLIPS)
    await stand.rest()
    await stand.later(days=1_000)

    await sweep(stand).run_once()

    assert (await stand.now()).state is RunState.AWAITING_APPROVAL


async def test_a_leg_that_should_run_here_and_does_not_is_begun_again_at_the_second_look(stand: Studio) -> None:
    await stand.start(film(scenes_of(1)), stop_after=FilmStage.STORYBOARD)
    first = (PROJECT, FILM, 1, 1)
    here, lost = sweep(stand, first), sweep(stand)

    for _ in range(2):
        await here.run_once()
    await lost.run_once()
    assert stand.legs == [first]
    await lost.run_once()

    assert stand.legs == [first, (PROJECT, FILM, 1, 2)]
    await stand.claim()
    await stand.rest()
    assert (await stand.now()).state is RunState.SUCCEEDED
    for _ in range(2):
        await lost.run_once()
    assert len(stand.legs) == 2


@pytest.mark.parametrize("lives", [True, False])
async def test_a_leg_of_another_server_is_begun_again_only_if_that_is_dead(stand: Studio, lives: bool) -> None:
    """One of the release before may have taken a dead server's leg out of the queue, and run nothing."""
    await stand.start(film(scenes_of(1)), stop_after=FilmStage.STORYBOARD)

    def move(db: sa.Connection) -> None:
        db.execute(film_runs.update().values(replica="another"))
        if lives:
            db.execute(replicas.insert().values(replica_id="another", beat_at=DatabaseNow()))

    await stand.database.write(move)
    here = sweep(stand)
    for _ in range(2):
        await here.run_once()

    assert (len(stand.legs) == 1) is lives
