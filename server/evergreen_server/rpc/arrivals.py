"""Waits for the message of a call with a bound: gRPC itself never ends a call whose message does not come."""

import asyncio
from collections import Counter
from typing import cast

import grpc

from evergreen_server.ports.specs import FieldError, InvalidRequest
from evergreen_server.rpc.status import RequestStalled

Call = grpc.aio.ServicerContext[object, object]
Waiter = asyncio.Task[object]

WAIT_SECONDS = 60.0
"""For 4 MiB at 70 KB/s."""
CROWD = 200
"""How many calls of one connection may wait so long for their messages; if there are more, all wait less long."""
CROWDED_SECONDS = 5.0
"""How much later another call must have begun and been served before a call of a crowd is ended."""
POLL_SECONDS = 1.0


class Arrivals:
    """Reads the first messages of calls. Used on one loop.

    One slow timer watches all of them: one for each call would cost a tenth of a small call.
    """

    def __init__(
        self,
        *,
        wait_seconds: float = WAIT_SECONDS,
        crowd: int = CROWD,
        crowded_seconds: float = CROWDED_SECONDS,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._wait_seconds = wait_seconds
        self._crowd = crowd
        self._crowded_seconds = crowded_seconds
        self._poll_seconds = poll_seconds
        self._waiting: dict[Waiter, tuple[float, Call]] = {}
        self._late: set[Waiter] = set()
        self._served = 0.0
        """When the latest call began that has its message: how far this server has come with reading."""
        self._timer: asyncio.TimerHandle | None = None

    async def message(self, call: Call) -> bytes:
        """Returns a call's message. Raises RequestStalled, and InvalidRequest if the call ends without one."""
        data = await self.next(call)
        if data is None:
            text = "the call ended before its message was whole"
            raise InvalidRequest([FieldError(field="", description=text)])
        return data

    async def next(self, call: Call) -> bytes | None:
        """Returns a call's next message, None after the last. Raises RequestStalled."""
        loop, task = asyncio.get_running_loop(), cast(Waiter, asyncio.current_task())
        since = loop.time()
        self._waiting[task] = since, call
        if self._timer is None:
            self._timer = loop.call_later(self._poll_seconds, self._check)
        try:
            data = await call.read()
        except asyncio.CancelledError:
            if task in self._late and not task.uncancel():
                raise RequestStalled("the request did not come whole in time") from None
            raise
        finally:
            del self._waiting[task]
            self._late.discard(task)
        self._served = max(self._served, since)
        return None if data is grpc.aio.EOF else cast(bytes, data)

    def _check(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        waited = [(task, now - since, call.peer()) for task, (since, call) in self._waiting.items()]
        crowds = Counter(peer for _, _, peer in waited)
        for task, seconds, peer in waited:
            # In a crowd, only calls that later ones have passed: if the server itself is behind, messages wait for it.
            passed = crowds[peer] > self._crowd and seconds - (now - self._served) >= self._crowded_seconds
            if (passed or seconds >= self._wait_seconds) and task not in self._late:
                self._late.add(task)
                task.cancel()
        self._timer = loop.call_later(self._poll_seconds, self._check) if self._waiting else None
