"""`/api/v1/socket`: one WebSocket for any number of projects and jobs."""

import asyncio
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace

import grpc
from aiohttp import WSMsgType, web

from evergreen_server.gateway.admit import internal
from evergreen_server.gateway.live.following import Following
from evergreen_server.gateway.live.frames import (
    FRAME_BYTES,
    MOST_JOBS,
    Frame,
    Hello,
    Ping,
    Subscribe,
    Unsubscribe,
    read_document,
    read_frame,
)
from evergreen_server.gateway.live.hub import Draining, Hub
from evergreen_server.gateway.live.items import Item, end_item
from evergreen_server.gateway.live.lookup import project_of
from evergreen_server.gateway.live.sweeping import BUFFER_BYTES, Sweep, Writing, bound_buffers
from evergreen_server.gateway.live.wishes import Wish
from evergreen_server.gateway.names import caller_of
from evergreen_server.gateway.places import Places
from evergreen_server.gateway.problems import Fault, Refused, invalid, problem_members, refused
from evergreen_server.gateway.visitors import malformed, visitor_of

__all__ = ["MOST_PROJECTS", "Sockets"]

PATH = "/api/v1/socket"
MOST_PROJECTS = 200
HEARTBEAT_SECONDS = 15
HELLO_SECONDS = 5.0
FRAMES_PER_SECOND = 20.0
FRAMES_AT_ONCE = 200.0
"""As many as there may be projects; whoever sends more is read more slowly."""
PING_SECONDS, PONG_SECONDS = 25.0, 10.0
PING = b"\x89\x00"
"""A ping frame of the protocol, from a server."""
DRAIN_SECONDS = 1.0
CLOSE_SECONDS = 1.0
LAST_SECONDS = 5.0
"""For somebody who was too slow to take the rest, and to learn why it is the rest."""
GOING_AWAY, BROKEN = 1001, 1011
CODES: Mapping[grpc.StatusCode, int] = {
    grpc.StatusCode.INVALID_ARGUMENT: 4400,
    grpc.StatusCode.UNAUTHENTICATED: 4401,
    grpc.StatusCode.PERMISSION_DENIED: 4403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 4429,
}
TOO_SLOW = 4408

logger = logging.getLogger(__name__)


class Sockets:
    """The handler of the socket."""

    def __init__(self, *, hub: Hub, places: Places, sweep: Sweep, stall_seconds: float) -> None:
        self._hub = hub
        self._places = places
        self._sweep = sweep
        self._stall_seconds = stall_seconds

    def routes(self) -> list[web.RouteDef]:
        """Returns the route."""
        return [web.get(PATH, self._serve)]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        response = web.WebSocketResponse(
            timeout=LAST_SECONDS,
            autoping=False,
            compress=False,
            max_msg_size=FRAME_BYTES,
            # It would wait for the reader on behalf of whoever writes, and take a cancelled wait for a lost connection.
            writer_limit=sys.maxsize,
            decode_text=False,
        )
        await response.prepare(request)
        bound_buffers(request)
        socket = _Socket(request, response, hub=self._hub, places=self._places, stall_seconds=self._stall_seconds)
        with self._sweep.of(socket):
            await socket.run()
        return response


