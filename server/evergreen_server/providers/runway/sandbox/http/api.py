"""The provider's HTTP API under /v1: headers, key, route and body are checked in this order, then the call is made."""

import asyncio
import hashlib
import re
import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from aiohttp import web

from evergreen_server.providers.runway.catalog.models import Issue, Json, Operation
from evergreen_server.providers.runway.sandbox.generation.creation import Creation
from evergreen_server.providers.runway.sandbox.http.answers import Answer, invalid, no_task, refusal
from evergreen_server.providers.runway.sandbox.http.faults import CREATES, Injected, Target
from evergreen_server.providers.runway.sandbox.http.front import Front
from evergreen_server.providers.runway.sandbox.http.organization import organization, usage
from evergreen_server.providers.runway.sandbox.http.outputs import Signer
from evergreen_server.providers.runway.sandbox.http.reading import read_json
from evergreen_server.providers.runway.sandbox.settings import Settings
from evergreen_server.providers.runway.sandbox.state.books import Books
from evergreen_server.providers.runway.sandbox.state.clock import SimulatedClock, timestamp
from evergreen_server.providers.runway.sandbox.state.tasks import ENDINGS, Task, credits_of
from evergreen_server.providers.runway.sandbox.state.uploads import Upload, type_of

API_VERSION = "2024-11-06"

_KEY = re.compile(r"key_[0-9a-f]{128}")
_TASK = re.compile(r"/v1/tasks/([^/]+)")
_PARSED_ON_LOOP = 64 * 1024


