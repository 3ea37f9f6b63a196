"""Several servers on one PostgreSQL database: whichever is asked tells the same, and its end is not a job's end."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import psycopg
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from evergreen.v1 import scene_pb2
from evergreen.v1 import video_pb2 as v1
from tests.jobs.lives import check_lives
from tests.postgres import Postgres, own_postgres
from tests.serving import SAMPLES, Api, Control, ServerProcess, reason_of, request

Replica = Callable[[], ServerProcess]


@pytest.fixture
def url(postgres: Postgres) -> str:
    return postgres.create()


@pytest.fixture
async def replica(tmp_path: Path, sandbox: Control, url: str) -> AsyncIterator[Replica]:
    """Makes servers that share one database and one storage."""
    async with AsyncExitStack() as stack:
        made: list[ServerProcess] = []

        def make() -> ServerProcess:
            changes = {"EVERGREEN_DATABASE_URL": url, "EVERGREEN_STORAGE_URL": (tmp_path / "scenes").as_uri()}
            process = ServerProcess(tmp_path / f"replica-{len(made)}", sandbox.url, changes)
            made.append(process)
            stack.push_async_exit(process)
            return process

        yield make


async def test_any_replica_answers_for_any_job(replica: Replica) -> None:
    first, second = await asyncio.gather(replica().start(), replica().start())

    job = await first.generate()
    watched = [event async for event in second.events(job_ids=[job.job_id])]

    assert watched[-1].event.job.state == v1.JOB_STATE_SUCCEEDED
    assert (await first.status(job.job_id)) == (await second.status(job.job_id))
    again = await second.video.GetStatus(v1.GetStatusRequest(job_id=job.job_id))
    assert again.job.revision == watched[-1].revision
    await check_lives(second, "film")


async def test_the_same_request_on_two_replicas_is_one_job(replica: Replica) -> None:
    first, second = await asyncio.gather(replica().start(), replica().start())
    message = request()

    answers = await asyncio.gather(*(api.video.GenerateVideo(message) for api in (first, second) * 10))

    assert len({answer.job.job_id for answer in answers}) == 1


async def test_a_wish_on_one_replica_reaches_the_job_on_another(replica: Replica, sandbox: Control) -> None:
    await sandbox.settings(task_mean_seconds=3000.0)
    first = await replica().start()
    job = await first.generate()
    await first.until(job.job_id, v1.JOB_STATE_RUNNING, stage=v1.JOB_STAGE_GENERATING)
    second = await replica().start()

    await second.video.CancelVideo(v1.CancelVideoRequest(job_id=job.job_id))

    assert (await second.finished(job.job_id)).state == v1.JOB_STATE_CANCELLED
    assert len(await sandbox.calls(operation="delete_task")) == 1


async def test_a_killed_replicas_jobs_are_taken_over(replica: Replica, sandbox: Control) -> None:
    await sandbox.settings(task_mean_seconds=500.0)
    killed = replica()
    first = await killed.start()
    jobs = [await first.generate(prompt_text=f"rocket {number}") for number in range(5)]
    for job in jobs:
        await first.until(job.job_id, v1.JOB_STATE_RUNNING, stage=v1.JOB_STAGE_GENERATING)
    second = await replica().start()

    await killed.end(signal.SIGKILL)

    ended = [await second.finished(job.job_id, seconds=60) for job in jobs]
    assert {job.state for job in ended} == {v1.JOB_STATE_SUCCEEDED}
    assert len(await sandbox.tasks()) == 5
    await check_lives(second, "film")


async def test_a_stopped_replica_hands_its_jobs_over_at_once(replica: Replica, sandbox: Control) -> None:
    await sandbox.settings(task_mean_seconds=3000.0)
    leaving = replica()
    first = await leaving.start()
    job = await first.generate()
    await first.until(job.job_id, v1.JOB_STATE_RUNNING, stage=v1.JOB_STAGE_GENERATING)
    second = await replica().start()
    polls = len(await sandbox.calls(operation="get_task"))

    assert await leaving.end(signal.SIGTERM) == 0

    await sandbox.called("get_task", times=polls + 1)
    await second.video.CancelVideo(v1.CancelVideoRequest(job_id=job.job_id))
    assert (await second.finished(job.job_id)).state == v1.JOB_STATE_CANCELLED


async def test_a_paused_replica_that_wakes_changes_nothing(replica: Replica, sandbox: Control) -> None:
    await sandbox.settings(task_mean_seconds=500.0)
    paused = replica()
    first = await paused.start()
    job = await first.generate()
    await first.until(job.job_id, v1.JOB_STATE_RUNNING, stage=v1.JOB_STAGE_GENERATING)
    second = await replica().start()

    paused_process = paused.pid
    os.kill(paused_process, signal.SIGSTOP)
    try:
        ended = await second.finished(job.job_id, seconds=60)
    finally:
        os.kill(paused_process, signal.SIGCONT)

    assert ended.state == v1.JOB_STATE_SUCCEEDED
    # The woken one answers again, and from the row.
    assert (await first.status(job.job_id)) == (await second.status(job.job_id))
    assert await paused.end(signal.SIGTERM) == 0
    assert len(await sandbox.tasks()) == 1
    await check_lives(second, "film")


async def test_no_scene_is_deleted_under_a_writer_on_another_replica(replica: Replica, url: str) -> None:
    first, second = await asyncio.gather(replica().start(), replica().start())
    await first.scene.CreateScene(scene_pb2.CreateSceneRequest(project_id="film", scene_id="scene-1"))
    go_on = asyncio.Event()
    data = (SAMPLES / "rocket.jpg").read_bytes()

    async def upload() -> AsyncIterator[scene_pb2.UploadAssetRequest]:
        info = scene_pb2.UploadInfo(
            project_id="film", scene_id="scene-1", path="images/rocket.jpg", size_bytes=len(data)
        )
        yield scene_pb2.UploadAssetRequest(info=info)
        yield scene_pb2.UploadAssetRequest(chunk=data[:1000])
        await go_on.wait()
        yield scene_pb2.UploadAssetRequest(chunk=data[1000:])

    call = first.scene.UploadAsset(upload())
    await writers_become(url, 1)
    delete = scene_pb2.DeleteSceneRequest(project_id="film", scene_id="scene-1")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await second.scene.DeleteScene(delete)
    go_on.set()
    await call

    assert reason_of(refused.value) == "SCENE_BUSY"
    await second.scene.DeleteScene(delete)
    with pytest.raises(grpc.aio.AioRpcError) as gone:
        await first.scene.GetScene(scene_pb2.GetSceneRequest(project_id="film", scene_id="scene-1"))
    assert gone.value.code() is grpc.StatusCode.NOT_FOUND


async def test_the_database_may_go_away_for_a_while(tmp_path: Path, sandbox: Control) -> None:
    await sandbox.settings(task_mean_seconds=300.0)
    with own_postgres() as postgres:
        process = ServerProcess(tmp_path / "data", sandbox.url, {"EVERGREEN_DATABASE_URL": postgres.create()})
        async with process:
            api = await process.start()
            job = await api.generate()
            await api.until(job.job_id, v1.JOB_STATE_RUNNING, stage=v1.JOB_STAGE_GENERATING)

            await asyncio.to_thread(postgres.stop)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await api.generate()
            await health_becomes(api, health_pb2.HealthCheckResponse.NOT_SERVING)
            await sandbox.advance(600)
            await asyncio.to_thread(postgres.start)
            await health_becomes(api, health_pb2.HealthCheckResponse.SERVING)

            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
            assert reason_of(refused.value) == "STORAGE_UNAVAILABLE"
            assert (await api.finished(job.job_id, seconds=60)).state == v1.JOB_STATE_SUCCEEDED
            assert await process.end(signal.SIGTERM) == 0
    assert len(await sandbox.tasks()) == 1


async def test_an_upload_that_is_given_up_leaves_its_scene_free(replica: Replica, url: str) -> None:
    api = await replica().start()
    await api.scene.CreateScene(scene_pb2.CreateSceneRequest(project_id="film", scene_id="scene-1"))

    async def upload() -> AsyncIterator[scene_pb2.UploadAssetRequest]:
        info = scene_pb2.UploadInfo(project_id="film", scene_id="scene-1", path="images/rocket.jpg")
        yield scene_pb2.UploadAssetRequest(info=info)
        await asyncio.Event().wait()

    for moment in (0.0, 0.002, 0.004, 0.008, 0.016):
        call = api.scene.UploadAsset(upload())
        # However far it has come by then: before it entered, while it enters, or after.
        await asyncio.wait([asyncio.ensure_future(call.code())], timeout=moment)
        call.cancel()

    delete = scene_pb2.DeleteSceneRequest(project_id="film", scene_id="scene-1")
    # With force the deletion waits for whoever still writes; for one that never leaves it would wait in vain.
    delete.force = True
    await api.scene.DeleteScene(delete, timeout=60)
    await writers_become(url, 0)


async def writers_become(url: str, number: int) -> None:
    """Waits until so many writers stand in the database, which no caller can see."""

    def ask() -> int:
        with psycopg.connect(url) as connection:
            row = connection.execute("SELECT count(*) FROM scene_writers").fetchone()
            assert row is not None
            return int(row[0])

    async with asyncio.timeout(60):
        while True:
            if await asyncio.to_thread(ask) == number:
                return
            await asyncio.sleep(0.05)


async def health_becomes(api: Api, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
    """Waits until the service says so."""
    async with asyncio.timeout(60):
        async for answer in health_pb2_grpc.HealthStub(api.channel).Watch(health_pb2.HealthCheckRequest()):
            if answer.status == status:
                return
