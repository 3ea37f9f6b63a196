"""A real server that is killed and started again on the same address and data, again and again, under its watchers."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import grpc

from evergreen import (
    EventKind,
    JobFailed,
    NeedsAttention,
    NotResolvable,
    Reconnect,
    SubmissionResolution,
    Unavailable,
    WireClient,
)
from evergreen.v1.video_pb2 import Job, WatchProgressResponse
from tests.serving import Api, Control, ServerProcess, free_address, request

PROJECT = "film"
HEALTHY_SECONDS = 0.5
"""How long at least the server serves before it is killed, however slowly the machine started it."""
Change = tuple[int, str, str]
"""A revision, the job it belongs to, and the kind of its event, such as `SUCCEEDED`."""


def change(message: WatchProgressResponse) -> Change | None:
    """What a message tells that may never be left out; None for a checkpoint and for mere progress."""
    if not message.HasField("event") or message.event.kind == EventKind.EVENT_KIND_PROGRESS:
        return None
    kind = EventKind.Name(message.event.kind).removeprefix("EVENT_KIND_")
    return message.revision, message.event.job.job_id, kind


@dataclass(kw_only=True)
class Restarts:
    """The server, which anyone may watch at `address` meanwhile."""

    process: ServerProcess
    address: str

    async def again_and_again(
        self, seconds: float, *, every: float, least: int, number: signal.Signals = signal.SIGKILL
    ) -> None:
        """Ends and restarts the server every so many seconds, for so long and that often; it serves at the return.

        A busy machine may take ten seconds for each start, so the time alone says nothing of how often it was ended.
        """
        end, times = time.monotonic() + seconds, 0
        while time.monotonic() < end or times < least:
            began = time.monotonic()
            await self.process.end(number)
            times += 1
            await self.process.start()
            await asyncio.sleep(max(HEALTHY_SECONDS, began + every - time.monotonic()))

    async def history(self, **chosen: object) -> list[Change]:
        """All that a watch from the beginning has to tell, as the service itself tells it without any trouble."""
        told: list[Change] = []
        async with (
            asyncio.timeout(60),
            grpc.aio.insecure_channel(self.address) as channel,
            aclosing(Api(channel, self.address).events(after_revision=0, **chosen)) as messages,
        ):
            async for message in messages:
                if message.HasField("checkpoint"):
                    break
                told += [found] if (found := change(message)) else []
        return told


@asynccontextmanager
async def restarting(tmp_path: Path, sandbox: Control, **changes: str) -> AsyncIterator[Restarts]:
    """A server process that lives on one address through all its restarts."""
    address = free_address()
    async with ServerProcess(tmp_path / "data", sandbox.url, {"EVERGREEN_LISTEN": address, **changes}) as process:
        await process.start()
        yield Restarts(process=process, address=address)


def patient(address: str) -> WireClient:
    """A client with its usual backoff, which does not give up during such a test."""
    return WireClient(address, reconnect=Reconnect(max_delay=2.0, patience=120.0))


async def ask_for(client: WireClient, prompt: str) -> Job:
    """Asks until the server has recorded the job, always with the same id."""
    fields = request(request_id=prompt.replace(" ", "-"), prompt_text=prompt, project_id=PROJECT)
    while True:
        try:
            return await client.generate(
                project_id=fields.project_id,
                scene_id=fields.scene_id,
                request_id=fields.request_id,
                model=fields.model,
                prompt_text=fields.prompt_text,
                ratio=fields.ratio,
                duration_seconds=fields.duration_seconds,
            )
        except Unavailable:
            # All retries fell into the time that the server was away.
            await asyncio.sleep(0.2)


async def settle(client: WireClient, job_ids: Iterable[str]) -> None:
    """Gives up the jobs whose submission the kills left unknown, until every job is final."""
    for job_id in job_ids:
        while True:
            try:
                await client.wait(job_id)
            except NeedsAttention:
                with suppress(NotResolvable):
                    await client.resolve(job_id, SubmissionResolution.SUBMISSION_RESOLUTION_ABANDON)
                continue
            except JobFailed:
                pass
            break
