"""What the provider's answers make of a job: refusals, limits, lost answers, and polls that go wrong."""

import asyncio
from pathlib import Path

import grpc
import pytest

from evergreen.v1 import video_pb2 as v1
from tests.jobs.lives import check_lives, life_of, steps_of
from tests.serving import Api, Control, free_address, open_sandbox, reason_of, serving

CREDITS = 24
"""What two seconds of gen4.5 cost."""

UNKNOWN_OUTCOMES = {
    "503 before": {"kind": "status", "status": 503},
    "503 after": {"kind": "status", "status": 503, "accept": True},
    "500 before": {"kind": "status", "status": 500},
    "502 after": {"kind": "status", "status": 502, "accept": True},
    "504 after": {"kind": "status", "status": 504, "accept": True},
    "408 after": {"kind": "status", "status": 408, "accept": True},
    "lost answer": {"kind": "lost_answer"},
    "drop": {"kind": "drop"},
    "silence before": {"kind": "hang", "seconds": 0.2},
    "silence after": {"kind": "hang", "seconds": 0.2, "accept": True},
    "broken JSON": {"kind": "invalid_json"},
    "no task in it": {"kind": "status", "status": 200, "body": {"estimatedCost": {"credits": 1}}, "accept": True},
}
UNSEEN = {"503 before", "500 before", "drop", "silence before"}

BAD_POLLS = {
    "502 page": {"kind": "status", "status": 502},
    "503 with advice": {"kind": "status", "status": 503, "retryAfter": 0.1},
    "429": {"kind": "status", "status": 429, "retryAfter": 0},
    "page as 200": {"kind": "status", "status": 200, "body": "<html>busy</html>"},
    "cut JSON": {"kind": "invalid_json"},
    "nothing": {"kind": "drop"},
    "long silence": {"kind": "hang", "seconds": 0.3},
    "refusals": {"kind": "status", "status": 400, "count": 3},
    "wrong key": {"kind": "status", "status": 401, "count": 2},
}


async def test_a_400_fails_the_job_and_names_the_callers_fields(api: Api, sandbox: Control) -> None:
    issues = [
        {"code": "custom", "path": ["promptText"], "message": "Not a prompt."},
        {"code": "custom", "path": ["ratio"], "message": "Not a ratio."},
    ]
    body = {"error": "Validation of body failed", "issues": issues, "docUrl": "https://docs.dev.runwayml.com/api"}
    await sandbox.fault("status", operation="create", status=400, body=body)

    done = await api.finished((await api.generate(max_attempts=3)).job_id)

    assert (done.state, done.error.reason, done.error.retryable) == (v1.JOB_STATE_FAILED, "PROVIDER_REFUSED", False)
    assert "prompt_text: Not a prompt." in done.error.message
    assert "ratio: Not a ratio." in done.error.message
    assert (done.charged_credits, done.cost_basis) == (0, v1.COST_BASIS_CONFIRMED)
    assert len(await sandbox.calls(operation="text_to_video")) == 1
    assert await sandbox.tasks() == []


async def test_a_wrong_key_fails_the_job_without_telling_the_key(api: Api, sandbox: Control) -> None:
    await sandbox.account(apiKeys=["key_" + "0" * 128])

    done = await api.finished((await api.generate()).job_id)
    with pytest.raises(grpc.aio.AioRpcError) as asked:
        await api.video.GetAccount(v1.GetAccountRequest())

    assert (done.state, done.error.reason) == (v1.JOB_STATE_FAILED, "PROVIDER_UNAUTHORIZED")
    assert done.error.retryable
    assert "key_" not in done.error.message
    assert (done.charged_credits, done.cost_basis) == (0, v1.COST_BASIS_CONFIRMED)
    assert reason_of(asked.value) == "PROVIDER_UNAUTHORIZED"
    await sandbox.account(apiKeys=None)


