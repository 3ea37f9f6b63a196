"""Webhooks in the Python client: what reaches the wire, pages, and what is refused before anything is sent."""

from datetime import UTC, datetime, timedelta

import grpc
import pytest

import evergreen
from evergreen import WireClient
from evergreen.v1.webhook_pb2 import (
    CreateWebhookRequest,
    CreateWebhookResponse,
    DeleteWebhookRequest,
    DeleteWebhookResponse,
    Delivery,
    DeliveryState,
    GetWebhookResponse,
    ListDeliveriesRequest,
    ListDeliveriesResponse,
    ListWebhooksRequest,
    ListWebhooksResponse,
    RedeliverRequest,
    RedeliverResponse,
    RotateSecretRequest,
    RotateSecretResponse,
    SendTestResponse,
    UpdateWebhookRequest,
    UpdateWebhookResponse,
    Webhook,
    WebhookFilter,
    WebhookState,
)
from tests.clients.scripted import UNAVAILABLE, Fault, ScriptedService

URL = "https://studio.example/hooks"
WHEN = datetime(2030, 1, 1, tzinfo=UTC)


async def test_a_webhook_reaches_the_wire_and_keeps_its_id_over_every_retry(
    service: ScriptedService, client: WireClient
) -> None:
    answer = CreateWebhookResponse(webhook=Webhook(webhook_id="w"), secret="whsec_c2VjcmV0")
    service.answers["CreateWebhook"] = [UNAVAILABLE, UNAVAILABLE, answer, answer]

    made = await client.webhooks.create(url=URL, project_ids=["film"])
    await client.webhooks.create(
        url=URL,
        all_projects=True,
        types=["video.*", "film.failed"],
        labels={"team": "edit"},
        description="the edit",
        request_id="mine",
    )

    first, *again, last = service.requests["CreateWebhook"]
    assert made == answer
    assert again == [first, first]
    assert first == CreateWebhookRequest(
        url=URL, filter=WebhookFilter(project_ids=["film"]), request_id=first.request_id
    )
    assert first.request_id
    assert last == CreateWebhookRequest(
        url=URL,
        filter=WebhookFilter(all_projects=True, types=["video.*", "film.failed"], labels={"team": "edit"}),
        description="the edit",
        request_id="mine",
    )


@pytest.mark.parametrize(
    ("given", "changed"),
    [
        ({"types": ["film.*"]}, {"project_ids": ["a", "b"], "types": ["film.*"], "labels": {"take": "1"}}),
        ({"types": []}, {"project_ids": ["a", "b"], "labels": {"take": "1"}}),
        ({"project_ids": ["c"]}, {"project_ids": ["c"], "types": ["*"], "labels": {"take": "1"}}),
        ({"all_projects": True}, {"all_projects": True, "types": ["*"], "labels": {"take": "1"}}),
        ({"labels": {}}, {"project_ids": ["a", "b"], "types": ["*"]}),
        ({"labels": {"team": "x"}}, {"project_ids": ["a", "b"], "types": ["*"], "labels": {"team": "x"}}),
    ],
)
async def test_what_is_not_given_of_a_filter_stays(
    service: ScriptedService, client: WireClient, given: dict[str, object], changed: dict[str, object]
) -> None:
    present = WebhookFilter(project_ids=["a", "b"], types=["*"], labels={"take": "1"})
    service.answers["GetWebhook"] = [GetWebhookResponse(webhook=Webhook(filter=present))]
    service.answers["UpdateWebhook"] = [UpdateWebhookResponse(webhook=Webhook(webhook_id="w"))]

    await client.webhooks.update("w", **given)

    assert service.requests["UpdateWebhook"] == [UpdateWebhookRequest(webhook_id="w", filter=WebhookFilter(**changed))]


async def test_all_else_is_changed_without_reading_before(service: ScriptedService, client: WireClient) -> None:
    service.answers["UpdateWebhook"] = [UpdateWebhookResponse(webhook=Webhook(webhook_id="w"))] * 2

    await client.webhooks.update("w", state=WebhookState.WEBHOOK_STATE_PAUSED)
    await client.webhooks.update("w", url=URL, description="")

    assert service.requests["UpdateWebhook"] == [
        UpdateWebhookRequest(webhook_id="w", state=WebhookState.WEBHOOK_STATE_PAUSED),
        UpdateWebhookRequest(webhook_id="w", url=URL, description=""),
    ]
    assert not service.requests["GetWebhook"]


async def test_webhooks_and_deliveries_are_listed_page_by_page(service: ScriptedService, client: WireClient) -> None:
    service.answers["ListWebhooks"] = [
        ListWebhooksResponse(webhooks=[Webhook(webhook_id="a")], next_page_token="n"),
        ListWebhooksResponse(webhooks=[Webhook(webhook_id="b")]),
    ]
    service.answers["ListDeliveries"] = [
        ListDeliveriesResponse(deliveries=[Delivery(message_id="m")], next_page_token="n"),
        ListDeliveriesResponse(deliveries=[Delivery(message_id="l")]),
    ]
    given_up = [DeliveryState.DELIVERY_STATE_GIVEN_UP]

    assert [each.webhook_id async for each in client.webhooks.list(project_id="p", page_size=1)] == ["a", "b"]
    found = [each.message_id async for each in client.webhooks.deliveries("a", states=given_up, since=WHEN)]

    assert found == ["m", "l"]
    assert service.requests["ListWebhooks"] == [
        ListWebhooksRequest(project_id="p", page_size=1, page_token=token) for token in ("", "n")
    ]
    assert service.requests["ListDeliveries"] == [
        ListDeliveriesRequest(webhook_id="a", states=given_up, since_time=WHEN, page_token=token) for token in ("", "n")
    ]


