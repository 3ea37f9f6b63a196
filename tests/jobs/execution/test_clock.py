"""The machine's clock is set, forward or back, while jobs are at every stage: each ends, and none is paid twice."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from evergreen.v1 import video_pb2 as v1
from evergreen_server.jobs.db.schema import jobs
from tests.e2e.rig import changes, check_books, history
from tests.jobs.lives import check_lives
from tests.serving import FINAL, Api, Control, serving
from tests.serving import request as generate_request

SPEED = "500"
"""The longest pause after a 429 then takes two seconds."""
STEPS = {
    "a day forward": timedelta(days=1),
    "a day back": timedelta(days=-1),
    "ten minutes forward": timedelta(minutes=10),
    "ten minutes back": timedelta(minutes=-10),
}


class Clock:
    """The wall clock, which a test may set."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def seconds(self, **later: float) -> dict[str, int]:
        """Gives a time as it goes on the wire."""
        return {"seconds": int((self() + timedelta(**later)).timestamp())}


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def running(api: Api, sandbox: Control, clock: Clock) -> dict[str, str]:
    """Starts jobs whose tasks are polled, and do not end before the sandbox's time is moved."""
    await sandbox.settings(task_mean_seconds=1_000_000.0)
    started = {
        "polled": await api.generate(prompt_text="polled"),
        "polled until finish_by": await api.generate(
            prompt_text="polled until finish_by", finish_by=clock.seconds(hours=1)
        ),
    }
    for job in started.values():
        await api.until(job.job_id, v1.JOB_STATE_RUNNING, stage=v1.JOB_STAGE_GENERATING)
    await sandbox.settings(task_mean_seconds=15.0)
    return {prompt: job.job_id for prompt, job in started.items()}


async def waiting(api: Api, sandbox: Control, clock: Clock) -> dict[str, str]:
    """Starts jobs that wait: for a slot, and for the end of the pause after a 429."""
    await sandbox.account(models={"veo3.1": {"maxConcurrentGenerations": 0}})
    await sandbox.fault("status", operation="create", prompt="refused", status=429, retryAfter=600)
    queued = await api.generate(
        prompt_text="queued", model="veo3.1", duration_seconds=4, start_by=clock.seconds(days=2)
    )
    refused = await api.generate(
        prompt_text="refused", model="veo3.1_fast", duration_seconds=4, start_by=clock.seconds(days=2)
    )
    await sandbox.called("text_to_video", promptText="refused")
    await api.until(refused.job_id, v1.JOB_STATE_QUEUED, stage=v1.JOB_STAGE_WAITING)
    return {"queued": queued.job_id, "refused": refused.job_id}


async def delivering(api: Api, sandbox: Control) -> dict[str, str]:
    """Starts a job whose clip nobody gives out until the faults are cleared."""
    await sandbox.fault("drop", operation="output", prompt="delivered", count=None)
    job = await api.generate(prompt_text="delivered")
    await sandbox.called("output", promptText="delivered")
    return {"delivered": job.job_id}


async def watch(api: Api, number: int) -> list[v1.WatchProgressResponse]:
    """Gives every event of the project, until so many jobs have ended."""
    told: list[v1.WatchProgressResponse] = []
    async for message in api.events(project_id="film", after_revision=0):
        if message.HasField("event"):
            told.append(message)
            number -= message.event.job.state in FINAL
        if not number:
            return told
    raise AssertionError("the watch ended")


async def executions(url: str, job_ids: list[str]) -> set[str]:
    """Who executes the jobs; reads beside the server, as SQLite lets anybody who does not write."""
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    try:
        with engine.connect() as connection:
            query = sa.select(jobs.c.execution).where(jobs.c.job_id.in_(job_ids))
            return set(connection.execute(query).scalars())
    finally:
        engine.dispose()


