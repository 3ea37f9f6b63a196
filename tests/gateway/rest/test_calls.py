"""Calls by REST over a real gateway: the contract's answers, by the table of bindings."""

import asyncio
import json
from collections.abc import AsyncIterator
from uuid import uuid4

import aiohttp
import grpc
import pytest
import pytest_asyncio
from google.protobuf.json_format import MessageToDict

from evergreen.v1 import video_pb2
from evergreen_server.gateway.bridge import methods
from evergreen_server.gateway.problems import Refused, refused
from evergreen_server.gateway.rest.accounts import KEPT_SECONDS, Accounts
from evergreen_server.gateway.rest.routes import ABSENT, BINDINGS
from tests.gateway.gateways import gateway
from tests.rpc.films import SHORT
from tests.serving import Api, Control, open_sandbox

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLIP = {
    "sceneId": "scene-1",
    "model": "gen4.5",
    "promptText": "a rocket rises",
    "ratio": "1280:720",
    "durationSeconds": 2,
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox() -> AsyncIterator[Control]:
    async with open_sandbox() as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory, sandbox: Control) -> AsyncIterator[Api]:
    folder = tmp_path_factory.mktemp("rest")
    key = folder / "key"
    key.write_text("k" * 40)
    key.chmod(0o600)
    async with gateway(folder / "data", sandbox, EVERGREEN_WEBHOOK_KEY_FILE=str(key)) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(api: Api) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"{api.http}/api/v1/") as session:
        yield session


async def asked(
    http: aiohttp.ClientSession, verb: str, path: str, body: object = None, **headers: str
) -> tuple[int, dict[str, object], aiohttp.ClientResponse]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with http.request(verb, path, json=body, headers=named) as answer:
        return answer.status, await answer.json() if answer.status != 304 else {}, answer


async def made(http: aiohttp.ClientSession, **changes: object) -> dict[str, object]:
    body = {**CLIP, "requestId": uuid4().hex, **changes}
    status, answer, _ = await asked(http, "POST", "projects/film/videos", body)
    assert status == 201, answer
    job = answer["job"]
    assert isinstance(job, dict)
    return job


async def test_every_method_has_a_binding_or_a_reason() -> None:
    bound = {binding.method for binding in BINDINGS}

    assert bound | set(ABSENT) == set(methods())
    assert not bound & set(ABSENT)
    assert len({(binding.verb, binding.path) for binding in BINDINGS}) == len(BINDINGS)
    for binding in BINDINGS:
        fields = methods()[binding.method].request.DESCRIPTOR
        if binding.by.value == "call":
            names = {field.json_name for field in fields.fields} | {"folder", "name"}
            assert set(binding.variables) <= names, binding.path


async def test_a_clip_is_made_once_whichever_way_its_request_is_named(api: Api, http: aiohttp.ClientSession) -> None:
    status, first, answer = await asked(http, "POST", "projects/film/videos", CLIP, Idempotency_Key='"once"')
    again = [
        await asked(http, "POST", "projects/film/videos", {**CLIP, "requestId": "once"}),
        await asked(http, "POST", "projects/film/videos", {**CLIP, "request_id": "once"}, Idempotency_Key="once"),
    ]

    job = await api.status(str(first["job"]["jobId"]))
    assert (status, answer.headers["Location"]) == (201, f"/api/v1/videos/{job.job_id}")
    assert (job.project_id, job.request_id) == ("film", "once")
    for status, body, answer in again:
        assert (status, body["job"]["jobId"]) == (200, job.job_id)
        assert answer.headers["Location"] == f"/api/v1/videos/{job.job_id}"
    assert (await api.finished(job.job_id)).state == video_pb2.JOB_STATE_SUCCEEDED


async def test_a_quote_makes_nothing(http: aiohttp.ClientSession) -> None:
    body = {**CLIP, "requestId": "quoted", "validateOnly": True}

    status, answer, response = await asked(http, "POST", "projects/quoted/videos", body)

    assert (status, answer) == (200, {"estimatedCredits": 24.0, "known": False})
    assert "Location" not in response.headers
    _, listed, _ = await asked(http, "GET", "videos?projectId=quoted")
    assert listed["jobs"] == []


async def test_a_picture_is_made_by_its_own_path(api: Api, http: aiohttp.ClientSession) -> None:
    body = {
        "sceneId": "s",
        "requestId": "p",
        "model": "gen4_image",
        "image": {"promptText": "a hill", "ratio": "1280:720"},
    }

    status, answer, response = await asked(http, "POST", "projects/film/generations", body)

    assert (status, answer["job"]["kind"]) == (201, "MEDIA_KIND_IMAGE")
    assert response.headers["Location"] == f"/api/v1/videos/{answer['job']['jobId']}"


