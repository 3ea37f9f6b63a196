"""A real server over a real sandbox, for tests: in this process, or as a process of its own that can be killed."""

import asyncio
import os
import random
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Self
from uuid import uuid4

import aiohttp
import grpc
from aiohttp.abc import AbstractResolver
from google.protobuf.json_format import ParseDict
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from evergreen.v1 import audit_pb2_grpc, film_pb2_grpc, scene_pb2_grpc, video_pb2, video_pb2_grpc
from evergreen_server import app
from evergreen_server.config import Config
from evergreen_server.providers.runway.sandbox import SANDBOX_KEY, Sandbox, Settings
from tests.loopback import ACCEPT_TURNS, turns
from tests.preloaded import Preloaded, can_be_preloaded

SAMPLES = Path(__file__).parent / "samples"
SPEED = 50.0
START_SECONDS = 90
"""How long a start may take on a machine that is busy with other things."""
WAIT_SECONDS = 90
"""How long tests wait for what must happen, on such a machine; one that passes waits no longer than it takes."""
FINAL = {
    video_pb2.JOB_STATE_SUCCEEDED,
    video_pb2.JOB_STATE_FAILED,
    video_pb2.JOB_STATE_CANCELLED,
    video_pb2.JOB_STATE_EXPIRED,
}


def request(**fields: object) -> video_pb2.GenerateVideoRequest:
    """A request that is right in everything, but for what `fields` change; needs no media."""
    usual = {
        "project_id": "film",
        "scene_id": "scene-1",
        "request_id": uuid4().hex,
        "model": "gen4.5",
        "prompt_text": "a rocket rises",
        "ratio": "1280:720",
        "duration_seconds": 2,
    }
    return video_pb2.GenerateVideoRequest(**{**usual, **fields})


ALL_KINDS = tuple(video_pb2.MediaKind.values()[1:])
OTHERS: Mapping[str, Mapping[str, object]] = {
    "image": {"model": "gen4_image", "image": {"prompt_text": "", "ratio": "1280:720"}},
    "speech": {"model": "eleven_multilingual_v2", "speech": {"text": "", "voice": "Maya"}},
    "sound": {"model": "eleven_text_to_sound_v2", "sound": {"prompt_text": "", "duration_seconds": 1}},
}
"""What else than clips is made, by the member of `Generate`; each prompt is still to be filled in."""


def other_request(member: str, prompt: str, **fields: object) -> video_pb2.GenerateRequest:
    """A request of `Generate` that is right in everything, but for what `fields` change; needs no media."""
    usual = {"project_id": "film", "scene_id": "scene-1", "request_id": uuid4().hex, **OTHERS[member]}
    message = ParseDict(usual, video_pb2.GenerateRequest())
    inner = getattr(message, member)
    setattr(inner, "text" if member == "speech" else "prompt_text", prompt)
    message.MergeFrom(video_pb2.GenerateRequest(**fields))
    return message


def first_frame(name: str = "rocket.jpg") -> video_pb2.Media:
    return video_pb2.Media(data=(SAMPLES / name).read_bytes(), role=video_pb2.MEDIA_ROLE_FIRST_FRAME)


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """The reason in the error's ErrorInfo."""
    return str(detail_of(error, error_details_pb2.ErrorInfo()).reason)


def violations_of(error: grpc.aio.AioRpcError) -> dict[str, str]:
    """The field violations of an error, by field."""
    bad = detail_of(error, error_details_pb2.BadRequest())
    return {violation.field: violation.description for violation in bad.field_violations}


