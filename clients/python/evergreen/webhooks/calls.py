"""The calls for webhooks."""

from collections.abc import AsyncIterator, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Unpack
from uuid import uuid4

from evergreen.calls import Calls
from evergreen.fields import check_fields, check_values
from evergreen.requests import timestamp
from evergreen.v1.webhook_pb2 import (
    CreateWebhookRequest,
    CreateWebhookResponse,
    DeleteWebhookRequest,
    Delivery,
    DeliveryState,
    GetWebhookRequest,
    ListDeliveriesRequest,
    ListWebhooksRequest,
    RedeliverRequest,
    RotateSecretRequest,
    RotateSecretResponse,
    SendTestRequest,
    SendTestResponse,
    UpdateWebhookRequest,
    Webhook,
)
from evergreen.webhooks.fields import WebhookChanges, WebhookFields, filtered

if TYPE_CHECKING:
    # Exists only in the stubs' type information.
    from evergreen.v1.webhook_pb2_grpc import WebhookServiceAsyncStub


class Webhooks:
    """The calls for webhooks, available as `Client.webhooks`. They need the right `ADMIN`.

    Each may raise WebhookNotFound.
    """

    def __init__(self, stub: "WebhookServiceAsyncStub", *, calls: Calls) -> None:
        self._stub = stub
        self._calls = calls

    async def create(self, **fields: Unpack[WebhookFields]) -> CreateWebhookResponse:
        """Sets up a webhook, and returns it with its secret, which no other call returns but `rotate_secret`.

        Takes the fields of `CreateWebhookRequest` and of its filter, such as `url`, `project_ids` and `types`. If no
        request_id is given, each call creates one; to be able to repeat a call whose answer was lost, give your own.
        Raises TypeError for a field that there is not; InvalidRequest, TooManyWebhooks, WebhooksOff.
        """
        check_fields(WebhookFields, fields)
        request = CreateWebhookRequest(
            url=fields["url"],
            filter=filtered(fields),
            description=fields.get("description", ""),
            request_id=fields.get("request_id") or uuid4().hex,
        )
        return await self._calls.unary(self._stub.CreateWebhook, request)

    async def get(self, webhook_id: str) -> Webhook:
        """Returns a webhook, without its secret."""
        return (await self._calls.unary(self._stub.GetWebhook, GetWebhookRequest(webhook_id=webhook_id))).webhook

    async def list(self, *, project_id: str = "", page_size: int = 0) -> AsyncIterator[Webhook]:
        """Yields the webhooks that the caller may administer, or those of one project, oldest first."""
        request = ListWebhooksRequest(project_id=project_id, page_size=page_size)
        while True:
            page = await self._calls.unary(self._stub.ListWebhooks, request)
            for webhook in page.webhooks:
                yield webhook
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def update(self, webhook_id: str, **changes: Unpack[WebhookChanges]) -> Webhook:
        """Changes what is given of a webhook, pauses it or switches it on (`state`), and returns it.

        Where a part of the filter is given, the others are read before, and stay. What happens while a webhook is
        paused or switched off is not told later. Raises TypeError for a field that there is not; InvalidRequest.
        """
        check_fields(WebhookChanges, changes)
        changed = filtered(changes)
        if changed is not None:
            changed = filtered(changes, (await self.get(webhook_id)).filter)
        request = UpdateWebhookRequest(
            webhook_id=webhook_id,
            url=changes.get("url"),
            filter=changed,
            description=changes.get("description"),
            state=changes.get("state"),
        )
        return (await self._calls.unary(self._stub.UpdateWebhook, request)).webhook

    async def delete(self, webhook_id: str) -> None:
        """Deletes a webhook and its deliveries. This cannot be undone."""
        await self._calls.unary(self._stub.DeleteWebhook, DeleteWebhookRequest(webhook_id=webhook_id))

    async def rotate_secret(self, webhook_id: str, *, overlap: timedelta | None = None) -> RotateSecretResponse:
        """Gives a webhook a new secret, and returns both. For `overlap` (a day), the one before signs too.

        Reads the webhook first, so that a repeat after a lost answer gives no second secret.
        """
        present = await self.get(webhook_id)
        request = RotateSecretRequest(webhook_id=webhook_id, secret_generation=present.secret_generation)
        if overlap is not None:
            request.overlap.FromTimedelta(overlap)
        return await self._calls.unary(self._stub.RotateSecret, request)

    async def test(self, webhook_id: str) -> SendTestResponse:
        """Sends an event `evergreen.ping` now, once, and returns what came back. Also for one that is switched off."""
        return await self._calls.unary(self._stub.SendTest, SendTestRequest(webhook_id=webhook_id))

    async def deliveries(
        self,
        webhook_id: str,
        *,
        states: Iterable[DeliveryState.ValueType] = (),
        since: datetime | None = None,
        page_size: int = 0,
    ) -> AsyncIterator[Delivery]:
        """Yields the deliveries of a webhook, newest first. They are kept for 7 days. `since` is in a time zone."""
        check_values(states=states)
        request = ListDeliveriesRequest(webhook_id=webhook_id, states=states, page_size=page_size)
        if since is not None:
            request.since_time.CopyFrom(timestamp(since, "since"))
        while True:
            page = await self._calls.unary(self._stub.ListDeliveries, request)
            for delivery in page.deliveries:
                yield delivery
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def redeliver(self, webhook_id: str, message_id: str = "", *, given_up_since: datetime | None = None) -> int:
        """Sends a delivery once more, or all that were given up, of events since a time; returns how many.

        Raises TypeError unless one of the two is given; DeliveryNotFound, WebhookSwitchedOff.
        """
        if bool(message_id) is (given_up_since is not None):
            raise TypeError("give one of 'message_id' and 'given_up_since'")
        request = RedeliverRequest(webhook_id=webhook_id)
        if given_up_since is not None:
            request.given_up_since_time.CopyFrom(timestamp(given_up_since, "given_up_since"))
        else:
            request.message_id = message_id
        return (await self._calls.unary(self._stub.Redeliver, request)).deliveries
