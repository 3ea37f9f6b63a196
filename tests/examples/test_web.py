"""The web example, as a process of its own, before a real server."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from uuid import uuid4

import aiohttp
import av
import pytest
from aiohttp import web as aiohttp_web
from aiohttp.test_utils import TestServer

from tests.serving import Api, Control, serving

ROOT = Path(__file__).parents[2]
APP = ("-m", "uvicorn", "--factory", "app:create_app", "--app-dir", "examples/web", "--timeout-graceful-shutdown", "3")


class Event:
    """One server-sent event."""

    def __init__(self, lines: list[str]) -> None:
        members = dict(line.split(": ", 1) for line in lines)
        self.id = int(members.get("id", 0))
        self.kind = members.get("event", "message")
        self.data = json.loads(members["data"]) if "data" in members else None


async def events(web: aiohttp.ClientSession, job_id: str, last: int | None = None) -> AsyncIterator[Event]:
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    async with web.get(f"/clips/{job_id}/events", headers=headers) as answer:
        assert (answer.status, answer.content_type) == (200, "text/event-stream")
        lines: list[str] = []
        async for line in answer.content:
            if text := line.decode().rstrip("\n"):
                lines += [] if text.startswith("retry: ") else [text]
            elif lines:
                yield Event(lines)
                lines = []


@pytest.fixture
async def api(tmp_path: Path, sandbox: Control) -> AsyncIterator[Api]:
    async with serving(tmp_path / "data", sandbox.url, EVERGREEN_HTTP_LISTEN="127.0.0.1:0") as opened:
        yield opened


@pytest.fixture
async def web(api: Api) -> AsyncIterator[aiohttp.ClientSession]:
    async with web_before(api.http) as session:
        yield session


@asynccontextmanager
async def web_before(http: str) -> AsyncIterator[aiohttp.ClientSession]:
    """A browser, so to speak; what it is served ends when it is told to."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *APP, "--port", "0"),
        cwd=ROOT,
        env={**os.environ, "EVERGREEN_HTTP": http},
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    log = b""
    try:
        async with asyncio.timeout(60):
            while not (found := re.search(rb"running on (http://\S+)", log)):
                line = await process.stderr.readline()
                assert line, log.decode()
                log += line
        async with aiohttp.ClientSession(found[1].decode()) as session:
            yield session
            process.send_signal(signal.SIGTERM)
            _, rest = await asyncio.wait_for(process.communicate(), 60)
        assert b"Application shutdown complete" in rest, rest.decode()
        # uvicorn tells of the streams that it cancels at the end of their time.
        assert b"Traceback" not in rest or b"timeout graceful shutdown exceeded" in rest, rest.decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def submit(web: aiohttp.ClientSession, key: str = "", prompt: str = "a rocket rises") -> dict:
    headers = {"Idempotency-Key": key} if key else {}
    async with web.post("/clips", json={"prompt": prompt}, headers=headers) as answer:
        return {"status": answer.status, **await answer.json()}


async def job_of(web: aiohttp.ClientSession) -> str:
    return (await submit(web))["job"]["jobId"]


async def test_a_browser_follows_a_clip_from_where_it_was(web: aiohttp.ClientSession) -> None:
    job_id = await job_of(web)

    seen: list[Event] = []
    async with asyncio.timeout(60):
        async for event in events(web, job_id):
            seen.append(event)
            if len(seen) == 2:
                break
        seen += [event async for event in events(web, job_id, seen[-1].id)]

    assert seen[-1].kind == "end"
    ids = [event.id for event in seen if event.data is not None and "job" in event.data]
    assert ids == sorted(set(ids)), "nothing is told twice"
    assert [event.kind for event in seen if event.data is not None and "job" in event.data][-1] == "succeeded"


