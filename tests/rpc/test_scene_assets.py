"""Files of a scene over the wire: up, down in parts, away, and what each call refuses."""

import asyncio
import time
from pathlib import Path

import grpc
import pytest

from evergreen.v1 import scene_pb2
from tests.rpc.refusals import invalid, refusal
from tests.rpc.scene_server import scene_serving
from tests.rpc.scenes import CHUNK, crc32c, download, files_of, paths_of, scene_of, upload, video
from tests.serving import SAMPLES, Api, reason_of

DATA = bytes(range(251)) * 10_000
WHERE = {"project_id": "film", "scene_id": "one", "path": "images/a.bin"}


async def test_what_is_uploaded_is_listed_and_downloaded_byte_for_byte(api: Api, tmp_path: Path) -> None:
    asset = await upload(api, DATA, path="exports/cut.bin", size_bytes=len(DATA), crc32c=crc32c(DATA))

    assert (asset.path, asset.size_bytes, asset.crc32c) == ("exports/cut.bin", len(DATA), crc32c(DATA))
    scene = await scene_of(api)
    assert [folder.name for folder in scene.folders] == ["images", "audio", "videos", "metadata", "exports"]
    assert scene.folders[4].assets[0] == asset
    told, chunks = await download(api, "exports/cut.bin")
    assert told == asset
    assert b"".join(chunks) == DATA
    assert max(map(len, chunks)) == CHUNK
    assert (tmp_path / "data/projects/film/one/exports/cut.bin").read_bytes() == DATA


async def test_files_come_in_the_order_of_their_paths_and_those_of_the_service_too(api: Api) -> None:
    for name in ("hero.png", "B.png", "a.png", "hero2.jpg"):
        await upload(api, DATA[:100], path=f"images/{name}")

    scene = await scene_of(api)

    paths = [asset.path for asset in scene.folders[0].assets]
    assert paths == sorted(paths)
    assert paths == ["images/B.png", "images/a.png", "images/hero.png", "images/hero2.jpg"]
    assert [asset.path for asset in scene.folders[3].assets] == ["metadata/scene.json"]


async def test_a_list_of_scenes_counts_what_was_asked_for_and_delivered(api: Api) -> None:
    await api.finished((await api.generate(scene_id="one")).job_id)

    listed = (await api.scene.ListScenes(scene_pb2.ListScenesRequest(project_id="film"))).scenes

    assert [(scene.scene_id, scene.video_requests, scene.completed_videos) for scene in listed] == [("one", 1, 1)]


@pytest.mark.parametrize(
    ("offset", "limit"),
    [(0, 1), (CHUNK - 1, 2), (1024 * 1024 + 7, 0), (len(DATA) - 1, 100), (len(DATA), 0), (5, CHUNK * 3)],
)
async def test_a_download_goes_on_from_where_it_broke(api: Api, offset: int, limit: int) -> None:
    await upload(api, DATA)

    told, chunks = await download(api, "images/a.bin", offset=offset, limit=limit)

    assert b"".join(chunks) == DATA[offset : offset + limit if limit else None]
    assert (told.size_bytes, told.crc32c) == (len(DATA), crc32c(DATA))


async def test_a_picture_and_a_video_are_measured_and_their_types_are_seen_not_believed(api: Api) -> None:
    picture = await upload(
        api, (SAMPLES / "rocket.jpg").read_bytes(), path="images/a.png", content_type="application/pdf"
    )
    clip = await upload(api, video(seconds=2), path="videos/a.mov", content_type="video/quicktime")

    assert (picture.content_type, picture.width, picture.height) == ("image/jpeg", 640, 427)
    assert not picture.HasField("duration_seconds")
    assert (clip.content_type, clip.width, clip.height) == ("video/mp4", 320, 192)
    assert clip.duration_seconds == pytest.approx(2, abs=0.1)
    told = {asset.path: asset for folder in (await scene_of(api)).folders for asset in folder.assets}
    assert told.pop("metadata/scene.json").content_type == "application/json"
    assert told == {"images/a.png": picture, "videos/a.mov": clip}


