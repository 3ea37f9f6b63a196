"""A bare caller of the sandbox: real HTTP, no retries, nothing hidden."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
from PIL import Image

from evergreen_server.providers.runway.sandbox import SANDBOX_KEY, Sandbox, Settings
from tests.loopback import ACCEPT_TURNS, turns

SAMPLES = Path(__file__).parents[3] / "samples"

HEADERS = {"Authorization": f"Bearer {SANDBOX_KEY}", "X-Runway-Version": "2024-11-06"}

STEADY = Settings(task_sigma=0.0, render_scale=0.25)
"""Every task takes its mean, 30 s for a 5 s clip after 1 s of PENDING; outputs are small."""


def picture(width: int = 64, height: int = 36, *, form: str = "PNG") -> bytes:
    out = BytesIO()
    Image.new("RGB", (width, height), (200, 80, 20)).save(out, form)
    return out.getvalue()


def data_uri(data: bytes, content_type: str = "image/png") -> str:
    return f"data:{content_type};base64,{base64.b64encode(data).decode()}"


def body(prompt: str = "a slow pan", **changes: object) -> dict[str, object]:
    """A body that image_to_video accepts, with changes."""
    return {
        "model": "gen4.5",
        "promptImage": data_uri(picture()),
        "promptText": prompt,
        "ratio": "1280:720",
        "duration": 5,
        **changes,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    status: int
    json: Any
    data: bytes
    headers: dict[str, str]


class Caller:
    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.session = session

    async def call(
        self, method: str, path: str, *, json: object = None, headers: dict[str, str] | None = None, data: Any = None
    ) -> Reply:
        url = path if path.startswith("http") else self.url + path
        sent = HEADERS if headers is None else headers
        async with self.session.request(method, url, json=json, data=data, headers=sent) as answer:
            raw = await answer.read()
            found = await answer.json() if answer.content_type == "application/json" and raw else None
            return Reply(status=answer.status, json=found, data=raw, headers=dict(answer.headers))

    async def create(self, prompt: str = "a slow pan", **changes: object) -> str:
        reply = await self.call("POST", "/v1/image_to_video", json=body(prompt, **changes))
        assert reply.status == 200, reply.data
        return str(reply.json["id"])

    async def task(self, task_id: str) -> Any:
        reply = await self.call("GET", f"/v1/tasks/{task_id}")
        assert reply.status == 200, reply.data
        return reply.json

    async def status(self, task_id: str) -> str:
        return str((await self.task(task_id))["status"])

    async def done(self, prompt: str = "a slow pan", **changes: object) -> str:
        """Makes a task, lets it end by the clock and returns its output URL."""
        task_id = await self.create(prompt, **changes)
        await self.advance(120)
        return str((await self.task(task_id))["output"][0])

    async def advance(self, seconds: float) -> None:
        await self.control("POST", "clock", {"advance": seconds})

    async def control(self, method: str, path: str, json: object = None) -> Any:
        reply = await self.call(method, f"/sandbox/{path}", json=json, headers={})
        assert reply.status < 300, reply.data
        return reply.json

    async def fault(self, kind: str, *, rule: dict[str, object] | None = None, **members: object) -> None:
        await self.control("POST", "faults", {**(rule or {}), "fault": {"kind": kind, **members}})

    async def balance(self) -> float:
        return float((await self.call("GET", "/v1/organization")).json["creditBalance"])

    async def booked(self, task_id: str) -> Any:
        """Returns the task as the sandbox has it."""
        tasks = (await self.control("GET", "tasks"))["tasks"]
        return next(task for task in tasks if task["id"] == task_id)


@asynccontextmanager
async def opened(**changes: Any) -> AsyncIterator[Caller]:
    """Opens a sandbox whose time stands still unless a test moves it."""
    chosen = {"speed": 0.0, "settings": STEADY, "workers": 1, **changes}
    async with Sandbox(**chosen) as sandbox:
        async with aiohttp.ClientSession() as session:
            yield Caller(sandbox.url, session)
        # So that it knows of all that its callers, which have ended, have left to it.
        await turns(ACCEPT_TURNS)


async def raw(caller: Caller, head: str, sent: bytes = b"") -> tuple[int, str]:
    """Sends bytes as they are and reads the status and the whole answer."""
    host, port = caller.url.removeprefix("http://").rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head.replace("\n", "\r\n").encode("latin-1") + sent)
    answer = (await asyncio.wait_for(reader.read(), 60)).decode(errors="replace")
    writer.close()
    return int(answer.split(" ", 2)[1]), answer
