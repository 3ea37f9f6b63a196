"""Three servers on one database, whose clocks are hours apart: jobs that go from one to another end as ever."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from evergreen.v1 import video_pb2 as v1
from tests.e2e.rig import Rig, check_books
from tests.postgres import Postgres
from tests.serving import Control

SHIFTED = (str(Path(__file__).with_name("shifted.py")),)
HOURS = (-2.0, 0.0, 2.0)
LASTING_SECONDS = 1_000_000.0
FAR = 10**9


@pytest.fixture
async def rig(tmp_path: Path, sandbox: Control, postgres: Postgres) -> AsyncIterator[Rig]:
    own = {number: {"AHEAD_SECONDS": str(hours * 3600)} for number, hours in enumerate(HOURS)}
    async with Rig(
        tmp_path, sandbox, program=SHIFTED, database_url=postgres.create(), replicas=len(HOURS), own=own
    ) as opened:
        yield opened


async def test_jobs_that_are_handed_on_between_clocks_hours_apart_end_and_are_paid_once(rig: Rig) -> None:
    await rig.sandbox.settings(task_mean_seconds=LASTING_SECONDS)
    # Refused at first, so that one server's pause and another's jobs meet; or failed, and tried again.
    await rig.sandbox.fault("status", operation="create", prompt="refused 1", status=429)
    await rig.sandbox.fault("failure", operation="create", prompt="again 2", failureCode="INTERNAL", at=0.1)
    job_ids: dict[str, str] = {}
    for number, server in rig.live.items():
        for kind in ("plain", "refused", "again", "cancelled"):
            prompt = f"{kind} {number}"
            job_ids[prompt] = (await server.generate(prompt_text=prompt, max_attempts=2)).job_id
    for number, server in rig.live.items():
        # By another server than the one that accepted it.
        job_id = job_ids[f"cancelled {(number + 1) % len(HOURS)}"]
        await server.until(job_id, v1.JOB_STATE_RUNNING, stage=v1.JOB_STAGE_GENERATING)
        await server.video.CancelVideo(v1.CancelVideoRequest(job_id=job_id))
        await server.until(job_id, v1.JOB_STATE_CANCELLED)

    for number in (2, 0):
        # From the clock that is ahead to those behind, then from the one behind to those ahead.
        await rig.kill(number)
        killed_at = (await rig.sandbox.journal(after=FAR))["latest"]
        async with asyncio.timeout(60):
            for running in range(len(HOURS)):
                query = {"operation": "get_task", "promptText": f"plain {running}", "after": killed_at}
                while not await rig.sandbox.calls(**query, wait=5):
                    pass
        await rig.start(number)
    await rig.sandbox.settings(task_mean_seconds=15.0)
    await rig.sandbox.advance(100 * LASTING_SECONDS)
    ended = {prompt: await rig.steady(job_id) for prompt, job_id in job_ids.items()}

    for prompt, job in ended.items():
        cancelled = prompt.startswith("cancelled")
        assert job.state == (v1.JOB_STATE_CANCELLED if cancelled else v1.JOB_STATE_SUCCEEDED), f"{prompt}: {job}"
    await rig.check()
    await check_books(rig.sandbox, ended)
