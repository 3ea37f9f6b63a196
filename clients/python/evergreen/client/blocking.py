"""The client without asyncio, for scripts, threads, Django and Celery: it drives the asynchronous one in a thread."""

import threading
import weakref
from collections.abc import Callable, Coroutine, Generator, Iterable, Sequence
from typing import Any, Self, Unpack

import grpc

from evergreen.audit import Audit
from evergreen.client.aio import AsyncClient
from evergreen.client.handle import AsyncJobHandle
from evergreen.client.portal import Blocking, Portal, blocking, iterating
from evergreen.films import Films
from evergreen.job import Job
from evergreen.requests import VideoFields
from evergreen.scenes import Scenes
from evergreen.security import Tls, Token
from evergreen.specs import ImageFields, SoundFields, Spec, SpecFields, SpeechFields
from evergreen.watch import Reconnect
from evergreen.webhooks.calls import Webhooks


class JobHandle(Blocking[AsyncJobHandle]):
    """A job that was requested, or asked for by its id, as `AsyncJobHandle` without `await`."""

    @property
    def job(self) -> Job:
        """Returns what was last heard of the job."""
        return self._inner().job

    @property
    def job_id(self) -> str:
        """Returns the job's id, by which `Client.job` finds it again."""
        return self.job.job_id

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.job_id} {self.job.state}>"

    refresh = blocking(AsyncJobHandle.refresh)
    wait = blocking(AsyncJobHandle.wait)
    watch = iterating(AsyncJobHandle.watch)
    cancel = blocking(AsyncJobHandle.cancel)
    resolve = blocking(AsyncJobHandle.resolve)
    download = blocking(AsyncJobHandle.download)


class BlockingScenes(Blocking[Scenes]):
    """The calls for scenes, available as `Client.scenes`."""

    create = blocking(Scenes.create)
    show = blocking(Scenes.show)
    list = iterating(Scenes.list)
    delete = blocking(Scenes.delete)
    upload = blocking(Scenes.upload)
    download = blocking(Scenes.download)
    read = iterating(Scenes.read)
    delete_asset = blocking(Scenes.delete_asset)
    asset_url = blocking(Scenes.asset_url)


class BlockingFilms(Blocking[Films]):
    """The calls for films, available as `Client.films`."""

    plan = blocking(Films.plan)
    edit = blocking(Films.edit)
    get = blocking(Films.get)
    list = iterating(Films.list)
    start = blocking(Films.start)
    approve = blocking(Films.approve)
    export = blocking(Films.export)
    cancel = blocking(Films.cancel)
    delete = blocking(Films.delete)


class BlockingWebhooks(Blocking[Webhooks]):
    """The calls for webhooks, available as `Client.webhooks`."""

    create = blocking(Webhooks.create)
    get = blocking(Webhooks.get)
    list = iterating(Webhooks.list)
    update = blocking(Webhooks.update)
    delete = blocking(Webhooks.delete)
    rotate_secret = blocking(Webhooks.rotate_secret)
    test = blocking(Webhooks.test)
    deliveries = iterating(Webhooks.deliveries)
    redeliver = blocking(Webhooks.redeliver)


class BlockingAudit(Blocking[Audit]):
    """The record of who did what, available as `Client.audit`."""

    entries = iterating(Audit.entries)


