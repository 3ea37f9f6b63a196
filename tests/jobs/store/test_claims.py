"""Executions become the owners of their jobs, many in one transaction."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.model.errors import Superseded
from evergreen_server.jobs.model.job import Job, JobFailure
from evergreen_server.jobs.store.jobs import JobStore
from tests.jobs.tools import request_at, store_of
from tests.postgres import Postgres

NOW = datetime(2026, 11, 26, tzinfo=UTC)
MANY = 250
PATIENCE_SECONDS = 60


@pytest.fixture(params=["sqlite", "postgresql"])
async def databases(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Database, Database]]:
    """One database as two replicas have it open; on SQLite, which is for one, both are the same."""
    async with AsyncExitStack() as stack:
        if request.param == "sqlite":
            database = await stack.enter_async_context(open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}"))
            yield database, database
        else:
            postgres: Postgres = request.getfixturevalue("postgres")
            url = postgres.create()
            first, second = [await stack.enter_async_context(open_database(url)) for _ in range(2)]
            yield first, second


async def accepted(store: JobStore, count: int, *, projects: int = 1) -> list[str]:
    """Has jobs accepted, the next ever in the next project."""
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            request = replace(request_at(NOW), request_id=f"r{number}", project_id=f"film-{number % projects}")
            group.create_task(store.accept(request, job_id=f"job-{number}", estimated_millicredits=None, inline={}))
    return [f"job-{number}" for number in range(count)]


async def begin(store: JobStore, job_id: str, fencing_token: str, *, attempt: int = 1, restarts: int = 0) -> Job | None:
    return await store.claim(job_id, attempt=attempt, restarts=restarts, fencing_token=fencing_token)


async def test_many_jobs_of_many_projects_begin_at_once(databases: tuple[Database, Database]) -> None:
    store = store_of(databases[0], clock=lambda: NOW)
    job_ids = await accepted(store, MANY, projects=7)

    begun = await asyncio.gather(*(begin(store, job_id, f"of {job_id}") for job_id in job_ids))

    assert [job and job.fencing_token for job in begun] == [f"of {job_id}" for job_id in job_ids]
    assert [await store.get(job_id) for job_id in job_ids] == begun


async def test_what_is_not_to_be_begun_keeps_nobody_else_from_beginning(databases: tuple[Database, Database]) -> None:
    store = store_of(databases[0], clock=lambda: NOW)
    await accepted(store, 4)
    await store.command("job-1", lambda job: job.failed(JobFailure(reason="OVER", message="it is over")))

    begun = await asyncio.gather(
        begin(store, "job-0", "a"),
        begin(store, "job-1", "b"),
        begin(store, "job-2", "c", restarts=1),
        begin(store, "job-3", "d"),
        begin(store, "job-4", "e"),
    )

    assert [job and job.fencing_token for job in begun] == ["a", None, None, "d", None]
    assert [(await store.get(f"job-{number}")).fencing_token for number in range(4)] == ["a", "", "", "d"]


async def test_of_two_that_begin_a_job_the_later_one_owns_it(databases: tuple[Database, Database]) -> None:
    store = store_of(databases[0], clock=lambda: NOW)
    await accepted(store, 1)

    first, second = await asyncio.gather(begin(store, "job-0", "first"), begin(store, "job-0", "second"))

    assert first is not None
    assert second is not None
    with pytest.raises(Superseded):
        await store.change(first, lambda job: replace(job, progress=0.5), fencing_token="first")
    assert (await store.change(second, lambda job: replace(job, progress=0.5), fencing_token="second")).progress == 0.5


async def test_two_replicas_that_begin_the_same_jobs_in_contrary_order_do_not_block_each_other(
    databases: tuple[Database, Database],
) -> None:
    stores = [store_of(database, clock=lambda: NOW) for database in databases]
    job_ids = await accepted(stores[0], MANY, projects=7)

    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.gather(
            *(begin(stores[0], job_id, "first") for job_id in job_ids),
            *(begin(stores[1], job_id, "second") for job_id in reversed(job_ids)),
        )

    assert {(await stores[0].get(job_id)).fencing_token for job_id in job_ids} <= {"first", "second"}


async def test_what_cannot_be_read_keeps_nobody_else_from_beginning(databases: tuple[Database, Database]) -> None:
    store = store_of(databases[0], clock=lambda: NOW)
    job_ids = await accepted(store, 50)
    with databases[0].engine.begin() as db:
        db.exec_driver_sql("UPDATE jobs SET state = 'OF_A_LATER_RELEASE' WHERE job_id = 'job-7'")

    begun = await asyncio.gather(*(begin(store, job_id, "me") for job_id in job_ids), return_exceptions=True)

    assert [number for number, job in enumerate(begun) if not isinstance(job, Job)] == [7]
    assert isinstance(begun[7], ValueError)


async def test_what_its_replica_has_given_up_is_not_taken_from_the_next(databases: tuple[Database, Database]) -> None:
    first, second = (store_of(database, clock=lambda: NOW) for database in databases)
    job_ids = await accepted(first, MANY)
    given_up = [asyncio.create_task(begin(first, job_id, "first")) for job_id in job_ids]
    await asyncio.sleep(0)
    for task in given_up:
        task.cancel()

    await asyncio.gather(*(begin(second, job_id, "second") for job_id in job_ids))
    await asyncio.wait(given_up)
    # Behind whatever the first still had to write.
    await begin(first, job_ids[0], "first")

    assert {(await second.get(job_id)).fencing_token for job_id in job_ids[1:]} == {"second"}


async def test_who_gives_up_waiting_owns_the_job_all_the_same_and_holds_up_nobody(tmp_path: Path) -> None:
    async with open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}") as database:
        store = store_of(database, clock=lambda: NOW)
        await accepted(store, 2)
        impatient = asyncio.create_task(begin(store, "job-0", "gone"))
        patient = asyncio.create_task(begin(store, "job-1", "there"))
        await asyncio.sleep(0)
        impatient.cancel()

        begun = await patient

    assert begun is not None
    assert impatient.cancelled()
    async with open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}") as database:
        assert (await store_of(database, clock=lambda: NOW).get("job-0")).fencing_token == "gone"


async def test_all_hear_of_a_database_that_fails_and_the_next_ones_begin(tmp_path: Path) -> None:
    async with open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}") as database:
        store = store_of(database, clock=lambda: NOW)
        await accepted(store, 3)
        with database.engine.begin() as db:
            db.exec_driver_sql("ALTER TABLE jobs RENAME TO hidden")

        failed = await asyncio.gather(*(begin(store, f"job-{n}", "me") for n in range(2)), return_exceptions=True)
        with database.engine.begin() as db:
            db.exec_driver_sql("ALTER TABLE hidden RENAME TO jobs")

        assert [type(error) for error in failed] == [OperationalError, OperationalError]
        assert await begin(store, "job-2", "me") is not None


async def test_nobody_waits_for_a_closed_database(tmp_path: Path) -> None:
    async with open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}") as database:
        store = store_of(database, clock=lambda: NOW)

    for _ in range(2):
        with pytest.raises(RuntimeError, match="after shutdown"):
            await begin(store, "job-0", "me")


async def test_a_job_that_another_is_changing_begins_after_that_and_the_others_at_once(postgres: Postgres) -> None:
    async with open_database(postgres.create()) as database:
        store = store_of(database, clock=lambda: NOW)
        await accepted(store, 2)
        with database.engine.begin() as db:
            db.exec_driver_sql("SELECT 1 FROM jobs WHERE job_id = 'job-0' FOR UPDATE")
            held = asyncio.create_task(begin(store, "job-0", "late"))
            async with asyncio.timeout(PATIENCE_SECONDS):
                assert await begin(store, "job-1", "soon") is not None
            assert not held.done()

        async with asyncio.timeout(PATIENCE_SECONDS):
            begun = await held

    assert begun is not None
    assert begun.fencing_token == "late"
