"""The web example, as a process of its own, before a real server."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from uuid import uuid4

import aiohttp
import av
import pytest

from tests.serving import Api, Control

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
                lines.append(text)
            else:
                yield Event(lines)
                lines = []


@pytest.fixture
async def web(api: Api) -> AsyncIterator[aiohttp.ClientSession]:
    """A browser, so to speak; what it is served ends when it is told to."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *APP, "--port", "0"),
        cwd=ROOT,
        env={**os.environ, "EVERGREEN_ENDPOINT": api.address},
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
        assert b"Traceback" not in rest, rest.decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def submit(web: aiohttp.ClientSession, key: str = "", prompt: str = "a rocket rises") -> dict:
    headers = {"Idempotency-Key": key} if key else {}
    async with web.post("/clips", json={"prompt": prompt}, headers=headers) as answer:
        return {"status": answer.status, **await answer.json()}


async def test_a_browser_follows_a_clip_from_where_it_was_and_plays_it(web: aiohttp.ClientSession) -> None:
    job_id = (await submit(web))["job_id"]

    seen: list[Event] = []
    async with asyncio.timeout(60):
        async for event in events(web, job_id):
            seen.append(event)
            if len(seen) == 2:
                break
        seen += [event async for event in events(web, job_id, seen[-1].id)]

    assert seen[-1].kind == "end"
    ids = [event.id for event in seen if event.data is not None and event.kind == "message"]
    assert ids == sorted(set(ids)), "nothing is told twice"
    assert seen[-2].data["state"] == "SUCCEEDED"
    async with web.get(f"/clips/{job_id}/video") as answer:
        clip = await answer.read()
        assert len(clip) == int(answer.headers["Content-Length"])
    with av.open(BytesIO(clip)) as container:
        assert container.streams.video[0].codec_context.name == "h264"


async def test_a_browser_that_comes_back_after_the_end_is_told_the_end(web: aiohttp.ClientSession, api: Api) -> None:
    job_id = (await submit(web))["job_id"]
    final = await api.finished(job_id)

    async with asyncio.timeout(60):
        told = [event async for event in events(web, job_id, final.revision)]

    assert [event.data["state"] for event in told if event.kind == "message" and event.data] == ["SUCCEEDED"]
    assert told[-1].kind == "end"


async def test_a_repeated_request_is_one_job(web: aiohttp.ClientSession) -> None:
    key = uuid4().hex

    first, second = await submit(web, key), await submit(web, key)

    assert first == second
    assert first["status"] == 202


async def test_what_the_service_refuses_is_told_to_the_browser(web: aiohttp.ClientSession) -> None:
    used = await submit(web, "one", "a rocket rises")
    reused = await submit(web, "one", "a rocket falls")
    async with web.get(f"/clips/{uuid4()}/events") as answer:
        unknown = answer.status
    async with web.get("/") as answer:
        page = await answer.text()

    assert used["status"] == 202
    assert (reused["status"], reused["reason"]) == (409, "REQUEST_ID_REUSED")
    assert unknown == 404
    assert "EventSource" in page


async def test_an_open_stream_does_not_hold_the_stop_up(web: aiohttp.ClientSession, sandbox: Control) -> None:
    """The fixture stops the app, while the browser is still there."""
    await sandbox.fault("throttle", seconds=1_000_000)
    job_id = (await submit(web))["job_id"]

    stream = await web.get(f"/clips/{job_id}/events")

    assert await asyncio.wait_for(stream.content.readline(), 60)
