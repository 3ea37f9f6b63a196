"""A web service that generates clips, and relays their progress to browsers as server-sent events.

Start `evergreen serve --sandbox`, then this, and open http://127.0.0.1:8000:

    uvicorn --factory app:create_app --app-dir examples/web --timeout-graceful-shutdown 3

It keeps no state: the id of each event is the watch's cursor, and a browser that reconnects sends the last one
back. Anyone who knows a job's id can see the job here; a service with several users must authenticate them.
"""

import json
import os
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Annotated, TypedDict
from uuid import uuid4

from fastapi import Depends, FastAPI, Header, Request
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from pydantic import BaseModel, Field

from evergreen import (
    CallError,
    Client,
    CursorLost,
    InvalidRequest,
    NotFound,
    RequestIdReused,
    Unavailable,
    WatchInterrupted,
)
from evergreen.v1.video_pb2 import Job, JobState

PAGE = Path(__file__).with_name("index.html")
PROJECT, SCENE, MODEL = "web", "scene-1", "gen4.5"


class State(TypedDict):
    """The state of the running app."""

    client: Client


class Wish(BaseModel):
    """The body of a browser's request."""

    prompt: str = Field(min_length=1, max_length=1000)


def create_app(endpoint: str | None = None) -> FastAPI:
    """Returns the app. The service's address is `endpoint`, or EVERGREEN_ENDPOINT, or 127.0.0.1:50051."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        async with Client(endpoint or os.environ.get("EVERGREEN_ENDPOINT", "127.0.0.1:50051")) as client:
            yield State(client=client)

    app = FastAPI(lifespan=lifespan)
    app.add_exception_handler(CallError, refused)
    app.add_api_route("/", page)
    app.add_api_route("/clips", submit, methods=["POST"], status_code=202)
    app.add_api_route("/clips/{job_id}/events", follow)
    app.add_api_route("/clips/{job_id}/video", video)
    return app


def client_of(request: Request) -> Client:
    """Returns the app's client."""
    client: Client = request.state.client
    return client


Evergreen = Annotated[Client, Depends(client_of)]


async def page() -> FileResponse:
    return FileResponse(PAGE)


async def submit(wish: Wish, client: Evergreen, idempotency_key: Annotated[str, Header()] = "") -> dict[str, str]:
    """Requests a clip. A browser that repeats a request with the same Idempotency-Key gets the same job."""
    job = await client.generate(
        project_id=PROJECT,
        scene_id=SCENE,
        model=MODEL,
        ratio="1280:720",
        duration_seconds=5,
        prompt_text=wish.prompt,
        request_id=idempotency_key or uuid4().hex,
    )
    return {"job_id": job.job_id}


async def follow(job_id: str, client: Evergreen, last_event_id: Annotated[str, Header()] = "") -> StreamingResponse:
    """Streams the events of a job that come after the last one that the browser has seen."""
    await client.status(job_id)  # an unknown job is a 404, not an interrupted stream
    after = int(last_event_id) if last_event_id.isdecimal() else None
    return StreamingResponse(
        events(client, job_id, after), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
    )


async def events(client: Client, job_id: str, after: int | None) -> AsyncIterator[str]:
    """Yields a watch as server-sent events. The client handles lost connections and restarts of the service."""
    while True:
        try:
            async with aclosing(client.watch(job_ids=[job_id], after_revision=after)) as messages:
                async for message in messages:
                    # A checkpoint has no data: it moves the browser's cursor and keeps proxies from closing the stream.
                    data = f"data: {json.dumps(told(message.event.job))}\n" if message.HasField("event") else ""
                    yield f"id: {message.revision}\n{data}\n"
            yield "event: end\ndata: {}\n\n"
            return
        except CursorLost:
            after = None
        except WatchInterrupted:
            return  # the browser reconnects, with its cursor


def told(job: Job) -> dict[str, object]:
    """Returns what a browser needs to know about a job."""
    return {
        "state": JobState.Name(job.state).removeprefix("JOB_STATE_"),
        "progress": job.progress,
        "error": job.error.message,
        "files": [output.asset for output in job.outputs],
    }


async def video(job_id: str, client: Evergreen) -> StreamingResponse:
    """Relays a finished clip, without holding all of it in memory."""
    job = await client.status(job_id)
    if not job.outputs:
        return StreamingResponse(iter(()), status_code=404)
    output = job.outputs[0]
    return StreamingResponse(
        chunks(client, job, output.asset),
        media_type=output.content_type,
        headers={"Content-Length": str(output.size_bytes)},
    )


async def chunks(client: Client, job: Job, asset: str) -> AsyncIterator[bytes]:
    async with aclosing(client.scenes.read(job.project_id, job.scene_id, asset)) as blocks:
        async for block in blocks:
            yield block


async def refused(_: Request, error: Exception) -> JSONResponse:
    """Returns the service's error as JSON; any unexpected error is a 502."""
    assert isinstance(error, CallError)
    codes = {InvalidRequest: 422, NotFound: 404, RequestIdReused: 409, Unavailable: 503}
    code = next((code for kind, code in codes.items() if isinstance(error, kind)), 502)
    faults = [{"field": each.field, "text": each.description} for each in error.violations]
    return JSONResponse({"reason": error.reason, "message": error.message, "faults": faults}, code)
