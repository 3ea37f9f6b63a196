"""Storage that cannot be written, an index that cannot be used, a database that cannot be opened: jobs wait for it."""

import asyncio
import json
import os
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from evergreen.v1 import video_pb2 as v1
from evergreen_storage import Conflict, SceneStore, open_storage
from tests.e2e.rig import SCENE, Rig, check_books, check_scene, visible
from tests.serving import Api, Control, ServerProcess

MEBIBYTE = 1 << 20
INFINITY = resource.RLIM_INFINITY
UNPRIVILEGED = (str(Path(__file__).with_name("unprivileged.py")),)


def limit_files(pid: int, size: int) -> None:
    """Lets no file of a process grow beyond a size: the kernel refuses the write, as it does on a full disk."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, INFINITY))


def scene_of(tmp_path: Path) -> Path:
    return tmp_path / "data" / "projects" / "film" / SCENE


async def jobs_of(api: Api) -> list[v1.Job]:
    return list((await api.video.ListVideos(v1.ListVideosRequest(page_size=200))).jobs)


async def polled(api: Api, sandbox: Control, prompt: str) -> str:
    """Starts a job, and holds back the answer that its task has ended until the caller had a moment."""
    await sandbox.fault("slow", operation="get_task", prompt=prompt, seconds=1)
    job = await api.generate(prompt_text=prompt)
    await sandbox.called("get_task", promptText=prompt)
    return job.job_id


async def test_a_full_disk_holds_a_clip_back_until_there_is_room(tmp_path: Path, sandbox: Control) -> None:
    async with Rig(tmp_path, sandbox) as rig:
        limit_files(rig.pid, 8 * MEBIBYTE)
        await sandbox.fault("large_output", operation="create", prompt="large", bytes=16 * MEBIBYTE)
        job = await rig.api.generate(prompt_text="large")

        waiting = await rig.api.warned(job.job_id, "STORAGE_UNAVAILABLE")

        assert (waiting.state, waiting.stage) == (v1.JOB_STATE_RUNNING, v1.JOB_STAGE_DELIVERING)
        assert "cannot be written: File too large" in waiting.warnings[0].message
        assert str(tmp_path) not in waiting.warnings[0].message
        assert visible(rig.scene / "videos") == set()
        small = await rig.api.finished((await rig.api.generate(prompt_text="small")).job_id)
        assert small.state == v1.JOB_STATE_SUCCEEDED, "what fits is delivered"
        limit_files(rig.pid, INFINITY)
        done = await rig.api.finished(job.job_id)
        assert (done.state, done.outputs[0].size_bytes > 16 * MEBIBYTE) == (v1.JOB_STATE_SUCCEEDED, True)
        await rig.check()
        await check_books(sandbox, {"large": done, "small": small})
    assert "step waits" in rig.log.read_text()
    assert "Traceback" not in rig.log.read_text()


async def test_a_folder_that_may_not_be_written_holds_a_clip_back(tmp_path: Path, sandbox: Control) -> None:
    async with Rig(tmp_path, sandbox, program=UNPRIVILEGED) as rig:
        job_id = await polled(rig.api, sandbox, "locked")
        (rig.scene / "videos").chmod(0o555)

        waiting = await rig.api.warned(job_id, "STORAGE_UNAVAILABLE")

        assert waiting.stage == v1.JOB_STAGE_DELIVERING
        assert "Permission denied" in waiting.warnings[0].message
        assert list((rig.scene / "videos").iterdir()) == []
        (rig.scene / "videos").chmod(0o755)
        assert (await rig.api.finished(job_id)).state == v1.JOB_STATE_SUCCEEDED
        await rig.check()


async def test_a_file_in_place_of_the_scene_holds_the_job_before_anything_is_paid(
    api: Api, sandbox: Control, tmp_path: Path
) -> None:
    scene = scene_of(tmp_path)
    scene.parent.mkdir(parents=True)
    scene.write_text("not a folder")
    job = await api.generate(prompt_text="no scene")

    waiting = await api.warned(job.job_id, "STORAGE_UNAVAILABLE")

    assert (waiting.state, waiting.stage) == (v1.JOB_STATE_QUEUED, v1.JOB_STAGE_PREPARING)
    assert await sandbox.tasks() == []
    scene.unlink()
    assert (await api.finished(job.job_id)).state == v1.JOB_STATE_SUCCEEDED
    check_scene(scene, await jobs_of(api))


async def test_a_file_in_place_of_the_videos_holds_the_clip_back(api: Api, sandbox: Control, tmp_path: Path) -> None:
    videos = scene_of(tmp_path) / "videos"
    job_id = await polled(api, sandbox, "no videos")
    videos.rmdir()
    videos.write_text("not a folder")

    waiting = await api.warned(job_id, "STORAGE_UNAVAILABLE")

    assert waiting.stage == v1.JOB_STAGE_DELIVERING
    videos.unlink()
    assert (await api.finished(job_id)).state == v1.JOB_STATE_SUCCEEDED
    check_scene(scene_of(tmp_path), await jobs_of(api))


async def test_a_job_with_an_obstacle_can_be_cancelled(api: Api, sandbox: Control, tmp_path: Path) -> None:
    scene = scene_of(tmp_path)
    scene.parent.mkdir(parents=True)
    scene.write_text("not a folder")
    job = await api.generate(prompt_text="given up")
    await api.warned(job.job_id, "STORAGE_UNAVAILABLE")

    await api.video.CancelVideo(v1.CancelVideoRequest(job_id=job.job_id))

    assert (await api.finished(job.job_id)).state == v1.JOB_STATE_CANCELLED
    assert await sandbox.tasks() == []


async def test_a_corrupt_index_is_rebuilt_and_loses_nothing(api: Api, sandbox: Control, tmp_path: Path) -> None:
    index = scene_of(tmp_path) / "metadata" / "scene.json"
    await api.finished((await api.generate(prompt_text="first")).job_id)
    job_id = await polled(api, sandbox, "second")
    torn = index.read_bytes()[:100]
    index.write_bytes(torn)

    done = await api.finished(job_id)

    assert (done.state, list(done.warnings)) == (v1.JOB_STATE_SUCCEEDED, [])
    assert index.with_name("scene.json.corrupt-1").read_bytes() == torn
    check_scene(scene_of(tmp_path), await jobs_of(api))


async def test_an_index_of_a_newer_version_is_left_alone_and_the_job_waits_for_it(
    api: Api, sandbox: Control, tmp_path: Path
) -> None:
    await api.finished((await api.generate(prompt_text="first")).job_id)
    index = scene_of(tmp_path) / "metadata" / "scene.json"
    whole = index.read_bytes()
    newer = json.dumps({**json.loads(whole), "schemaVersion": 2}).encode()
    index.write_bytes(newer)

    job = await api.generate(prompt_text="second")
    waiting = await api.warned(job.job_id, "STORAGE_UNAVAILABLE")

    assert waiting.stage == v1.JOB_STAGE_PREPARING
    assert "schemaVersion 2" in waiting.warnings[0].message
    assert await sandbox.tasks("second") == []
    assert index.read_bytes() == newer
    index.write_bytes(whole)
    assert (await api.finished(job.job_id)).state == v1.JOB_STATE_SUCCEEDED
    check_scene(scene_of(tmp_path), await jobs_of(api))


async def test_another_writer_of_the_index_and_the_jobs_lose_nothing_of_each_other(
    api: Api, sandbox: Control, tmp_path: Path
) -> None:
    await sandbox.settings(task_mean_seconds=60.0)
    jobs = [await api.generate(prompt_text=f"job {number}") for number in range(6)]
    await api.until(jobs[-1].job_id, v1.JOB_STATE_RUNNING)
    key = f"projects/film/{SCENE}/metadata/scene.json"

    def now() -> datetime:
        return datetime.now(UTC)

    async with open_storage((tmp_path / "data").as_uri(), clock=now) as storage:
        others = SceneStore(storage, clock=now)
        named = False
        while not named:
            data, meta = await storage.get(key, max_bytes=MEBIBYTE)
            # A job may have written it meanwhile.
            with suppress(Conflict):
                await storage.put(key, json.dumps({**json.loads(data), "director": "K."}).encode(), if_token=meta.token)
                named = True
        finished = asyncio.gather(*(api.finished(job.job_id) for job in jobs))
        written = []
        while not finished.done():
            name = f"music-{len(written)}"
            asset = await others.add("film", SCENE, f"audio/{name}.mp3", name.encode(), "audio/mpeg")
            await others.record_request("film", SCENE, name, assets=[asset])
            written.append(name)
        ended = await finished

    assert {job.state for job in ended} == {v1.JOB_STATE_SUCCEEDED}
    document = json.loads((scene_of(tmp_path) / "metadata" / "scene.json").read_text())
    assert document["director"] == "K."
    assert len(written) > 1
    assert {f"audio/{name}.mp3" for name in written} == {entry["path"] for entry in document["assets"]["audio"]}
    assert {*written, *(job.job_id for job in jobs)} == set(document["generation"]["videoRequests"])
    check_scene(scene_of(tmp_path), list(ended))


async def test_a_database_that_cannot_be_opened_is_a_clear_error_at_the_start(tmp_path: Path, sandbox: Control) -> None:
    database = Path("state", "evergreen.sqlite")
    (tmp_path / "a file").write_text("not a folder")
    (tmp_path / "a folder" / database).mkdir(parents=True)
    (tmp_path / "rubbish" / database).parent.mkdir(parents=True)
    (tmp_path / "rubbish" / database).write_bytes(b"no database" * 1000)
    (tmp_path / "locked").mkdir(mode=0o555)
    causes = {
        "a file": "Not a directory",
        "a folder": "unable to open database file",
        "rubbish": "file is not a database",
        "locked": "Permission denied",
    }

    async def attempt(name: str) -> tuple[int, str]:
        async with ServerProcess(tmp_path / name, sandbox.url, program=UNPRIVILEGED) as process:
            await process.launch()
            return await process.ended(), (tmp_path / f"{name}.log").read_text()

    answers = dict(zip(causes, await asyncio.gather(*map(attempt, causes)), strict=True))

    for name, (code, said) in answers.items():
        assert (code, said.count("\n")) == (1, 1), said
        assert said.startswith(f"Error: the database {tmp_path / name / database} cannot be opened: "), said
        assert causes[name] in said


@asynccontextmanager
async def talking(
    tmp_path: Path, sandbox: Control, **changes: str
) -> AsyncIterator[tuple[ServerProcess, asyncio.StreamReader]]:
    """A server whose log is a pipe, which no limit on files concerns."""
    read, write = os.pipe()
    log = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(log), os.fdopen(read, "rb")
    )
    try:
        async with ServerProcess(tmp_path / "data", sandbox.url, changes, log=os.fdopen(write, "wb")) as process:
            yield process, log
    finally:
        transport.close()


async def said(log: asyncio.StreamReader, *wanted: tuple[str, ...]) -> None:
    """Waits until, for each of the wanted, a line of the log held all its words."""
    missing = set(wanted)
    async with asyncio.timeout(60):
        while missing:
            line = (await log.readline()).decode()
            assert line, f"never said: {missing}"
            missing -= {words for words in missing if all(word in line for word in words)}


async def test_answers_that_the_database_cannot_take_are_recorded_once_it_can(tmp_path: Path, sandbox: Control) -> None:
    async with talking(tmp_path, sandbox, EVERGREEN_PROVIDER_SPEED="500") as (process, log):
        api = await process.start()
        # Longer than from the first create to the limit, on a busy machine too.
        await sandbox.fault("slow", operation="create", seconds=3, count=2)
        paid = await api.generate(prompt_text="paid")
        refused = await api.generate(prompt_text="refused", model="veo3.1_fast", duration_seconds=4)
        await sandbox.called("text_to_video", times=2)
        # Judged when the pause is over, and then this model's day is used up.
        await sandbox.account(models={"veo3.1_fast": {"maxDailyGenerations": 0}})
        limit_files(process.pid, 0)
        await said(log, *(("answer not recorded", job.job_id, "tries=8") for job in (paid, refused)))

        await sandbox.account(models={"veo3.1_fast": {"maxDailyGenerations": None}})
        limit_files(process.pid, INFINITY)
        ended = {"paid": await api.finished(paid.job_id), "refused": await api.finished(refused.job_id)}

        assert {job.state for job in ended.values()} == {v1.JOB_STATE_SUCCEEDED}
        assert len(await sandbox.calls(operation="text_to_video", promptText="paid")) == 1
        assert len(await sandbox.calls(operation="text_to_video", promptText="refused")) == 2
        await check_books(sandbox, ended)


async def test_a_disk_full_for_database_and_clips_alike_loses_no_job(tmp_path: Path, sandbox: Control) -> None:
    async with talking(tmp_path, sandbox) as (process, log):
        api = await process.start()
        await sandbox.settings(task_mean_seconds=60.0)
        jobs = {f"job {number}": (await api.generate(prompt_text=f"job {number}")).job_id for number in range(8)}
        await sandbox.called("output")
        limit_files(process.pid, 0)
        for _ in range(20):
            await said(log, ("job_id",))

        limit_files(process.pid, INFINITY)
        ended = {prompt: await api.finished(job_id) for prompt, job_id in jobs.items()}

        assert {job.state for job in ended.values()} == {v1.JOB_STATE_SUCCEEDED}
        check_scene(scene_of(tmp_path), list(ended.values()))
        await check_books(sandbox, ended)
