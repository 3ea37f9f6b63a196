"""What GetStatus and ListVideos tell of jobs that wait or run: their place in line, and when they start and end."""

from pathlib import Path

import pytest

from evergreen.v1 import video_pb2 as v1
from tests.jobs.admission.test_scheduler import waiting
from tests.serving import Api, Control, free_address, serving

HOUR = 3600.0
"""More of the sandbox's time than the first clip takes to be made, by what is taken for granted."""


async def listed(api: Api) -> dict[str, v1.Job]:
    answer = await api.video.ListVideos(v1.ListVideosRequest(project_id="film"))
    return {job.job_id: job for job in answer.jobs}


async def test_the_places_in_line_are_those_in_which_slots_are_granted(tmp_path: Path, sandbox: Control) -> None:
    await sandbox.account(models={"gen4.5": {"maxConcurrentGenerations": 1}})
    await sandbox.fault("throttle", prompt="blocker", seconds=1_000_000)
    async with serving(tmp_path / "data", sandbox.url) as api:
        blocker = await api.generate(prompt_text="blocker")
        await api.until(blocker.job_id, v1.JOB_STATE_RUNNING, stage=v1.JOB_STAGE_THROTTLED)
        order = [("b", 0, "film"), ("first", 9, "film"), ("c", 0, "film"), ("a", 0, "other")]
        jobs = {
            prompt: await waiting(api, prompt_text=prompt, priority=priority, project_id=project)
            for prompt, priority, project in order
        }

        told = {prompt: await placed(api, job.job_id) for prompt, job in jobs.items()}
        again = {prompt: await api.status(job.job_id) for prompt, job in jobs.items()}

        assert {prompt: job.queue_position for prompt, job in told.items()} == {"a": 1, "first": 2, "b": 3, "c": 4}
        assert {prompt: job.queue_position for prompt, job in again.items()} == {"a": 1, "first": 2, "b": 3, "c": 4}
        for mine, next_one in (("a", "first"), ("first", "b"), ("b", "c")):
            assert seconds(again[mine].estimated_start_time) < seconds(again[mine].estimated_end_time)
            assert seconds(again[mine].estimated_end_time) <= seconds(again[next_one].estimated_start_time) + 0.001
        in_list = await listed(api)
        assert in_list[jobs["c"].job_id].queue_position == 4
        assert in_list[jobs["c"].job_id].HasField("estimated_start_time")

        await api.video.CancelVideo(v1.CancelVideoRequest(job_id=blocker.job_id))
        for job in jobs.values():
            assert (await api.finished(job.job_id)).state == v1.JOB_STATE_SUCCEEDED
        made = [task["promptText"] for task in await sandbox.tasks()]
        assert made == ["blocker", "a", "first", "b", "c"]
        for job in (await listed(api)).values():
            assert not job.HasField("queue_position")
            assert not job.HasField("estimated_start_time")
            assert not job.HasField("estimated_end_time")


async def test_a_running_job_tells_when_it_probably_ends(api: Api, sandbox: Control) -> None:
    await sandbox.settings(task_mean_seconds=100 * HOUR)
    job = await api.generate()
    running = await api.until(job.job_id, v1.JOB_STATE_RUNNING, stage=v1.JOB_STAGE_GENERATING)

    told = await api.status(job.job_id)

    assert seconds(running.start_time) < seconds(told.estimated_end_time) < seconds(running.start_time) + HOUR
    assert not told.HasField("queue_position")
    assert not running.HasField("estimated_end_time")
    await api.video.CancelVideo(v1.CancelVideoRequest(job_id=job.job_id))


async def test_without_a_slot_in_sight_there_is_a_place_and_no_time(tmp_path: Path, sandbox: Control) -> None:
    await sandbox.account(models={"gen4.5": {"maxConcurrentGenerations": 0}})
    async with serving(tmp_path / "data", sandbox.url) as api:
        job = await waiting(api)
        told = await placed(api, job.job_id)

        assert told.queue_position == 1
        assert not told.HasField("estimated_start_time")
        assert not told.HasField("estimated_end_time")


