"""Whether a server may be shown to others: before anything is served, it is asked whether it requires tokens."""

import asyncio

import grpc

from evergreen.v1 import video_pb2
from evergreen_server.gateway.names import CALLER
from evergreen_server.gateway.upstream import Upstream

__all__ = ["Unreachable", "requires_tokens"]

WAIT_SECONDS = 30.0
"""For a server that starts beside the gateway."""
CALL_SECONDS = 5.0
PAUSE_SECONDS = 0.5


class Unreachable(Exception):
    """The server cannot be asked; the text says what it answered."""


async def requires_tokens(target: str, credentials: grpc.ChannelCredentials | None) -> bool:
    """Returns whether a server requires a token for every call; it is waited for, 30 s at most. Raises Unreachable."""
    code, told = grpc.StatusCode.UNAVAILABLE, "no answer"
    async with Upstream(target, streams=1, credentials=credentials) as upstream:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while True:
                    try:
                        answer = await upstream.call(CALLER, b"", (), CALL_SECONDS)
                        return video_pb2.GetCallerResponse.FromString(answer).tokens_required
                    except grpc.aio.AioRpcError as exc:
                        code, told = exc.code(), exc.details() or ""
                    if code is grpc.StatusCode.UNAUTHENTICATED:
                        return True
                    if code not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                        break
                    await asyncio.sleep(PAUSE_SECONDS)
        except TimeoutError:
            pass
    raise Unreachable(f"{code.name}: {told[:500]}")
