"""Webhooks and deliveries to rows and back, and when a webhook begins to hear of a project."""

from collections.abc import Collection, Mapping
from datetime import datetime

import sqlalchemy as sa

from evergreen_server.jobs.db.database import insert_new
from evergreen_server.jobs.db.mapping import from_micros, to_micros
from evergreen_server.jobs.db.schema import projects
from evergreen_server.jobs.db.webhook_schema import (
    webhook_cursors,
    webhook_messages,
    webhook_projects,
)
from evergreen_server.webhooks.model import EVERY, Delivery, DeliveryState, Webhook, WebhookFilter, WebhookState

__all__ = ["BEHIND", "MESSAGE", "begin", "delivery_of", "extend", "lock_cursor", "to_row", "webhook_of"]

MESSAGE = tuple(column for column in webhook_messages.c if column is not webhook_messages.c.body)
"""What of a message is read with its delivery."""

BEHIND = (
    sa.select(projects.c.project_id, projects.c.revision)
    .select_from(projects.outerjoin(webhook_cursors, webhook_cursors.c.project_id == projects.c.project_id))
    .where(projects.c.revision > sa.func.coalesce(webhook_cursors.c.revision, 0))
)
"""Projects with events that are not expanded."""


def to_row(webhook: Webhook) -> dict[str, object]:
    return {
        "webhook_id": webhook.webhook_id,
        "url": webhook.url,
        "projects": list(webhook.filter.projects),
        "all_projects": webhook.filter.all_projects,
        "types": list(webhook.filter.types),
        "labels": dict(webhook.filter.labels),
        "description": webhook.description,
        "state": webhook.state.value,
        "switched_off_reason": webhook.switched_off_reason,
        "generation": webhook.generation,
        "fingerprint": webhook.fingerprint,
        "old_fingerprint": webhook.old_fingerprint,
        "old_secret_until": _micros(webhook.old_secret_until),
        "quick": webhook.quick,
        "failing_since": _micros(webhook.failing_since),
        "last_status": webhook.last_status,
        "last_error": webhook.last_error,
        "last_attempt_at": _micros(webhook.last_attempt_at),
        "created_at": to_micros(webhook.created_at),
        "updated_at": to_micros(webhook.updated_at),
    }


def webhook_of(row: sa.RowMapping) -> Webhook:
    return Webhook(
        webhook_id=row["webhook_id"],
        url=row["url"],
        filter=WebhookFilter(projects=tuple(row["projects"]), types=tuple(row["types"]), labels=row["labels"]),
        description=row["description"],
        state=WebhookState(row["state"]),
        switched_off_reason=row["switched_off_reason"],
        generation=row["generation"],
        fingerprint=row["fingerprint"],
        old_fingerprint=row["old_fingerprint"],
        old_secret_until=_time(row["old_secret_until"]),
        quick=row["quick"],
        failing_since=_time(row["failing_since"]),
        last_status=row["last_status"],
        last_error=row["last_error"],
        last_attempt_at=_time(row["last_attempt_at"]),
        created_at=from_micros(row["created_at"]),
        updated_at=from_micros(row["updated_at"]),
    )


def delivery_of(row: sa.RowMapping, message: sa.RowMapping) -> Delivery:
    return Delivery(
        message_id=row["message_id"],
        webhook_id=row["webhook_id"],
        project_id=message["project_id"],
        revision=message["revision"],
        type=message["type"],
        job_id=message["job_id"],
        film_id=message["film_id"],
        state=DeliveryState(row["state"]),
        attempts=row["attempts"],
        next_at=from_micros(row["next_at"]),
        last_attempt_at=_time(row["last_attempt_at"]),
        last_status=row["last_status"],
        last_error=row["last_error"],
        last_milliseconds=row["last_milliseconds"],
        last_answer=row["last_answer"],
        created_at=from_micros(message["created_at"]),
    )


def lock_cursor(db: sa.Connection, project_id: str) -> int:
    """Locks how far a project is expanded, and returns it; 0 for one that never was."""
    query = sa.select(webhook_cursors.c.revision).where(webhook_cursors.c.project_id == project_id).with_for_update()
    revision = db.execute(query).scalar()
    if revision is None:
        # Another transaction may create it at the same time; then its row is locked.
        insert_new(db, webhook_cursors, {"project_id": project_id, "revision": 0})
        revision = db.execute(query).scalar_one()
    return int(revision)


def begin(db: sa.Connection, webhook_id: str, wanted: Collection[str] | None) -> None:
    """Has a webhook hear from now on of some projects, or of all.

    Of what is not expanded yet it is told nothing: that happened before. What is committed from here on has higher
    revisions, and whoever expands it sees these rows.
    """
    if wanted is None:
        _insert(db, webhook_id, {EVERY: 0})
        # Of all others everything is expanded, so that all that is to come is new.
        had = sa.select(webhook_projects.c.project_id).where(webhook_projects.c.webhook_id == webhook_id)
        behind = BEHIND.add_columns(sa.literal(webhook_id)).where(projects.c.project_id.not_in(had))
        columns = ["project_id", "since_revision", "webhook_id"]
        db.execute(webhook_projects.insert().from_select(columns, behind))
        return
    query = sa.select(projects.c.project_id, projects.c.revision).where(projects.c.project_id.in_(sorted(wanted)))
    revisions = {row.project_id: row.revision for row in db.execute(query)}
    _insert(db, webhook_id, {each: revisions.get(each, 0) for each in wanted})


def extend(db: sa.Connection, webhook_id: str, had: Collection[str] | None, wanted: Collection[str] | None) -> None:
    """Has a webhook hear of other projects than it had; None stands for all. Of those that stay it misses nothing."""
    if wanted is None:
        begin(db, webhook_id, None)
        return
    of_webhook = webhook_projects.c.webhook_id == webhook_id
    db.execute(webhook_projects.delete().where(of_webhook, webhook_projects.c.project_id.not_in(sorted(wanted))))
    if had is not None:
        begin(db, webhook_id, set(wanted) - set(had))
        return
    # It heard of all, and so of whatever is not expanded yet.
    known = set(db.execute(sa.select(webhook_projects.c.project_id).where(of_webhook)).scalars())
    _insert(db, webhook_id, dict.fromkeys(set(wanted) - known, 0))


def _insert(db: sa.Connection, webhook_id: str, since: Mapping[str, int]) -> None:
    rows = [
        {"project_id": project_id, "webhook_id": webhook_id, "since_revision": revision}
        for project_id, revision in sorted(since.items())
    ]
    if rows:
        db.execute(webhook_projects.insert(), rows)


def _micros(at: datetime | None) -> int | None:
    return None if at is None else to_micros(at)


def _time(value: int | None) -> datetime | None:
    return None if value is None else from_micros(value)
