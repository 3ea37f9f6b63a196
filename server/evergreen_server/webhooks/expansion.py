"""What expands the events of a project into deliveries: what lies after its cursor, who hears of it, the rows of both.

Events are read before the webhooks: whatever is committed after a webhook was set up is expanded by a transaction that
sees it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import sqlalchemy as sa

from evergreen_server.jobs.db.mapping import from_micros, to_micros
from evergreen_server.jobs.db.schema import job_events, projects
from evergreen_server.jobs.db.webhook_schema import (
    webhook_cursors,
    webhook_deliveries,
    webhook_messages,
    webhook_projects,
    webhooks,
)
from evergreen_server.runtime.ids import ids_at
from evergreen_server.webhooks.kinds import wants
from evergreen_server.webhooks.model import EVERY, DeliveryState, Webhook, WebhookState
from evergreen_server.webhooks.rows import BEHIND, lock_cursor, webhook_of

__all__ = ["Ahead", "Happening", "Moved", "Reader", "expand", "floor", "printed", "read", "wanted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """What an event tells of."""

    type: str
    job_id: str
    film_id: str
    labels: Mapping[str, str]


class Reader(Protocol):
    """Reads events as they were recorded, and prints them as they are sent."""

    def read(self, event: bytes) -> Happening | None:
        """Returns what it tells; None for what no webhook hears of."""
        ...

    def body(self, event: bytes) -> bytes:
        """Returns the JSON of it, below 20,000 bytes."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    revision: int
    event: bytes
    created_at: datetime
    happening: Happening | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """What of a project lies after its cursor."""

    cursor: int
    head: int
    compacted: int
    wanting: Sequence[tuple[Webhook, int]]
    """Who hears of the project, each after a revision; when it was read."""
    events: Sequence[Event]
    more: bool
    """Whether further ones may follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """How far an expansion came, and which webhooks it gave something to send."""

    cursor: int
    missed: int
    """Events that were not kept for it."""
    told: frozenset[str]


def floor(db: sa.Connection, project_id: str) -> int | None:
    """Returns up to which revision a project's events are expanded, beyond which none may be removed; None if no
    webhook wants to hear of it.
    """
    if db.execute(_wanting(project_id).limit(1)).first() is None:
        return None
    query = sa.select(webhook_cursors.c.revision).where(webhook_cursors.c.project_id == project_id)
    return int(db.execute(query).scalar() or 0)


def _wanting(project_id: str) -> "sa.Select[tuple[str]]":
    return (
        sa.select(webhooks.c.webhook_id)
        .join(webhook_projects, webhook_projects.c.webhook_id == webhooks.c.webhook_id)
        .where(webhook_projects.c.project_id.in_([project_id, EVERY]), webhooks.c.state == WebhookState.ACTIVE.value)
    )


def wanted(db: sa.Connection, *, among: Sequence[str] | None) -> list[str]:
    """Returns those of some projects, or of all, that are behind and that somebody wants to hear of."""
    active = (
        sa.select(webhook_projects.c.project_id)
        .join(webhooks, webhooks.c.webhook_id == webhook_projects.c.webhook_id)
        .where(webhooks.c.state == WebhookState.ACTIVE.value)
    )
    every = active.where(webhook_projects.c.project_id == EVERY).limit(1)
    query = BEHIND.with_only_columns(projects.c.project_id)
    if among is not None:
        query = query.where(projects.c.project_id.in_(among))
    if db.execute(every).first() is None:
        query = query.where(projects.c.project_id.in_(active))
    return list(db.execute(query.order_by(projects.c.project_id)).scalars())


def read(db: sa.Connection, *, project_id: str, reader: Reader, most: int) -> Ahead:
    """Returns the next events of a project, and who hears of it."""
    query = sa.select(projects.c.revision, projects.c.compacted_revision).where(projects.c.project_id == project_id)
    head, compacted = db.execute(query).one_or_none() or (0, 0)
    of_project = webhook_cursors.c.project_id == project_id
    cursor = db.execute(sa.select(webhook_cursors.c.revision).where(of_project)).scalar() or 0
    # What every webhook has begun after is passed over, however much it is.
    wanting = _those_wanting(db, project_id)
    first = min((since for _, since in wanting), default=head)
    rows = db.execute(
        sa.select(job_events.c.revision, job_events.c.event, job_events.c.created_at)
        .where(
            job_events.c.project_id == project_id,
            job_events.c.revision > max(cursor, first),
            job_events.c.revision <= head,
        )
        .order_by(job_events.c.revision)
        .limit(most)
    ).all()
    events = [
        Event(
            revision=row.revision,
            event=row.event,
            created_at=from_micros(row.created_at),
            happening=reader.read(row.event),
        )
        for row in rows
    ]
    more = len(events) == most
    return Ahead(cursor=cursor, head=head, compacted=compacted, wanting=wanting, events=events, more=more)


def _those_wanting(db: sa.Connection, project_id: str) -> list[tuple[Webhook, int]]:
    """Returns the active webhooks that hear of a project, each with the revision after which it does."""
    rows = (
        sa.select(webhooks, webhook_projects.c.since_revision)
        .join(webhook_projects, webhook_projects.c.webhook_id == webhooks.c.webhook_id)
        .where(webhook_projects.c.project_id.in_([project_id, EVERY]), webhooks.c.state == WebhookState.ACTIVE.value)
    )
    since: dict[str, int] = {}
    found: dict[str, Webhook] = {}
    for row in db.execute(rows).mappings():
        found[row["webhook_id"]] = webhook_of(row)
        since[row["webhook_id"]] = max(since.get(row["webhook_id"], 0), row["since_revision"])
    return [(webhook, since[webhook_id]) for webhook_id, webhook in found.items()]


def printed(ahead: Ahead, body: Callable[[bytes], bytes], most: int) -> Mapping[int, bytes]:
    """Returns the bodies of what is told next, by revision, as far as the webhooks are still the same."""
    heard, _ = _heard(ahead.events, ahead.wanting, most)
    return {event.revision: body(event.event) for event, _, _ in heard}


def _heard(
    events: Sequence[Event], wanting: Sequence[tuple[Webhook, int]], most: int
) -> tuple[list[tuple[Event, Happening, list[Webhook]]], int]:
    """Returns what of the first events is told, and to whom; and how many those are, for about `most` deliveries."""
    heard: list[tuple[Event, Happening, list[Webhook]]] = []
    deliveries = 0
    for number, event in enumerate(events):
        if deliveries >= most:
            return heard, number
        if event.happening is None:
            continue
        happening = event.happening
        listening = [webhook for webhook, since in wanting if since < event.revision and _hears(webhook, happening)]
        if listening:
            heard.append((event, happening, listening))
            deliveries += len(listening)
    return heard, len(events)


def expand(
    db: sa.Connection, *, project_id: str, ahead: Ahead, body: Callable[[Event], bytes], most: int
) -> Moved | None:
    """Inserts what the webhooks want of events that were read, and moves the cursor; None if it has moved since."""
    if lock_cursor(db, project_id) != ahead.cursor:
        return None
    # Only now, after the events: see above.
    wanting = _those_wanting(db, project_id)
    heard, number = _heard(ahead.events, wanting, most)
    # Up to there lies nothing else that any of them wants.
    ended = number == len(ahead.events) and not ahead.more
    reached = ahead.head if ended else ahead.events[number - 1].revision
    messages: list[dict[str, object]] = []
    deliveries: list[dict[str, object]] = []
    # In the order of the events, also where some have one time, as those of one change.
    ids = ids_at(event.created_at for event, _, _ in heard)
    for (event, happening, listening), message_id in zip(heard, ids, strict=True):
        at = to_micros(event.created_at)
        messages.append(
            {
                "message_id": message_id,
                "project_id": project_id,
                "revision": event.revision,
                "type": happening.type,
                "job_id": happening.job_id,
                "film_id": happening.film_id,
                "body": body(event),
                "created_at": at,
            }
        )
        deliveries += (
            {
                "message_id": message_id,
                "webhook_id": webhook.webhook_id,
                "state": DeliveryState.PENDING.value,
                "attempts": 0,
                "next_at": at,
                "claim": "",
                "last_answer": b"",
            }
            for webhook in listening
        )
    if messages:
        db.execute(webhook_messages.insert(), messages)
        db.execute(webhook_deliveries.insert(), deliveries)
    of_project = webhook_cursors.c.project_id == project_id
    db.execute(webhook_cursors.update().where(of_project).values(revision=reached))
    _forget_begins(db, project_id, reached)
    since = min((since for _, since in wanting), default=ahead.head)
    return Moved(
        cursor=reached,
        missed=max(0, ahead.compacted - max(ahead.cursor, since)),
        told=frozenset(str(row["webhook_id"]) for row in deliveries),
    )


def _hears(webhook: Webhook, happening: Happening) -> bool:
    if not wants(webhook.filter.types, happening.type):
        return False
    return webhook.filter.labels.items() <= happening.labels.items()


def _forget_begins(db: sa.Connection, project_id: str, reached: int) -> None:
    """Removes what is no longer needed of webhooks for all projects: they hear of all that is to be expanded now."""
    every = sa.select(webhook_projects.c.webhook_id).where(webhook_projects.c.project_id == EVERY)
    db.execute(
        webhook_projects.delete().where(
            webhook_projects.c.project_id == project_id,
            webhook_projects.c.since_revision <= reached,
            webhook_projects.c.webhook_id.in_(every),
        )
    )
