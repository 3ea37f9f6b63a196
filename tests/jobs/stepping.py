"""Jobs that run over a real store and real scenes, with a provider and media tools that are scripted call by call."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from evergreen_server.jobs.connecting import open_database
from evergreen_server.jobs.database import jobs
from evergreen_server.jobs.media import Clip, Picture
from evergreen_server.jobs.model import Job, JobRequest, Slot
from evergreen_server.jobs.polling import Durations, Pace
from evergreen_server.jobs.progress import ProgressBuffer
from evergreen_server.jobs.provider import Media, PictureRule, Role, Submission, Task, TaskState, VideoSpec
from evergreen_server.jobs.signals import Signals
from evergreen_server.jobs.store import Change, JobStore
from evergreen_server.jobs.tasks import TaskRecords
from evergreen_server.jobs.work import Shield, Tools
from evergreen_server.jobs.workflow import Runner
from evergreen_storage import SceneStore
from evergreen_storage.disk import Traits
from evergreen_storage.local import LocalStorage
from tests.jobs.tools import request_at, store_of, tools_of

SCALE = 2000.0
"""A pause of a minute takes 30 ms."""
PICTURE = Picture(data=b"a picture", content_type="image/jpeg", width=4, height=4)
CLIP = Clip(content_type="video/mp4", width=4, height=4, duration_seconds=1.0, codec="h264", frame_rate=24.0)


class Script:
    """What the calls raise, by their name, each once and in order; then all of them succeed."""

    def __init__(self, **raised: Sequence[BaseException]) -> None:
        self._raised = {name: list(faults) for name, faults in raised.items()}
        self.calls: list[str] = []

    def call(self, name: str) -> None:
        self.calls.append(name)
        if left := self._raised.get(name):
            raise left.pop(0)


class ScriptedMedia:
    """Media tools for which every file is fine, but for what the script says."""

    def __init__(self, script: Script) -> None:
        self._script = script

    async def picture(self, _source: object, _rule: object, *, owner: str) -> Picture:
        self._script.call("picture")
        return PICTURE

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

    async def create(self, _spec: object, _media: object, *, before_send: Callable[[], None]) -> Submission:
        self._script.call("compose")
        before_send()
        self.sent += 1
        self._script.call("create")
        return Submission(task_id=f"task-{self.sent}", estimated_millicredits=None)

    async def task(self, task_id: str) -> Task:
        self._script.call("task")
        return Task(task_id=task_id, state=TaskState.CANCELLED, status="CANCELLED")

    async def upload(self, _name: str, _content_type: str, _path: Path) -> str:
        self._script.call("upload")
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
    def picture_rule(self, _spec: VideoSpec, _role: Role) -> PictureRule:
        return PictureRule()


class Admission:
    """Lets every job go on at once that stands in line."""

    async def accepted(self, _model: str) -> None:
        return

    def look(self, _models: object) -> None:
        return


class Stepping:
    """A runner of jobs, and what it ran them over."""

    def __init__(self, tools: Tools, store: JobStore, provider: ScriptedProvider) -> None:
        self.tools, self.store, self.provider, self.runner = tools, store, provider, Runner(tools)

    async def run(self, request: JobRequest, *, seconds: float = 20.0, inline: bytes = b"inline") -> Job:
        """Runs a job to its end, or to a question to its caller."""
        digests = {media.digest: inline for media in request.spec.media if media.digest}
        job = await self.store.accept(request, job_id="job-1", estimated_millicredits=24_000, inline=digests)
        async with asyncio.timeout(seconds):
            await self.runner.run(job.job_id, 1, 0)
        return await self.store.get(job.job_id)


def with_picture(request: JobRequest | None = None) -> JobRequest:
    """A request with one inline picture."""
    request = request or request_at(datetime.now(UTC))
    spec = VideoSpec(
        model="gen4.5",
        prompt_text="a rocket rises",
        duration_seconds=2,
        media=(Media(role=Role.FIRST_FRAME, digest="one"),),
    )
    return JobRequest(
        project_id=request.project_id,
        scene_id=request.scene_id,
        request_id=request.request_id,
        digest="",
        spec=spec,
        start_by=request.start_by,
    )


@asynccontextmanager
async def stepping(
    folder: Path, script: Script, *, clock: Callable[[], datetime] | None = None, traits: Traits | None = None
) -> AsyncIterator[Stepping]:
    """Opens all that a runner needs, in a folder that is empty or was used so before."""
    now, signals = clock or (lambda: datetime.now(UTC)), Signals()
    loop = asyncio.get_running_loop()
    granting: set[asyncio.Task[None]] = set()

    async def grant(job_id: str) -> None:
        mine = sa.update(jobs).where(jobs.c.job_id == job_id, jobs.c.slot == Slot.WANTED.value)
        await database.write(lambda db: db.execute(mine.values(slot=Slot.HELD.value)))
        signals.wake(job_id)

    def changed(changes: Sequence[Change]) -> None:
        for change in changes:
            if change.queue:
                task = loop.create_task(grant(change.job_id))
                granting.add(task)
                task.add_done_callback(granting.discard)

    async with (
        open_database(f"sqlite:///{folder / 'jobs.sqlite'}") as database,
        Shield(grace_seconds=20) as shield,
        AsyncExitStack() as stack,
    ):
        storage = await LocalStorage.open(folder / "scenes", clock=now, traits=traits)
        stack.push_async_callback(storage.close)
        store = store_of(database, clock=now, changed=changed, kind=ScriptedStore)
        scenes, provider = ScriptedScenes(storage, clock=now), ScriptedProvider(script)
        store.script = scenes.script = script
        tools = tools_of(
            store,
            tasks=TaskRecords(database=database, store=store, clock=now),
            provider=provider,
            models=Models(),
            media=ScriptedMedia(script),
            scenes=scenes,
            admission=Admission(),
            signals=signals,
            progress=ProgressBuffer(store.flush),
            durations=Durations(),
            pace=Pace(scale=SCALE),
            shield=shield,
            clock=now,
        )
        yield Stepping(tools, store, provider)
        if granting:
            await asyncio.wait(granting)
