"""Submissions whose outcome nobody knows: what ResolveSubmission makes of them, once, and what each way costs."""

import asyncio

import grpc
import pytest

from evergreen.v1 import video_pb2 as v1
from tests.jobs.lives import kind_of, life_of, steps_of
from tests.serving import FINAL, Api, Control, reason_of

CREDITS = 24
RESUBMIT = v1.SUBMISSION_RESOLUTION_RESUBMIT
ABANDON = v1.SUBMISSION_RESOLUTION_ABANDON
ATTACH = v1.SUBMISSION_RESOLUTION_ATTACH
NOWHERE = "00000000-0000-4000-8000-000000000000"


async def resolve(api: Api, job_id: str, resolution: int, task_id: str = "") -> v1.Job:
    request = v1.ResolveSubmissionRequest(job_id=job_id, resolution=resolution, provider_task_id=task_id)
    return (await api.video.ResolveSubmission(request)).job


async def refusal(api: Api, job_id: str, resolution: int, task_id: str = "") -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await resolve(api, job_id, resolution, task_id)
    return error.value.code(), reason_of(error.value)


async def lost(api: Api, sandbox: Control, prompt: str = "lost", **fields: object) -> v1.Job:
    """Makes a job whose task was created, but whose answer was lost."""
    await sandbox.fault("lost_answer", operation="create", prompt=prompt)
    job = await api.generate(prompt_text=prompt, **fields)
    return await api.until(job.job_id, v1.JOB_STATE_NEEDS_ATTENTION)


async def money(api: Api) -> tuple[float, float]:
    account = await api.video.GetAccount(v1.GetAccountRequest())
    return account.reserved_credits, account.spent_credits


async def test_what_is_unresolved_stays_reserved_and_is_not_spent(api: Api, sandbox: Control) -> None:
    job = await lost(api, sandbox)

    assert not job.HasField("charged_credits")
    assert not job.provider_task_id
    assert await money(api) == (CREDITS, 0)


async def test_resubmit_makes_one_new_attempt_and_counts_the_lost_one_as_spent(api: Api, sandbox: Control) -> None:
    job = await lost(api, sandbox)

    answer = await resolve(api, job.job_id, RESUBMIT)
    again = await refusal(api, job.job_id, RESUBMIT)
    life = await life_of(api, job.job_id)

    assert (answer.state, answer.attempt) == (v1.JOB_STATE_QUEUED, 2)
    assert again == (grpc.StatusCode.FAILED_PRECONDITION, "NOT_RESOLVABLE")
    assert [kind_of(event) for event in life].count("RESOLVED") == 1
    done = life[-1].job
    assert (done.state, done.attempt) == (v1.JOB_STATE_SUCCEEDED, 2)
    assert (done.charged_credits, done.cost_basis) == (2 * CREDITS, v1.COST_BASIS_UPPER_BOUND)
    assert len(await sandbox.tasks("lost")) == 2
    assert await money(api) == (0, 2 * CREDITS)


async def test_abandon_writes_the_reservation_off(api: Api, sandbox: Control) -> None:
    job = await lost(api, sandbox)

    done = await resolve(api, job.job_id, ABANDON)
    again = await refusal(api, job.job_id, ABANDON)

    assert (done.state, done.error.reason) == (v1.JOB_STATE_FAILED, "SUBMISSION_ABANDONED")
    assert (done.charged_credits, done.cost_basis) == (CREDITS, v1.COST_BASIS_UPPER_BOUND)
    assert again == (grpc.StatusCode.FAILED_PRECONDITION, "NOT_RESOLVABLE")
    assert steps_of(await life_of(api, job.job_id))[-2:] == ["NEEDS_ATTENTION", "FAILED"]
    assert len(await sandbox.tasks("lost")) == 1
    assert await money(api) == (0, CREDITS)


