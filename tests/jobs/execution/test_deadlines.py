"""start_by and finish_by: when they end a job, what that costs, and when they no longer apply."""

import time

from evergreen.v1 import video_pb2 as v1
from tests.jobs.lives import life_of, steps_of
from tests.serving import Api, Control

CREDITS = 24
"""What two seconds of gen4.5 cost."""


async def test_a_quota_used_up_until_start_by_expires_the_job_with_nothing_paid(api: Api, sandbox: Control) -> None:
    await sandbox.account(models={"gen4.5": {"maxDailyGenerations": 0}})

    job = await api.generate(start_by={"seconds": int(time.time()) + 2})
    life = await life_of(api, job.job_id)

    done = life[-1].job
    assert steps_of(life)[-2:] == ["QUEUED WAITING", "EXPIRED"]
    assert done.error.reason == "START_BY_PASSED"
    assert (done.charged_credits, done.cost_basis) == (0, v1.COST_BASIS_CONFIRMED)
    assert await sandbox.tasks() == []


async def test_finish_by_deletes_the_task_and_expires_the_job(api: Api, sandbox: Control) -> None:
    await sandbox.settings(task_mean_seconds=1_000_000.0)
    job = await api.generate(finish_by={"seconds": int(time.time()) + 3})

    life = await life_of(api, job.job_id)

    done = life[-1].job
    assert steps_of(life)[-2:] == ["RUNNING GENERATING", "EXPIRED"]
    assert (done.error.reason, done.charged_credits, done.cost_basis) == (
        "FINISH_BY_PASSED",
        CREDITS,
        v1.COST_BASIS_UPPER_BOUND,
    )
    (task,) = await sandbox.tasks()
    assert task["status"] == "CANCELLED"


async def test_finish_by_does_not_apply_once_the_clip_is_delivered(api: Api, sandbox: Control) -> None:
    await sandbox.fault("slow", operation="output", seconds=3.2)
    limit = int(time.time()) + 3
    job = await api.generate(finish_by={"seconds": limit})

    life = await life_of(api, job.job_id)

    delivering = next(event for event in life if event.job.stage == v1.JOB_STAGE_DELIVERING)
    assert delivering.time.seconds < limit <= life[-1].time.seconds
    assert (life[-1].job.state, life[-1].job.charged_credits) == (v1.JOB_STATE_SUCCEEDED, CREDITS)
    assert not life[-1].job.warnings
    assert await sandbox.calls(operation="delete_task") == []
