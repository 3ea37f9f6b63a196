"""Serves a picture that a job needs, and holds up the job that asks first."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from tests.loopback import serving_app
from tests.serving import SAMPLES


class PictureHost:
    """Serves one picture, but never answers the first who asks."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.address = ""
        self._closing = asyncio.Event()

    async def _picture(self, _request: web.Request) -> web.FileResponse:
        if not self.asked.is_set():
            self.asked.set()
            await self._closing.wait()
        return web.FileResponse(SAMPLES / "rocket.jpg")

    @asynccontextmanager
    async def open(self) -> AsyncIterator["PictureHost"]:
        application = web.Application()
        application.router.add_get("/picture.jpg", self._picture)
        async with serving_app(application) as self.address:
            try:
                yield self
            finally:
                self._closing.set()
