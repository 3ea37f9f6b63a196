"""A watch of its own, for what no topic has at hand: old cursors, jobs that have ended."""

import asyncio
from collections.abc import AsyncGenerator, Container, Sequence

import grpc

from evergreen.v1 import video_pb2
from evergreen_server.gateway.live.hub import Hub
from evergreen_server.gateway.live.items import FILM, Item
from evergreen_server.gateway.live.topics import RETRIED, SILENCE_SECONDS, WATCH, broken_off, pause_seconds
from evergreen_server.gateway.problems import Refused, fault_of
from evergreen_server.gateway.visitors import Visitor

__all__ = ["Over", "own_watch"]

TRIES = 6
"""How often it is opened anew without having told anything; about six seconds."""


class Over:
    """Which of the films that are followed by id are over: unlike a job, a film may begin anew, with its next run."""

    def __init__(self, named: Container[str]) -> None:
        self._named = named
        self._over: set[str] = set()

    @property
    def decided(self) -> bool:
        """Returns whether what comes next can change nothing."""
        return not self._over

    def note(self, item: Item) -> None:
        if item.kind == FILM and item.subject in self._named:
            (self._over.add if item.final else self._over.discard)(item.subject)

    def take(self) -> Sequence[str]:
        """Returns those that are over, now that all that there is was noted."""
        over, self._over = self._over, set()
        return sorted(subject for subject in over if subject in self._named)


async def own_watch(
    hub: Hub, visitor: Visitor, request: video_pb2.WatchProgressRequest
) -> AsyncGenerator[video_pb2.WatchProgressResponse, None]:
    """Yields what a watch says, over as many streams as needed, until it ends with all jobs of the request final.

    Raises Refused for what the server says it is refused for, or if it cannot be reached.
    """
    request = video_pb2.WatchProgressRequest.FromString(request.SerializeToString())
    settled, tries = request.HasField("after_revision"), 0
    async with hub.catching_up(visitor):
        while True:
            call = hub.upstream.stream(WATCH, request.SerializeToString(), visitor.metadata(), None)
            messages = call.__aiter__()
            fault = broken_off()
            try:
                while True:
                    async with asyncio.timeout(SILENCE_SECONDS):
                        data = await anext(messages, None)
                    if data is None:
                        return
                    response = video_pb2.WatchProgressResponse.FromString(data)
                    yield response
                    tries = 0
                    # Before the first checkpoint there may be more snapshots to come, of older jobs than this one.
                    settled = settled or response.HasField("checkpoint")
                    if settled:
                        request.after_revision = response.revision
            except TimeoutError:
                pass
            except grpc.aio.AioRpcError as exc:
                fault = fault_of(exc)
            finally:
                call.cancel()
            tries += 1
            if fault.code not in RETRIED or tries >= TRIES:
                raise Refused(fault)
            await asyncio.sleep(pause_seconds(tries))
