"""A million finished jobs: what lists, watches and acceptance take among them, beside the same among a thousand.

Both databases are open in this process, and each question is asked of one, then of the other. Of the million, 999 in a
thousand are copies that the database makes itself, row by row from the first thousand.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median

import sqlalchemy as sa

from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.schema import job_events, jobs, projects, provider_tasks, requests
from evergreen_server.jobs.store.listing import Listing
from evergreen_server.jobs.store.projects import recount
from tests.benchmarks.history import Case, got, seconds
from tests.benchmarks.machine import ratio, table
from tests.history import START, write_history
from tests.jobs.tools import request_at
from tests.postgres import any_postgres

BASE = 1000
PROJECTS = 10
AIM = 1.2
ACCEPTED_AT_ONCE = 32
CACHE_KIB = 1 << 19

Question = Callable[[Case], Awaitable[object]]


def multiply(db: sa.Connection, times: int) -> None:
    """Copies every job so often, less one, with its request, event and task: without indexes, which are made after."""
    if db.dialect.name == "sqlite":
        db.exec_driver_sql(f"PRAGMA cache_size = -{CACHE_KIB}")
    else:
        # One statement writes a million rows.
        db.exec_driver_sql("SET LOCAL statement_timeout = 0")
    each = sa.select(sa.literal(1).label("number")).cte("each", recursive=True)
    each = each.union_all(sa.select(each.c.number + 1).where(each.c.number < times - 1))
    # So that ids rise with the copies, as those of a service do over time.
    prefix = sa.cast(each.c.number + 1_000_000, sa.String) + "-"
    changed = {"job_id", "request_id", "task_id"}
    for of in (jobs, requests, job_events, provider_tasks):
        for index in of.indexes:
            index.drop(db)
        columns = {column.name: prefix.concat(column) if column.name in changed else column for column in of.c}
        if "revision" in columns:
            columns["revision"] = of.c.revision + each.c.number * (BASE // PROJECTS)
        rows = sa.select(*columns.values()).select_from(each.join(of, sa.true())).order_by(each.c.number)
        db.execute(of.insert().from_select(list(columns), rows))
        for index in of.indexes:
            index.create(db)
    last = projects.c.revision * times
    db.execute(projects.update().values(revision=last))
    for number in range(PROJECTS):
        recount(db, f"film-{number}", START)


async def write(url: str, times: int) -> None:
    """Makes a database with a thousand finished jobs, or so many times as many."""
    async with open_database(url) as database:
        # None has not ended but the first, which is the only one that is divisible by so much.
        history = partial(write_history, count=BASE + 1, projects_in_all=PROJECTS, open_every=10**9)
        await database.write(history)
        await database.write(_without_first)
        if times > 1:
            await database.write(partial(multiply, times=times))
        if database.shared:
            await asyncio.to_thread(_settle, database)


def _settle(database: Database) -> None:
    """Does what a server has done long ago that did not get all of its rows at once."""
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        for statement in ("SET statement_timeout = 0", "VACUUM ANALYZE", "CHECKPOINT"):
            db.exec_driver_sql(statement)
        db.invalidate()


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Case]:
    async with open_database(url) as database:
        case = Case(database)
        running = asyncio.create_task(case.hub.run())
        try:
            yield case
        finally:
            running.cancel()
            await asyncio.wait([running])


def _without_first(db: sa.Connection) -> None:
    first = db.execute(sa.select(sa.func.min(jobs.c.job_id))).scalar_one()
    for of in (job_events, provider_tasks, requests, jobs):
        db.execute(of.delete().where(of.c.job_id == first))
    recount(db, "film-0", START)


def questions() -> dict[str, Question]:
    """What is asked of both databases."""
    numbers = count()

    async def listed(case: Case) -> None:
        assert len((await case.store.page(Listing(project_id="film-1"), after="", limit=50)).jobs) == 50

    async def newest(case: Case) -> None:
        listing = Listing(project_id="film-1", newest_first=True)
        assert len((await case.store.page(listing, after="", limit=50)).jobs) == 50

    async def every_project(case: Case) -> None:
        assert len(await case.store.projects(after="", limit=100, owned=None, owner="*")) == PROJECTS

    async def watched(case: Case) -> None:
        async with case.watching(["film-1"] * 10) as told:
            await got(told, 10)

    async def accepted(case: Case) -> None:
        now = datetime.now(UTC)
        async with asyncio.TaskGroup() as group:
            for _ in range(ACCEPTED_AT_ONCE):
                name = f"new-{next(numbers)}"
                request = replace(request_at(now), project_id="film-1", request_id=name, digest=name)
                accepting = case.store.accept(request, job_id=f"new-{name}", estimated_millicredits=1, inline={})
                group.create_task(accepting)

    return {
        "a page of 50": listed,
        "the newest 50": newest,
        "all projects": every_project,
        "10 watches": watched,
        f"{ACCEPTED_AT_ONCE} accepted": accepted,
    }


async def compared(few: Case, many: Case, rounds: int) -> list[list[str]]:
    rows = []
    for name, ask in questions().items():
        pairs = list[tuple[float, float]]()
        for turn in range(rounds + 1):
            # Forth and back, since what is asked first finds a colder machine.
            order = (few, many)[:: 1 if turn % 2 else -1]
            took = {id(case): await seconds(ask(case)) * 1e3 for case in order}
            pairs.append((took[id(few)], took[id(many)]))
        del pairs[0]
        middle = (f"{median(pair[side] for pair in pairs):.2f}" for side in (0, 1))
        rows.append([name, *middle, f"{ratio(pairs):.2f}"])
    return rows


async def measure(many: int, rounds: int) -> None:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = stack.enter_context(any_postgres(synced=True))
        urls = {
            "SQLite": [f"sqlite:///{folder / name}.sqlite" for name in ("few", "many")],
            "PostgreSQL": [postgres.create() for _ in range(2)],
        }
        for name, (first, second) in urls.items():
            begun = time.monotonic()
            await write(first, 1)
            await write(second, many // BASE)
            took = time.monotonic() - begun
            async with opened(first) as few, opened(second) as more:
                rows = await compared(few, more, rounds)
            table(
                f"million: milliseconds among {BASE:,} finished jobs and among {many:,}, on {name}",
                ["", "of few", "of many", "ratio, median of pairs"],
                rows,
                f"aim: {AIM} or less; it took {took:.0f} s to write them",
            )


def run(*, quick: bool) -> None:
    asyncio.run(measure(*((100_000, 20) if quick else (1_000_000, 60))))
