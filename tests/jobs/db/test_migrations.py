"""The schema: brought up to date once, whoever starts first, and never downgraded."""

import asyncio
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from evergreen_server.jobs.db.connect import DatabaseUnusable, open_database
from evergreen_server.jobs.db.migrations import VERSION, schema_version
from evergreen_server.jobs.db.schema import (
    COUNTERS,
    job_events,
    job_labels,
    job_needs,
    jobs,
    ledger,
    metadata,
    projects,
    provider_tasks,
    scene_deletions,
)
from evergreen_server.jobs.model.states import State
from evergreen_server.jobs.store.projects import list_projects, miscounted
from tests.history import START, job_id_of, write_history
from tests.postgres import Postgres


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    postgres: Postgres = request.getfixturevalue("postgres")
    return postgres.create()


async def test_a_database_of_the_first_version_is_brought_up_to_date(url: str) -> None:
    async with open_database(url) as database:
        fresh = await database.read(shape)
        await database.write(back_to_the_first)
        assert await database.read(shape) != fresh

    async with open_database(url) as database:
        assert await database.read(shape) == fresh
        assert await database.read(version) == VERSION


async def test_a_database_of_the_second_version_is_brought_up_to_date(url: str) -> None:
    async with open_database(url) as database:
        fresh = await database.read(shape)
    second(url, 300)

    async with open_database(url) as database:
        assert await database.read(shape) == fresh
        assert await database.read(version) == VERSION
        found = await database.read(durations)

    assert found == {True: {None}, False: {5}}, "filled in where a job has not ended, and only there"


async def test_a_text_that_the_database_cannot_read_back_does_not_keep_it_from_being_brought_up_to_date(
    url: str,
) -> None:
    async with open_database(url):
        pass
    second(url, 300, prompt='a rocket\0rises, and \ud800 is "duration_seconds": 9')

    async with open_database(url) as database:
        assert await database.read(durations) == {True: {None}, False: {5}}


async def test_jobs_of_the_second_version_are_found_by_their_labels(url: str) -> None:
    async with open_database(url):
        pass
    labels = ({"take": "1", "who": "ann"}, {}, {"take": "2\0"}, {"take": "\ud800"})
    second(url, 3000, labels=labels)

    async with open_database(url) as database:
        found = await database.read(lambda db: db.execute(sa.select(job_labels)).mappings().all())

    assert sorted(tuple(row[name] for name in ("job_id", "project_id", "name", "value")) for row in found) == [
        (job_id_of(number), f"film-{number % 10}", name, value)
        for number in range(0, 3000, 4)
        for name, value in labels[0].items()
    ]


async def test_jobs_of_the_second_version_are_counted_in_their_projects(url: str) -> None:
    async with open_database(url):
        pass
    second(url, 300)

    async with open_database(url) as database:
        assert not await database.read(miscounted)
        found = await database.read(lambda db: list_projects(db, "", 100, None))

    every = Counter()
    for project in found:
        every.update(project.jobs)
    assert +every == {State.RUNNING: 2, State.QUEUED: 1, State.SUCCEEDED: 297}
    assert len(found) == 10
    assert all(project.updated_at == START + timedelta(seconds=290 + at) for at, project in enumerate(found))


async def test_what_jobs_of_the_second_version_need_is_known(url: str) -> None:
    async with open_database(url):
        pass
    second(url, 300, asset="images/Hero.png")

    async with open_database(url) as database:
        unfinished = await database.read(
            lambda db: set(db.execute(sa.select(jobs.c.job_id).where(jobs.c.ended_at.is_(None))).scalars())
        )
        found = await database.read(lambda db: {(row.job_id, row.path) for row in db.execute(sa.select(job_needs))})

    assert len(found) == 3
    assert found == {(job_id, "images/hero.png") for job_id in unfinished}


async def test_the_sums_of_projects_are_made_from_the_ledger(url: str) -> None:
    entries = [
        ("film", "a", 1, "RESERVE", 24, "UPPER_BOUND"),
        ("film", "a", 1, "SETTLE", 20, "CONFIRMED"),
        ("film", "a", 2, "RESERVE", 7, "UPPER_BOUND"),
        ("film", "b", 1, "RESERVE", 5, "UPPER_BOUND"),
        ("film", "b", 1, "SETTLE", 5, "UPPER_BOUND"),
        ("other", "c", 1, "RESERVE", 3, "UPPER_BOUND"),
    ]
    names = ("project_id", "job_id", "attempt", "entry", "millicredits", "basis")

    def fill(db: sa.Connection) -> None:
        db.execute(
            projects.insert(), [{"project_id": name, "revision": 0, "created_at": 0} for name in ("film", "other")]
        )
        db.execute(ledger.insert(), [{**dict(zip(names, entry, strict=True)), "created_at": 0} for entry in entries])
        back_to_the_first(db)

    async with open_database(url) as database:
        await database.write(fill)

    async with open_database(url) as database:
        columns = "reserved_millicredits, confirmed_millicredits, bounded_millicredits"
        query = sa.text(f"SELECT {columns} FROM projects ORDER BY project_id")
        found = await database.read(lambda db: [tuple(row) for row in db.execute(query)])

    assert found == [(7, 20, 5), (3, 0, 0)]


