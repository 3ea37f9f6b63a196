"""SceneService alone, over real gRPC, a real database and real files, with a storage that can be stopped anywhere."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import grpc
import pytest

from evergreen.v1 import scene_pb2, scene_pb2_grpc
from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.feed.hub import WatchHub
from evergreen_server.jobs.model.change import Change
from evergreen_server.jobs.model.job import Job, JobRequest
from evergreen_server.jobs.model.states import CostBasis, State
from evergreen_server.jobs.store.jobs import JobStore
from evergreen_server.media.limits import MediaLimits
from evergreen_server.media.tools import Media
from evergreen_server.ports.specs import GenerationSpec
from evergreen_server.rpc.access.policy import Access
from evergreen_server.rpc.handlers import service_handler
from evergreen_server.rpc.messages.events import EventWire
from evergreen_server.rpc.services.scene import SceneService
from evergreen_server.rpc.services.transfers import Transfers
from evergreen_server.runtime.background import Background
from evergreen_server.runtime.ids import JobIds
from evergreen_server.runtime.shield import ProtectedTasks
from evergreen_server.scenes.deletion import SceneDeletions
from evergreen_server.scenes.notes import FileNotes
from evergreen_server.scenes.writers import CountedWriters
from evergreen_storage import Json, Meta, SceneStore, Storage, Unavailable, open_storage
from tests.jobs.feed.films import GivenFilms
from tests.serving import WAIT_SECONDS


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Script:
    """What the storage does other than well: deletes that it still carries out, a URL, a pause before an answer."""

    deletes: int | None = None
    url: str | None = None
    stored: asyncio.Event = field(default_factory=asyncio.Event)
    may_answer: asyncio.Event | None = None


class ScriptedStorage:
    """A storage that follows its script, and else is the one it stands for."""

    def __init__(self, storage: Storage, script: Script) -> None:
        self._storage = storage
        self._script = script

    def __getattr__(self, name: str) -> object:
        return getattr(self._storage, name)

    async def delete(self, key: str) -> None:
        if self._script.deletes is not None:
            if not self._script.deletes:
                raise Unavailable(f"{key!r} cannot be deleted: the disk is gone")
            self._script.deletes -= 1
        await self._storage.delete(key)

    async def sign(self, key: str, *, ttl: timedelta) -> str | None:
        return f"{self._script.url}/{key}?ttl={ttl.total_seconds():g}" if self._script.url else None

    async def put_stream(self, key: str, *args: object, **more: object) -> Meta:
        meta = await self._storage.put_stream(key, *args, **more)
        self._script.stored.set()
        if self._script.may_answer is not None:
            await self._script.may_answer.wait()
        return meta


class SceneApi:
    """The stub, and the jobs room beside it, where nothing executes a job."""

    def __init__(self, channel: grpc.aio.Channel, store: JobStore, script: Script, changed: asyncio.Event) -> None:
        self.channel = channel
        self.scene = scene_pb2_grpc.SceneServiceStub(channel)
        self.script = script
        self._store = store
        self._changed = changed

    async def accept(self, scene_id: str = "one", *, project_id: str = "film", **spec: object) -> Job:
        """Records a job that ends by `end` alone."""
        job_id = JobIds(now).new()
        request = JobRequest(
            project_id=project_id,
            scene_id=scene_id,
            request_id=job_id,
            digest=job_id,
            spec=GenerationSpec(model="gen4.5", **spec),
            start_by=now() + timedelta(hours=1),
        )
        return await self._store.accept(request, job_id=job_id, estimated_millicredits=None, inline={})

    async def end(self, job: Job, *states: State) -> None:
        """Takes a job through states, or else to its end."""
        for state in states or (State.FAILED,):
            edit = partial(Job.ended, state=state)
            await self._store.command(job.job_id, lambda job, edit=edit: edit(job.charged(0, CostBasis.CONFIRMED)))

    async def state(self, job: Job) -> str:
        return (await self._store.get(job.job_id)).state.value

    async def until(self, job: Job, state: str, seconds: float = WAIT_SECONDS) -> None:
        async with asyncio.timeout(seconds):
            self._changed.clear()
            while await self.state(job) != state:
                await self._changed.wait()
                self._changed.clear()


@asynccontextmanager
async def scene_serving(
    data: Path,
    *,
    transfers: Transfers | None = None,
    wait_seconds: float = 5.0,
    url: str = "",
    options: Mapping[str, Json] | None = None,
    check: Callable[[], None] = lambda: None,
) -> AsyncIterator[SceneApi]:
    await asyncio.to_thread((data / "temp").mkdir, parents=True, exist_ok=True)
    script = Script()
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        database = await enter(open_database(f"sqlite:///{data / 'jobs.sqlite'}"))
        storage = await enter(open_storage(url or data.as_uri(), **(options or {})))
        media = await enter(Media(private_hosts=(), limits=MediaLimits(), temp_dir=data / "temp"))
        scenes = SceneStore(ScriptedStorage(storage, script), clock=now)
        wire = EventWire()
        hub = WatchHub(database=database, films=GivenFilms(), wire=wire, clock=now, on_events_read=lambda _: None)
        news = asyncio.Event()

        def changed(changes: Sequence[Change]) -> None:
            hub.on_commit(changes)
            news.set()

        writers = CountedWriters(database=database)
        store = JobStore(
            database=database,
            replica_id="local",
            clock=now,
            encode_event=wire.event,
            enqueue=lambda _db, _job: "",
            changed=changed,
            refuse=writers.refuse,
        )
        background = await enter(Background(failed=pytest.fail))
        background.start(hub.run, name="feed")
        shield = await enter(ProtectedTasks(grace_seconds=5))
        service = SceneService(
            scenes=scenes,
            deletions=SceneDeletions(
                database=database,
                store=store,
                hub=hub,
                scenes=scenes,
                clock=now,
                replica_id="local",
                writers=writers,
                lease_check=lambda: check,
                wait_seconds=wait_seconds,
            ),
            media=media,
            transfers=transfers or Transfers(),
            shield=shield,
            clock=now,
            notes=FileNotes(database=database, clock=now),
        )
        server = grpc.aio.server()
        server.add_generic_rpc_handlers(
            (service_handler(scene_pb2.DESCRIPTOR.services_by_name["SceneService"], service, Access(None)),)
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        stack.push_async_callback(server.stop, 0)
        yield SceneApi(await enter(grpc.aio.insecure_channel(f"127.0.0.1:{port}")), store, script, news)
