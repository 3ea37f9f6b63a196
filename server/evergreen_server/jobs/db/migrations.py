"""The schema, step by step: each version is what its step adds to the one before.

A new database gets all tables at once. Of replicas that start together the first one migrates, and the others wait.
"""

import re
from collections.abc import Callable, Mapping

import sqlalchemy as sa

from evergreen_server.jobs.db import webhook_schema
from evergreen_server.jobs.db.bulk import insert_all
from evergreen_server.jobs.db.queries import ADD_JOBS, COUNT_JOBS, INSERT_NEEDS
from evergreen_server.jobs.db.schema import (
    COUNTERS,
    job_events,
    job_labels,
    jobs,
    ledger,
    projects,
    provider_tasks,
    requests,
    scene_deletions,
)
from evergreen_server.jobs.model.states import State

VERSION = 3
LOCK = 0x65766572
"""The key of the advisory lock, on PostgreSQL; SQLite has one writer anyway."""

JOBS_AT_ONCE = 1000
SET_UPDATED = (
    projects.update().where(projects.c.project_id == sa.bindparam("of_project")).values(updated_at=sa.bindparam("at"))
)
UNSTORABLE = re.compile("[\0\ud800-\udfff]")

schema_version = sa.Table("schema_version", sa.MetaData(), sa.Column("version", sa.Integer, nullable=False))


class SchemaTooNew(Exception):
    """A newer release has migrated the database."""


def migrate(db: sa.Connection) -> None:
    """Brings the schema to VERSION, in the caller's transaction. Raises SchemaTooNew."""
    if db.dialect.name == "postgresql":
        # The others wait here for the replica that migrates, for longer than for a row.
        db.execute(sa.text("SET LOCAL lock_timeout = '60s'; SET LOCAL statement_timeout = '60s'"))
        db.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
    version = _version(db)
    if version > VERSION:
        raise SchemaTooNew(
            f"has schema version {version}, and this release knows {VERSION} at most; install a newer release"
        )
    # New tables of every version, those of films and webhooks too; existing ones are left as they are.
    webhook_schema.metadata.create_all(db)
    if version:
        for step in range(version + 1, VERSION + 1):
            STEPS[step](db)
        # All at the end, since some are on columns that a later step adds.
        for index in (*jobs.indexes, *provider_tasks.indexes, *requests.indexes):
            index.create(db, checkfirst=True)
    if version != VERSION:
        db.execute(schema_version.delete())
        db.execute(schema_version.insert().values(version=VERSION))


def current(db: sa.Connection) -> bool:
    """Returns whether the schema is of this release already, so that nothing must be created."""
    if not sa.inspect(db).has_table(schema_version.name):
        return False
    return db.execute(sa.select(schema_version.c.version)).scalar() == VERSION


def _version(db: sa.Connection) -> int:
    """Returns the schema's version; 0 if there is none yet."""
    inspector = sa.inspect(db)
    known = inspector.has_table(schema_version.name)
    schema_version.create(db, checkfirst=True)
    if known and (version := db.execute(sa.select(schema_version.c.version)).scalar()) is not None:
        return int(version)
    # The first version did not record its number.
    return 1 if inspector.has_table(jobs.name) else 0


def _add(db: sa.Connection, *columns: "sa.Column[object]") -> None:
    """Adds columns to tables of an earlier version. Each needs a server default or must be nullable."""
    for column in columns:
        definition = sa.schema.CreateColumn(column).compile(dialect=db.dialect)
        db.execute(sa.text(f"ALTER TABLE {column.table} ADD COLUMN {definition}"))


def _second(db: sa.Connection) -> None:
    _add(db, jobs.c.replica, jobs.c.charge_basis, jobs.c.slot, jobs.c.not_before)
    _add(db, provider_tasks.c.role, scene_deletions.c.replica)
    _add(db, projects.c.reserved_millicredits, projects.c.confirmed_millicredits, projects.c.bounded_millicredits)
    # The sums of the ledger as it was then: reservations, and settlements by what is known of them.
    settled = ledger.alias("settled")
    mine = ledger.c.project_id == projects.c.project_id
    amount = sa.select(sa.func.coalesce(sa.func.sum(ledger.c.millicredits), 0)).where(mine)
    is_settled = sa.exists().where(
        settled.c.job_id == ledger.c.job_id, settled.c.attempt == ledger.c.attempt, settled.c.entry == "SETTLE"
    )
    spent = amount.where(ledger.c.entry == "SETTLE")
    db.execute(
        projects.update().values(
            reserved_millicredits=amount.where(ledger.c.entry == "RESERVE", ~is_settled).scalar_subquery(),
            confirmed_millicredits=spent.where(ledger.c.basis == "CONFIRMED").scalar_subquery(),
            bounded_millicredits=spent.where(ledger.c.basis == "UPPER_BOUND").scalar_subquery(),
        )
    )
    _slots(db)


