"""Who is let in: hosts, origins, proxies, and what every answer says."""

import json
import logging
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from tests.gateway.gateways import JSON, VIDEO, Answer, gateway, head, raw
from tests.rpc.identities import Certificate
from tests.serving import Api, open_sandbox

pytestmark = pytest.mark.asyncio(loop_scope="module")

STUDIO = "https://studio.example"
CALL = f"{VIDEO}/GetCaller"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    settings = {
        "EVERGREEN_HTTP_HOSTS": "evergreen.internal",
        "EVERGREEN_HTTP_ORIGINS": STUDIO,
        "EVERGREEN_HTTP_PROXIES": "127.0.0.0/8",
    }
    async with (
        open_sandbox() as sandbox,
        gateway(tmp_path_factory.mktemp("door") / "data", sandbox, **settings) as opened,
    ):
        yield opened


def reason(answer: Answer) -> str:
    """The reason of a problem, which also says its status."""
    body = json.loads(answer.body)
    assert answer.headers["content-type"] == "application/problem+json"
    assert (body["status"], body["type"]) == (answer.status, f"urn:evergreen:{body['reason']}")
    assert body["requestId"] == answer.headers["x-request-id"]
    return str(body["reason"])


async def post(api: Api, *fields: str, host: str = "127.0.0.1") -> Answer:
    """A call of a method without a request of its own, with these header fields."""
    lines = ("Content-Type: application/json", "Content-Length: 2", *fields)
    return await raw(api.http, head("POST", CALL, *lines, host=host) + b"{}")


async def test_health_is_open_by_any_name(api: Api) -> None:
    for host in ("127.0.0.1", "lb.example"):
        for path in ("/healthz", "/readyz"):
            assert (await raw(api.http, head("GET", path, host=host))).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:8080",
        "10.1.2.3",
        "[::1]:80",
        "[::1]",
        "localhost:1",
        "a.localhost",
        "Evergreen.Internal",
    ],
)
async def test_addresses_localhost_and_listed_names_are_taken(api: Api, host: str) -> None:
    assert (await post(api, host=host)).status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "notlocalhost", "evergreen.internal.evil", "127.0.0.1.evil.example"],
)
async def test_a_name_that_anyone_can_point_here_is_refused(api: Api, host: str) -> None:
    for method in ("GET", "POST"):
        answer = await raw(api.http, head(method, CALL, host=host))

        assert (answer.status, reason(answer)) == (421, "HOST_UNKNOWN")


@pytest.mark.parametrize(
    "fields",
    [
        ["Sec-Fetch-Site: same-origin", "Origin: http://127.0.0.1"],
        ["Sec-Fetch-Site: same-origin"],
        ["Origin: http://127.0.0.1"],
        [],
        ["Sec-Fetch-Site: cross-site", f"Origin: {STUDIO}", "Authorization: Bearer anything"],
    ],
)
async def test_pages_of_ours_no_page_at_all_and_tokens_may_call(api: Api, fields: list[str]) -> None:
    assert (await post(api, *fields)).status == 200


@pytest.mark.parametrize(
    "fields",
    [
        ["Sec-Fetch-Site: cross-site"],
        ["Sec-Fetch-Site: same-site", "Origin: http://127.0.0.1:9"],
        ["Sec-Fetch-Site: none"],
        ["Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"],
        ["Sec-Fetch-Site: same-origin, cross-site"],
        ["Sec-Fetch-Site: nonsense"],
        ["Origin: http://127.0.0.1:9"],
        ["Origin: https://127.0.0.1"],
        ["Origin: null"],
        ["Origin: "],
        ["Origin: http://127.0.0.1", "Origin: http://127.0.0.1"],
        ["Sec-Fetch-Site: same-origin", "Origin: http://127.0.0.1", "Origin: http://evil.example"],
        [f"Origin: {STUDIO}"],
        ["Cookie: evergreen=evg_x", "Origin: http://evil.example"],
    ],
)
async def test_a_page_of_another_origin_needs_a_token_of_its_own(api: Api, fields: list[str]) -> None:
    answer = await post(api, *fields)

    assert (answer.status, reason(answer)) == (403, "ORIGIN_DENIED")


async def test_a_form_of_another_page_does_nothing(api: Api) -> None:
    for kind in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", ""):
        fields = [f"Content-Type: {kind}", "Content-Length: 2", "Sec-Fetch-Site: cross-site"]
        refused = await raw(api.http, head("POST", CALL, *fields) + b"{}")
        unread = await raw(api.http, head("POST", CALL, *fields[:2]) + b"{}")

        assert (refused.status, reason(refused)) == (403, "ORIGIN_DENIED")
        assert (unread.status, reason(unread)) == (415, "CONTENT_TYPE_UNSUPPORTED")


