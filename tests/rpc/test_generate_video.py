"""The main job through a real server: what is accepted, what it becomes, and what is left in the scene."""

import asyncio
import json
from pathlib import Path

import av

from evergreen.v1 import video_pb2
from tests.serving import Api, Control, first_frame, request


async def test_a_picture_becomes_a_playable_clip_in_the_scene_tree(api: Api, sandbox: Control, tmp_path: Path) -> None:
    await sandbox.settings(render_scale=0.25)

    job = await api.generate(media=[first_frame()], model="gen4_turbo", ratio="720:1280", duration_seconds=3)
    done = await api.finished(job.job_id)

    assert done.state == video_pb2.JOB_STATE_SUCCEEDED
    assert (done.charged_credits, done.cost_basis) == (15, video_pb2.COST_BASIS_CONFIRMED)
    scene = tmp_path / "data" / "projects" / "film" / "scene-1"
    with av.open(str(scene / done.outputs[0].asset)) as clip:
        video = clip.streams.video[0]
        assert video.codec_context.name == "h264"
        assert video.width / video.height == 720 / 1280
        assert clip.duration is not None
        assert abs(clip.duration / av.time_base - 3) < 0.1
    assert (scene / done.outputs[0].poster).read_bytes().startswith(b"\xff\xd8")
    document = json.loads((scene / "metadata" / "scene.json").read_text())
    assert document["generation"] == {"videoRequests": [job.job_id], "completedVideos": [job.job_id]}
    sidecar = json.loads((scene / "metadata" / f"{job.job_id}.json").read_text())
    assert sidecar["prompt"] == "a rocket rises"
    assert sidecar["providerTaskId"] == done.provider_task_id
    assert [path.name for path in (scene / "images").iterdir()] == [f"{job.job_id}-1.jpg"]


async def test_twenty_equal_requests_at_once_make_one_job_and_one_task(api: Api, sandbox: Control) -> None:
    same = request(request_id="once", prompt_text="only one")

    answers = await asyncio.gather(*(api.video.GenerateVideo(same) for _ in range(20)))
    await api.finished(answers[0].job.job_id)

    assert len({answer.job.job_id for answer in answers}) == 1
    assert sorted(answer.known for answer in answers) == [False] + [True] * 19
    assert len(await sandbox.tasks("only one")) == 1
