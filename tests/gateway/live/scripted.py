"""A server of watches whose events a test makes, one by one; faked at the wire."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from evergreen.v1 import video_pb2
from tests.serving import FINAL

PROGRESS = video_pb2.EVENT_KIND_PROGRESS
Message = video_pb2.WatchProgressResponse


def event(revision: int, job: str, kind: int = video_pb2.EVENT_KIND_STAGE_CHANGED, **state: object) -> Message:
    """An event of a job that runs, unless `state` says otherwise; of every project, unless that names one."""
    told = {"job_id": job, "project_id": "film", "revision": revision, "state": video_pb2.JOB_STATE_RUNNING, **state}
    told.setdefault("kind", video_pb2.MEDIA_KIND_VIDEO)
    return Message(revision=revision, event=video_pb2.Event(kind=kind, job=video_pb2.Job(**told)))


def film_event(revision: int, film: str, state: int, kind: int = video_pb2.FILM_EVENT_KIND_STARTED) -> Message:
    """An event of a film."""
    told = video_pb2.FilmStatus(film_id=film, project_id="film", state=state)
    return Message(revision=revision, film_event=video_pb2.FilmEvent(kind=kind, film=told))


class Scripted(grpc.GenericRpcHandler):
    """Answers watches from a list of events; `asked` are the requests that came, `open` the watches there are."""

    def __init__(self) -> None:
        self.events: list[Message] = []
        self.asked: list[video_pb2.WatchProgressRequest] = []
        self.open = 0
        self.refusal: tuple[grpc.StatusCode, str] | None = None
        self._changed = asyncio.Condition()
        self._broken = 0

    async def tell(self, *events: Message) -> None:
        self.events += events
        await self._change()

    async def check(self) -> None:
        """Sends a checkpoint to all watches."""
        await self.tell(Message(revision=self.revision, checkpoint={}))

    async def break_off(self) -> None:
        """Ends all watches as a server that is gone."""
        self._broken += 1
        await self._change()

    async def refuse(self, code: grpc.StatusCode, reason: str) -> None:
        """Ends all watches, and refuses those to come."""
        self.refusal = code, reason
        await self._change()

    async def until(self, watches: int) -> None:
        """Waits until so many watches are open."""
        async with asyncio.timeout(60), self._changed:
            await self._changed.wait_for(lambda: self.open == watches)

    @property
    def revision(self) -> int:
        return max((message.revision for message in self.events), default=0)

    async def _change(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        match details.method.rpartition("/")[2]:
            case "GetCaller":
                return grpc.unary_unary_rpc_method_handler(self._caller)
            case "GetStatus":
                return grpc.unary_unary_rpc_method_handler(self._status)
            case "WatchProgress":
                return grpc.unary_stream_rpc_method_handler(self._watch)
        return None

    async def _caller(self, _: bytes, _call: object) -> bytes:
        return video_pb2.GetCallerResponse(name="scripted").SerializeToString()

    async def _status(self, data: bytes, call: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        job_id = video_pb2.GetStatusRequest.FromString(data).job_id
        for message in reversed(self.events):
            if message.event.job.job_id == job_id:
                return video_pb2.GetStatusResponse(job=message.event.job).SerializeToString()
        await self._abort(call, grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND")
        raise AssertionError("it was aborted")

    async def _watch(self, data: bytes, call: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        request = video_pb2.WatchProgressRequest.FromString(data)
        self.asked.append(request)
        broken = self._broken
        self.open += 1
        await self._change()
        try:
            await self._check(call)
            after = request.after_revision
            if not request.HasField("after_revision"):
                after = self.revision
                newest = {_subject(m): m for m in self.events if not m.HasField("checkpoint")}
                for message in sorted(newest.values(), key=lambda message: message.revision):
                    wanted = _named(request) or request.include_finished or not _is_final(message)
                    if self._wanted(message, request) and wanted:
                        await call.write(_snapshot(message).SerializeToString())
            elif after > self.revision:
                await self._abort(call, grpc.StatusCode.OUT_OF_RANGE, "CURSOR_AHEAD")
            last = {_subject(m): m for m in self.events if not m.HasField("checkpoint")}
            ended = {each for each, m in last.items() if _is_final(m) and m.revision <= after}
            remaining = _named(request) - ended
            if request.HasField("after_revision"):
                for subject in ended & _named(request):
                    await call.write(_snapshot(last[subject]).SerializeToString())
            place = next((i for i, m in enumerate(self.events) if m.revision > after), len(self.events))
            first = True
            while broken == self._broken:
                await self._check(call)
                if _named(request) and not remaining:
                    return
                while place < len(self.events):
                    message = self.events[place]
                    place += 1
                    if message.HasField("checkpoint") or self._wanted(message, request):
                        await call.write(message.SerializeToString())
                        # A film may have begun anew since.
                        if _is_final(message) and last.get(_subject(message), message).revision <= message.revision:
                            remaining.discard(_subject(message))
                if _named(request) and not remaining:
                    return
                if first:
                    first = False
                    await call.write(Message(revision=self.revision, checkpoint={}).SerializeToString())
                async with self._changed:
                    while place == len(self.events) and broken == self._broken and self.refusal is None:
                        await self._changed.wait()
            await call.abort(grpc.StatusCode.UNAVAILABLE, "gone")
        finally:
            self.open -= 1
            await asyncio.shield(self._change())

    def _wanted(self, message: Message, request: video_pb2.WatchProgressRequest) -> bool:
        named = _named(request)
        if message.HasField("film_event"):
            return _subject(message) in named if named else request.include_films
        job = message.event.job
        return (not named or job.job_id in named) and job.project_id in ("film", request.project_id)

    async def _check(self, call: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        if self.refusal is not None:
            await self._abort(call, *self.refusal)

    async def _abort(self, call: grpc.aio.ServicerContext[bytes, bytes], code: grpc.StatusCode, reason: str) -> None:
        status = status_pb2.Status(code=getattr(code_pb2, code.name), message=reason)
        status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain="evergreen.v1"))
        await call.abort_with_status(rpc_status.to_status(status))


def _is_final(message: Message) -> bool:
    if message.HasField("film_event"):
        return message.film_event.film.state == video_pb2.FILM_STATE_SUCCEEDED
    return message.HasField("event") and message.event.job.state in FINAL


def _subject(message: Message) -> str:
    if message.HasField("film_event"):
        return f"film/{message.film_event.film.film_id}"
    return message.event.job.job_id


def _named(request: video_pb2.WatchProgressRequest) -> set[str]:
    return {*request.job_ids, *(f"film/{each}" for each in request.film_ids)}


def _snapshot(message: Message) -> Message:
    told = Message.FromString(message.SerializeToString())
    if told.HasField("film_event"):
        told.film_event.kind = video_pb2.FILM_EVENT_KIND_SNAPSHOT
    else:
        told.event.kind = video_pb2.EVENT_KIND_SNAPSHOT
    return told


@asynccontextmanager
async def scripted_at(path: str) -> AsyncIterator[Scripted]:
    scripted, server = Scripted(), grpc.aio.server()
    server.add_generic_rpc_handlers((scripted,))
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    try:
        yield scripted
    finally:
        await server.stop(0)
