"""Pictures and source videos that callers give: what becomes of good ones, and why bad ones are refused."""

import asyncio
import io
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image

from evergreen.v1 import video_pb2
from tests.media.web import Answer, Web, response
from tests.rpc.refusals import assert_nothing_left, files_below, invalid, refusal
from tests.serving import SAMPLES, Api, Control, first_frame, serving, violations_of

ROCKET = (SAMPLES / "rocket.jpg").read_bytes()
BOMB_SIDE = 20_000
HTML = b"<!DOCTYPE html><html><body>Please sign in</body></html>"


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    async with Web() as opened:
        yield opened


@pytest.fixture
async def api(tmp_path: Path, sandbox: Control, web: Web) -> AsyncIterator[Api]:
    hosts = f"127.0.0.1:{web.port}"
    async with serving(tmp_path / "data", sandbox.url, EVERGREEN_PICTURE_HOSTS=hosts) as opened:
        yield opened


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return tmp_path / "data" / "projects" / "film" / "scene-1"


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    target = io.BytesIO()
    image.save(target, kind)
    return target.getvalue()


def bomb() -> bytes:
    """A PNG of a few kilobytes and 400 million pixels."""
    return encoded(Image.new("1", (BOMB_SIDE, BOMB_SIDE)))


def inline(data: bytes) -> video_pb2.Media:
    return video_pb2.Media(data=data, role=video_pb2.MEDIA_ROLE_FIRST_FRAME)


def by_url(web: Web, path: str, answer: bytes | Answer) -> video_pb2.Media:
    web.routes[path] = answer
    uri = f"http://127.0.0.1:{web.port}{path}?signature=secret"
    return video_pb2.Media(uri=uri, role=video_pb2.MEDIA_ROLE_FIRST_FRAME)


async def ended(api: Api, *media: video_pb2.Media, **fields: object) -> list[video_pb2.Job]:
    """Asks for a clip from each input at once and gives the jobs at their end."""
    jobs = [await api.generate(media=[item], **fields) for item in media]
    return await asyncio.gather(*(api.finished(job.job_id) for job in jobs))


