"""Whom the socket admits, by which token, and for how long."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest
import pytest_asyncio

from tests.gateway.gateways import gateway
from tests.gateway.live.pages import page
from tests.rpc.identities import TAKEN, Tokens, bearer, logged
from tests.serving import Api, open_sandbox, request

pytestmark = pytest.mark.asyncio(loop_scope="module")

STUDIO = "https://studio.example"
GUESS = "evg_" + "a" * 43


@dataclass(frozen=True)
class Site:
    """A gateway whose server asks for tokens."""

    api: Api
    tokens: Tokens

    async def given(self, name: str, **more: object) -> str:
        async with logged(TAKEN):
            token = self.tokens.give(name, **more)
        return token


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("admission")
    tokens = Tokens(folder / "tokens")
    tokens.give("keeper")
    settings = {"EVERGREEN_TOKENS_FILE": str(tokens.path), "EVERGREEN_HTTP_ORIGINS": STUDIO}
    async with open_sandbox() as sandbox, gateway(folder / "data", sandbox, **settings) as api:
        yield Site(api, tokens)


async def test_header_cookie_and_hello_admit(site: Site) -> None:
    token = await site.given("three-ways")
    async with page(site.api.http, welcome=False, Authorization=f"Bearer {token}") as one:
        by_header = await one.next()
    async with page(site.api.http, welcome=False, Cookie=f"evergreen={token}") as one:
        by_cookie = await one.next()
    async with page(site.api.http, welcome=False) as one:
        await one.say("hello", token=token)
        by_hello = await one.next()
        assert (await one.follow(projectId="film"))[-1]["type"] == "checkpoint"

    assert by_header == by_cookie == by_hello
    assert (by_hello["type"], by_hello["name"], by_hello["heartbeatSeconds"]) == ("welcome", "three-ways", 15)


@pytest.mark.parametrize(
    ("headers", "frames", "code"),
    [
        ({"Authorization": f"Bearer {GUESS}"}, [], 4401),
        ({"Cookie": f"evergreen={GUESS}"}, [], 4401),
        ({}, [{"type": "hello", "token": GUESS}], 4401),
        ({}, [{"type": "subscribe", "projectId": "film"}], 4401),
        ({}, [{"type": "hello", "token": "a b"}], 4400),
        ({}, [{"type": "hello"}], 4400),
    ],
)
async def test_who_shows_no_token_is_told_by_the_code(
    site: Site, headers: dict[str, str], frames: list[dict[str, str]], code: int
) -> None:
    async with page(site.api.http, welcome=False, **headers) as one:
        for frame in frames:
            await one.socket.send_json(frame)
        assert await one.next() == {"type": "closed", "code": code}


async def test_a_second_token_is_refused_and_not_repeated(site: Site) -> None:
    token = await site.given("twice")
    async with page(site.api.http, Authorization=f"Bearer {token}") as one:
        await one.say("hello", token=token)
        await one.say("hello", token=GUESS)
        [error] = await one.until("error")

    assert error["about"] == {"type": "hello"}
    assert GUESS not in str(error)


async def test_a_page_of_a_listed_origin_needs_a_token_of_its_own(site: Site) -> None:
    token = await site.given("studio")
    strange = {"Origin": STUDIO, "Sec-Fetch-Site": "cross-site"}
    async with page(site.api.http, welcome=False, Cookie=f"evergreen={token}", **strange) as one:
        await one.say("subscribe", projectId="film")
        by_cookie = await one.next()
    async with page(site.api.http, welcome=False, **strange) as one:
        await one.say("hello", token=token)
        by_hello = await one.next()
    for origin in ("https://evil.example", "null"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with page(site.api.http, Cookie=f"evergreen={token}", **{**strange, "Origin": origin}):
                pass
        assert refused.value.status == 403

    assert (by_cookie["type"], by_cookie.get("code")) == ("closed", 4401)
    assert by_hello["type"] == "welcome"


async def test_a_revoked_token_and_reduced_rights_end_what_was_followed(site: Site) -> None:
    revoked = await site.given("revoked", projects=("film", "other"))
    reduced = await site.given("reduced", projects=("film", "other"))
    kept = await site.given("kept")
    api = site.api
    async with (
        page(api.http, Authorization=f"Bearer {revoked}") as first,
        page(api.http, Authorization=f"Bearer {reduced}") as second,
        page(api.http, Authorization=f"Bearer {kept}") as third,
        aiohttp.ClientSession() as session,
    ):
        for each in (first, second):
            await each.follow(projectId="other")
        await third.follow(projectId="film")
        stream = await session.get(
            f"{api.http}/api/v1/projects/other/events", headers={"Authorization": f"Bearer {revoked}"}
        )
        await stream.content.readuntil(b"checkpoint")
        async with logged(TAKEN):
            site.tokens.take("revoked")
        ended = (await first.until("closed"))[-1]
        await stream.content.read()
        async with logged(TAKEN):
            site.tokens.change("reduced", '["film", "other"]', '["film"]')
        denied = (await second.until("closed"))[-1]
        job = (await api.video.GenerateVideo(request(), metadata=bearer(kept))).job
        await third.until("event", revision=str(job.revision))
        again = await session.get(
            f"{api.http}/api/v1/projects/other/events", headers={"Authorization": f"Bearer {revoked}"}
        )

    assert (ended["code"], denied["code"], again.status) == (4401, 4403, 401)


async def test_one_tokens_watch_is_not_anothers(site: Site) -> None:
    mine, theirs = await site.given("mine", projects=("mine",)), await site.given("theirs", projects=("theirs",))
    async with page(site.api.http, Authorization=f"Bearer {mine}") as one:
        await one.follow(projectId="mine")
        async with page(site.api.http, Authorization=f"Bearer {theirs}") as other:
            await other.say("subscribe", projectId="mine")
            [error] = await other.until("error")
            made = request(project_id="mine")
            job = (await site.api.video.GenerateVideo(made, metadata=bearer(mine))).job
            await other.say("subscribe", jobIds=[job.job_id])
            [unknown] = await other.until("error")

    assert (error["problem"]["status"], unknown["problem"]["reason"]) == (403, "JOB_NOT_FOUND")