async def test_a_status_is_sent_again_only_if_it_changed(api: Api, http: aiohttp.ClientSession) -> None:
    job = await made(http)
    await api.finished(str(job["jobId"]))
    path = f"videos/{job['jobId']}"

    status, body, answer = await asked(http, "GET", path)
    tag = answer.headers["ETag"]
    same = [await asked(http, "GET", path, If_None_Match=given) for given in (tag, f'"x", W/{tag}', "*")]

    assert (status, body["job"]["state"]) == (200, "JOB_STATE_SUCCEEDED")
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert [(status, answer.headers["ETag"]) for status, _, answer in same] == [(304, tag)] * 3
    assert (await asked(http, "GET", path, If_None_Match='"another"'))[0] == 200


async def test_lists_are_filtered_by_their_query_and_linked_page_by_page(http: aiohttp.ClientSession) -> None:
    wanted = [(await made(http, sceneId="paged", labels={"take": str(number % 2)}))["jobId"] for number in range(4)]
    seen, path = [], "videos?projectId=film&scene_id=paged&order=LIST_ORDER_NEWEST_FIRST&pageSize=3"

    while path:
        status, body, answer = await asked(http, "GET", path)
        assert status == 200
        seen += [job["jobId"] for job in body["jobs"]]
        link = answer.links.get("next")
        path = str(link["url"]) if link else ""
        assert bool(path) is bool(body["nextPageToken"])

    assert seen == wanted[::-1]
    _, body, _ = await asked(http, "GET", "videos?projectId=film&sceneId=paged&labels.take=1")
    assert [job["jobId"] for job in body["jobs"]] == [wanted[1], wanted[3]]
    _, body, _ = await asked(
        http, "GET", "videos?projectId=film&sceneId=paged&states=JOB_STATE_FAILED&states=JOB_STATE_EXPIRED"
    )
    assert body["jobs"] == []


async def test_a_job_is_cancelled_without_a_body(http: aiohttp.ClientSession) -> None:
    job = await made(http)

    status, body, _ = await asked(http, "POST", f"videos/{job['jobId']}:cancel")

    assert status == 200
    assert body["job"]["state"] in ("JOB_STATE_CANCELLING", "JOB_STATE_CANCELLED")


async def test_scenes_and_their_assets_are_listed_and_deleted(http: aiohttp.ClientSession) -> None:
    assert (await asked(http, "PUT", "projects/tree/scenes/one"))[0] == 200
    status, body, _ = await asked(http, "GET", "projects/tree/scenes/one")
    assert [folder["name"] for folder in body["scene"]["folders"]] == [
        "images",
        "audio",
        "videos",
        "metadata",
        "exports",
    ]
    assert [scene["sceneId"] for scene in (await asked(http, "GET", "projects/tree/scenes"))[1]["scenes"]] == ["one"]

    status, body, _ = await asked(http, "DELETE", "projects/tree/scenes/one/assets/images/none.png")
    assert (status, body["reason"]) == (404, "ASSET_NOT_FOUND")
    status, body, _ = await asked(http, "POST", "projects/tree/scenes/one/assets/images/none.png:url", {})
    assert (status, body["reason"]) == (404, "ASSET_NOT_FOUND")
    assert (await asked(http, "DELETE", "projects/tree/scenes/one?force"))[:2] == (200, {"left": []})


async def test_a_film_is_planned_edited_read_and_deleted(http: aiohttp.ClientSession) -> None:
    film = "projects/cinema/films/lamp"

    status, planned, _ = await asked(http, "POST", f"{film}:plan", {"script": SHORT}, Idempotency_Key="plan-1")
    assert status == 200, planned
    assert planned["film"]["status"]["planRevision"] == 1
    edits = [{"settings": {"style": "ink"}}]
    status, body, _ = await asked(http, "POST", f"{film}:edit", {"planRevision": 1, "edits": edits})
    assert (status, body["film"]["status"]["planRevision"]) == (200, 2), body
    assert (await asked(http, "GET", f"{film}?planRevision=1"))[1]["film"]["status"]["planRevision"] == 1
    assert [each["filmId"] for each in (await asked(http, "GET", "projects/cinema/films"))[1]["films"]] == ["lamp"]
    status, body, _ = await asked(
        http, "POST", f"{film}:start", {"planRevision": 1, "maxCredits": 1}, Idempotency_Key="s"
    )
    assert (status, body["reason"]) == (409, "PLAN_CHANGED")
    for verb in ("approve", "cancel"):
        status, body, _ = await asked(
            http,
            "POST",
            f"{film}:{verb}",
            {"run": 1, "planRevision": 2, "revision": "1", "maxCredits": 1} if verb == "approve" else {"run": 1},
        )
        assert (status, body["reason"]) == (404, "RUN_NOT_FOUND"), body
    assert (await asked(http, "DELETE", f"{film}?deleteScenes"))[0] == 200
    assert (await asked(http, "GET", film))[1]["reason"] == "FILM_NOT_FOUND"


