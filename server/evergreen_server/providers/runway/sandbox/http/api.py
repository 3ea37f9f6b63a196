"""The provider's HTTP API under /v1: headers, key, route and body are checked in this order, then the call is made."""

import asyncio
import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from aiohttp import web

from evergreen_server.providers.runway.catalog.models import Json
from evergreen_server.providers.runway.sandbox.http.answers import Answer, refusal
from evergreen_server.providers.runway.sandbox.http.creates import model_in, prompt_in
from evergreen_server.providers.runway.sandbox.http.faults import Injected, Target
from evergreen_server.providers.runway.sandbox.http.front import Front
from evergreen_server.providers.runway.sandbox.http.reading import read_json
from evergreen_server.providers.runway.sandbox.http.routes import Asked, Found, Route, Routes
from evergreen_server.providers.runway.sandbox.resources.shelves import ShelfFull
from evergreen_server.providers.runway.sandbox.settings import Settings
from evergreen_server.providers.runway.sandbox.state.books import Books
from evergreen_server.providers.runway.sandbox.state.clock import SimulatedClock

API_VERSION = "2024-11-06"

_KEY = re.compile(r"key_[0-9a-f]{128}")
_SENDING = ("POST", "PATCH")
_PARSED_ON_LOOP = 64 * 1024


@dataclass(slots=True, kw_only=True)
class Controls:
    """What can be changed while the sandbox runs. `keys` are accepted keys of any form; None: every well-formed one."""

    settings: Settings
    keys: frozenset[str] | None = None


class Api:
    """Answers every call under /v1."""

    def __init__(
        self,
        *,
        controls: Controls,
        books: Books,
        clock: SimulatedClock,
        front: Front,
        routes: Routes,
        threads: ThreadPoolExecutor,
    ) -> None:
        self._controls = controls
        self._books = books
        self._clock = clock
        self._front = front
        self._routes = routes
        self._threads = threads

    async def handle(self, request: web.Request) -> web.StreamResponse:
        found = self._routes.find(request.path)
        route = found.routes.get(request.method) if found else None
        raw = await self._read(request)
        body, digest = (None, "") if raw is None else await self._parse(raw)
        passage = self._front.open(request, self._target(request, found, route, body))
        early = await passage.before()
        if early is not None:
            return early
        answer = self._refusal(request, found, route, raw)
        if answer is None:
            assert found is not None
            assert route is not None
            answer = await self._perform(request, found, route, body, digest, passage.injected)
        return await passage.after(answer)

    async def _read(self, request: web.Request) -> bytes | None:
        """Returns the body, or None if it is larger than the gateway's limit."""
        most = self._controls.settings.body_max_bytes
        if (request.content_length or 0) > most:
            return None
        data = bytearray()
        async for chunk in request.content.iter_any():
            data += chunk
            if len(data) > most:
                return None
        return bytes(data)

    async def _parse(self, raw: bytes) -> tuple[Json, str]:
        if len(raw) <= _PARSED_ON_LOOP:
            return _parse(raw)
        # Megabytes of data URI would hold the loop for tens of milliseconds.
        return await asyncio.get_running_loop().run_in_executor(self._threads, _parse, raw)

    def _target(self, request: web.Request, found: Found | None, route: Route | None, body: Json) -> Target:
        task_id = found.parts.get("task_id") if found else None
        task = self._books.task(task_id, self._clock.now()) if task_id else None
        sent = body if isinstance(body, dict) else {}
        return Target(
            operation=route.operation if route else "",
            method=request.method,
            path=request.path,
            task_id=task_id,
            model=task.record.model if task else model_in(sent),
            prompt=task.record.prompt_text if task else prompt_in(sent),
        )

    def _refusal(
        self, request: web.Request, found: Found | None, route: Route | None, raw: bytes | None
    ) -> Answer | None:
        version = request.headers.get("X-Runway-Version")
        if version is None:
            return refusal(400, "The X-Runway-Version header is required.")
        if version != API_VERSION:
            return refusal(400, "The API version that was provided in the X-Runway-Version header is not valid.")
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            return refusal(401, "No API key was provided. Send it as a bearer token in the Authorization header.")
        keys = self._controls.keys
        if (route is None or route.keyed) and not (_KEY.fullmatch(key) if keys is None else key in keys):
            return refusal(401, "The API key that was provided is not valid.")
        if found is None:
            return Answer(status=404, body={"error": "Not found"})
        if route is None:
            return Answer(status=405, body={"error": "Method not allowed"}, headers={"Allow": ", ".join(found.routes)})
        if raw is None:
            return Answer(status=413, body={"message": "Request Too Long"})
        if request.method in _SENDING and request.content_type != "application/json":
            return refusal(400, "The Content-Type header must be application/json.")
        return None

    async def _perform(
        self, request: web.Request, found: Found, route: Route, body: Json, digest: str, injected: Injected
    ) -> Answer:
        if request.method in _SENDING and not isinstance(body, dict):
            return refusal(400, "The body must be a JSON object.")
        asked = Asked(
            origin=f"{request.scheme}://{request.host}",
            parts=found.parts,
            query=request.query,
            body=body if isinstance(body, dict) else {},
            digest=digest,
            settings=self._controls.settings,
            plan=injected.plan,
            now=self._clock.now(),
            key=request.headers["Authorization"].partition(" ")[2],
        )
        try:
            return await route.handler(asked)
        except ShelfFull as exc:
            return refusal(400, str(exc))


def _parse(raw: bytes) -> tuple[Json, str]:
    """Returns the JSON, None if it is none, and the SHA-256 of the bytes."""
    digest = hashlib.sha256(raw).hexdigest()
    try:
        return read_json(raw), digest
    except ValueError:
        return None, digest
