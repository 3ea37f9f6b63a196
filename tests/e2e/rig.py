"""A server process that is killed and started again beside a sandbox that lives on, and what must hold at the end."""

import asyncio
import json
import signal
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import google_crc32c
import grpc

from evergreen.v1 import video_pb2 as v1
from tests.jobs.lives import check_lives
from tests.serving import FINAL, Api, Control, ServerProcess

SERVE = ("-m", "evergreen_server", "serve")
PROJECT = "film"
SCENE = "scene-1"
STEADY = FINAL | {v1.JOB_STATE_NEEDS_ATTENTION}
"""The states in which the service waits for nobody but the caller."""


class Watcher:
    """Watches a project as a client does that must miss nothing: after each disconnect again, from its cursor."""

    def __init__(self) -> None:
        self.events: list[v1.WatchProgressResponse] = []
        self.cursor = 0
        self._news = asyncio.Event()

    async def watch(self, address: str) -> str:
        """Watches until the stream ends, and tells how it ended."""
        # A channel of its own, so that only the server's end can end the stream.
        async with grpc.aio.insecure_channel(address) as channel:
            try:
                async for message in Api(channel, address).events(project_id=PROJECT, after_revision=self.cursor):
                    assert message.revision >= self.cursor, "a revision may not go back"
                    if message.HasField("event"):
                        assert message.revision > self.cursor, "nothing may be told twice"
                        self.events.append(message)
                    self.cursor = message.revision
                    self._news.set()
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                return str(error.details())
        raise AssertionError("a project's watch ends only with its server")

    async def check(self, api: Api) -> None:
        """Compares what was told over all reconnects with what a first look at the whole history tells."""
        whole: list[v1.WatchProgressResponse] = []
        async with asyncio.timeout(20):
            async for message in api.events(project_id=PROJECT, after_revision=0):
                if message.HasField("checkpoint"):
                    end = message.revision
                    break
                whole.append(message)
            while self.cursor < end:
                self._news.clear()
                await self._news.wait()
        assert _changes(self.events) == _changes(whole)


def _changes(messages: list[v1.WatchProgressResponse]) -> list[tuple[int, str, int]]:
    """What may never be left out of a watch."""
    return [
        (message.revision, message.event.job.job_id, message.event.kind)
        for message in messages
        if message.event.kind != v1.EVENT_KIND_PROGRESS
    ]


class Rig:
    """The server, its sandbox, and one watcher that comes back after each kill. `api` is the running server's."""

    api: Api

    def __init__(self, tmp_path: Path, sandbox: Control, *, program: Sequence[str] = SERVE, **changes: str) -> None:
        self.sandbox = sandbox
        self.scene = tmp_path / "data" / "projects" / PROJECT / SCENE
        self.log = tmp_path / "data.log"
        self.watcher = Watcher()
        self._process = ServerProcess(tmp_path / "data", sandbox.url, changes, program=program)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._process)
            await self.start()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watching.cancel()
        await asyncio.wait({self._watching})
        await self._process.end()
        await self._stack.__aexit__(kind, error, trace)

    async def start(self) -> None:
        self.api = await self._process.start()
        self._watching = asyncio.create_task(self.watcher.watch(self.api.address), name="watcher")

    @property
    def pid(self) -> int:
        return self._process.pid

    async def stop(self, number: signal.Signals) -> tuple[int, str]:
        """Ends the server; gives its exit code and how the watch ended."""
        code = await self._process.end(number)
        return code, await asyncio.wait_for(self._watching, 10)

    async def kill(self) -> None:
        assert (await self.stop(signal.SIGKILL))[0] == -signal.SIGKILL

    async def steady(self, job_id: str, seconds: float = 30) -> v1.Job:
        """Waits until a job has ended or needs its caller."""
        return await self.api.until(job_id, *STEADY, seconds=seconds)

    async def resolve(self, job: v1.Job, prompt: str) -> None:
        """Resolves a job in NEEDS_ATTENTION from the sandbox's books: ATTACH what was paid, or else RESUBMIT."""
        assert (job.error.reason, job.provider_task_id) == ("SUBMISSION_UNKNOWN", ""), job
        known = [task for task in await self.sandbox.tasks() if task["promptText"] == prompt and task["chargedCredits"]]
        assert len(known) <= 1, f"{prompt} was paid for more than once"
        resolution = v1.SUBMISSION_RESOLUTION_ATTACH if known else v1.SUBMISSION_RESOLUTION_RESUBMIT
        task_id = known[0]["id"] if known else ""
        await self.api.video.ResolveSubmission(
            v1.ResolveSubmissionRequest(job_id=job.job_id, resolution=resolution, provider_task_id=task_id)
        )

    async def check(self) -> None:
        """Checks every life so far, what the watcher saw of it, and the whole scene tree."""
        await check_lives(self.api, PROJECT)
        await self.watcher.check(self.api)
        jobs = (await self.api.video.ListVideos(v1.ListVideosRequest(project_id=PROJECT, page_size=200))).jobs
        await asyncio.to_thread(check_scene, self.scene, list(jobs))


def check_scene(scene: Path, jobs: list[v1.Job]) -> None:
    """Checks that every SUCCEEDED clip is whole, plays and is named in scene.json, and that nothing else is there."""
    document = json.loads((scene / "metadata" / "scene.json").read_text())
    named = {entry["path"]: entry for entry in document["assets"]["videos"]}
    done = [job for job in jobs if job.state == v1.JOB_STATE_SUCCEEDED]
    for job in done:
        assert job.outputs, job.job_id
        for output in job.outputs:
            data = (scene / output.asset).read_bytes()
            assert (len(data), google_crc32c.value(data)) == (output.size_bytes, output.crc32c)
            assert (named[output.asset]["sizeBytes"], named[output.asset]["jobId"]) == (len(data), job.job_id)
            assert int(named[output.asset]["crc32c"], 16) == output.crc32c
            assert (scene / output.poster).read_bytes().startswith(b"\xff\xd8")
            with av.open(str(scene / output.asset)) as clip:
                assert sum(1 for _ in clip.decode(video=0)) > 1
        sidecar = json.loads((scene / "metadata" / f"{job.job_id}.json").read_text())
        assert (sidecar["jobId"], sidecar["providerTaskId"]) == (job.job_id, job.provider_task_id)
    assert sorted(document["generation"]["completedVideos"]) == sorted(job.job_id for job in done)
    if all(job.state in FINAL for job in jobs):
        assert visible(scene / "videos") == {path.removeprefix("videos/") for path in named}


def visible(folder: Path) -> set[str]:
    """The files that a reader of the tree sees; what a killed writer leaves behind is hidden."""
    with suppress(FileNotFoundError):
        return {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    return set()


async def check_books(sandbox: Control, jobs: dict[str, v1.Job]) -> None:
    """Compares with the sandbox's books: by prompt, one task was paid at most, and it is the job's own."""
    paid = [task for task in await sandbox.tasks() if task["chargedCredits"]]
    twice = [prompt for prompt, count in Counter(task["promptText"] for task in paid).items() if count > 1]
    assert twice == [], "paid twice"
    task_of = {task["promptText"]: task["id"] for task in paid}
    for prompt, job in jobs.items():
        if job.state == v1.JOB_STATE_SUCCEEDED:
            assert task_of[prompt] == job.provider_task_id, prompt
