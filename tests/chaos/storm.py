"""Kills and pauses servers at random under a steady load of jobs, whose callers and watchers do not give up."""

import asyncio
import os
import random
import signal
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress

import grpc

from evergreen.v1 import video_pb2 as v1
from tests.chaos.films import Films
from tests.chaos.tally import Tally
from tests.e2e.rig import Rig
from tests.serving import FINAL, first_frame, other_request, request

MEBIBYTE = 1 << 20
IN_FLIGHT = 16
PAUSE_SECONDS = 5.0
"""Longer than a lease lives."""
END_SECONDS = 240
RESOLVE_AFTER_SECONDS = 2.0
"""Longer than any create is held by script, so that the books then show what came of it."""
MADE = ("video", "video", "image", "speech", "sound")
"""What a job makes: one of these, by chance."""
CREATES = ("text_to_video", "text_to_image", "text_to_speech", "sound_effect", "image_to_video")
OPERATIONS = (*CREATES, "get_task", "output", "output", "delete_task", None)


class JobsOpen(Exception):
    """Some jobs did not come to their end in time."""


@contextmanager
def cut_off() -> Iterator[None]:
    """Lets pass what a call meets whose server is killed: it breaks, its channel is closed, or no server is there."""
    task = asyncio.current_task()
    assert task is not None
    try:
        yield
    except (grpc.aio.AioRpcError, ValueError):
        pass
    except asyncio.CancelledError:
        # The channel's end cancels the call, and not this task.
        if task.cancelling():
            raise