async def test_a_429_sends_the_job_back_to_wait_a_minute_and_it_is_accepted_later(api: Api, sandbox: Control) -> None:
    await sandbox.fault("status", operation="create", status=429)

    job = await api.generate()
    life = await life_of(api, job.job_id)

    assert steps_of(life)[:5] == [
        "QUEUED PREPARING",
        "QUEUED WAITING",
        "RUNNING SUBMITTING",
        "QUEUED WAITING",
        "RUNNING SUBMITTING",
    ]
    assert steps_of(life)[-1] == "SUCCEEDED"
    assert life[-1].job.attempt == 1
    assert len(await sandbox.tasks()) == 1
    refused, accepted = [event for event in life if event.job.stage == v1.JOB_STAGE_SUBMITTING][:2]
    assert accepted.time.ToNanoseconds() - refused.time.ToNanoseconds() >= 60e9 / 50


async def test_many_429s_at_once_are_one_reason_to_pause(tmp_path: Path) -> None:
    async with open_sandbox(speed=20) as sandbox:
        await sandbox.account(models={"gen4.5": {"maxConcurrentGenerations": 0}})
        await sandbox.fault("status", operation="create", status=429, count=5)
        async with serving(tmp_path / "data", sandbox.url, EVERGREEN_PROVIDER_SPEED="20") as api:
            jobs = [await api.generate(prompt_text=f"crowd {number}") for number in range(5)]
            for job in jobs:
                await api.until(job.job_id, v1.JOB_STATE_QUEUED, stage=v1.JOB_STAGE_WAITING)
            await sandbox.account(models={"gen4.5": {"maxConcurrentGenerations": 5}})

            lives = [await life_of(api, job.job_id) for job in jobs]

            for life in lives:
                refused, accepted = [event for event in life if event.job.stage == v1.JOB_STAGE_SUBMITTING]
                assert accepted.time.ToNanoseconds() - refused.time.ToNanoseconds() < 2 * 60e9 / 20
            await check_lives(api, "film")


async def test_without_credits_a_job_fails_and_what_costs_more_than_is_left_waits_while_cheaper_jobs_pass(
    tmp_path: Path, sandbox: Control
) -> None:
    async with serving(tmp_path / "data", sandbox.url, EVERGREEN_PROVIDER_SPEED="20") as api:
        await sandbox.called("get_organization")
        await sandbox.account(creditBalance=30)
        done = await api.finished((await api.generate(duration_seconds=10)).job_id)
        dear = await api.generate(prompt_text="patient", duration_seconds=10)
        cheap = await api.generate(project_id="other", prompt_text="cheap")

        assert (done.state, done.error.reason) == (v1.JOB_STATE_FAILED, "INSUFFICIENT_CREDITS")
        assert (done.charged_credits, done.cost_basis) == (0, v1.COST_BASIS_CONFIRMED)
        assert (await api.finished(cheap.job_id)).state == v1.JOB_STATE_SUCCEEDED
        held = await api.warned(dear.job_id, "CREDITS_LOW")
        assert held.stage == v1.JOB_STAGE_WAITING
        assert await sandbox.calls(promptText="patient") == []
        await sandbox.account(creditBalance=5000)
        assert (await api.finished(dear.job_id)).state == v1.JOB_STATE_SUCCEEDED
        await check_lives(api, "film", "other")


async def test_an_ambiguous_create_needs_attention_and_is_never_posted_twice(api: Api, sandbox: Control) -> None:
    for name, fault in UNKNOWN_OUTCOMES.items():
        await sandbox.fault(**fault, operation="create", prompt=name, count=None)
    jobs = {name: await api.generate(prompt_text=name, max_attempts=5) for name in UNKNOWN_OUTCOMES}

    for job in jobs.values():
        await api.until(job.job_id, v1.JOB_STATE_NEEDS_ATTENTION)
    await api.finished((await api.generate(prompt_text="another")).job_id)

    for name, job in jobs.items():
        now = await api.status(job.job_id)
        assert (now.state, now.error.reason) == (v1.JOB_STATE_NEEDS_ATTENTION, "SUBMISSION_UNKNOWN"), name
        assert not now.HasField("charged_credits"), name
        creates = [call for call in await sandbox.calls(operation="text_to_video") if call["promptText"] == name]
        assert len(creates) == 1, name
        assert len(await sandbox.tasks(name)) == (name not in UNSEEN), name