async def test_the_other_calls_say_what_is_meant(service: ScriptedService, client: WireClient) -> None:
    service.answers["DeleteWebhook"] = [DeleteWebhookResponse()]
    service.answers["GetWebhook"] = [GetWebhookResponse(webhook=Webhook(secret_generation=2))] * 2
    service.answers["RotateSecret"] = [RotateSecretResponse(secret="whsec_bmV3")] * 2
    service.answers["SendTest"] = [SendTestResponse(succeeded=True, status=204)]
    service.answers["Redeliver"] = [RedeliverResponse(deliveries=1), RedeliverResponse(deliveries=7)]

    await client.webhooks.delete("w")
    assert (await client.webhooks.rotate_secret("w")).secret == "whsec_bmV3"
    await client.webhooks.rotate_secret("w", overlap=timedelta())
    assert (await client.webhooks.test("w")).status == 204
    assert await client.webhooks.redeliver("w", "m") == 1
    assert await client.webhooks.redeliver("w", given_up_since=WHEN) == 7

    assert service.requests["DeleteWebhook"] == [DeleteWebhookRequest(webhook_id="w")]
    assert service.requests["RotateSecret"] == [
        RotateSecretRequest(webhook_id="w", secret_generation=2),
        RotateSecretRequest(webhook_id="w", secret_generation=2, overlap=timedelta()),
    ]
    assert service.requests["Redeliver"] == [
        RedeliverRequest(webhook_id="w", message_id="m"),
        RedeliverRequest(webhook_id="w", given_up_since_time=WHEN),
    ]


async def test_a_rotation_whose_answer_was_lost_is_repeated_as_the_same(
    service: ScriptedService, client: WireClient
) -> None:
    """A second rotation would leave the receiver with a secret that signs nothing more."""
    service.answers["GetWebhook"] = [GetWebhookResponse(webhook=Webhook(secret_generation=4))]
    service.answers["RotateSecret"] = [UNAVAILABLE, RotateSecretResponse(secret="whsec_bmV3")]

    assert (await client.webhooks.rotate_secret("w")).secret == "whsec_bmV3"

    assert service.requests["RotateSecret"] == [RotateSecretRequest(webhook_id="w", secret_generation=4)] * 2


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"uri": URL}, "there is no 'uri' (did you mean 'url'?); 'url' is missing"),
        ({"url": URL, "projectId": ["p"]}, "there is no 'projectId' (did you mean 'project_ids'?)"),
        ({"url": URL, "type": ["*"]}, "there is no 'type' (did you mean 'types'?)"),
        ({"url": URL, "project_ids": "film"}, "'project_ids' must be a list, not str: write ['film']"),
        ({"url": URL, "types": "video.*"}, "'types' must be a list, not str: write ['video.*']"),
        ({"url": URL, "labels": {"take": 1}}, "'labels' must hold texts alone, and 'take' is 1"),
    ],
)
async def test_what_is_misspelt_is_refused_before_anything_is_sent(
    service: ScriptedService, client: WireClient, given: dict[str, object], told: str
) -> None:
    with pytest.raises(TypeError) as created:
        await client.webhooks.create(**given)
    with pytest.raises(TypeError) as updated:
        await client.webhooks.update("w", **given)

    assert str(created.value) == told
    assert str(updated.value) == told.removesuffix("; 'url' is missing")
    assert not service.requests


async def test_a_redelivery_is_of_one_thing_and_times_have_zones(service: ScriptedService, client: WireClient) -> None:
    for given in ({}, {"message_id": "m", "given_up_since": WHEN}):
        with pytest.raises(TypeError, match="give one of"):
            await client.webhooks.redeliver("w", **given)
    with pytest.raises(ValueError, match="given_up_since must be timezone-aware"):
        await client.webhooks.redeliver("w", given_up_since=WHEN.replace(tzinfo=None))
    with pytest.raises(ValueError, match="since must be timezone-aware"):
        [_ async for _ in client.webhooks.deliveries("w", since=WHEN.replace(tzinfo=None))]

    assert not service.requests


@pytest.mark.parametrize(
    ("code", "reason", "error", "family"),
    [
        ("NOT_FOUND", "WEBHOOK_NOT_FOUND", evergreen.WebhookNotFound, evergreen.NotFound),
        ("NOT_FOUND", "DELIVERY_NOT_FOUND", evergreen.DeliveryNotFound, evergreen.NotFound),
        ("FAILED_PRECONDITION", "WEBHOOKS_OFF", evergreen.WebhooksOff, evergreen.PreconditionFailed),
        ("FAILED_PRECONDITION", "WEBHOOK_SWITCHED_OFF", evergreen.WebhookSwitchedOff, evergreen.PreconditionFailed),
        ("RESOURCE_EXHAUSTED", "TOO_MANY_WEBHOOKS", evergreen.TooManyWebhooks, evergreen.CallError),
    ],
)
async def test_each_reason_is_an_error_of_its_own(
    service: ScriptedService,
    client: WireClient,
    code: str,
    reason: str,
    error: type[Exception],
    family: type[Exception],
) -> None:
    service.answers["Redeliver"] = [Fault(code=grpc.StatusCode[code], reason=reason)]

    with pytest.raises(error) as raised:
        await client.webhooks.redeliver("w", "m")

    assert isinstance(raised.value, family)
