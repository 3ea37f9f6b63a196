"""The client for asyncio: requests give a handle of their job, and jobs come as values."""

import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from typing import Self, Unpack

import grpc

from evergreen.audit import Audit
from evergreen.client.environment import Environment
from evergreen.client.handle import AsyncJobHandle
from evergreen.client.watching import settled
from evergreen.films import Films
from evergreen.job import Job, Kind
from evergreen.listing import ListFields
from evergreen.requests import VideoFields
from evergreen.scenes import Scenes
from evergreen.security import Tls, Token
from evergreen.specs import ALL_KINDS, ImageFields, SoundFields, Spec, SpecFields, SpeechFields
from evergreen.v1 import video_pb2
from evergreen.v1.video_pb2 import GetAccountResponse, GetCallerResponse, MediaKind, Model, Project
from evergreen.watch import OnGap, Reconnect
from evergreen.webhooks.calls import Webhooks
from evergreen.wire import WireClient


class AsyncClient:
    """Connects to one Evergreen service. Use it as `async with AsyncClient() as client`, or `open` and `close` it.

    Without a `target`, `token` or `tls`, the environment says them: EVERGREEN_ENDPOINT, EVERGREEN_TOKEN or
    EVERGREEN_TOKEN_FILE, EVERGREEN_TLS, EVERGREEN_TLS_CA, EVERGREEN_TLS_CLIENT_CERT and EVERGREEN_TLS_CLIENT_KEY. All
    else is as `WireClient` says, which is there as `wire`: its calls answer with the contract's messages.
    """

    def __init__(
        self,
        target: str | None = None,
        *,
        timeout: float = 30.0,
        tls: Tls | grpc.ChannelCredentials | None = None,
        token: Token | None = None,
        insecure: bool = False,
        options: Sequence[tuple[str, str | int]] = (),
        reconnect: Reconnect | None = None,
    ) -> None:
        said = Environment.read(os.environ)
        self.wire = WireClient(
            said.endpoint if target is None else target,
            timeout=timeout,
            tls=said.tls if tls is None else tls,
            token=said.token if token is None else token,
            insecure=insecure,
            options=options,
            reconnect=reconnect,
        )

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> Self:
        """Opens the connection, and returns the client. Raises RuntimeError if it is open, or where it cannot work."""
        await self.wire.__aenter__()
        return self

    async def close(self) -> None:
        """Closes the connection, and ends all calls and watches that use it."""
        await self.wire.__aexit__()

    @property
    def scenes(self) -> Scenes:
        """Returns the calls for scenes: the folders that receive what jobs make, and the files in them."""
        return self.wire.scenes

    @property
    def films(self) -> Films:
        """Returns the calls for films: scripts that become plans, with a quote."""
        return self.wire.films

    @property
    def webhooks(self) -> Webhooks:
        """Returns the calls for webhooks: who is told by signed HTTP requests."""
        return self.wire.webhooks

    @property
    def audit(self) -> Audit:
        """Returns the record of who did what."""
        return self.wire.audit

    async def generate(self, **fields: Unpack[VideoFields]) -> AsyncJobHandle:
        """Requests a clip and returns a handle of its job as soon as the service has recorded it.

        Takes the fields of `GenerateVideoRequest`, and `image`: the first frame, as a file, bytes, a URL or
        `asset:PATH`. Inputs that have more than 3 MiB together are uploaded to the scene first. If no request_id is
        given, each call creates one; to be able to repeat a call whose answer was lost, give your own. Raises TypeError
        for a field that there is not, before anything is sent.
        """
        return self._handle(await self.wire.generate(**fields))

    async def generate_image(self, **fields: Unpack[ImageFields]) -> AsyncJobHandle:
        """Requests pictures and returns a handle. Takes the fields of `ImageSpec`, with any `Input` as `references`."""
        return self._handle(await self.wire.generate_image(**fields))

    async def generate_speech(self, **fields: Unpack[SpeechFields]) -> AsyncJobHandle:
        """Requests speech and returns a handle. Takes the fields of `SpeechSpec`."""
        return self._handle(await self.wire.generate_speech(**fields))

    async def generate_sound(self, **fields: Unpack[SoundFields]) -> AsyncJobHandle:
        """Requests a sound and returns a handle. Takes the fields of `SoundSpec`."""
        return self._handle(await self.wire.generate_sound(**fields))

    async def generate_spec(self, spec: Spec, **fields: Unpack[SpecFields]) -> AsyncJobHandle:
        """Requests what a spec says, such as `VideoUpscaleSpec`, and returns a handle."""
        return self._handle(await self.wire.generate_spec(spec, **fields))

    async def quote(self, **fields: Unpack[VideoFields]) -> float | None:
        """Returns the most that one attempt may cost, in credits, or None if the price is unknown.

        The service validates the request and creates no job. Takes the same fields as `generate`, and uploads the same
        files.
        """
        return await self.wire.quote(**fields)

    async def quote_spec(self, spec: Spec, **fields: Unpack[SpecFields]) -> float | None:
        """Returns the quote of a spec, as `quote` does for a clip."""
        return await self.wire.quote_spec(spec, **fields)

    async def job(self, job_id: str) -> AsyncJobHandle:
        """Returns a handle of a job, with its present state and its request. Raises JobNotFound."""
        return self._handle(await self.wire.status(job_id))

    async def wait_all(
        self,
        jobs: Iterable[AsyncJobHandle | Job],
        *,
        timeout: float | None = None,  # noqa: ASYNC109  # as in concurrent.futures
    ) -> list[Job]:
        """Returns all jobs, in the order given, when each is final or needs attention; `state` says how it ended.

        No failed job is raised. Raises TimeoutError after `timeout` seconds, CallError, WatchInterrupted.
        """
        wanted = list(jobs)
        ended = {job.job_id: job async for job in self.as_completed(wanted, timeout=timeout)}
        return [ended[each.job_id] for each in wanted]

    async def as_completed(
        self,
        jobs: Iterable[AsyncJobHandle | Job],
        *,
        timeout: float | None = None,  # noqa: ASYNC109  # as in concurrent.futures
    ) -> AsyncGenerator[Job, None]:
        """Yields each job once, as soon as it is final or needs attention, whatever the order and the projects.

        Also what has ended long ago is told. Raises as `wait_all`. If you leave the loop early, wrap it in
        `contextlib.aclosing` to end the watch at once.
        """
        handles: dict[str, AsyncJobHandle] = {}
        for each in jobs:
            handle = each if isinstance(each, AsyncJobHandle) else self._handle(each.message)
            handles.setdefault(handle.job_id, handle)
        projects = {job_id: handle.job.project_id for job_id, handle in handles.items()}
        async with aclosing(settled(self.wire, projects, seconds=timeout)) as ended:
            async for job in ended:
                yield handles[job.job_id]._heard(job)

    async def watch(
        self,
        project_id: str,
        *,
        after_revision: int | None = None,
        include_finished: bool = False,
        kinds: Iterable[MediaKind.ValueType | Kind] = ALL_KINDS,
        on_gap: OnGap | None = None,
    ) -> AsyncGenerator[Job, None]:
        """Yields the jobs of a project at each change, across lost connections and restarts; never ends.

        To resume later, pass the `revision` of the last job as `after_revision`. Without it, the watch begins with all
        jobs that are not final, and with `include_finished` with all. More is said at `WireClient.watch`, which tells
        of films too. Raises CursorLost, CallError, WatchInterrupted.
        """
        watch = self.wire.watch(
            project_id=project_id,
            after_revision=after_revision,
            include_finished=include_finished,
            kinds=kinds,
            on_gap=on_gap,
        )
        async with aclosing(watch) as messages:
            async for message in messages:
                if message.HasField("event"):
                    yield Job.of(message.event.job)

    async def list(self, **fields: Unpack[ListFields]) -> AsyncIterator[Job]:
        """Yields jobs of all kinds, or of some, oldest first unless `newest_first`. Fetches one page after the other.

        Takes the filters of `ListVideosRequest`; states and kinds as words. Raises ValueError for a time without zone.
        """
        async for message in self.wire.list(**fields):
            yield Job.of(message)

    async def projects(self, *, page_size: int = 0) -> AsyncIterator[Project]:
        """Yields the caller's projects, in the order of their ids. Fetches one page after the other."""
        async for project in self.wire.projects(page_size=page_size):
            yield project

    async def caller(self) -> GetCallerResponse:
        """Returns who the caller is to the service: its token's name, rights and projects, and the server's version."""
        return await self.wire.caller()

    async def models(self, kinds: Iterable[MediaKind.ValueType | Kind] = ALL_KINDS) -> Sequence[Model]:
        """Returns the available models, or those that make some kinds, with their bounds and prices."""
        return await self.wire.models(kinds)

    async def account(self, project_id: str = "") -> GetAccountResponse:
        """Returns the balance and limits of the provider's account, and what the service or one project has spent."""
        return await self.wire.account(project_id)

    async def healthy(self) -> bool:
        """Returns whether the service says that it serves. Raises CallError if it gives no answer."""
        return await self.wire.healthy()

    def _handle(self, message: video_pb2.Job) -> AsyncJobHandle:
        return AsyncJobHandle(self.wire, Job.of(message))
