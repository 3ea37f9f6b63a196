"""The sum that a film's run holds: its jobs draw from it, and never more than was approved, on both databases."""

import random
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from evergreen_server.film.runs.rows import run_row
from evergreen_server.film.runs.run import FilmRun, Terms
from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.film_schema import film_runs
from evergreen_server.jobs.db.schema import jobs, ledger, projects
from evergreen_server.jobs.model.held import FilmCreditsExceeded, Held
from evergreen_server.jobs.model.job import Job, JobFailure
from evergreen_server.jobs.model.states import CostBasis, Stage, State
from evergreen_server.jobs.store.ledger import Caps, ProjectCreditsExceeded, totals
from tests.jobs.tools import request_at, store_of

NOW = datetime(2026, 11, 26, tzinfo=UTC)
BAD = JobFailure(reason="INTERNAL", message="it failed")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url) as opened:
        yield opened


class Film:
    """A run in a row of its own, and jobs that it pays for."""

    def __init__(self, database: Database, *, cap: int | None = None) -> None:
        self._database = database
        self.store = store_of(database, clock=lambda: NOW, caps=Caps(default=cap))
        self._made = 0

    async def begin(self, *, approved: int, quote: int) -> None:
        """Holds the quote. The project comes to be with a job of nobody's film."""
        await self.accept(1_000, of_film=False)
        held = Held(approved=approved).approve(approved, quote=quote)
        run = FilmRun(
            project_id="film",
            film_id="lamp",
            run=1,
            plan_revision=1,
            terms=Terms(),
            money=held,
            created_at=NOW,
            updated_at=NOW,
        )

        def work(db: sa.Connection) -> None:
            db.execute(film_runs.insert(), run_row(run))
            db.execute(projects.update().values(reserved_millicredits=projects.c.reserved_millicredits + held.held))

        await self._database.write(work)

    async def accept(self, price: int, *, of_film: bool = True) -> Job:
        self._made += 1
        request = replace(request_at(NOW), request_id=f"r{self._made}", max_attempts=9)
        if of_film:
            request = replace(request, film_id="lamp", film_run=1)
        job_id = f"job-{self._made}"
        return await self.store.accept(request, job_id=job_id, estimated_millicredits=price, inline={})

    async def change(self, job: Job, edit: Callable[[Job], Job]) -> Job:
        return await self.store.command(job.job_id, edit)

    async def money(self) -> Held:
        row = await self._database.read(lambda db: db.execute(sa.select(film_runs)).mappings().one())
        money = {name: row[f"{name}_millicredits"] for name in ("approved", "held", "reserved", "spent")}
        return Held(**money, keeps=row["keeps"])

    async def check(self) -> Held:
        """Compares the run's money, and the project's, with the ledger; returns the former."""
        money = await self.money()
        reserved, spent = await self._database.read(lambda db: entered(db, film="lamp"))
        others, _ = await self._database.read(lambda db: entered(db, film=None))
        sums = await self._database.read(lambda db: totals(db, "film"))
        assert (money.reserved, money.spent) == (reserved, spent)
        assert sums.reserved == money.held + reserved + others
        return money


def entered(db: sa.Connection, *, film: str | None) -> tuple[int, int]:
    """What the jobs of a film, or of none, have reserved and not settled, and what they have settled, by the ledger."""
    mine = jobs.c.film_id.is_(None) if film is None else jobs.c.film_id == film
    rows = db.execute(
        sa.select(ledger.c.job_id, ledger.c.attempt, ledger.c.entry, ledger.c.millicredits)
        .join(jobs, jobs.c.job_id == ledger.c.job_id)
        .where(mine)
    ).all()
    settled = {(row.job_id, row.attempt) for row in rows if row.entry == "SETTLE"}
    open_rows = [row for row in rows if (row.job_id, row.attempt) not in settled]
    return sum(row.millicredits for row in open_rows), sum(row.millicredits for row in rows if row.entry == "SETTLE")


def runs(job: Job) -> Job:
    return replace(job, state=State.RUNNING, stage=Stage.GENERATING)


def again(job: Job) -> Job:
    """A paid failure, and the next attempt."""
    paid = job.charged(job.estimated_millicredits or 0, CostBasis.CONFIRMED)
    return replace(paid, state=State.QUEUED, stage=Stage.WAITING, attempt=job.attempt + 1)