def free_address() -> str:
    """A loopback address that nobody listens on, for a server that shall come back to it.

    Its port is none of those that systems choose of themselves, of which another process may get one at any moment.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return f"127.0.0.1:{port}"


def detail_of(error, message):
    status = rpc_status.from_call(error)
    assert status is not None, "the error carries no rich status"
    for detail in status.details:
        if detail.Unpack(message):
            return message
    raise AssertionError(f"no {type(message).__name__} in {status}")


class Api:
    """The stubs of a running server, and the waits that tests need."""

    def __init__(self, channel: grpc.aio.Channel, address: str, http: str = "") -> None:
        """Takes the URL of the gateway, if there is one."""
        self.channel = channel
        self.address = address
        self.http = http
        self.video = video_pb2_grpc.VideoServiceStub(channel)
        self.scene = scene_pb2_grpc.SceneServiceStub(channel)
        self._seen: dict[str, int] = {}
        self.film = film_pb2_grpc.FilmServiceStub(channel)
        self.audit = audit_pb2_grpc.AuditServiceStub(channel)

    async def generate(self, **fields: object) -> video_pb2.Job:
        return self._noted((await self.video.GenerateVideo(request(**fields))).job)

    async def generate_other(self, member: str, prompt: str, **fields: object) -> video_pb2.Job:
        return self._noted((await self.video.Generate(other_request(member, prompt, **fields))).job)

    def _noted(self, job: video_pb2.Job) -> video_pb2.Job:
        """Notes how far a job has been seen, for `until` to go on from there."""
        self._seen[job.job_id] = job.revision
        return job

    async def status(self, job_id: str) -> video_pb2.Job:
        return (await self.video.GetStatus(video_pb2.GetStatusRequest(job_id=job_id))).job

    async def events(self, **fields: object) -> AsyncIterator[video_pb2.WatchProgressResponse]:
        call = self.video.WatchProgress(video_pb2.WatchProgressRequest(**fields))
        try:
            async for message in call:
                yield message
        finally:
            call.cancel()

    async def until(
        self, job_id: str, *states: int, stage: int | None = None, seconds: float = WAIT_SECONDS
    ) -> video_pb2.Job:
        """Waits until the job is in one of the states (and the stage), or has been since it was last seen.

        On a busy machine it may be through with a state before the watch begins.
        """

        def reached(job: video_pb2.Job) -> bool:
            return job.state in states and (stage is None or job.stage == stage)

        async with asyncio.timeout(seconds):
            if reached(job := await self.status(job_id)):
                return self._noted(job)
            since = {"after_revision": self._seen[job_id]} if job_id in self._seen else {}
            async for message in self.events(job_ids=[job_id], **since):
                if message.HasField("event") and reached(message.event.job):
                    return self._noted(message.event.job)
        raise AssertionError(f"the watch ended before {states}: {await self.status(job_id)}")

    async def warned(self, job_id: str, code: str, seconds: float = WAIT_SECONDS) -> video_pb2.Job:
        """Waits, by watching, until the job carries a warning."""
        async with asyncio.timeout(seconds):
            async for message in self.events(job_ids=[job_id]):
                if any(warning.code == code for warning in message.event.job.warnings):
                    return message.event.job
        raise AssertionError(f"the watch ended without a warning {code}: {await self.status(job_id)}")

    async def finished(self, job_id: str, seconds: float = WAIT_SECONDS) -> video_pb2.Job:
        return await self.until(job_id, *FINAL, seconds=seconds)


class Control:
    """The control API of a sandbox."""

    def __init__(self, url: str, session: aiohttp.ClientSession, *, pid: int | None = None) -> None:
        """Takes the id of the process where it is one of its own."""
        self.url = url
        self.pid = pid
        self._session = session

    async def _call(self, method: str, path: str, body: object = None) -> dict:
        async with self._session.request(method, f"{self.url}/sandbox/{path}", json=body) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json() if answer.content_length else {}

    async def fault(
        self, kind: str, *, operation: str | None = None, prompt: str | None = None, **more: object
    ) -> None:
        """Scripts a fault; `nth`, `count` and `path` belong to the rule, the rest to the fault."""
        rule = {name: more.pop(name) for name in ("nth", "count", "path") if name in more}
        if operation:
            rule["operation"] = operation
        if prompt:
            rule["match"] = {"promptText": prompt}
        await self._call("POST", "faults", {**rule, "fault": {"kind": kind, **more}})

    async def clear(self) -> None:
        await self._call("DELETE", "faults")

    async def tasks(self, prompt: str = "") -> list[dict]:
        """The books: every task ever made, those of a prompt."""
        found = (await self._call("GET", "tasks"))["tasks"]
        return [task for task in found if prompt in (task.get("promptText") or "")]

    async def calls(self, **query: object) -> list[dict]:
        return (await self.journal(**query))["calls"]

    async def journal(self, **query: object) -> dict:
        """The `calls` of a question, and the number of the `latest` of all."""
        text = "&".join(f"{name}={value}" for name, value in query.items() if value is not None)
        return await self._call("GET", f"calls?{text}")

    async def called(
        self, operation: str, *, times: int = 1, seconds: float = WAIT_SECONDS, **query: object
    ) -> list[dict]:
        """Waits until an operation was called so often."""
        async with asyncio.timeout(seconds):
            while True:
                found = await self.calls(operation=operation, **query)
                if len(found) >= times:
                    return found
                after = max((call["seq"] for call in found), default=0)
                await self.calls(operation=operation, after=after, wait=5, **query)

    async def account(self, **changes: object) -> None:
        await self._call("PATCH", "account", changes)

    async def settings(self, **changes: object) -> None:
        await self._call("PATCH", "settings", changes)

    async def advance(self, seconds: float) -> None:
        """Moves the sandbox's time forward at once."""
        await self._call("POST", "clock", {"advance": seconds})