class Storm:
    """One run. The seed decides what is done; when exactly, the machine decides."""

    def __init__(self, rig: Rig, films: Films, *, seed: int, tally: Tally) -> None:
        self._rig = rig
        self._films = films
        self._chance = random.Random(seed)
        self._tally = tally
        self.accepted: dict[str, str] = {}
        self._asked: set[str] = set()
        self._seen_asking: dict[str, float] = {}
        self._starts: set[asyncio.Task[None]] = set()

    async def run(self, kills: int, *, minutes: float) -> None:
        """Kills so often, but no longer than so many minutes, then lets every job come to its end."""
        loop = asyncio.get_running_loop()
        until = loop.time() + minutes * 60
        async with asyncio.TaskGroup() as group:
            helpers = [group.create_task(self._resolve_for_ever(), name="resolver")]
            films = group.create_task(self._films.run(), name="films")
            while self._tally.kills < kills and loop.time() < until:
                await self._strike(group)
            await self._everybody_back()
            await self._rig.sandbox.clear()
            self._films.close()
            try:
                async with asyncio.timeout(END_SECONDS):
                    await self._all_ended()
                    await asyncio.wait({films})
            except TimeoutError as exc:
                self._tally.refused = sorted(self._asked - self.accepted.keys())
                self._tally.late = self._open()
                raise JobsOpen from exc
            for helper in helpers:
                helper.cancel()

    def states(self) -> dict[str, v1.Job]:
        """The newest of each job that the first watcher was told."""
        return {message.event.job.job_id: message.event.job for message in self._rig.watchers[0].events}

    async def _strike(self, group: asyncio.TaskGroup) -> None:
        chance, rig = self._chance, self._rig
        open_jobs = len(self._asked) - sum(job.state in FINAL for job in self.states().values())
        for _ in range(min(chance.randint(1, 3), IN_FLIGHT - open_jobs)):
            prompt = f"job {len(self._asked) + 1:05d}"
            self._asked.add(prompt)
            group.create_task(self._submit(prompt, random.Random(chance.random())), name=prompt)
        # Several may be down at once, but never all for longer than a start takes; and work must be under way.
        while len(self._starts) >= max(1, len(rig.watchers) - 1):
            await asyncio.wait(self._starts, return_when=asyncio.FIRST_COMPLETED)
        latest = (await rig.sandbox.journal())["latest"]
        operation = chance.choice(OPERATIONS)
        calls = await rig.sandbox.calls(after=latest, wait=chance.uniform(0.2, 1.5), operation=operation)
        victim = await self._victim(calls[-1]["promptText"] if calls else None)
        if len(rig.live) > 1 and chance.random() < 0.05:
            self._tally.pauses += 1
            self._start(group, self._pause(victim))
            return
        self._tally.kills += 1
        await rig.kill(victim)
        self._start(group, rig.start(victim))

    async def _victim(self, prompt: str | None) -> int:
        """Most often the server whose call was seen last."""
        job_id = self.accepted.get(prompt or "")
        if job_id and self._chance.random() < 0.75:
            return await self._rig.owner(job_id)
        return self._chance.choice(sorted(self._rig.live))

    def _start(self, group: asyncio.TaskGroup, work: Coroutine[object, object, None]) -> None:
        task = group.create_task(work)
        self._starts.add(task)
        task.add_done_callback(self._starts.discard)

    async def _pause(self, number: int) -> None:
        api = self._rig.live.pop(number)
        os.kill(self._rig.pid_of(number), signal.SIGSTOP)
        await asyncio.sleep(PAUSE_SECONDS)
        os.kill(self._rig.pid_of(number), signal.SIGCONT)
        self._rig.live[number] = api

    async def _everybody_back(self) -> None:
        while self._starts:
            await asyncio.wait(self._starts)

    async def _submit(self, prompt: str, chance: random.Random) -> None:
        """Asks for a job until it is accepted, as a caller does who knows nothing of kills."""
        await self._script(prompt, chance.random())
        resubmits = chance.random() < 0.1
        fields = {
            "request_id": prompt.replace(" ", "-"),
            "max_attempts": 3,
            "on_unknown_submission": (v1.ON_UNKNOWN_SUBMISSION_RESUBMIT if resubmits else v1.ON_UNKNOWN_SUBMISSION_ASK),
        }
        makes = chance.choice(MADE)
        media = [first_frame()] if chance.random() < 0.3 else []
        wanted = (
            request(prompt_text=prompt, media=media, **fields)
            if makes == "video"
            else other_request(makes, prompt, **fields)
        )
        cancelled = chance.random() < 0.06
        while True:
            with cut_off():
                video = self._rig.api.video
                call = video.GenerateVideo if makes == "video" else video.Generate
                job = (await call(wanted, timeout=10)).job
                self.accepted[prompt] = job.job_id
                if cancelled:
                    await asyncio.sleep(chance.uniform(0, 2))
                    await self._rig.api.video.CancelVideo(v1.CancelVideoRequest(job_id=job.job_id), timeout=10)
                return
            if prompt in self.accepted:
                return
            await asyncio.sleep(0.1)

    async def _script(self, prompt: str, drawn: float) -> None:
        """Scripts what the provider does to a job; to half of them nothing."""
        sandbox = self._rig.sandbox
        if drawn < 0.12:
            await sandbox.fault("large_output", operation="create", prompt=prompt, bytes=12 * MEBIBYTE)
        elif drawn < 0.20:
            await sandbox.fault("failure", operation="create", prompt=prompt, failureCode="INTERNAL", at=0.3)
        elif drawn < 0.28:
            await sandbox.fault("slow", operation="create", prompt=prompt, seconds=0.5)
        elif drawn < 0.33:
            await sandbox.fault("hang", operation="create", prompt=prompt, seconds=1.0, accept=True)
        elif drawn < 0.36:
            await sandbox.fault("lost_answer", operation="create", prompt=prompt)
        elif drawn < 0.42:
            await sandbox.fault("slow", operation="get_task", prompt=prompt, seconds=0.5)
        elif drawn < 0.48:
            await sandbox.fault("truncate", operation="output", prompt=prompt)

    async def _resolve_for_ever(self) -> None:
        """Answers jobs that need their caller from the provider's books, as an operator would."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(0.5)
            prompts = {job_id: prompt for prompt, job_id in self.accepted.items()}
            for job_id, told in self.states().items():
                if told.state != v1.JOB_STATE_NEEDS_ATTENTION or job_id not in prompts:
                    self._seen_asking.pop(job_id, None)
                    continue
                if loop.time() - self._seen_asking.setdefault(job_id, loop.time()) < RESOLVE_AFTER_SECONDS:
                    continue
                with cut_off():
                    job = await self._rig.api.status(job_id)
                    if job.state == v1.JOB_STATE_NEEDS_ATTENTION:
                        self._tally.attention[f"{prompts[job_id]}, attempt {job.attempt}"] = job.error.message
                        await self._rig.resolve(job, prompts[job_id])

    def _open(self) -> list[str]:
        """Names the accepted jobs of whose end the first watcher was not told."""
        states = self.states()
        return sorted(
            prompt
            for prompt, job_id in self.accepted.items()
            if job_id not in states or states[job_id].state not in FINAL
        )

    async def _all_ended(self) -> None:
        rig = self._rig
        while len(self.accepted) < len(self._asked) or self._open():
            news = len(rig.watchers[0].events)
            with suppress(TimeoutError):
                await rig.watchers[0].until(lambda news=news: len(rig.watchers[0].events) > news, seconds=1)
