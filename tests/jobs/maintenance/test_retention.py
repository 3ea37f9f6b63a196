"""What is old is removed, and what is asked of it then has a clear answer; on both databases."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from evergreen_server.film.codec import to_document
from evergreen_server.film.errors import PlanDeleted
from evergreen_server.film.plans.retention import delete_old_runs, delete_old_takes
from evergreen_server.film.plans.store import FilmRequest, StoredPlan
from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.film_schema import film_requests, film_takes
from evergreen_server.jobs.db.mapping import to_micros
from evergreen_server.jobs.db.schema import job_files, metadata
from evergreen_server.jobs.feed.hub import CursorCompacted, WatchHub
from evergreen_server.jobs.maintenance.retention import REQUESTS_AT_ONCE, Removed, Retention
from evergreen_server.jobs.model.errors import JobDeleted, JobNotFound
from evergreen_server.jobs.model.job import Job, JobRequest
from evergreen_server.jobs.model.states import CostBasis, EventKind, State
from evergreen_server.jobs.store.jobs import JobStore
from evergreen_server.jobs.store.listing import Listing
from evergreen_server.jobs.store.provider_tasks import TaskRecords
from evergreen_server.ports.metrics import NullMetrics
from evergreen_server.ports.specs import GenerationSpec
from evergreen_server.runtime.clocks import SteadyClock
from evergreen_server.runtime.ids import JobIds
from tests.film.planned import plan_of, planned_of
from tests.film.stores import film_store_of
from tests.jobs.feed.films import GivenFilms
from tests.jobs.tools import Said, away
from tests.postgres import Postgres

START = datetime(2026, 11, 1, tzinfo=UTC)
PRICE = 24_000


class Plain:
    """Says an event by its kind and job."""

    def event(self, kind: EventKind, job: Job, _at: datetime) -> bytes:
        return f"{kind} {job.job_id} {job.revision}".encode()

    def checkpoint(self, revision: int) -> bytes:
        return b"checkpoint %d" % revision


@dataclass
class NoWorkflows:
    """An engine without workflows."""

    asked: list[datetime] = field(default_factory=list)

    def forget_ended(self, before: datetime, _most: int) -> int:
        self.asked.append(before)
        return 0


class Told(Exception):
    """A watcher has received enough."""


class Case:
    """A store, its hub and its retention, by a clock of the test's own."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = START
        self.steady: Callable[[], datetime] = self.clock
        self.hub = WatchHub(
            database=database, films=GivenFilms(), wire=Plain(), clock=self.clock, on_events_read=lambda _: None
        )
        self.store = JobStore(
            database=database,
            clock=self.clock,
            encode_event=Plain().event,
            enqueue=lambda *_: "",
            changed=self.hub.on_commit,
            replica_id="local",
        )
        self.tasks = TaskRecords(database=database, store=self.store, clock=self.clock)
        self.retention = Retention(
            database=database,
            workflows=NoWorkflows(),
            clock=lambda: self.steady(),
            events_kept=timedelta(days=1),
            jobs_kept=timedelta(days=3),
            metrics=NullMetrics(),
            films=delete_old_runs,
            takes=delete_old_takes,
            events_at_once=4,
        )

    def clock(self) -> datetime:
        return self.now

    def request(self, job_id: str, project: str = "film") -> JobRequest:
        return JobRequest(
            project_id=project,
            scene_id="scene-1",
            request_id=job_id,
            digest="digest",
            spec=GenerationSpec(model="gen4.5"),
            start_by=START + timedelta(days=1),
        )

    async def begun(self, job_id: str, project: str = "film") -> Job:
        await self.store.accept(
            self.request(job_id, project), job_id=job_id, estimated_millicredits=PRICE, inline={"picture": b"bytes"}
        )
        job = await self.store.claim(job_id, attempt=1, restarts=0, fencing_token=f"of {job_id}")
        assert job is not None
        file = {"job_id": job_id, "path": f"videos/{job_id}-1-1.mp4", "size_bytes": 1, "crc32c": 0}
        await self.database.write(lambda db: db.execute(job_files.insert().values(**file)))
        return job

    async def failed(self, job_id: str, project: str = "film") -> None:
        job = await self.begun(job_id, project)
        await self.store.change(
            job,
            lambda job: job.charged(PRICE, CostBasis.CONFIRMED).ended(State.FAILED),
            fencing_token=job.fencing_token,
        )

    async def counts(self) -> dict[str, int]:
        def count(db: sa.Connection) -> dict[str, int]:
            return {
                table.name: db.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
                for table in metadata.sorted_tables
            }

        return await self.database.read(count)

    async def watched(self, *, after: int | None = None, include_finished: bool = False, until: str) -> list[str]:
        """Gives what a watch of the project tells, up to a message that begins so."""
        found: list[str] = []

        async def tell(message: bytes) -> None:
            found.append(message.decode())
            if found[-1].startswith(until):
                raise Told

        with suppress(Told):
            async with asyncio.timeout(60):
                await self.hub.watch(
                    tell, project_id="film", job_ids=frozenset(), after=after, include_finished=include_finished
                )
        return found


