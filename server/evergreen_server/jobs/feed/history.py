"""Reads events from their table: new ones of many projects, and those that a watcher of one has missed."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from evergreen_server.jobs.db.mapping import from_micros
from evergreen_server.jobs.db.schema import job_events, projects
from evergreen_server.jobs.db.statement import Statement
from evergreen_server.jobs.feed.window import Entry
from evergreen_server.jobs.model.states import FINAL, EventKind

ROWS = 4000
"""About so many events are read at once."""
FEWEST, MOST = 16, 500
"""How many events of one project are read at once: the fewest while very many projects have changed."""
STRETCH = 2000
"""Revisions searched at once for the events of some jobs, which may be few among them."""

_FINAL = frozenset(state.value for state in FINAL)
_COLUMNS = [column for column in job_events.c if column is not job_events.c.project_id]

Event: TypeAlias = Mapping[str, Any]

AFTER = (
    sa.select(*_COLUMNS)
    .where(job_events.c.project_id == sa.bindparam("project"), job_events.c.revision > sa.bindparam("cursor"))
    .order_by(job_events.c.revision)
    .limit(sa.bindparam("most"))
)
_AFTER = Statement(AFTER)
REVISIONS = sa.select(projects.c.revision, projects.c.compacted_revision).where(
    projects.c.project_id == sa.bindparam("project")
)


def _after_many() -> "sa.Select[tuple[object, ...]]":
    """Returns the query for the events after each project's cursor, as one statement for PostgreSQL."""
    pairs = (
        sa.func.unnest(
            sa.bindparam("projects", type_=postgresql.ARRAY(sa.Text)),
            sa.bindparam("cursors", type_=postgresql.ARRAY(sa.BigInteger)),
        )
        .table_valued(sa.column("project_id", sa.Text), sa.column("cursor", sa.BigInteger))
        .render_derived("watched")
    )
    # Laterally: otherwise a planner may assume that so many projects need the whole table.
    events = (
        sa.select(*_COLUMNS)
        .where(job_events.c.project_id == pairs.c.project_id, job_events.c.revision > pairs.c.cursor)
        .order_by(job_events.c.revision)
        .limit(sa.bindparam("most"))
        .lateral("news")
    )
    return sa.select(pairs.c.project_id, *events.c).select_from(pairs.join(events, sa.true()))


AFTER_MANY = Statement(_after_many())


def most_of_each(number: int) -> int:
    """Returns how many events are read at once of each of so many projects."""
    return max(FEWEST, min(MOST, ROWS // number))


def new_events(db: sa.Connection, cursors: Mapping[str, int]) -> dict[str, tuple[list[Entry], datetime]]:
    """Returns the next events of each project after its cursor, and when the first of them was written.

    Projects without any are left out; of each at most `most_of_each` are returned.
    """
    most = most_of_each(len(cursors))
    found: dict[str, list[Event]] = {}
    if db.dialect.name == "postgresql":
        values = {"projects": list(cursors), "cursors": list(cursors.values()), "most": most}
        for row in AFTER_MANY.all(db, values):
            found.setdefault(row["project_id"], []).append(row)
    else:
        # SQLite is in this process, so a statement costs no round trip.
        for project_id, cursor in cursors.items():
            if rows := _AFTER.all(db, {"project": project_id, "cursor": cursor, "most": most}):
                found[project_id] = list(rows)
    for rows in found.values():
        rows.sort(key=lambda row: row["revision"])
    return {project_id: (_entries(rows), from_micros(rows[0]["created_at"])) for project_id, rows in found.items()}


def old_events(
    db: sa.Connection, project_id: str, cursor: int, job_ids: Collection[str], most: int
) -> tuple[Sequence[Entry], int, int]:
    """Returns a project's next events after a cursor, or those of some jobs, the revision up to which that is all,
    and the one up to which events are no longer kept.
    """
    revision, compacted = db.execute(REVISIONS, {"project": project_id}).one_or_none() or (cursor, 0)
    query = AFTER
    if job_ids:
        # In stretches, since a million other events may lie between two of these jobs.
        revision = min(revision, cursor + STRETCH)
        query = query.where(job_events.c.job_id.in_(job_ids), job_events.c.revision <= revision)
    rows = db.execute(query, {"project": project_id, "cursor": cursor, "most": most}).mappings()
    entries = _entries(dict(row) for row in rows)
    return entries, entries[-1].revision if len(entries) == most else revision, compacted


def _entries(rows: Iterable[Event]) -> list[Entry]:
    return [
        Entry(
            row["revision"],
            row["job_id"],
            row["kind"] == EventKind.PROGRESS,
            row["state"] in _FINAL,
            row["job_kind"],
            row["event"],
        )
        for row in rows
    ]
