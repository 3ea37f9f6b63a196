"""A web service of your own before Evergreen's HTTP side: its users make clips, watch them live, and seek in them.

Start `evergreen serve --sandbox --http 127.0.0.1:8080`, then this, and open http://127.0.0.1:8000:

    uvicorn --factory app:create_app --app-dir examples/web --timeout-graceful-shutdown 3

It keeps no state and reads no event: events and ranges of files pass through as they are, so that a page that comes
back, after a lost connection or a restart of anything, goes on where it was. Evergreen's token stays here. Anyone who
knows a job's id can see the job; a service with several users must authenticate them.
"""

import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path as FilePath
from typing import Annotated, Any, TypedDict
from uuid import uuid4

import aiohttp
from fastapi import Depends, FastAPI, Header, Path, Request
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, Field

PAGE = FilePath(__file__).with_name("index.html")
PROJECT, SCENE, MODEL = "web", "scene-1", "gen4.5"
ASKED = ("last-event-id", "range", "if-range", "if-none-match", "sec-fetch-dest")
"""What a browser says that Evergreen must hear, and no more: its cookies and addresses are none of its business."""
ANSWERED = ("content-type", "content-length", "content-range", "accept-ranges", "etag", "cache-control", "retry-after")
LIMITS = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=60)
"""A stream of events lasts as long as its job, and says something every 15 seconds."""


class State(TypedDict):
    """The state of the running app."""

    evergreen: aiohttp.ClientSession


class Wish(BaseModel):
    """The body of a browser's request."""

    prompt: str = Field(min_length=1, max_length=1000)


def create_app(address: str | None = None) -> FastAPI:
    """Returns the app. Evergreen's HTTP side is at `address`, or at EVERGREEN_HTTP, or at http://127.0.0.1:8080."""
    base = address or os.environ.get("EVERGREEN_HTTP", "http://127.0.0.1:8080")
    token = os.environ.get("EVERGREEN_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        async with aiohttp.ClientSession(base, headers=headers, timeout=LIMITS, auto_decompress=False) as evergreen:
            yield State(evergreen=evergreen)

    app = FastAPI(lifespan=lifespan)
    app.add_exception_handler(aiohttp.ClientError, away)
    app.add_exception_handler(TimeoutError, away)
    app.add_api_route("/", page)
    app.add_api_route("/clips", recent)
    app.add_api_route("/clips", submit, methods=["POST"])
    app.add_api_route("/clips/{job_id}/events", follow)
    app.add_api_route("/clips/{job_id}/video", video, methods=["GET", "HEAD"])
    return app


def evergreen_of(request: Request) -> aiohttp.ClientSession:
    """Returns the app's session with Evergreen."""
    evergreen: aiohttp.ClientSession = request.state.evergreen
    return evergreen


Evergreen = Annotated[aiohttp.ClientSession, Depends(evergreen_of)]
JobId = Annotated[str, Path(pattern=r"^[A-Za-z0-9-]{1,64}$")]


async def page() -> FileResponse:
    return FileResponse(PAGE)


async def recent(request: Request, evergreen: Evergreen) -> Response:
    """Returns the newest clips, so that a page that is loaded again shows what it showed."""
    query = {"projectId": PROJECT, "order": "LIST_ORDER_NEWEST_FIRST", "pageSize": "20"}
    return await relayed(request, evergreen, "/api/v1/videos", query)


async def submit(wish: Wish, evergreen: Evergreen, idempotency_key: Annotated[str, Header()] = "") -> Response:
    """Requests a clip. A browser that repeats a request with the same Idempotency-Key gets the same job."""
    clip = {
        "sceneId": SCENE,
        "model": MODEL,
        "ratio": "1280:720",
        "durationSeconds": 5,
        "promptText": wish.prompt,
    }
    key = {"Idempotency-Key": idempotency_key or uuid4().hex}
    async with evergreen.post(f"/api/v1/projects/{PROJECT}/videos", json=clip, headers=key) as answer:
        # A refusal says in `detail` and `errors` what is wrong, in words that users can read.
        return await whole(answer)


async def follow(job_id: JobId, request: Request, evergreen: Evergreen) -> Response:
    """Relays the events of a job that come after the last one that the browser has seen."""
    return await relayed(request, evergreen, f"/api/v1/videos/{job_id}/events", request.query_params)


async def video(job_id: JobId, request: Request, evergreen: Evergreen) -> Response:
    """Relays a finished clip, or the range of it that the player asks for."""
    async with evergreen.get(f"/api/v1/videos/{job_id}") as answer:
        if answer.status not in (200, 404):
            # No word about the clip: a browser may ask again.
            return await whole(answer)
        job: dict[str, Any] = json.loads(await answer.read()).get("job", {})
    if answer.status == 404 or job["projectId"] != PROJECT or not job["outputs"]:
        return JSONResponse({"detail": "there is no such clip yet"}, 404)
    scene = f"/api/v1/projects/{PROJECT}/scenes/{job['sceneId']}"
    return await relayed(request, evergreen, f"{scene}/assets/{job['outputs'][0]['asset']}")


async def whole(answer: aiohttp.ClientResponse) -> Response:
    return Response(await answer.read(), answer.status, picked(answer.headers, ANSWERED))


async def relayed(
    request: Request, evergreen: aiohttp.ClientSession, path: str, query: Mapping[str, str] | None = None
) -> Response:
    """Returns Evergreen's answer as it comes, none of it held."""
    asked = picked(request.headers, ASKED)
    answer = await evergreen.request(request.method, path, params=query, headers=asked)
    return StreamingResponse(blocks(answer), answer.status, picked(answer.headers, ANSWERED))


async def blocks(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for block in answer.content.iter_any():
            yield block
    except aiohttp.ClientError:
        # Too late for a status: the answer ends too early, and the browser asks again.
        return
    finally:
        answer.close()


def picked(headers: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    return {name: headers[name] for name in names if name in headers}


async def away(_: Request, _error: Exception) -> JSONResponse:
    """Returns the answer while Evergreen cannot be reached."""
    return JSONResponse({"detail": "the service cannot be reached; try again"}, 503, {"Retry-After": "1"})
