"""A database with a long history: its migration, watches that open on it, and much that is told at once."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.schema import job_events, projects
from evergreen_server.jobs.db.schema import jobs as jobs_table
from evergreen_server.jobs.feed.hub import WatchHub
from evergreen_server.jobs.model.change import Change
from evergreen_server.jobs.model.states import State
from evergreen_server.jobs.store.jobs import JobStore
from evergreen_server.jobs.store.listing import Listing
from evergreen_server.jobs.store.percentages import Progress
from evergreen_server.jobs.store.projects import miscounted
from evergreen_server.rpc.messages.events import EventWire
from tests.benchmarks.machine import table
from tests.history import START, job_id_of
from tests.jobs.db.test_migrations import second
from tests.jobs.feed.films import GivenFilms
from tests.postgres import any_postgres

WATCHES, PROJECTS, PERCENTAGES = 100, 1000, 1000
LOOK_SECONDS = 0.02
TIMES = 20
MODELS = ("gen4.5", "gen4.5", "veo3")
LABELS = tuple({"made": "here", "take": str(take)} for take in range(100))


class Case:
    """The store and the hub of a server, without its calls."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.hub = WatchHub(
            database=database,
            films=GivenFilms(),
            wire=EventWire(),
            clock=_now,
            on_events_read=lambda _: None,
            checkpoint_seconds=3600.0,
        )
        self.store = JobStore(
            database=database,
            replica_id="local",
            clock=_now,
            encode_event=EventWire().event,
            enqueue=lambda _db, _job: None,
            changed=lambda _: None,
        )

    @asynccontextmanager
    async def watching(self, names: list[str], *, include_finished: bool = False) -> AsyncIterator[asyncio.Queue[int]]:
        """Watches a project for each name; gives a queue that gets the size of each message that is told."""
        told: asyncio.Queue[int] = asyncio.Queue()

        async def tell(message: bytes) -> None:
            told.put_nowait(len(message))
            # As a call would that writes to its socket.
            await asyncio.sleep(0)

        asked = {"job_ids": frozenset[str](), "after": None, "include_finished": include_finished}
        tasks = [asyncio.create_task(self.hub.watch(tell, project_id=name, **asked)) for name in names]
        try:
            yield told
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


def _now() -> datetime:
    return datetime.now(UTC)


async def seconds(work: Awaitable[object]) -> float:
    begun = time.monotonic()
    async with asyncio.timeout(300):
        await work
    return time.monotonic() - begun


async def got(told: "asyncio.Queue[int]", number: int) -> None:
    for _ in range(number):
        await told.get()


async def opened(case: Case, jobs: int) -> list[str]:
    """100 watches of one project, and how long the list of a neighbour takes meanwhile, beside alone."""
    beside, done = 0.0, asyncio.Event()

    async def listed() -> float:
        return await seconds(case.store.page(Listing(project_id="film-1"), after="", limit=1))

    async def neighbour() -> None:
        nonlocal beside
        while not done.is_set():
            beside = max(beside, await listed())
            await asyncio.sleep(LOOK_SECONDS)

    await listed()
    alone = await listed()
    async with asyncio.TaskGroup() as group:
        group.create_task(neighbour())
        begun = time.monotonic()
        async with case.watching(["film-0"] * WATCHES) as told:
            await got(told, WATCHES * _open(jobs))
            took = time.monotonic() - begun
        done.set()
    return [f"{took:.2f}", f"{beside * 1e3:.0f}", f"{alone * 1e3:.0f}"]


def _open(jobs: int) -> int:
    """How many messages a watch of `film-0` begins with: its jobs that have not ended, and a checkpoint."""
    return sum(1 for number in range(0, jobs, 100) if number % 10 == 0) + 1


