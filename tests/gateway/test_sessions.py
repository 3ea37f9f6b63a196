"""Tokens traded for cookies, and what becomes of both."""

import json
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from http.cookies import SimpleCookie

import pytest
import pytest_asyncio

from evergreen_server.gateway.places import FAILURES, MOST_ADDRESSES, Logins
from evergreen_server.gateway.problems import Refused
from tests.gateway.gateways import VIDEO, Answer, gateway, head, raw
from tests.rpc.identities import TAKEN, Tokens, logged
from tests.serving import Api, open_sandbox

pytestmark = pytest.mark.asyncio(loop_scope="module")

GUESS = "evg_" + "a" * 43


@dataclass(frozen=True)
class Site:
    """A gateway whose server asks for tokens."""

    api: Api
    tokens: Tokens
    numbers: Iterator[int]

    async def send(self, method: str, path: str, *fields: str, body: object = None) -> Answer:
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = ("Content-Type: application/json", f"Content-Length: {len(data)}", *fields)
        return await raw(self.api.http, head(method, path, *lines) + data)

    async def log_in(self, token: object, *fields: str) -> Answer:
        """Tries from an address of its own, unless `fields` name one."""
        if not any(field.startswith("X-Forwarded-For") for field in fields):
            fields = (*fields, f"X-Forwarded-For: 10.0.0.{next(self.numbers)}")
        return await self.send("POST", "/session", *fields, body={"token": token})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("sessions")
    tokens = Tokens(folder / "tokens")
    tokens.give("keeper")
    settings = {"EVERGREEN_TOKENS_FILE": str(tokens.path), "EVERGREEN_HTTP_PROXIES": "127.0.0.1"}
    async with open_sandbox() as sandbox, gateway(folder / "data", sandbox, **settings) as api:
        yield Site(api, tokens, iter(range(1, 250)))


async def given(site: Site, name: str, **more: object) -> str:
    async with logged(TAKEN):
        token = site.tokens.give(name, **more)
    return token


async def test_a_session_does_what_its_token_may_and_ends_with_it(site: Site) -> None:
    token = await given(site, "studio", rights="read")

    answer = await site.log_in(token)
    [cookie] = answer.cookies
    kept = f"Cookie: {cookie.partition(';')[0]}"
    who = await site.send("GET", "/session", kept)
    listed = await site.send("POST", f"{VIDEO}/ListVideos", kept, body={"projectId": "film"})
    other = await site.send("POST", f"{VIDEO}/ListVideos", kept, body={"projectId": "other"})
    foreign = await site.send(
        "POST", f"{VIDEO}/ListVideos", kept, "Sec-Fetch-Site: same-site", body={"projectId": "film"}
    )
    by_header = await site.send("POST", f"{VIDEO}/ListVideos", kept, f"Authorization: Bearer {GUESS}", body={})
    async with logged(TAKEN):
        site.tokens.take("studio")
    gone = await site.send("GET", "/session", kept)

    assert answer.status == 200
    assert json.loads(answer.body)["name"] == json.loads(who.body)["name"] == "studio"
    assert token not in answer.body.decode()
    morsel = SimpleCookie(cookie)["evergreen"]
    assert (morsel.value, morsel["path"], morsel["max-age"]) == (token, "/", "43200")
    assert (morsel["httponly"], morsel["samesite"], morsel["secure"], morsel["domain"]) == (True, "Strict", "", "")
    assert listed.status == 200
    assert (other.status, json.loads(other.body)["code"]) == (403, "permission_denied")
    assert foreign.status == 403
    # What the request itself says wins.
    assert by_header.status == 401
    assert (gone.status, json.loads(gone.body)["reason"]) == (401, "TOKEN_INVALID")
    assert SimpleCookie(gone.cookies[0])["evergreen"]["max-age"] == "0"


