"""What is reserved and spent, and the limits of projects on it, on both databases."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc
import pytest
import sqlalchemy as sa
from google.rpc import error_details_pb2

from evergreen.v1 import video_pb2 as v1
from evergreen_server.jobs.db.connect import open_database
from tests.postgres import Postgres
from tests.serving import Api, Control, ServerProcess, detail_of, reason_of, request, serving

CREDITS = 24
"""What two seconds of gen4.5 cost."""
RESUBMIT = v1.SUBMISSION_RESOLUTION_RESUBMIT
ABANDON = v1.SUBMISSION_RESOLUTION_ABANDON
UNPRICED = {"model": "kling_4", "duration_seconds": 5}

Capped = Callable[..., AbstractAsyncContextManager[Api]]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    postgres: Postgres = request.getfixturevalue("postgres")
    return postgres.create()


@pytest.fixture
def capped(tmp_path: Path, sandbox: Control, url: str) -> Capped:
    """Opens the server with a limit on credits; when it has stopped, the sums are compared with the ledger."""

    @asynccontextmanager
    async def opened(credits: object) -> AsyncIterator[Api]:
        changes = {
            "EVERGREEN_DATABASE_URL": url,
            "EVERGREEN_PROJECT_CREDITS": json.dumps({} if credits is None else credits),
        }
        async with serving(tmp_path / "data", sandbox.url, **changes) as api:
            yield api
        async with open_database(url) as database:
            kept, entered = await database.read(lambda db: (sums_kept(db), sums_entered(db)))
        assert kept == entered

    return opened


def sums_kept(db: sa.Connection) -> dict[str, tuple[int, int, int]]:
    columns = "project_id, reserved_millicredits, confirmed_millicredits, bounded_millicredits"
    return {row[0]: tuple(row[1:]) for row in db.execute(sa.text(f"SELECT {columns} FROM projects"))}


def sums_entered(db: sa.Connection) -> dict[str, tuple[int, int, int]]:
    """By project: reserved and neither settled nor refunded, settled for sure, settled at most."""
    found: dict[str, list[int]] = {project: [0, 0, 0] for project in sums_kept(db)}
    entries: dict[tuple[str, str, int], dict[str, tuple[int, str]]] = {}
    for row in db.execute(sa.text("SELECT project_id, job_id, attempt, entry, millicredits, basis FROM ledger")):
        entries.setdefault((row.project_id, row.job_id, row.attempt), {})[row.entry] = (row.millicredits, row.basis)
    for (project, _, _), attempt in entries.items():
        reserved = attempt["RESERVE"][0] + attempt.get("ADJUST", (0, ""))[0]
        if "SETTLE" not in attempt:
            assert "REFUND" not in attempt
            found[project][0] += reserved
            continue
        settled, basis = attempt["SETTLE"]
        found[project][1 if basis == "CONFIRMED" else 2] += settled
        assert attempt.get("REFUND", (0, ""))[0] == max(0, reserved - settled)
    return {project: tuple(sums) for project, sums in found.items()}


async def account(api: Api, project: str = "") -> v1.GetAccountResponse:
    return await api.video.GetAccount(v1.GetAccountRequest(project_id=project))


async def refusal(call: object) -> tuple[str, dict[str, str]]:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    assert error.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    return reason_of(error.value), dict(detail_of(error.value, error_details_pb2.ErrorInfo()).metadata)


async def resolve(api: Api, job_id: str, resolution: int) -> v1.Job:
    return (await api.video.ResolveSubmission(v1.ResolveSubmissionRequest(job_id=job_id, resolution=resolution))).job


async def test_a_project_gets_no_more_jobs_than_its_cap_pays(capped: Capped, sandbox: Control) -> None:
    await sandbox.settings(task_mean_seconds=100_000.0)
    async with capped(3 * CREDITS) as api:
        jobs = [await api.generate() for _ in range(3)]

        refused = await refusal(api.generate())
        validated = await refusal(api.generate(validate_only=True))
        other = await api.generate(project_id="other")
        told = await account(api, "film")

        amounts = {"cap": "72", "reserved": "72", "spent": "0", "estimate": "24"}
        assert refused == validated == ("PROJECT_CREDITS_EXCEEDED", amounts)
        assert (told.reserved_credits, told.spent_credits, told.project_cap_credits) == (72, 0, 72)
        assert (await account(api)).reserved_credits == 96
        assert not (await account(api)).HasField("project_cap_credits")
        await api.video.CancelVideo(v1.CancelVideoRequest(job_id=jobs[0].job_id))
        await api.video.CancelVideo(v1.CancelVideoRequest(job_id=other.job_id))
        await api.finished(jobs[0].job_id)


async def test_a_refused_request_can_be_repeated_once_there_is_room(capped: Capped, sandbox: Control) -> None:
    await sandbox.fault("failure", failureCode="INTERNAL", prompt="fails")
    async with capped(CREDITS) as api:
        failing = await api.generate(prompt_text="fails")
        message = request(request_id="again")
        assert (await refusal(api.video.GenerateVideo(message)))[0] == "PROJECT_CREDITS_EXCEEDED"
        await api.finished(failing.job_id)

        job = (await api.video.GenerateVideo(message)).job
        same = (await api.video.GenerateVideo(message)).job

        assert same.job_id == job.job_id
        assert (await api.finished(job.job_id)).charged_credits == CREDITS


async def test_caps_are_by_project_with_a_default(capped: Capped) -> None:
    async with capped({"*": 0, "film": CREDITS, "free": None}) as api:
        await api.finished((await api.generate()).job_id)
        await api.generate(project_id="free")

        assert (await refusal(api.generate(project_id="other")))[0] == "PROJECT_CREDITS_EXCEEDED"
        assert (await refusal(api.generate()))[0] == "PROJECT_CREDITS_EXCEEDED"


async def test_a_model_without_a_price_is_refused_under_a_cap(capped: Capped) -> None:
    async with capped({"film": 1000}) as api:
        assert (await refusal(api.generate(**UNPRICED)))[0] == "PRICE_UNKNOWN"
        await api.generate(project_id="other", **UNPRICED)


async def test_an_automatic_attempt_beyond_the_cap_fails_the_job_with_its_own_error(
    capped: Capped, sandbox: Control
) -> None:
    """A failure that cost nothing gives back what it reserved, so this takes a cap that was lowered meanwhile."""
    await sandbox.fault("failure", failureCode="INTERNAL", at=0.5)
    await sandbox.settings(task_mean_seconds=1000.0)
    async with capped(None) as api:
        job = await api.generate(max_attempts=3)
        await api.until(job.job_id, v1.JOB_STATE_RUNNING, stage=v1.JOB_STAGE_GENERATING)
    async with capped(CREDITS - 1) as api:
        await sandbox.advance(1000.0)

        done = await api.finished(job.job_id)

        assert (done.state, done.attempt, done.error.reason) == (v1.JOB_STATE_FAILED, 1, "PROVIDER_INTERNAL")
        assert [warning.code for warning in done.warnings] == ["PROJECT_CREDITS_EXCEEDED"]
        assert (done.charged_credits, done.cost_basis) == (0, v1.COST_BASIS_CONFIRMED)


async def test_a_resubmission_beyond_the_cap_is_refused_and_stays_reserved(capped: Capped, sandbox: Control) -> None:
    async with capped(1.5 * CREDITS) as api:
        await sandbox.fault("lost_answer", operation="create")
        lost = await api.generate()
        await api.until(lost.job_id, v1.JOB_STATE_NEEDS_ATTENTION)

        refused = await refusal(resolve(api, lost.job_id, RESUBMIT))
        kept = await account(api, "film")
        done = await resolve(api, lost.job_id, ABANDON)
        after = await account(api, "film")

        assert refused == (
            "PROJECT_CREDITS_EXCEEDED",
            {"cap": "36", "reserved": "0", "spent": "24", "estimate": "24"},
        )
        assert (kept.reserved_credits, kept.spent_credits) == (CREDITS, 0)
        assert done.state == v1.JOB_STATE_FAILED
        assert (after.spent_confirmed_credits, after.spent_upper_bound_credits) == (0, CREDITS)


async def test_a_submission_is_not_repeated_by_itself_beyond_the_cap(capped: Capped, sandbox: Control) -> None:
    async with capped(CREDITS) as api:
        await sandbox.fault("lost_answer", operation="create")
        job = await api.generate(on_unknown_submission=v1.ON_UNKNOWN_SUBMISSION_RESUBMIT)

        stuck = await api.until(job.job_id, v1.JOB_STATE_NEEDS_ATTENTION)

        assert (stuck.attempt, stuck.error.reason) == (1, "SUBMISSION_UNKNOWN")
        assert [warning.code for warning in stuck.warnings] == ["PROJECT_CREDITS_EXCEEDED"]
        assert len(await sandbox.tasks()) == 1


async def test_the_sums_are_those_of_the_ledger_after_a_stormy_life(capped: Capped, sandbox: Control) -> None:
    for prompt, code in (("free", "INTERNAL"), ("paid", "SAFETY.INPUT.TEXT")):
        await sandbox.fault("failure", failureCode=code, prompt=prompt, count=None)
    await sandbox.fault("lost_answer", operation="create", prompt="lost", count=None)
    await sandbox.fault("status", operation="create", status=400, prompt="refused", count=None)
    again = {"on_unknown_submission": v1.ON_UNKNOWN_SUBMISSION_RESUBMIT}
    async with capped(None) as api:
        jobs = [
            await api.generate(prompt_text=prompt, project_id=project, **fields)
            for project in ("film", "other")
            for prompt, fields in (
                ("fine", {}),
                ("free", {"max_attempts": 3}),
                ("paid", {"max_attempts": 3}),
                ("refused", {}),
                ("lost and asked", {}),
                ("lost and repeated", again),
                ("fine without a price", UNPRICED),
                ("fine and cancelled", {}),
            )
        ]
        for number, job in enumerate(jobs):
            if number % 8 == 7:
                await api.video.CancelVideo(v1.CancelVideoRequest(job_id=job.job_id))
            elif number % 8 in (4, 5):
                await api.until(job.job_id, v1.JOB_STATE_NEEDS_ATTENTION)
        await resolve(api, jobs[4].job_id, RESUBMIT)
        await resolve(api, jobs[5].job_id, ABANDON)
        await api.until(jobs[4].job_id, v1.JOB_STATE_NEEDS_ATTENTION)
        for number, job in enumerate(jobs):
            if number in (4, 12, 13):
                continue
            await api.finished(job.job_id)

        told = [await account(api, project) for project in ("film", "other")]
        whole = await account(api)

        assert [item.reserved_credits for item in told] == [CREDITS, 2 * CREDITS]
        assert told[0].spent_upper_bound_credits >= 3 * CREDITS
        assert told[0].spent_confirmed_credits >= 2 * CREDITS
        for name in ("reserved_credits", "spent_confirmed_credits", "spent_upper_bound_credits", "spent_credits"):
            assert getattr(whole, name) == sum(getattr(item, name) for item in told)
        assert whole.spent_credits == whole.spent_confirmed_credits + whole.spent_upper_bound_credits


async def test_a_cap_holds_over_replicas(tmp_path: Path, sandbox: Control, postgres: Postgres) -> None:
    await sandbox.settings(task_mean_seconds=100_000.0)
    changes = {"EVERGREEN_DATABASE_URL": postgres.create(), "EVERGREEN_PROJECT_CREDITS": str(10 * CREDITS)}
    changes["EVERGREEN_STORAGE_URL"] = (tmp_path / "scenes").as_uri()
    async with AsyncExitStack() as stack:
        replicas = [
            await stack.enter_async_context(ServerProcess(tmp_path / f"replica-{number}", sandbox.url, changes))
            for number in range(2)
        ]
        apis = await asyncio.gather(*(replica.start() for replica in replicas))

        answers = await asyncio.gather(*(api.generate() for api in apis * 10), return_exceptions=True)

        refused = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
        assert len(refused) == 10
        assert {reason_of(error) for error in refused} == {"PROJECT_CREDITS_EXCEEDED"}
        assert (await account(apis[0], "film")).reserved_credits == 10 * CREDITS
