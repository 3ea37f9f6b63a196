"""`evergreen webhook`: what it sends, prints and refuses."""

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from click.testing import CliRunner

from evergreen.cli.app import evergreen as root
from evergreen.v1.webhook_pb2 import (
    CreateWebhookRequest,
    CreateWebhookResponse,
    DeleteWebhookResponse,
    Delivery,
    DeliveryState,
    GetWebhookResponse,
    ListDeliveriesRequest,
    ListDeliveriesResponse,
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
from tests.clients.scripted import Fault, ScriptedService

URL = "https://studio.example/hooks"
WHEN = datetime(2030, 1, 1, tzinfo=UTC)
SECRET = "whsec_c2VjcmV0"
ONCE = "This secret is shown once: keep it where the receiver can read it, and nowhere else.\n"
HOOK = Webhook(
    webhook_id="w",
    url=URL,
    filter=WebhookFilter(project_ids=["film", "trailer"], types=["video.*"], labels={"team": "edit"}),
    state=WebhookState.WEBHOOK_STATE_ACTIVE,
    failing_since_time=WHEN,
    last_attempt_time=WHEN,
    last_status=503,
    last_error="the receiver \x1b[2J",
    pending_deliveries=7,
    secret_generation=2,
    create_time=WHEN,
)


@dataclass(frozen=True, kw_only=True)
class Ended:
    code: int
    stdout: str
    stderr: str


class Here:
    """Runs the command in a thread of this process: a process each would take most of the time."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint

    async def __call__(self, *arguments: str) -> Ended:
        result = await asyncio.to_thread(
            CliRunner().invoke, root, arguments, env={"EVERGREEN_ENDPOINT": self._endpoint}
        )
        return Ended(code=result.exit_code, stdout=result.stdout, stderr=result.stderr)


@pytest.fixture
def evergreen(service: ScriptedService) -> Here:
    return Here(service.target)


async def test_a_webhook_is_set_up_and_its_secret_printed_once(service: ScriptedService, evergreen: Here) -> None:
    service.answers["CreateWebhook"] = [CreateWebhookResponse(webhook=HOOK, secret=SECRET)] * 2

    made = await evergreen(
        *("webhook", "create", URL, "--project", "film", "--project", "trailer", "--type", "video.*"),
        *("--label", "team=edit", "--description", "the edit", "--request-id", "mine"),
    )
    lines = await evergreen("webhook", "create", URL, "--all-projects", "--output", "json")

    first, second = service.requests["CreateWebhook"]
    assert (made.code, made.stderr) == (0, ONCE)
    assert first == CreateWebhookRequest(url=URL, filter=HOOK.filter, description="the edit", request_id="mine")
    assert second == CreateWebhookRequest(
        url=URL, filter=WebhookFilter(all_projects=True), request_id=second.request_id
    )
    facts = dict(line.split(maxsplit=1) for line in made.stdout.splitlines())
    assert facts["webhook"] == "w"
    assert facts["state"] == "active"
    assert facts["failing"] == "since 2030-01-01T00:00:00Z"
    assert facts["answer"] == "503: the receiver \N{REPLACEMENT CHARACTER}[2J"
    assert (facts["projects"], facts["types"], facts["labels"]) == ("film, trailer", "video.*", "team=edit")
    assert facts["secret"] == SECRET
    assert (json.loads(lines.stdout)["secret"], lines.stderr) == (SECRET, "")


async def test_webhooks_are_listed_and_shown(service: ScriptedService, evergreen: Here) -> None:
    off = Webhook(
        webhook_id="x",
        url=URL,
        filter=WebhookFilter(all_projects=True),
        state=WebhookState.WEBHOOK_STATE_SWITCHED_OFF,
        switched_off_reason="it answered 410",
    )
    service.answers["ListWebhooks"] = [
        ListWebhooksResponse(webhooks=[HOOK, off]),
        ListWebhooksResponse(webhooks=[HOOK]),
        ListWebhooksResponse(),
    ]
    service.answers["GetWebhook"] = [GetWebhookResponse(webhook=off)]

    table = await evergreen("webhook", "list")
    lines = await evergreen("webhook", "list", "--project", "film", "--output", "json")
    none = await evergreen("webhook", "list")
    shown = await evergreen("webhook", "show", "x")

    assert [line.split("  ")[0] for line in table.stdout.splitlines()] == ["WEBHOOK", "w", "x"]
    assert table.stdout.splitlines()[1].split() == [
        *("w", "active", "2030-01-01T00:00:00Z", "7", "film,", "trailer", "video.*", URL)
    ]
    assert "switched off" in table.stdout.splitlines()[2]
    assert json.loads(lines.stdout)["state"] == "active"
    assert service.requests["ListWebhooks"][1].project_id == "film"
    assert (none.stdout, none.stderr) == ("", "no webhooks\n")
    facts = dict(line.split(maxsplit=1) for line in shown.stdout.splitlines())
    assert facts["because"] == "it answered 410"
    assert facts["projects"] == "all projects"
    assert "answer" not in facts


async def test_what_is_given_is_changed_and_the_rest_stays(service: ScriptedService, evergreen: Here) -> None:
    service.answers["GetWebhook"] = [GetWebhookResponse(webhook=HOOK)] * 2
    service.answers["UpdateWebhook"] = [UpdateWebhookResponse(webhook=HOOK)] * 4

    for given in (
        ("update", "w", "--project", "film"),
        ("update", "w", "--usual-types", "--no-labels", "--url", f"{URL}/2", "--description", ""),
        ("pause", "w"),
        ("resume", "w"),
    ):
        ended = await evergreen("webhook", *given)
        assert ended.code == 0, ended.stderr

    labels = {"team": "edit"}
    assert service.requests["UpdateWebhook"] == [
        UpdateWebhookRequest(
            webhook_id="w", filter=WebhookFilter(project_ids=["film"], types=["video.*"], labels=labels)
        ),
        UpdateWebhookRequest(
            webhook_id="w", url=f"{URL}/2", description="", filter=WebhookFilter(project_ids=["film", "trailer"])
        ),
        UpdateWebhookRequest(webhook_id="w", state=WebhookState.WEBHOOK_STATE_PAUSED),
        UpdateWebhookRequest(webhook_id="w", state=WebhookState.WEBHOOK_STATE_ACTIVE),
    ]


async def test_a_secret_is_rotated_and_it_is_said_until_when_the_other_is_good(
    service: ScriptedService, evergreen: Here
) -> None:
    both = Webhook(webhook_id="w", old_secret_expire_time=WHEN)
    service.answers["GetWebhook"] = [GetWebhookResponse(webhook=HOOK)] * 2
    service.answers["RotateSecret"] = [
        RotateSecretResponse(webhook=both, secret=SECRET),
        RotateSecretResponse(webhook=Webhook(webhook_id="w"), secret=SECRET),
    ]

    rotated = await evergreen("webhook", "rotate", "w")
    at_once = await evergreen("webhook", "rotate", "w", "--overlap", "0")

    assert rotated.stdout == at_once.stdout == f"secret  {SECRET}\n"
    assert rotated.stderr == (f"{ONCE}Until 2030-01-01T00:00:00Z, requests are signed with the one before too.\n")
    assert at_once.stderr == f"{ONCE}The one before signs nothing more.\n"
    assert service.requests["RotateSecret"] == [
        RotateSecretRequest(webhook_id="w", secret_generation=2),
        RotateSecretRequest(webhook_id="w", secret_generation=2, overlap=timedelta()),
    ]


async def test_a_test_ends_as_the_receiver_answers(service: ScriptedService, evergreen: Here) -> None:
    service.answers["SendTest"] = [
        SendTestResponse(succeeded=True, status=204, milliseconds=12.5, message_id="m"),
        SendTestResponse(status=0, error="no answer within 15 s", milliseconds=15000),
    ]

    good = await evergreen("webhook", "test", "w")
    bad = await evergreen("webhook", "test", "w")

    assert (good.code, good.stdout.splitlines()) == (0, ["answer   204", "took     12.5 ms", "message  m"])
    assert (bad.code, bad.stdout.splitlines()[0]) == (1, "answer  none: no answer within 15 s")


async def test_deliveries_are_listed_and_sent_again(service: ScriptedService, evergreen: Here) -> None:
    given_up = Delivery(
        message_id="m",
        type="video.failed",
        job_id="j",
        state=DeliveryState.DELIVERY_STATE_GIVEN_UP,
        attempts=10,
        last_status=500,
        last_error="the receiver answered with HTTP status 500",
        create_time=WHEN,
    )
    waiting = Delivery(message_id="n", type="film.failed", film_id="f", state=DeliveryState.DELIVERY_STATE_PENDING)
    answer = ListDeliveriesResponse(deliveries=[given_up, waiting])
    service.answers["ListDeliveries"] = [answer, answer, ListDeliveriesResponse()]
    service.answers["Redeliver"] = [RedeliverResponse(deliveries=1), RedeliverResponse(deliveries=1200)]

    table = await evergreen("webhook", "deliveries", "w", "--state", "given_up", "--since", "2030-01-01T00:00:00Z")
    lines = await evergreen("webhook", "deliveries", "w", "--limit", "1", "--output", "json")
    none = await evergreen("webhook", "deliveries", "w")
    one = await evergreen("webhook", "redeliver", "w", "m")
    many = await evergreen("webhook", "redeliver", "w", "--given-up-since", "2030-01-01T00:00:00Z")

    assert [line.split()[:3] for line in table.stdout.splitlines()] == [
        ["MESSAGE", "TIME", "TYPE"],
        ["m", "2030-01-01T00:00:00Z", "video.failed"],
        ["n", "-", "film.failed"],
    ]
    assert "given up" in table.stdout
    assert service.requests["ListDeliveries"][0] == ListDeliveriesRequest(
        webhook_id="w", states=[DeliveryState.DELIVERY_STATE_GIVEN_UP], since_time=WHEN, page_size=50
    )
    assert [each["message_id"] for each in map(json.loads, lines.stdout.splitlines())] == ["m"]
    assert (none.stdout, none.stderr) == ("", "no deliveries\n")
    assert (one.stderr, many.stderr) == ("1 delivery on the way once more\n", "1,200 deliveries on the way once more\n")
    assert service.requests["Redeliver"] == [
        RedeliverRequest(webhook_id="w", message_id="m"),
        RedeliverRequest(webhook_id="w", given_up_since_time=WHEN),
    ]


async def test_a_deletion_is_confirmed_first_and_faults_are_told(service: ScriptedService, evergreen: Here) -> None:
    gone = Fault(code=grpc.StatusCode.NOT_FOUND, reason="WEBHOOK_NOT_FOUND", message="there is no webhook w")
    service.answers["DeleteWebhook"] = [DeleteWebhookResponse(), gone]

    unsure = await evergreen("webhook", "delete", "w")
    done = await evergreen("webhook", "delete", "w", "--yes")
    again = await evergreen("webhook", "delete", "w", "--yes")

    assert (unsure.code, len(service.requests["DeleteWebhook"])) == (1, 2)
    assert (done.code, done.stdout, done.stderr) == (0, "", "w is deleted\n")
    assert again.code == 1
    assert "there is no webhook w" in again.stderr


async def test_faults_of_a_request_name_the_options_that_they_are_about(
    service: ScriptedService, evergreen: Here
) -> None:
    violations = {"url": "must begin with https://", "filter.types[1]": "unknown", "filter.labels": "too many"}
    service.answers["CreateWebhook"] = [
        Fault(code=grpc.StatusCode.INVALID_ARGUMENT, reason="INVALID_REQUEST", violations=violations)
    ]

    ended = await evergreen("webhook", "create", URL, "--project", "film")

    assert ended.code == 1
    assert ended.stderr.splitlines()[1:4] == [
        "  url: must begin with https:// [URL]",
        "  filter.types[1]: unknown [--type]",
        "  filter.labels: too many [--label]",
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("create", URL), "--project, or --all-projects"),
        (("create", URL, "--project", "p", "--all-projects"), "--project or --all-projects, not both"),
        (("create", URL, "--project", "p", "--label", "team"), "KEY=VALUE"),
        (("update", "w"), "say what is to be changed"),
        (("update", "w", "--type", "*", "--usual-types"), "not both"),
        (("rotate", "w", "--overlap", "604801"), "604801"),
        (("deliveries", "w", "--state", "lost"), "'lost' is not one of 'pending', 'delivered', 'given_up'"),
        (("redeliver", "w"), "MESSAGE_ID, or --given-up-since"),
        (("redeliver", "w", "m", "--given-up-since", "2h"), "MESSAGE_ID, or --given-up-since"),
    ],
)
def test_what_the_command_line_says_wrong_is_told_before_anything_is_sent(
    arguments: tuple[str, ...], told: str
) -> None:
    ended = CliRunner().invoke(root, ["webhook", *arguments], env={"EVERGREEN_ENDPOINT": "127.0.0.1:1"})

    assert ended.exit_code == 2
    assert told in ended.output