def _slots(db: sa.Connection) -> None:
    """Fills `slot` for jobs that were queued or under way."""
    waits = sa.and_(jobs.c.state == "QUEUED", jobs.c.stage == "WAITING")
    submitted = sa.and_(
        jobs.c.state.in_(["RUNNING", "CANCELLING"]), jobs.c.stage != "DELIVERING", jobs.c.submit_token != ""
    )
    db.execute(jobs.update().where(waits).values(slot="WANTED"))
    db.execute(jobs.update().where(submitted).values(slot="HELD"))


def _third(db: sa.Connection) -> None:
    _add(db, jobs.c.pins, jobs.c.duration_seconds, jobs.c.kind, jobs.c.operation, jobs.c.spec_more, jobs.c.numbered)
    _add(db, jobs.c.film_id, jobs.c.film_run, jobs.c.stage_at, jobs.c.traceparent)
    _add(db, job_events.c.job_kind, scene_deletions.c.note)
    # They are made anew, with more columns.
    for index in ("jobs_by_project", "jobs_by_state"):
        db.execute(sa.text(f"DROP INDEX IF EXISTS {index}"))
    # Parsed here, not by the database: one text that it cannot represent would fail the whole query.
    query = sa.select(jobs.c.job_id, jobs.c.project_id, jobs.c.scene_id, jobs.c.spec).where(jobs.c.ended_at.is_(None))
    durations: list[dict[str, object]] = []
    needs: list[dict[str, object]] = []
    for row in db.execute(query.execution_options(yield_per=500)):
        if (seconds := row.spec.get("duration_seconds")) is not None:
            durations.append({"of_job": row.job_id, "duration_seconds": seconds})
        key = {"project_id": row.project_id, "scene_id": row.scene_id, "job_id": row.job_id}
        paths = {media["asset"].lower() for media in row.spec["media"] if media.get("asset")}
        needs += ({**key, "path": path} for path in paths)
    if durations:
        db.execute(jobs.update().where(jobs.c.job_id == sa.bindparam("of_job")), durations)
    if needs:
        db.execute(INSERT_NEEDS, needs)
    _labels(db)
    _counters(db)


def _counters(db: sa.Connection) -> None:
    """Counts the jobs of each project by state, and fills in when the last of them changed."""
    _add(db, projects.c.updated_at, *COUNTERS.values())
    none = dict.fromkeys((counter.name for counter in COUNTERS.values()), 0)
    numbers: list[dict[str, object]] = []
    last: dict[str, int] = {}
    # By one look at all jobs: the index of a project's jobs is made only after this.
    for row in db.execute(COUNT_JOBS.add_columns(sa.func.max(jobs.c.updated_at).label("updated_at"))):
        numbers.append({**none, "of_project": row.project_id, COUNTERS[State(row.state)].name: row.number})
        last[row.project_id] = max(last.get(row.project_id, 0), row.updated_at)
    if numbers:
        db.execute(ADD_JOBS, numbers)
        db.execute(SET_UPDATED, [{"of_project": project_id, "at": at} for project_id, at in last.items()])


def _labels(db: sa.Connection) -> None:
    """Fills `job_labels` for the jobs that there are; those that an older server accepts later are left out."""
    query = sa.select(jobs.c.job_id, jobs.c.project_id, jobs.c.labels)
    query = query.where(sa.cast(jobs.c.labels, sa.Text) != "{}").order_by(jobs.c.job_id).limit(JOBS_AT_ONCE)
    after = ""
    while found := db.execute(query.where(jobs.c.job_id > after)).all():
        after = found[-1].job_id
        rows = [
            {"job_id": row.job_id, "project_id": row.project_id, "name": name, "value": value}
            for row in found
            for name, value in row.labels.items()
            # No request can ask for what no database can store as a text of its own.
            if not UNSTORABLE.search(name + value)
        ]
        if rows:
            insert_all(db, job_labels, rows)


STEPS: Mapping[int, Callable[[sa.Connection], None]] = {2: _second, 3: _third}
"""What each version changes in the tables of the one before it; new tables and their indexes are created before."""
