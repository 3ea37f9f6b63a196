"""Calls with one answer, for all that speaks JSON: in the caller's turn, bounded, with faults that HTTP can say."""

from typing import TypeVar

import grpc
from google.protobuf.message import Message

from evergreen_server.gateway.bridge import CALL_SECONDS
from evergreen_server.gateway.places import Places
from evergreen_server.gateway.problems import Refused, fault_of
from evergreen_server.gateway.upstream import Upstream
from evergreen_server.gateway.visitors import Visitor

__all__ = ["Calls"]

M = TypeVar("M", bound=Message)


class Calls:
    """Asks the server as a visitor. Used on one loop."""

    def __init__(self, *, upstream: Upstream, places: Places) -> None:
        self._upstream = upstream
        self._places = places

    async def ask(
        self, visitor: Visitor, path: str, message: Message, answer: type[M], *, seconds: float = CALL_SECONDS
    ) -> M:
        """Returns the answer of a method within so many seconds. Raises Refused."""
        try:
            async with self._places.call(visitor.owner, seconds) as left:
                data = await self._upstream.call(path, message.SerializeToString(), visitor.metadata(), left)
        except grpc.aio.AioRpcError as exc:
            raise Refused(fault_of(exc)) from None
        return answer.FromString(data)
