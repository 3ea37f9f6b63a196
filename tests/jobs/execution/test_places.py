"""What the steps of all jobs share is bounded, and one project's jobs leave room for another's."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from evergreen_server.jobs.db.connect import open_database
from evergreen_server.jobs.db.database import Database
from evergreen_server.jobs.db.schema import jobs
from evergreen_server.jobs.execution.context import Limits, StepContext
from evergreen_server.jobs.execution.submit import submit
from evergreen_server.jobs.model.states import Slot, Stage
from evergreen_server.jobs.store.jobs import JobStore
from evergreen_server.jobs.store.provider_tasks import TaskRecords
from evergreen_server.ports.provider import NotSent, Submission
from evergreen_server.ports.specs import Media, Role
from evergreen_server.runtime.shield import ProtectedTasks
from tests.jobs.stepping import Script, Stepping, stepping, with_picture
from tests.jobs.tools import context_of, request_at, store_of

NOW = datetime(2026, 11, 1, tzinfo=UTC)
MANY = 100


class Provider:
    """Answers no create before it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.changed = asyncio.Event()
        self.answer = asyncio.Event()

    async def create(self, spec: object, _media: object, *, before_send: Callable[[], None]) -> Submission:
        before_send()
        self.asked.append(spec.prompt_text)  # type: ignore[attr-defined]
        self.changed.set()
        await self.answer.wait()
        return Submission(task_id=f"task-{spec.prompt_text}", estimated_millicredits=None)  # type: ignore[attr-defined]

    async def until_asked(self, times: int) -> None:
        async with asyncio.timeout(60):
            while len(self.asked) < times:
                self.changed.clear()
                await self.changed.wait()


class Unpaused:
    """An admission that nothing holds up."""

    async def accepted(self, _model: str) -> None:
        return

    def schedule(self, _models: object) -> None:
        return


@asynccontextmanager
async def submitting(tmp_path: Path, provider: Provider) -> AsyncIterator[tuple[Database, JobStore, StepContext]]:
    async with open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}") as database:
        store = store_of(database, clock=lambda: NOW)
        tasks = TaskRecords(database=database, store=store, clock=lambda: NOW)
        async with ProtectedTasks(grace_seconds=20) as shield:
            context = context_of(
                store, tasks=tasks, provider=provider, scheduler=Unpaused(), shield=shield, clock=lambda: NOW
            )
            yield database, store, context


async def with_slot(database: Database, store: JobStore, job_id: str, project_id: str) -> None:
    request = request_at(NOW)
    spec = replace(request.spec, prompt_text=job_id)
    request = replace(request, project_id=project_id, request_id=job_id, spec=spec)
    await store.accept(request, job_id=job_id, estimated_millicredits=None, inline={})
    await store.claim(job_id, attempt=1, restarts=0, fencing_token="me")
    await store.command(job_id, lambda job: replace(job, stage=Stage.WAITING))
    mine = jobs.c.job_id == job_id
    await database.write(lambda db: db.execute(sa.update(jobs).where(mine).values(slot=Slot.HELD.value)))


async def intents(database: Database) -> int:
    query = sa.select(sa.func.count()).where(jobs.c.submit_token != "")
    return await database.read(lambda db: db.execute(query).scalar_one())


async def test_creates_are_bounded_before_their_intent_and_leave_room_for_another_project(tmp_path: Path) -> None:
    provider = Provider()
    async with submitting(tmp_path, provider) as (database, store, context), asyncio.TaskGroup() as group:
        for number in range(MANY):
            await with_slot(database, store, f"greedy-{number}", "greedy")
            group.create_task(submit(context, await store.get(f"greedy-{number}"), "me"))
        await provider.until_asked(32)
        assert await intents(database) == 32

        await with_slot(database, store, "honest", "film")
        honest = group.create_task(submit(context, await store.get("honest"), "me"))
        await provider.until_asked(33)
        assert (provider.asked[-1], await intents(database)) == ("honest", 33)

        provider.answer.set()
        assert (await honest).task_id == "task-honest"

    assert len(set(provider.asked)) == len(provider.asked) == MANY + 1


