"""What is said over one socket: who it is, what is to be followed, and why it ends."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import grpc
from aiohttp import WSMsgType, web

from evergreen_server.gateway.live.frames import Frame, Hello, Ping, Subscribe, Unsubscribe
from evergreen_server.gateway.live.hub import Hub
from evergreen_server.gateway.live.items import Item, end_item
from evergreen_server.gateway.live.speech import FRAMES_PER_SECOND, MOST_PROJECTS, Speech
from evergreen_server.gateway.live.subscriptions import Subscriptions
from evergreen_server.gateway.live.wishes import Wish
from evergreen_server.gateway.live.writing import Frames, SocketWriter
from evergreen_server.gateway.names import caller_of
from evergreen_server.gateway.places import Places
from evergreen_server.gateway.problems import Fault, Refused, invalid, refused
from evergreen_server.gateway.visitors import malformed, visitor_of

__all__ = ["BROKEN", "CODES", "GOING_AWAY", "LAST_SECONDS", "TOO_SLOW", "Conversation", "Terms"]

HELLO_SECONDS = 5.0
FRAMES_AT_ONCE = float(MOST_PROJECTS)
"""Whoever sends more is read more slowly."""
PING_SECONDS, PONG_SECONDS = 25.0, 10.0
CLOSE_SECONDS = 1.0
LAST_SECONDS = 5.0
"""For somebody who was too slow to take the rest, and to learn why it is the rest."""
GOING_AWAY, BROKEN, TOO_SLOW = 1001, 1011, 4408
CODES: Mapping[grpc.StatusCode, int] = {
    grpc.StatusCode.INVALID_ARGUMENT: 4400,
    grpc.StatusCode.UNAUTHENTICATED: 4401,
    grpc.StatusCode.PERMISSION_DENIED: 4403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 4429,
}
ENDING = frozenset(
    {
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
    }
)
"""What ends a socket where it befalls something that it follows: the page comes back with its cursors, or cannot."""
ENDING_AT_FIRST = ENDING - {grpc.StatusCode.PERMISSION_DENIED}
"""The same where that was to be followed, and never was."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What all sockets of one kind share: how long a message may be left, and how often an idle one is told of it."""

    hub: Hub
    places: Places
    speech: Speech
    frames: Frames
    stall_seconds: float
    heartbeat_seconds: float


