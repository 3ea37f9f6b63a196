"""Uploaded files as inputs: GenerateVideo takes them by their path in the scene."""

from pathlib import Path

import grpc

from evergreen.v1 import video_pb2
from tests.rpc.refusals import refusal
from tests.rpc.scenes import crc32c, paths_of, scene_of, upload, video
from tests.serving import SAMPLES, Api, Control, reason_of, violations_of


def media(path: str, role: video_pb2.MediaRole) -> list[video_pb2.Media]:
    return [video_pb2.Media(asset=path, role=role)]


async def test_an_uploaded_picture_becomes_the_first_frame(api: Api, sandbox: Control, tmp_path: Path) -> None:
    data = (SAMPLES / "coffee.png").read_bytes()
    await upload(api, data, path="images/hero.png")

    job = await api.generate(scene_id="one", media=media("images/hero.png", video_pb2.MEDIA_ROLE_FIRST_FRAME))
    done = await api.finished(job.job_id)

    assert done.state == video_pb2.JOB_STATE_SUCCEEDED
    assert (await api.status(job.job_id)).request.media[0].asset == "images/hero.png"
    [call] = await sandbox.calls(operation="image_to_video")
    assert call["status"] == 200
    scene = await scene_of(api)
    assert paths_of(scene) == ["images/hero.png", done.outputs[0].poster, done.outputs[0].asset]
    assert (tmp_path / "data/projects/film/one/images/hero.png").read_bytes() == data
    assert scene.folders[0].assets[0].crc32c == crc32c(data)


async def test_an_uploaded_video_becomes_the_source_of_another(api: Api, sandbox: Control) -> None:
    await upload(api, video(640, 384, seconds=4), path="videos/shot.mp4")

    job = await api.generate(
        scene_id="one",
        model="aleph2",
        ratio="",
        duration_seconds=None,
        media=media("videos/shot.mp4", video_pb2.MEDIA_ROLE_SOURCE_VIDEO),
    )
    done = await api.finished(job.job_id)

    assert done.state == video_pb2.JOB_STATE_SUCCEEDED, done.error
    assert [call["status"] for call in await sandbox.calls(operation="video_to_video")] == [200]


async def test_an_asset_that_is_not_there_or_is_no_picture_is_refused_and_makes_no_job(
    api: Api, sandbox: Control
) -> None:
    await upload(api, b"<html>no picture</html>", path="images/page.png")
    frame = video_pb2.MEDIA_ROLE_FIRST_FRAME

    none = await refusal(api.generate(scene_id="one", media=media("images/none.png", frame)))
    page = await refusal(api.generate(scene_id="one", media=media("images/page.png", frame)))
    both = [*media("images/none.png", frame), *media("images/page.png", video_pb2.MEDIA_ROLE_LAST_FRAME)]
    two = await refusal(api.generate(scene_id="one", model="veo3.1", media=both, duration_seconds=8))

    assert (none.code(), reason_of(none)) == (grpc.StatusCode.NOT_FOUND, "ASSET_NOT_FOUND")
    assert violations_of(none) == {"media[0].asset": "the scene film/one has no images/none.png"}
    assert (page.code(), reason_of(page)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert violations_of(page) == {"media[0].asset": "the file is text/html, not a picture"}
    assert (two.code(), [*violations_of(two)]) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        ["media[0].asset", "media[1].asset"],
    )
    assert not (await api.video.ListVideos(video_pb2.ListVideosRequest(project_id="film"))).jobs
    assert await sandbox.tasks() == []


async def test_what_a_job_made_is_never_overwritten(api: Api) -> None:
    job = await api.generate(scene_id="one")
    output = (await api.finished(job.job_id)).outputs[0]
    [asset] = [asset for asset in (await scene_of(api)).folders[2].assets if asset.path == output.asset]

    error = await refusal(upload(api, b"other bytes", path=output.asset, overwrite=True))

    assert (error.code(), reason_of(error)) == (grpc.StatusCode.FAILED_PRECONDITION, "SCENE_BUSY")
    assert asset.job_id == job.job_id
    assert asset in (await scene_of(api)).folders[2].assets
