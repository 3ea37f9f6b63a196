"""Who did what: each change by a caller is recorded once, with who asked; what changed nothing is not."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import grpc
import pytest
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp

from evergreen.v1 import audit_pb2, film_pb2, scene_pb2, video_pb2, webhook_pb2, webhook_pb2_grpc
from evergreen_server.rpc.access.origin import address_of, origin_of
from tests.rpc.films import plan_request, start_request
from tests.rpc.identities import Tokens, bearer
from tests.rpc.test_webhooks import key_file
from tests.serving import SAMPLES, Api, open_sandbox, reason_of, request, serving, violations_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


class Asked:
    """A server that asks for tokens, and three who have one."""

    def __init__(self, api: Api, ann: str, operator: str, of_other: str) -> None:
        self.api = api
        self.ann = (*bearer(ann), ("x-request-id", "from-ann"), ("traceparent", PARENT))
        self.operator = bearer(operator)
        self.of_other = bearer(of_other)

    async def entries(self, **fields: object) -> list[audit_pb2.AuditEntry]:
        found = await self.api.audit.ListAuditEntries(
            audit_pb2.ListAuditEntriesRequest(**fields), metadata=self.operator
        )
        return list(found.entries)

    async def told(self, project_id: str) -> list[tuple[str, str, str, dict[str, str]]]:
        """What is recorded of a project: who did what to what, oldest first."""
        return [
            (entry.caller, name_of(entry), entry.subject, dict(entry.details))
            for entry in reversed(await self.entries(project_id=project_id))
        ]


def name_of(entry: audit_pb2.AuditEntry) -> str:
    return audit_pb2.AuditAction.Name(entry.action).removeprefix("AUDIT_ACTION_")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def asked(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Asked]:
    folder = tmp_path_factory.mktemp("audit")
    tokens = Tokens(folder / "tokens")
    ann = tokens.give("ann", projects=(), rights="read write approve")
    operator = tokens.give("operator", projects=(), rights="read write admin")
    of_other = tokens.give("of-other", projects=("other",), rights="read admin")
    async with (
        open_sandbox(speed=0.001) as sandbox,
        serving(
            folder / "data",
            sandbox.url,
            EVERGREEN_TOKENS_FILE=str(tokens.path),
            EVERGREEN_WEBHOOK_KEY_FILE=str(key_file(folder)),
        ) as api,
    ):
        yield Asked(api, ann, operator, of_other)


async def test_each_change_of_a_job_is_recorded_with_its_caller(asked: Asked) -> None:
    message = request(project_id="jobs")
    job = (await asked.api.video.GenerateVideo(message, metadata=asked.ann)).job
    assert (await asked.api.video.GenerateVideo(message, metadata=asked.operator)).job.job_id == job.job_id
    cancel = video_pb2.CancelVideoRequest(job_id=job.job_id)
    for _ in range(2):
        await asked.api.video.CancelVideo(cancel, metadata=asked.operator)

    assert await asked.told("jobs") == [
        ("ann", "GENERATE", job.job_id, {}),
        ("operator", "CANCEL", job.job_id, {}),
    ], "what is asked again changes nothing"
    cancelled, accepted = await asked.entries(project_id="jobs")
    assert (accepted.scene_id, accepted.call_id, accepted.trace_id) == ("scene-1", "from-ann", TRACE)
    assert accepted.address == "127.0.0.1"
    assert (len(cancelled.call_id), cancelled.trace_id) == (32, ""), "the server's own id"
    assert accepted.time.ToDatetime(UTC) <= cancelled.time.ToDatetime(UTC) <= datetime.now(UTC)


async def test_who_did_what_is_told_to_no_watcher(asked: Asked) -> None:
    message = request(project_id="told", request_id="who")
    await asked.api.video.GenerateVideo(message, metadata=asked.ann)
    call = asked.api.video.WatchProgress(
        video_pb2.WatchProgressRequest(project_id="told", after_revision=0), metadata=asked.operator
    )
    told = b""
    async with asyncio.timeout(60):
        async for event in call:
            told += event.SerializeToString()
            if event.HasField("checkpoint"):
                break
    call.cancel()

    [entry] = await asked.entries(project_id="told")
    assert b"who" in told
    for word in (entry.call_id, entry.trace_id, entry.address):
        assert word
        assert word.encode() not in told


async def test_each_change_of_files_is_recorded_with_its_caller(asked: Asked) -> None:
    scene, path = {"project_id": "files", "scene_id": "scene-1"}, "images/rocket.jpg"
    data = (SAMPLES / "rocket.jpg").read_bytes()

    async def upload(**fields: object) -> None:
        info = scene_pb2.UploadInfo(**scene, path=path, **fields)
        parts = [scene_pb2.UploadAssetRequest(info=info), scene_pb2.UploadAssetRequest(chunk=data)]
        await asked.api.scene.UploadAsset(iter(parts), metadata=asked.ann)

    await upload()
    await upload()
    await upload(overwrite=True)
    delete = scene_pb2.DeleteAssetRequest(**scene, path=path)
    await asked.api.scene.DeleteAsset(delete, metadata=asked.operator)
    with pytest.raises(grpc.aio.AioRpcError):
        await asked.api.scene.DeleteAsset(delete, metadata=asked.operator)
    await asked.api.scene.DeleteScene(scene_pb2.DeleteSceneRequest(**scene), metadata=asked.ann)

    size = {"size_bytes": str(len(data))}
    assert await asked.told("files") == [
        ("ann", "UPLOAD_ASSET", path, size),
        ("ann", "UPLOAD_ASSET", path, {**size, "replaced": "true"}),
        ("operator", "DELETE_ASSET", path, {}),
        ("ann", "DELETE_SCENE", "", {}),
    ]
    assert {entry.scene_id for entry in await asked.entries(project_id="files")} == {"scene-1"}


async def test_a_scene_that_is_deleted_by_force_has_its_jobs_cancelled_by_the_same_caller(asked: Asked) -> None:
    job = (await asked.api.video.GenerateVideo(request(project_id="forced"), metadata=asked.ann)).job
    delete = scene_pb2.DeleteSceneRequest(project_id="forced", scene_id="scene-1")
    with pytest.raises(grpc.aio.AioRpcError):
        await asked.api.scene.DeleteScene(delete, metadata=asked.operator)
    delete.force = True
    await asked.api.scene.DeleteScene(delete, metadata=asked.operator)

    assert await asked.told("forced") == [
        ("ann", "GENERATE", job.job_id, {}),
        ("operator", "CANCEL", job.job_id, {}),
        ("operator", "DELETE_SCENE", "", {"force": "true"}),
    ], "what was refused deleted nothing"


async def test_each_change_of_a_film_is_recorded_with_its_caller(asked: Asked) -> None:
    project = "films"
    plan = plan_request(project_id=project)
    film = asked.api.film
    for _ in range(2):
        await film.PlanFilm(plan, metadata=asked.ann)
    await film.PlanFilm(plan_request(project_id=project, plan_revision=1, validate_only=True), metadata=asked.ann)
    start = start_request(project)
    for _ in range(2):
        await film.StartFilm(start, metadata=asked.ann)
    cancel = film_pb2.CancelFilmRequest(project_id=project, film_id="movie", run=1)
    for _ in range(2):
        await film.CancelFilm(cancel, metadata=asked.operator)
    await _over(asked, project)
    await film.DeleteFilm(film_pb2.DeleteFilmRequest(project_id=project, film_id="movie"), metadata=asked.operator)

    credits = f"{start.max_credits:g}"
    assert await asked.told(project) == [
        ("ann", "PLAN_FILM", "movie", {"plan_revision": "1"}),
        ("ann", "START_FILM", "movie", {"approved_credits": credits, "run": "1"}),
        ("operator", "CANCEL_FILM", "movie", {"run": "1"}),
        ("operator", "DELETE_FILM", "movie", {}),
    ]


async def test_each_change_of_a_webhook_is_recorded_with_its_caller_and_no_secret(asked: Asked) -> None:
    stub = webhook_pb2_grpc.WebhookServiceStub(asked.api.channel)
    create = webhook_pb2.CreateWebhookRequest(
        url="https://studio.example/sesame", filter={"project_ids": ["hooks"]}, request_id="one"
    )
    for _ in range(2):
        made = await stub.CreateWebhook(create, metadata=asked.operator)
    named = {"webhook_id": made.webhook.webhook_id}
    paused = webhook_pb2.WEBHOOK_STATE_PAUSED
    for _ in range(2):
        await stub.UpdateWebhook(webhook_pb2.UpdateWebhookRequest(**named, state=paused), metadata=asked.operator)
    turned = await stub.RotateSecret(webhook_pb2.RotateSecretRequest(**named), metadata=asked.operator)
    await stub.DeleteWebhook(webhook_pb2.DeleteWebhookRequest(**named), metadata=asked.operator)
    with pytest.raises(grpc.aio.AioRpcError):
        await stub.DeleteWebhook(webhook_pb2.DeleteWebhookRequest(**named), metadata=asked.operator)

    subject = made.webhook.webhook_id
    assert await asked.told("hooks") == [
        ("operator", "CREATE_WEBHOOK", subject, {}),
        ("operator", "UPDATE_WEBHOOK", subject, {"state": "PAUSED"}),
        ("operator", "ROTATE_SECRET", subject, {}),
        ("operator", "DELETE_WEBHOOK", subject, {}),
    ]
    text = str(await asked.entries(project_id="hooks"))
    assert not any(secret in text for secret in (made.secret, turned.secret, "sesame"))


async def test_entries_are_found_by_what_is_asked_for_and_come_in_pages(asked: Asked) -> None:
    began = datetime.now(UTC)
    jobs = [
        (await asked.api.video.GenerateVideo(request(project_id="pages"), metadata=caller)).job.job_id
        for caller in (asked.ann, asked.operator, asked.ann, asked.operator, asked.ann)
    ]
    ended = datetime.now(UTC)
    await asked.api.video.CancelVideo(video_pb2.CancelVideoRequest(job_id=jobs[1]), metadata=asked.ann)

    async def found(**fields: object) -> list[str]:
        return [entry.subject for entry in await asked.entries(project_id="pages", **fields)]

    generate, cancel = audit_pb2.AUDIT_ACTION_GENERATE, audit_pb2.AUDIT_ACTION_CANCEL
    assert await found() == [jobs[1], *reversed(jobs)]
    assert await found(actions=[generate]) == jobs[::-1]
    assert await found(actions=[cancel]) == [jobs[1]]
    assert await found(actions=[cancel, generate], caller="ann") == [jobs[1], jobs[4], jobs[2], jobs[0]]
    assert await found(caller="nobody") == []
    assert await found(subject=jobs[1]) == [jobs[1], jobs[1]]
    assert await found(subject=jobs[1], actions=[generate], caller="operator") == [jobs[1]]
    assert await found(since_time=began, until_time=ended) == jobs[::-1]
    assert await found(until_time=began) == await found(since_time=datetime(9999, 1, 1, tzinfo=UTC)) == []
    assert (await asked.entries(actions=[cancel]))[0].subject == jobs[1], "of all projects"

    pages: list[list[str]] = []
    ask = audit_pb2.ListAuditEntriesRequest(project_id="pages", page_size=4)
    while not pages or ask.page_token:
        page = await asked.api.audit.ListAuditEntries(ask, metadata=asked.operator)
        pages.append([entry.subject for entry in page.entries])
        ask.page_token = page.next_page_token
    assert pages == [[jobs[1], jobs[4], jobs[3], jobs[2]], [jobs[1], jobs[0]]]


async def test_every_fault_of_a_question_is_named(asked: Asked) -> None:
    now = datetime.now(UTC)
    bad = {
        "project_id": "../etc",
        "actions": [0, 1, 99],
        "caller": "a" * 1025,
        "subject": "a" * 1025,
        "page_size": 1001,
        "page_token": "bm8gdG9rZW4",
        "since_time": now,
        "until_time": now,
    }

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await asked.entries(**bad)
    with pytest.raises(grpc.aio.AioRpcError) as far:
        await asked.entries(since_time=Timestamp(seconds=-(2**60)), page_size=-1)
    page = await asked.api.audit.ListAuditEntries(
        audit_pb2.ListAuditEntriesRequest(page_size=1), metadata=asked.operator
    )
    with pytest.raises(grpc.aio.AioRpcError) as other:
        await asked.entries(caller="ann", page_token=page.next_page_token)

    assert set(violations_of(refused.value)) == {
        *bad.keys() - {"actions", "since_time"},
        "actions[0]",
        "actions[2]",
    }
    assert set(violations_of(far.value)) == {"since_time", "page_size"}
    assert set(violations_of(other.value)) == {"page_token"}, "of another question"


async def test_only_who_answers_for_a_project_may_ask(asked: Asked) -> None:
    async def ask(metadata: tuple[tuple[str, str], ...], project_id: str = "") -> str:
        message = audit_pb2.ListAuditEntriesRequest(project_id=project_id)
        try:
            await asked.api.audit.ListAuditEntries(message, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            return reason_of(error)
        return ""

    assert await ask(asked.ann) == "RIGHT_REQUIRED"
    assert await ask(asked.of_other) == await ask(asked.of_other, "jobs") == "PROJECT_DENIED"
    assert await ask(asked.of_other, "other") == ""


async def test_tokens_that_are_refused_are_recorded_with_the_address_that_they_came_from(asked: Asked) -> None:
    get = video_pb2.GetAccountRequest()
    for metadata in ((*bearer("evg_unknown"), ("x-request-id", "stranger")), (), asked.ann, asked.of_other):
        with pytest.raises(grpc.aio.AioRpcError):
            await asked.api.video.GetAccount(get, metadata=metadata)

    refused = audit_pb2.AUDIT_ACTION_TOKEN_REFUSED
    async with asyncio.timeout(60):
        while True:
            if found := await asked.entries(actions=[refused]):
                break
            await asyncio.sleep(0.02)

    entry = found[-1]
    assert entry.address == "127.0.0.1"
    assert not entry.project_id
    assert entry.details["reason"] in ("RIGHT_REQUIRED", "PROJECT_DENIED", "TOKEN_INVALID", "TOKEN_REQUIRED")
    assert entry.details["method"].startswith("evergreen.v1.")
    assert "evg_unknown" not in str(found)


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("ipv4:192.0.2.7:51712", "", "192.0.2.7"),
        ("ipv6:%5B2001:db8::7%5D:51712", "", "2001:db8::7"),
        ("ipv4:192.0.2.7:51712", "198.51.100.1", "192.0.2.7"),
        ("unix:", "", "unix"),
        ("unix:/run/grpc", "198.51.100.1", "198.51.100.1"),
        ("unix:", "2001:db8::/64", "2001:db8::/64"),
        ("unix:", "evil\nline", "unix"),
        ("unknown", "", "unknown"),
    ],
)
async def test_an_address_is_that_of_the_peer_and_of_nobody_whom_it_names(
    peer: str, forwarded: str, address: str
) -> None:
    """But for the gateway, which calls over a socket that nobody else reaches."""
    assert address_of(peer, forwarded) == address


@pytest.mark.parametrize(
    ("sent", "call_id", "trace_id"),
    [
        ({}, None, ""),
        ({"x-request-id": "a b"}, None, ""),
        ({"x-request-id": "a" * 129}, None, ""),
        ({"x-request-id": "order.42:a_b-c"}, "order.42:a_b-c", ""),
        ({"traceparent": PARENT}, None, TRACE),
        ({"traceparent": PARENT.upper()}, None, ""),
        ({"traceparent": PARENT + "-more"}, None, ""),
        ({"traceparent": "a" * 10_000}, None, ""),
        ({"traceparent": PARENT.replace(TRACE, "0" * 32)}, None, ""),
    ],
)
async def test_what_a_client_sends_of_itself_counts_only_if_it_is_well_formed(
    sent: dict[str, str], call_id: str | None, trace_id: str
) -> None:
    class Call:
        def peer(self) -> str:
            return "unix:"

        def invocation_metadata(self) -> list[tuple[str, str]]:
            return list(sent.items())

    found = origin_of(Call(), "ann")

    assert found.trace_id == trace_id
    assert found.call_id == call_id if call_id else len(found.call_id) == 32


async def _over(asked: Asked, project_id: str) -> None:
    """Waits for the end of a film's run."""
    call = asked.api.video.WatchProgress(
        video_pb2.WatchProgressRequest(project_id=project_id, include_films=True, include_finished=True),
        metadata=asked.operator,
    )
    async with asyncio.timeout(60):
        async for message in call:
            if message.film_event.film.state == video_pb2.FILM_STATE_CANCELLED:
                break
    call.cancel()