async def test_what_is_no_picture_is_refused_inline_and_ends_the_job_by_url(
    api: Api, sandbox: Control, web: Web, tmp_path: Path
) -> None:
    bad = (
        ("text", b"just a few words", "MEDIA_REFUSED", "text/plain, not a picture"),
        ("noise", random.Random(7).randbytes(2000), "PICTURE_INVALID", "format"),
        ("html", HTML, "MEDIA_REFUSED", "text/html, not a picture"),
        ("video", b"\0\0\0\x18ftypmp42" + bytes(2000), "MEDIA_REFUSED", "video/mp4, not a picture"),
    )
    broken = (
        ("truncated", ROCKET[: len(ROCKET) // 2], "PICTURE_INVALID", "broken or truncated"),
        ("header", ROCKET[:20], "PICTURE_INVALID", "broken or truncated"),
        ("bomb", bomb(), "PICTURE_INVALID", "more than 50000000 pixels"),
    )
    refused = {name: await invalid(api.generate(media=[inline(data)])) for name, data, _, _ in bad}
    ways = [inline(data) for _, data, _, _ in broken]
    ways += [by_url(web, f"/{name}", response(data, content_type="image/jpeg")) for name, data, _, _ in bad + broken]

    jobs = await ended(api, *ways)

    for name, _, _, text in bad:
        assert [*refused[name]] == ["media[0].data"], name
        assert text in refused[name]["media[0].data"], name
    for (name, _, reason, text), job in zip(broken + bad + broken, jobs, strict=True):
        assert job.state == video_pb2.JOB_STATE_FAILED, name
        assert (job.error.reason, job.error.retryable) == (reason, False), (name, job.error)
        assert text in job.error.message, (name, job.error)
        assert (job.charged_credits, job.cost_basis) == (0, video_pb2.COST_BASIS_CONFIRMED)
    assert await sandbox.calls(operation="image_to_video") == []
    await assert_nothing_left(api, sandbox, tmp_path / "data", jobs=[job.job_id for job in jobs])


async def test_a_body_that_is_wrong_in_itself_ends_the_job_with_its_reason(
    api: Api, sandbox: Control, web: Web, tmp_path: Path
) -> None:
    limit = 16 * 1024 * 1024
    head = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nConnection: close\r\n\r\n"
    bad = (
        (by_url(web, "/empty", response(b"", content_type="image/jpeg")), "PICTURE_INVALID", "empty"),
        (by_url(web, "/large", response(ROCKET, length=limit + 1)), "MEDIA_REFUSED", "larger"),
        (by_url(web, "/endless", web.endless(head + ROCKET, bytes(65536))), "MEDIA_REFUSED", "larger"),
        (by_url(web, "/packed", response(ROCKET, content_encoding="gzip")), "MEDIA_REFUSED", "compressed"),
        (by_url(web, "/short", response(ROCKET[:5000], length=len(ROCKET))), "MEDIA_UNREACHABLE", "broke off"),
        (by_url(web, "/gone", response(HTML, status=404)), "MEDIA_UNREACHABLE", "HTTP status 404"),
        (by_url(web, "/error", response(HTML, status=500)), "MEDIA_UNREACHABLE", "HTTP status 500"),
    )

    jobs = await ended(api, *(media for media, _, _ in bad))

    for (media, reason, text), job in zip(bad, jobs, strict=True):
        assert job.state == video_pb2.JOB_STATE_FAILED, media.uri
        assert job.error.reason == reason, (media.uri, job.error)
        assert job.error.retryable == (reason == "MEDIA_UNREACHABLE")
        assert text in job.error.message
        assert "secret" not in job.error.message
    # Little more was taken than may be kept, the sockets' own buffers aside.
    assert web.sent < 2 * limit
    assert web.closed_by_client.is_set()
    await assert_nothing_left(api, sandbox, tmp_path / "data", jobs=[job.job_id for job in jobs])


async def test_one_bad_input_beside_a_good_one_leaves_no_file(
    api: Api, sandbox: Control, web: Web, tmp_path: Path
) -> None:
    bad = by_url(web, "/bad", response(HTML))
    bad.role = video_pb2.MEDIA_ROLE_LAST_FRAME

    job = await api.generate(model="veo3.1", duration_seconds=4, media=[first_frame(), bad])
    done = await api.finished(job.job_id)

    assert (done.state, done.error.reason) == (video_pb2.JOB_STATE_FAILED, "MEDIA_REFUSED")
    await assert_nothing_left(api, sandbox, tmp_path / "data", jobs=[job.job_id])


async def test_a_picture_by_url_is_fetched_once_and_kept_in_the_scene(
    api: Api, sandbox: Control, web: Web, scene: Path
) -> None:
    media = by_url(web, "/rocket", response(ROCKET, content_type="application/octet-stream"))

    (job,) = await ended(api, media)

    assert job.state == video_pb2.JOB_STATE_SUCCEEDED
    assert not job.warnings
    assert len(web.requests) == 1
    (kept,) = (scene / "images").iterdir()
    assert kept.name == f"{job.job_id}-1.jpg"
    with Image.open(kept) as image, Image.open(SAMPLES / "rocket.jpg") as sent:
        assert image.size == sent.size
    document = json.loads((scene / "metadata" / "scene.json").read_text())
    paths = [asset["path"] for asset in document["assets"]["images"]]
    assert paths == [f"images/{kept.name}"]


async def test_a_picture_of_the_scene_is_used_again_as_it_is(api: Api, sandbox: Control, scene: Path) -> None:
    (first,) = await ended(api, first_frame("coffee.png"))
    (kept,) = [path.name for path in (scene / "images").iterdir()]
    asset = video_pb2.Media(asset=f"images/{kept}", role=video_pb2.MEDIA_ROLE_FIRST_FRAME)

    (second,) = await ended(api, asset, prompt_text="once more")

    assert first.state == second.state == video_pb2.JOB_STATE_SUCCEEDED
    assert [path.name for path in (scene / "images").iterdir()] == [kept]
    assert (await api.status(second.job_id)).request.media[0].asset == f"images/{kept}"
    assert len(await sandbox.tasks("once more")) == 1


async def test_an_asset_that_is_missing_or_no_picture_makes_no_job(api: Api, sandbox: Control, scene: Path) -> None:
    (done,) = await ended(api, first_frame())
    before = files_below(scene)
    paths = {"images/missing.png": "has no", done.outputs[0].asset: "video/mp4", "metadata/scene.json": "text/plain"}

    for path, text in paths.items():
        media = video_pb2.Media(asset=path, role=video_pb2.MEDIA_ROLE_FIRST_FRAME)
        [(field, told)] = violations_of(await refusal(api.generate(media=[media]))).items()
        assert (field, text in told) == ("media[0].asset", True), told

    assert len((await api.video.ListVideos(video_pb2.ListVideosRequest(project_id="film"))).jobs) == 1
    assert len(await sandbox.tasks()) == 1
    assert files_below(scene) == before


async def test_an_asset_that_is_not_the_file_that_the_scene_names_ends_the_job(
    api: Api, sandbox: Control, scene: Path
) -> None:
    (done,) = await ended(api, first_frame())
    poster = scene / done.outputs[0].poster
    poster.write_bytes(poster.read_bytes()[:100])

    (job,) = await ended(api, video_pb2.Media(asset=done.outputs[0].poster, role=video_pb2.MEDIA_ROLE_FIRST_FRAME))

    assert (job.state, job.error.reason) == (video_pb2.JOB_STATE_FAILED, "MEDIA_REFUSED")
    assert len(await sandbox.tasks()) == 1


async def test_a_picture_too_wide_for_the_model_is_cropped_with_a_warning(
    api: Api, sandbox: Control, scene: Path
) -> None:
    wide = encoded(Image.linear_gradient("L").resize((1200, 300)).convert("RGB"))

    (job,) = await ended(api, inline(wide), model="gen4_turbo")

    assert job.state == video_pb2.JOB_STATE_SUCCEEDED
    assert [warning.code for warning in job.warnings] == ["PICTURE_CROPPED"]
    assert "1200x300" in job.warnings[0].message
    (kept,) = (scene / "images").iterdir()
    with Image.open(kept) as image:
        assert image.height == 300
        assert 2.3 < image.width / image.height <= 2.358


async def test_a_picture_of_the_scene_that_does_not_suit_the_model_is_kept_beside_what_suits_it(
    api: Api, sandbox: Control, scene: Path
) -> None:
    (first,) = await ended(api, first_frame())
    wide = scene / "images" / "wide.png"
    data = encoded(Image.linear_gradient("L").resize((1200, 300)).convert("RGB"))
    wide.write_bytes(data)
    asset = video_pb2.Media(asset="images/wide.png", role=video_pb2.MEDIA_ROLE_FIRST_FRAME)

    (job,) = await ended(api, asset, model="gen4_turbo")

    assert job.state == video_pb2.JOB_STATE_SUCCEEDED
    assert [warning.code for warning in job.warnings] == ["PICTURE_CROPPED"]
    names = {f"{first.job_id}-1.jpg", "wide.png", f"{job.job_id}-1.png"}
    assert {path.name for path in (scene / "images").iterdir()} == names
    assert wide.read_bytes() == data
    with Image.open(scene / "images" / f"{job.job_id}-1.png") as image:
        assert image.width < 1200


async def test_a_picture_too_large_for_a_data_uri_goes_through_an_upload(
    api: Api, sandbox: Control, web: Web, scene: Path
) -> None:
    size = (1200, 1200)
    noise = encoded(Image.frombytes("RGB", size, random.Random(7).randbytes(3 * size[0] * size[1])))

    large, small = await ended(api, by_url(web, "/noise", response(noise)), first_frame())

    assert len(noise) * 4 / 3 > 5 * 1024 * 1024 > len(ROCKET) * 4 / 3
    assert [job.state for job in (large, small)] == [video_pb2.JOB_STATE_SUCCEEDED] * 2
    assert [call["status"] for call in await sandbox.calls(operation="create_upload")] == [200]
    assert len(await sandbox.calls(operation="send_upload")) == 1
    assert (scene / "images" / f"{large.job_id}-1.png").read_bytes() == noise


async def test_a_source_video_by_url_and_from_the_scene_becomes_another_clip(
    api: Api, sandbox: Control, web: Web, scene: Path
) -> None:
    await sandbox.settings(render_scale=0.5)
    (made,) = await ended(api, first_frame())
    clip = (scene / made.outputs[0].asset).read_bytes()
    source = video_pb2.Media(asset=made.outputs[0].asset, role=video_pb2.MEDIA_ROLE_SOURCE_VIDEO)
    fetched = by_url(web, "/clip", response(clip))
    fetched.role = video_pb2.MEDIA_ROLE_SOURCE_VIDEO

    jobs = await ended(api, fetched, source, model="aleph2", ratio="", duration_seconds=None, prompt_text="at night")

    for job in jobs:
        assert job.state == video_pb2.JOB_STATE_SUCCEEDED, job.error
        assert abs(job.outputs[0].duration_seconds - 2) < 0.2
    assert len(await sandbox.tasks("at night")) == 2
    # An output has the attempt in its name, too.
    kept = [path for path in (scene / "videos").glob("*.mp4") if path.stem.count("-") == made.job_id.count("-") + 1]
    assert [path.name for path in kept] == [f"{jobs[0].job_id}-1.mp4"]
    assert kept[0].read_bytes() == clip


async def test_a_picture_is_no_source_video(api: Api, sandbox: Control, web: Web, tmp_path: Path) -> None:
    picture = by_url(web, "/rocket", response(ROCKET, content_type="video/mp4"))
    picture.role = video_pb2.MEDIA_ROLE_SOURCE_VIDEO

    (job,) = await ended(api, picture, model="aleph2", ratio="", duration_seconds=None)

    assert (job.state, job.error.reason) == (video_pb2.JOB_STATE_FAILED, "MEDIA_REFUSED")
    assert "image/jpeg, not a video" in job.error.message
    await assert_nothing_left(api, sandbox, tmp_path / "data", jobs=[job.job_id])


async def test_pictures_that_are_often_read_wrongly_become_first_frames_that_show_what_they_show(
    api: Api, scene: Path
) -> None:
    names = ("grey16-transparent.png", "scan-16bit-big-endian.tif", "workflow-in-ztxt.png")

    jobs = await ended(api, *(inline((SAMPLES / name).read_bytes()) for name in names))

    for job in jobs:
        assert job.state == video_pb2.JOB_STATE_SUCCEEDED, job.error.message
        with Image.open(next((scene / "images").glob(f"{job.job_id}-1.*"))) as sent:
            darkest, brightest = sent.convert("L").getextrema()
        assert (darkest < 100, brightest > 150) == (True, True)


async def test_what_hides_behind_a_picture_stays_here_with_a_warning(api: Api, scene: Path) -> None:
    [job] = await ended(api, inline(encoded(Image.new("RGB", (640, 360)), "JPEG") + b"PK\x03\x04 SECRET"))

    assert job.state == video_pb2.JOB_STATE_SUCCEEDED
    assert "PICTURE_SURPLUS" in [warning.code for warning in job.warnings]
    assert not any(b"SECRET" in (scene / name).read_bytes() for name in files_below(scene))