class Conversation:
    """One socket's, from its admission to its end. Used on one loop."""

    __slots__ = (
        *("_beat", "_code", "_filled", "_heard", "_left", "_loop", "_owner", "_pinged", "_reason", "_response"),
        *("_subscriptions", "_talking", "_terms", "_until", "_visitor", "_writer"),
    )

    def __init__(
        self,
        request: web.Request,
        response: "web.WebSocketResponse[bool]",
        *,
        tasks: asyncio.TaskGroup,
        terms: Terms,
    ) -> None:
        self._terms = terms
        self._response = response
        self._writer = SocketWriter(request, response, tasks=tasks, frames=terms.frames)
        self._subscriptions = Subscriptions(
            hub=terms.hub, places=terms.places, reader=self, tasks=tasks, lost=self._lost
        )
        self._visitor = visitor_of(request)
        self._loop = asyncio.get_running_loop()
        self._heard = self._beat = self._loop.time()
        self._pinged = False
        self._left, self._filled = FRAMES_AT_ONCE, self._heard
        self._code, self._reason = 0, ""
        # Whose place of a stream it holds, which is less than a context of it would be.
        self._owner: str | None = None
        self._until, self._talking = asyncio.timeout(None), False

    async def run(self) -> None:
        """Serves until either side ends it."""
        try:
            await self._talk()
            await self._subscriptions.end(drained=self._code == GOING_AWAY)
        finally:
            self._leave_place()
            self._writer.end()
            await self._close()

    def drain(self) -> None:
        """Ends it, after the checkpoint of each project."""
        self._subscriptions.drain()
        self._end(GOING_AWAY, "DRAINING")

    def look(self, now: float) -> None:
        """Ends it if its reader takes nothing, or is not there any more."""
        if self._writer.stalled(now) > self._terms.stall_seconds:
            self._end(TOO_SLOW, "too slow")
        elif now - self._heard > PING_SECONDS + PONG_SECONDS:
            self._writer.abort()
        elif now - self._heard > PING_SECONDS and not self._pinged:
            self._pinged = True
            self._writer.ping()
        if now - self._beat >= self._terms.heartbeat_seconds and not self._subscriptions.followed:
            # A page sees no pings, and takes silence for the end.
            self._beat = now
            if (data := self._terms.speech.pong()) is not None:
                self._writer.note(data)

    async def send(self, item: Item) -> None:
        data = self._terms.speech.item(item)
        if data is not None:
            await self._writer.send(data)

    async def ended(self, project_id: str, subjects: Sequence[str]) -> None:
        await self.send(end_item(project_id, subjects))

    async def failed(self, project_id: str, wish: Wish, fault: Fault) -> None:
        if fault.code in ENDING_AT_FIRST:
            self._end_by(fault)
            return
        about: dict[str, object] = {"type": "subscribe", "projectId": project_id}
        if wish.job_ids:
            about["jobIds"] = list(wish.job_ids)
        if wish.film_ids:
            about["filmIds"] = list(wish.film_ids)
        await self._error(about, fault)

    async def _talk(self) -> None:
        try:
            async with self._until:
                self._talking = True
                try:
                    async with self._terms.hub.told(self):
                        await self._admit()
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

    async def _admit(self) -> None:
        visitor = self._visitor
        caller = None
        if not visitor.greets:
            self._take_place(visitor.owner or visitor.address)
            try:
                caller = await caller_of(self._terms.hub.upstream, self._terms.places, visitor, visitor.metadata())
            except Refused as exc:
                if visitor.authorization or exc.fault.code is not grpc.StatusCode.UNAUTHENTICATED:
                    raise
                self._leave_place()
        if caller is None:
            with self._terms.places.stream(visitor.address):
                token = await self._hello()
            visitor = self._visitor = replace(visitor, authorization=f"Bearer {token}")
            self._take_place(visitor.owner)
            caller = await caller_of(self._terms.hub.upstream, self._terms.places, visitor, visitor.metadata())
        await self._say(self._terms.speech.welcome(caller))

    def _take_place(self, owner: str) -> None:
        self._terms.places.take_stream(owner)
        self._owner = owner

    def _leave_place(self) -> None:
        if self._owner is not None:
            self._terms.places.leave_stream(self._owner)
            self._owner = None

    async def _hello(self) -> str:
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                data = await self._next()
        except TimeoutError:
            data = None
        frame = self._terms.speech.frame(self._terms.speech.document(data)) if data is not None else None
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
        document = self._terms.speech.document(data)
        try:
            await self._obey(self._terms.speech.frame(document))
        except Refused as exc:
            if exc.fault.code in ENDING_AT_FIRST:
                raise
            await self._error({name: value for name, value in document.items() if name != "token"}, exc.fault)

    async def _obey(self, frame: Frame) -> None:
        match frame:
            case Ping():
                await self._say(self._terms.speech.pong())
            case Hello():
                # A page cannot know that a server asks for none, or that its cookie came along.
                if self._visitor.authorization not in ("", f"Bearer {frame.token}"):
                    raise invalid("token", "another token came with the socket, by header, cookie or hello")
            case Subscribe():
                await self._subscriptions.add(self._visitor, frame)
            case Unsubscribe():
                self._subscriptions.drop(frame)

    async def _lost(self, project_id: str, fault: Fault) -> None:
        if fault.code in ENDING:
            self._end_by(fault)
            return
        with suppress(ConnectionError):
            await self._error({"type": "subscribe", "projectId": project_id}, fault)

    async def _error(self, about: Mapping[str, object], fault: Fault) -> None:
        await self._say(self._terms.speech.error(about, fault, self._visitor.request_id))

    async def _say(self, data: bytes | None) -> None:
        if data is not None:
            await self._writer.send(data)

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
            if self._code == TOO_SLOW:
                self._writer.abort()
