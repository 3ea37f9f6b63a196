"""The small files beside resources, by signed URLs: how a voice sounds, and what an avatar looks like."""

import asyncio
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import numpy as np
from aiohttp import web
from av.audio.frame import AudioFrame
from PIL import Image, ImageOps

from evergreen_server.providers.runway.sandbox.http.faults import Target
from evergreen_server.providers.runway.sandbox.http.front import Front
from evergreen_server.providers.runway.sandbox.http.outputs import Signer, expired, missing
from evergreen_server.providers.runway.sandbox.http.routes import Asked
from evergreen_server.providers.runway.sandbox.resources.records import Avatar
from evergreen_server.providers.runway.sandbox.state.clock import SimulatedClock

__all__ = ["SAMPLE_SECONDS", "Previews"]

SAMPLE_SECONDS = 2.0

_LIFE_SECONDS = 24 * 3600.0
_RATE = 44_100
_PICTURE = (320, 320)


class Previews:
    """Signs the URLs, and answers GET /previews. Nothing is kept: each file is made anew, always the same."""

    def __init__(
        self, *, signer: Signer, assets: Path, clock: SimulatedClock, front: Front, threads: ThreadPoolExecutor
    ) -> None:
        self._signer = signer
        self._assets = assets
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
        name = request.match_info["name"]
        return await self._answer(request, lambda: _spoken(name), "audio/mpeg")

    async def _picture(self, request: web.Request) -> web.StreamResponse:
        path, square = self._assets / request.match_info["digest"], request.match_info["kind"] == "avatars"
        return await self._answer(request, lambda: _small(path, square=square), "image/jpeg")

    async def _answer(self, request: web.Request, make: Callable[[], bytes], content_type: str) -> web.StreamResponse:
        passage = self._front.open(request, Target(operation="preview", method=request.method, path=request.path))
        if (early := await passage.before()) is not None:
            return early
        if not self._signer.holds(request.query.get("_jwt", ""), request.path, now=self._clock.now()):
            passage.enter(403)
            return expired()
        try:
            data = await asyncio.get_running_loop().run_in_executor(self._threads, make)
        except OSError:
            passage.enter(404)
            return missing()
        passage.enter(200)
        return web.Response(body=data, content_type=content_type)


def _spoken(name: str) -> bytes:
    """Returns an MP3 with a tone of the voice's own pitch, in the rhythm of syllables."""
    pitch = 90 + hashlib.sha256(name.encode()).digest()[0]
    times = np.arange(int(SAMPLE_SECONDS * _RATE)) / _RATE
    tone = 0.2 * np.sin(2 * np.pi * pitch * times) * np.abs(np.sin(2 * np.pi * 2 * times))
    frame = AudioFrame.from_ndarray(tone.astype(np.float32)[None], format="fltp", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = _RATE, 0, Fraction(1, _RATE)
    out = BytesIO()
    with av.open(out, "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=_RATE, layout="mono")
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return out.getvalue()


def _small(path: Path, *, square: bool) -> bytes:
    """Returns a small JPEG of a picture. Raises OSError where there is none that can be read."""
    with Image.open(path) as opened:
        picture = ImageOps.exif_transpose(opened).convert("RGB")
    if square:
        picture = ImageOps.fit(picture, _PICTURE)
    else:
        picture.thumbnail(_PICTURE)
    out = BytesIO()
    picture.save(out, "JPEG")
    return out.getvalue()