async def test_a_webhook_is_made_once_changed_by_what_is_in_a_patch_and_deleted(http: aiohttp.ClientSession) -> None:
    labels = {"team": "edit"}
    hook = {"url": "https://studio.example/hooks", "filter": {"projectIds": ["told"], "labels": labels}}

    status, made, answer = await asked(http, "POST", "webhooks", hook, Idempotency_Key="hook-1")
    path = answer.headers["Location"].removeprefix("/api/v1/")
    again = await asked(http, "POST", "webhooks", {**hook, "requestId": "hook-1"})
    other = await asked(http, "POST", "webhooks", {**hook, "requestId": "hook-1", "description": "another"})

    assert (status, path) == (201, f"webhooks/{made['webhook']['webhookId']}")
    assert (again[0], again[1]["secret"], again[2].headers["Location"]) == (
        200,
        made["secret"],
        answer.headers["Location"],
    )
    assert (other[0], other[1]["reason"]) == (409, "REQUEST_ID_REUSED")

    change = {"state": "WEBHOOK_STATE_PAUSED", "description": "the edit"}
    status, body, _ = await asked(http, "PATCH", path, change)
    changed = body["webhook"]
    assert (status, changed["state"], changed["description"]) == (200, "WEBHOOK_STATE_PAUSED", "the edit")
    assert (changed["url"], changed["filter"]["labels"]) == (hook["url"], labels)
    status, body, _ = await asked(http, "PATCH", path, {"description": None, "filter": {"allProjects": True}})
    assert (body["webhook"]["description"], body["webhook"]["filter"]["allProjects"]) == ("the edit", True)
    assert (await asked(http, "GET", path))[1]["webhook"] == body["webhook"]

    status, body, _ = await asked(http, "POST", f"{path}:rotate", {"overlap": "3600s"})
    assert (status, body["webhook"]["secretGeneration"], body["secret"] != made["secret"]) == (200, 2, True)
    since = "givenUpSinceTime=2026-01-01T00:00:00Z"
    assert (await asked(http, "POST", f"{path}:redeliver?{since}", {}))[0] == 400
    status, body, _ = await asked(http, "POST", f"{path}:redeliver", {})
    assert (status, body["reason"]) == (400, "INVALID_REQUEST")
    status, body, _ = await asked(http, "POST", f"{path}:redeliver", {"messageId": str(uuid4())})
    assert (status, body["reason"]) == (400, "WEBHOOK_SWITCHED_OFF")
    query = "states=DELIVERY_STATE_GIVEN_UP&states=DELIVERY_STATE_PENDING&sinceTime=2026-01-01T00:00:00Z"
    assert (await asked(http, "GET", f"{path}/deliveries?{query}"))[:2] == (
        200,
        {"deliveries": [], "nextPageToken": ""},
    )

    assert (await asked(http, "DELETE", path))[0] == 200
    assert (await asked(http, "GET", path))[1]["reason"] == "WEBHOOK_NOT_FOUND"


async def test_webhooks_are_linked_page_by_page(http: aiohttp.ClientSession) -> None:
    for number in range(3):
        hook = {"url": f"https://studio.example/{number}", "filter": {"projectIds": ["linked"]}}
        assert (await asked(http, "POST", "webhooks", hook))[0] == 201
    seen, path = [], "webhooks?projectId=linked&pageSize=2"

    while path:
        _, body, answer = await asked(http, "GET", path)
        seen += [webhook["url"][-1] for webhook in body["webhooks"]]
        link = answer.links.get("next")
        path = str(link["url"]) if link else ""

    assert seen == ["0", "1", "2"]


async def test_who_is_asking_and_what_there_is(api: Api, http: aiohttp.ClientSession) -> None:
    _, caller, _ = await asked(http, "GET", "caller")
    _, models, _ = await asked(http, "GET", "models?kinds=MEDIA_KIND_IMAGE")
    _, projects, _ = await asked(http, "GET", "projects?pageSize=1000")

    assert caller["allProjects"] is True
    wanted = await api.video.ListModels(video_pb2.ListModelsRequest(kinds=[video_pb2.MEDIA_KIND_IMAGE]))
    assert models == MessageToDict(wanted, always_print_fields_with_no_presence=True)
    assert [project["projectId"] for project in projects["projects"]] == sorted(
        project["projectId"] for project in projects["projects"]
    )
    assert "film" in str(projects)


