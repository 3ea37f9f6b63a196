"""A sandbox behind a door that changes what it answers, byte for byte as a test wants it."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import aiohttp
from aiohttp import web

from tests.loopback import serving_app

Change: TypeAlias = Callable[[Any], bytes]


class Mangler:
    """The changes by method and beginning of the path."""

    def __init__(self) -> None:
        self._changes: list[tuple[str, str, Change]] = []

    def on(self, method: str, path: str) -> Callable[[Change], Change]:
        """Has answers of 200 made anew from their JSON."""

        def register(change: Change) -> Change:
            self._changes.append((method, path, change))
            return change

        return register

    def changed(self, method: str, path: str, body: bytes) -> bytes:
        for wanted, beginning, change in self._changes:
            if method == wanted and path.startswith(beginning):
                return change(json.loads(body))
        return body


@asynccontextmanager
async def mangled(url: str, mangler: Mangler) -> AsyncIterator[str]:
    """Serves the provider's API of the sandbox at `url`, changed; gives the URL of the door."""
    async with aiohttp.ClientSession() as session:

        async def pass_on(request: web.Request) -> web.Response:
            kept = ("Authorization", "X-Runway-Version", "Content-Type")
            headers = {name: request.headers[name] for name in kept if name in request.headers}
            async with session.request(
                request.method, url + request.path, data=await request.read(), headers=headers
            ) as answer:
                body = await answer.read()
                if answer.status == 200:
                    body = mangler.changed(request.method, request.path, body)
                return web.Response(status=answer.status, body=body, content_type="application/json")

        app = web.Application(client_max_size=1 << 26)
        app.router.add_route("*", "/v1/{rest:.*}", pass_on)
        async with serving_app(app) as address:
            yield f"http://{address}"