async def test_attach_goes_on_with_the_task_that_was_paid(api: Api, sandbox: Control) -> None:
    job = await lost(api, sandbox)
    task_id = (await sandbox.tasks("lost"))[0]["id"]

    answer = await resolve(api, job.job_id, ATTACH, task_id)
    again = await refusal(api, job.job_id, ATTACH, task_id)
    done = await api.finished(job.job_id)

    assert (answer.state, answer.provider_task_id, answer.attempt) == (v1.JOB_STATE_RUNNING, task_id, 1)
    assert again == (grpc.StatusCode.FAILED_PRECONDITION, "NOT_RESOLVABLE")
    assert (done.state, done.provider_task_id) == (v1.JOB_STATE_SUCCEEDED, task_id)
    assert (done.charged_credits, done.cost_basis) == (CREDITS, v1.COST_BASIS_CONFIRMED)
    assert len(await sandbox.tasks()) == 1
    assert await money(api) == (0, CREDITS)


async def test_an_attached_task_that_failed_meanwhile_fails_the_job(api: Api, sandbox: Control) -> None:
    await sandbox.fault("failure", failureCode="SAFETY.OUTPUT.VIDEO", at=0.01)
    job = await lost(api, sandbox)
    await resolve(api, job.job_id, ATTACH, (await sandbox.tasks("lost"))[0]["id"])

    done = await api.finished(job.job_id)

    assert (done.state, done.error.reason) == (v1.JOB_STATE_FAILED, "MODERATED_OUTPUT")
    assert (done.charged_credits, done.cost_basis) == (CREDITS, v1.COST_BASIS_CONFIRMED)


async def test_attach_refuses_a_task_that_is_unknown_or_taken(api: Api, sandbox: Control) -> None:
    job = await lost(api, sandbox)
    other = await api.finished((await api.generate(prompt_text="other")).job_id)

    refusals = [
        await refusal(api, job.job_id, ATTACH, NOWHERE),
        await refusal(api, job.job_id, ATTACH, other.provider_task_id),
    ]

    code = grpc.StatusCode.FAILED_PRECONDITION
    assert refusals == [(code, "PROVIDER_TASK_NOT_FOUND"), (code, "PROVIDER_TASK_TAKEN")]
    assert (await api.status(job.job_id)).state == v1.JOB_STATE_NEEDS_ATTENTION
    assert await money(api) == (CREDITS, CREDITS)


async def test_attach_can_be_tried_again_when_the_provider_could_not_be_asked(api: Api, sandbox: Control) -> None:
    job = await lost(api, sandbox)
    task_id = (await sandbox.tasks("lost"))[0]["id"]
    await sandbox.account(apiKeys=["key_" + "0" * 128])

    refused = await refusal(api, job.job_id, ATTACH, task_id)
    await sandbox.account(apiKeys=None)
    await resolve(api, job.job_id, ATTACH, task_id)

    assert refused == (grpc.StatusCode.FAILED_PRECONDITION, "PROVIDER_UNAUTHORIZED")
    assert (await api.finished(job.job_id)).state == v1.JOB_STATE_SUCCEEDED


async def test_of_two_jobs_that_claim_one_task_at_once_one_gets_it(api: Api, sandbox: Control) -> None:
    jobs = [await lost(api, sandbox, prompt) for prompt in ("first claim", "second claim")]
    task_id = (await sandbox.tasks("first claim"))[0]["id"]

    answers = await asyncio.gather(*(resolve(api, job.job_id, ATTACH, task_id) for job in jobs), return_exceptions=True)

    refused = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert [reason_of(error) for error in refused] == ["PROVIDER_TASK_TAKEN"]
    winner = next(answer for answer in answers if isinstance(answer, v1.Job))
    assert (await api.finished(winner.job_id)).state == v1.JOB_STATE_SUCCEEDED


async def test_of_many_resolutions_at_once_one_wins(api: Api, sandbox: Control) -> None:
    job = await lost(api, sandbox)
    task_id = (await sandbox.tasks("lost"))[0]["id"]
    ways = [(RESUBMIT, ""), (ABANDON, ""), (ATTACH, task_id)] * 3

    answers = await asyncio.gather(*(resolve(api, job.job_id, *way) for way in ways), return_exceptions=True)

    refused = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert len(refused) == len(ways) - 1
    assert {reason_of(error) for error in refused} <= {"NOT_RESOLVABLE", "PROVIDER_TASK_TAKEN"}
    assert (await api.finished(job.job_id)).state in FINAL


