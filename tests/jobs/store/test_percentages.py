"""Percentages of many jobs are written together, each as its own change would have been."""

import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.mapping import life_to_row, request_to_row
from evergreen_server.jobs.db.schema import job_events, jobs, projects
from evergreen_server.jobs.model.change import Change
from evergreen_server.jobs.model.job import Input, Job, JobFailure, JobWarning, Output, Pin
from evergreen_server.jobs.model.states import CostBasis, EventKind, OnUnknownSubmission, Slot, Stage
from evergreen_server.jobs.store.jobs import JobStore
from evergreen_server.jobs.store.percentages import MOST, Progress
from evergreen_server.ports.specs import Operation
from evergreen_server.rpc.messages.events import EventWire
from tests.history import START, job_id_of, write_history
from tests.jobs.tools import store_of
from tests.postgres import Postgres

COUNT, PROJECTS = 200, 5


class Case:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = START + timedelta(days=1)
        self.announced: list[Change] = []
        self.store: JobStore = store_of(
            database, clock=self._clock, changed=self._changed, encode_event=EventWire().event
        )

    def _clock(self) -> datetime:
        return self.now

    def _changed(self, changes: Sequence[Change]) -> None:
        self.announced += changes

    async def running(self) -> list[Job]:
        return [await self.store.get(job_id_of(number)) for number in range(0, COUNT, 2)]

    async def check_revisions(self) -> None:
        """Each project's revisions have no gap, and its row tells the last of them."""

        def read(db: sa.Connection) -> None:
            for project in db.execute(sa.select(projects)).mappings():
                of_project = job_events.c.project_id == project["project_id"]
                query = sa.select(job_events.c.revision).where(of_project).order_by(job_events.c.revision)
                assert list(db.execute(query).scalars()) == list(range(1, project["revision"] + 1))

        await self.database.read(read)


@pytest.fixture(params=["sqlite", "postgresql"])
async def case(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Case]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    else:
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.create()
    async with open_database(url) as database:
        await database.write(partial(write_history, count=COUNT, projects_in_all=PROJECTS, open_every=1))
        yield Case(database)


def progress_of(job: Job, progress: float, **changed: object) -> Progress:
    return Progress(**{"job": job, "fencing_token": job.fencing_token, "progress": progress, **changed})


async def test_percentages_of_many_jobs_take_a_handful_of_statements(case: Case) -> None:
    running, sent = await case.running(), 0

    def count(*_: object) -> None:
        nonlocal sent
        sent += 1

    sa.event.listen(case.database.engine, "before_cursor_execute", count)
    await case.store.flush([progress_of(job, 0.25) for job in reversed(running)])

    assert sent <= 8
    assert {job.progress for job in await case.running()} == {0.25}
    assert sorted(change.job_id for change in case.announced) == [job.job_id for job in running]
    await case.check_revisions()


