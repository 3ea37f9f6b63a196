"""An object store that goes away under running jobs and comes back: they say why they wait, and nothing is lost."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from evergreen import WireClient
from evergreen.v1 import scene_pb2
from evergreen.v1 import video_pb2 as v1
from tests.e2e.gate import Gate, gate_before
from tests.e2e.rig import check_books
from tests.serving import SAMPLES, Control, serving
from tests.storage.emulators import S3Bucket, S3Emulator
from tests.storage.proxy import Act, Proxy, proxying

PICTURE = "images/start.jpg"
OUTAGES: dict[str, tuple[Act, str]] = {
    "down": ("pass", "cannot be reached"),
    "slow": ("hang", "did not answer in time"),
    "refusing": (403, "access was denied"),
    "gone": ("elsewhere", "the bucket does not exist"),
}


@pytest.fixture
def bucket(tmp_path: Path):
    with S3Emulator.start(tmp_path) as emulator:
        yield emulator.bucket()


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    async with proxying() as running:
        yield running


@pytest.fixture
async def gate(proxy: Proxy) -> AsyncIterator[Gate]:
    """Stands before the proxy, which stands before the bucket."""
    async with gate_before(port=int(proxy.address.rpartition(":")[2])) as gate:
        proxy.address = gate.address
        yield gate


async def test_a_bucket_that_is_away_holds_jobs_back_where_they_are_and_costs_nothing(
    tmp_path: Path, sandbox: Control, bucket: S3Bucket, proxy: Proxy, gate: Gate
) -> None:
    url, options = proxy.before(bucket)
    environ = {"EVERGREEN_STORAGE_URL": url, "EVERGREEN_STORAGE_OPTIONS": json.dumps(dict(options))}
    ended: dict[str, v1.Job] = {}
    async with serving(tmp_path / "data", sandbox.url, **environ) as api, WireClient(api.address) as client:
        await client.scenes.upload("film", "scene-1", PICTURE, SAMPLES / "rocket.jpg")
        for name, (act, reason) in OUTAGES.items():
            # Held until the store is away, and then its clip can be had.
            prompt = f"{name}: delivered"
            await sandbox.fault("slow", operation="get_task", prompt=prompt, seconds=0.5)
            paid = await api.generate(prompt_text=prompt)
            await sandbox.called("get_task", promptText=prompt)
            proxy.act = lambda _, act=act: act
            if name == "down":
                await gate.shut()
            start = v1.Media(asset=PICTURE, role=v1.MEDIA_ROLE_FIRST_FRAME)
            new = await api.generate(prompt_text=f"{name}: prepared", media=[start])

            delivering = await api.warned(paid.job_id, "STORAGE_UNAVAILABLE")
            preparing = await api.warned(new.job_id, "STORAGE_UNAVAILABLE")
            with pytest.raises(grpc.aio.AioRpcError, match=reason) as refused:
                await api.scene.GetScene(scene_pb2.GetSceneRequest(project_id="film", scene_id="scene-1"))
            unpaid = await sandbox.tasks(f"{name}: prepared")
            proxy.act = lambda _: "pass"
            gate.open()
            ended[prompt] = await api.finished(paid.job_id)
            ended[f"{name}: prepared"] = await api.finished(new.job_id)

            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
            assert (delivering.state, delivering.stage) == (v1.JOB_STATE_RUNNING, v1.JOB_STAGE_DELIVERING)
            assert (preparing.state, preparing.stage) == (v1.JOB_STATE_QUEUED, v1.JOB_STAGE_PREPARING)
            for waiting in (delivering, preparing):
                assert reason in waiting.warnings[0].message
                assert "secret" not in waiting.warnings[0].message
            assert unpaid == []
        for job in ended.values():
            assert job.state == v1.JOB_STATE_SUCCEEDED, job
            copy = tmp_path / f"{job.job_id}.mp4"
            await client.scenes.download("film", "scene-1", job.outputs[0].asset, copy)
            assert copy.stat().st_size == job.outputs[0].size_bytes
        scene = (await api.scene.GetScene(scene_pb2.GetSceneRequest(project_id="film", scene_id="scene-1"))).scene

    videos = {asset.path for folder in scene.folders if folder.name == "videos" for asset in folder.assets}
    assert videos == {path for job in ended.values() for path in (job.outputs[0].asset, job.outputs[0].poster)}
    assert bucket.uploads() == []
    await check_books(sandbox, ended)
