"""A service on the wire whose every answer a test writes beforehand."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from evergreen import EventKind, JobState, WatchProgressResponse
from evergreen.v1.audit_pb2_grpc import AuditServiceServicer, add_AuditServiceServicer_to_server
from evergreen.v1.film_pb2_grpc import FilmServiceServicer, add_FilmServiceServicer_to_server
from evergreen.v1.scene_pb2 import Asset, DownloadAssetRequest, DownloadAssetResponse
from evergreen.v1.scene_pb2_grpc import SceneServiceServicer, add_SceneServiceServicer_to_server
from evergreen.v1.video_pb2 import Checkpoint, Event, Job, WatchProgressRequest
from evergreen.v1.video_pb2_grpc import VideoServiceServicer, add_VideoServiceServicer_to_server
from evergreen.v1.webhook_pb2_grpc import WebhookServiceServicer, add_WebhookServiceServicer_to_server


@dataclass(frozen=True, kw_only=True)
class Fault:
    """An error status; without a reason it carries no details, as when a proxy made it."""

    code: grpc.StatusCode
    reason: str = ""
    message: str = "as scripted"
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: Mapping[str, str] = field(default_factory=dict)
    retry_after: Duration | None = None

    async def abort(self, context: grpc.aio.ServicerContext) -> None:
        details: list[Message] = []
        if self.reason:
            details.append(ErrorInfo(reason=self.reason, domain="evergreen.v1", metadata=self.metadata))
        if self.violations:
            named = [BadRequest.FieldViolation(field=k, description=v) for k, v in self.violations.items()]
            details.append(BadRequest(field_violations=named))
        if self.retry_after:
            details.append(RetryInfo(retry_delay=self.retry_after))
        status = Status(code=self.code.value[0], message=self.message)
        for detail in details:
            packed = AnyMessage()
            packed.Pack(detail)
            status.details.append(packed)
        trailers = rpc_status.to_status(status).trailing_metadata if details else ()
        await context.abort(self.code, self.message, trailers)


UNAVAILABLE = Fault(code=grpc.StatusCode.UNAVAILABLE)
DRAINING = Fault(code=grpc.StatusCode.UNAVAILABLE, reason="DRAINING")


class Hold:
    """Keeps a stream open until the client leaves it."""


Answer = Message | Fault
Step = WatchProgressResponse | Fault | Hold


class ScriptedService(
    VideoServiceServicer, SceneServiceServicer, FilmServiceServicer, WebhookServiceServicer, AuditServiceServicer
):
    """Answers each call with what `answers` holds for it, in order, and each watch with one of `streams`."""

    def __init__(self, target: str = "127.0.0.1:0", *, credentials: grpc.ServerCredentials | None = None) -> None:
        self._credentials = credentials
        self.callers: list[str] = []
        self.answers: dict[str, list[Answer]] = defaultdict(list)
        self.streams: list[Sequence[Step]] = []
        self.requests: dict[str, list[Message]] = defaultdict(list)
        self.watches: list[WatchProgressRequest] = []
        self.holding = asyncio.Event()
        self.left = asyncio.Event()
        self.health = b"\x08\x01"
        self.files: dict[str, bytes] = {}
        self.checksums: dict[str, int] = {}
        self.target = target
        self._server = grpc.aio.server()

    async def __aenter__(self) -> Self:
        add_VideoServiceServicer_to_server(self, self._server)
        add_SceneServiceServicer_to_server(self, self._server)
        add_FilmServiceServicer_to_server(self, self._server)
        add_WebhookServiceServicer_to_server(self, self._server)
        add_AuditServiceServicer_to_server(self, self._server)
        self._server.add_generic_rpc_handlers((self._health_handler(),))
        if self._credentials is None:
            port = self._server.add_insecure_port(self.target)
        else:
            port = self._server.add_secure_port(self.target, self._credentials)
        self.target = f"127.0.0.1:{port}"
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(None)

    async def stop(self) -> None:
        await self._server.stop(None)

    async def WatchProgress(
        self, request: WatchProgressRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[WatchProgressResponse]:
        self.watches.append(request)
        self._note_caller(context)
        if not self.streams:
            await Fault(code=grpc.StatusCode.INTERNAL, message="no stream is scripted").abort(context)
        steps = self.streams.pop(0)
        if any(isinstance(step, Hold) for step in steps):
            # Also if it is left before it comes to its hold.
            context.add_done_callback(lambda _: self.left.set())
        for step in steps:
            match step:
                case Fault():
                    await step.abort(context)
                case Hold():
                    self.holding.set()
                    await asyncio.Event().wait()
                case _:
                    yield step

    async def DownloadAsset(
        self, request: DownloadAssetRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[DownloadAssetResponse]:
        if request.path not in self.files:
            await Fault(code=grpc.StatusCode.NOT_FOUND, reason="ASSET_NOT_FOUND").abort(context)
        data = self.files[request.path]
        yield DownloadAssetResponse(
            info=Asset(path=request.path, size_bytes=len(data), crc32c=self.checksums.get(request.path))
        )
        yield DownloadAssetResponse(chunk=data)

    def _health_handler(self) -> grpc.GenericRpcHandler:
        async def check(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
            return self.health

        return grpc.method_handlers_generic_handler(
            "grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(check)}
        )

    def _note_caller(self, context: grpc.aio.ServicerContext) -> None:
        self.callers += [value for name, value in context.invocation_metadata() or () if name == "authorization"]

    async def _answer(self, method: str, request: Message, context: grpc.aio.ServicerContext) -> Message:
        self.requests[method].append(request)
        self._note_caller(context)
        if not self.answers[method]:
            await Fault(code=grpc.StatusCode.INTERNAL, message=f"no answer to {method} is scripted").abort(context)
        answer = self.answers[method].pop(0)
        if isinstance(answer, Fault):
            await answer.abort(context)
        return answer


def _scripted(method: str):
    async def answer(self: ScriptedService, request: Message, context: grpc.aio.ServicerContext) -> Message:
        return await self._answer(method, request, context)

    return answer


for _method in (
    *(
        "GenerateVideo",
        "Generate",
        "GetStatus",
        "CancelVideo",
        "ListVideos",
        "ResolveSubmission",
        "ListModels",
        "GetAccount",
        "GetCaller",
        "ListProjects",
    ),
    *("CreateScene", "GetScene", "ListScenes", "DeleteScene"),
    *(
        "PlanFilm",
        "EditFilm",
        "GetFilm",
        "ListFilms",
        "DeleteFilm",
        "StartFilm",
        "ExportFilm",
        "ApproveFilm",
        "CancelFilm",
    ),
    *("CreateWebhook", "GetWebhook", "ListWebhooks", "UpdateWebhook", "DeleteWebhook", "RotateSecret", "SendTest"),
    *("ListDeliveries", "Redeliver"),
    "ListAuditEntries",
):
    setattr(ScriptedService, _method, _scripted(_method))


def job(job_id: str = "job-1", state: str = "RUNNING", *, revision: int = 1, **fields: object) -> Job:
    return Job(
        job_id=job_id,
        project_id="p",
        scene_id="s",
        state=JobState.Value(f"JOB_STATE_{state}"),
        revision=revision,
        **fields,
    )


def event(
    revision: int,
    job_id: str = "job-1",
    state: str = "RUNNING",
    *,
    kind: str = "STAGE_CHANGED",
    kind_made: str | None = None,
    **fields: object,
) -> WatchProgressResponse:
    told = job(job_id, state, revision=revision, kind=kind_made, **fields)
    return WatchProgressResponse(event=Event(kind=EventKind.Value(f"EVENT_KIND_{kind}"), job=told), revision=revision)


def checkpoint(revision: int) -> WatchProgressResponse:
    return WatchProgressResponse(checkpoint=Checkpoint(), revision=revision)
