"""`/api/v1/socket`: one WebSocket for any number of projects and jobs."""

import asyncio

from aiohttp import web

from evergreen_server.gateway.live.conversations import LAST_SECONDS, Conversation, Terms
from evergreen_server.gateway.live.frames import FRAME_BYTES
from evergreen_server.gateway.live.hub import Hub
from evergreen_server.gateway.live.speech import Speech
from evergreen_server.gateway.live.sweeping import Sweep
from evergreen_server.gateway.live.writing import UNBOUNDED, Frames, bound_buffers
from evergreen_server.gateway.places import Places

__all__ = ["PATH", "Sockets"]

PATH = "/api/v1/socket"


class Sockets:
    """The handler of sockets at a path, which speak in one way."""

    def __init__(
        self,
        *,
        hub: Hub,
        places: Places,
        sweep: Sweep,
        stall_seconds: float,
        heartbeat_seconds: float,
        path: str,
        speech: Speech,
    ) -> None:
        self._sweep = sweep
        self._path = path
        self.open = 0
        """How many there are now."""
        self._terms = Terms(
            hub=hub,
            places=places,
            speech=speech,
            frames=Frames(),
            stall_seconds=stall_seconds,
            heartbeat_seconds=heartbeat_seconds,
        )

    def routes(self) -> list[web.RouteDef]:
        """Returns the route."""
        return [web.get(self._path, self._serve, allow_head=False)]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        response = web.WebSocketResponse(
            timeout=LAST_SECONDS,
            autoping=False,
            compress=False,
            max_msg_size=FRAME_BYTES,
            writer_limit=UNBOUNDED,
            decode_text=False,
        )
        await response.prepare(request)
        bound_buffers(request)
        # They are sent, and would be kept for as long as the socket is open.
        response.headers.clear()
        self.open += 1
        try:
            async with asyncio.TaskGroup() as tasks:
                conversation = Conversation(request, response, tasks=tasks, terms=self._terms)
                with self._sweep.of(conversation):
                    await conversation.run()
        finally:
            self.open -= 1
        return response
