"""Cancelling at every moment of a job's life: one end, told once, and nothing that was paid is destroyed."""

import asyncio
from datetime import datetime
from pathlib import Path

import grpc
import pytest
from aiohttp import web

from evergreen.v1 import video_pb2 as v1
from tests.jobs.lives import check_lives, kind_of, life_of, steps_of
from tests.loopback import serving_app
from tests.serving import SAMPLES, Api, Control, reason_of, serving

CREDITS = 24
FREE = (0, v1.COST_BASIS_CONFIRMED)
PAID = (CREDITS, v1.COST_BASIS_CONFIRMED)
AT_MOST = (CREDITS, v1.COST_BASIS_UPPER_BOUND)


async def cancel(api: Api, job_id: str) -> v1.Job:
    return (await api.video.CancelVideo(v1.CancelVideoRequest(job_id=job_id))).job


def cost_of(job: v1.Job) -> tuple[float, int]:
    return job.charged_credits, job.cost_basis


def warnings_of(job: v1.Job) -> list[str]:
    return [warning.code for warning in job.warnings]


async def deletes(sandbox: Control) -> list[dict]:
    return await sandbox.calls(operation="delete_task")


async def held(api: Api, sandbox: Control, stage: int, **fields: object) -> v1.Job:
    """Makes a job that stays in a stage at the provider."""
    if stage == v1.JOB_STAGE_THROTTLED:
        await sandbox.fault("throttle", seconds=1_000_000)
    else:
        await sandbox.settings(task_mean_seconds=1_000_000.0)
    job = await api.generate(**fields)
    return await api.until(job.job_id, v1.JOB_STATE_RUNNING, stage=stage)


async def test_a_job_that_waits_is_cancelled_for_free_and_never_posted(tmp_path: Path, sandbox: Control) -> None:
    await sandbox.account(models={"gen4.5": {"maxConcurrentGenerations": 0}})
    async with serving(tmp_path / "data", sandbox.url) as api:
        job = await api.generate()
        await api.until(job.job_id, v1.JOB_STATE_QUEUED, stage=v1.JOB_STAGE_WAITING)

        answer = await cancel(api, job.job_id)
        life = await life_of(api, job.job_id)

        assert answer.state in (v1.JOB_STATE_CANCELLING, v1.JOB_STATE_CANCELLED)
        assert steps_of(life) == ["QUEUED PREPARING", "QUEUED WAITING", "CANCELLING", "CANCELLED"]
        assert cost_of(life[-1].job) == FREE
        assert await sandbox.calls(operation="text_to_video") == []
        await check_lives(api, "film")


async def test_a_job_cancelled_at_once_is_not_posted(api: Api, sandbox: Control) -> None:
    job = await api.generate()
    await cancel(api, job.job_id)

    done = await api.finished(job.job_id)

    assert done.state == v1.JOB_STATE_CANCELLED
    assert (cost_of(done), len(await sandbox.tasks())) in [(FREE, 0), (AT_MOST, 1)]


async def test_a_job_is_cancelled_while_its_picture_is_fetched(tmp_path: Path, sandbox: Control) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def picture(_: web.Request) -> web.FileResponse:
        asked.set()
        await go_on.wait()
        return web.FileResponse(SAMPLES / "rocket.jpg")

    pictures = web.Application()
    pictures.router.add_get("/rocket.jpg", picture)
    async with (
        serving_app(pictures) as host,
        serving(tmp_path / "data", sandbox.url, EVERGREEN_PICTURE_HOSTS=host) as api,
    ):
        media = v1.Media(uri=f"http://{host}/rocket.jpg", role=v1.MEDIA_ROLE_FIRST_FRAME)
        job = await api.generate(media=[media])
        await asyncio.wait_for(asked.wait(), 60)
        assert (await cancel(api, job.job_id)).state == v1.JOB_STATE_CANCELLING
        go_on.set()

        life = await life_of(api, job.job_id)

        assert steps_of(life) == ["QUEUED PREPARING", "CANCELLING", "CANCELLED"]
        assert cost_of(life[-1].job) == FREE
        assert await sandbox.calls(operation="image_to_video") == []
        await check_lives(api, "film")


async def test_a_post_under_way_is_waited_for_and_its_task_deleted(api: Api, sandbox: Control) -> None:
    await sandbox.settings(task_mean_seconds=1_000_000.0)
    await sandbox.fault("slow", operation="create", seconds=0.4)
    job = await api.generate()
    await sandbox.called("text_to_video")

    answer = await cancel(api, job.job_id)
    life = await life_of(api, job.job_id)

    assert answer.state == v1.JOB_STATE_CANCELLING
    assert steps_of(life)[-3:] == ["RUNNING SUBMITTING", "CANCELLING", "CANCELLED"]
    assert cost_of(life[-1].job) == AT_MOST
    (task,) = await sandbox.tasks()
    assert (task["status"], task["deleted"]) == ("CANCELLED", True)
    assert life[-1].job.provider_task_id == task["id"]


