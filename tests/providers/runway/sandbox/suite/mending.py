"""Stands between the official SDK's own tests and the sandbox, and puts real-looking values in place of placeholders.

The tests are generated from the bare schema. They name resources by one made-up id, media by addresses where nothing
is, and combine members that the documented rules exclude. What is sent is mended here, on its way; what comes back is
passed on untouched, and the SDK's own types judge it.
"""

import itertools
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp
from aiohttp import web

from tests.providers.runway.sandbox.driver import HEADERS, picture
from tests.providers.runway.sandbox.made import clip, sound
from tests.providers.runway.sandbox.resources.samples import AVATAR, DOCUMENT, SESSION, VOICE
from tests.providers.runway.sandbox.suite.rules import body_within_rules, query_within_rules

PLACEHOLDER = "182bd5e5-6e1a-4fe4-a799-aa6d9a6ab26e"
KEY = "My API Key"
"""What the SDK's tests use as API key."""

_MEDIA = {
    "image.jpg": ("image.png", "image/png", lambda: picture(1280, 720)),
    "reference.jpg": ("image.png", "image/png", lambda: picture(1280, 720)),
    "video.mp4": ("video.mp4", "video/mp4", lambda: clip(5)),
    "reference-performance.mp4": ("video.mp4", "video/mp4", lambda: clip(5)),
    "audio.mp3": ("audio.wav", "audio/wav", lambda: sound(5)),
}
GRAPH = {"nodes": [{"id": "foo", "outputs": {"foo": {"type": "primitive", "value": "a fox"}}}]}
EVENT = {"action": "UserLogin", "workspaceId": 1, "workspaceName": "Films"}
_CLIP = {"model": "gen4.5", "promptText": "a fox", "ratio": "1280:720", "duration": 5}
_DRAFT = {"model": "seedance2_5", "promptText": "a fox", "duration": 4, "draft": True}


class Mending:
    """A proxy in front of one sandbox."""

    def __init__(self, *, sandbox: str, session: aiohttp.ClientSession) -> None:
        self._sandbox = sandbox
        self._session = session
        self._media: dict[str, str] = {}
        self._cursor = ""
        self._numbers = itertools.count(1)
        self._making: Mapping[str, Callable[[], Awaitable[str]]] = {
            "tasks": lambda: self._made("text_to_video", _CLIP),
            "voices": lambda: self._made("voices", VOICE),
            "avatars": self._avatar,
            "documents": lambda: self._made("documents", DOCUMENT),
            "realtime_sessions": lambda: self._made("realtime_sessions", SESSION),
            "avatar_conversations": lambda: self._made("realtime_sessions", SESSION),
            "routers": lambda: self._made("routers", {"slug": f"router-{next(self._numbers)}"}),
            "workflows": self._workflow,
            "workflow_invocations": self._invocation,
            "audit_logs": self._event,
        }

    async def prepare(self) -> None:
        """Makes what all tests share: an account without limits, a router, and media."""
        account = {
            "apiKeys": [KEY],
            "creditBalance": 10**9,
            "maxConcurrentGenerations": None,
            "maxDailyGenerations": None,
        }
        await self._control("PATCH", "account", account)
        await self._made("routers", {"slug": "n6_"})
        for _ in range(2):
            await self._made("documents", DOCUMENT)
        self._cursor = (await self._called("GET", "documents?limit=1"))["nextCursor"]
        for name, (filename, content_type, data) in _MEDIA.items():
            self._media[f"https://example.com/{name}"] = await self._upload(filename, content_type, data())

    async def handle(self, request: web.Request) -> web.Response:
        path, raw = request.path, await request.read()
        if found := re.search(rf"/(\w+)/{PLACEHOLDER}", path):
            path = path.replace(PLACEHOLDER, await self._making[found[1]]())
        body = await self._mended(request.method, path, json.loads(raw)) if raw.startswith(b"{") else None
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        sent = raw if body is None else json.dumps(body).encode()
        query = query_within_rules(request.query, cursor=self._cursor)
        async with self._session.request(
            request.method, self._sandbox + path, params=query, data=sent, headers=headers
        ) as answer:
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
            return web.Response(status=answer.status, body=await answer.read(), headers=kept)

    async def _mended(self, method: str, path: str, body: Any) -> Any:
        body = self._with_media(body)
        if path == "/v1/routers" and method == "POST":
            body["slug"] = f"router-{next(self._numbers)}"
        if path.startswith("/v1/routers") and body.get("settings", {}).get("models"):
            body["settings"]["models"]["ids"] = ["gen4.5"]
        if body.get("documentIds") == [PLACEHOLDER]:
            body["documentIds"] = [await self._made("documents", DOCUMENT)]
        if body.get("draftTaskId") == PLACEHOLDER:
            body = {"model": body["model"], "draftTaskId": await self._draft()}
        return body_within_rules(method, path, body)

    def _with_media(self, value: Any) -> Any:
        match value:
            case str():
                return self._media.get(value, value)
            case dict():
                return {name: self._with_media(member) for name, member in value.items()}
            case list():
                return [self._with_media(member) for member in value]
        return value

    async def _draft(self) -> str:
        task_id = await self._made("text_to_video", _DRAFT)
        await self._control("POST", "clock", {"advance": 300})
        return task_id

    async def _avatar(self) -> str:
        avatar_id = await self._made("avatars", AVATAR)
        await self._control("POST", "clock", {"advance": 10})
        return avatar_id

    async def _workflow(self) -> str:
        return str((await self._control("POST", "workflows", {"name": "Foxes", "graph": GRAPH}))["id"])

    async def _invocation(self) -> str:
        return await self._made(f"workflows/{await self._workflow()}", {})

    async def _event(self) -> str:
        return str((await self._control("POST", "audit_logs", EVENT))["eventId"])

    async def _made(self, path: str, body: Mapping[str, Any]) -> str:
        return str((await self._called("POST", path, body))["id"])

    async def _called(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        headers = {**HEADERS, "Authorization": f"Bearer {KEY}"}
        url = f"{self._sandbox}/v1/{path}"
        async with self._session.request(method, url, json=body, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def _control(self, method: str, path: str, body: Any) -> Any:
        async with self._session.request(method, f"{self._sandbox}/sandbox/{path}", json=body) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json()

    async def _upload(self, filename: str, content_type: str, data: bytes) -> str:
        found = await self._called("POST", "uploads", {"filename": filename, "type": "ephemeral"})
        form = aiohttp.FormData(found["fields"])
        form.add_field("file", data, filename=filename, content_type=content_type)
        async with self._session.post(found["uploadUrl"], data=form) as answer:
            assert answer.status == 204, await answer.text()
        return str(found["runwayUri"])


_HOP = frozenset({"host", "content-length", "transfer-encoding", "connection", "accept-encoding", "content-encoding"})