async def test_only_listed_origins_are_told_that_they_may_call_and_never_with_cookies(api: Api) -> None:
    ask = ["Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization,content-type"]
    listed = await raw(api.http, head("OPTIONS", CALL, f"Origin: {STUDIO}", *ask))
    other = await raw(api.http, head("OPTIONS", CALL, "Origin: https://studio.example.evil", *ask))
    called = await post(api, f"Origin: {STUDIO}", "Authorization: Bearer x")
    refused = await post(api, f"Origin: {STUDIO}")

    assert (listed.status, listed.headers["access-control-allow-origin"]) == (204, STUDIO)
    assert {"authorization", "content-type", "connect-protocol-version"} <= set(
        listed.headers["access-control-allow-headers"].split(", ")
    )
    assert (other.status, reason(other)) == (403, "ORIGIN_DENIED")
    assert "access-control-allow-origin" not in other.headers
    assert called.headers["access-control-allow-origin"] == STUDIO
    assert "grpc-status" in called.headers["access-control-expose-headers"]
    # So that the page can read why.
    assert refused.headers["access-control-allow-origin"] == STUDIO
    for answer in (listed, called, refused):
        assert "Origin" in answer.headers["vary"]
        assert "access-control-allow-credentials" not in answer.headers


async def test_every_answer_has_the_headers_that_keep_browsers_safe(api: Api) -> None:
    answers = [
        await raw(api.http, head("GET", "/healthz")),
        await raw(api.http, head("GET", "/nothing")),
        await raw(api.http, head("PUT", CALL)),
        await raw(api.http, head("GET", "/", host="evil.example")),
        await post(api),
        await raw(api.http, b"nonsense\r\n\r\n"),
    ]

    assert [answer.status for answer in answers] == [200, 404, 405, 421, 200, 400]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers
        assert "strict-transport-security" not in answer.headers
    assert answers[2].headers["allow"] == "POST"


async def test_a_proxy_that_is_listed_is_believed_and_of_a_chain_the_nearest(api: Api) -> None:
    https = ["X-Forwarded-Proto: https", "X-Forwarded-Host: evergreen.internal"]

    ours = await post(api, *https, "Origin: https://evergreen.internal", host="10.0.0.1")
    other = await post(api, *https, "Origin: http://evergreen.internal", host="10.0.0.1")
    foreign = await post(api, "X-Forwarded-Host: evergreen.internal, evil.example", host="10.0.0.1")

    assert (ours.status, other.status, foreign.status) == (200, 403, 421)
    assert "strict-transport-security" in ours.headers


async def test_a_request_keeps_its_id_if_it_has_a_proper_one(api: Api) -> None:
    kept = await post(api, "X-Request-Id: trace-1.2:3")
    made = await post(api, "X-Request-Id: a b<script>")

    assert kept.headers["x-request-id"] == "trace-1.2:3"
    assert len(made.headers["x-request-id"]) == 32


async def test_the_log_has_a_line_for_each_request_and_no_secret(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "evergreen_server.gateway")
    body = b'{"projectId": "sesame"}'
    fields = [f"Content-Length: {len(body)}", "Content-Type: application/json", "Cookie: evergreen=sesame"]
    await raw(api.http, head("POST", f"{VIDEO}/ListVideos?q=sesame", *fields, "X-Request-Id: known") + body)
    await raw(api.http, head("TRACE", "/sesame?sesame=sesame"))

    lines = [vars(record) for record in caplog.records if record.message == "http request"]
    found = [(line["method"], line["route"], line["status"]) for line in lines]
    assert found == [("POST", f"{VIDEO}/ListVideos", 200), ("OTHER", "none", 404)]
    assert lines[0]["request_id"] == "known"
    assert "sesame" not in str(lines).lower()


async def seen(url: str, authority: Certificate, client: Path | None = None) -> bool:
    """Whether a client that trusts an authority gets an answer."""
    context = ssl.create_default_context(cadata=authority.pem.decode())
    if client is not None:
        context.load_cert_chain(client)
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{url}{CALL}", json={}, headers=JSON, ssl=context) as answer,
        ):
            assert "strict-transport-security" in answer.headers
            return answer.status == 200
    except aiohttp.ClientError:
        return False