async def test_the_log_names_the_token_and_never_tells_it(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    token = await given(site, "logged")
    caplog.set_level(logging.INFO, "evergreen_server.gateway")

    await site.send("POST", f"{VIDEO}/ListModels", f"Authorization: Bearer {token}", body={})
    await site.send("POST", f"{VIDEO}/ListModels", f"Cookie: evergreen={token}", body={})
    await site.send("POST", f"{VIDEO}/ListModels", f"Authorization: Bearer {GUESS}", body={})

    lines = [vars(record) for record in caplog.records if record.message == "http request"]
    assert [(line["caller"], line["status"]) for line in lines] == [("logged", 200), ("logged", 200), ("", 401)]
    assert "evg_" not in str([vars(record) for record in caplog.records])


async def test_over_https_the_cookie_is_secure_and_cannot_be_planted(site: Site) -> None:
    token = await given(site, "secure")
    https = ("X-Forwarded-Proto: https", "X-Forwarded-Host: localhost")

    answer = await site.log_in(token, *https)
    [cookie] = answer.cookies
    taken = await site.send("GET", "/session", *https, f"Cookie: __Host-evergreen={token}")
    planted = await site.send("GET", "/session", *https, f"Cookie: evergreen={token}")

    assert cookie.startswith(f"__Host-evergreen={token};")
    assert "Secure" in cookie
    assert (taken.status, planted.status) == (200, 401)


async def test_logging_out_forgets_the_cookie(site: Site) -> None:
    answer = await site.send("DELETE", "/session", "Cookie: evergreen=whatever")
    refused = await site.send("DELETE", "/session", "Sec-Fetch-Site: cross-site")

    assert (answer.status, answer.body) == (204, b"")
    assert SimpleCookie(answer.cookies[0])["evergreen"]["max-age"] == "0"
    assert (refused.status, refused.cookies) == (403, [])


async def test_nobody_is_told_so(site: Site) -> None:
    for fields in ((), ("Cookie: evergreen=",), ('Cookie: evergreen="a b"',), ("Cookie: evergreen=ä",)):
        answer = await site.send("GET", "/session", *fields)

        assert (answer.status, json.loads(answer.body)["reason"]) == (401, "TOKEN_REQUIRED"), fields
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_after_ten_failures_an_address_waits_and_no_other_does(site: Site) -> None:
    token = await given(site, "late")
    near, far = "X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 192.0.2.1, 192.0.2.2"
    for _ in range(3):
        assert (await site.log_in(token, near)).status == 200
    failed = [await site.log_in(GUESS, near) for _ in range(FAILURES)]

    right, other = await site.log_in(token, near), await site.log_in(token, far)

    assert {answer.status for answer in failed} == {401}
    assert (right.status, json.loads(right.body)["reason"], right.cookies) == (429, "TOO_MANY_LOGINS", [])
    assert 0 < int(right.headers["retry-after"]) <= 60
    assert other.status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"null",
        {},
        {"token": 1},
        {"token": ""},
        {"token": "a b"},
        {"token": "ä"},
        {"token": "a\r\nb"},
        {"token": "a;b"},
        {"token": None},
        {"token": "x" * 4097},
        {"token": GUESS, "admin": True},
        b'{"token": "a", "token": "b"}',
    ],
)
async def test_what_is_no_token_is_not_asked_about(site: Site, body: object) -> None:
    answer = await site.send("POST", "/session", body=body)

    assert (answer.status, json.loads(answer.body)["reason"], answer.cookies) == (400, "INVALID_REQUEST", [])


async def test_a_page_of_another_origin_logs_nobody_in(site: Site) -> None:
    token = await given(site, "victim")

    for field in ("Sec-Fetch-Site: cross-site", "Origin: http://evil.example"):
        answer = await site.log_in(token, field)

        assert (answer.status, answer.cookies) == (403, [])
    form = f"token={token}".encode()
    fields = ("Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(form)}")
    assert (await raw(site.api.http, head("POST", "/session", *fields) + form)).status == 415


async def test_failures_are_forgotten_after_a_minute_and_bounded_in_number() -> None:
    now = [0.0]
    logins = Logins(lambda: now[0])
    for _ in range(FAILURES):
        logins.begin("a")
    with pytest.raises(Refused):
        logins.begin("a")
    now[0] = 60.0

    logins.begin("a")

    for number in range(MOST_ADDRESSES + 5):
        logins.begin(f"address {number}")
    assert len(logins._failed) == MOST_ADDRESSES