@pytest.mark.parametrize(
    ("data", "name", "claimed", "seen"),
    [
        (b"\x00\x01\x02", "a.png", "", "application/octet-stream"),
        (b"\x00\x01\x02", "a", "image/png", "application/octet-stream"),
        (b"\x00\x01\x02", "a", "application/x-premiere", "application/x-premiere"),
        (b"1\n00:00:01,000 --> 00:00:02,000\nHello", "a.srt", "", "application/x-subrip"),
        (b"<html><script>alert(1)</script>", "a.png", "image/png", "text/plain"),
        (b"just words", "a.png", "", "text/plain"),
        (b"", "a", "", "application/octet-stream"),
        (b"\x89PNG\r\n\x1a\nbroken", "a.png", "", "image/png"),
    ],
)
async def test_a_type_is_told_from_the_bytes_where_they_tell_it(
    api: Api, data: bytes, name: str, claimed: str, seen: str
) -> None:
    asset = await upload(api, data, path=f"exports/{name}", content_type=claimed)

    assert (asset.content_type, asset.size_bytes) == (seen, len(data))
    assert not asset.HasField("width")


async def test_the_same_bytes_again_change_nothing_and_others_are_refused(api: Api) -> None:
    first = await upload(api, DATA)

    again = await upload(api, DATA)
    streamed = await refusal(upload(api, DATA[:-1]))
    announced = await refusal(upload(api, DATA, size_bytes=len(DATA) + 1))

    assert again == first
    for error in (streamed, announced):
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.ALREADY_EXISTS, "ASSET_EXISTS")
    assert b"".join((await download(api, "images/a.bin"))[1]) == DATA


async def test_with_overwrite_a_file_is_replaced_whole(api: Api) -> None:
    await upload(api, (SAMPLES / "rocket.jpg").read_bytes(), path="images/a.jpg")
    coffee = (SAMPLES / "coffee.png").read_bytes()

    replaced = await upload(api, coffee, path="images/a.jpg", overwrite=True)
    await invalid(upload(api, DATA, path="images/a.jpg", overwrite=True, size_bytes=5))

    assert (replaced.content_type, replaced.size_bytes) == ("image/png", len(coffee))
    assert paths_of(scene := await scene_of(api)) == ["images/a.jpg"]
    assert scene.folders[0].assets[0] == replaced
    assert b"".join((await download(api, "images/a.jpg"))[1]) == coffee


async def test_sixteen_uploads_of_one_name_make_one_file_and_of_many_names_lose_none(api: Api) -> None:
    same = await asyncio.gather(*(upload(api, DATA, path="exports/same") for _ in range(16)))
    different = await asyncio.gather(
        *(upload(api, DATA + bytes([number]), path="exports/race") for number in range(16)), return_exceptions=True
    )
    await asyncio.gather(*(upload(api, bytes([number]), path=f"audio/{number:02}") for number in range(16)))

    assert {asset.crc32c for asset in same} == {crc32c(DATA)}
    assert sum(isinstance(result, scene_pb2.Asset) for result in different) == 1
    expected = [f"audio/{number:02}" for number in range(16)] + ["exports/race", "exports/same"]
    assert sorted(paths_of(await scene_of(api))) == expected


async def test_a_deleted_asset_is_gone_and_its_name_is_free(api: Api, tmp_path: Path) -> None:
    await upload(api, DATA)
    request = scene_pb2.DeleteAssetRequest(**WHERE)

    await api.scene.DeleteAsset(request)
    again = await refusal(api.scene.DeleteAsset(request))

    assert (again.code(), reason_of(again)) == (grpc.StatusCode.NOT_FOUND, "ASSET_NOT_FOUND")
    assert paths_of(await scene_of(api)) == []
    assert files_of(tmp_path / "data/projects/film/one") == []
    assert (await upload(api, b"other")).size_bytes == 5


