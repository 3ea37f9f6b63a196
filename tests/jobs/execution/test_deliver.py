"""Downloads that go wrong: recovered where that is possible, else FAILED, and never a bad file in the scene."""

import json
from pathlib import Path

import av
import google_crc32c
import pytest

from evergreen.v1 import video_pb2 as v1
from tests.jobs.lives import life_of, steps_of
from tests.rpc.scenes import video
from tests.serving import Api, Control

CREDITS = 24
ONCE = {
    "cut off": {"kind": "truncate"},
    "too short": {"kind": "wrong_length"},
    "too old": {"kind": "expired_url"},
    "not there": {"kind": "output_404"},
    "a page": {"kind": "not_a_video"},
    "busy": {"kind": "status", "status": 503},
    "dropped": {"kind": "drop"},
    "silent": {"kind": "hang", "seconds": 0.2},
}
ALWAYS = {
    "too short": ({"kind": "wrong_length"}, "OUTPUT_INVALID"),
    "too old": ({"kind": "expired_url"}, "OUTPUT_UNAVAILABLE"),
    "not there": ({"kind": "output_404"}, "OUTPUT_UNAVAILABLE"),
    "a page": ({"kind": "not_a_video"}, "OUTPUT_INVALID"),
    "nothing": ({"kind": "truncate", "at": 0}, "OUTPUT_UNAVAILABLE"),
}


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return tmp_path / "data" / "projects" / "film" / "scene-1"


def named_in(scene: Path) -> set[str]:
    """The videos and posters that scene.json names."""
    document = json.loads((scene / "metadata" / "scene.json").read_text())
    return {asset["path"] for asset in document["assets"]["videos"]}


def videos_in(scene: Path) -> set[str]:
    """Every file in the folder, unfinished ones too."""
    return {f"videos/{path.name}" for path in (scene / "videos").iterdir() if path.name != ".lock"}


def check_delivered(scene: Path, job: v1.Job) -> None:
    """Compares the stored files with what the job tells of them."""
    for output in job.outputs:
        content = (scene / output.asset).read_bytes()
        assert (len(content), google_crc32c.value(content)) == (output.size_bytes, output.crc32c)
        assert (scene / output.poster).read_bytes().startswith(b"\xff\xd8")


async def test_a_download_that_fails_once_is_recovered_whole(api: Api, sandbox: Control, scene: Path) -> None:
    for name, fault in ONCE.items():
        await sandbox.fault(**fault, operation="output", prompt=name)
    jobs = {name: await api.generate(prompt_text=name) for name in ONCE}

    for name, job in jobs.items():
        done = await api.finished(job.job_id)
        assert done.state == v1.JOB_STATE_SUCCEEDED, (name, done.error)
        assert abs(done.outputs[0].duration_seconds - 2) < 0.1, name
        check_delivered(scene, done)
    assert videos_in(scene) == named_in(scene)
    assert len(videos_in(scene)) == 2 * len(ONCE)
    assert len(await sandbox.tasks()) == len(ONCE)


async def test_a_broken_download_goes_on_where_it_broke_off(api: Api, sandbox: Control, scene: Path) -> None:
    await sandbox.fault("truncate", at=0.7, count=4)
    await sandbox.fault("large_output", bytes=5_000_000)

    done = await api.finished((await api.generate()).job_id)

    assert done.state == v1.JOB_STATE_SUCCEEDED
    assert done.outputs[0].size_bytes > 5_000_000
    check_delivered(scene, done)
    assert [call["status"] for call in await sandbox.calls(operation="output")] == [200, 206, 206, 206, 206]


async def test_a_large_output_is_stored_whole(api: Api, sandbox: Control, scene: Path) -> None:
    await sandbox.fault("large_output", bytes=40_000_000)

    done = await api.finished((await api.generate()).job_id)

    assert done.state == v1.JOB_STATE_SUCCEEDED
    assert done.outputs[0].size_bytes > 40_000_000
    check_delivered(scene, done)


