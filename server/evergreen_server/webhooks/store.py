"""The webhooks as rows: each method is one transaction, and returns what that committed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.mapping import to_micros
from evergreen_server.jobs.db.webhook_schema import PENDING, webhook_deliveries, webhook_projects, webhooks
from evergreen_server.jobs.store.audit import record
from evergreen_server.ports.audit import Note
from evergreen_server.webhooks.model import (
    EVERY,
    TooManyWebhooks,
    Webhook,
    WebhookFilter,
    WebhookNotFound,
    WebhookReused,
    WebhookState,
)
from evergreen_server.webhooks.rows import begin, extend, lock_cursor, to_row, webhook_of

__all__ = ["MOST_OF_PROJECT", "Asked", "WebhookStore"]

MOST: Final = 10_000
MOST_OF_PROJECT: Final = 100
MOST_PENDING: Final = 1000
"""Beyond that, deliveries that are still to be made are not counted."""
REQUEST_KNOWN: Final = timedelta(days=1)
ROWS_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """By which request a webhook was asked for, so that it can be repeated."""

    owner: str
    request_id: str
    digest: str


class WebhookStore:
    """Reads and changes webhooks."""

    def __init__(self, *, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    async def create(self, webhook: Webhook, asked: Asked | None, note: Note | None = None) -> tuple[Webhook, bool]:
        """Records a webhook, which hears of what happens from now on, or returns the one that the request made.

        Returns also whether it existed. Raises TooManyWebhooks, WebhookReused.
        """

        def work(db: sa.Connection) -> tuple[Webhook, bool]:
            # One at a time, since they are counted.
            lock_cursor(db, EVERY)
            if asked is not None and (known := self._known(db, asked)) is not None:
                return known, True
            _check_room(db, webhook.filter, MOST)
            values = (
                {}
                if asked is None
                else {
                    "request_owner": asked.owner,
                    "request_id": asked.request_id,
                    "request_digest": asked.digest,
                }
            )
            db.execute(webhooks.insert(), {**to_row(webhook), **values})
            begin(db, webhook.webhook_id, None if webhook.filter.all_projects else webhook.filter.projects)
            _record(db, webhook.created_at, note, webhook)
            return webhook, False

        return await self._database.write(work)

    def _known(self, db: sa.Connection, asked: Asked) -> Webhook | None:
        same = webhooks.c.request_owner == asked.owner, webhooks.c.request_id == asked.request_id
        row = db.execute(sa.select(webhooks).where(*same)).mappings().first()
        if row is None:
            return None
        webhook = webhook_of(row)
        if webhook.created_at <= self._clock() - REQUEST_KNOWN:
            db.execute(webhooks.update().where(*same).values(request_owner=None, request_id=None))
            return None
        if row["request_digest"] != asked.digest:
            raise WebhookReused(webhook.webhook_id)
        return webhook

    async def get(self, webhook_id: str) -> Webhook:
        """Raises WebhookNotFound."""
        return await self._database.fetch(lambda db: _get(db, webhook_id))

    async def page(
        self, *, after: str, limit: int, project_id: str, sees: Callable[[Webhook], bool], owner: str
    ) -> Sequence[Webhook]:
        """Returns the next webhooks after an id that hear of a project, or of any, and that somebody sees."""

        def work(db: sa.Connection) -> list[Webhook]:
            query = sa.select(webhooks).order_by(webhooks.c.webhook_id).limit(ROWS_AT_ONCE)
            if project_id:
                of_project = webhook_projects.c.project_id.in_([project_id, EVERY])
                query = query.where(
                    webhooks.c.webhook_id.in_(sa.select(webhook_projects.c.webhook_id).where(of_project))
                )
            found: list[Webhook] = []
            last = after
            while len(found) < limit:
                rows = db.execute(query.where(webhooks.c.webhook_id > last)).mappings().all()
                found += (each for each in map(webhook_of, rows) if sees(each))
                if len(rows) < ROWS_AT_ONCE:
                    break
                last = rows[-1]["webhook_id"]
            return found[:limit]

        return await self._database.read_in_turn(work, owner=owner)

    async def pending(self, webhook_ids: Sequence[str], *, owner: str) -> Mapping[str, int]:
        """Returns how many deliveries of each are still to be made, up to 1,000."""

        def work(db: sa.Connection) -> dict[str, int]:
            return {webhook_id: _pending(db, webhook_id) for webhook_id in webhook_ids}

        return await self._database.read_in_turn(work, owner=owner)

    async def change(
        self, webhook_id: str, edit: Callable[[Webhook, datetime], Webhook], note: Note | None = None
    ) -> Webhook:
        """Changes a webhook as `edit` says, which may raise. It hears anew of projects that it had not, and of all
        once it becomes active. Nothing is recorded unless something changes. Raises WebhookNotFound, TooManyWebhooks.
        """

        def work(db: sa.Connection) -> Webhook:
            lock_cursor(db, EVERY)
            old, now = _get(db, webhook_id, lock=True), self._clock()
            new = edit(old, now)
            if new == old:
                return old
            new = replace(new, updated_at=now)
            _record(db, now, note, new, state=new.state.value if new.state is not old.state else "")
            had, has = set(old.filter.projects), set(new.filter.projects)
            added = has - had
            if added or (had and not has):
                _check_room(db, replace(new.filter, projects=tuple(sorted(added))), MOST + 1)
            if new.state is WebhookState.ACTIVE is not old.state:
                _give_up(db, webhook_id)
                db.execute(webhook_projects.delete().where(webhook_projects.c.webhook_id == webhook_id))
                begin(db, webhook_id, has or None)
            elif has != had:
                extend(db, webhook_id, had or None, has or None)
            db.execute(webhooks.update().where(webhooks.c.webhook_id == webhook_id).values(to_row(new)))
            return new

        return await self._database.write(work)

    async def delete(self, webhook_id: str, note: Note | None = None) -> None:
        """Deletes a webhook, whose deliveries are never sent from then on. Raises WebhookNotFound."""

        def work(db: sa.Connection) -> None:
            _record(db, self._clock(), note, _get(db, webhook_id, lock=True))
            for table in (webhook_projects, webhooks):
                db.execute(table.delete().where(table.c.webhook_id == webhook_id))

        await self._database.write(work)

    async def fingerprints(self) -> Mapping[str, int]:
        """Returns with which keys webhooks were set up, and how many with each."""
        now = to_micros(self._clock())

        def work(db: sa.Connection) -> dict[str, int]:
            found: dict[str, int] = {}
            old = sa.case((webhooks.c.old_secret_until > now, webhooks.c.old_fingerprint), else_="")
            query = sa.select(webhooks.c.fingerprint, old, sa.func.count()).group_by(webhooks.c.fingerprint, old)
            for present, before, number in db.execute(query):
                for each in {present, before} - {""}:
                    found[each] = found.get(each, 0) + number
            return found

        return await self._database.read(work)


def _record(db: sa.Connection, now: datetime, note: Note | None, webhook: Webhook, *, state: str = "") -> None:
    """Records who changed a webhook, and its state if that was: in its project, or in none if it hears of several."""
    projects = webhook.filter.projects
    project_id = projects[0] if len(projects) == 1 else ""
    if note is not None and state:
        note = replace(note, details={**note.details, "state": state})
    record(db, now, note, project_id=project_id, subject=webhook.webhook_id)


def _get(db: sa.Connection, webhook_id: str, *, lock: bool = False) -> Webhook:
    query = sa.select(webhooks).where(webhooks.c.webhook_id == webhook_id)
    row = db.execute(query.with_for_update() if lock else query).mappings().first()
    if row is None:
        raise WebhookNotFound(webhook_id)
    return webhook_of(row)


def _check_room(db: sa.Connection, wanted: WebhookFilter, most: int) -> None:
    """Raises TooManyWebhooks unless one more may hear of these projects."""
    if db.execute(sa.select(sa.func.count()).select_from(webhooks)).scalar_one() >= most:
        raise TooManyWebhooks(f"there are {MOST} webhooks, which is the most of this service")
    named = webhooks.c.all_projects.is_(wanted.all_projects)
    query = (
        sa.select(webhook_projects.c.project_id)
        .join(webhooks, webhooks.c.webhook_id == webhook_projects.c.webhook_id)
        .where(webhook_projects.c.project_id.in_(wanted.projects or [EVERY]), named)
        .group_by(webhook_projects.c.project_id)
        .having(sa.func.count() >= MOST_OF_PROJECT)
    )
    if full := list(db.execute(query).scalars()):
        what = "all projects" if full == [EVERY] else f"the project {full[0]}"
        raise TooManyWebhooks(f"{MOST_OF_PROJECT} webhooks hear of {what}, which is the most")


def _pending(db: sa.Connection, webhook_id: str) -> int:
    of_webhook = webhook_deliveries.c.webhook_id == webhook_id
    some = sa.select(sa.literal(1)).where(of_webhook, PENDING).limit(MOST_PENDING).subquery()
    return int(db.execute(sa.select(sa.func.count()).select_from(some)).scalar_one())


def _give_up(db: sa.Connection, webhook_id: str) -> None:
    of_webhook = webhook_deliveries.c.webhook_id == webhook_id
    db.execute(webhook_deliveries.update().where(of_webhook, PENDING).values(state="GIVEN_UP"))