async def test_a_post_that_is_refused_while_cancelling_costs_nothing(api: Api, sandbox: Control) -> None:
    # Told of the quota in time, the server would not post at all.
    await sandbox.called("get_organization")
    await sandbox.fault("slow", operation="create", seconds=0.3)
    await sandbox.account(models={"gen4.5": {"maxDailyGenerations": 0}})
    job = await api.generate()
    await sandbox.called("text_to_video")
    await cancel(api, job.job_id)

    done = await api.finished(job.job_id)

    assert (done.state, cost_of(done)) == (v1.JOB_STATE_CANCELLED, FREE)
    assert len(await sandbox.calls(operation="text_to_video")) == 1


async def test_a_post_whose_answer_is_lost_while_cancelling_needs_attention(api: Api, sandbox: Control) -> None:
    await sandbox.fault("hang", operation="create", seconds=0.3, accept=True)
    job = await api.generate(on_unknown_submission=v1.ON_UNKNOWN_SUBMISSION_RESUBMIT)
    await sandbox.called("text_to_video")
    await cancel(api, job.job_id)

    stuck = await api.until(job.job_id, v1.JOB_STATE_NEEDS_ATTENTION)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await cancel(api, job.job_id)

    assert stuck.error.reason == "SUBMISSION_UNKNOWN"
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert reason_of(refused.value) == "NEEDS_RESOLUTION"
    assert (await api.status(job.job_id)).state == v1.JOB_STATE_NEEDS_ATTENTION
    assert len(await sandbox.tasks()) == 1


@pytest.mark.parametrize("stage", [v1.JOB_STAGE_THROTTLED, v1.JOB_STAGE_GENERATING])
async def test_a_task_at_the_provider_is_deleted(api: Api, sandbox: Control, stage: int) -> None:
    job = await held(api, sandbox, stage)

    first = await cancel(api, job.job_id)
    second = await cancel(api, job.job_id)
    life = await life_of(api, job.job_id)
    after = await cancel(api, job.job_id)

    assert first.state == v1.JOB_STATE_CANCELLING
    assert second.state in (v1.JOB_STATE_CANCELLING, v1.JOB_STATE_CANCELLED)
    assert [kind_of(event) for event in life[-2:]] == ["CANCELLING", "CANCELLED"]
    assert after == await api.status(job.job_id)
    assert after.state == v1.JOB_STATE_CANCELLED
    assert cost_of(after) == AT_MOST
    assert [call["status"] for call in await deletes(sandbox)] == [204]
    (task,) = await sandbox.tasks()
    assert task["status"] == "CANCELLED"


@pytest.mark.parametrize(
    ("fault", "polls", "told"),
    [
        ({"kind": "slow", "seconds": 0.4}, 1, []),
        ({"kind": "status", "status": 400, "count": None}, 5, ["PROVIDER_UNAVAILABLE"]),
    ],
    ids=["while it is asked for", "between two polls"],
)
async def test_a_clip_finished_by_then_is_delivered(
    api: Api, sandbox: Control, fault: dict, polls: int, told: list[str]
) -> None:
    job = await held(api, sandbox, v1.JOB_STAGE_GENERATING)
    polls += len(await sandbox.calls(operation="get_task"))
    await sandbox.fault(**fault, operation="get_task")
    await sandbox.called("get_task", times=polls)
    await sandbox.advance(10_000_000)
    await sandbox.clear()
    await cancel(api, job.job_id)

    life = await life_of(api, job.job_id)

    done = life[-1].job
    assert steps_of(life)[-2:] == ["CANCELLING", "SUCCEEDED"]
    assert (warnings_of(done), cost_of(done)) == ([*told, "CANCEL_TOO_LATE"], PAID)
    assert await deletes(sandbox) == []


async def test_a_delivery_under_way_goes_on(api: Api, sandbox: Control, tmp_path: Path) -> None:
    await sandbox.fault("slow", operation="output", seconds=0.5)
    job = await api.generate()
    await sandbox.called("output")

    await cancel(api, job.job_id)
    life = await life_of(api, job.job_id)
    again = await cancel(api, job.job_id)

    assert steps_of(life)[-3:] == ["RUNNING DELIVERING", "CANCELLING", "SUCCEEDED"]
    assert [kind_of(event) for event in life[-3:]] == ["WARNING", "OUTPUT_ADDED", "SUCCEEDED"]
    assert (warnings_of(again), cost_of(again)) == (["CANCEL_TOO_LATE"], PAID)
    assert (tmp_path / "data" / "projects" / "film" / "scene-1" / again.outputs[0].asset).stat().st_size
    assert await deletes(sandbox) == []


