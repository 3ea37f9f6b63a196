"""The small files beside resources, by signed URLs: how a voice sounds, and what an avatar looks like."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

from aiohttp import web
from PIL import Image, ImageOps

from evergreen_server.providers.runway.rendering.spoken import spoken_seconds
from evergreen_server.providers.runway.sandbox.generation.studio import RenderFailed, Studio
from evergreen_server.providers.runway.sandbox.generation.voices import pitch_of
from evergreen_server.providers.runway.sandbox.http.faults import Target
from evergreen_server.providers.runway.sandbox.http.front import Front
from evergreen_server.providers.runway.sandbox.http.outputs import Signer, expired, missing
from evergreen_server.providers.runway.sandbox.http.routes import Asked
from evergreen_server.providers.runway.sandbox.resources.records import Avatar
from evergreen_server.providers.runway.sandbox.state.clock import SimulatedClock

logger = logging.getLogger(__name__)

__all__ = ["SAMPLE_SECONDS", "Previews"]

_TEXT = "This is how I sound. I can tell you a story, if you like."
SAMPLE_SECONDS = round(spoken_seconds(_TEXT), 2)

_LIFE_SECONDS = 24 * 3600.0
_PICTURE = (320, 320)
_PIXELS_MOST = 40_000_000
"""Larger pictures have no preview: decoding one takes three bytes a pixel, whatever its file holds."""


class Previews:
    """Signs the URLs, and answers GET /previews. Each file is made when it is asked for, always the same."""

    def __init__(
        self,
        *,
        signer: Signer,
        assets: Path,
        studio: Studio,
        clock: SimulatedClock,
        front: Front,
        threads: ThreadPoolExecutor,
    ) -> None:
        self._signer = signer
        self._assets = assets
        self._studio = studio
        self._clock = clock
        self._front = front
        self._threads = threads

    def sample(self, name: str, asked: Asked) -> str:
        """Returns the URL of an MP3 in the voice of this name."""
        return self._url(f"/previews/voices/{name}.mp3", asked)

    def reference(self, avatar: Avatar, asked: Asked) -> str:
        """Returns the URL of a small JPEG of the picture that an avatar was made from."""
        return self._url(f"/previews/pictures/{avatar.digest}.jpg", asked)

    def processed(self, avatar: Avatar, asked: Asked) -> str | None:
        """Returns the URL of a small JPEG of a finished avatar; None for all others."""
        if asked.now < avatar.ready_at or avatar.failure:
            return None
        return self._url(f"/previews/avatars/{avatar.digest}.jpg", asked)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(r"/previews/voices/{name:[0-9a-f-]{32,36}}.mp3", self._sample),
            web.get(r"/previews/{kind:pictures|avatars}/{digest:[0-9a-f]{64}}.jpg", self._picture),
        ]

    def _url(self, path: str, asked: Asked) -> str:
        return self._signer.url(asked.origin + path, path, now=asked.now, life=_LIFE_SECONDS)

    async def _sample(self, request: web.Request) -> web.StreamResponse:
        async def make() -> bytes:
            path = await self._studio.speech(_TEXT, pitch_of(request.match_info["name"]))
            return await self._in_thread(path.read_bytes)

        return await self._answer(request, make, "audio/mpeg")

    async def _picture(self, request: web.Request) -> web.StreamResponse:
        path, square = self._assets / request.match_info["digest"], request.match_info["kind"] == "avatars"
        return await self._answer(request, lambda: self._in_thread(lambda: _small(path, square=square)), "image/jpeg")

    async def _in_thread(self, work: Callable[[], bytes]) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _answer(
        self, request: web.Request, make: Callable[[], Awaitable[bytes]], content_type: str
    ) -> web.StreamResponse:
        passage = self._front.open(request, Target(operation="preview", method=request.method, path=request.path))
        if (early := await passage.before()) is not None:
            return early
        if not self._signer.holds(request.query.get("_jwt", ""), request.path, now=self._clock.now()):
            passage.enter(403)
            return expired()
        try:
            data = await make()
        except (OSError, SyntaxError, ValueError):
            # What the picture library raises for a file that is broken behind its header.
            passage.enter(404)
            return missing()
        except RenderFailed as exc:
            logger.warning("preview not rendered", extra={"cause": str(exc)})
            passage.enter(500)
            return web.Response(status=500)
        passage.enter(200)
        return web.Response(body=data, content_type=content_type)


def _small(path: Path, *, square: bool) -> bytes:
    """Returns a small JPEG of a picture. Raises OSError where there is none that can be read."""
    with Image.open(path) as opened:
        if opened.width * opened.height > _PIXELS_MOST:
            raise OSError("too large to be shown small")
        picture = ImageOps.exif_transpose(opened).convert("RGB")
    if square:
        picture = ImageOps.fit(picture, _PICTURE)
    else:
        picture.thumbnail(_PICTURE)
    out = BytesIO()
    picture.save(out, "JPEG")
    return out.getvalue()
