"""DeleteScene over the whole service: what is in its way, what it stops, and that a crash in it does no harm."""

import asyncio
import os
import signal
from collections.abc import Awaitable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest

from evergreen.v1 import scene_pb2, video_pb2
from evergreen_server.ports.provider import NotOurs
from evergreen_storage import SceneStore, open_storage
from tests.rpc.refusals import metadata_of, refusal
from tests.rpc.scene_server import scene_serving
from tests.rpc.scenes import body, paths_of, scene_of, upload
from tests.serving import Api, Control, ServerProcess, first_frame, reason_of, request
from tests.storage.emulators import S3Emulator

BUSY = (grpc.StatusCode.FAILED_PRECONDITION, "SCENE_BUSY")
GONE = (grpc.StatusCode.NOT_FOUND, "SCENE_NOT_FOUND")
WHERE = {"project_id": "film", "scene_id": "one"}
SCENE = "projects/film/one"


def delete(api: Api, *, force: bool = False, scene_id: str = "one") -> Awaitable[scene_pb2.DeleteSceneResponse]:
    return api.scene.DeleteScene(scene_pb2.DeleteSceneRequest(project_id="film", scene_id=scene_id, force=force))


async def refused(call: Awaitable[object]) -> tuple[grpc.StatusCode, str]:
    error = await refusal(call)
    return error.code(), reason_of(error)


async def refused_or_not(call: Awaitable[object]) -> tuple[grpc.StatusCode, str] | None:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code(), reason_of(error)
    return None


async def closed(api: Api) -> None:
    """Waits until the scene takes nothing new."""
    async with asyncio.timeout(60):
        while True:
            try:
                await api.scene.CreateScene(scene_pb2.CreateSceneRequest(**WHERE))
            except grpc.aio.AioRpcError as error:
                if reason_of(error) == "SCENE_BUSY":
                    return
                raise


async def test_a_scene_is_deleted_with_all_its_files_and_its_jobs_stay_readable(api: Api, tmp_path: Path) -> None:
    job = await api.generate(scene_id="one")
    await upload(api, b"a picture", path="images/a.png")
    await api.finished(job.job_id)
    (tmp_path / "data" / SCENE / "images" / "foreign.txt").write_text("put here by hand")

    await delete(api)

    assert not (tmp_path / "data" / SCENE).exists()
    assert await refused(scene_of(api)) == GONE
    assert await refused(delete(api)) == GONE
    assert (await api.status(job.job_id)).state == video_pb2.JOB_STATE_SUCCEEDED
    again = await api.finished((await api.generate(scene_id="one")).job_id)
    assert paths_of(await scene_of(api)) == [again.outputs[0].poster, again.outputs[0].asset]


async def test_a_scene_with_a_job_under_way_is_refused_and_goes_on(api: Api, sandbox: Control) -> None:
    await sandbox.fault("throttle", operation="create", prompt="busy", seconds=60)
    job = await api.generate(scene_id="one", prompt_text="busy")

    error = await refusal(delete(api))
    other = await api.generate(scene_id="one")

    assert (error.code(), reason_of(error)) == BUSY
    assert metadata_of(error) == {"job_id": job.job_id}
    for made in (job, other):
        assert (await api.finished(made.job_id)).state == video_pb2.JOB_STATE_SUCCEEDED
    await delete(api)


async def test_force_cancels_the_jobs_waits_for_them_and_spares_other_scenes(
    api: Api, sandbox: Control, tmp_path: Path
) -> None:
    await sandbox.fault("throttle", operation="create", prompt="slow", seconds=10_000, count=None)
    jobs = [await api.generate(scene_id="one", prompt_text="slow", media=[first_frame()]) for _ in range(2)]
    spared = await api.generate(scene_id="two")
    await sandbox.called("image_to_video", times=1)

    await delete(api, force=True)

    for job in jobs:
        assert (await api.status(job.job_id)).state == video_pb2.JOB_STATE_CANCELLED
    assert {task["status"] for task in await sandbox.tasks("slow")} == {"CANCELLED"}
    assert not (tmp_path / "data" / SCENE).exists()
    assert (await api.finished(spared.job_id)).state == video_pb2.JOB_STATE_SUCCEEDED


