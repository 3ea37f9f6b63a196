"""What the service stands on goes away for a while under jobs at every stage: they wait, and nothing is paid twice."""

import asyncio
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from evergreen.v1 import video_pb2 as v1
from tests.e2e.gate import gate_before
from tests.e2e.rig import Rig, check_books
from tests.postgres import own_postgres
from tests.serving import Control

AWAY_SECONDS = 8.0
"""Longer than a lease lives, and than the least bound of a connection."""


async def started(rig: Rig, number: int) -> dict[str, str]:
    """Starts jobs, and waits until each has a task."""
    jobs = {f"job {each}": (await rig.api.generate(prompt_text=f"job {each}")).job_id for each in range(number)}
    for job_id in jobs.values():
        await rig.api.until(job_id, v1.JOB_STATE_RUNNING, stage=v1.JOB_STAGE_GENERATING, seconds=60)
    return jobs


async def all_succeed(rig: Rig, jobs: dict[str, str]) -> None:
    ended = {prompt: await rig.steady(job_id, seconds=120) for prompt, job_id in jobs.items()}
    assert {job.state for job in ended.values()} == {v1.JOB_STATE_SUCCEEDED}
    await rig.check()
    await check_books(rig.sandbox, ended)


async def test_a_database_that_is_out_of_reach_for_a_while_costs_nothing(tmp_path: Path, sandbox: Control) -> None:
    await sandbox.settings(task_mean_seconds=300.0)
    with own_postgres() as postgres:
        url = postgres.create()
        parts = urlsplit(url)
        path = f"{parse_qs(parts.query)['host'][0]}/.s.PGSQL.5432"
        async with gate_before(path=path) as gate:
            gated = f"postgresql://postgres@{gate.address}{parts.path}"
            own = {number: {"EVERGREEN_DATABASE_URL": gated} for number in range(2)}
            async with Rig(tmp_path, sandbox, database_url=url, replicas=2, own=own) as rig:
                jobs = await started(rig, 4)

                gate.mute()
                # The outage lasts so long; nothing could tell its middle.
                await asyncio.sleep(AWAY_SECONDS)
                gate.open()

                await all_succeed(rig, jobs)


async def test_a_provider_that_is_out_of_reach_for_a_while_costs_nothing(tmp_path: Path, sandbox: Control) -> None:
    await sandbox.settings(task_mean_seconds=150.0)
    async with gate_before(port=urlsplit(sandbox.url).port) as gate:
        own = {0: {"RUNWAYML_BASE_URL": f"http://{gate.address}"}}
        async with Rig(tmp_path, sandbox, own=own) as rig:
            jobs = await started(rig, 4)

            await gate.shut()
            # A create that reached nobody may be tried again.
            jobs["meanwhile"] = (await rig.api.generate(prompt_text="meanwhile")).job_id
            await asyncio.sleep(AWAY_SECONDS / 2)
            gate.open()

            await all_succeed(rig, jobs)