@pytest.mark.parametrize(
    ("verb", "path", "body", "field"),
    [
        ("POST", "projects/film/videos", {**CLIP, "size": 3}, "size"),
        ("POST", "projects/film/videos", {**CLIP, "media": [{"asset": "images/a.png", "kind": 1}]}, "media[0].kind"),
        ("POST", "projects/film/videos", {**CLIP, "media": ["a"]}, "media[0]"),
        ("POST", "projects/film/videos", {**CLIP, "media": [{"data": "no base64!", "role": 1}]}, "media[0].data"),
        ("POST", "projects/film/videos", {**CLIP, "media": [{"role": "FIRST"}]}, "media[0].role"),
        ("POST", "projects/film/videos", {**CLIP, "durationSeconds": "long"}, "durationSeconds"),
        ("POST", "projects/film/videos", {**CLIP, "duration_seconds": 3}, "durationSeconds"),
        ("POST", "projects/film/videos", {**CLIP, "validateOnly": "true"}, "validateOnly"),
        ("POST", "projects/film/videos", {**CLIP, "projectId": "other"}, "projectId"),
        ("POST", "projects/film/videos", {**CLIP, "project_id": 7}, "projectId"),
        ("POST", "projects/film/videos", {**CLIP, "\ud800": 1}, "?"),
        ("POST", "projects/film/videos?validateOnly=true", CLIP, "validateOnly"),
        ("POST", "projects/film/videos", CLIP, "requestId"),
        ("GET", "videos?project=film", None, "project"),
        ("GET", "videos?projectId=a&projectId=b", None, "projectId"),
        ("GET", "videos?projectId=film&pageSize=many", None, "pageSize"),
        ("GET", "videos?projectId=film&states=RUNNING", None, "states[0]"),
        ("GET", "videos?projectId=film&labels=a", None, "labels"),
        ("GET", "videos?projectId=film&pageSize.x=1", None, "pageSize.x"),
        ("GET", "videos?projectId=film&createdFrom=today", None, "createdFrom"),
        ("DELETE", "projects/film/scenes/none?force=yes", None, "force"),
        ("GET", "videos/x?jobId=y", None, "jobId"),
        ("PATCH", "webhooks/x", {"state": "PAUSED"}, "state"),
        ("PATCH", "webhooks/x", {"webhookId": "y"}, "webhookId"),
        ("PATCH", "webhooks/x", {"filter": {"labels": {"take": 1}}}, "filter.labels"),
        ("PATCH", "webhooks/x", {"filter": {"labels": ["take"]}}, "filter.labels"),
        ("PATCH", "webhooks/x", {"filter": {"types": "video.*"}}, "filter.types"),
        ("PATCH", "webhooks/x", {"filter": {"project": "film"}}, "filter.project"),
        ("PATCH", "webhooks/x?state=WEBHOOK_STATE_PAUSED", {}, "state"),
        (
            "POST",
            "webhooks/x:redeliver",
            {"messageId": "m", "given_up_since_time": "2026-01-01T00:00:00Z"},
            "givenUpSinceTime",
        ),
        ("POST", "webhooks/x:rotate", {"overlap": "1 day"}, "overlap"),
        ("GET", "webhooks/x/deliveries?sinceTime=today", None, "sinceTime"),
        ("GET", "webhooks/x/deliveries?states=GIVEN_UP", None, "states[0]"),
        ("GET", "audit?actions=CANCEL", None, "actions[0]"),
        ("POST", "projects/film/generations", {"sceneId": "s", "hdr": {}, "image": {}}, "image"),
        (
            "POST",
            "projects/film/films/f:edit",
            {"edits": [{"deleteSceneId": "a", "settings": {}}]},
            "edits[0].settings",
        ),
    ],
)
async def test_what_a_request_may_not_say_is_named(
    http: aiohttp.ClientSession, verb: str, path: str, body: object, field: str
) -> None:
    status, answer, response = await asked(http, verb, path, body)

    assert (status, answer["reason"]) == (400, "INVALID_REQUEST"), answer
    assert [error["field"] for error in answer["errors"]] == [field]
    assert response.content_type == "application/problem+json"
    assert answer["requestId"] == response.headers["X-Request-Id"]