async def test_a_job_that_needs_attention_is_in_the_way_of_force_too(api: Api, sandbox: Control) -> None:
    await sandbox.fault("throttle", operation="create", prompt="other", seconds=300)
    await sandbox.fault("lost_answer", operation="create", prompt="lost")
    other = await api.generate(scene_id="one", prompt_text="other")
    lost = await api.generate(scene_id="one", prompt_text="lost")
    await api.until(lost.job_id, video_pb2.JOB_STATE_NEEDS_ATTENTION)

    error = await refusal(delete(api, force=True))

    assert (error.code(), reason_of(error), metadata_of(error)) == (*BUSY, {"job_id": lost.job_id})
    assert "ResolveSubmission" in (error.details() or "")
    assert (await api.status(other.job_id)).state in (video_pb2.JOB_STATE_QUEUED, video_pb2.JOB_STATE_RUNNING)
    await api.video.ResolveSubmission(
        video_pb2.ResolveSubmissionRequest(job_id=lost.job_id, resolution=video_pb2.SUBMISSION_RESOLUTION_ABANDON)
    )
    await delete(api, force=True)


async def test_a_killed_deletion_is_finished_by_the_next_server(sandbox: Control, tmp_path: Path) -> None:
    folder = tmp_path / "data" / SCENE
    async with ServerProcess(tmp_path / "data", sandbox.url) as server:
        api = await server.start()
        earlier = request(scene_id="one", request_id="earlier")
        job = (await api.video.GenerateVideo(earlier)).job
        await api.finished(job.job_id)
        await upload(api, b"a sound", path="audio/a")
        for number in range(600):
            (folder / "images" / f"foreign-{number:03}").write_bytes(b"x")
        left = names(folder)
        call = asyncio.ensure_future(delete(api))
        async with asyncio.timeout(60):
            while (now := await asyncio.to_thread(names, folder)) == left:
                pass
        await server.end(signal.SIGKILL)
        await refusal(call)
        assert "metadata/scene.json" in now
        assert (folder / "metadata" / "scene.json").exists(), "the kill came too late to show anything"

        api = await server.start()
        assert (await api.video.GenerateVideo(earlier)).job.job_id == job.job_id
        # The call waits for the server's own sweep, which may have come first and been through.
        assert await refused_or_not(delete(api)) in (None, GONE)

        assert not folder.exists()
        assert await refused(delete(api)) == GONE
        assert (await api.finished((await api.generate(scene_id="one")).job_id)).outputs


def names(folder: Path) -> list[str]:
    # Unlike rglob, it minds no folder that goes away meanwhile.
    return sorted(
        str((Path(place) / name).relative_to(folder)) for place, _, files in os.walk(folder) for name in files
    )


