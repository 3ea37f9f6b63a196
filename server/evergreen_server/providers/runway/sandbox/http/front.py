"""Every call's way through the sandbox: the script, which may inject a fault, then the log, then the answer."""

import asyncio
from dataclasses import replace

from aiohttp import web

from evergreen_server.providers.runway.sandbox.http.answers import Answer, no_task
from evergreen_server.providers.runway.sandbox.http.calls import Call, CallLog
from evergreen_server.providers.runway.sandbox.http.faults import Fault, Injected, Script, Target
from evergreen_server.providers.runway.sandbox.state.clock import SimulatedClock, timestamp


class Front:
    """Creates a passage for each call. `stopping` ends scripted delays early."""

    def __init__(self, *, script: Script, calls: CallLog, clock: SimulatedClock) -> None:
        self._script = script
        self._calls = calls
        self._clock = clock
        self.stopping = asyncio.Event()

    def open(self, request: web.Request, target: Target) -> "Passage":
        return Passage(
            request=request,
            target=target,
            injected=self._script.inject(target),
            calls=self._calls,
            clock=self._clock,
            stopping=self.stopping,
        )


class Passage:
    """One call on its way. `before` comes first; if it answers, the call is over."""

    def __init__(
        self,
        *,
        request: web.Request,
        target: Target,
        injected: Injected,
        calls: CallLog,
        clock: SimulatedClock,
        stopping: asyncio.Event,
    ) -> None:
        self.injected = injected
        self._request = request
        self._target = target
        self._calls = calls
        self._clock = clock
        self._stopping = stopping
        self._call: Call | None = None

    def enter(self, status: int | None, task_id: str | None = None) -> None:
        """Adds the outcome to the log, or completes the entry made when a delay began."""
        if self._call is not None:
            self._call.status = status
            self._call.task_id = self._call.task_id or task_id
            self._calls.wake()
            return
        target = self._target
        self._call = self._calls.enter(
            at=timestamp(self._clock.now()),
            method=target.method,
            path=target.path,
            operation=target.operation,
            status=status,
            task_id=target.task_id or task_id,
            model=target.model,
            prompt=target.prompt,
            fault=self.injected.kinds,
        )

    async def before(self) -> web.StreamResponse | None:
        """Injects the faults that come before the call is performed."""
        fault = self.injected.answer
        if fault is None:
            return None
        match fault.kind:
            case "drop":
                return self._drop()
            case "hang" if not fault.accept:
                return await self._hang(fault)
            case "slow":
                self.enter(None)
                await self._pause(fault.seconds)
            case "status" if not fault.accept:
                return self.send(_scripted(fault))
            case "gone":
                return self.send(no_task())
        return None

    async def after(self, answer: Answer) -> web.StreamResponse:
        """Sends the result of the call, or what the script turns it into."""
        fault = self.injected.answer
        if fault is None:
            return self.send(answer)
        match fault.kind:
            case "lost_answer":
                return self._drop(answer.task_id)
            case "hang":
                return await self._hang(fault, answer.task_id)
            case "status":
                return self.send(replace(_scripted(fault), task_id=answer.task_id))
            case "invalid_json":
                whole = answer.bytes
                return self.send(replace(answer, content=whole[: len(whole) // 2]))
            case "status_word" if answer.status == 200 and isinstance(answer.body, dict):
                known = {name: answer.body[name] for name in ("id", "createdAt")}
                return self.send(replace(answer, body={**known, "status": fault.word}))
        return self.send(answer)

    def send(self, answer: Answer) -> web.Response:
        self.enter(answer.status, answer.task_id)
        return answer.response()

    def _drop(self, task_id: str | None = None) -> web.Response:
        self.enter(None, task_id)
        if self._request.transport is not None:
            self._request.transport.close()
        return web.Response(status=500)

    async def _hang(self, fault: Fault, task_id: str | None = None) -> web.Response:
        self.enter(None, task_id)
        await self._pause(fault.seconds)
        return self._drop(task_id)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return


def _scripted(fault: Fault) -> Answer:
    headers = dict(fault.headers)
    if fault.retry_after is not None:
        headers["Retry-After"] = f"{fault.retry_after:g}"
    return Answer(status=fault.status, content=fault.body.encode(), content_type=fault.content_type, headers=headers)
