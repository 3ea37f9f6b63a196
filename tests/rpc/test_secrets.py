"""What never stands in a log or in an error: keys, prompts, signed URLs, and the pictures themselves."""

import asyncio
import base64
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from evergreen.v1 import video_pb2
from evergreen_server.providers.runway.sandbox import SANDBOX_KEY
from evergreen_server.runtime.logs import FactsFormatter
from tests.media.web import Web, response
from tests.rpc.refusals import refusal
from tests.serving import SAMPLES, Api, Control, first_frame, request, serving

PROMPT = "whisper of the fjord"
ROCKET = (SAMPLES / "rocket.jpg").read_bytes()
LONG_NAME = ".".join(["pictures"] * 40) + ".example"
FAULTS: tuple[tuple[str, dict[str, object]], ...] = (
    ("status", {"operation": "create", "status": 500, "accept": True}),
    ("status", {"operation": "create", "status": 400, "body": {"error": "no", "issues": []}}),
    ("lost_answer", {"operation": "create"}),
    ("invalid_json", {"operation": "create"}),
    ("failure", {"failureCode": "SAFETY.INPUT.TEXT", "message": "refused"}),
    ("failure", {"failureCode": "INTERNAL.BAD_OUTPUT.CODE01"}),
    ("status_word", {"word": "DREAMING", "count": 1}),
    ("gone", {}),
    ("truncate", {"count": 1}),
    ("expired_url", {"count": 1}),
    ("not_a_video", {"count": None}),
)


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    async with Web() as opened:
        opened.routes["/rocket.jpg"] = response(ROCKET)
        opened.routes["/page"] = response(b"<html>sign in</html>")
        opened.routes["/away"] = response(b"", status=302, location="http://10.0.0.1/a?signature=sesame")
        yield opened


@pytest.fixture
async def api(tmp_path: Path, sandbox: Control, web: Web) -> AsyncIterator[Api]:
    hosts = f"127.0.0.1:{web.port}"
    async with serving(tmp_path / "data", sandbox.url, EVERGREEN_PICTURE_HOSTS=hosts) as opened:
        yield opened


def written(caplog: pytest.LogCaptureFixture) -> str:
    """Everything that was logged, with every fact of every record."""
    return "\n".join(FactsFormatter("json").format(record) for record in caplog.records)


def assert_tells_nothing(text: str) -> None:
    for secret in (
        PROMPT,
        SANDBOX_KEY,
        SANDBOX_KEY[-16:],
        "signature",
        "sesame",
        "_jwt",
        "data:image",
        ";base64",
        base64.b64encode(ROCKET)[:40].decode(),
        repr(ROCKET[:8])[2:-1],
    ):
        assert secret not in text, secret


def listen_closely(caplog: pytest.LogCaptureFixture) -> None:
    """Listens as closely as the service can be told to."""
    caplog.set_level(logging.WARNING)
    for name in ("evergreen_server", "evergreen_storage"):
        caplog.set_level(logging.DEBUG, name)


async def test_a_job_that_succeeds_is_logged_without_what_is_secret(
    api: Api, web: Web, caplog: pytest.LogCaptureFixture
) -> None:
    listen_closely(caplog)
    uri = f"http://127.0.0.1:{web.port}/rocket.jpg?signature=sesame"
    by_url = video_pb2.Media(uri=uri, role=video_pb2.MEDIA_ROLE_FIRST_FRAME)

    jobs = [await api.generate(prompt_text=PROMPT, media=[media]) for media in (first_frame(), by_url)]
    ended = [await api.finished(job.job_id) for job in jobs]

    assert {job.state for job in ended} == {video_pb2.JOB_STATE_SUCCEEDED}
    log = written(caplog)
    assert all(job.job_id in log for job in jobs)
    assert_tells_nothing(log)


