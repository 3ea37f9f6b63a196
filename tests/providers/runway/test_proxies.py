"""The way to the provider through a proxy: what goes by it, what does not, and what its refusals mean."""

import logging
import socket

import pytest
from yarl import URL

from evergreen_server.ports.provider import NotSent, ProviderUnavailable, Submission
from evergreen_server.ports.specs import GenerationSpec
from evergreen_server.providers.runway.http.client import Timeouts
from evergreen_server.providers.runway.http.proxies import Proxies
from evergreen_server.providers.runway.http.retry import RetryPolicy
from tests.providers.runway.proxy import PASSWORD, proxy
from tests.providers.runway.scripted import TASK_ID, Act, answer, client_for, scripted

SPEC = GenerationSpec(model="gen4.5", prompt_text="a wish", ratio="1280:720", duration_seconds=5)
MADE = answer(200, {"id": TASK_ID, "estimatedCost": {"credits": 60}}, {"Connection": "close"})
ONCE = RetryPolicy(tries=1)


async def read(offset: int, size: int) -> bytes:
    return bytes(600)[offset : offset + size]


async def test_every_call_to_the_provider_goes_by_the_proxy() -> None:
    close = {"Connection": "close"}
    async with scripted(MADE) as script, proxy() as passed:
        form = {"uploadUrl": f"{script.url}/storage", "fields": {}, "runwayUri": "runway://asset-1"}
        script.acts += [
            answer(200, {"status": "RUNNING"}, close),
            answer(200, form, close),
            answer(204, b"", close),
            answer(200, b"a clip", close),
        ]
        async with client_for(script.url, proxies=Proxies(http=passed.url, https=passed.url)) as client:
            made = await client.create(SPEC, [], before_send=lambda: None)
            await client.task(TASK_ID)
            await client.upload("a.jpg", "image/jpeg", 600, read)
            async with client.download(f"{script.url}/clip.mp4?_jwt=signed") as download:
                clip = b"".join([chunk async for chunk in download.chunks])

    assert made == Submission(task_id=TASK_ID, estimated_millicredits=60_000)
    assert clip == b"a clip"
    assert [target.removeprefix(script.url) for _, target in passed.asked] == [
        "/v1/text_to_video",
        f"/v1/tasks/{TASK_ID}",
        "/v1/uploads",
        "/storage",
        "/clip.mp4?_jwt=signed",
    ]


@pytest.mark.parametrize(
    "refusal",
    [
        answer(407, b""),
        answer(403, b"<html>no</html>"),
        answer(502, b""),
        answer(503, b"", {"Retry-After": "1"}),
        b"\x00garbage\r\n\r\n",
        Act.CLOSE,
        Act.HANG,
        b"HTTP/1.1 200 Connection established\r\n\r\nno TLS at all",
    ],
)
async def test_a_proxy_that_does_not_pass_on_means_that_nothing_was_sent(
    refusal: bytes | Act, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    posted: list[int] = []
    async with scripted(*[refusal] * 8) as script:
        by = script.url.replace("http://", "http://studio:p%40ss%3Aword@")
        limits = Timeouts(connect=0.3, read=0.5)
        async with client_for(
            "https://provider.example:1", proxies=Proxies(https=by), timeouts=limits, policy=ONCE
        ) as client:
            with pytest.raises(NotSent) as raised:
                await client.create(SPEC, [], before_send=lambda: posted.append(1))
            with pytest.raises(ProviderUnavailable) as unread:
                await client.task(TASK_ID)
            with pytest.raises(ProviderUnavailable):
                async with client.download("https://cdn.example/clip.mp4"):
                    pytest.fail("it was opened")

    assert posted == []
    told = f"{raised.value} {unread.value} {caplog.text}"
    assert PASSWORD not in told
    assert "p%40ss" not in told


async def test_a_proxy_that_is_not_there_means_that_nothing_was_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        by = f"http://127.0.0.1:{gone.getsockname()[1]}"

    async with client_for("https://provider.example:1", proxies=Proxies(https=by), policy=ONCE) as client:
        with pytest.raises(NotSent, match="connection to the proxy failed"):
            await client.create(SPEC, [], before_send=lambda: None)
        with pytest.raises(ProviderUnavailable, match="connection to the proxy failed"):
            await client.account()


async def test_a_plain_request_that_the_proxy_refuses_was_not_passed_on() -> None:
    async with (
        scripted(answer(407, b"")) as script,
        client_for("http://provider.example", proxies=Proxies(http=script.url)) as client,
    ):
        with pytest.raises(NotSent, match="credentials"):
            await client.create(SPEC, [], before_send=lambda: None)


@pytest.mark.parametrize(
    ("no_proxy", "direct"),
    [
        ("", False),
        ("*", True),
        ("runwayml.com", True),
        (".runwayml.com", True),
        ("*.runwayml.com", True),
        ("api.dev.runwayml.com", True),
        ("API.dev.RUNWAYML.com", True),
        ("api.dev.runwayml.com:443", True),
        ("api.dev.runwayml.com:80", False),
        ("other.org, runwayml.com ,x", True),
        ("ayml.com", False),
        (",,", False),
    ],
)
def test_what_no_proxy_names_is_asked_for_directly(no_proxy: str, direct: bool) -> None:
    proxies = Proxies(https="http://proxy:3128", no_proxy=no_proxy)

    assert (proxies.of(URL("https://api.dev.runwayml.com/v1/tasks")) is None) is direct


def test_the_scheme_chooses_and_the_password_is_not_shown() -> None:
    proxies = Proxies(https="http://user:secret@a:1", http="")

    assert str(proxies.of(URL("https://x.example/"))) == "http://user:secret@a:1"
    assert proxies.of(URL("http://x.example/")) is None
    assert "secret" not in repr(proxies)
