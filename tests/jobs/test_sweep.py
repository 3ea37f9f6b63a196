"""What a server left half done is found and put right by the next one; what cannot be is told of."""

import asyncio
import logging
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
import sqlalchemy as sa

from evergreen.v1 import scene_pb2
from evergreen.v1 import video_pb2 as v1
from evergreen_server.jobs.connecting import open_database
from evergreen_server.jobs.database import jobs, scene_deletions
from evergreen_server.jobs.rows import micros
from tests.rpc.scenes import scene_of, upload
from tests.serving import Api, Control, reason_of, serving

WHERE = {"project_id": "film", "scene_id": "one"}


async def reason(call: Awaitable[object]) -> str:
    """Gives the reason of a refusal, empty where there is none."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return reason_of(error)
    return ""


async def gone(api: Api) -> None:
    """Waits until the scene is gone and can be made anew."""
    async with asyncio.timeout(60):
        while await reason(scene_of(api)) != "SCENE_NOT_FOUND":
            continue
        while await reason(api.scene.CreateScene(scene_pb2.CreateSceneRequest(**WHERE))):
            continue


async def mark(url: str) -> None:
    """Leaves what a server leaves that is killed while it deletes a scene."""
    async with open_database(url) as database:
        row = {**WHERE, "replica": "dead", "created_at": micros(datetime.now(UTC))}
        await database.write(lambda db: db.execute(scene_deletions.insert().values(**row)))


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_deletion_that_broke_off_is_finished_at_the_next_start(
    kind: str, tmp_path: Path, sandbox: Control, request: pytest.FixtureRequest
) -> None:
    sqlite = f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    url = sqlite if kind == "sqlite" else request.getfixturevalue("postgres").create()
    changes = {"EVERGREEN_DATABASE_URL": url}
    async with serving(tmp_path / "data", sandbox.url, **changes) as api:
        await api.scene.CreateScene(scene_pb2.CreateSceneRequest(**WHERE))
        await upload(api, b"a picture", path="images/a.png")
    await mark(url)

    async with serving(tmp_path / "data", sandbox.url, **changes) as api:
        await gone(api)

        assert (await scene_of(api)).video_requests == 0
        assert not list((tmp_path / "data" / "projects" / "film" / "one" / "images").iterdir())


class Heard(logging.Handler):
    """Hears of the first record with a message."""

    def __init__(self, message: str) -> None:
        super().__init__()
        self._message = message
        self.record: asyncio.Future[logging.LogRecord] = asyncio.get_running_loop().create_future()

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() == self._message and not self.record.done():
            self.record.set_result(record)


async def test_a_job_beyond_its_clock_is_told_of(tmp_path: Path, sandbox: Control) -> None:
    """Whoever executes a job acts on its clock; a sweep that finds one overdue means that nobody could."""
    url = f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    await sandbox.settings(task_mean_seconds=100_000.0)
    async with serving(tmp_path / "data", sandbox.url, EVERGREEN_DATABASE_URL=url) as api:
        job = await api.generate()
        await api.until(job.job_id, v1.JOB_STATE_RUNNING, stage=v1.JOB_STAGE_GENERATING)
    async with open_database(url) as database:
        late = micros(datetime.now(UTC) - timedelta(hours=1))
        await database.write(lambda db: db.execute(sa.update(jobs).values(finish_by=late)))
    # Out of reach, so that the job cannot be cancelled.
    await sandbox.fault("status", operation="get_task", status=503, count=None)

    heard = Heard("swept")
    logger = logging.getLogger("evergreen_server.jobs.sweep")
    logger.addHandler(heard)
    try:
        async with serving(tmp_path / "data", sandbox.url, EVERGREEN_DATABASE_URL=url), asyncio.timeout(60):
            record = await heard.record
    finally:
        logger.removeHandler(heard)

    assert (record.overdue_jobs, record.such_as) == (1, [job.job_id])