async def test_metadata_is_read_and_never_written(api: Api) -> None:
    await upload(api, DATA)

    told, chunks = await download(api, "metadata/scene.json")
    written = await invalid(upload(api, b"{}", path="metadata/scene.json"))
    deleted = await invalid(
        api.scene.DeleteAsset(scene_pb2.DeleteAssetRequest(**{**WHERE, "path": "metadata/scene.json"}))
    )

    assert b'"images/a.bin"' in b"".join(chunks)
    assert told.content_type == "application/json"
    assert list(written) == ["info.path"]
    assert list(deleted) == ["path"]


async def test_a_local_disk_signs_no_url_and_says_what_to_do(api: Api) -> None:
    await upload(api, DATA)

    error = await refusal(api.scene.GetAssetUrl(scene_pb2.GetAssetUrlRequest(**WHERE)))
    request = scene_pb2.GetAssetUrlRequest(**WHERE)
    request.lifetime.FromSeconds(7 * 24 * 3600 + 1)
    faults = await invalid(api.scene.GetAssetUrl(request))

    assert (error.code(), reason_of(error)) == (grpc.StatusCode.FAILED_PRECONDITION, "URL_UNSUPPORTED")
    assert "DownloadAsset" in (error.details() or "")
    assert list(faults) == ["lifetime"]


async def test_a_storage_that_signs_gives_a_url_and_when_it_ends(tmp_path: Path) -> None:
    async with scene_serving(tmp_path / "data") as api:
        await upload(api, DATA)
        api.script.url = "https://bucket.example"
        request = scene_pb2.GetAssetUrlRequest(**WHERE)

        usual = await api.scene.GetAssetUrl(request)
        request.lifetime.FromSeconds(60)
        short = await api.scene.GetAssetUrl(request)

    assert usual.url == "https://bucket.example/projects/film/one/images/a.bin?ttl=900"
    assert short.url.endswith("?ttl=60")
    assert 55 < short.expire_time.seconds - time.time() <= 60


@pytest.mark.parametrize("scene_id", ["one", "none"])
async def test_what_is_not_there_is_told_apart(api: Api, scene_id: str) -> None:
    await api.scene.CreateScene(scene_pb2.CreateSceneRequest(project_id="film", scene_id="one"))
    where = {"project_id": "film", "scene_id": scene_id, "path": "images/none.png"}

    errors = [
        await refusal(download(api, "images/none.png", scene_id=scene_id)),
        await refusal(api.scene.DeleteAsset(scene_pb2.DeleteAssetRequest(**where))),
        await refusal(api.scene.GetAssetUrl(scene_pb2.GetAssetUrlRequest(**where))),
    ]

    reason = "ASSET_NOT_FOUND" if scene_id == "one" else "SCENE_NOT_FOUND"
    assert {(error.code(), reason_of(error)) for error in errors} == {(grpc.StatusCode.NOT_FOUND, reason)}


async def test_every_fault_of_a_bad_request_is_named(api: Api) -> None:
    await upload(api, DATA)

    bad = {"project_id": "CON", "scene_id": "", "path": "../x"}
    uploaded = await invalid(upload(api, b"x", **bad, size_bytes=-1, content_type="no type\n"))
    downloaded = await invalid(
        api.scene.DownloadAsset(scene_pb2.DownloadAssetRequest(**bad, offset=-1, limit=-1)).read()
    )
    behind = await invalid(download(api, "images/a.bin", offset=len(DATA) + 1))

    names = ("project_id", "scene_id", "path")
    assert set(uploaded) == {*(f"info.{name}" for name in names), "info.size_bytes", "info.content_type"}
    assert set(downloaded) == {*names, "offset", "limit"}
    assert behind == {"offset": f"must be at most {len(DATA)}, the length of the file"}
