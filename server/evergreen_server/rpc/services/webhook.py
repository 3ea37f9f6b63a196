"""WebhookService: converts requests, calls `webhooks`, and answers. It decides nothing about a delivery."""

from collections.abc import Sequence

from evergreen.v1 import webhook_pb2
from evergreen_server.ports.specs import FieldError, InvalidRequest
from evergreen_server.rpc.access.policy import Caller
from evergreen_server.rpc.handlers import Context
from evergreen_server.rpc.messages.paging import make_token
from evergreen_server.rpc.messages.webhooks import (
    delivery_message,
    digest_of,
    read_create,
    read_deliveries,
    read_overlap,
    read_page,
    read_redeliver,
    read_update,
    tested_message,
    webhook_message,
)
from evergreen_server.rpc.streams import Streams
from evergreen_server.webhooks.door import Door, Sees
from evergreen_server.webhooks.model import Webhook
from evergreen_server.webhooks.store import Asked
from evergreen_storage import id_error

__all__ = ["MOST_TESTS", "WebhookService"]

MOST_TESTS = 16
"""Requests that callers have sent now, and wait for."""


class WebhookService:
    """The methods of evergreen.v1.WebhookService; each may raise any exception of the error table."""

    def __init__(self, *, webhooks: Door, tests: Streams) -> None:
        self._webhooks = webhooks
        self._tests = tests

    async def CreateWebhook(
        self, message: webhook_pb2.CreateWebhookRequest, context: Context
    ) -> webhook_pb2.CreateWebhookResponse:
        wanted = read_create(message, context.caller, self._webhooks.url_error)
        asked = None
        if message.request_id:
            asked = Asked(owner=context.caller.name, request_id=message.request_id, digest=digest_of(message))
        webhook, secret, known = await self._webhooks.create(
            url=message.url, wanted=wanted, description=message.description, asked=asked, origin=context.origin
        )
        [shown] = await self._shown([webhook], context)
        return webhook_pb2.CreateWebhookResponse(webhook=shown, secret=secret, known=known)

    async def GetWebhook(
        self, message: webhook_pb2.GetWebhookRequest, context: Context
    ) -> webhook_pb2.GetWebhookResponse:
        webhook = await self._webhooks.get(message.webhook_id, _sees(context.caller))
        [shown] = await self._shown([webhook], context)
        return webhook_pb2.GetWebhookResponse(webhook=shown)

    async def ListWebhooks(
        self, message: webhook_pb2.ListWebhooksRequest, context: Context
    ) -> webhook_pb2.ListWebhooksResponse:
        errors: list[FieldError] = []
        if message.project_id and (text := id_error("project", message.project_id)):
            errors.append(FieldError(field="project_id", description=text))
        scope = f"webhooks.{message.project_id}"
        size, after = read_page(message.page_size, message.page_token, scope, errors)
        if errors:
            raise InvalidRequest(errors)
        found = await self._webhooks.page(
            after=after,
            limit=size + 1,
            project_id=message.project_id,
            sees=_sees(context.caller),
            owner=context.caller.owner("*"),
        )
        shown = await self._shown(found[:size], context)
        token = make_token(found[size - 1].webhook_id, scope) if len(found) > size else ""
        return webhook_pb2.ListWebhooksResponse(webhooks=shown, next_page_token=token)

    async def UpdateWebhook(
        self, message: webhook_pb2.UpdateWebhookRequest, context: Context
    ) -> webhook_pb2.UpdateWebhookResponse:
        wanted, state = read_update(message, context.caller, self._webhooks.url_error)
        webhook = await self._webhooks.update(
            message.webhook_id,
            _sees(context.caller),
            url=message.url if message.HasField("url") else None,
            wanted=wanted,
            description=message.description if message.HasField("description") else None,
            state=state,
            origin=context.origin,
        )
        [shown] = await self._shown([webhook], context)
        return webhook_pb2.UpdateWebhookResponse(webhook=shown)

    async def DeleteWebhook(
        self, message: webhook_pb2.DeleteWebhookRequest, context: Context
    ) -> webhook_pb2.DeleteWebhookResponse:
        await self._webhooks.delete(message.webhook_id, _sees(context.caller), context.origin)
        return webhook_pb2.DeleteWebhookResponse()

    async def RotateSecret(
        self, message: webhook_pb2.RotateSecretRequest, context: Context
    ) -> webhook_pb2.RotateSecretResponse:
        overlap = read_overlap(message)
        webhook, secret = await self._webhooks.rotate(
            message.webhook_id,
            _sees(context.caller),
            overlap=overlap,
            generation=message.secret_generation,
            origin=context.origin,
        )
        [shown] = await self._shown([webhook], context)
        return webhook_pb2.RotateSecretResponse(webhook=shown, secret=secret)

    async def SendTest(self, message: webhook_pb2.SendTestRequest, context: Context) -> webhook_pb2.SendTestResponse:
        sees = _sees(context.caller)
        webhook = await self._webhooks.get(message.webhook_id, sees)
        with self._tests.of(context.caller.owner(webhook.owner)):
            return tested_message(*await self._webhooks.test(message.webhook_id, sees))

    async def ListDeliveries(
        self, message: webhook_pb2.ListDeliveriesRequest, context: Context
    ) -> webhook_pb2.ListDeliveriesResponse:
        states, since, size, before, scope = read_deliveries(message)
        found = await self._webhooks.deliveries(
            message.webhook_id,
            _sees(context.caller),
            states=states,
            since=since,
            before=before,
            limit=size + 1,
            owner=context.caller.owner("*"),
        )
        token = make_token(found[size - 1].message_id, scope) if len(found) > size else ""
        # Those of projects that it hears of no more are shown to callers who may see these.
        mine = context.caller.projects
        deliveries = [delivery_message(each) for each in found[:size] if mine is None or each.project_id in mine]
        return webhook_pb2.ListDeliveriesResponse(deliveries=deliveries, next_page_token=token)

    async def Redeliver(self, message: webhook_pb2.RedeliverRequest, context: Context) -> webhook_pb2.RedeliverResponse:
        what = read_redeliver(message)
        number = await self._webhooks.redeliver(message.webhook_id, _sees(context.caller), what)
        return webhook_pb2.RedeliverResponse(deliveries=number)

    async def _shown(self, webhooks: Sequence[Webhook], context: Context) -> list[webhook_pb2.Webhook]:
        pending = await self._webhooks.pending(webhooks, owner=context.caller.owner("*"))
        return [webhook_message(webhook, pending.get(webhook.webhook_id, 0)) for webhook in webhooks]


def _sees(caller: Caller) -> Sees:
    """Returns which webhooks are the caller's: those all of whose projects are."""

    def sees(webhook: Webhook) -> bool:
        return caller.projects is None or (
            not webhook.filter.all_projects and caller.projects.issuperset(webhook.filter.projects)
        )

    return sees