@pytest.fixture(params=["sqlite", "postgresql"])
async def case(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Case]:
    url = f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    if request.param == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.create()
    async with open_database(url) as database:
        case = Case(database)
        running = asyncio.create_task(case.hub.run())
        try:
            yield case
        finally:
            running.cancel()
            await asyncio.wait([running])


async def test_the_database_holds_no_more_after_many_jobs_than_after_few(case: Case) -> None:
    held: list[dict[str, int]] = []
    for day in range(12):
        for number in range(15):
            await case.failed(f"job-{day:02}-{number:02}")
        await case.retention.run_once()
        held.append(await case.counts())
        case.now += timedelta(days=1)

    settled, last = held[6], held[-1]
    for table in ("jobs", "job_events", "ledger", "provider_tasks", "inline_media", "job_files"):
        assert last[table] == settled[table], table
    assert last["jobs"] <= 15 * 5
    assert last["job_events"] <= 15 * 2 * 2
    # The keys of requests are kept, and what was spent.
    assert last["requests"] == 12 * 15
    assert (await case.store.totals("film")).confirmed == 12 * 15 * PRICE


async def test_old_events_go_in_batches_and_leave_no_gap(case: Case) -> None:
    for number in range(5):
        await case.failed(f"old-{number}")
    case.now += timedelta(days=2)
    await case.failed("new")

    removed = await case.retention.run_once()
    again = await case.retention.run_once()

    assert (removed.events, again.events) == (10, 0)
    assert await case.watched(after=10, until="checkpoint") == ["CREATED new 11", "FAILED new 12", "checkpoint 12"]
    with pytest.raises(CursorCompacted) as refused:
        await case.watched(after=9, until="checkpoint")
    # The oldest cursor that is valid.
    assert refused.value.compacted == 10


async def test_a_clock_set_back_keeps_an_event_that_would_leave_a_gap(case: Case) -> None:
    case.now += timedelta(days=10)
    await case.failed("ahead")
    case.now = START
    await case.failed("behind")
    case.now += timedelta(days=2)

    assert (await case.retention.run_once()).events == 0
    assert len(await case.watched(after=0, until="checkpoint")) == 5


async def test_what_is_young_is_kept_though_the_clock_is_set_forward(case: Case) -> None:
    await case.failed("young")
    ticks = 0.0
    case.steady = SteadyClock(lambda: case.now, monotonic=lambda: ticks)
    case.now += timedelta(days=365)

    assert await case.retention.run_once() == Removed(events=0, jobs=0, workflows=0)
    ticks += timedelta(days=2).total_seconds()
    assert (await case.retention.run_once()).events == 2
    ticks += timedelta(days=2).total_seconds()
    assert (await case.retention.run_once()).jobs == 1


async def test_a_clock_set_back_is_followed_at_once(case: Case) -> None:
    ticks = 0.0
    steady = SteadyClock(lambda: case.now, monotonic=lambda: ticks)
    case.now -= timedelta(days=1)
    assert steady() == START - timedelta(days=1)

    case.now += timedelta(days=1)
    ticks += 60

    assert steady() == START - timedelta(days=1) + timedelta(minutes=1)


async def test_a_watch_without_cursor_is_told_of_jobs_whose_events_are_gone(case: Case) -> None:
    await case.begun("alive")
    await case.failed("ended")
    case.now += timedelta(days=2)
    await case.retention.run_once()

    assert await case.watched(until="checkpoint") == ["SNAPSHOT alive 1", "checkpoint 3"]
    both = ["SNAPSHOT alive 1", "SNAPSHOT ended 3", "checkpoint 3"]
    assert await case.watched(include_finished=True, until="checkpoint") == both


async def test_a_request_whose_job_is_gone_is_never_carried_out_again(case: Case) -> None:
    await case.failed("gone")
    case.now += timedelta(days=4)

    assert (await case.retention.run_once()).jobs == 1

    with pytest.raises(JobNotFound):
        await case.store.get("gone")
    for ask in (
        case.store.find("film", "gone", "digest"),
        case.store.accept(case.request("gone"), job_id="other", estimated_millicredits=None, inline={}),
    ):
        with pytest.raises(JobDeleted) as refused:
            await ask
        assert refused.value.job_id == "gone"
    assert (await case.store.totals("film")).spent == PRICE


async def test_what_is_unfinished_or_unsettled_stays(case: Case) -> None:
    await case.begun("alive")
    job = await case.begun("surplus")
    await case.tasks.record(job, "task-1", None)
    await case.store.change(job, lambda job: job.ended(State.FAILED), fencing_token=job.fencing_token)
    case.now += timedelta(days=400)

    assert (await case.retention.run_once()).jobs == 0
    page = await case.store.page(Listing(), after="", limit=9)
    assert [job.job_id for job in page.jobs] == [
        "alive",
        "surplus",
    ]


