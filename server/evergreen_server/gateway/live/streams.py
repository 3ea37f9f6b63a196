"""Events for machines and single pages: server-sent events, or one JSON object a line."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

import grpc
from aiohttp import web

from evergreen_server.gateway.live.following import Following
from evergreen_server.gateway.live.frames import film_ids_of, job_ids_of, kinds_of, revision_of
from evergreen_server.gateway.live.hub import Draining, Hub
from evergreen_server.gateway.live.items import FILM, Item, end_item
from evergreen_server.gateway.live.lookup import project_of
from evergreen_server.gateway.live.sweeping import Sweep
from evergreen_server.gateway.live.wishes import Wish
from evergreen_server.gateway.live.writing import Writing, bound_buffers
from evergreen_server.gateway.places import Places
from evergreen_server.gateway.problems import Fault, Refused, invalid, refused
from evergreen_server.gateway.visitors import Visitor, only, visitor_of

__all__ = ["Streams"]

OF_PROJECT, OF_JOB = "/api/v1/projects/{projectId}/events", "/api/v1/videos/{jobId}/events"
OF_FILM = "/api/v1/projects/{projectId}/films/{filmId}/events"
EVENTS, LINES = "text/event-stream", "application/x-ndjson"
RETRY = b"retry: 1000\n\n"
RETRY_LATER = b"retry: 5000\n\n"
DRAIN_SECONDS = 1.0
QUERY: Mapping[str, frozenset[str]] = {
    OF_PROJECT: frozenset({"after", "job", "film", "includeFinished", "includeFilms", "kind"}),
    OF_JOB: frozenset({"after"}),
    OF_FILM: frozenset({"after"}),
}


class Streams:
    """The handlers of the three paths."""

    def __init__(self, *, hub: Hub, places: Places, sweep: Sweep, stall_seconds: float) -> None:
        self._hub = hub
        self._places = places
        self._sweep = sweep
        self._stall_seconds = stall_seconds
        self.open = 0
        """How many there are now."""

    def routes(self) -> list[web.RouteDef]:
        """Returns the routes."""
        return [
            web.get(OF_PROJECT, self._of_project, allow_head=False),
            web.get(OF_JOB, self._of_job, allow_head=False),
            web.get(OF_FILM, self._of_film, allow_head=False),
        ]

    async def _of_project(self, request: web.Request) -> web.StreamResponse:
        _check_names(request, OF_PROJECT)
        job_ids = job_ids_of(request.query.getall("job", []), "job")
        film_ids = film_ids_of(request.query.getall("film", []), "film")
        kinds = kinds_of(request.query.getall("kind", [])) | ({FILM} if _flag(request, "includeFilms") else set())
        wish = replace(
            _wish(request), job_ids=job_ids, film_ids=film_ids, include_finished=_flag(request, "includeFinished")
        )
        return await self._told(request, request.match_info["projectId"], replace(wish, kinds=kinds))

    async def _of_film(self, request: web.Request) -> web.StreamResponse:
        _check_names(request, OF_FILM)
        wish = replace(_wish(request), film_ids=[request.match_info["filmId"]])
        return await self._told(request, request.match_info["projectId"], wish)

    async def _of_job(self, request: web.Request) -> web.StreamResponse:
        _check_names(request, OF_JOB)
        job_id = request.match_info["jobId"]
        wish = replace(_wish(request), job_ids=[job_id])
        try:
            project_id = await project_of(self._hub, self._places, visitor_of(request), job_id)
        except Refused as exc:
            return _later(request, exc)
        return await self._told(request, project_id, wish)

    async def _told(self, request: web.Request, project_id: str, wish: Wish) -> web.StreamResponse:
        lines = LINES in request.headers.get("Accept", "")
        visitor = visitor_of(request)
        stream = _Stream(request, lines=lines, stall_seconds=self._stall_seconds)
        self.open += 1
        try:
            with self._places.stream(visitor.owner), self._sweep.of(stream):
                return await stream.run(self._hub, visitor, project_id, wish)
        except Refused as exc:
            if stream.response.prepared:
                # Nothing can be said any more; whoever comes again is told what is wrong.
                return stream.response
            return _later(request, exc)
        finally:
            self.open -= 1


class _Stream:
    """One stream, whose head is sent with its first message."""

    def __init__(self, request: web.Request, *, lines: bool, stall_seconds: float) -> None:
        kind = LINES if lines else f"{EVENTS}; charset=utf-8"
        self.response = web.StreamResponse(headers={"Content-Type": kind, "X-Accel-Buffering": "no"})
        self._request = request
        self._transport = request.transport
        self._lines = lines
        self._stall_seconds = stall_seconds
        self._loop = asyncio.get_running_loop()
        self._writing = Writing()
        self._following: Following | None = None
        self._ended: list[str] = []

    async def run(self, hub: Hub, visitor: Visitor, project_id: str, wish: Wish) -> web.StreamResponse:
        """Sends until its jobs and films are final, or the gateway stops. Raises Refused."""
        self._following = Following(hub=hub, visitor=visitor, project_id=project_id, reader=self)
        self._following.add(wish)
        try:
            async with hub.told(self):
                await self._following.run()
        except Draining:
            if not self.response.prepared:
                raise refused(
                    grpc.StatusCode.UNAVAILABLE,
                    "DRAINING",
                    message="the server is stopping; call again",
                    retry_seconds=1,
                ) from None
            return self.response
        if not self.response.prepared:
            # All was seen before. Nothing else ends an EventSource.
            return web.Response(status=204)
        await self.send(end_item(project_id, self._ended))
        return self.response

    def drain(self) -> None:
        if self._following is not None:
            self._following.drain()
        # Whoever takes nothing must not hold up the stop.
        self._stall_seconds = DRAIN_SECONDS

    def look(self, now: float) -> None:
        if self._writing.stalled(now) > self._stall_seconds and self._transport is not None:
            self._transport.abort()

    async def send(self, item: Item) -> None:
        self._writing.begin(self._loop.time())
        try:
            if not self.response.prepared:
                await self.response.prepare(self._request)
                bound_buffers(self._request)
                if not self._lines:
                    await self.response.write(RETRY)
            await self.response.write(item.data + b"\n" if self._lines else _event(item))
        finally:
            self._writing.end(self._loop.time())

    async def ended(self, project_id: str, subjects: Sequence[str]) -> None:
        self._ended += subjects

    async def failed(self, project_id: str, wish: Wish, fault: Fault) -> None:
        raise Refused(fault)


def _event(item: Item) -> bytes:
    number = b"id: %d\n" % item.revision if item.revision else b""
    return b"event: %b\n%bdata: %b\n\n" % (item.event.encode(), number, item.data)


def _later(request: web.Request, exc: Refused) -> web.StreamResponse:
    """Returns what makes an EventSource that was connected come again, which gives up at any other status.

    Raises what it was given for everybody else, and for what will not be otherwise later.
    """
    passing = exc.fault.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
    if passing and request.headers.get("Last-Event-ID") and EVENTS in request.headers.get("Accept", ""):
        return web.Response(body=RETRY_LATER, headers={"Content-Type": f"{EVENTS}; charset=utf-8"})
    raise exc


def _wish(request: web.Request) -> Wish:
    last, after = only(request, "Last-Event-ID"), request.query.get("after", "")
    revision = revision_of(last, "Last-Event-ID") if last else revision_of(after, "after") if after else None
    return Wish(after=revision, again=bool(last))


def _check_names(request: web.Request, path: str) -> None:
    for name, values in ((name, request.query.getall(name)) for name in request.query):
        if name not in QUERY[path]:
            raise invalid(name[:100], f"no such parameter; there are {', '.join(sorted(QUERY[path]))}")
        if len(values) > 1 and name not in ("job", "film", "kind"):
            raise invalid(name, "may stand once")


def _flag(request: web.Request, name: str) -> bool:
    value = request.query.get(name, "false")
    if value not in ("true", "false"):
        raise invalid(name, "must be true or false")
    return value == "true"