@asynccontextmanager
async def open_sandbox(
    *, speed: float = SPEED, port: int = 0, state_dir: Path | None = None, **settings: object
) -> AsyncIterator[Control]:
    """A sandbox in this process, quick and with small pictures; with a `state_dir` it can be opened again."""
    chosen = Settings(**{"render_scale": 0.1, "task_mean_seconds": 15.0, **settings})
    async with Sandbox(speed=speed, port=port, state_dir=state_dir, settings=chosen) as sandbox:
        async with aiohttp.ClientSession() as session:
            yield Control(sandbox.url, session)
        # So that it knows of all that its callers, which have ended, have left to it.
        await turns(ACCEPT_TURNS)


@asynccontextmanager
async def sandbox_process(*options: str, speed: float = SPEED) -> AsyncIterator[Control]:
    """A sandbox as a process of its own, with small pictures."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "evergreen_server", "sandbox", "--listen", "127.0.0.1:0", "--speed", str(speed)),
        *("--render-scale", "0.1", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), START_SECONDS)).decode()
        async with aiohttp.ClientSession() as session:
            yield Control(line.split()[3].rstrip(","), session, pid=process.pid)
    finally:
        process.terminate()
        await process.wait()


def environment(data_dir: Path, provider_url: str, *, speed: float = SPEED) -> dict[str, str]:
    return {
        "EVERGREEN_LISTEN": "127.0.0.1:0",
        "EVERGREEN_DATA_DIR": str(data_dir),
        "EVERGREEN_PROVIDER_SPEED": str(speed),
        "EVERGREEN_LOG_FORMAT": "text",
        "RUNWAYML_API_SECRET": SANDBOX_KEY,
        "RUNWAYML_BASE_URL": provider_url,
    }


@asynccontextmanager
async def serving(
    data_dir: Path,
    provider_url: str,
    *,
    resolver: AbstractResolver | None = None,
    now: Callable[[], datetime] = app.utc_now,
    **changes: str,
) -> AsyncIterator[Api]:
    """The server in this process. One at a time, since its engine is one per process."""
    config = Config.from_env({**environment(data_dir, provider_url), "EVERGREEN_GRACE_SECONDS": "2", **changes})
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as group:
        group.create_task(
            app.serve(config, stop=stop, ready=lambda *found: ready.set_result(found), resolver=resolver, now=now)
        )
        address, _, http = await asyncio.wait_for(ready, START_SECONDS)
        try:
            async with grpc.aio.insecure_channel(address) as channel:
                yield Api(channel, address, http)
        finally:
            stop.set()


class ServerProcess:
    """The server as a process of its own, which can be killed and started again on the same data."""

    def __init__(
        self,
        data_dir: Path,
        provider_url: str,
        changes: Mapping[str, str] | None = None,
        *,
        program: Sequence[str] = ("-m", "evergreen_server", "serve"),
        log: IO[bytes] | None = None,
        preload: bool = True,
    ) -> None:
        """Takes `preload` as False where the whole start is what is tested, or the memory."""
        self._environ = {**os.environ, **environment(data_dir, provider_url), **(changes or {})}
        self._program = program
        self._log = log or (data_dir.parent / f"{data_dir.name}.log").open("ab")
        self._may_preload = preload
        self._preload = preload and can_be_preloaded(program, self._environ)
        self._process: asyncio.subprocess.Process | Preloaded | None = None
        self._channel: grpc.aio.Channel | None = None

    def without(self, name: str) -> None:
        """Lets the next process start without a variable."""
        self._environ.pop(name, None)
        self._preload = self._may_preload and can_be_preloaded(self._program, self._environ)

    async def launch(self) -> None:
        """Starts the process, and waits for nothing."""
        if self._preload:
            self._process = await Preloaded.start(*self._program, env=self._environ, stderr=self._log)
            return
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *self._program,
            env=self._environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._log,
        )

    async def start(self) -> Api:
        """Starts the process and waits until it serves."""
        await self.launch()
        assert self._process is not None
        assert self._process.stdout is not None
        line = (await asyncio.wait_for(self._process.stdout.readline(), START_SECONDS)).decode()
        found = re.search(r"serves on ([^\s,]+)", line)
        assert found, f"the server did not start: {line!r}, see {self._log.name}"
        self._channel = grpc.aio.insecure_channel(found[1])
        http = re.search(r"HTTP on ([^\s,]+)", line)
        return Api(self._channel, found[1], http[1] if http else "")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def end(self, number: signal.Signals = signal.SIGKILL) -> int:
        """Signals the process, waits for its end and gives its exit code."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(number)
        return await self.ended()

    async def ended(self) -> int:
        """Waits for the end of the process and gives its exit code."""
        assert self._process is not None
        code = await asyncio.wait_for(self._process.wait(), START_SECONDS)
        if self._channel is not None:
            # Calls under way end as the server ended them, not as cancelled by this side.
            await self._channel.close(grace=10)
        return code

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None and self._process.returncode is None:
            await self.end()
        self._log.close()
