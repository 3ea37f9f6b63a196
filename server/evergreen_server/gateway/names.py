"""Whose tokens come, for the log: the gateway cannot know, so it asks, once a minute for each."""

from collections import OrderedDict
from collections.abc import Callable

import grpc

from evergreen.v1.video_pb2 import GetCallerResponse
from evergreen_server.gateway.places import Places
from evergreen_server.gateway.problems import Refused, fault_of
from evergreen_server.gateway.upstream import Metadata, Upstream
from evergreen_server.gateway.visitors import Visitor

__all__ = ["CALLER", "Names", "caller_of"]

CALLER = "/evergreen.v1.VideoService/GetCaller"
KEPT_SECONDS = 60.0
ASK_SECONDS = 0.5
"""An answer waits for it, since its sender may be gone as soon as it has it; a log without a name is still a log."""
CALLER_SECONDS = 10.0
MOST = 1000


class Names:
    """The names of tokens, by their digests. Used on one loop."""

    def __init__(self, *, upstream: Upstream, monotonic: Callable[[], float]) -> None:
        self._upstream = upstream
        self._monotonic = monotonic
        self._known: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def known(self, visitor: Visitor) -> str:
        """Returns the name of the sender's token, empty if it has none or was not asked about lately."""
        name, since = self._known.get(visitor.owner, ("", float("-inf")))
        return name if self._monotonic() - since < KEPT_SECONDS else ""

    async def ask(self, visitor: Visitor) -> str:
        """Returns the name of the sender's token, and asks the server for one that is not known."""
        if not visitor.authorization:
            return ""
        if known := self.known(visitor):
            return known
        try:
            data = await self._upstream.call(CALLER, b"", visitor.metadata(), ASK_SECONDS)
        except grpc.aio.AioRpcError:
            return ""
        name = GetCallerResponse.FromString(data).name
        self._known[visitor.owner] = name, self._monotonic()
        self._known.move_to_end(visitor.owner)
        if len(self._known) > MOST:
            self._known.popitem(last=False)
        return name


async def caller_of(upstream: Upstream, places: Places, visitor: Visitor, metadata: Metadata) -> GetCallerResponse:
    """Asks the server whose token it is, in a place of the visitor's. Raises Refused."""
    try:
        async with places.call(visitor.owner or visitor.address, CALLER_SECONDS) as left:
            data = await upstream.call(CALLER, b"", metadata, left)
    except grpc.aio.AioRpcError as exc:
        raise Refused(fault_of(exc)) from None
    return GetCallerResponse.FromString(data)
