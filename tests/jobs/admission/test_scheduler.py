"""Who may have a task next: the tier's concurrency, turns between projects, and a pause that holds one model alone."""

import asyncio
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2

from evergreen.v1 import video_pb2 as v1
from tests.jobs.lives import check_lives, life_of
from tests.serving import Api, Control, detail_of, reason_of, serving


def most_at_once(tasks: Iterable[dict]) -> int:
    """Tells how many tasks the provider had unfinished at once, by its own books."""
    moments = []
    for task in tasks:
        moments += [(datetime.fromisoformat(task["createdAt"]), 1), (datetime.fromisoformat(task["endedAt"]), -1)]
    now = most = 0
    for _, change in sorted(moments):
        now += change
        most = max(most, now)
    return most


def posts_in(life: Iterable[v1.Event]) -> list[int]:
    """When a job was submitted, each time, in nanoseconds."""
    return [event.time.ToNanoseconds() for event in life if event.job.stage == v1.JOB_STAGE_SUBMITTING]


async def waiting(api: Api, **fields: object) -> v1.Job:
    job = await api.generate(**fields)
    return await api.until(job.job_id, v1.JOB_STATE_QUEUED, stage=v1.JOB_STAGE_WAITING)


async def test_the_provider_never_has_more_tasks_of_a_model_than_the_tier_allows(
    tmp_path: Path, sandbox: Control
) -> None:
    await sandbox.account(models={"gen4.5": {"maxConcurrentGenerations": 2}})
    await sandbox.fault("failure", prompt="one of", failureCode="INTERNAL", at=0.3, nth=3, count=2)
    await sandbox.fault("status", operation="create", prompt="one of", status=429, nth=5)
    async with serving(tmp_path / "data", sandbox.url) as api:
        jobs = await asyncio.gather(*(api.generate(prompt_text=f"one of {n}", max_attempts=3) for n in range(9)))
        other = await api.generate(model="veo3.1_fast", ratio="1280:720", duration_seconds=4)

        for job in [*jobs, other]:
            assert (await api.finished(job.job_id)).state == v1.JOB_STATE_SUCCEEDED
        tasks = [task for task in await sandbox.tasks() if task["model"] == "gen4.5"]
        assert len(tasks) == len(jobs) + 2
        assert most_at_once(tasks) == 2
        await check_lives(api, "film")


async def test_before_the_account_is_known_one_task_at_a_time_is_made(tmp_path: Path, sandbox: Control) -> None:
    await sandbox.fault("status", operation="get_organization", status=400, count=None)
    async with serving(tmp_path / "data", sandbox.url) as api:
        jobs = await asyncio.gather(*(api.generate() for _ in range(3)))

        for job in jobs:
            assert (await api.finished(job.job_id)).state == v1.JOB_STATE_SUCCEEDED
        assert most_at_once(await sandbox.tasks()) == 1


async def test_the_highest_priority_goes_first_and_then_the_oldest(tmp_path: Path, sandbox: Control) -> None:
    await sandbox.account(models={"gen4.5": {"maxConcurrentGenerations": 1}})
    await sandbox.fault("throttle", prompt="blocker", seconds=1_000_000)
    async with serving(tmp_path / "data", sandbox.url) as api:
        blocker = await api.generate(prompt_text="blocker")
        await api.until(blocker.job_id, v1.JOB_STATE_RUNNING, stage=v1.JOB_STAGE_THROTTLED)
        order = [("b", 0), ("first", 9), ("c", 0), ("a", 5), ("last", -7), ("really last", -7)]
        jobs = [await waiting(api, prompt_text=prompt, priority=priority) for prompt, priority in order]

        await api.video.CancelVideo(v1.CancelVideoRequest(job_id=blocker.job_id))
        for job in jobs:
            assert (await api.finished(job.job_id)).state == v1.JOB_STATE_SUCCEEDED

        made = [task["promptText"] for task in await sandbox.tasks()]
        assert made == ["blocker", "first", "a", "b", "c", "last", "really last"]
        await check_lives(api, "film")


async def test_a_job_that_leaves_the_queue_holds_nobody_up(tmp_path: Path, sandbox: Control) -> None:
    await sandbox.account(models={"gen4.5": {"maxConcurrentGenerations": 1}})
    await sandbox.fault("throttle", prompt="blocker", seconds=1_000_000)
    async with serving(tmp_path / "data", sandbox.url) as api:
        blocker = await api.generate(prompt_text="blocker")
        await api.until(blocker.job_id, v1.JOB_STATE_RUNNING, stage=v1.JOB_STAGE_THROTTLED)
        leaver = await waiting(api, prompt_text="leaver", priority=100)
        stayer = await waiting(api, prompt_text="stayer")

        for job in (leaver, blocker):
            await api.video.CancelVideo(v1.CancelVideoRequest(job_id=job.job_id))

        assert (await api.finished(stayer.job_id)).state == v1.JOB_STATE_SUCCEEDED
        assert (await api.finished(leaver.job_id)).state == v1.JOB_STATE_CANCELLED
        assert await sandbox.tasks("leaver") == []
        await check_lives(api, "film")


async def test_a_paused_model_holds_no_other(api: Api, sandbox: Control) -> None:
    await sandbox.fault("status", operation="create", prompt="refused", status=429)
    refused = await api.generate(prompt_text="refused")
    await api.until(refused.job_id, v1.JOB_STATE_RUNNING)
    await api.until(refused.job_id, v1.JOB_STATE_QUEUED, stage=v1.JOB_STAGE_WAITING)

    other = await api.generate(model="veo3.1_fast", ratio="1280:720", duration_seconds=4)
    later = await waiting(api, prompt_text="of the same model")

    first, second = posts_in(await life_of(api, refused.job_id))
    (of_other,) = posts_in(await life_of(api, other.job_id))
    (of_later,) = posts_in(await life_of(api, later.job_id))
    assert first < of_other < second
    assert min(second, of_later) - first >= 60e9 / 50


async def test_a_full_queue_takes_no_new_job_and_answers_for_those_it_has(tmp_path: Path, sandbox: Control) -> None:
    await sandbox.account(models={"gen4.5": {"maxConcurrentGenerations": 0}})
    async with serving(tmp_path / "data", sandbox.url, EVERGREEN_MAX_QUEUED="4") as api:
        first, _ = [await waiting(api, request_id=name) for name in ("one", "two")]

        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await api.generate(request_id="three")

        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert reason_of(refused.value) == "QUEUE_FULL"
        assert detail_of(refused.value, error_details_pb2.ErrorInfo()).metadata["bound"] == "project"
        assert detail_of(refused.value, error_details_pb2.RetryInfo()).retry_delay.seconds == 15
        assert (await api.generate(request_id="one")).job_id == first.job_id
        assert (await api.generate(request_id="one", project_id="other")).state == v1.JOB_STATE_QUEUED
        await api.video.CancelVideo(v1.CancelVideoRequest(job_id=first.job_id))
        await api.finished(first.job_id)
        assert (await api.generate(request_id="three")).state == v1.JOB_STATE_QUEUED


async def test_a_higher_limit_is_noticed_while_jobs_wait(tmp_path: Path, sandbox: Control) -> None:
    await sandbox.account(models={"gen4.5": {"maxConcurrentGenerations": 0}})
    async with serving(tmp_path / "data", sandbox.url) as api:
        job = await waiting(api)

        await sandbox.account(models={"gen4.5": {"maxConcurrentGenerations": None}})

        assert (await api.finished(job.job_id)).state == v1.JOB_STATE_SUCCEEDED
