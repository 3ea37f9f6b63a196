"""Statements that the driver's own cursor runs: what they give, and what their errors do to a connection."""

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from evergreen_server.jobs.db import queries
from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.db.database import TRANSIENT_ERRORS, Database
from evergreen_server.jobs.db.mapping import job_from_row
from evergreen_server.jobs.db.schema import jobs, provider_tasks
from evergreen_server.jobs.db.statement import Statement
from evergreen_server.jobs.model.job import JobFailure, JobWarning, Output
from evergreen_server.jobs.store.reader import get_job
from tests.jobs.tools import request_at, store_of
from tests.postgres import Postgres

NOW = datetime(2026, 11, 1, tzinfo=UTC)
TASK = {"task_id": "task-1", "job_id": "job-1", "attempt": 1, "submit_token": "", "role": "NEW", "created_at": 0}
SECRET = "a prompt that nobody else may read"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url) as opened:
        yield opened


async def with_job(database: Database) -> None:
    request = request_at(NOW)
    request = replace(request, spec=replace(request.spec, prompt_text=SECRET, options={"shots": [1.5, None]}))
    await store_of(database, clock=lambda: NOW).accept(request, job_id="job-1", estimated_millicredits=None, inline={})


async def test_a_row_has_the_values_that_sqlalchemy_reads(database: Database) -> None:
    await with_job(database)
    output = Output(
        path="a.mp4", content_type="video/mp4", size_bytes=1, crc32c=2, width=3, height=4, duration_seconds=5.5
    )
    store = store_of(database, clock=lambda: NOW)
    await store.command(
        "job-1",
        lambda job: replace(
            job,
            progress=0.25,
            delete_sent=True,
            outputs=(output,),
            warnings=(JobWarning(code="LATE", message="ein Ä"),),
            error=JobFailure(reason="INTERNAL", message="x"),
        ),
    )

    def read(db: sa.Connection) -> tuple[object, object]:
        plain = db.execute(sa.select(jobs).where(jobs.c.job_id == "job-1")).mappings().one()
        return dict(plain), queries.READ_JOB.first(db, {"of_job": "job-1"})

    for _ in range(2):
        plain, found = await database.read(read)
        assert found == plain
    assert job_from_row(found).outputs == (output,)
    assert await database.fetch(lambda db: queries.READ_JOB.first(db, {"of_job": "job-2"})) is None


async def test_rows_that_are_there_already_are_told_from_new_ones(database: Database) -> None:
    async def inserted() -> int:
        return await database.write(lambda db: queries.INSERT_TASK.run(db, {**TASK, "estimated_millicredits": None}))

    assert [await inserted(), await inserted()] == [1, 0]


async def test_an_error_is_sqlalchemys_and_shows_no_value(database: Database) -> None:
    await with_job(database)

    def twice(db: sa.Connection) -> None:
        row = dict(db.execute(sa.select(jobs)).mappings().one())
        queries.INSERT_JOB.run(db, {**row, "request_id": "two"})

    with pytest.raises(sa.exc.IntegrityError) as raised:
        await database.write(twice)

    assert SECRET not in str(raised.value)
    assert await database.fetch(lambda db: get_job(db, "job-1"))


async def test_a_parameter_that_is_missing_is_no_null(database: Database) -> None:
    with pytest.raises(AssertionError, match="missing"):
        await database.write(lambda db: queries.SET_ROLE.run(db, {"of_task": "task-1"}))


async def test_who_listens_to_statements_hears_of_these(database: Database) -> None:
    await with_job(database)
    heard: list[str] = []

    def listen(_db: object, _cursor: object, statement: str, *_: object) -> None:
        heard.append(statement)

    before = await database.fetch(lambda db: queries.READ_JOB.first(db, {"of_job": "job-1"}))
    sa.event.listen(database.engine, "before_cursor_execute", listen)
    try:
        after = await database.fetch(lambda db: queries.READ_JOB.first(db, {"of_job": "job-1"}))
        again = await database.write(lambda db: queries.SET_ROLE.run(db, {"of_task": "none", "role": "OWN"}))
    finally:
        sa.event.remove(database.engine, "before_cursor_execute", listen)

    assert (after, again) == (before, 0)
    assert [statement.split()[0] for statement in heard if not statement.startswith("BEGIN")] == ["SELECT", "UPDATE"]


async def test_a_connection_that_breaks_is_dropped_with_all_others(postgres: Postgres) -> None:
    async with open_database(postgres.create()) as database:
        backend = Statement(sa.select(sa.func.pg_backend_pid().label("pid")))
        end = sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = :pid")
        pid = await database.write(lambda db: backend.scalar(db, {}))

        def broken(db: sa.Connection) -> None:
            mine = backend.scalar(db, {})
            with database.engine.connect() as other:
                other.execute(end, {"pid": mine})
            try:
                backend.scalar(db, {})
            finally:
                assert db.invalidated

        with pytest.raises(TRANSIENT_ERRORS) as raised:
            await database.write(broken)
        after = {await database.write(lambda db: backend.scalar(db, {})) for _ in range(20)}

    assert isinstance(raised.value, sa.exc.DBAPIError)
    assert raised.value.connection_invalidated
    assert pid not in after


@pytest.mark.parametrize("state", ["25006", "26000", "42P05"])
async def test_a_connection_that_is_of_no_use_any_more_is_dropped(postgres: Postgres, state: str) -> None:
    async with open_database(postgres.create()) as database:
        fail = Statement(sa.text(f"DO $$ BEGIN RAISE EXCEPTION 'as it says' USING ERRCODE = '{state}'; END $$"))
        backend = Statement(sa.select(sa.func.pg_backend_pid().label("pid")))
        before = {await database.write(lambda db: backend.scalar(db, {})) for _ in range(20)}
        with pytest.raises(TRANSIENT_ERRORS):
            await database.write(lambda db: fail.run(db, {}))
        after = {await database.write(lambda db: backend.scalar(db, {})) for _ in range(20)}

    assert not before & after


async def test_a_file_that_is_damaged_is_a_database_that_is_away(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    async with open_database(f"sqlite:///{path}"):
        pass
    with sqlite3.connect(path) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'provider_tasks'").fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    every = Statement(sa.select(provider_tasks).order_by(provider_tasks.c.role))

    async with open_database(f"sqlite:///{path}") as database:
        for _ in range(2):
            with pytest.raises(TRANSIENT_ERRORS, match="malformed"):
                await database.read(lambda db: every.first(db, {}))