@dataclass(slots=True, kw_only=True)
class Controls:
    """What can be changed while the sandbox runs. `keys` are accepted keys of any form; None: every well-formed one."""

    settings: Settings
    keys: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where a path leads: the operation by method, and the task it names."""

    operations: Mapping[str, str]
    task_id: str | None = None


_ROUTES: Mapping[str, Route] = {
    **{f"/v1/{name}": Route(operations={"POST": name}) for name in CREATES},
    "/v1/uploads": Route(operations={"POST": "create_upload"}),
    "/v1/organization": Route(operations={"GET": "get_organization"}),
    "/v1/organization/usage": Route(operations={"POST": "query_usage"}),
}


class Api:
    """Answers every call under /v1."""

    def __init__(
        self,
        *,
        controls: Controls,
        books: Books,
        clock: SimulatedClock,
        creation: Creation,
        front: Front,
        signer: Signer,
        secret: bytes,
        threads: ThreadPoolExecutor,
    ) -> None:
        self._controls = controls
        self._books = books
        self._clock = clock
        self._creation = creation
        self._front = front
        self._signer = signer
        self._secret = secret
        self._threads = threads

    async def handle(self, request: web.Request) -> web.StreamResponse:
        route = _route(request.path)
        operation = route.operations.get(request.method, "") if route else ""
        raw = await self._read(request)
        body, digest = (None, "") if raw is None else await self._parse(raw)
        passage = self._front.open(request, self._target(request, route, operation, body))
        early = await passage.before()
        if early is not None:
            return early
        refused = self._refusal(request, route, operation, raw)
        answer = refused or await self._perform(request, route, operation, body, digest, passage.injected)
        return await passage.after(answer)

    async def _read(self, request: web.Request) -> bytes | None:
        """Returns the body, or None if it is larger than the gateway's limit."""
        most = self._controls.settings.body_max_bytes
        if (request.content_length or 0) > most:
            return None
        data = bytearray()
        async for chunk in request.content.iter_any():
            data += chunk
            if len(data) > most:
                return None
        return bytes(data)

    async def _parse(self, raw: bytes) -> tuple[Json, str]:
        if len(raw) <= _PARSED_ON_LOOP:
            return _parse(raw)
        # Megabytes of data URI would hold the loop for tens of milliseconds.
        return await asyncio.get_running_loop().run_in_executor(self._threads, _parse, raw)

    def _target(self, request: web.Request, route: Route | None, operation: str, body: Json) -> Target:
        task_id = route.task_id if route else None
        task = self._books.task(task_id, self._clock.now()) if task_id else None
        asked = body if isinstance(body, dict) else {}
        model, prompt = asked.get("model"), asked.get("promptText")
        if task is not None:
            model, prompt = task.record.model, task.record.prompt_text
        return Target(
            operation=operation,
            method=request.method,
            path=request.path,
            task_id=task_id,
            model=model if isinstance(model, str) else None,
            prompt=prompt if isinstance(prompt, str) else None,
        )

    def _refusal(self, request: web.Request, route: Route | None, operation: str, raw: bytes | None) -> Answer | None:
        version = request.headers.get("X-Runway-Version")
        if version is None:
            return refusal(400, "The X-Runway-Version header is required.")
        if version != API_VERSION:
            return refusal(400, "The API version that was provided in the X-Runway-Version header is not valid.")
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            return refusal(401, "No API key was provided. Send it as a bearer token in the Authorization header.")
        keys = self._controls.keys
        if not (_KEY.fullmatch(key) if keys is None else key in keys):
            return refusal(401, "The API key that was provided is not valid.")
        if route is None:
            return Answer(status=404, body={"error": "Not found"})
        if not operation:
            return Answer(
                status=405, body={"error": "Method not allowed"}, headers={"Allow": ", ".join(route.operations)}
            )
        if raw is None:
            return Answer(status=413, body={"message": "Request Too Long"})
        if request.method == "POST" and request.content_type != "application/json":
            return refusal(400, "The Content-Type header must be application/json.")
        return None

    async def _perform(
        self, request: web.Request, route: Route | None, operation: str, body: Json, digest: str, injected: Injected
    ) -> Answer:
        if operation in {"get_task", "delete_task"}:
            task = self._books.task(route.task_id or "", self._clock.now()) if route else None
            if task is None:
                return no_task()
            return self._get(request, task) if operation == "get_task" else self._delete(task)
        if operation == "get_organization":
            return organization(self._books, self._clock.now())
        if not isinstance(body, dict):
            return refusal(400, "The body must be a JSON object.")
        match operation:
            case "create_upload":
                return self._create_upload(request, body)
            case "query_usage":
                return usage(self._books, body, self._clock.now())
            case _:
                settings = self._controls.settings
                return await self._creation.create(Operation(operation), body, digest, settings, injected.plan)

    def _get(self, request: web.Request, task: Task) -> Answer:
        settings, now = self._controls.settings, self._clock.now()
        if task.deleted_at is not None and not (task.cancelled and settings.show_cancelled):
            return no_task()
        record, status = task.record, task.status(now)
        body: dict[str, Json] = {"id": record.id, "createdAt": timestamp(record.created_at), "status": status}
        match status:
            case "SUCCEEDED":
                origin, life = f"{request.scheme}://{request.host}", settings.url_life_seconds
                body["output"] = [
                    self._signer.url(
                        f"{origin}/outputs/{record.id}/{number}.{ENDINGS[record.form]}", record.id, now=now, life=life
                    )
                    for number in range(record.outputs)
                ]
            case "FAILED":
                assert record.failure is not None
                body["failure"] = record.failure.message
                if record.failure.code is not None:
                    body["failureCode"] = record.failure.code
            case "RUNNING":
                body["progress"] = task.progress(now, shape=settings.progress, every=settings.progress_every_seconds)
        if status in {"SUCCEEDED", "FAILED", "CANCELLED"}:
            body["cost"] = {"credits": credits_of(task.charged)}
        else:
            body["estimatedCost"] = {"credits": credits_of(record.estimate)}
        return Answer(status=200, body=body, task_id=record.id)

    def _delete(self, task: Task) -> Answer:
        if task.deleted_at is not None:
            return no_task()
        self._books.delete(task, self._clock.now())
        return Answer(status=204, task_id=task.record.id)

    def _create_upload(self, request: web.Request, body: Mapping[str, Json]) -> Answer:
        name, issues = body.get("filename"), []
        if not isinstance(name, str):
            text = "Invalid input: expected string, received " + ("undefined" if name is None else "another type")
            issues.append(Issue(("filename",), "invalid_type", text))
        elif not 3 <= len(name) <= 255:
            issues.append(Issue(("filename",), "custom", "filename must have 3 to 255 characters"))
        elif type_of(name) is None:
            issues.append(Issue(("filename",), "custom", "filename must end in a supported media extension"))
        if body.get("type") != "ephemeral":
            issues.append(Issue(("type",), "invalid_value", 'Invalid input: expected "ephemeral"'))
        if issues:
            return invalid([issue.record() for issue in issues])
        upload = Upload(id=secrets.token_urlsafe(24), filename=str(name), created_at=self._clock.now())
        self._books.keep_upload(upload, self._clock.now())
        fields: dict[str, Json] = dict(upload.fields(self._secret))
        url = f"{request.scheme}://{request.host}/uploads/{upload.id}"
        return Answer(status=200, body={"uploadUrl": url, "fields": fields, "runwayUri": upload.uri})


def _route(path: str) -> Route | None:
    if found := _TASK.fullmatch(path):
        return Route(operations={"GET": "get_task", "DELETE": "delete_task"}, task_id=found[1])
    return _ROUTES.get(path)


def _parse(raw: bytes) -> tuple[Json, str]:
    """Returns the JSON, None if it is none, and the SHA-256 of the bytes."""
    digest = hashlib.sha256(raw).hexdigest()
    try:
        return read_json(raw), digest
    except ValueError:
        return None, digest
