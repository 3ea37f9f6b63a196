"""The main job, unchanged, with the scenes on each storage: only the URL and its options differ."""

import json
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from evergreen import WireClient
from evergreen.v1 import video_pb2
from tests.e2e.rig import Rig, check_books
from tests.postgres import Postgres
from tests.serving import Control, first_frame, serving
from tests.storage.emulators import AzureEmulator, GoogleEmulator, S3Emulator

EMULATORS = {"s3": S3Emulator, "gs": GoogleEmulator, "az": AzureEmulator}


@pytest.fixture(params=["file", "memory", *EMULATORS])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """What the environment of a server says of its storage."""
    if request.param in ("file", "memory"):
        yield {"EVERGREEN_STORAGE_URL": "memory://" if request.param == "memory" else (tmp_path / "scenes").as_uri()}
        return
    with EMULATORS[request.param].start(tmp_path) as emulator:
        bucket = emulator.bucket()
        yield {"EVERGREEN_STORAGE_URL": bucket.url, "EVERGREEN_STORAGE_OPTIONS": json.dumps(dict(bucket.options))}


async def test_a_picture_becomes_a_clip_on_every_storage(
    tmp_path: Path, sandbox: Control, storage: dict[str, str]
) -> None:
    async with serving(tmp_path / "data", sandbox.url, **storage) as api, WireClient(api.address) as client:
        job = await api.generate(media=[first_frame()], model="gen4_turbo", duration_seconds=3)
        done = await api.finished(job.job_id)
        assert done.state == video_pb2.JOB_STATE_SUCCEEDED, done
        copy = tmp_path / "clip.mp4"
        await client.scenes.download("film", "scene-1", done.outputs[0].asset, copy)
        scene = await client.scenes.show("film", "scene-1")

    assert copy.stat().st_size == done.outputs[0].size_bytes
    with av.open(str(copy)) as clip:
        assert clip.streams.video[0].codec_context.name == "h264"
    files = {folder.name: [asset.path for asset in folder.assets] for folder in scene.folders}
    assert set(files) == {"images", "audio", "videos", "metadata", "exports"}
    assert files["videos"] == sorted([done.outputs[0].asset, done.outputs[0].poster])
    assert files["images"] == [f"images/{job.job_id}-1.jpg"]


async def test_replicas_on_a_storage_that_cannot_compare_lose_nothing(
    tmp_path: Path, sandbox: Control, postgres: Postgres
) -> None:
    scenes = {"EVERGREEN_STORAGE_URL": f"fsspec+file://{tmp_path / 'data'}"}
    async with Rig(tmp_path, sandbox, database_url=postgres.create(), replicas=2, **scenes) as rig:
        jobs = {}
        for number in range(8):
            prompt = f"job {number}"
            jobs[prompt] = (await rig.live[number % 2].generate(prompt_text=prompt)).job_id

        ended = {prompt: await rig.steady(job_id) for prompt, job_id in jobs.items()}

        assert {job.state for job in ended.values()} == {video_pb2.JOB_STATE_SUCCEEDED}
        await rig.check()
        await check_books(sandbox, ended)
    assert "so its writers wait for a lock" in rig.log.read_text()