async def test_jobs_wait_for_a_provider_that_cannot_be_reached(tmp_path: Path) -> None:
    address = free_address()
    async with serving(tmp_path / "data", f"http://{address}") as api:
        job = await api.generate()
        await api.until(job.job_id, v1.JOB_STATE_RUNNING)
        await api.until(job.job_id, v1.JOB_STATE_QUEUED, stage=v1.JOB_STAGE_WAITING)
        async with open_sandbox(port=int(address.rpartition(":")[2])) as sandbox:
            life = await life_of(api, job.job_id)

            assert steps_of(life)[-1] == "SUCCEEDED"
            assert len(await sandbox.tasks()) == 1
            await check_lives(api, "film")


async def test_a_provider_that_goes_away_for_a_while_costs_nothing_but_time(tmp_path: Path) -> None:
    address = free_address()
    books = {"port": int(address.rpartition(":")[2]), "state_dir": tmp_path / "books"}
    async with serving(tmp_path / "data", f"http://{address}") as api:
        async with open_sandbox(**books):
            job = await api.generate(duration_seconds=10)
            await api.until(job.job_id, v1.JOB_STATE_RUNNING, stage=v1.JOB_STAGE_GENERATING)
        async with open_sandbox(**books) as sandbox:
            done = await api.finished(job.job_id)

            assert done.state == v1.JOB_STATE_SUCCEEDED
            assert len(await sandbox.tasks()) == 1
            await check_lives(api, "film")


async def test_an_unknown_status_is_a_warning_and_the_job_goes_on(api: Api, sandbox: Control) -> None:
    await sandbox.fault("status_word", word="DREAMING", count=2)

    life = await life_of(api, (await api.generate(duration_seconds=10)).job_id)

    done = life[-1].job
    assert done.state == v1.JOB_STATE_SUCCEEDED
    assert [warning.code for warning in done.warnings] == ["UNKNOWN_PROVIDER_STATUS"]
    assert "DREAMING" in done.warnings[0].message


async def test_a_task_that_waits_long_at_the_provider_is_throttled_and_then_made(api: Api, sandbox: Control) -> None:
    await sandbox.fault("throttle", seconds=60)

    life = await life_of(api, (await api.generate()).job_id)

    assert steps_of(life)[2:] == [
        "RUNNING SUBMITTING",
        "RUNNING THROTTLED",
        *[step for step in ["RUNNING GENERATING"] if step in steps_of(life)],
        "RUNNING DELIVERING",
        "SUCCEEDED",
    ]
    assert not life[-1].job.warnings


async def test_polls_that_go_wrong_delay_a_job_and_nothing_else(api: Api, sandbox: Control) -> None:
    for name, fault in BAD_POLLS.items():
        await sandbox.fault(**fault, operation="get_task", prompt=name)
    jobs = {name: await api.generate(prompt_text=name) for name in BAD_POLLS}

    async with asyncio.timeout(60):
        for name, job in jobs.items():
            done = await api.finished(job.job_id)
            assert done.state == v1.JOB_STATE_SUCCEEDED, name
            assert (done.charged_credits, done.cost_basis) == (CREDITS, v1.COST_BASIS_CONFIRMED), name
    assert len(await sandbox.tasks()) == len(BAD_POLLS)


async def test_a_task_that_somebody_else_deleted_fails_the_job_at_its_highest_cost(api: Api, sandbox: Control) -> None:
    await sandbox.fault("gone")

    done = await api.finished((await api.generate(max_attempts=3)).job_id)

    assert (done.state, done.error.reason) == (v1.JOB_STATE_FAILED, "PROVIDER_TASK_GONE")
    assert (done.charged_credits, done.cost_basis) == (CREDITS, v1.COST_BASIS_UPPER_BOUND)
    assert await sandbox.calls(operation="delete_task") == []
