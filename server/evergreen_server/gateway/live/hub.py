"""The topics of one gateway, what they share, and the own watches of those who come with an old cursor."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Protocol, Self

import grpc

from evergreen_server.gateway.live.topics import Topic
from evergreen_server.gateway.problems import refused
from evergreen_server.gateway.upstream import Upstream
from evergreen_server.gateway.visitors import Visitor
from evergreen_server.runtime.turns import Place, Turns

__all__ = ["CATCHING_UP", "LINGER_SECONDS", "TOPICS", "Draining", "Hub"]

TOPICS = 2000
"""Projects that are followed; each is a watch on the server. One caller alone gets half of them."""
CATCHING_UP = 200
"""Own watches at once, until they have come to where a topic is; one caller alone gets half of them."""
FOLLOWED = 40_000
"""Projects that sockets and streams follow, in all; one caller alone gets half of them."""
TOPIC_BYTES = 8 << 20
ALL_BYTES = 256 << 20
"""What all topics keep, in equal shares."""
LINGER_SECONDS = 30.0
"""How long a topic is kept that nobody follows."""
WAIT_SECONDS = 30.0


class Draining(Exception):
    """The gateway is stopping; what was followed had its checkpoint, if there was one to be had."""


class Drained(Protocol):
    """Who is told that the gateway is stopping."""

    def drain(self) -> None: ...


class _Held:
    """A topic with what it holds: its task, its place, and the timer that closes it."""

    def __init__(self, topic: Topic, key: tuple[str, str], place: Place) -> None:
        self.topic = topic
        self.key = key
        self.place = place
        self.task: asyncio.Task[None] | None = None
        self.users = 0
        self.closing: asyncio.TimerHandle | None = None


class Hub:
    """Serves followers. A context, which ends its topics."""

    def __init__(
        self,
        *,
        upstream: Upstream,
        linger_seconds: float = LINGER_SECONDS,
        most_topics: int = TOPICS,
        most_catching_up: int = CATCHING_UP,
    ) -> None:
        self.upstream = upstream
        self.draining = False
        self._linger_seconds = linger_seconds
        self._held: dict[tuple[str, str], _Held] = {}
        self._topics = Turns(most_topics)
        self._catching_up = Turns(most_catching_up)
        self._followed = Turns(FOLLOWED)
        self._told: set[Drained] = set()

    async def __aenter__(self) -> Self:
        self._tasks = asyncio.TaskGroup()
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for held in list(self._held.values()):
            self._close(held)
        await self._tasks.__aexit__(None, None, None)

    @property
    def topics(self) -> int:
        """Returns how many projects are watched."""
        return len(self._held)

    def drain(self) -> None:
        """Tells everybody that the gateway is stopping, now and from now on."""
        self.draining = True
        for each in list(self._told):
            each.drain()

    @asynccontextmanager
    async def told(self, each: Drained) -> AsyncIterator[None]:
        """Tells one more when the gateway stops, or at once if it does already."""
        self._told.add(each)
        try:
            if self.draining:
                each.drain()
            yield
        finally:
            self._told.discard(each)

    @asynccontextmanager
    async def topic(self, visitor: Visitor, project_id: str) -> AsyncIterator[Topic]:
        """Holds the topic of a project, opened for the first who comes. Raises Refused if there are too many."""
        following = self._followed.ask(visitor.owner)
        try:
            if not following.done():
                raise _full("projects are followed")
            held = self._held.get((visitor.owner, project_id))
            if held is not None and held.topic.fault is not None:
                self._close(held)
                held = None
            if held is None:
                held = self._open(visitor, project_id)
            held.users += 1
            if held.closing is not None:
                held.closing.cancel()
                held.closing = None
            try:
                yield held.topic
            finally:
                held.users -= 1
                if not held.users and self._held.get(held.key) is held:
                    loop = asyncio.get_running_loop()
                    held.closing = loop.call_later(self._linger_seconds, self._close, held)
        finally:
            self._followed.give_back(visitor.owner, following)

    @asynccontextmanager
    async def catching_up(self, visitor: Visitor) -> AsyncIterator[None]:
        """Waits for the place of an own watch. Raises Refused after half a minute."""
        place = self._catching_up.ask(visitor.owner)
        try:
            try:
                async with asyncio.timeout(WAIT_SECONDS):
                    await place
            except TimeoutError:
                raise _full("watches from old cursors are open") from None
            yield
        finally:
            self._catching_up.give_back(visitor.owner, place)

    def _open(self, visitor: Visitor, project_id: str) -> _Held:
        place = self._topics.ask(visitor.owner)
        # What nobody follows any more makes room.
        for idle in [held for held in self._held.values() if not held.users]:
            if place.done():
                break
            self._close(idle)
        if not place.done():
            self._topics.give_back(visitor.owner, place)
            raise _full("projects are followed")
        topic = Topic(upstream=self.upstream, metadata=visitor.metadata(), project_id=project_id, room=self._room)
        held = _Held(topic, (visitor.owner, project_id), place)
        self._held[held.key] = held
        for other in self._held.values():
            other.topic.window.trim(self._room())
        held.task = self._tasks.create_task(self._run(held), name=f"topic {project_id[:63]}")
        return held

    async def _run(self, held: _Held) -> None:
        try:
            await held.topic.run()
        finally:
            self._close(held)

    def _close(self, held: _Held) -> None:
        """Ends a topic; whoever still follows it has seen its fault."""
        if self._held.get(held.key) is not held:
            return
        del self._held[held.key]
        if held.closing is not None:
            held.closing.cancel()
        self._topics.give_back(held.key[0], held.place)
        if held.task is not None and held.topic.fault is None:
            held.task.cancel()

    def _room(self) -> int:
        return min(TOPIC_BYTES, ALL_BYTES // max(1, len(self._held)))


def _full(what: str) -> Exception:
    return refused(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "QUEUE_FULL",
        message=f"too many {what}; close some, or try again later",
        retry_seconds=1,
    )