@pytest.mark.parametrize("deletes", range(5))
async def test_a_deletion_that_fails_at_any_file_is_repeated(tmp_path: Path, deletes: int) -> None:
    async with scene_serving(tmp_path / "data") as api:
        for number in range(4):
            await upload(api, bytes([number]), path=f"images/{number}")
        api.script.deletes = deletes

        failed = await refused(delete(api))

        assert failed == (grpc.StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE")
        assert await refused(upload(api, b"new", path="images/new")) == BUSY
        assert (await scene_of(api)).scene_id == "one"
    async with scene_serving(tmp_path / "data") as api:
        await delete(api)

        assert not (tmp_path / "data" / SCENE).exists()
        await upload(api, b"new", path="images/new")
        assert paths_of(await scene_of(api)) == ["images/new"]


async def test_a_deletion_that_broke_off_after_the_last_file_only_takes_the_mark_off(tmp_path: Path) -> None:
    async with scene_serving(tmp_path / "data") as api:
        await upload(api, b"x", path="images/a")
        api.script.deletes = 0
        await refusal(delete(api))
        # As if scene.json, the last of the files, had been deleted right before the server died.
        (tmp_path / "data" / SCENE / "metadata" / "scene.json").unlink()
        (tmp_path / "data" / SCENE / "images" / "a").unlink()
        assert await refused(upload(api, b"x", path="images/a")) == BUSY
        api.script.deletes = None

        await delete(api)

        assert await refused(delete(api)) == GONE
        await upload(api, b"x", path="images/a")


async def test_a_server_that_may_have_been_taken_for_dead_deletes_nothing(tmp_path: Path) -> None:
    lost = True

    def check() -> None:
        if lost:
            raise NotOurs("the lease ran out while jobs were waited for")

    async with scene_serving(tmp_path / "data", check=check) as api:
        await upload(api, b"x", path="images/a")

        assert await refused(delete(api)) == BUSY

        assert paths_of(await scene_of(api)) == ["images/a"]
        await upload(api, b"y", path="images/b")
        lost = False
        await delete(api)
        assert not (tmp_path / "data" / SCENE).exists()


async def test_of_two_deletions_at_once_one_finds_nothing_left(tmp_path: Path) -> None:
    async with scene_serving(tmp_path / "data") as api:
        for number in range(50):
            await upload(api, bytes([number]), path=f"images/{number}")

        results = await asyncio.gather(delete(api), delete(api), return_exceptions=True)

        errors = [result for result in results if isinstance(result, grpc.aio.AioRpcError)]
        assert [(error.code(), reason_of(error)) for error in errors] == [GONE]


async def test_jobs_that_do_not_end_in_time_leave_the_scene_open(tmp_path: Path) -> None:
    async with scene_serving(tmp_path / "data", wait_seconds=0.3) as api:
        await upload(api, b"x", path="images/a")
        job = await api.accept()

        error = await refusal(delete(api, force=True))

        assert (error.code(), reason_of(error), metadata_of(error)) == (*BUSY, {"job_id": job.job_id})
        assert await api.state(job) == "CANCELLING"
        assert paths_of(await scene_of(api)) == ["images/a"]
        await api.accept()
        await upload(api, b"y", path="images/b")


async def test_a_call_that_is_cancelled_while_it_waits_leaves_the_scene_open(tmp_path: Path) -> None:
    async with scene_serving(tmp_path / "data", wait_seconds=30) as api:
        job = await api.accept()
        call = delete(api, force=True)
        await api.until(job, "CANCELLING")
        call.cancel()

        # A deletion waits for the one before, and this one is refused at once for the job.
        assert await refused(delete(api)) == BUSY
        await upload(api, b"x", path="images/a")
        await api.accept()


async def test_an_upload_under_way_is_in_the_way_and_force_waits_for_it(tmp_path: Path) -> None:
    async with scene_serving(tmp_path / "data") as api:
        await upload(api, b"first", path="images/first")
        api.script.stored.clear()
        api.script.may_answer = asyncio.Event()
        uploading = api.scene.UploadAsset(body(b"second", path="images/second"))
        await api.script.stored.wait()

        unforced = await refused(delete(api))
        forced = asyncio.ensure_future(delete(api, force=True))
        await closed(api)
        api.script.may_answer.set()
        stored = (await uploading).asset
        await forced

        assert unforced == BUSY
        assert stored.path == "images/second"
        assert not (tmp_path / "data" / SCENE).exists()


@pytest.mark.parametrize("kind", ["file", "s3"])
async def test_an_upload_whose_scene_was_deleted_all_the_same_fails_and_names_no_file(
    kind: str, tmp_path: Path
) -> None:
    url, options = (tmp_path / "data").as_uri(), {}
    with ExitStack() as stack:
        if kind == "s3":
            bucket = stack.enter_context(S3Emulator.start(tmp_path)).bucket()
            url, options = bucket.url, dict(bucket.options)
        async with scene_serving(tmp_path / "data", url=url, options=options) as api:
            await upload(api, b"first", path="images/first")
            api.script.stored.clear()
            api.script.may_answer = asyncio.Event()
            uploading = api.scene.UploadAsset(body(b"second", path="images/second"))
            await api.script.stored.wait()
            # As by a server that this one seemed dead to, for longer than its lease lives.
            async with open_storage(url, **options) as storage:
                await SceneStore(storage, clock=lambda: datetime.now(UTC)).delete("film", "one")
            api.script.may_answer.set()

            assert await refused(uploading) == BUSY
            assert paths_of(await scene_of(api)) == []


async def test_a_scene_never_made_but_with_a_job_can_be_forced(tmp_path: Path) -> None:
    async with scene_serving(tmp_path / "data", wait_seconds=0.2) as api:
        assert await refused(delete(api, scene_id="none")) == GONE
        await api.accept("none")
        assert await refused(delete(api, scene_id="none")) == BUSY
