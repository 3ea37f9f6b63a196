"""One watch of one project by one token, for all who follow it, kept running for as long as somebody does."""

import asyncio
from collections.abc import Callable, Collection, Iterable
from typing import Protocol

import grpc

from evergreen.v1 import video_pb2
from evergreen_server.gateway.live.items import item_of
from evergreen_server.gateway.live.windows import MESSAGES, Window
from evergreen_server.gateway.problems import Fault, fault_of, internal, refused
from evergreen_server.gateway.upstream import Metadata, Upstream

__all__ = ["KINDS", "RETRIED", "SILENCE_SECONDS", "WATCH", "Follower", "Topic", "broken_off", "pause_seconds"]

WATCH = "/evergreen.v1.VideoService/WatchProgress"
KINDS = tuple(kind for kind in video_pb2.MediaKind.values() if kind)
WAKES_AT_ONCE = 200
SILENCE_SECONDS = 60.0
"""A watch says something every 15 s, or is dead."""
PATIENCE_SECONDS = 60.0
"""How long a watch that broke off is tried again before its followers are told."""
FIRST_PATIENCE_SECONDS = 10.0
"""The same before it has told anything."""
STABLE_SECONDS = 5.0
"""After a watch has run for so long, its next end counts as the first."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 2.0
RETRIED = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
    }
)


class Follower(Protocol):
    """Somebody who follows a topic: a place in its window and a flag, and never a queue."""

    def wake(self) -> None: ...


class Topic:
    """Messages of one project, as one token may see them. Used on one loop.

    `ready` once the window holds the state of the project; `fault` is set when nothing more will come; `checks` counts
    the checkpoints. `room` returns how many bytes it may keep, and is called after each message.
    """

    def __init__(self, *, upstream: Upstream, metadata: Metadata, project_id: str, room: Callable[[], int]) -> None:
        self.project_id = project_id
        self.window = Window()
        self.ready = False
        self.fault: Fault | None = None
        self.checks = 0
        self._upstream = upstream
        self._metadata = metadata
        self._room = room
        self._whole: set[Follower] = set()
        self._of_subject: dict[str, set[Follower]] = {}
        self._number = 0
        self._told_at = 0.0

    @property
    def followers(self) -> set[Follower]:
        """Returns everybody who follows it."""
        return self._whole.union(*self._of_subject.values())

    def follow(self, follower: Follower, subjects: Collection[str] = ()) -> None:
        """Wakes a follower from now on by every message, or by those of some jobs and films."""
        if not subjects:
            self._whole.add(follower)
        for subject in subjects:
            self._of_subject.setdefault(subject, set()).add(follower)

    def leave(self, follower: Follower, subjects: Iterable[str] | None = None) -> None:
        """Takes back `follow`: of some jobs and films, or without any, that of all."""
        if subjects is None:
            self._whole.discard(follower)
        for subject in subjects or ():
            followers = self._of_subject.get(subject, set())
            followers.discard(follower)
            if not followers:
                self._of_subject.pop(subject, None)

    async def run(self) -> None:
        """Watches until the server says that it may not, or cannot be watched any more, and leaves `fault`."""
        loop = asyncio.get_running_loop()
        self._told_at, failures = loop.time(), 0
        while True:
            began = loop.time()
            fault = await self._broken_off()
            now = loop.time()
            patience = PATIENCE_SECONDS if self.ready else FIRST_PATIENCE_SECONDS
            if fault.code not in RETRIED or now - self._told_at > patience:
                break
            failures = 0 if now - began > STABLE_SECONDS else failures + 1
            await asyncio.sleep(pause_seconds(failures))
        self.fault = fault
        await _wake(self.followers)

    async def _broken_off(self) -> Fault:
        """Watches once; returns why that ended."""
        loop = asyncio.get_running_loop()
        request = video_pb2.WatchProgressRequest(project_id=self.project_id, kinds=KINDS, include_films=True)
        if self.ready:
            request.after_revision = self.window.revision
        else:
            self.window = Window()
        call = self._upstream.stream(WATCH, request.SerializeToString(), self._metadata, None)
        try:
            async with asyncio.timeout(SILENCE_SECONDS) as silence:
                async for data in call:
                    self._told_at = loop.time()
                    silence.reschedule(self._told_at + SILENCE_SECONDS)
                    await self._tell(video_pb2.WatchProgressResponse.FromString(data))
        except TimeoutError:
            pass
        except grpc.aio.AioRpcError as exc:
            return fault_of(exc)
        except Exception as exc:
            return internal(exc)
        finally:
            call.cancel()
        return broken_off()

    async def _tell(self, response: video_pb2.WatchProgressResponse) -> None:
        item = item_of(response)
        if item is None:
            if response.HasField("checkpoint"):
                await self._check(response.revision)
        elif not self.ready:
            self.window.note(item)
            self.window.trim(self._room())
        elif item.revision > self.window.revision:
            self.window.append(item)
            self.window.trim(self._room())
            self._number += 1
            # Now and then everybody, so that nobody's place is left behind by messages that are not about its jobs.
            often = self._number % (MESSAGES // 2) == 0
            await _wake(self.followers if often else self._whole | self._of_subject.get(item.subject, set()))

    async def _check(self, revision: int) -> None:
        if not self.ready:
            self.window.begin(revision)
            self.ready = True
        self.window.revision = max(self.window.revision, revision)
        self.checks += 1
        await _wake(self.followers)


def pause_seconds(failures: int) -> float:
    """Returns how long to wait before a watch is tried again."""
    return min(FIRST_PAUSE_SECONDS * 2.0 ** min(failures, 10), LONGEST_PAUSE_SECONDS)


def broken_off() -> Fault:
    """Returns the fault of a watch that ended although nobody said why."""
    return refused(
        grpc.StatusCode.UNAVAILABLE,
        "UPSTREAM_UNAVAILABLE",
        message="the server behind this address broke off; watch again from the last revision",
        retry_seconds=1,
    ).fault


async def _wake(followers: Iterable[Follower]) -> None:
    """Wakes followers in batches, so that other work on the loop does not wait until all of them have sent."""
    for number, follower in enumerate(list(followers), start=1):
        follower.wake()
        if number % WAKES_AT_ONCE == 0:
            await asyncio.sleep(0)
