"""A page with a socket, as tests drive one."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

WAIT_SECONDS = 60.0
Told = dict[str, object]


class Page:
    """What a socket says, in order."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def say(self, kind: str, **members: object) -> None:
        await self.socket.send_json({"type": kind, **members})

    async def next(self) -> Told:
        """The next frame; for the end of the socket, its code as type `closed`."""
        async with asyncio.timeout(WAIT_SECONDS):
            message = await self.socket.receive()
        if message.type is not aiohttp.WSMsgType.TEXT:
            return {"type": "closed", "code": self.socket.close_code}
        return json.loads(message.data)

    async def until(self, kind: str, **members: object) -> list[Told]:
        """The frames up to the first of a type and with these members, that one as the last."""
        found = []
        while True:
            found.append(told := await self.next())
            if told["type"] == kind and members.items() <= told.items():
                return found
            assert told["type"] != "closed", (told, kind, members)

    async def follow(self, **members: object) -> list[Told]:
        """Subscribes; gives what is said up to the first checkpoint."""
        await self.say("subscribe", **members)
        return await self.until("checkpoint")


@asynccontextmanager
async def page(url: str, path: str = "/api/v1/socket", *, welcome: bool = True, **headers: str) -> AsyncIterator[Page]:
    """A socket that is open; without `welcome` what comes first is left to the test."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url + path, headers=headers, max_msg_size=0) as socket,
    ):
        opened = Page(socket)
        if welcome:
            assert (await opened.next())["type"] == "welcome"
        yield opened


def seen(told: list[Told]) -> list[tuple[object, object]]:
    """The events among frames, by kind and revision."""
    return [(each["event"], each["revision"]) for each in told if each["type"] == "event"]
