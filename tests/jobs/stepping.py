"""Jobs that run over a real store and real scenes, with a provider and media tools that are scripted call by call."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import sqlalchemy as sa

from evergreen_server.jobs.admission.durations import Durations
from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.schema import jobs
from evergreen_server.jobs.execution.context import Limits, StepContext
from evergreen_server.jobs.execution.polling.schedule import Pace
from evergreen_server.jobs.execution.runner import Runner
from evergreen_server.jobs.model.change import Change
from evergreen_server.jobs.model.job import Job, JobRequest
from evergreen_server.jobs.model.states import Slot
from evergreen_server.jobs.store.jobs import JobStore
from evergreen_server.jobs.store.progress_buffer import ProgressBuffer
from evergreen_server.jobs.store.provider_tasks import TaskRecords
from evergreen_server.jobs.wakeups import Wakeups
from evergreen_server.ports.catalog import MediaRule, PictureRule
from evergreen_server.ports.media import Clip, Fetched, Picture
from evergreen_server.ports.provider import Read, Submission, Task, TaskState
from evergreen_server.ports.specs import GenerationSpec, Media, PreparedMedia, Role
from evergreen_server.runtime.shield import ProtectedTasks
from evergreen_server.runtime.threads import OwnThreads
from evergreen_storage import SceneStore
from evergreen_storage.engines.disk import Traits
from evergreen_storage.engines.local import LocalStorage
from tests.jobs.tools import context_of, request_at, store_of

SCALE = 2000.0
"""A pause of a minute takes 30 ms."""
PICTURE = Picture(data=b"a picture", content_type="image/jpeg", width=4, height=4)
JOB_ID = "019f0000-0000-7000-8000-000000000001"
CLIP = Clip(content_type="video/mp4", width=4, height=4, duration_seconds=1.0, codec="h264")


class Script:
    """What the calls raise, by their name, each once and in order; then all of them succeed."""

    def __init__(self, **raised: Sequence[BaseException]) -> None:
        self._raised = {name: list(faults) for name, faults in raised.items()}
        self.calls: list[str] = []

        self.hung: set[str] = set()
        """Owners whose fetches give no byte until `released`; `upload` for all uploads."""
        self.released = asyncio.Event()
        self.fetching: Counter[str] = Counter()
        self.fetched: list[str] = []

        self.hanging = 0
        self._hangs = asyncio.Event()

    async def hang(self, owner: str) -> None:
        if owner in self.hung:
            self.hanging += 1
            self._hangs.set()
            await self.released.wait()

    async def until_hung(self, times: int) -> None:
        """Waits until so many fetches and uploads have begun to hang."""
        async with asyncio.timeout(60):
            while self.hanging < times:
                self._hangs.clear()
                await self._hangs.wait()

    def call(self, name: str) -> None:
        self.calls.append(name)
        if left := self._raised.get(name):
            raise left.pop(0)


class ScriptedMedia:
    """Media tools for which every file is fine, but for what the script says."""

    def __init__(self, script: Script, folder: Path) -> None:
        self._script = script
        self._folder = folder

    @asynccontextmanager
    async def fetch(self, uri: str, _kind: object, *, owner: str) -> AsyncIterator[Fetched]:
        self._script.fetching[owner] += 1
        try:
            await self._script.hang(owner)
            self._script.call("fetch")
        finally:
            self._script.fetching[owner] -= 1
        self._script.fetched.append(uri)
        path = self._folder / f"fetched-{len(self._script.fetched)}"
        _write(path, b"fetched")
        yield Fetched(path=path, size=7, content_type="image/jpeg")

    def may_pass_on(self, _uri: str) -> bool:
        return False

    async def picture(self, source: Path | bytes, _rule: object, *, owner: str) -> Picture:
        self._script.call("picture")
        # What a job keeps is as it must be, as the real ones pass on what they made.
        kept = isinstance(source, Path) and "scenes" in source.parts
        return replace(PICTURE, data=_read(source)) if kept else PICTURE

    async def probe(self, _path: Path, *, owner: str) -> Clip:
        self._script.call("probe")
        return CLIP

    async def poster(self, _path: Path, *, owner: str) -> bytes:
        self._script.call("poster")
        return b"a poster"


class ScriptedProvider:
    """Makes a task of each create, which has ended when it is asked for, but for what the script says."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.sent = 0
        self.uris: list[str] = []
        self.uploaded: list[bytes] = []
        self.before_reading: Callable[[], None] = lambda: None

    async def create(
        self, _spec: object, media: Sequence[PreparedMedia], *, before_send: Callable[[], None]
    ) -> Submission:
        self._script.call("compose")
        self.uris = [item.uri for item in media]
        before_send()
        self.sent += 1
        self._script.call("create")
        return Submission(task_id=f"task-{self.sent}", estimated_millicredits=None)

    async def task(self, task_id: str) -> Task:
        self._script.call("task")
        return Task(task_id=task_id, state=TaskState.CANCELLED, status="CANCELLED")

    async def upload(self, _name: str, _content_type: str, size: int, read: Read) -> str:
        self._script.call("upload")
        self.before_reading()
        await self._script.hang("upload")
        pieces = [await read(start, min(1_000_000, size - start)) for start in range(0, size, 1_000_000)]
        self.uploaded.append(b"".join(pieces))
        return "runway://made"


class ScriptedStore(JobStore):
    """A store that fails as the script says before it is asked for anything."""

    script = Script()

    async def again(self, job: Job) -> Job:
        self.script.call("again")
        return await super().again(job)


