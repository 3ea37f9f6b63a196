"""WebhookService: who may set up what, what is refused and how, and what is shown of it."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from aiohttp import web
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from standardwebhooks.webhooks import Webhook as Verifier

from evergreen.v1 import webhook_pb2, webhook_pb2_grpc
from evergreen_server.runtime.reload import FileUnusable
from evergreen_server.webhooks.keys import read_keys
from tests.rpc.identities import Tokens, bearer
from tests.serving import WAIT_SECONDS, Api, open_sandbox, reason_of, request, serving, violations_of
from tests.webhooks.office import Got, receiving

pytestmark = pytest.mark.asyncio(loop_scope="module")
URL = "https://studio.example/hooks"
FILM = webhook_pb2.WebhookFilter(project_ids=["film"])


def key_file(folder: Path, text: str | None = None) -> Path:
    path = folder / f"webhook-key-{secrets.token_hex(4)}"
    path.write_text(secrets.token_urlsafe(48) if text is None else text)
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    return Tokens(tmp_path_factory.mktemp("tokens") / "tokens")


@pytest.fixture(scope="module")
def operator(tokens: Tokens) -> str:
    return tokens.give("operator", projects=(), rights="read write admin")


@pytest.fixture(scope="module")
def director(tokens: Tokens) -> str:
    return tokens.give("director", projects=("film", "trailer"), rights="read admin")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def api(
    tmp_path_factory: pytest.TempPathFactory, tokens: Tokens, operator: str, director: str
) -> AsyncIterator[Api]:
    folder = tmp_path_factory.mktemp("data")
    changes = {
        "EVERGREEN_TOKENS_FILE": str(tokens.path),
        "EVERGREEN_WEBHOOK_KEY_FILE": str(key_file(folder)),
        "EVERGREEN_WEBHOOK_HOSTS": "127.0.0.1",
    }
    async with open_sandbox() as sandbox, serving(folder / "data", sandbox.url, **changes) as opened:
        yield opened


@pytest.fixture
def stub(api: Api) -> webhook_pb2_grpc.WebhookServiceStub:
    return webhook_pb2_grpc.WebhookServiceStub(api.channel)


async def refused(call: object) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


def create(**fields: object) -> webhook_pb2.CreateWebhookRequest:
    return webhook_pb2.CreateWebhookRequest(**{"url": URL, "filter": FILM, **fields})


async def test_a_webhook_is_set_up_shown_changed_and_deleted(
    stub: webhook_pb2_grpc.WebhookServiceStub, operator: str
) -> None:
    me = bearer(operator)
    wanted = webhook_pb2.WebhookFilter(project_ids=["b", "a", "b"], types=["video.*", "film.failed"], labels={"k": "v"})

    made = await stub.CreateWebhook(create(filter=wanted, description="for us"), metadata=me)
    hook = made.webhook
    assert made.secret.startswith("whsec_")
    assert not made.known
    assert hook.filter.project_ids == ["a", "b"]
    assert hook.state == webhook_pb2.WEBHOOK_STATE_ACTIVE
    assert (hook.secret_generation, hook.description, hook.url) == (1, "for us", URL)

    got = await stub.GetWebhook(webhook_pb2.GetWebhookRequest(webhook_id=hook.webhook_id), metadata=me)
    assert got.webhook == hook
    of_b = await stub.ListWebhooks(webhook_pb2.ListWebhooksRequest(project_id="b"), metadata=me)
    assert list(of_b.webhooks) == [hook]

    change = webhook_pb2.UpdateWebhookRequest(
        webhook_id=hook.webhook_id, state=webhook_pb2.WEBHOOK_STATE_PAUSED, filter=FILM, description=""
    )
    changed = (await stub.UpdateWebhook(change, metadata=me)).webhook
    assert (changed.state, changed.description, changed.url) == (webhook_pb2.WEBHOOK_STATE_PAUSED, "", URL)
    assert not (await stub.ListWebhooks(webhook_pb2.ListWebhooksRequest(project_id="b"), metadata=me)).webhooks

    await stub.DeleteWebhook(webhook_pb2.DeleteWebhookRequest(webhook_id=hook.webhook_id), metadata=me)
    gone = await refused(stub.GetWebhook(webhook_pb2.GetWebhookRequest(webhook_id=hook.webhook_id), metadata=me))
    assert (gone.code(), reason_of(gone)) == (grpc.StatusCode.NOT_FOUND, "WEBHOOK_NOT_FOUND")


async def test_a_repeated_request_returns_the_same_webhook_with_its_secret(
    stub: webhook_pb2_grpc.WebhookServiceStub, operator: str, director: str
) -> None:
    first = await stub.CreateWebhook(create(request_id="once"), metadata=bearer(operator))
    again = await stub.CreateWebhook(create(request_id="once"), metadata=bearer(operator))
    other = await refused(stub.CreateWebhook(create(request_id="once", description="x"), metadata=bearer(operator)))
    anothers = await stub.CreateWebhook(create(request_id="once"), metadata=bearer(director))

    assert again.known
    assert (again.webhook, again.secret) == (first.webhook, first.secret)
    assert (other.code(), reason_of(other)) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert not anothers.known
    assert anothers.secret != first.secret


async def test_rotation_makes_another_secret_and_says_until_when_the_one_before_is_good(
    stub: webhook_pb2_grpc.WebhookServiceStub, operator: str
) -> None:
    me = bearer(operator)
    made = await stub.CreateWebhook(create(), metadata=me)

    rotated = await stub.RotateSecret(webhook_pb2.RotateSecretRequest(webhook_id=made.webhook.webhook_id), metadata=me)
    at_once = await stub.RotateSecret(
        webhook_pb2.RotateSecretRequest(webhook_id=made.webhook.webhook_id, overlap=Duration()), metadata=me
    )
    too_long = await refused(
        stub.RotateSecret(
            webhook_pb2.RotateSecretRequest(webhook_id=made.webhook.webhook_id, overlap=Duration(seconds=8 * 86400)),
            metadata=me,
        )
    )

    assert len({made.secret, rotated.secret, at_once.secret}) == 3
    assert rotated.webhook.secret_generation == 2
    seconds = rotated.webhook.old_secret_expire_time.seconds - rotated.webhook.update_time.seconds
    assert 86400 - 2 <= seconds <= 86400 + 2
    assert not at_once.webhook.HasField("old_secret_expire_time")
    assert violations_of(too_long) == {"overlap": "must be 0 to 7 days"}


async def test_a_rotation_that_is_repeated_gives_the_same_secret_and_no_second_one(
    stub: webhook_pb2_grpc.WebhookServiceStub, operator: str
) -> None:
    """The receiver has the first secret: after a second rotation, nothing that it gets would be signed with that."""
    me = bearer(operator)
    made = await stub.CreateWebhook(create(), metadata=me)
    asked = {"webhook_id": made.webhook.webhook_id, "secret_generation": 1}

    first, again = [await stub.RotateSecret(webhook_pb2.RotateSecretRequest(**asked), metadata=me) for _ in range(2)]
    at_once = Duration()
    other = await stub.RotateSecret(webhook_pb2.RotateSecretRequest(**asked, overlap=at_once), metadata=me)
    ahead = webhook_pb2.RotateSecretRequest(**{**asked, "secret_generation": 3})
    refusals = [await refused(stub.RotateSecret(ahead, metadata=me))]
    await stub.RotateSecret(webhook_pb2.RotateSecretRequest(**{**asked, "secret_generation": 2}), metadata=me)
    refusals.append(await refused(stub.RotateSecret(webhook_pb2.RotateSecretRequest(**asked), metadata=me)))

    assert first.secret == again.secret == other.secret != made.secret
    for repeated in (again, other):
        assert repeated.webhook.secret_generation == 2
        assert repeated.webhook.old_secret_expire_time == first.webhook.old_secret_expire_time
        assert repeated.webhook.update_time == first.webhook.update_time
    assert [violations_of(each).keys() for each in refusals] == [{"secret_generation"}] * 2


async def test_all_that_is_wrong_is_named_at_once(stub: webhook_pb2_grpc.WebhookServiceStub, operator: str) -> None:
    wrong = create(
        url="http://user@127.0.0.1:22/",
        filter=webhook_pb2.WebhookFilter(
            project_ids=["film", "no/id"],
            types=["video.made", "meal.cooked", "video.*"],
            labels={f"l{number}": "v" for number in range(50)},
        ),
        description="d" * 201,
        request_id="no good id",
    )

    named = violations_of(await refused(stub.CreateWebhook(wrong, metadata=bearer(operator))))

    assert set(named) == {
        "url",
        "filter.project_ids[1]",
        "filter.types[0]",
        "filter.types[1]",
        "filter.labels",
        "description",
        "request_id",
    }
    assert "video.* or video. and one of succeeded" in named["filter.types[0]"]


async def test_a_project_is_required_or_all_of_them(stub: webhook_pb2_grpc.WebhookServiceStub, operator: str) -> None:
    none = await refused(stub.CreateWebhook(create(filter=webhook_pb2.WebhookFilter()), metadata=bearer(operator)))
    both = await refused(
        stub.CreateWebhook(
            create(filter=webhook_pb2.WebhookFilter(project_ids=["film"], all_projects=True)),
            metadata=bearer(operator),
        )
    )

    assert set(violations_of(none)) == {"filter.project_ids"}
    assert set(violations_of(both)) == {"filter.project_ids"}


async def test_webhooks_of_other_projects_look_as_if_they_did_not_exist(
    stub: webhook_pb2_grpc.WebhookServiceStub, operator: str, director: str
) -> None:
    everyone = webhook_pb2.WebhookFilter(all_projects=True)
    both = webhook_pb2.WebhookFilter(project_ids=["film", "secret"])
    hidden = [
        (await stub.CreateWebhook(create(filter=wanted), metadata=bearer(operator))).webhook.webhook_id
        for wanted in (everyone, both)
    ]
    mine = (await stub.CreateWebhook(create(), metadata=bearer(director))).webhook.webhook_id

    for webhook_id in hidden:
        for call in (
            stub.GetWebhook(webhook_pb2.GetWebhookRequest(webhook_id=webhook_id), metadata=bearer(director)),
            stub.UpdateWebhook(webhook_pb2.UpdateWebhookRequest(webhook_id=webhook_id), metadata=bearer(director)),
            stub.DeleteWebhook(webhook_pb2.DeleteWebhookRequest(webhook_id=webhook_id), metadata=bearer(director)),
            stub.RotateSecret(webhook_pb2.RotateSecretRequest(webhook_id=webhook_id), metadata=bearer(director)),
            stub.SendTest(webhook_pb2.SendTestRequest(webhook_id=webhook_id), metadata=bearer(director)),
            stub.ListDeliveries(webhook_pb2.ListDeliveriesRequest(webhook_id=webhook_id), metadata=bearer(director)),
            stub.Redeliver(
                webhook_pb2.RedeliverRequest(webhook_id=webhook_id, message_id="m"), metadata=bearer(director)
            ),
        ):
            assert reason_of(await refused(call)) == "WEBHOOK_NOT_FOUND"
    listed = await stub.ListWebhooks(webhook_pb2.ListWebhooksRequest(), metadata=bearer(director))
    assert mine in {hook.webhook_id for hook in listed.webhooks}
    assert not {hook.webhook_id for hook in listed.webhooks} & set(hidden)
    one = await stub.ListWebhooks(webhook_pb2.ListWebhooksRequest(project_id="film"), metadata=bearer(operator))
    assert set(hidden) <= {hook.webhook_id for hook in one.webhooks}


async def test_nobody_hears_of_projects_that_are_not_theirs(
    stub: webhook_pb2_grpc.WebhookServiceStub, director: str
) -> None:
    mine = (await stub.CreateWebhook(create(), metadata=bearer(director))).webhook.webhook_id
    for wanted in (
        webhook_pb2.WebhookFilter(project_ids=["film", "secret"]),
        webhook_pb2.WebhookFilter(all_projects=True),
    ):
        made = await refused(stub.CreateWebhook(create(filter=wanted), metadata=bearer(director)))
        widened = await refused(
            stub.UpdateWebhook(
                webhook_pb2.UpdateWebhookRequest(webhook_id=mine, filter=wanted), metadata=bearer(director)
            )
        )
        assert [reason_of(each) for each in (made, widened)] == ["PROJECT_DENIED"] * 2


async def test_the_hundred_and_first_webhook_of_a_project_is_refused(
    stub: webhook_pb2_grpc.WebhookServiceStub, operator: str
) -> None:
    crowded = webhook_pb2.WebhookFilter(project_ids=["crowded"])
    for _ in range(100):
        await stub.CreateWebhook(create(filter=crowded), metadata=bearer(operator))
    elsewhere = (await stub.CreateWebhook(create(), metadata=bearer(operator))).webhook.webhook_id

    one_more = await refused(stub.CreateWebhook(create(filter=crowded), metadata=bearer(operator)))
    moved = await refused(
        stub.UpdateWebhook(
            webhook_pb2.UpdateWebhookRequest(webhook_id=elsewhere, filter=crowded), metadata=bearer(operator)
        )
    )

    for error in (one_more, moved):
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_WEBHOOKS")
    listed, token = [], ""
    while not listed or token:
        page = await stub.ListWebhooks(
            webhook_pb2.ListWebhooksRequest(project_id="crowded", page_size=40, page_token=token),
            metadata=bearer(operator),
        )
        listed += [hook.webhook_id for hook in page.webhooks]
        token = page.next_page_token
    assert len(listed) >= 100
    assert listed == sorted(set(listed))


async def test_what_is_unknown_or_out_of_place_is_refused(
    stub: webhook_pb2_grpc.WebhookServiceStub, operator: str
) -> None:
    me = bearer(operator)
    made = (await stub.CreateWebhook(create(), metadata=me)).webhook.webhook_id

    unknown = webhook_pb2.RedeliverRequest(webhook_id=made, message_id="0" * 36)
    assert reason_of(await refused(stub.Redeliver(unknown, metadata=me))) == "DELIVERY_NOT_FOUND"
    nothing = await refused(stub.Redeliver(webhook_pb2.RedeliverRequest(webhook_id=made), metadata=me))
    assert set(violations_of(nothing)) == {"message_id"}
    all_of_none = webhook_pb2.RedeliverRequest(webhook_id=made, given_up_since_time=Timestamp(seconds=1))
    assert (await stub.Redeliver(all_of_none, metadata=me)).deliveries == 0
    for question in (
        webhook_pb2.ListDeliveriesRequest(webhook_id=made, states=[99]),
        webhook_pb2.ListDeliveriesRequest(webhook_id=made, page_size=-1),
        webhook_pb2.ListDeliveriesRequest(webhook_id=made, page_token="x"),
        webhook_pb2.ListDeliveriesRequest(webhook_id=made, since_time=Timestamp(seconds=1 << 60)),
    ):
        error = await refused(stub.ListDeliveries(question, metadata=me))
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    off = webhook_pb2.UpdateWebhookRequest(webhook_id=made, state=webhook_pb2.WEBHOOK_STATE_SWITCHED_OFF)
    assert set(violations_of(await refused(stub.UpdateWebhook(off, metadata=me)))) == {"state"}
    pause = webhook_pb2.UpdateWebhookRequest(webhook_id=made, state=webhook_pb2.WEBHOOK_STATE_PAUSED)
    await stub.UpdateWebhook(pause, metadata=me)
    assert reason_of(await refused(stub.Redeliver(all_of_none, metadata=me))) == "WEBHOOK_SWITCHED_OFF"


async def test_a_job_is_told_from_its_beginning_to_its_end(
    api: Api, stub: webhook_pb2_grpc.WebhookServiceStub, operator: str, director: str
) -> None:
    me = bearer(operator)
    wanted = webhook_pb2.WebhookFilter(project_ids=["told"], types=["video.created", "video.*", "film.*"])
    async with receiving() as receiver:
        made = await stub.CreateWebhook(create(url=receiver.url, filter=wanted), metadata=me)
        tested = await stub.SendTest(webhook_pb2.SendTestRequest(webhook_id=made.webhook.webhook_id), metadata=me)
        job = (await api.video.GenerateVideo(request(project_id="told"), metadata=me)).job
        kinds: list[str] = []
        async with asyncio.timeout(WAIT_SECONDS):
            while "video.succeeded" not in kinds:
                got = await receiver.until(len(receiver.got) + 1)
                kinds = [each.event["type"] for each in got]

    verifier = Verifier(made.secret)
    for got in receiver.got:
        verifier.verify(got.body, got.headers)
    assert (tested.succeeded, tested.status) == (True, 204)
    assert kinds[0] == "evergreen.ping"
    assert {"video.created", "video.started", "video.output_added"} <= set(kinds)
    assert {got.event["data"]["job"]["jobId"] for got in receiver.got[1:]} == {job.job_id}
    listed = await stub.ListDeliveries(
        webhook_pb2.ListDeliveriesRequest(webhook_id=made.webhook.webhook_id, page_size=2), metadata=me
    )
    assert len(listed.deliveries) == 2
    assert listed.next_page_token
    # Two events of one transaction happened at one time, and are in no order.
    newer, older = (each.create_time.ToNanoseconds() for each in listed.deliveries)
    assert newer >= older
    assert listed.deliveries[0].job_id == job.job_id
    # Once it is the director's, what it was told of projects that are not is nothing to them.
    await stub.UpdateWebhook(
        webhook_pb2.UpdateWebhookRequest(webhook_id=made.webhook.webhook_id, filter=FILM), metadata=me
    )
    question = webhook_pb2.ListDeliveriesRequest(webhook_id=made.webhook.webhook_id)
    assert (await stub.ListDeliveries(question, metadata=me)).deliveries
    assert not (await stub.ListDeliveries(question, metadata=bearer(director))).deliveries


async def test_a_caller_waits_for_half_of_the_tests_that_there_may_be_at_once(
    stub: webhook_pb2_grpc.WebhookServiceStub, operator: str
) -> None:
    me, answered = bearer(operator), asyncio.Event()

    async def wait(_got: Got) -> web.StreamResponse:
        await answered.wait()
        return web.Response()

    async with receiving(wait) as receiver:
        made = (await stub.CreateWebhook(create(url=receiver.url), metadata=me)).webhook.webhook_id
        asked = webhook_pb2.SendTestRequest(webhook_id=made)
        waiting = [asyncio.ensure_future(stub.SendTest(asked, metadata=me)) for _ in range(8)]
        await receiver.until(8)
        one_more = await refused(stub.SendTest(asked, metadata=me))
        answered.set()
        assert all([(await each).succeeded for each in waiting])

    assert (one_more.code(), reason_of(one_more)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ("short", 0o600, "is too short"),
        ("", 0o600, "must hold a line of 32 characters"),
        ("k" * 40, 0o640, "can be read by others; chmod 600"),
        ("k" * 40, 0o604, "can be read by others; chmod 600"),
        ("\x00" * 64, 0o600, "must hold a line of 32 characters"),
        ("k" * 5000, 0o600, "must hold a line of 32 characters"),
        ("\n".join(["a" * 40, "b" * 40, "c" * 40]), 0o600, "has 3 lines"),
    ],
)
async def test_a_bad_key_file_is_named_with_what_to_do(tmp_path: Path, text: str, mode: int, said: str) -> None:
    path = key_file(tmp_path, text)
    path.chmod(mode)

    with pytest.raises(FileUnusable, match=said) as caught:
        read_keys(path)
    assert str(path) in str(caught.value)
    assert os.linesep not in str(caught.value)
