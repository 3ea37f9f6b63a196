"""Tasks that fail at the provider: what each failure code means, and when there is a new attempt."""

from evergreen.v1 import video_pb2 as v1
from tests.jobs.lives import life_of
from tests.serving import Api, Control

CREDITS = 24
"""What two seconds of gen4.5 cost."""

FAILURES = {
    "SAFETY.INPUT.TEXT": ("MODERATED_INPUT", False, CREDITS),
    "SAFETY.INPUT.IMAGE": ("MODERATED_INPUT", False, CREDITS),
    "SAFETY.OUTPUT.VIDEO": ("MODERATED_OUTPUT", False, CREDITS),
    "INPUT_PREPROCESSING.SAFETY.TEXT": ("MODERATED_INPUT", False, CREDITS),
    "INPUT_PREPROCESSING.INTERNAL": ("PROVIDER_INTERNAL", True, 0),
    "INTERNAL.BAD_OUTPUT.01": ("BAD_OUTPUT", False, 0),
    "INTERNAL.BAD_OUTPUT.CODE01": ("BAD_OUTPUT", False, 0),
    "ASSET.INVALID": ("ASSET_INVALID", False, 0),
    "THIRD_PARTY.UNAVAILABLE": ("PROVIDER_OVERLOADED", True, 0),
    "INTERNAL": ("PROVIDER_INTERNAL", True, 0),
    None: ("PROVIDER_INTERNAL", True, 0),
    "SOMETHING.NEW": ("PROVIDER_INTERNAL", False, 0),
}
"""By failure code: reason, retryable, and what the sandbox keeps of the price."""


async def test_each_failure_code_has_its_reason_advice_and_cost(api: Api, sandbox: Control) -> None:
    jobs = {}
    for number, code in enumerate(FAILURES):
        told = {} if code is None else {"failureCode": code}
        await sandbox.fault("failure", prompt=f"fails {number:02}", message=f"It failed so: {number}.", **told)
        jobs[code] = await api.generate(prompt_text=f"fails {number:02}")

    for number, (code, (reason, retryable, cost)) in enumerate(FAILURES.items()):
        done = await api.finished(jobs[code].job_id)
        assert done.state == v1.JOB_STATE_FAILED, code
        assert (done.error.reason, done.error.retryable) == (reason, retryable), code
        assert (done.error.provider_code, done.error.message) == (code or "", f"It failed so: {number}.")
        assert (done.charged_credits, done.cost_basis) == (cost, v1.COST_BASIS_CONFIRMED), code


async def test_a_free_and_passing_failure_gets_a_new_attempt(api: Api, sandbox: Control) -> None:
    await sandbox.fault("failure", failureCode="THIRD_PARTY.UNAVAILABLE")

    life = await life_of(api, (await api.generate(max_attempts=2)).job_id)

    done = life[-1].job
    assert (done.state, done.attempt) == (v1.JOB_STATE_SUCCEEDED, 2)
    assert (done.charged_credits, done.cost_basis) == (CREDITS, v1.COST_BASIS_CONFIRMED)
    assert [task["status"] for task in await sandbox.tasks()] == ["FAILED", "SUCCEEDED"]


async def test_attempts_come_ever_more_slowly_and_end_at_max_attempts(api: Api, sandbox: Control) -> None:
    await sandbox.fault("failure", failureCode="INTERNAL", at=0.1, count=None)

    life = await life_of(api, (await api.generate(max_attempts=4)).job_id)

    done = life[-1].job
    assert (done.state, done.attempt, done.error.reason) == (v1.JOB_STATE_FAILED, 4, "PROVIDER_INTERNAL")
    assert done.charged_credits == 0
    assert len(await sandbox.tasks()) == 4
    queued = next(event for event in life if event.job.attempt == 4)
    started = next(event for event in life if event.job.attempt == 4 and event.job.state == v1.JOB_STATE_RUNNING)
    assert started.time.ToNanoseconds() - queued.time.ToNanoseconds() >= 16e9 / 50


async def test_no_new_attempt_after_what_was_charged_or_will_not_pass(api: Api, sandbox: Control) -> None:
    codes = ["SAFETY.INPUT.TEXT", "INTERNAL.BAD_OUTPUT.01", "ASSET.INVALID"]
    for code in codes:
        await sandbox.fault("failure", prompt=code, failureCode=code)
    jobs = [await api.generate(prompt_text=code, max_attempts=5) for code in codes]

    for job in jobs:
        done = await api.finished(job.job_id)
        assert (done.state, done.attempt) == (v1.JOB_STATE_FAILED, 1)
    assert len(await sandbox.tasks()) == len(codes)