async def test_an_intent_bears_the_time_at_which_it_was_recorded_and_not_asked_for(tmp_path: Path) -> None:
    provider, asked, time = Provider(), threading.Event(), NOW
    provider.answer.set()
    async with submitting(tmp_path, provider) as (database, store, context):
        await with_slot(database, store, "late", "film")

        def slow(_db: object) -> None:
            nonlocal time
            assert asked.wait(120)
            time += timedelta(seconds=10)

        def guard() -> Callable[[], None]:
            # Asked for right before the intent, which then waits behind the slow change.
            asyncio.get_running_loop().call_soon(asked.set)
            return lambda: None

        before = database.write(slow)
        context = replace(context, clock=lambda: time, lease_check=guard)
        job = await submit(context, await store.get("late"), "me")
        await before

    assert (job.task_id, job.submitted_at) == ("task-late", NOW + timedelta(seconds=10))


async def test_a_job_that_is_stopped_while_it_waits_for_its_create_has_no_intent(tmp_path: Path) -> None:
    provider = Provider()
    async with submitting(tmp_path, provider) as (database, store, context):
        running = []
        for number in range(MANY):
            await with_slot(database, store, f"greedy-{number}", "greedy")
            running.append(asyncio.create_task(submit(context, await store.get(f"greedy-{number}"), "me")))
        await provider.until_asked(32)

        for task in running:
            task.cancel()
        await asyncio.wait(running)
        provider.answer.set()

    async with open_database(f"sqlite:///{tmp_path / 'jobs.sqlite'}") as database:
        assert (len(provider.asked), await intents(database)) == (32, 32)


async def test_a_create_that_is_not_sent_gives_its_place_back(tmp_path: Path) -> None:
    class Away(Provider):
        async def create(self, spec: object, _media: object, *, before_send: Callable[[], None]) -> Submission:
            self.asked.append(spec.prompt_text)  # type: ignore[attr-defined]
            self.changed.set()
            if len(self.asked) <= MANY:
                raise NotSent("The provider was not reached.")
            return await super().create(spec, _media, before_send=before_send)

    provider = Away()
    provider.answer.set()
    async with submitting(tmp_path, provider) as (database, store, context), asyncio.TaskGroup() as group:
        waiting = []
        for number in range(MANY):
            await with_slot(database, store, f"job-{number}", "film")
            waiting.append(group.create_task(submit(context, await store.get(f"job-{number}"), "me")))
        await provider.until_asked(MANY)
        for task in waiting:
            task.cancel()

        await with_slot(database, store, "last", "film")
        assert (await submit(context, await store.get("last"), "me")).task_id == "task-last"


async def loading(steps: Stepping, group: asyncio.TaskGroup, project_id: str, number: int, size: int) -> str:
    """Runs a job whose one picture has so many bytes; without any where there are none."""
    job_id, path = f"{project_id}-{number}-{size}", f"images/{number}-{size}.jpg"
    request = with_picture(Media(role=Role.FIRST_FRAME, asset=path), project_id=project_id, request_id=job_id)
    await steps.context.scenes.create(project_id, request.scene_id)
    if size:
        await steps.context.scenes.add(project_id, request.scene_id, path, bytes(size), "image/jpeg")
    else:
        request = replace(request, spec=replace(request.spec, media=()))
    group.create_task(steps.runner.run(await steps.accept(request, job_id=job_id), 1, 0))
    return job_id


async def test_uploads_that_hang_hold_up_only_loads_of_their_own_project(tmp_path: Path) -> None:
    script = Script()
    script.hung.add("upload")
    async with stepping(tmp_path, script) as steps, asyncio.TaskGroup() as group:
        greedy = [await loading(steps, group, "greedy", number, 4_000_000) for number in range(7)]
        await script.until_hung(4)

        others = [await loading(steps, group, "honest", 1, 1000), await loading(steps, group, "greedy", 1, 0)]
        for job_id in others:
            await steps.until(job_id, lambda job: job.task_id != "")

        assert (script.hanging, script.calls.count("compose")) == (4, 2)
        script.released.set()
        for job_id in greedy:
            await steps.until(job_id, lambda job: job.task_id != "")


async def test_a_job_that_waits_long_to_be_loaded_gives_its_slot_to_others(tmp_path: Path) -> None:
    script = Script()
    script.hung.add("upload")
    async with stepping(tmp_path, script, limits=Limits(load_wait_seconds=0.05)) as steps, asyncio.TaskGroup() as group:
        for number in range(4):
            await loading(steps, group, "greedy", number, 4_000_000)
        await script.until_hung(4)

        late = await loading(steps, group, "greedy", 4, 4_000_000)
        rested = await steps.until(late, lambda job: job.not_before is not None)

        assert (rested.stage, rested.warnings, script.hanging) == (Stage.WAITING, (), 4)
        script.released.set()
        await steps.until(late, lambda job: job.task_id != "")
