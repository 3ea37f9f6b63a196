"""Lists jobs by filters, in the order of their ids, and so of their age.

Candidates come from an index that is in this order; what it does not hold of the filters is then looked up for each.
Where few of very many candidates match, a page ends early, so that no list reads a whole table.
"""

import heapq
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

import sqlalchemy as sa

from evergreen_server.jobs.db.mapping import to_micros
from evergreen_server.jobs.db.schema import job_labels, jobs
from evergreen_server.jobs.model.job import JobRequest
from evergreen_server.jobs.model.states import State
from evergreen_server.ports.specs import MediaKind
from evergreen_server.runtime.ids import first_at

LOOKED_AT = 2000
"""How many candidates are looked at for one page."""
AT_ONCE = 200
IDS_LOOKED_AT, IDS_AT_ONCE = 20_000, 2_000
"""The same where the id alone decides: nothing is read but an index."""
FEWEST = 20
"""How many of one part are read at once, at least: a caller's projects and kinds may be many parts."""
UNITED = 20
"""How many parts one statement reads at most; SQLite takes 500."""
MOST_PARTS = 200
"""Beyond these, states are looked up rather than read from an index of each."""
ID_AHEAD = timedelta(minutes=1)
"""An id is made before its job is accepted, or after by the clock if that was set back; by hardly more than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Which jobs a list has, and in which order. Empty filters match all."""

    project_id: str = ""
    scene_id: str = ""
    states: Collection[State] = ()
    kinds: Collection[MediaKind] = frozenset(MediaKind)
    models: Collection[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    """The job has all of them."""
    created_from: datetime | None = None
    created_before: datetime | None = None
    projects: Collection[str] | None = None
    """Only jobs of these, whatever the other filters say; None for all."""
    id_part: str = ""
    """What an id begins or ends with."""
    newest_first: bool = False

    def names(self, job_id: str) -> bool:
        """Returns whether `id_part` is of this id."""
        return job_id.endswith(self.id_part) or job_id.startswith(self.id_part)

    @property
    def owners(self) -> Sequence[str] | None:
        """Returns the projects that may have such jobs; None for any."""
        if not self.project_id:
            return None if self.projects is None else sorted(self.projects)
        return [self.project_id] if self.projects is None or self.project_id in self.projects else []


def labels_of(job_id: str, request: JobRequest) -> list[dict[str, str]]:
    """Returns the rows by which a job is found by its labels."""
    row = {"job_id": job_id, "project_id": request.project_id}
    return [{**row, "name": name, "value": value} for name, value in request.labels.items()]


def list_ids(db: sa.Connection, listing: Listing, after: str, limit: int) -> tuple[list[str], str]:
    """Returns the next ids of a list, `limit` at most, and where to go on; that is empty if there are no more.

    There may be fewer, even none, though others follow.
    """
    parts, wanted = _parts(listing)
    if not wanted and not listing.id_part:
        # One more tells whether the list goes on.
        ids = _first(db, parts, listing, after, limit + 1)
        return ids[:limit], ids[limit - 1] if len(ids) > limit else ""
    most, at_once = (LOOKED_AT, AT_ONCE) if wanted else (IDS_LOOKED_AT, IDS_AT_ONCE)
    step = max(FEWEST, at_once // max(1, len(parts)))
    candidates = heapq.merge(*(_scan(db, part, listing, after, step) for part in parts), reverse=listing.newest_first)
    found: list[str] = []
    last, looked = after, 0
    while some := list(islice(candidates, at_once)):
        named = [job_id for job_id in some if listing.names(job_id)]
        matching = _matching(db, named, wanted) if wanted and named else set(named)
        for job_id in some:
            if (job_id in matching and len(found) == limit) or looked == most:
                return found, last
            last, looked = job_id, looked + 1
            if job_id in matching:
                found.append(job_id)
    return found, ""


Part = tuple["sa.Select[tuple[str]]", "sa.Column[str]"]
"""A query for ids by one index, without its order and bounds, and their column."""


def _parts(listing: Listing) -> tuple[Sequence[Part], Sequence[sa.ColumnElement[bool]]]:
    """Returns what has the candidates, each in the order of an index, and what they are to meet besides."""
    owners, kinds, states = listing.owners, sorted(set(listing.kinds)), sorted(set(listing.states))
    models, labels = sorted(set(listing.models)), sorted(listing.labels.items())
    wanted: list[sa.ColumnElement[bool]] = []
    if listing.created_from is not None:
        wanted.append(jobs.c.created_at >= to_micros(listing.created_from))
    if listing.created_before is not None:
        wanted.append(jobs.c.created_at < to_micros(listing.created_before))
    if labels:
        (name, value), *others = labels
        query = sa.select(job_labels.c.job_id).where(job_labels.c.name == name, job_labels.c.value == value)
        wanted += [_labelled(*other) for other in others]
        if len(kinds) < len(MediaKind):
            wanted.append(jobs.c.kind.in_(kinds))
        if listing.scene_id:
            wanted.append(jobs.c.scene_id == listing.scene_id)
        if states:
            wanted.append(jobs.c.state.in_(states))
        if models:
            wanted.append(jobs.c.model.in_(models))
        return [(part, job_labels.c.job_id) for part in _each(query, job_labels.c.project_id, owners)], wanted
    queries = _each(sa.select(jobs.c.job_id), jobs.c.project_id, owners)
    if listing.scene_id:
        queries = [query.where(jobs.c.scene_id == listing.scene_id) for query in queries]
        # The index of a scene's jobs is in order only within a state.
        states = states or sorted(State)
    queries = [part for query in queries for part in _each(query, jobs.c.kind, kinds)]
    if states and (listing.scene_id or len(queries) * len(states) <= MOST_PARTS):
        queries = [part for query in queries for part in _each(query, jobs.c.state, states)]
    elif states:
        wanted.append(jobs.c.state.in_(states))
    elif models and owners is not None and len(owners) == 1:
        return [(part, jobs.c.job_id) for query in queries for part in _each(query, jobs.c.model, models)], wanted
    if models:
        wanted.append(jobs.c.model.in_(models))
    return [(query, jobs.c.job_id) for query in queries], wanted


def _each(
    query: "sa.Select[tuple[str]]", column: "sa.Column[str]", values: Sequence[str] | None
) -> "Sequence[sa.Select[tuple[str]]]":
    """Returns a query for each value of a column; the query itself for any value."""
    return [query] if values is None else [query.where(column == value) for value in values]


def _labelled(name: str, value: str) -> sa.ColumnElement[bool]:
    return sa.exists().where(
        job_labels.c.job_id == jobs.c.job_id, job_labels.c.name == name, job_labels.c.value == value
    )


def _matching(
    db: sa.Connection, candidates: Sequence[str], wanted: Sequence[sa.ColumnElement[bool]]
) -> Collection[str]:
    """Returns those of some jobs that meet every condition."""
    return set(db.execute(sa.select(jobs.c.job_id).where(jobs.c.job_id.in_(candidates), *wanted)).scalars())


def _first(db: sa.Connection, parts: Sequence[Part], listing: Listing, after: str, most: int) -> list[str]:
    """Returns the first ids of all parts together, by one statement for several of them."""
    found: list[str] = []
    for start in range(0, len(parts), UNITED):
        queries = [_next(part, listing, after, most) for part in parts[start : start + UNITED]]
        # In brackets of its own each, since each has an order and a limit.
        united = queries[0] if len(queries) == 1 else sa.union_all(*(sa.select(query.subquery()) for query in queries))
        found += [row.job_id for row in db.execute(united)]
    return sorted(found, reverse=listing.newest_first)[:most]


def _scan(db: sa.Connection, part: Part, listing: Listing, after: str, step: int) -> Iterator[str]:
    """Yields the candidates of one part in order, reading some at a time, and of them nothing but the index."""
    while True:
        found = [row.job_id for row in db.execute(_next(part, listing, after, step))]
        yield from found
        if len(found) < step:
            return
        after = found[-1]


def _next(part: Part, listing: Listing, after: str, most: int) -> "sa.Select[tuple[str]]":
    """Returns the query for the next ids of one part."""
    query, column = part
    if listing.created_from is not None:
        query = query.where(column >= first_at(listing.created_from, -ID_AHEAD))
    if listing.created_before is not None:
        query = query.where(column < first_at(listing.created_before, ID_AHEAD))
    if after:
        query = query.where(column < after if listing.newest_first else column > after)
    return query.order_by(column.desc() if listing.newest_first else column).limit(most)