async def everything(case: Case, jobs: int) -> float:
    async with case.watching(["film-0"], include_finished=True) as told:
        return await seconds(got(told, jobs // 10 + 1))


async def changed(case: Case) -> tuple[float, float]:
    """Seconds until all of 1,000 projects are told of a change, beside those of one."""
    names = [f"many-{number}" for number in range(PROJECTS)]

    def make(db: sa.Connection) -> None:
        db.execute(projects.insert(), [{"project_id": name, "revision": 0, "created_at": 0} for name in names])

    async def happen(names: list[str], revision: int, told: "asyncio.Queue[int]") -> float:
        row = {"job_id": "", "kind": "STARTED", "state": "RUNNING", "event": b"event", "created_at": 0}
        rows = [{**row, "project_id": name, "revision": revision} for name in names]

        def write(db: sa.Connection) -> None:
            db.execute(job_events.insert(), rows)
            of_them = projects.c.project_id.in_(names)
            db.execute(projects.update().where(of_them).values(revision=revision))

        await case.database.write(write)
        case.hub.on_commit([Change(project_id=name, job_id="") for name in names])
        return await seconds(got(told, len(names)))

    await case.database.write(make)
    async with case.watching(names) as told:
        await got(told, PROJECTS)
        one = await happen(names[:1], 1, told)
        return await happen(names[1:], 1, told), one


async def flushed(case: Case) -> tuple[float, float]:
    """Seconds of 1,000 percentages, beside each of them as a change by itself, all of them asked for at once."""
    names = [job_id_of(number) for number in range(PERCENTAGES)]
    running = jobs_table.update().where(jobs_table.c.job_id.in_(names)).values(state="RUNNING", ended_at=None)
    await case.database.write(lambda db: db.execute(running))
    heard = [Progress(job=await case.store.get(name), fencing_token="someone", progress=0.5) for name in names]
    together = await seconds(case.store.flush(heard))

    async def change(item: Progress) -> None:
        await case.store.change(item.job, lambda job: replace(job, progress=0.75), fencing_token=item.fencing_token)

    async def each() -> None:
        async with asyncio.TaskGroup() as group:
            for item in heard:
                group.create_task(change(item))

    return together, await seconds(each())


async def listed(case: Case, jobs: int) -> list[float]:
    """Milliseconds of a page of 50 jobs, plain, then by what lists can be asked for; and of all projects."""

    async def page(*, found: bool = True, **asked: object) -> float:
        async def read() -> None:
            jobs = (await case.store.page(Listing(project_id="film-1", **asked), after="", limit=50)).jobs
            assert bool(jobs) is found, asked

        return await best(read)

    async def all_projects() -> None:
        assert len(await case.store.projects(after="", limit=1000, owned=None, owner="*")) == 10

    # Those of a project are ten seconds apart.
    middle = START + timedelta(seconds=jobs // 2)
    return [
        await page(),
        await page(newest_first=True),
        await page(models=["veo3"]),
        await page(labels={"take": "11"}),
        await page(created_from=middle, created_before=middle + timedelta(hours=1), newest_first=True),
        await page(labels={"made": "here"}, states=[State.FAILED], found=False),
        await best(all_projects),
        await best(lambda: case.database.read(miscounted)),
    ]


async def best(read: Callable[[], Awaitable[object]]) -> float:
    """Milliseconds of the fastest of several."""
    return min([await seconds(read()) for _ in range(TIMES)]) * 1e3


async def measure(jobs: int) -> None:
    migrations, watches, rest, lists = [], [], [], []
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = stack.enter_context(any_postgres(synced=True))
        for name, url in (("SQLite", f"sqlite:///{folder / 'jobs.sqlite'}"), ("PostgreSQL", postgres.create())):
            async with open_database(url):
                pass
            await asyncio.to_thread(second, url, jobs, models=MODELS, labels=LABELS)

            async def opens(then: Callable[[Case], Awaitable[None]] | None = None, url: str = url) -> float:
                begun = time.monotonic()
                async with open_database(url) as database:
                    took = time.monotonic() - begun
                    if then is not None:
                        case = Case(database)
                        running = asyncio.create_task(case.hub.run())
                        try:
                            await then(case)
                        finally:
                            running.cancel()
                            await asyncio.wait([running])
                return took

            first, again = await opens(), await opens()
            migrations.append([name, f"{first:.2f}", f"{again:.2f}"])

            async def look(case: Case, name: str = name) -> None:
                if case.database.shared:
                    await case.database.write(lambda db: db.exec_driver_sql("ANALYZE"))
                lists.append([name, *(f"{value:.1f}" for value in await listed(case, jobs))])
                watches.append([name, *await opened(case, jobs), f"{await everything(case, jobs):.2f}"])
                many, one = await changed(case)
                together, apart = await flushed(case)
                rest.append([name, *(f"{value * 1e3:.0f}" for value in (many, one, together, apart))])

            await opens(look)
    table(
        f"history: seconds that a database of {jobs:,} jobs takes to open",
        ["", "of the release before", "of this one"],
        migrations,
    )
    table(
        f"history: milliseconds of lists among {jobs:,} jobs, 50 of a project beside those of some",
        [
            "",
            "a page",
            "newest first",
            "a model",
            "a label",
            "an hour",
            "none matches",
            "all projects",
            "by counting",
        ],
        lists,
        "aim: four times a page or less; where none matches, 2,000 are looked at and the list goes on; all projects at "
        "a tenth of counting their jobs or less",
    )
    table(
        f"history: {WATCHES} watches of one project among {jobs:,} jobs, and a neighbour's list of one job meanwhile",
        ["", "seconds until all are open", "list, ms at most", "list alone, ms", "one with all that ended, s"],
        watches,
        "aim: 0.5 s or less, and 50 ms or less",
    )
    table(
        f"history: milliseconds to tell of {PROJECTS:,} projects, and to write percentages of {PERCENTAGES:,} jobs",
        ["", f"{PROJECTS:,} projects", "one project", "percentages", "each a change by itself"],
        rest,
        "aim: 300 ms or less, and 100 ms or less",
    )


def run(*, quick: bool) -> None:
    asyncio.run(measure(10_000 if quick else 100_000))
