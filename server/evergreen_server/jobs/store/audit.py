"""Who did what, as rows: each is written in the transaction of what it tells of, and listed newest first.

Entries come from the index that suits the filters best; what it does not hold of them is looked up for each. Where few
of very many match, a page ends early, so that no list reads the whole table.
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.mapping import from_micros, to_micros
from evergreen_server.jobs.db.queries import INSERT_NOTE
from evergreen_server.jobs.db.schema import RARE, audit
from evergreen_server.ports.audit import Action, Note, Origin
from evergreen_server.runtime.ids import id_at, least_at

LOOKED_AT = 2000
"""How many rows of an index are looked at for one page."""
DELETED_AT_ONCE = 1000
REFUSALS_KEPT = 100_000
"""Of refused tokens only so many entries are kept, however many addresses try some."""

OFTEN = frozenset({Action.GENERATE, Action.UPLOAD_ASSET})
"""Actions of which a project may have more entries than all projects have of any other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Something that a caller did."""

    entry_id: str
    at: datetime
    note: Note
    project_id: str
    scene_id: str
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Which entries a list has. Empty filters match all."""

    project_id: str = ""
    actions: Collection[Action] = ()
    caller: str = ""
    subject: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some entries, and after which one the next page begins; empty on the last one."""

    entries: Collection[Entry]
    more: str


def record(
    db: sa.Connection,
    now: datetime,
    note: Note | None,
    *,
    project_id: str = "",
    scene_id: str = "",
    subject: str = "",
    **details: object,
) -> str:
    """Records what a caller did, in the transaction that does it; nothing where it was the service itself.

    `details` are added to those of the note. Returns the entry's id, empty for none.
    """
    if note is None:
        return ""
    row = row_of(now, note, project_id=project_id, scene_id=scene_id, subject=subject, **details)
    INSERT_NOTE.run(db, row)
    return str(row["entry_id"])


def row_of(
    now: datetime, note: Note, *, project_id: str = "", scene_id: str = "", subject: str = "", **details: object
) -> dict[str, object]:
    """Returns the row that `record` writes."""
    origin = note.origin
    return {
        "entry_id": id_at(now),
        "action": note.action.value,
        "project_id": project_id,
        "scene_id": scene_id,
        "subject": subject,
        "caller": origin.caller,
        "call_id": origin.call_id,
        "address": origin.address,
        "trace_id": origin.trace_id,
        "details": {**note.details, **{name: str(value) for name, value in details.items()}},
        "created_at": to_micros(now),
    }


def settle(db: sa.Connection, entry_id: str) -> None:
    """Records that what an entry tells of was done: takes away its `outcome`."""
    one = audit.c.entry_id == entry_id
    details = db.execute(sa.select(audit.c.details).where(one)).scalar()
    if details is not None:
        settled = {name: value for name, value in details.items() if name != "outcome"}
        db.execute(audit.update().where(one).values(details=settled))


def forget(db: sa.Connection, entry_id: str) -> None:
    """Deletes the entry of what was not done after all."""
    db.execute(audit.delete().where(audit.c.entry_id == entry_id))


def to_json(note: Note) -> dict[str, object]:
    """Returns a note as JSON, for what is recorded only once it is done."""
    return asdict(note)


def from_json(kept: Mapping[str, Any]) -> Note:
    """Returns the note that `to_json` was given."""
    return Note(origin=Origin(**kept["origin"]), action=Action(kept["action"]), details=kept["details"])


class AuditReader:
    """Lists entries."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, question: Question, *, after: str, limit: int, owner: str) -> Page:
        """Returns the next entries, newest first and `limit` at most: those older than the one named by `after`.

        There may be fewer, even none, though others follow. Who asks is the `owner`, as of `Database.read_in_turn`.
        """
        return await self._database.read_in_turn(lambda db: list_entries(db, question, after, limit), owner=owner)


def list_entries(db: sa.Connection, question: Question, after: str, limit: int) -> Page:
    """Returns what `AuditReader.page` does, within a transaction."""
    parts, wanted = _parts(question)
    most = LOOKED_AT if wanted else limit + 1
    looked = sorted({entry_id for part in parts for entry_id in _scan(db, part, question, after, most)}, reverse=True)
    ended, looked = len(looked) < most, looked[:most]
    query = sa.select(audit).where(audit.c.entry_id.in_(looked), *wanted)
    rows = db.execute(query.order_by(audit.c.entry_id.desc()).limit(limit + 1)).all() if looked else []
    entries = [_entry(row) for row in rows[:limit]]
    if len(rows) > limit:
        return Page(entries=entries, more=entries[-1].entry_id)
    return Page(entries=entries, more="" if ended else looked[-1])


def delete_old(db: sa.Connection, before: datetime) -> int:
    """Deletes a batch of entries from before a time, or of refused tokens beyond those that are kept; returns how
    many."""
    old = sa.select(audit.c.entry_id).where(audit.c.entry_id < least_at(before)).order_by(audit.c.entry_id)
    refused = sa.select(audit.c.entry_id).where(audit.c.action == Action.TOKEN_REFUSED.value, RARE)
    surplus = refused.order_by(audit.c.entry_id.desc()).offset(REFUSALS_KEPT)
    found = list(db.execute(old.limit(DELETED_AT_ONCE)).scalars())
    found = found or list(db.execute(surplus.limit(DELETED_AT_ONCE)).scalars())
    if found:
        db.execute(audit.delete().where(audit.c.entry_id.in_(found)))
    return len(found)


def _parts(question: Question) -> "tuple[list[sa.Select[tuple[str]]], list[sa.ColumnElement[bool]]]":
    """Returns what has the candidates, each in the order of an index, and what they are to meet besides."""
    wanted = {
        "subject": [question.subject],
        "action": sorted(action.value for action in question.actions),
        "project_id": [question.project_id],
        "caller": [question.caller],
    }
    wanted = {name: values for name, values in wanted.items() if any(values)}
    parts = [sa.select(audit.c.entry_id)]
    if "subject" in wanted:
        parts = [parts[0].where(audit.c.subject == wanted.pop("subject")[0])]
    elif "action" in wanted and not OFTEN.intersection(question.actions):
        parts = [parts[0].where(audit.c.action == action, RARE) for action in wanted.pop("action")]
    elif "project_id" in wanted:
        parts = [parts[0].where(audit.c.project_id == question.project_id)]
        del wanted["project_id"]
    return parts, [audit.c[name].in_(values) for name, values in wanted.items()]


def _scan(
    db: sa.Connection, part: "sa.Select[tuple[str]]", question: Question, after: str, most: int
) -> Collection[str]:
    """Returns the newest candidates of one part, and of them nothing but the index."""
    query = part.order_by(audit.c.entry_id.desc()).limit(most)
    if after:
        query = query.where(audit.c.entry_id < after)
    if question.since is not None:
        query = query.where(audit.c.entry_id >= least_at(question.since))
    if question.until is not None:
        query = query.where(audit.c.entry_id < least_at(question.until))
    return [row.entry_id for row in db.execute(query)]


def _entry(row: "sa.Row[tuple[object, ...]]") -> Entry:
    found = row._mapping
    origin = Origin(
        caller=found["caller"], call_id=found["call_id"], address=found["address"], trace_id=found["trace_id"]
    )
    return Entry(
        entry_id=found["entry_id"],
        at=from_micros(found["created_at"]),
        note=Note(origin=origin, action=Action(found["action"]), details=found["details"]),
        project_id=found["project_id"],
        scene_id=found["scene_id"],
        subject=found["subject"],
    )