@pytest.mark.parametrize(
    ("name", "kind"),
    [*((name, "sqlite") for name in STEPS), ("a day forward", "postgresql"), ("a day back", "postgresql")],
)
async def test_jobs_at_every_stage_end_and_are_paid_once_though_the_clock_is_set(
    name: str, kind: str, tmp_path: Path, sandbox: Control, clock: Clock, request: pytest.FixtureRequest
) -> None:
    database = f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    if kind == "postgresql":
        database = request.getfixturevalue("postgres").create()
    changed = {"EVERGREEN_DATABASE_URL": database, "EVERGREEN_PROVIDER_SPEED": SPEED}
    await sandbox.account(maxConcurrentGenerations=None, maxDailyGenerations=None)
    async with serving(tmp_path / "data", sandbox.url, now=clock, **changed) as api, asyncio.TaskGroup() as group:
        watching = group.create_task(watch(api, 6))
        accepted = {
            **await running(api, sandbox, clock),
            **await waiting(api, sandbox, clock),
            **await delivering(api, sandbox),
        }
        again = generate_request(prompt_text="after")
        polled = [accepted["polled"], accepted["polled until finish_by"]]
        before = await executions(database, polled)

        clock.ahead = STEPS[name]
        accepted["after"] = (await api.video.GenerateVideo(again)).job.job_id
        known = len(await sandbox.calls(operation="output"))
        # Twice so many as a delivery tries before it judges whether it has waited for too long.
        await sandbox.called("output", promptText="delivered", times=known + 10)
        await sandbox.called("get_task", promptText="polled until finish_by", times=3)
        assert await executions(database, polled) == before
        await sandbox.clear()
        await sandbox.account(models={"veo3.1": {"maxConcurrentGenerations": None}})
        await sandbox.advance(2_000_000)
        ended = {prompt: await api.finished(job_id) for prompt, job_id in accepted.items()}

        assert {prompt: job.state for prompt, job in ended.items()} == dict.fromkeys(ended, v1.JOB_STATE_SUCCEEDED)
        assert (await api.video.GenerateVideo(again)).job.job_id == accepted["after"]
        assert {len(await sandbox.tasks(prompt)) for prompt in ended if prompt != "polled"} == {1}
        await check_books(sandbox, ended)
        await check_lives(api, "film")
        whole, end = await history(api)
        told = await asyncio.wait_for(watching, 60)
        assert (changes(told), told[-1].revision) == (changes(whole), end)


async def test_a_job_whose_start_by_is_passed_by_a_clock_set_forward_expires_unpaid(
    tmp_path: Path, sandbox: Control, clock: Clock
) -> None:
    await sandbox.account(models={"gen4.5": {"maxConcurrentGenerations": 0}})
    async with serving(tmp_path / "data", sandbox.url, now=clock, EVERGREEN_PROVIDER_SPEED=SPEED) as api:
        job = await api.generate(start_by=clock.seconds(hours=1))
        await api.until(job.job_id, v1.JOB_STATE_QUEUED, stage=v1.JOB_STAGE_WAITING)

        clock.ahead = timedelta(days=1)
        await sandbox.account(models={"gen4.5": {"maxConcurrentGenerations": None}})
        done = await api.finished(job.job_id)

        assert (done.state, done.error.reason, done.charged_credits) == (v1.JOB_STATE_EXPIRED, "START_BY_PASSED", 0)
        assert await sandbox.tasks() == []


@pytest.mark.parametrize("name", ["a day forward", "a day back"])
async def test_a_task_is_followed_on_by_a_server_that_starts_with_another_clock(
    name: str, tmp_path: Path, sandbox: Control, clock: Clock
) -> None:
    await sandbox.settings(task_mean_seconds=1_000_000.0)
    async with serving(tmp_path / "data", sandbox.url, now=clock) as api:
        job = await api.generate()
        await api.until(job.job_id, v1.JOB_STATE_RUNNING, stage=v1.JOB_STAGE_GENERATING)
        known = len(await sandbox.calls(operation="get_task"))

    clock.ahead = STEPS[name]
    async with serving(tmp_path / "data", sandbox.url, now=clock) as api:
        await sandbox.settings(task_mean_seconds=15.0)
        later = await api.generate(prompt_text="later")
        await sandbox.called("get_task", times=known + 2)
        await sandbox.advance(2_000_000)

        assert (await api.finished(job.job_id)).state == v1.JOB_STATE_SUCCEEDED
        assert (await api.finished(later.job_id)).state == v1.JOB_STATE_SUCCEEDED
        assert later.job_id > job.job_id, "in line behind what was there before"
        await check_lives(api, "film")
