"""A server that is stopped for longer than its lease lives, and wakes where it pays: what was resolved stays so."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from evergreen.v1 import video_pb2 as v1
from tests.e2e.gate import Gate, gate_before
from tests.e2e.rig import Rig, check_books
from tests.postgres import Postgres
from tests.serving import Control

RESUBMIT = v1.SUBMISSION_RESOLUTION_RESUBMIT


@pytest.fixture
async def gate(sandbox: Control) -> AsyncIterator[Gate]:
    async with gate_before(port=urlsplit(sandbox.url).port) as opened:
        yield opened


@pytest.fixture
async def rig(tmp_path: Path, sandbox: Control, postgres: Postgres, gate: Gate) -> AsyncIterator[Rig]:
    """Two servers, the first of which comes to the provider only through the gate. The second does not run yet."""
    own = {0: {"RUNWAYML_BASE_URL": f"http://{gate.address}"}}
    async with AsyncExitStack() as stack:
        rig = Rig(tmp_path, sandbox, database_url=postgres.create(), replicas=2, own=own)
        await stack.enter_async_context(rig)
        await rig.kill(1)
        yield rig


async def resubmitted(rig: Rig, job_id: str) -> v1.Job:
    """Has the second server take over from the first, which is stopped, and submit the job anew."""
    os.kill(rig.pid, signal.SIGSTOP)
    del rig.live[0]
    await rig.start(1)
    asking = await rig.api.until(job_id, v1.JOB_STATE_NEEDS_ATTENTION, seconds=60)
    assert asking.error.reason == "SUBMISSION_UNKNOWN"
    await rig.api.video.ResolveSubmission(v1.ResolveSubmissionRequest(job_id=job_id, resolution=RESUBMIT))
    return await rig.api.finished(job_id, seconds=60)


async def stopped_before_the_post(rig: Rig, gate: Gate, prompt: str, **fields: object) -> str:
    """Stops the first server where its intent is recorded and nothing was sent; the second starts, to take over."""
    await gate.hold_callers()
    job = await rig.api.generate(prompt_text=prompt, **fields)
    await rig.api.until(job.job_id, v1.JOB_STATE_RUNNING, stage=v1.JOB_STAGE_SUBMITTING)
    os.kill(rig.pid, signal.SIGSTOP)
    del rig.live[0]
    await rig.start(1)
    return job.job_id


async def owners(rig: Rig, job_id: str) -> list[tuple]:
    return await rig.rows("SELECT execution FROM jobs WHERE job_id = %s", job_id)


def wake(rig: Rig, gate: Gate) -> None:
    gate.open()
    os.kill(rig.pid, signal.SIGCONT)
    rig.live[0] = rig.all[0]


async def test_a_server_that_wakes_and_sends_nothing_lets_its_successor_submit_the_job(rig: Rig, gate: Gate) -> None:
    again = v1.ON_UNKNOWN_SUBMISSION_RESUBMIT
    job_id = await stopped_before_the_post(rig, gate, "unsent", on_unknown_submission=again)
    async with asyncio.timeout(60):
        before = now = await owners(rig, job_id)
        while now == before:
            now = await owners(rig, job_id)

    wake(rig, gate)
    done = await rig.steady(job_id)

    assert (done.state, done.attempt, list(done.warnings)) == (v1.JOB_STATE_SUCCEEDED, 1, [])
    assert len(await rig.sandbox.tasks("unsent")) == 1
    await rig.check()
    await check_books(rig.sandbox, {"unsent": done})


async def test_a_job_that_asks_is_submitted_once_it_is_known_that_nothing_was_sent(rig: Rig, gate: Gate) -> None:
    job_id = await stopped_before_the_post(rig, gate, "asking")
    await rig.api.until(job_id, v1.JOB_STATE_NEEDS_ATTENTION, seconds=60)

    wake(rig, gate)
    done = await rig.api.finished(job_id, seconds=60)

    assert (done.state, done.attempt) == (v1.JOB_STATE_SUCCEEDED, 1)
    assert len(await rig.sandbox.tasks("asking")) == 1
    await rig.check()
    await check_books(rig.sandbox, {"asking": done})


async def test_a_server_stopped_between_intent_and_post_does_not_post_when_it_wakes(rig: Rig, gate: Gate) -> None:
    await gate.hold_callers()
    job = await rig.api.generate(prompt_text="intended")
    await rig.api.until(job.job_id, v1.JOB_STATE_RUNNING, stage=v1.JOB_STAGE_SUBMITTING)

    done = await resubmitted(rig, job.job_id)
    gate.open()
    os.kill(rig.pid, signal.SIGCONT)

    assert (done.state, done.attempt) == (v1.JOB_STATE_SUCCEEDED, 2)
    # The woken one serves again, with the lease that it takes anew, and comes through the gate.
    await rig.kill(1)
    rig.live[0] = rig.all[0]
    other = await rig.api.generate(prompt_text="afterwards")
    ended = {"intended": await rig.api.status(job.job_id), "afterwards": await rig.steady(other.job_id, seconds=120)}
    assert ended["afterwards"].state == v1.JOB_STATE_SUCCEEDED
    assert len(await rig.sandbox.tasks("intended")) == 1
    await rig.check()
    await check_books(rig.sandbox, ended)
