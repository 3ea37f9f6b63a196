"""The client: one channel to the service, one method per call, and `watch` and `wait`, which combine several."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self, Unpack

import grpc

from evergreen import job as values
from evergreen import listing
from evergreen.audit import Audit
from evergreen.calls import Calls
from evergreen.connection.channel import CHANNEL_OPTIONS, LOOPBACK_OPTIONS
from evergreen.connection.home import Home
from evergreen.errors import CursorLost, job_error
from evergreen.fields import checked
from evergreen.films import Films
from evergreen.job import Kind, Resolution, number, numbers
from evergreen.listing import ListFields
from evergreen.requests import VideoFields, video_request
from evergreen.scenes import Scenes
from evergreen.security import Tls, Token, bearer, check_target, check_token_is_safe, is_loopback, open_channel
from evergreen.specs import (
    ALL_KINDS,
    ImageFields,
    SoundFields,
    Spec,
    SpecFields,
    SpeechFields,
    image_request,
    sound_request,
    spec_request,
    speech_request,
)
from evergreen.v1.audit_pb2_grpc import AuditServiceStub
from evergreen.v1.film_pb2_grpc import FilmServiceStub
from evergreen.v1.scene_pb2_grpc import SceneServiceStub
from evergreen.v1.video_pb2 import (
    CancelVideoRequest,
    GenerateRequest,
    GenerateResponse,
    GenerateVideoRequest,
    GenerateVideoResponse,
    GetAccountRequest,
    GetAccountResponse,
    GetCallerRequest,
    GetCallerResponse,
    GetStatusRequest,
    Job,
    ListModelsRequest,
    MediaKind,
    Model,
    Project,
    ResolveSubmissionRequest,
    SubmissionResolution,
    WatchProgressRequest,
    WatchProgressResponse,
)
from evergreen.v1.video_pb2_grpc import VideoServiceStub
from evergreen.v1.webhook_pb2_grpc import WebhookServiceStub
from evergreen.watch import OnGap, Reconnect, is_final, resilient_watch
from evergreen.webhooks.calls import Webhooks

if TYPE_CHECKING:
    # Exists only in the stubs' type information.
    from evergreen.v1.video_pb2_grpc import VideoServiceAsyncStub


@dataclass(frozen=True, slots=True, kw_only=True)
class _Open:
    home: Home
    channel: grpc.aio.Channel
    videos: "VideoServiceAsyncStub"
    scenes: Scenes
    films: Films
    webhooks: Webhooks
    audit: Audit


class WireClient:
    """Connects to one Evergreen service. Use it as `async with WireClient(...) as client`.

    `timeout` limits each call except watches and transfers, in seconds, including retries. `tls` secures the channel,
    with `Tls` or with gRPC's own credentials. `token` identifies the caller. Without TLS, the client sends it only to
    this machine, unless `insecure` says that the network is safe. `options` are gRPC channel options and override the
    client's own.

    Calls raise `CallError`. They are retried while the service is unavailable, since each call is safe to repeat.
    Raises ValueError for a target that is none, and a token that may not, or cannot, be sent.

    A client belongs to the process and the event loop that opened it; elsewhere it raises RuntimeError. A process that
    was forked while a client was open cannot open one: close all clients before a fork, or start processes with
    'spawn' or 'forkserver'.
    """

    def __init__(
        self,
        target: str = "127.0.0.1:50051",
        *,
        timeout: float = 30.0,
        tls: Tls | grpc.ChannelCredentials | None = None,
        token: Token | None = None,
        insecure: bool = False,
        options: Sequence[tuple[str, str | int]] = (),
        reconnect: Reconnect | None = None,
    ) -> None:
        check_target(target)
        if token is not None:
            check_token_is_safe(target, plaintext=tls is None, insecure=insecure)
            if isinstance(token, str):
                bearer(token)
        self._target = target
        self._tls = tls
        self._calls = Calls(timeout=timeout, token=token)
        own = CHANNEL_OPTIONS + (LOOPBACK_OPTIONS if is_loopback(target) else ())
        self._options = tuple({**dict(own), **dict(options)}.items())
        self._reconnect = reconnect or Reconnect()
        self._opened: _Open | None = None

    async def __aenter__(self) -> Self:
        if self._opened is not None:
            raise RuntimeError("the client is open already")
        home = Home.take()
        try:
            channel = open_channel(self._target, tls=self._tls, options=self._options)
        except BaseException:
            home.leave()
            raise
        calls = replace(self._calls, home=home)
        scenes = Scenes(SceneServiceStub(channel), calls=calls, reconnect=self._reconnect)
        films = Films(FilmServiceStub(channel), calls=calls)
        webhooks = Webhooks(WebhookServiceStub(channel), calls=calls)
        self._opened = _Open(
            home=home,
            channel=channel,
            videos=VideoServiceStub(channel),
            scenes=scenes,
            films=films,
            webhooks=webhooks,
            audit=Audit(AuditServiceStub(channel), calls=calls),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        opened, self._opened = self._open, None
        try:
            await opened.channel.close()
        finally:
            opened.home.leave()

    @property
    def scenes(self) -> Scenes:
        """Returns the calls for scenes: the folders that receive what jobs make, and the files in them."""
        return self._open.scenes

    @property
    def films(self) -> Films:
        """Returns the calls for films: scripts that become plans, with a quote."""
        return self._open.films

    @property
    def webhooks(self) -> Webhooks:
        """Returns the calls for webhooks: who is told by signed HTTP requests."""
        return self._open.webhooks

    @property
    def audit(self) -> Audit:
        """Returns the record of who did what."""
        return self._open.audit

    async def generate(self, **fields: Unpack[VideoFields]) -> Job:
        """Requests a clip and returns its job as soon as the service has recorded it.

        Takes the fields of `GenerateVideoRequest`, and `image`: the first frame, as a file, bytes, a URL or
        `asset:PATH`. Inputs that have more than 3 MiB together are uploaded to the scene first. If no request_id is
        given, each call creates one; to be able to repeat a call whose answer was lost, give your own. Raises TypeError
        for a field that there is not, before anything is sent.
        """
        return (await self._generate_video(await video_request(self._open.scenes, **fields))).job

    async def generate_image(self, **fields: Unpack[ImageFields]) -> Job:
        """Requests pictures and returns the job. Takes the fields of `ImageSpec`, with any `Input` as `references`."""
        return (await self._generate(await image_request(self._open.scenes, **fields))).job

    async def generate_speech(self, **fields: Unpack[SpeechFields]) -> Job:
        """Requests speech and returns the job. Takes the fields of `SpeechSpec`."""
        return (await self._generate(await speech_request(self._open.scenes, **fields))).job

    async def generate_sound(self, **fields: Unpack[SoundFields]) -> Job:
        """Requests a sound and returns the job. Takes the fields of `SoundSpec`."""
        return (await self._generate(await sound_request(self._open.scenes, **fields))).job

    async def generate_spec(self, spec: Spec, **fields: Unpack[SpecFields]) -> Job:
        """Requests what a spec says, such as `VideoUpscaleSpec`, and returns the job. For files see `inline_media`."""
        return (await self._generate(await spec_request(self._open.scenes, spec, **fields))).job

    async def quote_spec(self, spec: Spec, **fields: Unpack[SpecFields]) -> float | None:
        """Returns the quote of a spec, as `quote` does for a clip."""
        request = await spec_request(self._open.scenes, spec, **fields)
        request.validate_only = True
        return _quoted(await self._generate(request))

    async def quote(self, **fields: Unpack[VideoFields]) -> float | None:
        """Returns the most that one attempt may cost, in credits, or None if the price is unknown.

        The service validates the request and creates no job. Takes the same fields as `generate`, and uploads the same
        files.
        """
        request = await video_request(self._open.scenes, **fields)
        request.validate_only = True
        return _quoted(await self._generate_video(request))

    @checked
    async def status(self, job_id: str) -> Job:
        """Returns the current state of a job, with its request."""
        return (await self._calls.unary(self._open.videos.GetStatus, GetStatusRequest(job_id=job_id))).job

    @checked
    def watch(
        self,
        *,
        project_id: str = "",
        job_ids: Iterable[str] = (),
        after_revision: int | None = None,
        include_finished: bool = False,
        kinds: Iterable[MediaKind.ValueType | Kind] = ALL_KINDS,
        film_ids: Iterable[str] = (),
        include_films: bool = False,
        on_gap: OnGap | None = None,
    ) -> AsyncGenerator[WatchProgressResponse, None]:
        """Yields the events and checkpoints of a project, or of some jobs and films, across lost connections and
        restarts.

        Each message is yielded once, in order of revision. With `job_ids` or `film_ids`, the watch ends after the final
        state of all of them; without, it never ends. A project's films are told with `include_films`. To resume later,
        pass the revision of the last processed message as `after_revision`. Leaving the loop cancels no job. If you
        leave it early, wrap the watch in `contextlib.aclosing` to end the stream at once. `kinds` selects the jobs of a
        project by what they make.

        If the service no longer keeps the next events, the watch calls `on_gap` and continues with the current state
        of every job that has changed meanwhile, finished or not. Without `on_gap` it raises CursorCompacted, since a
        caller that needs every event must know that some are gone.

        Raises CursorLost, WatchInterrupted and other errors of a call.
        """
        request = WatchProgressRequest(
            project_id=project_id,
            job_ids=job_ids,
            after_revision=after_revision,
            include_finished=include_finished,
            film_ids=film_ids,
            include_films=include_films,
        )
        if not request.job_ids and not request.film_ids:
            request.kinds.extend(numbers(MediaKind.DESCRIPTOR, kinds, "kind"))
        videos, calls = self._open.videos, self._calls
        return resilient_watch(
            lambda request: videos.WatchProgress(request, metadata=calls.metadata()),
            request,
            reconnect=self._reconnect,
            on_gap=on_gap,
        )

    @checked
    async def wait(self, job_id: str) -> Job:
        """Waits until a job has succeeded and returns it, without its request.

        Raises JobFailed, JobCancelled or JobExpired, and NeedsAttention as soon as the job needs attention. Has no
        timeout of its own: use `asyncio.timeout`, or the job's `finish_by`.
        """
        while True:
            try:
                return await self._wait(job_id)
            except CursorLost:
                # Only the current state matters here, so missed events do no harm.
                continue

    @checked
    async def cancel(self, job_id: str) -> Job:
        """Requests the cancellation of a job and returns it. It may still succeed if it was finished by then."""
        return (await self._calls.unary(self._open.videos.CancelVideo, CancelVideoRequest(job_id=job_id))).job

    @checked
    async def resolve(
        self, job_id: str, resolution: SubmissionResolution.ValueType | Resolution, *, provider_task_id: str = ""
    ) -> Job:
        """Decides how to continue with a job that needs attention, and returns the job."""
        decided = number(SubmissionResolution.DESCRIPTOR, resolution, "resolution")
        request = ResolveSubmissionRequest(job_id=job_id, resolution=decided, provider_task_id=provider_task_id)
        return (await self._calls.unary(self._open.videos.ResolveSubmission, request)).job

    def list(self, **fields: Unpack[ListFields]) -> AsyncIterator[Job]:
        """Yields jobs of all kinds, or of some, oldest first unless `newest_first`. Fetches one page after the other.

        Takes the filters of `ListVideosRequest`. Raises ValueError for a time without a zone.
        """
        return listing.jobs(self._calls, self._open.videos, listing.list_request(**fields))

    @checked
    def projects(self, *, page_size: int = 0) -> AsyncIterator[Project]:
        """Yields the caller's projects, in the order of their ids. Fetches one page after the other."""
        return listing.projects(self._calls, self._open.videos, page_size)

    async def caller(self) -> GetCallerResponse:
        """Returns who the caller is to the service: its token's name, rights and projects, and the server's version."""
        return await self._calls.unary(self._open.videos.GetCaller, GetCallerRequest())

    @checked
    async def models(self, kinds: Iterable[MediaKind.ValueType | Kind] = ALL_KINDS) -> Sequence[Model]:
        """Returns the available models, or those that make some kinds, with their bounds and prices."""
        wanted = numbers(MediaKind.DESCRIPTOR, kinds, "kind")
        return (await self._calls.unary(self._open.videos.ListModels, ListModelsRequest(kinds=wanted))).models

    @checked
    async def account(self, project_id: str = "") -> GetAccountResponse:
        """Returns the balance and limits of the provider's account, and what the service or one project has spent."""
        return await self._calls.unary(self._open.videos.GetAccount, GetAccountRequest(project_id=project_id))

    async def healthy(self) -> bool:
        """Returns whether the standard health check reports the whole service as serving. Is not retried."""
        # An empty HealthCheckRequest has no bytes; `status: SERVING` is field 1, varint 1.
        check = self._open.channel.unary_unary(
            "/grpc.health.v1.Health/Check", request_serializer=bytes, response_deserializer=bytes
        )
        return await self._calls.unary(check, b"") == b"\x08\x01"

    async def _generate_video(self, request: GenerateVideoRequest) -> GenerateVideoResponse:
        return await self._calls.unary(self._open.videos.GenerateVideo, request)

    async def _generate(self, request: GenerateRequest) -> GenerateResponse:
        return await self._calls.unary(self._open.videos.Generate, request)

    async def _wait(self, job_id: str) -> Job:
        async with aclosing(self.watch(job_ids=[job_id])) as messages:
            async for message in messages:
                if error := job_error(values.Job.of(message.event.job)):
                    raise error
                if is_final(message.event.job):
                    return message.event.job
        raise AssertionError("a watch of a job ends after its final state")

    @property
    def _open(self) -> _Open:
        if self._opened is None:
            raise RuntimeError("the client is not open: use `async with WireClient(...) as client`")
        self._opened.home.check()
        return self._opened


def _quoted(answer: GenerateVideoResponse | GenerateResponse) -> float | None:
    return answer.estimated_credits if answer.HasField("estimated_credits") else None