async def test_two_replicas_may_remove_at_once(case: Case) -> None:
    for number in range(40):
        await case.failed(f"job-{number:02}", f"project-{number % 4}")
    case.now += timedelta(days=4)

    async with asyncio.timeout(60):
        rounds = await asyncio.gather(*(case.retention.run_once() for _ in range(4)))

    assert sum(removed.events for removed in rounds) == 80
    assert sum(removed.jobs for removed in rounds) == 40
    assert (await case.counts())["jobs"] == 0


async def test_requests_whose_jobs_are_gone_are_kept_for_ever_or_for_so_long(case: Case) -> None:
    ids = JobIds(case.clock)
    old, alive = ids.new(), ids.new()
    await case.failed(old)
    await case.begun(alive)
    case.now += timedelta(days=100)
    young = ids.new()
    await case.failed(young)
    case.now += timedelta(days=10)
    # Of a film that is gone, like the request for it.
    take = {"project_id": "film", "base": "none", "take": 1}
    await case.database.write(lambda db: db.execute(film_takes.insert().values(take)))
    await case.retention.run_once()
    counts = await case.counts()
    assert (counts["jobs"], counts["requests"], counts["film_takes"]) == (1, 3, 1)

    kept = Retention(
        database=case.database,
        workflows=NoWorkflows(),
        clock=case.clock,
        events_kept=timedelta(days=1),
        jobs_kept=timedelta(days=3),
        requests_kept=timedelta(days=90),
        metrics=NullMetrics(),
        films=delete_old_runs,
        takes=delete_old_takes,
    )

    assert (await kept.run_once()).requests == 1
    assert (await case.counts())["film_takes"] == 0
    assert await case.store.find("film", alive, "digest") is not None
    assert await case.store.find("film", old, "digest") is None
    with pytest.raises(JobDeleted):
        await case.store.find("film", young, "digest")


async def test_requests_for_plans_that_are_gone_are_kept_for_so_long(case: Case) -> None:
    """More than one batch of them, all of one moment, and among them those whose plans are still there."""
    films = film_store_of(case.database, case.clock)

    async def planned(film_id: str) -> StoredPlan:
        plan = plan_of(film_id, prefix=f"{film_id}-part")
        key = FilmRequest(request_id=film_id, digest="d")
        return await films.record("film", planned_of(plan), to_document(plan), before=None, request=key)

    await planned("alive")
    await films.delete((await planned("gone")).film)
    row = {"project_id": "film", "film_id": "none", "plan_revision": 1, "digest": "d", "created_at": to_micros(START)}
    many = [{**row, "request_id": f"r-{number:04}"} for number in range(2 * REQUESTS_AT_ONCE)]
    await case.database.write(lambda db: db.execute(film_requests.insert(), many))
    case.now += timedelta(days=100)
    await films.delete((await planned("late")).film)
    kept = Retention(
        database=case.database,
        workflows=NoWorkflows(),
        clock=case.clock,
        events_kept=timedelta(days=1),
        jobs_kept=timedelta(days=3),
        requests_kept=timedelta(days=90),
        metrics=NullMetrics(),
        films=delete_old_runs,
        takes=delete_old_takes,
    )

    await case.retention.run_once()
    assert (await case.counts())["film_requests"] == 2 * REQUESTS_AT_ONCE + 3
    assert (await kept.run_once()).requests == 2 * REQUESTS_AT_ONCE + 1

    assert (await kept.run_once()).requests == 0
    found = [await films.find("film", "none", FilmRequest(request_id=name, digest="d")) for name in ("alive", "gone")]
    assert [known is not None for known, _ in found] == [True, False]
    with pytest.raises(PlanDeleted):
        await films.find("film", "none", FilmRequest(request_id="late", digest="d"))


async def test_a_round_that_the_database_did_not_take_ends_nothing_and_the_next_removes_all(case: Case) -> None:
    class Ended:
        """An engine of which three workflows have ended, and are forgotten two at a time."""

        left = 3

        def forget_ended(self, _before: datetime, _most: int) -> int:
            number = min(2, self.left)
            self.left -= number
            return number

    retention = Retention(
        database=case.database,
        workflows=Ended(),
        clock=case.clock,
        events_kept=timedelta(days=1),
        jobs_kept=timedelta(days=3),
        metrics=NullMetrics(),
        films=delete_old_runs,
        takes=delete_old_takes,
    )
    said, logger = Said(), logging.getLogger("evergreen_server.jobs.maintenance.retention")
    logger.addHandler(said)
    with away(case.database):
        running = asyncio.create_task(retention.run())
        await said.until("retention failed")
    logger.removeHandler(said)

    assert not running.done()
    assert (await retention.run_once()).workflows == 3

    running.cancel()
    await asyncio.wait([running])