async def test_a_player_seeks_in_a_clip(web: aiohttp.ClientSession, api: Api) -> None:
    job_id = await job_of(web)
    async with web.get(f"/clips/{job_id}/video") as early:
        assert early.status == 404
    await api.finished(job_id)

    async with web.get(f"/clips/{job_id}/video") as answer:
        clip, tag = await answer.read(), answer.headers["ETag"]
        assert len(clip) == int(answer.headers["Content-Length"])
    async with web.get(f"/clips/{job_id}/video", headers={"Range": "bytes=1000-", "If-Range": tag}) as answer:
        assert (answer.status, await answer.read()) == (206, clip[1000:])
        assert answer.headers["Content-Range"] == f"bytes 1000-{len(clip) - 1}/{len(clip)}"
    async with web.get(f"/clips/{job_id}/video", headers={"If-None-Match": tag}) as answer:
        assert (answer.status, await answer.read()) == (304, b"")
    async with web.head(f"/clips/{job_id}/video") as answer:
        assert (answer.status, answer.headers["Content-Length"]) == (200, str(len(clip)))
    with av.open(BytesIO(clip)) as container:
        assert container.streams.video[0].codec_context.name == "h264"


async def test_a_page_that_is_loaded_again_shows_what_it_showed(web: aiohttp.ClientSession, api: Api) -> None:
    job_id = await job_of(web)
    await api.finished(job_id)

    async with web.get("/clips") as answer:
        [job] = (await answer.json())["jobs"]
    async with web.get(f"/clips/{job_id}/events", headers={"Last-Event-ID": "1000000"}) as lost:
        assert lost.status != 500

    assert (job["jobId"], job["state"]) == (job_id, "JOB_STATE_SUCCEEDED")
    assert job["request"]["promptText"] == "a rocket rises"


async def test_a_browser_that_has_seen_the_end_is_told_to_stop(web: aiohttp.ClientSession) -> None:
    job_id = await job_of(web)
    async with asyncio.timeout(60):
        last = max([event.id async for event in events(web, job_id)])

    async with web.get(f"/clips/{job_id}/events", headers={"Last-Event-ID": str(last)}) as answer:
        assert answer.status == 204


async def test_a_repeated_request_is_one_job(web: aiohttp.ClientSession) -> None:
    key = uuid4().hex

    first, second = await submit(web, key), await submit(web, key)

    assert first["job"]["jobId"] == second["job"]["jobId"]
    assert (first["status"], second["status"]) == (201, 200)


async def test_what_the_service_refuses_is_told_to_the_browser(web: aiohttp.ClientSession) -> None:
    used = await submit(web, "one", "a rocket rises")
    reused = await submit(web, "one", "a rocket falls")
    async with web.get(f"/clips/{uuid4()}/events") as answer:
        unknown = answer.status
    async with web.get("/clips/..%2f..%2fcaller/events") as answer:
        elsewhere = answer.status
    async with web.get("/") as answer:
        page = await answer.text()

    assert used["status"] == 201
    assert (reused["status"], reused["reason"]) == (409, "REQUEST_ID_REUSED")
    assert (unknown, elsewhere) == (404, 404)
    assert "EventSource" in page


async def test_while_the_service_is_away_a_browser_is_told_to_try_again(tmp_path: Path) -> None:
    async with web_before("http://127.0.0.1:9") as web, web.get("/clips") as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")


async def test_a_clip_that_cannot_be_asked_for_is_not_told_to_be_none() -> None:
    async def busy(_: aiohttp_web.Request) -> aiohttp_web.Response:
        return aiohttp_web.json_response({"detail": "busy"}, status=503, headers={"Retry-After": "7"})

    app = aiohttp_web.Application()
    app.add_routes([aiohttp_web.get("/api/v1/videos/{id}", busy)])
    async with (
        TestServer(app) as evergreen,
        web_before(str(evergreen.make_url(""))) as web,
        web.get("/clips/1/video") as answer,
    ):
        told = await answer.json()

    assert (answer.status, told, answer.headers["Retry-After"]) == (503, {"detail": "busy"}, "7")


async def test_an_open_stream_does_not_hold_the_stop_up(web: aiohttp.ClientSession, sandbox: Control) -> None:
    """The fixture stops the app, while the browser is still there."""
    await sandbox.fault("throttle", seconds=1_000_000)
    job_id = await job_of(web)

    stream = await web.get(f"/clips/{job_id}/events")

    assert await asyncio.wait_for(stream.content.readline(), 60)
