"""SIGKILL within the transactions that matter: what was not committed never was, and what was is found again."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from evergreen.v1 import audit_pb2
from evergreen.v1 import video_pb2 as v1
from tests.e2e.holds import PROGRAM, Holds
from tests.e2e.rig import Rig, check_books
from tests.serving import Control, request

ENDED = {v1.JOB_STATE_SUCCEEDED}
ASKING = {v1.JOB_STATE_NEEDS_ATTENTION}
CREDITS = 24
"""What two seconds of gen4.5 cost."""
MOMENTS = {
    "accept whole": ENDED,
    "accept committed": ENDED,
    "intend committed": ASKING,
    "record whole": ASKING,
    "settle whole": ENDED,
    "settle committed": ENDED,
}
"""A transaction, and where in it the server dies: when all is done but the commit, or before anybody hears of the
commit. Beside it, what its job then comes to by itself."""


@pytest.fixture
async def holds(tmp_path: Path) -> AsyncIterator[Holds]:
    async with Holds(tmp_path / "held").open() as opened:
        yield opened


@pytest.fixture(params=["sqlite", "postgresql"])
async def rig(request: pytest.FixtureRequest, tmp_path: Path, sandbox: Control) -> AsyncIterator[Rig]:
    url = request.getfixturevalue("postgres").create() if request.param == "postgresql" else ""
    async with Rig(tmp_path, sandbox, program=PROGRAM, database_url=url, PYTEST_HELD=str(tmp_path / "held")) as opened:
        yield opened


async def test_a_server_killed_within_a_transaction_leaves_all_of_it_or_nothing(rig: Rig, holds: Holds) -> None:
    job_ids: dict[str, str] = {}
    asked = 0
    for moment, allowed in MOMENTS.items():
        wanted = request(prompt_text=moment)
        holds.at(moment)
        call = asyncio.ensure_future(rig.api.video.GenerateVideo(wanted))
        await holds.reached()
        await rig.kill()
        # Broken by the kill, or by the channel's end with it.
        await asyncio.wait({call})
        answered = not call.cancelled() and call.exception() is None
        assert answered is not moment.startswith("accept")
        await rig.start()

        # Whether it was accepted or not: the same request makes one job.
        job_ids[moment] = (await rig.api.video.GenerateVideo(wanted)).job.job_id
        job = await rig.steady(job_ids[moment])
        assert job.state in allowed, f"{moment}: {job}"
        if job.state in ASKING:
            asked += not await rig.sandbox.tasks(moment)
            await rig.resolve(job, moment)
            # Before the next kill, which is meant for another.
            await rig.steady(job_ids[moment])

    ended = {moment: await rig.steady(job_id) for moment, job_id in job_ids.items()}
    assert {job.state for job in ended.values()} == ENDED
    assert len(await rig.jobs()) == len(ended)
    # Who asked is recorded with what was asked for, or neither is.
    asked_for = audit_pb2.ListAuditEntriesRequest(actions=[audit_pb2.AUDIT_ACTION_GENERATE])
    recorded = (await rig.api.audit.ListAuditEntries(asked_for)).entries
    assert sorted(entry.subject for entry in recorded) == sorted(job.job_id for job in ended.values())
    assert {moment: len(await rig.sandbox.tasks(moment)) for moment in ended} == dict.fromkeys(ended, 1)
    account = await rig.api.video.GetAccount(v1.GetAccountRequest())
    # Of an attempt that was resubmitted though there was no task, the bound stays in the books.
    assert (account.reserved_credits, account.spent_credits) == (0, CREDITS * (len(ended) + asked))
    await rig.check()
    await check_books(rig.sandbox, ended)