async def test_only_a_job_that_needs_attention_can_be_resolved(api: Api, sandbox: Control) -> None:
    await sandbox.settings(task_mean_seconds=100_000.0)
    running = await api.generate(prompt_text="runs")
    running = await api.until(running.job_id, v1.JOB_STATE_RUNNING, stage=v1.JOB_STAGE_GENERATING)
    await sandbox.fault("status", operation="create", status=400, prompt="refused")
    failed = await api.finished((await api.generate(prompt_text="refused")).job_id)

    refusals = {
        await refusal(api, job.job_id, resolution, running.provider_task_id if resolution == ATTACH else "")
        for job in (running, failed)
        for resolution in (RESUBMIT, ABANDON, ATTACH)
    }

    assert refusals == {(grpc.StatusCode.FAILED_PRECONDITION, "NOT_RESOLVABLE")}
    assert await refusal(api, "0198c2d4-0000-7000-8000-000000000000", ABANDON) == (
        grpc.StatusCode.NOT_FOUND,
        "JOB_NOT_FOUND",
    )


async def test_a_resolution_must_be_well_formed(api: Api, sandbox: Control) -> None:
    job = await lost(api, sandbox)

    wrong = [(0, ""), (99, ""), (ATTACH, ""), (ATTACH, "../organization"), (RESUBMIT, NOWHERE), (ABANDON, NOWHERE)]
    refusals = {await refusal(api, job.job_id, *way) for way in wrong}

    assert refusals == {(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")}
    assert (await api.status(job.job_id)).state == v1.JOB_STATE_NEEDS_ATTENTION


async def test_a_caller_may_have_one_submission_repeated_by_itself(api: Api, sandbox: Control) -> None:
    await sandbox.fault("lost_answer", operation="create")

    job = await api.generate(on_unknown_submission=v1.ON_UNKNOWN_SUBMISSION_RESUBMIT)
    done = await api.finished(job.job_id)

    assert (done.state, done.attempt) == (v1.JOB_STATE_SUCCEEDED, 2)
    assert [warning.code for warning in done.warnings] == ["SUBMISSION_UNKNOWN"]
    assert (done.charged_credits, done.cost_basis) == (2 * CREDITS, v1.COST_BASIS_UPPER_BOUND)
    assert len(await sandbox.tasks()) == 2
    assert await money(api) == (0, 2 * CREDITS)


async def test_a_second_lost_answer_is_never_repeated_by_itself(api: Api, sandbox: Control) -> None:
    await sandbox.fault("lost_answer", operation="create", prompt="twice", count=None)
    job = await api.generate(
        prompt_text="twice", max_attempts=9, on_unknown_submission=v1.ON_UNKNOWN_SUBMISSION_RESUBMIT
    )
    stuck = await api.until(job.job_id, v1.JOB_STATE_NEEDS_ATTENTION)
    await api.finished((await api.generate(prompt_text="another")).job_id)

    assert (stuck.attempt, (await api.status(job.job_id)).state) == (2, v1.JOB_STATE_NEEDS_ATTENTION)
    assert len(await sandbox.tasks("twice")) == 2
    assert await money(api) == (CREDITS, 2 * CREDITS)
    done = await resolve(api, job.job_id, ABANDON)
    assert (done.charged_credits, done.cost_basis) == (2 * CREDITS, v1.COST_BASIS_UPPER_BOUND)
    assert await money(api) == (0, 3 * CREDITS)


async def test_a_lost_cost_without_a_known_price_is_said_to_be_unknown(api: Api, sandbox: Control) -> None:
    job = await lost(api, sandbox, model="kling_4", ratio="1280:720", duration_seconds=5)

    done = await resolve(api, job.job_id, ABANDON)

    assert not done.HasField("estimated_credits")
    assert not done.HasField("charged_credits")
    assert [warning.code for warning in done.warnings] == ["COST_UNKNOWN"]
