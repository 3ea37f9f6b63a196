"""The client: one channel to the service, one method per call, and what a call alone cannot do (watch, wait)."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from os import PathLike
from typing import TYPE_CHECKING, Protocol, Self, TypeVar, Unpack

import grpc

from evergreen.channel import CHANNEL_OPTIONS
from evergreen.errors import CursorLost, job_error
from evergreen.requests import FileOrBytes, VideoFields, video_request
from evergreen.status import call_error
from evergreen.transfers import Moved, download, ignore, read, upload
from evergreen.v1 import scene_pb2
from evergreen.v1.scene_pb2 import Asset, Scene
from evergreen.v1.scene_pb2_grpc import SceneServiceStub
from evergreen.v1.video_pb2 import (
    CancelVideoRequest,
    GenerateVideoRequest,
    GenerateVideoResponse,
    GetAccountRequest,
    GetAccountResponse,
    GetStatusRequest,
    Job,
    JobState,
    ListModelsRequest,
    ListVideosRequest,
    Model,
    ResolveSubmissionRequest,
    SubmissionResolution,
    WatchProgressRequest,
    WatchProgressResponse,
)
from evergreen.v1.video_pb2_grpc import VideoServiceStub
from evergreen.watch import Reconnect, is_final, resilient_watch

if TYPE_CHECKING:
    # Exist in the stubs' type information alone.
    from evergreen.v1.scene_pb2_grpc import SceneServiceAsyncStub
    from evergreen.v1.video_pb2_grpc import VideoServiceAsyncStub

_Request = TypeVar("_Request", contravariant=True)
_Response = TypeVar("_Response", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Open:
    channel: grpc.aio.Channel
    videos: "VideoServiceAsyncStub"
    scenes: "SceneServiceAsyncStub"


class _Method(Protocol[_Request, _Response]):
    def __call__(self, request: _Request, *, timeout: float | None = None) -> Awaitable[_Response]: ...


class Client:
    """Talks to one Evergreen service. To be used as `async with Client(...) as client`.

    `timeout` bounds each call but a watch or transfer, retries included, in seconds. `options` are gRPC channel
    options and override the client's own. Calls raise `CallError`, and are retried where the service was
    unavailable; each may be repeated safely.
    """

    def __init__(
        self,
        target: str = "127.0.0.1:50051",
        *,
        timeout: float = 30.0,
        options: Sequence[tuple[str, str | int]] = (),
        reconnect: Reconnect | None = None,
    ) -> None:
        self._target = target
        self._timeout = timeout
        self._options = tuple({**dict(CHANNEL_OPTIONS), **dict(options)}.items())
        self._reconnect = reconnect or Reconnect()
        self._opened: _Open | None = None

    async def __aenter__(self) -> Self:
        if self._opened is not None:
            raise RuntimeError("the client is open already")
        channel = grpc.aio.insecure_channel(self._target, options=self._options)
        self._opened = _Open(channel=channel, videos=VideoServiceStub(channel), scenes=SceneServiceStub(channel))
        return self

    async def __aexit__(self, *_: object) -> None:
        opened, self._opened = self._open, None
        await opened.channel.close()

    async def generate(self, **fields: Unpack[VideoFields]) -> Job:
        """Asks for a clip and returns its job as soon as the service has recorded it.

        Takes the fields of `GenerateVideoRequest`, and `image` for a first frame's file or bytes. A request_id
        is made once per call where none is given; to repeat a call whose answer was lost, give your own.
        Raises MediaTooLarge before anything is sent.
        """
        return (await self._generate(await video_request(**fields))).job

    async def quote(self, **fields: Unpack[VideoFields]) -> float | None:
        """Has a request checked and priced without making a job. Takes what `generate` takes.

        Returns the most that one attempt may cost, in credits, or None where the price is unknown.
        """
        request = await video_request(**fields)
        request.validate_only = True
        answer = await self._generate(request)
        return answer.estimated_credits if answer.HasField("estimated_credits") else None

    async def status(self, job_id: str) -> Job:
        """Returns a job as it is now, with its request."""
        return (await self._call(self._open.videos.GetStatus, GetStatusRequest(job_id=job_id))).job

    def watch(
        self,
        *,
        project_id: str = "",
        job_ids: Iterable[str] = (),
        after_revision: int | None = None,
        include_finished: bool = False,
    ) -> AsyncGenerator[WatchProgressResponse, None]:
        """Yields the events and checkpoints of a project, or of some jobs, through lost connections and restarts.

        Each comes once, in rising revision. With `job_ids` it ends after the final state of all of them, else
        never. To go on later, give the revision of the last message dealt with as `after_revision`. Leaving the
        loop cancels no job; where it is left early, wrap it in `contextlib.aclosing` to end the stream at once.

        Raises CursorLost, WatchInterrupted and other errors of a call.
        """
        request = WatchProgressRequest(
            project_id=project_id,
            job_ids=job_ids,
            after_revision=after_revision,
            include_finished=include_finished,
        )
        return resilient_watch(self._open.videos.WatchProgress, request, reconnect=self._reconnect)

    async def wait(self, job_id: str) -> Job:
        """Waits until a job has succeeded and returns it, without its request.

        Raises JobFailed, JobCancelled, JobExpired; NeedsAttention as soon as the job does. Has no bound of its
        own: use `asyncio.timeout`, or the job's `finish_by`.
        """
        while True:
            try:
                return await self._wait(job_id)
            except CursorLost:
                # Only the present state counts here, so missed events do no harm.
                continue

    async def cancel(self, job_id: str) -> Job:
        """Asks that a job be cancelled and returns it; it may still succeed if it was finished by then."""
        return (await self._call(self._open.videos.CancelVideo, CancelVideoRequest(job_id=job_id))).job

    async def resolve(
        self, job_id: str, resolution: SubmissionResolution.ValueType, *, provider_task_id: str = ""
    ) -> Job:
        """Says what shall become of a job that needs attention."""
        request = ResolveSubmissionRequest(job_id=job_id, resolution=resolution, provider_task_id=provider_task_id)
        return (await self._call(self._open.videos.ResolveSubmission, request)).job

    async def list(
        self,
        *,
        project_id: str = "",
        scene_id: str = "",
        states: Iterable[JobState.ValueType] = (),
        page_size: int = 0,
    ) -> AsyncIterator[Job]:
        """Yields jobs, oldest first, fetching one page after the other."""
        request = ListVideosRequest(project_id=project_id, scene_id=scene_id, states=states, page_size=page_size)
        while True:
            page = await self._call(self._open.videos.ListVideos, request)
            for job in page.jobs:
                yield job
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def models(self) -> Sequence[Model]:
        """Returns the models that can be asked for, with their bounds and prices."""
        return (await self._call(self._open.videos.ListModels, ListModelsRequest())).models

    async def account(self) -> GetAccountResponse:
        """Returns the balance and limits of the provider's account, and what the service reserved and spent."""
        return await self._call(self._open.videos.GetAccount, GetAccountRequest())

    async def create_scene(self, project_id: str, scene_id: str) -> Scene:
        """Creates a scene, and its project where there is none; returns it as it is if it exists."""
        request = scene_pb2.CreateSceneRequest(project_id=project_id, scene_id=scene_id)
        return (await self._call(self._open.scenes.CreateScene, request)).scene

    async def get_scene(self, project_id: str, scene_id: str) -> Scene:
        """Returns a scene with all its assets."""
        request = scene_pb2.GetSceneRequest(project_id=project_id, scene_id=scene_id)
        return (await self._call(self._open.scenes.GetScene, request)).scene

    async def list_scenes(self, project_id: str, *, page_size: int = 0) -> AsyncIterator[Scene]:
        """Yields a project's scenes in the order of their ids, without their assets."""
        request = scene_pb2.ListScenesRequest(project_id=project_id, page_size=page_size)
        while True:
            page = await self._call(self._open.scenes.ListScenes, request)
            for scene in page.scenes:
                yield scene
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def delete_scene(self, project_id: str, scene_id: str, *, force: bool = False) -> None:
        """Deletes a scene with all its files; `force` cancels its jobs first, which may take a minute."""
        request = scene_pb2.DeleteSceneRequest(project_id=project_id, scene_id=scene_id, force=force)
        await self._call(self._open.scenes.DeleteScene, request)

    async def upload_asset(
        self,
        project_id: str,
        scene_id: str,
        path: str,
        source: FileOrBytes,
        *,
        content_type: str = "",
        overwrite: bool = False,
        moved: Moved = ignore,
    ) -> Asset:
        """Writes a file, or bytes, to a scene, again where the connection is lost. Raises TransferBroken, OSError."""
        info = scene_pb2.UploadInfo(
            project_id=project_id, scene_id=scene_id, path=path, content_type=content_type, overwrite=overwrite
        )
        return await upload(self._open.scenes, info, source, reconnect=self._reconnect, moved=moved)

    async def download_asset(
        self, project_id: str, scene_id: str, path: str, target: "str | PathLike[str]", *, moved: Moved = ignore
    ) -> Asset:
        """Reads an asset into a file, which appears when it is whole. Raises TransferBroken, OSError."""
        request = scene_pb2.DownloadAssetRequest(project_id=project_id, scene_id=scene_id, path=path)
        return await download(self._open.scenes, request, target, reconnect=self._reconnect, moved=moved)

    def read_asset(
        self, project_id: str, scene_id: str, path: str, *, offset: int = 0, limit: int = 0
    ) -> AsyncGenerator[scene_pb2.DownloadAssetResponse, None]:
        """Yields an asset's description, then its bytes, through lost connections. A `limit` of 0 is none."""
        request = scene_pb2.DownloadAssetRequest(
            project_id=project_id, scene_id=scene_id, path=path, offset=offset, limit=limit
        )
        return read(self._open.scenes, request, reconnect=self._reconnect)

    async def delete_asset(self, project_id: str, scene_id: str, path: str) -> None:
        """Deletes a file of a scene. Cannot be undone."""
        request = scene_pb2.DeleteAssetRequest(project_id=project_id, scene_id=scene_id, path=path)
        await self._call(self._open.scenes.DeleteAsset, request)

    async def asset_url(
        self, project_id: str, scene_id: str, path: str, *, lifetime: timedelta | None = None
    ) -> scene_pb2.GetAssetUrlResponse:
        """Makes a URL that reads an asset until it expires; by default in 15 minutes. Keep it out of logs."""
        request = scene_pb2.GetAssetUrlRequest(project_id=project_id, scene_id=scene_id, path=path)
        if lifetime is not None:
            request.lifetime.FromTimedelta(lifetime)
        return await self._call(self._open.scenes.GetAssetUrl, request)

    async def healthy(self) -> bool:
        """Asks the standard health check whether the service as a whole is serving. Is not retried."""
        # An empty HealthCheckRequest has no bytes; `status: SERVING` is field 1, varint 1.
        check = self._open.channel.unary_unary(
            "/grpc.health.v1.Health/Check", request_serializer=bytes, response_deserializer=bytes
        )
        return await self._call(check, b"") == b"\x08\x01"

    async def _generate(self, request: GenerateVideoRequest) -> GenerateVideoResponse:
        return await self._call(self._open.videos.GenerateVideo, request)

    async def _wait(self, job_id: str) -> Job:
        async with aclosing(self.watch(job_ids=[job_id])) as messages:
            async for message in messages:
                if error := job_error(message.event.job):
                    raise error
                if is_final(message.event.job):
                    return message.event.job
        raise AssertionError("a watch of a job ends after its final state")

    async def _call(self, method: _Method[_Request, _Response], request: _Request) -> _Response:
        try:
            return await method(request, timeout=self._timeout)
        except grpc.aio.AioRpcError as error:
            raise call_error(error) from error

    @property
    def _open(self) -> _Open:
        if self._opened is None:
            raise RuntimeError("the client is not open: use `async with Client(...) as client`")
        return self._opened
