"""Sources that a model does not take: the job fails with the reason, and nothing is sent to the provider."""

from base64 import b64encode
from collections.abc import AsyncIterator
from io import BytesIO
from uuid import uuid4

import av
import numpy as np
import pytest
import pytest_asyncio

from evergreen.v1 import scene_pb2, video_pb2
from tests.rpc.test_generate import asked
from tests.serving import SAMPLES, Api, Control, open_sandbox, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

LARGE = {"image": {"data": b64encode((SAMPLES / "rocket.jpg").read_bytes()).decode()}, "scale_factor": 16}


def video(*, seconds: float, size: tuple[int, int] = (320, 180), rate: int = 10) -> bytes:
    out = BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        grey = np.full((size[1], size[0], 3), 90, np.uint8)
        for _ in range(round(seconds * rate)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode())
    return out.getvalue()


def of_source(**fields: object) -> dict[str, object]:
    return {"video": {"asset": "videos/source.mp4"}, **fields}


def acted(**fields: object) -> dict[str, object]:
    return {"character_video": {"asset": "videos/source.mp4"}, "performance": {"asset": "videos/source.mp4"}, **fields}


MAGNIFIC, SMALL = "magnific_video_upscaler_creative", (128, 72)
REFUSED: list[tuple[str, bytes, dict[str, object], str, str]] = [
    (MAGNIFIC, video(seconds=31, size=SMALL), {"video_upscale": of_source()}, "MEDIA_REFUSED",
     "the source video is 31.0 s long; the request allows 30 s at most"),
    (MAGNIFIC, video(seconds=1, size=SMALL, rate=120), {"video_upscale": of_source()}, "MEDIA_REFUSED",
     "the source video has 120 frames per second; 60 at most"),
    ("ruby", video(seconds=0.2, size=(4096, 64)), {"hdr": of_source()}, "MEDIA_REFUSED",
     "the source video has 4096x64 pixels; no side may have more than 4095"),
    ("act_two", video(seconds=2), {"performance": acted()}, "MEDIA_REFUSED",
     "the source video is 2.0 s long; the model takes 3 s at least"),
    ("act_two", video(seconds=4, size=(128, 300)), {"performance": acted()}, "MEDIA_REFUSED",
     "the reference video has 128x300 pixels; it must be at least 0.5 times as wide as high"),
    ("act_two", video(seconds=4, size=(400, 128)), {"performance": acted()}, "MEDIA_REFUSED",
     "the reference video has 400x128 pixels; it may be 2.358 times as wide as high at most"),
    ("magnific_precision_upscaler_v2", b"", {"image_upscale": LARGE}, "PICTURE_INVALID",
     "the picture has 640x427 pixels; it may have 98828 at most"),
]  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox() -> AsyncIterator[Control]:
    async with open_sandbox() as control:
        yield control


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory, sandbox: Control) -> AsyncIterator[Api]:
    async with serving(tmp_path_factory.mktemp("sources") / "data", sandbox.url) as opened:
        yield opened


@pytest.mark.parametrize(("model", "source", "fields", "reason", "text"), REFUSED, ids=range(len(REFUSED)))
async def test_a_source_that_the_model_does_not_take_costs_nothing(
    api: Api, sandbox: Control, model: str, source: bytes, fields: dict[str, object], reason: str, text: str
) -> None:
    scene = {"project_id": "film", "scene_id": f"scene-{uuid4().hex}"}
    await api.scene.CreateScene(scene_pb2.CreateSceneRequest(**scene))
    if source:
        info = scene_pb2.UploadInfo(**scene, path="videos/source.mp4", content_type="video/mp4")
        parts = [scene_pb2.UploadAssetRequest(info=info), scene_pb2.UploadAssetRequest(chunk=source)]
        await api.scene.UploadAsset(iter(parts))

    answer = await api.video.Generate(asked(fields, model=model, **scene))
    done = await api.finished(answer.job.job_id)

    assert (done.state, done.error.reason, done.error.message) == (video_pb2.JOB_STATE_FAILED, reason, text)
    assert await sandbox.tasks() == []