async def test_a_percentage_is_told_like_any_other_change(case: Case) -> None:
    job = (await case.running())[0]

    await case.store.flush([progress_of(job, 0.5)])

    found = await case.store.get(job.job_id)
    assert found == replace(job, progress=0.5, revision=COUNT // PROJECTS + 1, updated_at=case.now)
    last = sa.select(job_events).where(job_events.c.project_id == "film-0").order_by(job_events.c.revision.desc())
    row = (await case.database.read(lambda db: db.execute(last).mappings().first())) or {}
    assert (row["job_id"], row["kind"], row["state"]) == (job.job_id, "PROGRESS", "RUNNING")


async def test_the_event_is_the_one_that_the_whole_job_makes(case: Case) -> None:
    """Only the columns that events contain are read, so each of them is given a value of its own."""
    draw, running = random.Random(11), await case.running()
    made = {job.job_id: _lived(job, draw) for job in running}

    def write(db: sa.Connection) -> None:
        for job in made.values():
            row = {**request_to_row(job.request), **life_to_row(job), "slot": job.slot}
            db.execute(jobs.update().where(jobs.c.job_id == job.job_id).values(row))

    await case.database.write(write)
    await case.store.flush([progress_of(job, 0.75) for job in made.values()])

    query = sa.select(job_events.c.job_id, job_events.c.event, job_events.c.job_kind).where(
        job_events.c.kind == "PROGRESS"
    )
    told = {row.job_id: row for row in await case.database.read(lambda db: db.execute(query).all())}
    assert told.keys() == made.keys()
    for job_id, before in made.items():
        job = await case.store.get(job_id)
        assert job == replace(before, progress=0.75, revision=job.revision, updated_at=job.updated_at)
        assert told[job_id].event == EventWire().event(EventKind.PROGRESS, job, job.updated_at)
        assert told[job_id].job_kind == job.request.spec.kind.value


def _lived(job: Job, draw: random.Random) -> Job:
    """A running job of the same owner, of which everything else is drawn."""

    def text() -> str:
        return draw.choice(["", "a", "a rocket \N{ROCKET}", "x" * 300])

    def at() -> datetime:
        return START + timedelta(microseconds=draw.randrange(10**12))

    def money() -> int | None:
        return draw.choice([None, 0, draw.randrange(10**9)])

    request = replace(
        job.request,
        digest=text(),
        spec=replace(job.request.spec, operation=draw.choice([None, *Operation]), prompt_text=text()),
        priority=draw.randrange(9),
        max_attempts=draw.randrange(1, 9),
        on_unknown_submission=draw.choice(list(OnUnknownSubmission)),
        max_millicredits=money(),
        start_by=at(),
        finish_by=draw.choice([None, at()]),
        labels={text(): text() for _ in range(draw.randrange(3))},
    )
    output = {"size_bytes": draw.randrange(10**9), "crc32c": draw.randrange(2**32), "width": 640, "height": 360}
    return replace(
        job,
        request=request,
        stage=draw.choice(list(Stage)),
        progress=draw.choice([0.0, 0.5]),
        restarts=draw.randrange(3),
        replica=text(),
        submit_token=text(),
        slot=draw.choice([None, *Slot]),
        not_before=draw.choice([None, at()]),
        submitted_at=draw.choice([None, at()]),
        task_id=text(),
        delete_sent=draw.choice([False, True]),
        estimated_millicredits=money(),
        charged_millicredits=money(),
        cost_basis=draw.choice([None, *CostBasis]),
        charge_basis=draw.choice([None, *CostBasis]),
        inputs=tuple(Input(role=text(), asset=text(), uri=text()) for _ in range(draw.randrange(3))),
        pins=draw.choice([(), (None, Pin(size_bytes=1, sha256="ab"))]),
        outputs=tuple(
            Output(path=text(), content_type=text(), duration_seconds=draw.random(), poster=text(), **output)
            for _ in range(draw.randrange(3))
        ),
        warnings=tuple(JobWarning(code=text(), message=text()) for _ in range(draw.randrange(3))),
        error=draw.choice([None, JobFailure(reason=text(), message=text(), provider_code=text(), retryable=True)]),
        created_at=at(),
        started_at=draw.choice([None, at()]),
        updated_at=at(),
    )


@pytest.mark.parametrize("why", ["another owns it", "of an earlier attempt", "no news", "less", "it has ended", "gone"])
async def test_what_is_no_news_or_not_the_owners_is_left_out(case: Case, why: str) -> None:
    job, other = (await case.running())[:2]
    await case.store.flush([progress_of(job, 0.5)])
    job = await case.store.get(job.job_id)
    bad = {
        "another owns it": progress_of(job, 0.9, fencing_token="another"),
        "of an earlier attempt": progress_of(replace(job, attempt=2), 0.9),
        "no news": progress_of(job, 0.5),
        "less": progress_of(job, 0.4),
        "it has ended": progress_of(job, 0.9),
        "gone": progress_of(replace(job, job_id="gone"), 0.9),
    }[why]
    if why == "it has ended":
        ended = jobs.update().where(jobs.c.job_id == job.job_id).values(state="SUCCEEDED", ended_at=1)
        await case.database.write(lambda db: db.execute(ended))
    case.announced.clear()

    await case.store.flush([bad, progress_of(other, 0.9)])

    assert [change.job_id for change in case.announced] == [other.job_id]
    assert (await case.store.get(job.job_id)).progress == 0.5
    await case.check_revisions()


async def test_the_times_of_a_job_rise_though_the_clock_was_set_back(case: Case) -> None:
    job = (await case.running())[-1]
    case.now = START - timedelta(days=1)

    await case.store.flush([progress_of(job, 0.5)])

    assert (await case.store.get(job.job_id)).updated_at == job.updated_at


async def test_more_than_one_transaction_may_hold_goes_into_several(case: Case) -> None:
    job = (await case.running())[0]
    commits = 0

    def count(_db: object) -> None:
        nonlocal commits
        commits += 1

    sa.event.listen(case.database.engine, "commit", count)
    await case.store.flush(
        [progress_of(replace(job, job_id=f"gone-{number}"), 0.5) for number in range(MOST)] + [progress_of(job, 0.5)]
    )

    assert commits == 2
    assert (await case.store.get(job.job_id)).progress == 0.5


async def test_percentages_that_the_database_did_not_take_are_lost_and_nothing_else(
    case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    running = await case.running()

    def away(*_: object) -> None:
        raise sa.exc.OperationalError("a statement", None, ConnectionError("the database is away"))

    sa.event.listen(case.database.engine, "before_cursor_execute", away)
    await case.store.flush([progress_of(job, 0.25) for job in running])
    sa.event.remove(case.database.engine, "before_cursor_execute", away)

    assert "progress not written" in caplog.text
    assert case.announced == []
    assert [job.progress for job in await case.running()] == [job.progress for job in running]

    await case.store.flush([progress_of(job, 0.5) for job in running])

    assert {job.progress for job in await case.running()} == {0.5}
    await case.check_revisions()
