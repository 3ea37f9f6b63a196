"""Makes films while servers are killed: callers plan, start, approve, edit and cancel them, and do not give up."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Self, TypeVar

import grpc

from evergreen.v1 import film_pb2
from evergreen.v1 import video_pb2 as v1
from tests.chaos.tally import Tally
from tests.e2e.rig import Rig, Watcher
from tests.serving import Api, reason_of

T = TypeVar("T")

CINEMA = "cinema"
"""The project of all films."""
REEL = "reel "
"""In each prompt of a film, and in no other."""
ENDED = {v1.FILM_STATE_SUCCEEDED, v1.FILM_STATE_FAILED, v1.FILM_STATE_CANCELLED}
POLICIES = (
    film_pb2.ON_SHOT_FAILURE_ASK,
    film_pb2.ON_SHOT_FAILURE_STILL,
    film_pb2.ON_SHOT_FAILURE_LAST_GOOD,
    film_pb2.ON_SHOT_FAILURE_SKIP,
    film_pb2.ON_SHOT_FAILURE_FAIL,
)
RESOLVE_AFTER_SECONDS = 2.0
MOST_APPROVALS = 6
"""Of one run; whoever has approved so often gives up."""
CODES = ("INTERNAL", "SAFETY.INPUT.TEXT", "SAFETY.OUTPUT.IMAGE", "INPUT_PREPROCESSING.INTERNAL")
SMALL = film_pb2.ExportProfile(name="small", width=160, height=90)
_MAY_PASS = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED}
_HAS_REASON = {grpc.StatusCode.ABORTED, grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.RESOURCE_EXHAUSTED}
_CHANGED = {"PLAN_CHANGED", "FILM_CHANGED", "FILM_BUSY", "FILM_CREDITS_EXCEEDED", "CREDITS_EXCEEDED", "INVALID_STATE"}
"""What a caller is told who knew less than there is to know by now, and reads again."""


def key_of(job: v1.Job) -> tuple[str, str]:
    """What of a job the books show: its prompt, and its model."""
    if job.kind == v1.MEDIA_KIND_VIDEO:
        return job.request.prompt_text, job.request.model
    asked = job.generate_request
    return (asked.speech.text if asked.HasField("speech") else asked.image.prompt_text), asked.model


def reel_of(film_id: str) -> str:
    return REEL + film_id.removeprefix("film-")


class Films:
    """Directs a few films at a time, and remembers what was approved for each of their runs.

    Open as a context, for as long as its watchers are to watch.
    """

    def __init__(self, rig: Rig, *, at_once: int, seed: int, tally: Tally) -> None:
        self._rig = rig
        self._at_once = at_once
        self._chance = random.Random(seed)
        self._tally = tally
        self._closing = False
        self._seen_asking: dict[str, float] = {}
        self.watchers = [Watcher(CINEMA, films=True) for _ in rig.watchers]
        self.approved: dict[tuple[str, int], float] = {}
        """By film and run, the sum that its caller has approved last."""
        self.open: set[str] = set()

    async def __aenter__(self) -> Self:
        self._watches = [
            asyncio.create_task(watcher.run(partial(self._rig.another, number)))
            for number, watcher in enumerate(self.watchers)
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._watches:
            if task.done():
                # What a watcher found wrong is the failure.
                task.result()
            task.cancel()
        await asyncio.wait(self._watches)

    async def run(self) -> None:
        """Makes films until it is closed, and those that are under way to their end."""
        async with asyncio.TaskGroup() as group:
            resolver = group.create_task(self._resolve_for_ever())
            async with asyncio.TaskGroup() as directors:
                for number in range(self._at_once):
                    directors.create_task(self._direct_for_ever(number))
            resolver.cancel()

    def close(self) -> None:
        """Has no more films begun."""
        self._closing = True

    async def _direct_for_ever(self, number: int) -> None:
        while not self._closing:
            await self._direct(f"film-{number:03d}", random.Random(self._chance.random()))
            number += self._at_once

    async def _direct(self, film_id: str, chance: random.Random) -> None:
        """Makes one film, and often changes a line of it and makes it again."""
        self.open.add(film_id)
        await self._script(film_id, chance)
        plan = film_pb2.PlanFilmRequest(
            project_id=CINEMA,
            film_id=film_id,
            request_id=f"{film_id}-plan",
            script=script_of(film_id),
            settings=film_pb2.FilmSettings(scene_prefix=f"{film_id}-scene", profiles=[SMALL]),
        )
        await self._ask(lambda api: api.film.PlanFilm(plan, timeout=20))
        if chance.random() < 0.4:
            await self._edit(film_id, lambda film: continued(film))
        for take in range(1 + (chance.random() < 0.4)):
            if take:
                await self._edit(film_id, lambda film: reworded(film, f"again in {reel_of(film_id)}"))
            await self._make(film_id, take, chance)
        self.open.discard(film_id)

    async def _make(self, film_id: str, take: int, chance: random.Random) -> None:
        """Starts a run and sees to it until it ends."""
        film = await self._film(film_id)
        stops = v1.FILM_STAGE_CLIPS if chance.random() < 0.4 else v1.FILM_STAGE_UNSPECIFIED
        # One that stops after its clips never gets to the gate behind them.
        possible = (v1.FILM_GATE_STORYBOARD,) if stops else (v1.FILM_GATE_STORYBOARD, v1.FILM_GATE_CLIPS)
        gates = [gate for gate in possible if chance.random() < 0.4]
        start = film_pb2.StartFilmRequest(
            project_id=CINEMA,
            film_id=film_id,
            request_id=f"{film_id}-start-{take}",
            plan_revision=film.status.plan_revision,
            max_credits=film.quote.credits + (20 if chance.random() < 0.5 else 0),
            gates=gates,
            on_shot_failure=chance.choice(POLICIES),
            stop_after=stops,
        )
        self.approved[film_id, take + 1] = start.max_credits
        if await self._ask(lambda api: api.film.StartFilm(start, timeout=20)) is None:
            # The verdict misses its end.
            return
        cancels_at = chance.uniform(0, 12) if chance.random() < 0.12 else None
        approvals, loop = 0, asyncio.get_running_loop()
        begun = loop.time()
        while (film := await self._film(film_id)).status.state not in ENDED:
            status = film.status
            if status.state in (v1.FILM_STATE_AWAITING_APPROVAL, v1.FILM_STATE_NEEDS_ATTENTION):
                if not self._asks(status):
                    approvals += 1
                    await self._decide(film, gives_up=approvals > MOST_APPROVALS, chance=chance)
            elif cancels_at is not None and loop.time() - begun > cancels_at:
                cancels_at = None
                await self._cancel(status)
            await asyncio.sleep(0.5)
        self._tally.films.append(v1.FilmState.Name(film.status.state).removeprefix("FILM_STATE_"))

    def _asks(self, status: v1.FilmStatus) -> bool:
        """Whether one of its jobs must be resolved first."""
        jobs = self.states()
        return any(
            jobs[trouble.job_id].state == v1.JOB_STATE_NEEDS_ATTENTION
            for trouble in status.troubles
            if trouble.job_id in jobs
        )

    async def _decide(self, film: film_pb2.Film, *, gives_up: bool, chance: random.Random) -> None:
        status = film.status
        if gives_up or chance.random() < 0.05:
            await self._cancel(status)
            return
        if status.state == v1.FILM_STATE_AWAITING_APPROVAL and chance.random() < 0.3:
            await self._edit(status.film_id, lambda film: reworded(film, f"at the gate in {reel_of(status.film_id)}"))
            film = await self._film(status.film_id)
            if film.status.revision != status.revision or film.status.state != status.state:
                return
        # What the run may still need, beside all that it has taken: no less than any later take of a failed output.
        more = film.quote.credits + (40 if status.state == v1.FILM_STATE_NEEDS_ATTENTION else 0)
        sum_of = max(status.max_credits, status.spent_credits + status.reserved_credits + more)
        approval = film_pb2.ApproveFilmRequest(
            project_id=CINEMA,
            film_id=status.film_id,
            run=status.run,
            plan_revision=film.status.plan_revision,
            max_credits=sum_of,
            revision=film.status.revision,
        )
        key = (status.film_id, status.run)
        self.approved[key] = max(self.approved[key], sum_of)
        # Some callers call twice, and both must mean the same.
        async with asyncio.TaskGroup() as calls:
            for _ in range(1 + (chance.random() < 0.3)):
                calls.create_task(self._ask(lambda api: api.film.ApproveFilm(approval, timeout=20)))

    async def _cancel(self, status: v1.FilmStatus) -> None:
        one = film_pb2.CancelFilmRequest(project_id=CINEMA, film_id=status.film_id, run=status.run)
        await self._ask(lambda api: api.film.CancelFilm(one, timeout=20))

    async def _edit(self, film_id: str, edit: Callable[[film_pb2.Film], Sequence[film_pb2.FilmEdit]]) -> None:
        film = await self._film(film_id)
        edits = edit(film)
        # Whether an edit that was cut off was made is seen by the revision; here it does not matter which one it is.
        one = film_pb2.EditFilmRequest(
            project_id=CINEMA, film_id=film_id, plan_revision=film.status.plan_revision, edits=edits
        )
        await self._ask(lambda api: api.film.EditFilm(one, timeout=20))

    async def _film(self, film_id: str) -> film_pb2.Film:
        found = await self._ask(
            lambda api: api.film.GetFilm(film_pb2.GetFilmRequest(project_id=CINEMA, film_id=film_id), timeout=20)
        )
        assert found is not None, film_id
        return found.film

    async def _ask(self, call: Callable[[Api], Awaitable[T]]) -> T | None:
        """Asks until a server answers; None where something has changed since it was read."""
        task = asyncio.current_task()
        assert task is not None
        while True:
            try:
                return await call(self._rig.api)
            except grpc.aio.AioRpcError as error:
                if error.code() not in _MAY_PASS:
                    if error.code() not in _HAS_REASON or reason_of(error) not in _CHANGED:
                        self._tally.broken.append(f"a call about films was answered {error.code()}: {error.details()}")
                    return None
            except ValueError:
                # No server runs, or the channel is closed.
                pass
            except asyncio.CancelledError:
                if task.cancelling():
                    raise
            await asyncio.sleep(0.2)

    def states(self) -> Mapping[str, v1.Job]:
        """The newest of each job that the first watcher was told."""
        return {one.event.job.job_id: one.event.job for one in self.watchers[0].events if one.HasField("event")}

    async def _resolve_for_ever(self) -> None:
        """Answers jobs that need their caller from the provider's books, as an operator would."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(0.5)
            for job_id, told in self.states().items():
                if told.state != v1.JOB_STATE_NEEDS_ATTENTION:
                    self._seen_asking.pop(job_id, None)
                elif loop.time() - self._seen_asking.setdefault(job_id, loop.time()) >= RESOLVE_AFTER_SECONDS:
                    with suppress(grpc.aio.AioRpcError, ValueError):
                        await self._resolve(job_id)

    async def _resolve(self, job_id: str) -> None:
        jobs = {job.job_id: job for job in await self._rig.jobs(CINEMA)}
        job = await self._rig.api.status(job_id)
        if job.state != v1.JOB_STATE_NEEDS_ATTENTION:
            return
        key = key_of(jobs[job_id])
        others = {other.provider_task_id for other in jobs.values() if other.job_id != job_id}
        known = [
            task["id"]
            for task in await self._rig.sandbox.tasks()
            if (task["promptText"], task["model"]) == key and task["status"] != "FAILED" and task["id"] not in others
        ]
        if len(known) > 1:
            self._tally.paid.append(f"{key}: the job {job_id} asks, and {len(known)} tasks are nobody's")
        self._tally.attention[f"{key[0]}, attempt {job.attempt}"] = job.error.message
        resolution = v1.SUBMISSION_RESOLUTION_ATTACH if known else v1.SUBMISSION_RESOLUTION_RESUBMIT
        task_id = known[-1] if known else ""
        await self._rig.api.video.ResolveSubmission(
            v1.ResolveSubmissionRequest(job_id=job_id, resolution=resolution, provider_task_id=task_id), timeout=10
        )

    async def _script(self, film_id: str, chance: random.Random) -> None:
        """Scripts what the provider does to the outputs of a film; to most of them nothing."""
        sandbox, reel = self._rig.sandbox, reel_of(film_id)
        for prompt in (f"kettle of {reel}", f"Snow of {reel}", f"time in {reel}"):
            drawn = chance.random()
            if drawn < 0.15:
                code = chance.choice(CODES)
                await sandbox.fault("failure", operation="create", prompt=prompt, failureCode=code, at=0.3)
            elif drawn < 0.2:
                await sandbox.fault("hang", operation="create", prompt=prompt, seconds=1.0, accept=True)
            elif drawn < 0.25:
                await sandbox.fault("lost_answer", operation="create", prompt=prompt)
            elif drawn < 0.3:
                await sandbox.fault("truncate", operation="output", prompt=prompt)
            elif drawn < 0.4:
                await sandbox.fault("slow", operation="create", prompt=prompt, seconds=0.5)


def script_of(film_id: str) -> str:
    """Two scenes and a line, in whose every prompt the film is named."""
    reel = reel_of(film_id)
    return (
        f"Title: {film_id}\nCredit: by\nAuthor: A\n\nINT. KITCHEN - DAY\n\nA kettle of {reel} boils over.\n\nANNA\n"
        f"It is time in {reel}.\n\nINT. GARDEN - DAY\n\nSnow of {reel} falls on a red chair.\n"
    )


def continued(film: film_pb2.Film) -> Sequence[film_pb2.FilmEdit]:
    """Has the second clip begin where the first one ends."""
    shot = film_pb2.ShotPlan()
    shot.CopyFrom(film.scenes[-1].scene.shots[0])
    shot.first_frame = film_pb2.FIRST_FRAME_PREVIOUS_CLIP
    return [film_pb2.FilmEdit(replace_shot=shot)]


def reworded(film: film_pb2.Film, text: str) -> Sequence[film_pb2.FilmEdit]:
    """Has something else said in the first scene."""
    scene = film_pb2.ScenePlan()
    scene.CopyFrom(film.scenes[0].scene)
    scene.lines[0].text = f"It is time {text}."
    return [film_pb2.FilmEdit(replace_scene=scene)]
