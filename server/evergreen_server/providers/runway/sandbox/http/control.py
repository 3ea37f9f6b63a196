"""The control API under /sandbox, for tests: not part of the provider's API, and only for this machine."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict

from aiohttp import web

from evergreen_server.providers.runway.catalog.models import Json
from evergreen_server.providers.runway.sandbox.http.answers import compact
from evergreen_server.providers.runway.sandbox.http.api import Controls
from evergreen_server.providers.runway.sandbox.http.calls import CallLog
from evergreen_server.providers.runway.sandbox.http.faults import Script
from evergreen_server.providers.runway.sandbox.http.front import Front
from evergreen_server.providers.runway.sandbox.http.reading import finite, read_json
from evergreen_server.providers.runway.sandbox.http.scripting import parse_rule
from evergreen_server.providers.runway.sandbox.http.visitors import visitor_fault
from evergreen_server.providers.runway.sandbox.resources.seeding import Seed
from evergreen_server.providers.runway.sandbox.resources.shelves import ShelfFull
from evergreen_server.providers.runway.sandbox.state.account import parse_change
from evergreen_server.providers.runway.sandbox.state.books import Books
from evergreen_server.providers.runway.sandbox.state.clock import SimulatedClock, check_speed, timestamp
from evergreen_server.providers.runway.sandbox.state.tasks import Task, credits_of

_WAIT_MOST = 60.0
_LIMIT = 10_000


class Control:
    """Answers /sandbox. A ValueError inside lists all that is wrong with a request, and becomes a 400."""

    def __init__(
        self,
        *,
        controls: Controls,
        books: Books,
        clock: SimulatedClock,
        script: Script,
        calls: CallLog,
        front: Front,
        host: str,
        seeds: Mapping[str, Seed],
    ) -> None:
        """Sets the host that the sandbox listens on, and what can be seeded, by the last part of the path."""
        self._controls = controls
        self._books = books
        self._clock = clock
        self._script = script
        self._calls = calls
        self._front = front
        self._host = host
        self._seeds = seeds

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/sandbox/faults", self._guarded(self._add_fault)),
            web.get("/sandbox/faults", self._guarded(self._faults)),
            web.delete("/sandbox/faults", self._guarded(self._clear_faults)),
            web.delete("/sandbox/faults/{id}", self._guarded(self._clear_faults)),
            web.get("/sandbox/calls", self._guarded(self._list_calls)),
            web.get("/sandbox/tasks", self._guarded(self._list_tasks)),
            web.patch("/sandbox/account", self._guarded(self._change_account)),
            web.patch("/sandbox/settings", self._guarded(self._change_settings)),
            web.get("/sandbox/clock", self._guarded(self._tell_time)),
            web.post("/sandbox/clock", self._guarded(self._change_clock)),
            *(web.post(f"/sandbox/{name}", self._guarded(self._seeding(seed))) for name, seed in self._seeds.items()),
        ]

    def _seeding(self, seed: Seed) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def plant(request: web.Request) -> web.Response:
            try:
                made = seed(await _body(request), self._clock.now())
            except ShelfFull as exc:
                raise ValueError(str(exc)) from exc
            return _reply(made, status=201)

        return plant

    def _guarded(
        self, handler: Callable[[web.Request], Awaitable[web.Response]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def guarded(request: web.Request) -> web.Response:
            if (fault := visitor_fault(request, self._host)) is not None:
                return fault
            try:
                return await handler(request)
            except ValueError as exc:
                return _reply({"error": str(exc)}, status=400)
            except RecursionError:
                return _reply({"error": "the body is nested too deeply"}, status=400)

        return guarded

    async def _add_fault(self, request: web.Request) -> web.Response:
        rule = parse_rule(await _body(request))
        self._script.add(rule)
        return _reply(rule.entry(), status=201)

    async def _faults(self, request: web.Request) -> web.Response:
        return _reply({"faults": [rule.entry() for rule in self._script.rules]})

    async def _clear_faults(self, request: web.Request) -> web.Response:
        rule_id = request.match_info.get("id")
        found = self._script.clear(rule_id)
        if rule_id is not None and not found:
            return _reply({"error": f"no fault {rule_id}"}, status=404)
        return web.Response(status=204)

    async def _list_calls(self, request: web.Request) -> web.Response:
        _known(request, {"after", "wait", "limit", "operation", "taskId", "promptText"})
        seen, limit = round(_number(request, "after", 0)), round(_number(request, "limit", _LIMIT))
        operation, task_id = request.query.get("operation"), request.query.get("taskId")
        prompt = request.query.get("promptText", "")
        loop = asyncio.get_running_loop()
        end = loop.time() + min(_number(request, "wait", 0), _WAIT_MOST)
        while True:
            found: list[Json] = [
                call.entry()
                for call in self._calls.after(seen)
                if operation in {None, call.operation}
                and task_id in {None, call.task_id}
                and prompt in (call.prompt or "")
            ]
            seen = max(seen, self._calls.latest)
            if found or loop.time() >= end or self._front.stopping.is_set():
                return _reply({"calls": found[:limit], "latest": self._calls.latest})
            await self._calls.wait(end - loop.time())

    async def _list_tasks(self, request: web.Request) -> web.Response:
        now = self._clock.now()
        self._books.play(now)
        return _reply({"tasks": [_task(task, now) for task in self._books.tasks]})

    async def _change_account(self, request: web.Request) -> web.Response:
        change = parse_change(await _body(request), self._books.tier)
        now = self._clock.now()
        self._books.change(change, now)
        if change.keys is not None or change.any_key:
            self._controls.keys = change.keys
        return _reply({"creditBalance": credits_of(self._books.balance(now))})

    async def _change_settings(self, request: web.Request) -> web.Response:
        body = await _body(request)
        if not isinstance(body, dict):
            raise ValueError("the body must be a JSON object")
        self._controls.settings = self._controls.settings.changed(dict(body))
        return _reply(asdict(self._controls.settings))

    async def _tell_time(self, request: web.Request) -> web.Response:
        now = self._clock.now()
        return _reply({"now": timestamp(now), "seconds": now, "speed": self._clock.anchor.speed})

    async def _change_clock(self, request: web.Request) -> web.Response:
        body = await _body(request)
        if not isinstance(body, dict) or not body.keys() <= {"advance", "speed"}:
            raise ValueError("the body must be an object with advance (seconds), speed, or both")
        numbers: dict[str, float] = {}
        for name, value in body.items():
            number = finite(value)
            if number is None:
                raise ValueError(f"{name} must be a number")
            numbers[name] = number
        if "speed" in numbers:
            check_speed(numbers["speed"])
        if "advance" in numbers:
            self._clock.advance(numbers["advance"])
        if "speed" in numbers:
            self._clock.change_speed(numbers["speed"])
        self._books.keep_clock(self._clock.anchor)
        return await self._tell_time(request)


async def _body(request: web.Request) -> Json:
    return read_json(await request.read())


def _reply(body: Json, *, status: int = 200) -> web.Response:
    return web.Response(status=status, body=compact(body), content_type="application/json", charset="utf-8")


def _known(request: web.Request, names: set[str]) -> None:
    if unknown := request.query.keys() - names:
        raise ValueError(f"unknown parameter {', '.join(sorted(unknown))}; known: {', '.join(sorted(names))}")


def _number(request: web.Request, name: str, default: float) -> float:
    value = float(request.query.get(name, default))
    if not 0 <= value < 10**12:
        raise ValueError(f"{name} must be a number from 0")
    return value


def _task(task: Task, now: float) -> dict[str, Json]:
    record, ends = task.record, task.ends_at
    ended = task.deleted_at if task.cancelled else ends if ends is not None and ends <= now else None
    return {
        "id": record.id,
        "operation": record.operation,
        "model": record.model,
        "promptText": record.prompt_text,
        "bodyDigest": record.body_digest,
        "status": task.status(now),
        "deleted": task.deleted_at is not None,
        "estimatedCredits": credits_of(record.estimate),
        "chargedCredits": credits_of(task.charged),
        "failureCode": record.failure.code if record.failure else None,
        "createdAt": timestamp(record.created_at),
        "endedAt": None if ended is None else timestamp(ended),
        "endsAtSeconds": ends,
        "width": record.width,
        "height": record.height,
        "clipSeconds": record.clip_seconds,
    }
