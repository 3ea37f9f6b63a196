"""Server processes that are killed and started again beside a sandbox that lives on, and what must hold at the end."""

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import google_crc32c
import grpc
import psycopg
from PIL import Image

from evergreen.v1 import video_pb2 as v1
from tests.jobs.lives import check_lives
from tests.serving import ALL_KINDS, FINAL, WAIT_SECONDS, Api, Control, ServerProcess

SERVE = ("-m", "evergreen_server", "serve")
PROJECT = "film"
SCENE = "scene-1"
STEADY = FINAL | {v1.JOB_STATE_NEEDS_ATTENTION}
"""The states in which the service waits for nobody but the caller."""
RECONNECT_SECONDS = 0.05


class Watcher:
    """Watches a project as a client does that must miss nothing: after each disconnect again, from its cursor.

    With `films` it asks for those of the project as well.
    """

    def __init__(self, project_id: str = PROJECT, *, films: bool = False) -> None:
        self._what = {"project_id": project_id, "kinds": ALL_KINDS, "include_films": films}
        self.events: list[v1.WatchProgressResponse] = []
        self.cursor = 0
        self.endings: list[str] = []
        self._news = asyncio.Event()

    async def run(self, another: Callable[[], Awaitable[Api]]) -> None:
        """Watches for ever, at whichever server `another` names next."""
        while True:
            self.endings.append(await self._watch((await another()).address))
            self._tell()
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _watch(self, address: str) -> str:
        """Watches until the stream ends, and tells how it ended."""
        # A channel of its own, so that only the server's end can end the stream.
        async with grpc.aio.insecure_channel(address) as channel:
            try:
                async for message in Api(channel, address).events(after_revision=self.cursor, **self._what):
                    assert message.revision >= self.cursor, "a revision may not go back"
                    if message.HasField("event") or message.HasField("film_event"):
                        assert message.revision > self.cursor, "nothing may be told twice"
                        self.events.append(message)
                    self.cursor = message.revision
                    self._tell()
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                return str(error.details())
        raise AssertionError("a project's watch ends only with its server")

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def until(self, reached: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
        """Waits until something is so of this watcher."""
        async with asyncio.timeout(seconds):
            while not reached():
                await self._news.wait()

    async def missed(self, whole: Sequence[v1.WatchProgressResponse], end: int) -> list[str]:
        """Names what it was not told over all reconnects, or in another order, of a history up to a revision."""
        await self.until(lambda: self.cursor >= end)
        told = changes([message for message in self.events if message.revision <= end])
        happened = changes(whole)
        if told == happened:
            return []
        return [f"not told: {change}" for change in happened if change not in told] or ["told what did not happen"]


def changes(messages: Sequence[v1.WatchProgressResponse]) -> list[tuple[int, str, str]]:
    """What may never be left out of a watch: revision, job or film, and kind."""
    of_jobs = [
        (message.revision, message.event.job.job_id, v1.EventKind.Name(message.event.kind))
        for message in messages
        if message.HasField("event") and message.event.kind != v1.EVENT_KIND_PROGRESS
    ]
    films = [(message.revision, message.film_event) for message in messages if message.HasField("film_event")]
    of_films = [
        (revision, event.film.film_id, v1.FilmEventKind.Name(event.kind))
        for revision, event in films
        if event.kind != v1.FILM_EVENT_KIND_PROGRESS
    ]
    return sorted(of_jobs + of_films)


async def history(
    api: Api, project_id: str = PROJECT, *, films: bool = False
) -> tuple[list[v1.WatchProgressResponse], int]:
    """Gives every event of a project so far, and the revision that it reaches."""
    whole: list[v1.WatchProgressResponse] = []
    async with asyncio.timeout(60):
        asked = {"project_id": project_id, "kinds": ALL_KINDS, "include_films": films}
        async for message in api.events(after_revision=0, **asked):
            if message.HasField("checkpoint"):
                return whole, message.revision
            whole.append(message)
    raise AssertionError("the watch ended")


class Rig:
    """Servers on one database, their sandbox, and a watcher for each server that comes back after every kill.

    Without a `database_url` there is one server, on its own SQLite file. `own` has what differs for a server, by its
    number. `api` is that of a running server.
    """

    def __init__(
        self,
        tmp_path: Path,
        sandbox: Control,
        *,
        program: Sequence[str] = SERVE,
        database_url: str = "",
        replicas: int = 1,
        own: Mapping[int, Mapping[str, str]] | None = None,
        **common: str,
    ) -> None:
        self.sandbox = sandbox
        self.scene = tmp_path / "data" / "projects" / PROJECT / SCENE
        self.log = tmp_path / "data.log"
        self.watchers = [Watcher() for _ in range(replicas)]
        self.live: dict[int, Api] = {}
        """The servers that run, by number."""
        self.all: dict[int, Api] = {}
        """The same, and those that a test stopped or took out of `live`."""
        self._url = database_url
        self._ids: dict[int, str] = {}
        self._live_changed = asyncio.Event()
        self._starting = asyncio.Lock()
        if database_url:
            common = {"EVERGREEN_DATABASE_URL": database_url, **common}
        common = {"EVERGREEN_STORAGE_URL": (tmp_path / "data").as_uri(), **common}
        self._processes = [
            ServerProcess(
                tmp_path / (f"data-{number}" if number else "data"),
                sandbox.url,
                {**common, **(own or {}).get(number, {})},
                program=program,
            )
            for number in range(replicas)
        ]

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for process in self._processes:
                await stack.enter_async_context(process)
            for number in range(len(self._processes)):
                await self.start(number)
            stack.push_async_callback(self._end_watches)
            self._watches = [
                asyncio.create_task(watcher.run(partial(self.another, number)), name=f"watcher {number}")
                for number, watcher in enumerate(self.watchers)
            ]
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def _end_watches(self) -> None:
        for task in self._watches:
            if task.done():
                # What a watcher found wrong is the test's failure.
                task.result()
            task.cancel()
        await asyncio.wait(self._watches)

    async def another(self, number: int) -> Api:
        """Gives the running server of a number, or another that runs."""
        while not self.live:
            await self._live_changed.wait()
        return self.live.get(number) or self.live[min(self.live)]

    @property
    def api(self) -> Api:
        return self.live[min(self.live)]

    @property
    def pid(self) -> int:
        return self.pid_of(0)

    def pid_of(self, number: int) -> int:
        return self._processes[number].pid

    @property
    def watcher(self) -> Watcher:
        return self.watchers[0]

    async def start(self, number: int = 0) -> None:
        # One after the other, to learn which lease is whose.
        async with self._starting:
            before = await self._replica_ids()
            self.live[number] = self.all[number] = await self._processes[number].start()
            self._ids[number] = next(iter(await self._replica_ids() - before), "local")
        self._live_changed.set()
        self._live_changed = asyncio.Event()

    async def start_without(self, name: str, number: int = 0) -> None:
        """Starts a server that has ended again, without a variable that it had."""
        self._processes[number].without(name)
        await self.start(number)

    async def _replica_ids(self) -> set[str]:
        if not self._url:
            return set()
        return {row[0] for row in await self.rows("SELECT replica_id FROM replicas")}

    async def rows(self, query: str, *values: object) -> list[tuple]:
        """Asks PostgreSQL directly, for what no caller can see; nothing before the first server made the tables."""

        def ask() -> list[tuple]:
            with psycopg.connect(self._url, connect_timeout=10) as connection:
                return connection.execute(query, values).fetchall()

        try:
            return await asyncio.to_thread(ask)
        except psycopg.errors.UndefinedTable:
            return []

    async def owner(self, job_id: str) -> int:
        """Tells which server runs a job; one that runs nowhere yet is given to any."""
        if self._url:
            found = [row[0] for row in await self.rows("SELECT replica FROM jobs WHERE job_id = %s", job_id)]
            for number in self.live:
                if self._ids[number] in found:
                    return number
        return min(self.live)

    async def stop(self, signal_number: signal.Signals, number: int = 0) -> tuple[int, str]:
        """Ends a server; gives its exit code and how its watch ended."""
        watcher = self.watchers[number]
        known = len(watcher.endings)
        del self.live[number]
        code = await self._processes[number].end(signal_number)
        await watcher.until(lambda: len(watcher.endings) > known)
        return code, watcher.endings[known]

    async def kill(self, number: int = 0) -> None:
        del self.live[number]
        assert await self._processes[number].end(signal.SIGKILL) == -signal.SIGKILL

    async def steady(self, job_id: str, seconds: float = WAIT_SECONDS) -> v1.Job:
        """Waits until a job has ended or needs its caller, also while servers are killed."""
        watcher = self.watchers[0]

        def latest() -> int:
            told = (message for message in reversed(watcher.events) if message.event.job.job_id == job_id)
            return next((message.revision for message in told if message.event.job.state in STEADY), 0)

        async with asyncio.timeout(seconds):
            while True:
                await watcher.until(lambda: latest() > 0, seconds=seconds)
                job = await self.api.status(job_id)
                if job.state in STEADY:
                    return job
                # What was told was resolved since.
                known = latest()
                await watcher.until(lambda known=known: latest() > known, seconds=seconds)

    async def resolve(self, job: v1.Job, prompt: str) -> None:
        """Resolves a job in NEEDS_ATTENTION from the sandbox's books: ATTACH what was paid, or else RESUBMIT."""
        assert (job.error.reason, job.provider_task_id) == ("SUBMISSION_UNKNOWN", ""), job
        known = [task for task in await self.sandbox.tasks() if task["promptText"] == prompt and task["chargedCredits"]]
        # One more for each unknown submission that the request itself chose to have made again.
        again = sum(warning.code == "SUBMISSION_UNKNOWN" for warning in job.warnings)
        assert len(known) <= 1 + again, f"{prompt} was paid for more than once"
        resolution = v1.SUBMISSION_RESOLUTION_ATTACH if known else v1.SUBMISSION_RESOLUTION_RESUBMIT
        task_id = known[-1]["id"] if known else ""
        await self.api.video.ResolveSubmission(
            v1.ResolveSubmissionRequest(job_id=job.job_id, resolution=resolution, provider_task_id=task_id)
        )

    async def jobs(self, project_id: str = PROJECT) -> list[v1.Job]:
        """Every job of a project."""
        found: list[v1.Job] = []
        token = ""
        while True:
            page = await self.api.video.ListVideos(
                v1.ListVideosRequest(project_id=project_id, page_size=200, page_token=token, kinds=ALL_KINDS)
            )
            found.extend(page.jobs)
            token = page.next_page_token
            if not token:
                return found

    async def check(self) -> None:
        """Checks every life so far, what every watcher saw of it, and the whole scene tree."""
        await check_lives(self.api, PROJECT)
        whole, end = await history(self.api)
        for watcher in self.watchers:
            assert await watcher.missed(whole, end) == []
        await asyncio.to_thread(check_scene, self.scene, await self.jobs())


def check_scene(scene: Path, jobs: list[v1.Job]) -> None:
    """Checks that each SUCCEEDED output is whole, decodes, is named in scene.json, and that nothing else is there."""
    document = json.loads((scene / "metadata" / "scene.json").read_text())
    named = {entry["path"]: entry for entries in document["assets"].values() for entry in entries}
    done = [job for job in jobs if job.state == v1.JOB_STATE_SUCCEEDED]
    for job in done:
        assert job.outputs, job.job_id
        for output in job.outputs:
            data = (scene / output.asset).read_bytes()
            assert (len(data), google_crc32c.value(data)) == (output.size_bytes, output.crc32c)
            assert (named[output.asset]["sizeBytes"], named[output.asset]["jobId"]) == (len(data), job.job_id)
            assert int(named[output.asset]["crc32c"], 16) == output.crc32c
            assert _decodes(scene / output.asset)
            if job.kind == v1.MEDIA_KIND_VIDEO:
                assert (scene / output.poster).read_bytes().startswith(b"\xff\xd8")
        sidecar = json.loads((scene / "metadata" / f"{job.job_id}.json").read_text())
        assert (sidecar["jobId"], sidecar["providerTaskId"]) == (job.job_id, job.provider_task_id)
    completed = [
        document["generation"].get(name, []) for name in ("completedVideos", "completedImages", "completedAudio")
    ]
    assert sorted(job_id for ids in completed for job_id in ids) == sorted(job.job_id for job in done)
    if all(job.state in FINAL for job in jobs):
        for folder in ("videos", "audio"):
            assert {f"{folder}/{name}" for name in visible(scene / folder)} == {
                path for path in named if path.startswith(f"{folder}/")
            }


def _decodes(path: Path) -> bool:
    if path.parent.name == "images":
        with Image.open(path) as picture:
            picture.load()
            return True
    frames = 0
    with av.open(str(path)) as opened, suppress(av.FFmpegError):
        # A padded sound ends with bytes that are none.
        for _ in opened.decode(next(iter(opened.streams.video or opened.streams.audio))):
            frames += 1
    return frames > 1


def visible(folder: Path) -> set[str]:
    """The files that a reader of the tree sees; what a killed writer leaves behind is hidden."""
    with suppress(FileNotFoundError):
        return {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    return set()


async def check_books(sandbox: Control, jobs: dict[str, v1.Job]) -> None:
    """Compares jobs, by prompt, with the sandbox's books."""
    assert books_faults(await sandbox.tasks(), jobs) == []


def books_faults(tasks: Sequence[dict], jobs: Mapping[str, v1.Job]) -> list[str]:
    """Names every task of the books that no job accounts for, and what was paid twice. Each prompt is one job's."""
    made: dict[str, list[dict]] = {prompt: [] for prompt in jobs}
    faults = []
    for task in tasks:
        if task["promptText"] in made:
            made[task["promptText"]].append(task)
        else:
            faults.append(f"task {task['id']} was made for no job")
    for prompt, job in jobs.items():
        warned = " ".join(warning.message for warning in job.warnings if warning.code == "SURPLUS_TASK")
        resubmitted = any(warning.code == "SUBMISSION_UNKNOWN" for warning in job.warnings)
        # Of an attempt that failed, one that the caller had resubmitted, or one that came to light late and is named.
        others = [task for task in made[prompt] if task["id"] != job.provider_task_id]
        loose = [task for task in others if task["status"] != "FAILED" and task["id"] not in warned and not resubmitted]
        if job.state == v1.JOB_STATE_NEEDS_ATTENTION and not job.provider_task_id:
            # Whether there is one is what the job asks.
            loose = loose[1:]
        faults += [f"{prompt}: nobody accounts for task {task['id']}" for task in loose]
        own = [task for task in made[prompt] if task["id"] == job.provider_task_id]
        if sum(task["chargedCredits"] > 0 for task in (*own, *loose)) > 1:
            faults.append(f"{prompt}: paid twice")
        if job.provider_task_id and not own:
            faults.append(f"{prompt}: its task {job.provider_task_id} is not in the books")
        if len(made[prompt]) > job.attempt:
            faults.append(f"{prompt}: {len(made[prompt])} tasks in {job.attempt} attempts")
    return faults