def made(job: Job) -> Job:
    return job.charged(job.estimated_millicredits or 0, CostBasis.CONFIRMED).ended(State.SUCCEEDED)


def failed(job: Job) -> Job:
    return job.charged(0, CostBasis.CONFIRMED).failed(BAD)


async def test_a_job_draws_from_what_its_run_holds_and_gives_the_rest_back(database: Database) -> None:
    film = Film(database)
    await film.begin(approved=30_000, quote=30_000)

    first, second = await film.accept(10_000), await film.accept(15_000)
    assert await film.check() == Held(approved=30_000, held=5_000, reserved=25_000)
    await film.change(first, runs)
    await film.change(first, failed)
    assert await film.check() == Held(approved=30_000, held=15_000, reserved=15_000)
    await film.change(second, runs)
    await film.change(second, made)

    assert await film.check() == Held(approved=30_000, held=15_000, spent=15_000)


async def test_no_job_is_accepted_beyond_the_approved_sum(database: Database) -> None:
    film = Film(database)
    await film.begin(approved=12_000, quote=10_000)
    await film.accept(10_000)

    with pytest.raises(FilmCreditsExceeded) as refused:
        await film.accept(3_000)

    assert (refused.value.estimate, refused.value.left) == (3_000, 2_000)
    await film.accept(2_000)
    assert await film.check() == Held(approved=12_000, reserved=12_000)


async def test_a_further_attempt_beyond_the_sum_ends_the_job_with_a_warning(database: Database) -> None:
    film = Film(database)
    await film.begin(approved=10_000, quote=10_000)
    job = await film.accept(10_000)
    owner = await film.store.claim(job.job_id, attempt=1, restarts=0, fencing_token="token")
    assert owner is not None
    await film.change(job, runs)

    def gives_up(current: Job) -> Job:
        return current.charged(10_000, CostBasis.CONFIRMED).failed(BAD)

    ended = await film.store.change(owner, again, fencing_token="token", capped=gives_up)

    assert (ended.state, [warning.code for warning in ended.warnings]) == (State.FAILED, ["FILM_CREDITS_EXCEEDED"])
    assert await film.check() == Held(approved=10_000, spent=10_000)


async def test_the_cap_of_the_project_counts_what_is_held_once(database: Database) -> None:
    film = Film(database, cap=13_000)
    await film.begin(approved=20_000, quote=10_000)

    await film.accept(10_000)
    with pytest.raises(ProjectCreditsExceeded):
        await film.accept(3_000)
    await film.accept(2_000)

    assert await film.check() == Held(approved=20_000, reserved=12_000)


async def test_others_of_the_project_cannot_take_what_a_run_holds(database: Database) -> None:
    film = Film(database, cap=12_000)
    await film.begin(approved=10_000, quote=10_000)

    with pytest.raises(ProjectCreditsExceeded):
        await film.accept(2_000, of_film=False)

    await film.accept(10_000)
    assert (await film.check()).held == 0


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_jobs_do_their_run_never_exceeds_its_sum(database: Database, seed: int) -> None:
    chance = random.Random(seed)
    film = Film(database, cap=chance.choice([None, 60_000]))
    quote = chance.randrange(10_000, 50_000, 1_000)
    await film.begin(approved=quote + chance.randrange(0, 20_000, 1_000), quote=quote)
    open_jobs: list[Job] = []
    for _ in range(40):
        try:
            if not open_jobs or chance.random() < 0.3:
                open_jobs.append(await film.accept(chance.randrange(1_000, 8_000, 500)))
                continue
            job = open_jobs.pop(chance.randrange(len(open_jobs)))
            await film.change(job, runs)
            edit = chance.choice([again, made, failed])
            if (after := await film.change(job, edit)).state is State.QUEUED:
                open_jobs.append(after)
        except (FilmCreditsExceeded, ProjectCreditsExceeded):
            pass
        money = await film.check()
        assert money.held + money.reserved + money.spent <= money.approved


@pytest.mark.parametrize(("told", "held"), [(14_000, 6_000), (5_000, 15_000)])
async def test_a_provider_that_says_more_takes_it_from_what_is_held(database: Database, told: int, held: int) -> None:
    film = Film(database)
    await film.begin(approved=20_000, quote=20_000)
    job = await film.accept(10_000)
    await film.change(job, runs)

    await film.change(job, lambda current: replace(current, estimated_millicredits=told))

    assert await film.check() == Held(approved=20_000, held=held, reserved=told)