async def test_what_the_account_cannot_pay_stands_behind_what_it_can_and_has_no_time(
    tmp_path: Path, sandbox: Control
) -> None:
    await sandbox.account(creditBalance=60, models={"gen4.5": {"maxConcurrentGenerations": 1}})
    await sandbox.fault("throttle", prompt="blocker", seconds=1_000_000)
    async with serving(tmp_path / "data", sandbox.url) as api:
        blocker = await api.generate(prompt_text="blocker")
        await api.until(blocker.job_id, v1.JOB_STATE_RUNNING, stage=v1.JOB_STAGE_THROTTLED)
        lengths = {"too dear": 10, "payable": 2, "one too many": 2}
        jobs = {
            prompt: await waiting(api, prompt_text=prompt, duration_seconds=length)
            for prompt, length in lengths.items()
        }
        await api.warned(jobs["too dear"].job_id, "CREDITS_LOW")

        told = {prompt: await placed(api, job.job_id) for prompt, job in jobs.items()}

        places = {"payable": 1, "one too many": 2, "too dear": 3}
        assert {prompt: job.queue_position for prompt, job in told.items()} == places
        timed = {"payable": True, "one too many": False, "too dear": False}
        assert {prompt: job.HasField("estimated_start_time") for prompt, job in told.items()} == timed


@pytest.mark.parametrize(("daily", "timed"), [(1, 0), (2, 1), (3, 2), (None, 3)])
async def test_beyond_the_days_number_there_is_a_place_and_no_time(
    tmp_path: Path, sandbox: Control, daily: int | None, timed: int
) -> None:
    await sandbox.account(models={"gen4.5": {"maxConcurrentGenerations": 1, "maxDailyGenerations": daily}})
    await sandbox.fault("throttle", prompt="blocker", seconds=1_000_000)
    async with serving(tmp_path / "data", sandbox.url) as api:
        blocker = await api.generate(prompt_text="blocker")
        await api.until(blocker.job_id, v1.JOB_STATE_RUNNING, stage=v1.JOB_STAGE_THROTTLED)
        jobs = [await waiting(api, prompt_text=f"job {number}") for number in range(3)]

        told = [await placed(api, job.job_id) for job in jobs]

        assert [job.queue_position for job in told] == [1, 2, 3]
        assert [job.HasField("estimated_start_time") for job in told] == [number < timed for number in range(3)]


@pytest.mark.parametrize(
    "fault",
    [
        {"name": "drop", "code": "PROVIDER_UNAVAILABLE"},
        {"name": "status", "status": 503, "code": "PROVIDER_UNAVAILABLE"},
        {"name": "status", "status": 401, "code": ""},
    ],
    ids=str,
)
async def test_while_the_account_cannot_be_read_no_start_is_told(
    tmp_path: Path, sandbox: Control, fault: dict[str, object]
) -> None:
    how = {key: value for key, value in fault.items() if key not in ("name", "code")}
    await sandbox.fault(str(fault["name"]), operation="get_organization", count=None, **how)
    await sandbox.fault("throttle", prompt="blocker", seconds=1_000_000)
    async with serving(tmp_path / "data", sandbox.url) as api:
        blocker = await api.generate(prompt_text="blocker")
        await api.until(blocker.job_id, v1.JOB_STATE_RUNNING, stage=v1.JOB_STAGE_THROTTLED)
        job = await waiting(api)

        told = await placed(api, job.job_id)

        assert told.queue_position == 1
        assert not told.HasField("estimated_start_time")
        if fault["code"]:
            assert (await api.warned(job.job_id, str(fault["code"]))).state == v1.JOB_STATE_QUEUED


async def test_with_no_provider_at_all_every_job_is_warned_and_no_start_is_told(tmp_path: Path) -> None:
    """As behind a firewall, from the server's first moment on."""
    async with serving(tmp_path / "data", f"http://{free_address()}") as api:
        jobs = [await waiting(api, project_id=project) for project in ("film", "film", "other")]

        for job in jobs:
            warned = await api.warned(job.job_id, "PROVIDER_UNAVAILABLE")
            assert [warning.code for warning in warned.warnings] == ["PROVIDER_UNAVAILABLE"]
        for job in jobs:
            assert not (await api.status(job.job_id)).HasField("estimated_start_time")


async def placed(api: Api, job_id: str) -> v1.Job:
    """Asks until the place is told, which takes as long as an earlier reading is kept."""
    while True:
        job = await api.status(job_id)
        if job.HasField("queue_position"):
            return job


def seconds(stamp) -> float:
    return stamp.ToNanoseconds() / 1e9