class ScriptedScenes(SceneStore):
    """Scenes that fail as the script says."""

    script = Script()

    async def record_request(self, *arguments: object, **more: object) -> object:  # type: ignore[override]
        self.script.call("record_request")
        return await super().record_request(*arguments, **more)  # type: ignore[arg-type]


class Models:
    def picture_rule(self, _spec: GenerationSpec, _role: Role) -> PictureRule:
        return PictureRule()

    def media_rule(self, _spec: GenerationSpec, _index: int) -> MediaRule:
        return MediaRule()


class SlotScheduler:
    """Lets every job go on at once that stands in line."""

    async def accepted(self, _model: str) -> None:
        return

    def schedule(self, _models: object) -> None:
        return


class Stepping:
    """A runner of jobs, and what it ran them over."""

    def __init__(
        self,
        context: StepContext,
        store: JobStore,
        provider: ScriptedProvider,
        database: Database,
        look: Callable[[str], object],
        changed: asyncio.Event,
    ) -> None:
        self.context, self.store, self.provider, self.runner = context, store, provider, Runner(context)
        self.database, self.look, self.changed = database, look, changed
        self.granted = 0

    async def run(self, request: JobRequest, *, seconds: float = 60.0, inline: bytes = b"inline") -> Job:
        """Runs a job to its end, or to a question to its caller."""
        job_id = await self.accept(request, inline=inline)
        async with asyncio.timeout(seconds):
            await self.runner.run(job_id, 1, 0)
        return await self.store.get(job_id)

    def start(self, job_id: str) -> "asyncio.Task[None]":
        """Runs a job beside; to be cancelled by whoever does not wait for its end."""
        return asyncio.create_task(self.runner.run(job_id, 1, 0))

    async def accept(self, request: JobRequest, *, job_id: str = JOB_ID, inline: bytes = b"inline") -> str:
        digests = {media.digest: inline for media in request.spec.media if media.digest}
        await self.store.accept(request, job_id=job_id, estimated_millicredits=24_000, inline=digests)
        return job_id

    async def until(self, job_id: str, reached: Callable[[Job], bool], *, seconds: float = 60.0) -> Job:
        """Waits, reading the row after each change, until the job is as asked."""
        async with asyncio.timeout(seconds):
            while True:
                self.changed.clear()
                if reached(job := await self.store.get(job_id)):
                    return job
                await self.changed.wait()


def with_picture(media: Media | None = None, **fields: object) -> JobRequest:
    """A request with one picture, which is inline unless it is given otherwise."""
    request = request_at(datetime.now(UTC))
    media = media or Media(role=Role.FIRST_FRAME, digest="one")
    return replace(request, spec=replace(request.spec, media=(media,)), **fields)  # type: ignore[arg-type]


@asynccontextmanager
async def stepping(
    folder: Path,
    script: Script,
    *,
    clock: Callable[[], datetime] | None = None,
    traits: Traits | None = None,
    before_slot: Callable[[], None] | None = lambda: None,
    limits: Limits | None = None,
) -> AsyncIterator[Stepping]:
    """Opens all that a runner needs, in a folder that is empty or was used so before.

    Jobs in line are given their slots at once, after `before_slot` was called; without one they never are.
    """
    now, wakeups = clock or (lambda: datetime.now(UTC)), Wakeups()
    loop = asyncio.get_running_loop()
    news = asyncio.Event()
    granting: set[asyncio.Task[None]] = set()

    async def grant(job_id: str) -> None:
        if before_slot is None:
            return
        before_slot()
        mine = sa.update(jobs).where(jobs.c.job_id == job_id, jobs.c.slot == Slot.WANTED.value)
        await database.write(lambda db: db.execute(mine.values(slot=Slot.HELD.value)))
        steps.granted += 1
        wakeups.wake(job_id)

    def look(job_id: str) -> None:
        task = loop.create_task(grant(job_id))
        granting.add(task)
        task.add_done_callback(granting.discard)

    def changed(changes: Sequence[Change]) -> None:
        news.set()
        for change in changes:
            if change.queue:
                look(change.job_id)

    async with (
        open_database(f"sqlite:///{folder / 'jobs.sqlite'}") as database,
        ProtectedTasks(grace_seconds=20) as shield,
        OwnThreads(2, name="job-files") as files,
        AsyncExitStack() as stack,
    ):
        storage = await LocalStorage.open(folder / "scenes", clock=now, traits=traits)
        stack.push_async_callback(storage.close)
        store = store_of(database, clock=now, changed=changed, kind=ScriptedStore)
        scenes, provider = ScriptedScenes(storage, clock=now), ScriptedProvider(script)
        store.script = scenes.script = script
        context = context_of(
            store,
            tasks=TaskRecords(database=database, store=store, clock=now),
            provider=provider,
            models=Models(),
            media=ScriptedMedia(script, folder),
            scenes=scenes,
            scheduler=SlotScheduler(),
            wakeups=wakeups,
            progress=ProgressBuffer(store.flush),
            durations=Durations(),
            pace=Pace(scale=SCALE),
            limits=limits or Limits(),
            shield=shield,
            files=files,
            temp_dir=Path(stack.enter_context(TemporaryDirectory(dir=folder))),
            clock=now,
        )
        steps = Stepping(context, store, provider, database, look, news)
        yield steps
        if granting:
            await asyncio.wait(granting)


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _read(source: Path | bytes) -> bytes:
    return source if isinstance(source, bytes) else source.read_bytes()
