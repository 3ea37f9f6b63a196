"""The log of every call, which a test can wait on instead of sleeping."""

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile

from evergreen_server.providers.runway.catalog.models import Json

_KEPT = 200_000
_TAG = 120


@dataclass(slots=True, kw_only=True)
class Call:
    """One call. It is logged when its outcome is decided, before the answer is sent; a call that a fault delays is
    logged when the delay begins, and gets its `status` later. `status` stays None where there was no answer."""

    seq: int
    at: str
    method: str
    path: str
    operation: str
    status: int | None
    task_id: str | None
    model: str | None
    prompt: str | None
    fault: str | None

    def entry(self) -> dict[str, Json]:
        return {
            "seq": self.seq,
            "at": self.at,
            "method": self.method,
            "path": self.path,
            "operation": self.operation,
            "status": self.status,
            "taskId": self.task_id,
            "model": self.model,
            "promptText": None if self.prompt is None else self.prompt[:_TAG],
            "fault": self.fault,
        }


class CallLog:
    """Keeps the latest calls, numbered from 1 without a gap, and wakes those that wait for more."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque(maxlen=_KEPT)
        self._more = asyncio.Event()
        self.latest = 0

    def enter(
        self,
        *,
        at: str,
        method: str,
        path: str,
        operation: str,
        status: int | None,
        task_id: str | None,
        model: str | None,
        prompt: str | None,
        fault: str | None,
    ) -> Call:
        self.latest += 1
        call = Call(
            seq=self.latest,
            at=at,
            method=method,
            path=path,
            operation=operation,
            status=status,
            task_id=task_id,
            model=model,
            prompt=prompt,
            fault=fault,
        )
        self._calls.append(call)
        self.wake()
        return call

    def wake(self) -> None:
        self._more.set()
        self._more = asyncio.Event()

    def after(self, seq: int) -> Iterator[Call]:
        """Yields the calls with a higher number, oldest first."""
        # From the end: a reader asks for the last few of very many.
        newer = list(takewhile(lambda call: call.seq > seq, reversed(self._calls)))
        yield from reversed(newer)

    async def wait(self, seconds: float) -> None:
        """Waits until something was logged, or for `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._more.wait()
        except TimeoutError:
            return