async def test_cancelling_a_job_that_has_ended_changes_nothing(api: Api, sandbox: Control) -> None:
    done = await api.finished((await api.generate()).job_id)
    await sandbox.fault("status", operation="create", status=400, prompt="bad")
    failed = await api.finished((await api.generate(prompt_text="bad")).job_id)

    for job in (done, failed):
        answer = await cancel(api, job.job_id)
        assert (answer.state, answer.revision) == (job.state, job.revision)
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await cancel(api, "0198c2d4-0000-7000-8000-000000000000")
    assert reason_of(unknown.value) == "JOB_NOT_FOUND"


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 503},
        {"kind": "status", "status": 503, "accept": True},
        {"kind": "lost_answer"},
        {"kind": "status", "status": 409, "count": 2},
    ],
    ids=["503 before", "503 after", "lost answer", "refused twice"],
)
async def test_a_delete_that_fails_at_first_is_made_again(api: Api, sandbox: Control, fault: dict) -> None:
    job = await held(api, sandbox, v1.JOB_STAGE_GENERATING)
    await sandbox.fault(**fault, operation="delete_task")
    await cancel(api, job.job_id)

    done = await api.finished(job.job_id)

    assert (done.state, cost_of(done)) == (v1.JOB_STATE_CANCELLED, AT_MOST)
    (task,) = await sandbox.tasks()
    assert task["status"] == "CANCELLED"


async def test_a_delete_that_was_done_and_never_answered_is_our_own(api: Api, sandbox: Control) -> None:
    job = await held(api, sandbox, v1.JOB_STAGE_GENERATING)
    await sandbox.fault("lost_answer", operation="delete_task")
    # As often as the client tries; what asks for the task after that learns that it is gone.
    await sandbox.fault("status", operation="delete_task", status=503, count=3)
    await cancel(api, job.job_id)

    done = await api.finished(job.job_id)

    assert (done.state, done.HasField("error"), cost_of(done)) == (v1.JOB_STATE_CANCELLED, False, AT_MOST)
    assert len(await deletes(sandbox)) == 4


async def test_a_task_that_somebody_else_deleted_is_gone_and_not_cancelled(api: Api, sandbox: Control) -> None:
    job = await held(api, sandbox, v1.JOB_STAGE_GENERATING)
    await sandbox.fault("gone", count=None)
    await cancel(api, job.job_id)

    done = await api.finished(job.job_id)

    assert (done.state, done.error.reason) == (v1.JOB_STATE_FAILED, "PROVIDER_TASK_GONE")
    assert cost_of(done) == AT_MOST
    assert await deletes(sandbox) == []


async def test_a_failure_found_while_cancelling_is_told_and_not_repeated(api: Api, sandbox: Control) -> None:
    await sandbox.fault("failure", failureCode="INTERNAL", at=1)
    job = await held(api, sandbox, v1.JOB_STAGE_GENERATING, max_attempts=5)
    polls = len(await sandbox.calls(operation="get_task"))
    await sandbox.fault("slow", operation="get_task", seconds=0.4)
    await sandbox.called("get_task", times=polls + 1)
    await sandbox.advance(10_000_000)
    await cancel(api, job.job_id)

    done = await api.finished(job.job_id)

    assert (done.state, done.error.reason, cost_of(done)) == (v1.JOB_STATE_FAILED, "PROVIDER_INTERNAL", FREE)
    assert len(await sandbox.tasks()) == 1


async def test_cancels_that_race_completion_end_each_job_once_and_destroy_no_clip(api: Api, sandbox: Control) -> None:
    await sandbox.settings(task_mean_seconds=80.0)
    jobs = [await api.generate(prompt_text=f"race {number}") for number in range(30)]

    async def at_its_moment(job: v1.Job, number: int) -> None:
        # The moment is the point. Each of these surely comes, and what is under way then goes on meanwhile.
        moments = (None, "text_to_video", "get_task")
        if (operation := moments[number % len(moments)]) is not None:
            await sandbox.called(operation, promptText=f"race {number}")
        await cancel(api, job.job_id)

    async with asyncio.TaskGroup() as group:
        for number, job in enumerate(jobs):
            group.create_task(at_its_moment(job, number))
    ends = {job.job_id: (await life_of(api, job.job_id))[-1].job for job in jobs}

    tasks = {task["id"]: task for task in await sandbox.tasks()}
    calls = await sandbox.calls()
    assert {job.state for job in ends.values()} <= {v1.JOB_STATE_SUCCEEDED, v1.JOB_STATE_CANCELLED}
    for job in ends.values():
        task = tasks.get(job.provider_task_id)
        assert (task is not None and task["deleted"]) == (job.state == v1.JOB_STATE_CANCELLED and task is not None)
        if task is not None and task["deleted"]:
            about = [call for call in calls if call["taskId"] == task["id"]]
            assert [call["operation"] for call in about[-2:]] == ["get_task", "delete_task"]
            looked, ended = (datetime.fromisoformat(moment) for moment in (about[-2]["at"], task["endedAt"]))
            assert looked < ended, "a clip was destroyed that was seen to be finished"
    assert len(tasks) == len({job.provider_task_id for job in ends.values()} - {""})