async def test_an_output_that_stays_bad_fails_the_job_and_leaves_no_file(
    api: Api, sandbox: Control, scene: Path
) -> None:
    for name, (fault, _) in ALWAYS.items():
        await sandbox.fault(**fault, operation="output", prompt=name, count=None)
    jobs = {name: await api.generate(prompt_text=name, max_attempts=5) for name in ALWAYS}

    for name, job in jobs.items():
        life = await life_of(api, job.job_id)
        done = life[-1].job
        assert (done.state, done.error.reason) == (v1.JOB_STATE_FAILED, ALWAYS[name][1]), name
        assert steps_of(life)[-2:] == ["RUNNING DELIVERING", "FAILED"]
        assert (done.charged_credits, done.cost_basis) == (CREDITS, v1.COST_BASIS_CONFIRMED), name
        assert "http" not in done.error.message
    assert videos_in(scene) == named_in(scene) == set()
    assert len(await sandbox.tasks()) == len(ALWAYS)
    assert await sandbox.calls(operation="delete_task") == []


async def test_a_task_that_is_gone_before_its_output_came_fails_the_job(
    api: Api, sandbox: Control, scene: Path
) -> None:
    await sandbox.fault("output_404", count=None)
    await sandbox.fault("hang", operation="output", seconds=5)
    job = await api.generate()
    await api.until(job.job_id, v1.JOB_STATE_RUNNING, stage=v1.JOB_STAGE_DELIVERING)
    await sandbox.fault("gone", count=None)

    done = await api.finished(job.job_id)

    assert (done.state, done.error.reason) == (v1.JOB_STATE_FAILED, "OUTPUT_UNAVAILABLE")
    assert videos_in(scene) == set()


async def test_several_outputs_are_all_delivered(api: Api, sandbox: Control, scene: Path) -> None:
    await sandbox.fault("many_outputs", number=3)

    done = await api.finished((await api.generate()).job_id)

    assert done.state == v1.JOB_STATE_SUCCEEDED
    assert len(done.outputs) == 3
    check_delivered(scene, done)
    assert videos_in(scene) == named_in(scene)


async def test_when_one_of_several_outputs_is_bad_the_good_ones_are_delivered(
    api: Api, sandbox: Control, scene: Path
) -> None:
    await sandbox.fault("many_outputs", number=2)
    await sandbox.fault("not_a_video", path="*/1.mp4", count=None)

    done = await api.finished((await api.generate()).job_id)

    assert (done.state, done.error.reason) == (v1.JOB_STATE_FAILED, "OUTPUT_INVALID")
    assert len(done.outputs) == 1
    check_delivered(scene, done)
    assert videos_in(scene) == named_in(scene)


async def test_a_clip_and_a_poster_that_somebody_put_there_are_not_taken_for_the_jobs_own(
    api: Api, sandbox: Control, scene: Path
) -> None:
    await sandbox.fault("throttle", operation="create", seconds=60)
    job_id = (await api.generate()).job_id
    (scene / "videos").mkdir(parents=True, exist_ok=True)
    forged = {scene / "videos" / f"{job_id}-1-1.mp4": video(), scene / "videos" / f"{job_id}-1-1a.jpg": b"trash"}
    for path, data in forged.items():
        path.write_bytes(data)

    done = await api.finished(job_id)

    assert done.state == v1.JOB_STATE_SUCCEEDED
    assert [warning.code for warning in done.warnings] == ["NAME_TAKEN"] * 2
    assert {path: path.read_bytes() for path in forged} == forged
    assert done.outputs[0].asset == f"videos/{job_id}-1-1a.mp4"
    assert done.outputs[0].poster == f"videos/{job_id}-1-1aa.jpg"
    check_delivered(scene, done)
    assert len(await sandbox.calls(operation="output")) == 1
    assert named_in(scene) >= {done.outputs[0].asset, done.outputs[0].poster}


async def test_other_codecs_and_sound_are_delivered_as_they_are(api: Api, scene: Path) -> None:
    prores = await api.generate(options={"outputFormat": "prores"})
    spoken = await api.generate(model="veo3.1", duration_seconds=4, options={"audio": True})

    film, talk = await api.finished(prores.job_id), await api.finished(spoken.job_id)

    assert (film.state, talk.state) == (v1.JOB_STATE_SUCCEEDED, v1.JOB_STATE_SUCCEEDED)
    check_delivered(scene, film)
    check_delivered(scene, talk)
    with av.open(scene / film.outputs[0].asset) as first, av.open(scene / talk.outputs[0].asset) as second:
        assert first.streams.video[0].codec_context.name == "prores"
        assert len(second.streams.audio) == 1
