"""What callers do with webhooks: set them up, change them, test them, and look after their deliveries."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from evergreen_server.ports.audit import Action, Origin, note_of
from evergreen_server.ports.specs import FieldError, InvalidRequest
from evergreen_server.runtime.ids import id_at
from evergreen_server.webhooks.deliveries import Deliveries
from evergreen_server.webhooks.keys import Keys
from evergreen_server.webhooks.model import (
    Attempt,
    Delivery,
    DeliveryState,
    SwitchedOff,
    Webhook,
    WebhookFilter,
    WebhookNotFound,
    WebhooksOff,
    WebhookState,
)
from evergreen_server.webhooks.sender import Sender
from evergreen_server.webhooks.store import Asked, WebhookStore
from evergreen_server.webhooks.urls import Receivers

__all__ = ["Door", "Sees"]

Sees = Callable[[Webhook], bool]
"""Whether a webhook is the caller's; any other looks as if it did not exist."""


class Door:
    """Webhooks for callers. What needs their secrets raises WebhooksOff on a server without a key."""

    def __init__(
        self,
        *,
        store: WebhookStore,
        deliveries: Deliveries,
        sender: Sender,
        receivers: Receivers,
        keys: Keys | None,
        clock: Callable[[], datetime],
        wake: Callable[[Collection[str]], None],
    ) -> None:
        """`wake` is called with webhooks that have something to be sent again."""
        self._store = store
        self._deliveries = deliveries
        self._sender = sender
        self._keys = keys
        self._clock = clock
        self._wake = wake
        self.url_error = receivers.error
        """Returns what is wrong about a URL; None if nothing."""

    def _key(self) -> Keys:
        if self._keys is None:
            raise WebhooksOff(
                "this server sends no webhooks; its operator must set EVERGREEN_WEBHOOK_KEY_FILE, "
                "and EVERGREEN_WEBHOOKS to on"
            )
        return self._keys

    async def create(
        self, *, url: str, wanted: WebhookFilter, description: str, asked: Asked | None, origin: Origin | None = None
    ) -> tuple[Webhook, str, bool]:
        """Sets up a webhook; returns it, its secret, and whether the request had made it before.

        Raises WebhooksOff, TooManyWebhooks, WebhookReused.
        """
        keys, now = self._key(), self._clock()
        fresh = Webhook(
            webhook_id=id_at(now),
            url=url,
            filter=wanted,
            description=description,
            state=WebhookState.ACTIVE,
            generation=1,
            fingerprint=keys.fingerprint,
            created_at=now,
            updated_at=now,
        )
        webhook, known = await self._store.create(fresh, asked, note_of(origin, Action.CREATE_WEBHOOK))
        return webhook, keys.secret(webhook), known

    async def get(self, webhook_id: str, sees: Sees) -> Webhook:
        """Raises WebhookNotFound."""
        webhook = await self._store.get(webhook_id)
        if not sees(webhook):
            raise WebhookNotFound(webhook_id)
        return webhook

    async def page(self, *, after: str, limit: int, project_id: str, sees: Sees, owner: str) -> Sequence[Webhook]:
        """Returns the next webhooks after an id that the caller sees, the oldest first."""
        return await self._store.page(after=after, limit=limit, project_id=project_id, sees=sees, owner=owner)

    async def pending(self, webhooks: Sequence[Webhook], *, owner: str) -> Mapping[str, int]:
        """Returns how many deliveries of each are still to be made, up to 1,000."""
        return await self._store.pending([webhook.webhook_id for webhook in webhooks], owner=owner)

    async def update(
        self,
        webhook_id: str,
        sees: Sees,
        *,
        url: str | None,
        wanted: WebhookFilter | None,
        description: str | None,
        state: WebhookState | None,
        origin: Origin | None = None,
    ) -> Webhook:
        """Changes what is given. Raises WebhooksOff, WebhookNotFound, TooManyWebhooks."""
        self._key()

        def edit(old: Webhook, _now: datetime) -> Webhook:
            if not sees(old):
                raise WebhookNotFound(webhook_id)
            new = replace(
                old,
                url=old.url if url is None else url,
                filter=old.filter if wanted is None else wanted,
                description=old.description if description is None else description,
                state=old.state if state is None else state,
            )
            if new.state is not WebhookState.SWITCHED_OFF:
                new = replace(new, switched_off_reason="")
            if new.url != old.url or new.state is WebhookState.ACTIVE is not old.state:
                # It begins anew: what failed before says nothing about it.
                new = replace(new, quick=None, failing_since=None)
            return new

        changed = await self._store.change(webhook_id, edit, note_of(origin, Action.UPDATE_WEBHOOK))
        if state is WebhookState.PAUSED:
            await self._deliveries.give_up()
        return changed

    async def delete(self, webhook_id: str, sees: Sees, origin: Origin | None = None) -> None:
        """Raises WebhookNotFound."""
        await self.get(webhook_id, sees)
        await self._store.delete(webhook_id, note_of(origin, Action.DELETE_WEBHOOK))
        await self._deliveries.remove_of(webhook_id)

    async def rotate(
        self,
        webhook_id: str,
        sees: Sees,
        *,
        overlap: timedelta,
        generation: int = 0,
        origin: Origin | None = None,
    ) -> tuple[Webhook, str]:
        """Gives a webhook a new secret and returns it; the one before signs too until `overlap` is over.

        If `generation`, which is to be replaced, has been by the next one, that is returned: the call is repeated.
        Raises WebhooksOff, WebhookNotFound, InvalidRequest.
        """
        keys = self._key()

        def edit(old: Webhook, now: datetime) -> Webhook:
            if not sees(old):
                raise WebhookNotFound(webhook_id)
            if generation and generation == old.generation - 1:
                return old
            if generation and generation != old.generation:
                text = f"the webhook's present secret is number {old.generation}; read it again"
                raise InvalidRequest([FieldError(field="secret_generation", description=text)])
            return replace(
                old,
                generation=old.generation + 1,
                fingerprint=keys.fingerprint,
                old_fingerprint=old.fingerprint,
                old_secret_until=now + overlap if overlap else None,
            )

        webhook = await self._store.change(webhook_id, edit, note_of(origin, Action.ROTATE_SECRET))
        return webhook, keys.secret(webhook)

    async def test(self, webhook_id: str, sees: Sees) -> tuple[str, Attempt]:
        """Sends an event `evergreen.ping` once; returns its id and what came of it.

        Raises WebhooksOff, WebhookNotFound.
        """
        keys, webhook, now = self._key(), await self.get(webhook_id, sees), self._clock()
        message_id = id_at(now)
        stamp = now.isoformat(timespec="microseconds").replace("+00:00", "Z")
        body = f'{{"type":"evergreen.ping","timestamp":"{stamp}","data":{{"webhookId":"{webhook_id}"}}}}'
        attempt = await self._sender.send(
            webhook.url, keys.signing(webhook, now), message_id=message_id, body=body.encode(), at=now
        )
        return message_id, attempt

    async def deliveries(
        self,
        webhook_id: str,
        sees: Sees,
        *,
        states: Collection[DeliveryState],
        since: datetime | None,
        before: str,
        limit: int,
        owner: str,
    ) -> Sequence[Delivery]:
        """Returns deliveries of a webhook, those of the newest events first. Raises WebhookNotFound."""
        await self.get(webhook_id, sees)
        return await self._deliveries.page(
            webhook_id, states=states, since=since, before=before, limit=limit, owner=owner
        )

    async def redeliver(self, webhook_id: str, sees: Sees, what: str | datetime) -> int:
        """Sends a message once more, or all that were given up since a time; returns how many.

        Raises WebhooksOff, WebhookNotFound, DeliveryNotFound, SwitchedOff.
        """
        self._key()
        webhook = await self.get(webhook_id, sees)
        if webhook.state is not WebhookState.ACTIVE:
            raise SwitchedOff(f"the webhook {webhook_id} is {webhook.state.value}; set its state to ACTIVE first")
        if isinstance(what, str):
            await self._deliveries.again(webhook_id, what)
            number = 1
        else:
            number = await self._deliveries.all_again(webhook_id, what)
        self._wake([webhook_id])
        return number
