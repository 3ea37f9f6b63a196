"""Percentages of many jobs are written together, each as its own change would have been."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.schema import job_events, jobs, projects
from evergreen_server.jobs.model.change import Change
from evergreen_server.jobs.model.job import Job
from evergreen_server.jobs.store.jobs import JobStore
from evergreen_server.jobs.store.percentages import MOST, Progress
from tests.history import START, job_id_of, write_history
from tests.jobs.tools import store_of
from tests.postgres import Postgres

COUNT, PROJECTS = 200, 5


class Case:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = START + timedelta(days=1)
        self.announced: list[Change] = []
        self.store: JobStore = store_of(database, clock=self._clock, changed=self._changed)

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