class _Socket:
    """One socket."""

    def __init__(
        self,
        request: web.Request,
        response: "web.WebSocketResponse[bool]",
        *,
        hub: Hub,
        places: Places,
        stall_seconds: float,
    ) -> None:
        self._response = response
        self._transport, self._writer = request.transport, request.writer
        self._taking: asyncio.Task[None] | None = None
        self._visitor = visitor_of(request)
        self._hub = hub
        self._places = places
        self._stall_seconds = stall_seconds
        self._loop = asyncio.get_running_loop()
        self._followings: dict[str, tuple[Following, asyncio.Task[None]]] = {}
        self._writing = Writing()
        self._heard, self._pinged = self._loop.time(), False
        self._left, self._filled = FRAMES_AT_ONCE, self._heard
        self._code, self._reason = 0, ""
        self._until, self._talking = asyncio.timeout(None), False

    async def run(self) -> None:
        """Serves until either side ends it."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                with ExitStack() as held:
                    await self._talk(held)
                    if self._code == GOING_AWAY and self._followings:
                        await asyncio.wait([task for _, task in self._followings.values()], timeout=DRAIN_SECONDS)
                    for _, task in self._followings.values():
                        task.cancel()
                    if self._taking is not None:
                        self._taking.cancel()
        finally:
            await self._close()

    def drain(self) -> None:
        """Ends it, after the checkpoint of each project."""
        for following, _ in self._followings.values():
            following.drain()
        self._end(GOING_AWAY, "DRAINING")

    def look(self, now: float) -> None:
        """Ends it if its reader takes nothing, or is not there any more."""
        if self._writing.stalled(now) > self._stall_seconds:
            self._end(TOO_SLOW, "too slow")
        elif now - self._heard > PING_SECONDS + PONG_SECONDS:
            if self._transport is not None:
                self._transport.abort()
        elif now - self._heard > PING_SECONDS and not self._pinged and self._transport is not None:
            self._pinged = True
            self._transport.write(PING)

    async def send(self, item: Item) -> None:
        self._writing.begin(self._loop.time())
        try:
            while self._transport is not None and self._transport.get_write_buffer_size() > BUFFER_BYTES:
                await self._taken()
            await self._response.send_frame(item.data, WSMsgType.TEXT)
        finally:
            self._writing.end(self._loop.time())

    async def _taken(self) -> None:
        """Waits until the reader has taken most of it, once for all who wait, any of whom may be cancelled."""
        if self._taking is None or self._taking.done():
            self._taking = self._tasks.create_task(self._drained(), name="reader")
        await asyncio.shield(self._taking)

    async def _drained(self) -> None:
        with suppress(ConnectionError):
            await self._writer.drain()

    async def ended(self, job_ids: Sequence[str]) -> None:
        await self.send(end_item(job_ids))

    async def failed(self, project_id: str, wish: Wish, fault: Fault) -> None:
        if fault.code is grpc.StatusCode.UNAUTHENTICATED:
            self._end_by(fault)
            return
        about: dict[str, object] = {"type": "subscribe", "projectId": project_id}
        if wish.job_ids:
            about["jobIds"] = list(wish.job_ids)
        await self._error(about, fault)

    async def _talk(self, held: ExitStack) -> None:
        try:
            async with self._until:
                self._talking = True
                try:
                    async with self._hub.told(self):
                        await self._admit(held)
                        while (data := await self._next()) is not None:
                            await self._hear(data)
                finally:
                    self._talking = False
        except TimeoutError:
            if not self._until.expired():
                raise
        except Refused as exc:
            self._end_by(exc.fault)
        except ConnectionError:
            pass

    async def _admit(self, held: ExitStack) -> None:
        visitor = self._visitor
        caller = None
        if not visitor.greets:
            held.enter_context(self._places.stream(visitor.owner or visitor.address))
            try:
                caller = await caller_of(self._hub.upstream, self._places, visitor, visitor.metadata())
            except Refused as exc:
                if visitor.authorization or exc.fault.code is not grpc.StatusCode.UNAUTHENTICATED:
                    raise
                held.close()
        if caller is None:
            with self._places.stream(visitor.address):
                token = await self._hello()
            visitor = self._visitor = replace(visitor, authorization=f"Bearer {token}")
            held.enter_context(self._places.stream(visitor.owner))
            caller = await caller_of(self._hub.upstream, self._places, visitor, visitor.metadata())
        await self._say(
            {
                "type": "welcome",
                "heartbeatSeconds": HEARTBEAT_SECONDS,
                "version": caller.version,
                "name": caller.name,
                "limits": {
                    "projects": MOST_PROJECTS,
                    "jobsOfProject": MOST_JOBS,
                    "frameBytes": FRAME_BYTES,
                    "framesPerSecond": int(FRAMES_PER_SECOND),
                },
            }
        )

    async def _hello(self) -> str:
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                data = await self._next()
        except TimeoutError:
            data = None
        frame = read_frame(read_document(data)) if data is not None else None
        if not isinstance(frame, Hello):
            raise refused(
                grpc.StatusCode.UNAUTHENTICATED,
                "TOKEN_REQUIRED",
                message=f"a token is required: by header, by cookie, or as a hello within {HELLO_SECONDS:.0f} s",
            )
        return frame.token

    async def _next(self) -> bytes | None:
        """Returns the next frame, None at the end; at their pace. Raises Refused for what is no text."""
        while True:
            await self._paced()
            message = await self._response.receive()
            self._heard, self._pinged = self._loop.time(), False
            match message.type:
                case WSMsgType.TEXT:
                    return message.data if isinstance(message.data, bytes) else str(message.data).encode()
                case WSMsgType.BINARY:
                    raise malformed("frames must be texts")
                case WSMsgType.PING:
                    await self._response.pong(bytes(message.data))
                case WSMsgType.PONG:
                    pass
                case _:
                    return None

    async def _paced(self) -> None:
        now = self._loop.time()
        self._left = min(FRAMES_AT_ONCE, self._left + (now - self._filled) * FRAMES_PER_SECOND) - 1
        self._filled = now
        if self._left < 0:
            await asyncio.sleep(-self._left / FRAMES_PER_SECOND)

    async def _hear(self, data: bytes) -> None:
        document = read_document(data)
        try:
            await self._obey(read_frame(document))
        except Refused as exc:
            if exc.fault.code is grpc.StatusCode.UNAUTHENTICATED:
                raise
            await self._error({name: value for name, value in document.items() if name != "token"}, exc.fault)

    async def _obey(self, frame: Frame) -> None:
        match frame:
            case Ping():
                await self._say({"type": "pong"})
            case Hello():
                raise invalid("type", "a hello comes first, and only where no token came otherwise")
            case Subscribe():
                await self._subscribe(frame)
            case Unsubscribe():
                self._unsubscribe(frame)

    async def _subscribe(self, frame: Subscribe) -> None:
        project_id = frame.project_id or await project_of(self._hub, self._places, self._visitor, frame.job_ids[0])
        known = self._followings.get(project_id)
        if known is not None:
            following, _ = known
        elif len(self._followings) >= MOST_PROJECTS:
            raise refused(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "QUEUE_FULL",
                message=f"a socket may follow {MOST_PROJECTS} projects; unsubscribe from some, or open another",
            )
        else:
            following = Following(hub=self._hub, visitor=self._visitor, project_id=project_id, reader=self)
        if len(set(following.job_ids) | set(frame.job_ids)) > MOST_JOBS:
            raise invalid("jobIds", f"at most {MOST_JOBS} of a project on one socket")
        following.add(
            Wish(
                job_ids=frame.job_ids,
                after=frame.after,
                include_finished=frame.include_finished,
                kinds=frame.kinds,
            )
        )
        if known is None:
            task = self._tasks.create_task(self._follow(following), name="following")
            self._followings[project_id] = following, task

    def _unsubscribe(self, frame: Unsubscribe) -> None:
        for project_id, (following, task) in list(self._followings.items()):
            if frame.project_id not in ("", project_id):
                continue
            if frame.job_ids:
                following.drop_jobs(frame.job_ids)
            else:
                following.drop_project()
            if following.empty:
                del self._followings[project_id]
                task.cancel()

    async def _follow(self, following: Following) -> None:
        try:
            await following.run()
        except (Draining, ConnectionError):
            pass
        except Refused as exc:
            if exc.fault.code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
                self._end_by(exc.fault)
            else:
                await self._error({"type": "subscribe", "projectId": following.project_id}, exc.fault)
        except Exception as exc:
            internal(exc)
            self._end(BROKEN, "INTERNAL")
        finally:
            known = self._followings.get(following.project_id)
            if known is not None and known[0] is following and self._code != GOING_AWAY:
                del self._followings[following.project_id]

    async def _error(self, about: Mapping[str, object], fault: Fault) -> None:
        await self._say({"type": "error", "about": about, "problem": problem_members(fault, self._visitor.request_id)})

    async def _say(self, members: Mapping[str, object]) -> None:
        await self.send(Item("", 0, json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()))

    def _end_by(self, fault: Fault) -> None:
        code = GOING_AWAY if fault.reason == "DRAINING" else CODES.get(fault.code, BROKEN)
        self._end(code, fault.reason or fault.code.name)

    def _end(self, code: int, reason: str) -> None:
        if not self._code:
            self._code, self._reason = code, reason
            if self._talking:
                self._until.reschedule(self._loop.time())

    async def _close(self) -> None:
        """Says why, and waits a little for the other side."""
        logger.info(
            "socket ended",
            extra={"code": self._code or 1000, "reason": self._reason, "request_id": self._visitor.request_id},
        )
        try:
            async with asyncio.timeout(LAST_SECONDS if self._code == TOO_SLOW else CLOSE_SECONDS):
                await self._response.close(code=self._code or 1000, message=self._reason.encode()[:100], drain=False)
        except TimeoutError:
            pass
        finally:
            if self._transport is not None and self._code == TOO_SLOW:
                self._transport.abort()