async def test_a_key_that_is_not_the_requests_own_id_is_refused(http: aiohttp.ClientSession) -> None:
    body = {**CLIP, "requestId": "mine"}

    status, answer, _ = await asked(http, "POST", "projects/film/videos", body, Idempotency_Key="another")

    assert (status, answer["errors"]) == (400, [{"field": "requestId", "detail": "is another than in Idempotency-Key"}])


@pytest.mark.parametrize(
    ("verb", "path", "kind", "status", "reason"),
    [
        ("POST", "projects/film/videos", "application/x-www-form-urlencoded", 415, "CONTENT_TYPE_UNSUPPORTED"),
        ("POST", "projects/film/videos", "multipart/form-data; boundary=a", 415, "CONTENT_TYPE_UNSUPPORTED"),
        ("POST", "projects/film/videos", "text/plain", 415, "CONTENT_TYPE_UNSUPPORTED"),
        ("POST", "videos/x:cancel", "text/plain", 415, "CONTENT_TYPE_UNSUPPORTED"),
        ("GET", "videos/x", "application/json", 400, "MALFORMED_REQUEST"),
        ("DELETE", "projects/film/scenes/none", "application/json", 400, "MALFORMED_REQUEST"),
        ("PUT", "videos/x", "application/json", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "videos/x:explode", "application/json", 404, "PATH_UNKNOWN"),
        ("GET", "videos/x:cancel", "application/json", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "nothing", "application/json", 404, "PATH_UNKNOWN"),
    ],
)
async def test_bodies_are_json_and_only_where_they_are_read(
    http: aiohttp.ClientSession, verb: str, path: str, kind: str, status: int, reason: str
) -> None:
    async with http.request(verb, path, data=b"{}", headers={"Content-Type": kind}) as answer:
        assert (answer.status, (await answer.json())["reason"]) == (status, reason)


async def test_faults_have_their_status_and_say_when_to_come_back(http: aiohttp.ClientSession) -> None:
    status, body, _ = await asked(http, "GET", "videos/01890000-0000-7000-8000-000000000000")
    assert (status, body["reason"], body["type"]) == (404, "JOB_NOT_FOUND", "urn:evergreen:JOB_NOT_FOUND")

    asking = Accounts(lambda: 0.0)
    away = refused(grpc.StatusCode.UNAVAILABLE, "PROVIDER_UNAVAILABLE", message="away", retry_seconds=7)
    with pytest.raises(Refused) as caught:
        await asking.of("", "", _failing(away))
    assert caught.value.fault.all_headers()["Retry-After"] == "7"


def _failing(exc: Exception):
    async def ask() -> video_pb2.GetAccountResponse:
        raise exc

    return ask


async def test_the_account_is_asked_of_the_provider_once_for_all_who_wait(
    http: aiohttp.ClientSession, sandbox: Control
) -> None:
    before = len(await sandbox.calls(operation="get_organization"))

    answers = await asyncio.gather(
        *(asked(http, "GET", f"account?projectId={name}") for name in ["asks"] * 9 + ["film"])
    )

    assert {status for status, _, _ in answers} == {200}
    assert {json.dumps(body) for _, body, _ in answers[:9]} == {json.dumps(answers[0][1])}
    assert len(await sandbox.calls(operation="get_organization")) - before <= 2


async def test_an_account_is_kept_for_ten_seconds_and_a_failure_for_those_who_waited_for_it() -> None:
    now, asked_for = [100.0], []

    async def ask() -> video_pb2.GetAccountResponse:
        asked_for.append(now[0])
        await asyncio.sleep(0)
        if now[0] >= 200:
            raise refused(grpc.StatusCode.UNAVAILABLE, "PROVIDER_UNAVAILABLE", message="away")
        return video_pb2.GetAccountResponse(credit_balance=now[0])

    accounts = Accounts(lambda: now[0])
    await asyncio.gather(*(accounts.of("one", "p", ask) for _ in range(5)))
    await accounts.of("two", "p", ask)
    now[0] += KEPT_SECONDS - 0.1
    assert (await accounts.of("one", "p", ask)).credit_balance == 100.0
    now[0] += 0.1
    assert (await accounts.of("one", "p", ask)).credit_balance == 100.0 + KEPT_SECONDS
    assert len(asked_for) == 3

    now[0] = 200.0
    failed = await asyncio.gather(*(accounts.of("one", "p", ask) for _ in range(5)), return_exceptions=True)
    assert all(isinstance(exc, Refused) for exc in failed)
    assert len(asked_for) == 4
    now[0] = 201.0
    with pytest.raises(Refused):
        await accounts.of("one", "p", ask)
    assert len(asked_for) == 5