async def test_a_newer_schema_is_refused(url: str) -> None:
    async with open_database(url) as database:
        await database.write(lambda db: db.execute(schema_version.update().values(version=VERSION + 1)))

    with pytest.raises(DatabaseUnusable, match=f"schema version {VERSION + 1}.*newer release"):
        async with open_database(url):
            pass


async def test_many_replicas_that_start_at_once_migrate_once(postgres: Postgres) -> None:
    url = postgres.create()
    async with open_database(url) as database:
        await database.write(back_to_the_first)
    opened: list[int] = []
    everyone = asyncio.Barrier(5)

    async def start() -> None:
        async with open_database(url) as database:
            opened.append(await database.read(version))
            await everyone.wait()

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(start())

    assert opened == [VERSION] * 5


async def test_a_password_is_not_repeated_where_the_database_cannot_be_reached() -> None:
    with pytest.raises(DatabaseUnusable, match="cannot be opened") as refused:
        async with open_database("postgresql://someone:sesame@127.0.0.1:1/jobs"):
            pass

    assert "sesame" not in str(refused.value)


THIRD_INDEXES = (
    "jobs_open",
    "jobs_by_film",
    "jobs_by_project_state",
    "jobs_by_scene",
    "jobs_by_model",
    "jobs_by_revision",
    "provider_tasks_unsettled",
    "requests_by_job",
)
SECOND = Path(__file__).with_name("schema_2.sql")


def second(url: str, count: int, **history: Any) -> None:
    """Puts a database of the second version, with jobs in it, in the place of one of today."""
    parsed = sa.make_url(url)
    shared = parsed.get_backend_name() == "postgresql"
    engine = sa.create_engine(parsed.set(drivername="postgresql+psycopg") if shared else parsed)
    with engine.begin() as db:
        metadata.drop_all(db)
        db.execute(sa.text("DROP TABLE schema_version"))
        for statement in SECOND.read_text().format(binary="BYTEA" if shared else "BLOB").split(";\n")[:-1]:
            db.exec_driver_sql(statement)
        write_history(db, count, **history)
    engine.dispose()


def durations(db: sa.Connection) -> dict[bool, set[int | None]]:
    """The durations in the column, by whether their jobs have ended."""
    found: dict[bool, set[int | None]] = {}
    for row in db.execute(sa.select(jobs.c.ended_at, jobs.c.duration_seconds)):
        found.setdefault(row.ended_at is not None, set()).add(row.duration_seconds)
    return found


def version(db: sa.Connection) -> int:
    return db.execute(sa.select(schema_version.c.version)).scalar_one()


def shape(db: sa.Connection) -> dict[str, dict[str, object]]:
    """The tables with their columns: type, whether NULL is allowed, default; and their indexes."""
    inspector = sa.inspect(db)
    return {
        table: {
            **{
                column["name"]: (str(column["type"]), column["nullable"], column["default"])
                for column in inspector.get_columns(table)
            },
            "indexes": sorted((str(index["name"]), index["column_names"]) for index in inspector.get_indexes(table)),
        }
        for table in metadata.tables
        if inspector.has_table(table)
    }


def back_to_the_first(db: sa.Connection) -> None:
    """Makes of a new database what the first version had."""
    for table in ("films", "film_plans", "film_requests", "film_runs", "film_outputs", "film_takes", "film_exports"):
        db.execute(sa.text(f"DROP TABLE {table}"))
    for table in ("job_files", "job_labels", "job_needs", "asset_claims", "scene_writers", "storage_locks", "replicas"):
        db.execute(sa.text(f"DROP TABLE {table}"))
    for table in ("webhooks", "webhook_projects", "webhook_cursors", "webhook_messages", "webhook_deliveries"):
        db.execute(sa.text(f"DROP TABLE {table}"))
    for table in ("schema_version", "model_queues", "turns", "audit"):
        db.execute(sa.text(f"DROP TABLE {table}"))
    for index in (
        "jobs_by_slot",
        "jobs_by_end",
        "jobs_by_kind",
        "jobs_by_project",
        "jobs_by_state",
        "provider_tasks_by_age",
        *THIRD_INDEXES,
    ):
        db.execute(sa.text(f"DROP INDEX {index}"))
    db.execute(sa.text("CREATE INDEX jobs_by_project ON jobs (project_id, job_id)"))
    db.execute(sa.text("CREATE INDEX jobs_by_state ON jobs (state, job_id)"))
    sums = (projects.c.reserved_millicredits, projects.c.confirmed_millicredits, projects.c.bounded_millicredits)
    counted = (projects.c.updated_at, *COUNTERS.values())
    third = (
        jobs.c.pins,
        jobs.c.duration_seconds,
        jobs.c.kind,
        jobs.c.operation,
        jobs.c.spec_more,
        jobs.c.numbered,
        jobs.c.film_id,
        jobs.c.film_run,
        jobs.c.stage_at,
        jobs.c.traceparent,
        job_events.c.job_kind,
        scene_deletions.c.note,
    )
    added = (jobs.c.replica, jobs.c.charge_basis, jobs.c.slot, jobs.c.not_before, *third)
    for column in (*added, provider_tasks.c.role, scene_deletions.c.replica, *sums, *counted):
        db.execute(sa.text(f"ALTER TABLE {column.table} DROP COLUMN {column.name}"))