async def test_a_job_that_fails_in_any_way_is_told_and_logged_without_what_is_secret(
    api: Api, sandbox: Control, web: Web, caplog: pytest.LogCaptureFixture
) -> None:
    listen_closely(caplog)
    jobs = []
    for number, (kind, more) in enumerate(FAULTS):
        await sandbox.fault(kind, prompt=f"{PROMPT} {number}", **more)
        jobs.append(await api.generate(prompt_text=f"{PROMPT} {number}", media=[first_frame()]))
    for uri in (
        f"http://127.0.0.1:{web.port}/page?signature=sesame",
        f"http://127.0.0.1:{web.port}/away?signature=sesame",
        f"http://127.0.0.1:{web.port}/missing?signature=sesame",
        f"http://{LONG_NAME}/a?signature=sesame",
        f"https://{LONG_NAME}/a?signature=sesame",
    ):
        media = video_pb2.Media(uri=uri, role=video_pb2.MEDIA_ROLE_FIRST_FRAME)
        jobs.append(await api.generate(prompt_text=PROMPT, media=[media]))

    states = (
        video_pb2.JOB_STATE_SUCCEEDED,
        video_pb2.JOB_STATE_FAILED,
        video_pb2.JOB_STATE_NEEDS_ATTENTION,
    )
    ended = await asyncio.gather(*(api.until(job.job_id, *states) for job in jobs))

    assert {job.state for job in ended} == set(states)
    assert_tells_nothing(written(caplog))
    for job in ended:
        # An event leaves the request out; all that is left is what the service says itself.
        assert_tells_nothing(str(job))


async def test_a_provider_who_quotes_the_prompt_is_quoted_to_the_caller_and_not_in_the_log(
    api: Api, sandbox: Control, caplog: pytest.LogCaptureFixture
) -> None:
    listen_closely(caplog)
    said = f"Not allowed: {PROMPT}; data:image/jpeg;base64,{base64.b64encode(ROCKET[:300]).decode()} key {SANDBOX_KEY}"
    jobs = []
    for status in (400, 401, 503):
        body = {"error": said, "issues": [{"path": ["promptText"], "message": said}]}
        await sandbox.fault("status", operation="create", prompt=f"{PROMPT} {status}", status=status, body=body)
        jobs.append(await api.generate(prompt_text=f"{PROMPT} {status}"))

    states = (video_pb2.JOB_STATE_FAILED, video_pb2.JOB_STATE_NEEDS_ATTENTION)
    ended = await asyncio.gather(*(api.until(job.job_id, *states) for job in jobs))

    assert_tells_nothing(written(caplog))
    assert [job.error.reason for job in ended] == ["PROVIDER_REFUSED", "PROVIDER_UNAUTHORIZED", "SUBMISSION_UNKNOWN"]
    assert "prompt_text" in ended[0].error.message
    assert PROMPT in ended[0].error.message
    for job in ended:
        assert_tells_nothing(job.error.message.replace(PROMPT, "").replace("data:[…]", ""))


async def test_a_refusal_repeats_no_secret(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    listen_closely(caplog)
    for uri in (
        "http://user:sesame@example.com/a.png",
        "http://127.0.0.1/a.png?signature=sesame",
        "ftp://example.com/?signature=sesame",
        "https://example.com:22/?signature=sesame",
        f"data:image/png;base64,{base64.b64encode(ROCKET[:900]).decode()}",
    ):
        media = video_pb2.Media(uri=uri, role=video_pb2.MEDIA_ROLE_FIRST_FRAME)
        error = await refusal(api.video.GenerateVideo(request(prompt_text=PROMPT * 60, media=[media])))

        assert "sesame" not in str(error.details()) + str(error.trailing_metadata())
        assert PROMPT not in str(error.details()) + str(error.trailing_metadata())
        assert base64.b64encode(ROCKET)[:40].decode() not in str(error.details())
    assert_tells_nothing(written(caplog))


async def test_the_key_goes_to_the_provider_and_not_to_hosts_of_callers(api: Api, sandbox: Control, web: Web) -> None:
    uri = f"http://127.0.0.1:{web.port}/rocket.jpg"
    media = video_pb2.Media(uri=uri, role=video_pb2.MEDIA_ROLE_FIRST_FRAME)

    await api.finished((await api.generate(media=[media])).job_id)

    assert len(await sandbox.tasks()) == 1
    assert len(web.requests) == 1
    assert "authorization" not in web.requests[0].lower()
    assert SANDBOX_KEY not in web.requests[0]
    async with aiohttp.ClientSession() as session, session.get(f"{sandbox.url}/v1/organization") as answer:
        assert answer.status in (400, 401)