class Client(Blocking[AsyncClient]):
    """Connects to one Evergreen service. Use it as `with Client() as client`, or keep one for the whole process.

    It takes what `AsyncClient` takes, and has its verbs without `await`. All of its calls, from any number of threads,
    run in one background thread, which begins with `open` or the first call, and ends with `close` or the process.
    Callbacks such as `moved` run in that thread.

    A client may be made before a fork, as in a module that Celery or gunicorn loads, and opens in each process at its
    first call. One that was open already raises RuntimeError in the forked process.
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
        client = AsyncClient(
            target,
            timeout=timeout,
            tls=tls,
            token=token,
            insecure=insecure,
            options=options,
            reconnect=reconnect,
        )
        super().__init__(self._opened, lambda: client)
        self._client = client
        self._running: Portal | None = None
        self._opening = threading.Lock()
        self._end: weakref.finalize[[Callable[[], Coroutine[Any, Any, None]]], Client] | None = None
        self.scenes = BlockingScenes(self._opened, lambda: client.scenes)
        self.films = BlockingFilms(self._opened, lambda: client.films)
        self.audit = BlockingAudit(self._opened, lambda: client.audit)
        self.webhooks = BlockingWebhooks(self._opened, lambda: client.webhooks)

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> Self:
        """Opens the connection, unless it is open, and returns the client. Raises RuntimeError where it cannot work."""
        self._opened()
        return self

    def close(self) -> None:
        """Closes the connection, within 20 s, and ends all calls of other threads with RuntimeError."""
        with self._opening:
            end, self._end, self._running = self._end, None, None
        if end is not None:
            end()

    quote = blocking(AsyncClient.quote)
    quote_spec = blocking(AsyncClient.quote_spec)
    list = iterating(AsyncClient.list)
    watch = iterating(AsyncClient.watch)
    projects = iterating(AsyncClient.projects)
    caller = blocking(AsyncClient.caller)
    models = blocking(AsyncClient.models)
    account = blocking(AsyncClient.account)
    healthy = blocking(AsyncClient.healthy)

    def generate(self, **fields: Unpack[VideoFields]) -> JobHandle:
        """Requests a clip and returns a handle of its job, as `AsyncClient.generate` does."""
        return self._handle(_generate(self, **fields))

    def generate_image(self, **fields: Unpack[ImageFields]) -> JobHandle:
        """Requests pictures and returns a handle, as `AsyncClient.generate_image` does."""
        return self._handle(_generate_image(self, **fields))

    def generate_speech(self, **fields: Unpack[SpeechFields]) -> JobHandle:
        """Requests speech and returns a handle, as `AsyncClient.generate_speech` does."""
        return self._handle(_generate_speech(self, **fields))

    def generate_sound(self, **fields: Unpack[SoundFields]) -> JobHandle:
        """Requests a sound and returns a handle, as `AsyncClient.generate_sound` does."""
        return self._handle(_generate_sound(self, **fields))

    def generate_spec(self, spec: Spec, **fields: Unpack[SpecFields]) -> JobHandle:
        """Requests what a spec says, such as `VideoUpscaleSpec`, and returns a handle."""
        return self._handle(_generate_spec(self, spec, **fields))

    def job(self, job_id: str) -> JobHandle:
        """Returns a handle of a job, with its present state and its request. Raises JobNotFound."""
        return self._handle(_job(self, job_id))

    def wait_all(self, jobs: Iterable[JobHandle | Job], *, timeout: float | None = None) -> Sequence[Job]:
        """Returns all jobs, in the order given, when each is final or needs attention; `state` says how it ended.

        No failed job is raised. Raises TimeoutError after `timeout` seconds, CallError, WatchInterrupted.
        """
        return _wait_all(self, _inner(jobs), timeout=timeout)

    def as_completed(
        self, jobs: Iterable[JobHandle | Job], *, timeout: float | None = None
    ) -> Generator[Job, None, None]:
        """Yields each job once, as soon as it is final or needs attention, as `AsyncClient.as_completed` does."""
        return _as_completed(self, _inner(jobs), timeout=timeout)

    def _handle(self, handle: AsyncJobHandle) -> JobHandle:
        return JobHandle(self._opened, lambda: handle)

    def _opened(self) -> Portal:
        running = self._running
        if running is not None:
            return running
        with self._opening:
            if self._running is None:
                portal = Portal()
                try:
                    portal.run(self._client.open)
                except BaseException:
                    portal.close(_nothing)
                    raise
                # Also at the exit of the interpreter, before it ends threads that it does not wait for.
                self._end = weakref.finalize(self, portal.close, self._client.close)
                self._running = portal
            return self._running


_generate = blocking(AsyncClient.generate)
_generate_image = blocking(AsyncClient.generate_image)
_generate_speech = blocking(AsyncClient.generate_speech)
_generate_sound = blocking(AsyncClient.generate_sound)
_generate_spec = blocking(AsyncClient.generate_spec)
_job = blocking(AsyncClient.job)
_wait_all = blocking(AsyncClient.wait_all)
_as_completed = iterating(AsyncClient.as_completed)


async def _nothing() -> None:
    pass


def _inner(jobs: Iterable[JobHandle | Job]) -> Iterable[AsyncJobHandle | Job]:
    return [each if isinstance(each, Job) else each._inner() for each in jobs]
