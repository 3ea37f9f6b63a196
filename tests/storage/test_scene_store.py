"""The scene tree over every engine: assets that are never overwritten, and a document that never loses a name."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
from google_crc32c import value as crc32c_of

from evergreen_storage import (
    FOLDERS,
    Asset,
    AssetConflict,
    BodyMismatch,
    InvalidKey,
    LocalStorage,
    NotFound,
    SceneNotFound,
    SceneStore,
    Storage,
)
from tests.storage.bodies import chunks_of
from tests.storage.conftest import HOSTILE, Clock

VIDEO = "videos/job-1-1-1.mp4"
INDEX = "projects/p/s/metadata/scene.json"


async def document(storage: Storage, key: str = INDEX) -> dict[str, object]:
    data, _ = await storage.get(key, max_bytes=1 << 20)
    loaded = json.loads(data)
    assert isinstance(loaded, dict)
    return loaded


async def snapshot(storage: Storage) -> dict[str, bytes]:
    return {meta.key: (await storage.get(meta.key, max_bytes=1 << 20))[0] async for meta in storage.list("")}


async def deliver(scenes: SceneStore, job_id: str, *, scene: str = "s") -> Asset:
    asset = await scenes.add_stream(
        "p", scene, f"videos/{job_id}-1-1.mp4", chunks_of(b"clip of ", job_id.encode()), None, "video/mp4"
    )
    asset = replace(asset, width=1280, height=720, duration_seconds=5.0)
    await scenes.publish("p", scene, job_id=job_id, assets=[asset], sidecar={"prompt": "a fox", "seed": 7})
    return asset


async def test_a_created_scene_can_be_read_and_creating_it_again_changes_nothing(
    storage: Storage, scenes: SceneStore
) -> None:
    created = await scenes.create("p", "s")
    before = await snapshot(storage)

    assert await scenes.create("p", "s") == created
    assert await scenes.get("p", "s") == created
    assert await snapshot(storage) == before
    assert (created.project_id, created.id, created.status) == ("p", "s", "ACTIVE")
    assert created.created_at == created.updated_at or created.created_at < created.updated_at


async def test_a_new_scene_has_the_documented_shape(storage: Storage, scenes: SceneStore) -> None:
    await scenes.create("p", "s")

    made = await document(storage)

    assert list(made) == [
        "schemaVersion", "id", "projectId", "createdAt", "updatedAt", "status", "assets", "generation"
    ]  # fmt: skip
    assert made["schemaVersion"] == 1
    assert made["assets"] == {"images": [], "audio": [], "videos": [], "exports": []}
    assert made["generation"] == {"videoRequests": [], "completedVideos": []}


async def test_the_five_folders_are_real_on_disk(local: LocalStorage, clock: Clock, tmp_path: Path) -> None:
    await SceneStore(local, clock=clock).create("p", "s")

    assert {path.name for path in (tmp_path / "root/projects/p/s").iterdir()} == set(FOLDERS)


async def test_a_scene_that_was_never_made_is_not_found(scenes: SceneStore) -> None:
    with pytest.raises(SceneNotFound):
        await scenes.get("p", "s")


async def test_a_delivered_clip_is_named_in_the_document_and_in_its_sidecar(
    storage: Storage, scenes: SceneStore
) -> None:
    await scenes.create("p", "s")
    await scenes.record_request("p", "s", "job-1")
    asset = await deliver(scenes, "job-1")

    scene = await scenes.get("p", "s")

    assert scene.videos == (replace(asset, job_id="job-1"),)
    assert (scene.video_requests, scene.completed_videos) == (("job-1",), ("job-1",))
    entry = {
        "path": VIDEO,
        "contentType": "video/mp4",
        "sizeBytes": 13,
        "crc32c": f"{crc32c_of(b'clip of job-1'):08x}",
        "width": 1280,
        "height": 720,
        "durationSeconds": 5.0,
        "createdAt": asset.created_at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "jobId": "job-1",
    }
    made = await document(storage)
    assert made["assets"] == {"images": [], "audio": [], "videos": [entry], "exports": []}
    assert await document(storage, "projects/p/s/metadata/job-1.json") == {
        "schemaVersion": 1,
        "jobId": "job-1",
        "assets": [entry],
        "prompt": "a fox",
        "seed": 7,
    }
    assert b"".join([block async for block in scenes.open("p", "s", VIDEO)]) == b"clip of job-1"
    async with scenes.local_path("p", "s", VIDEO) as path:
        assert path.read_bytes() == b"clip of job-1"


async def test_doing_it_all_again_changes_nothing(storage: Storage, scenes: SceneStore, clock: Clock) -> None:
    async def run(scenes: SceneStore) -> None:
        await scenes.create("p", "s")
        picture = await scenes.add("p", "s", "images/fox.png", b"picture", "image/png")
        await scenes.record_request("p", "s", "job-1", [picture])
        await deliver(scenes, "job-1")

    await run(scenes)
    before = await snapshot(storage)
    await run(SceneStore(storage, clock=clock))

    assert await snapshot(storage) == before


async def test_the_same_content_is_adopted_and_another_is_refused(storage: Storage, scenes: SceneStore) -> None:
    first = await scenes.add("p", "s", "images/a.png", b"picture", "image/png")

    assert await scenes.add("p", "s", "images/a.png", b"picture", "image/png") == first
    assert await scenes.add_stream("p", "s", "images/a.png", chunks_of(b"pic", b"ture"), 7, "image/png") == first
    for other in (b"PICTURE", b"pictures"):
        with pytest.raises(AssetConflict, match=r"images/a\.png"):
            await scenes.add("p", "s", "images/a.png", other, "image/png")
        with pytest.raises(AssetConflict):
            await scenes.add_stream("p", "s", "images/a.png", chunks_of(other), None, "image/png")
    assert (await storage.get("projects/p/s/images/a.png", max_bytes=9))[0] == b"picture"


async def test_a_stream_of_the_wrong_length_is_no_asset(scenes: SceneStore) -> None:
    with pytest.raises(BodyMismatch):
        await scenes.add_stream("p", "s", VIDEO, chunks_of(b"short"), 6, "video/mp4")

    assert await scenes.existing("p", "s", VIDEO) is None


async def test_a_replay_finds_what_an_earlier_try_stored(scenes: SceneStore) -> None:
    assert await scenes.existing("p", "s", VIDEO) is None
    stored = await scenes.add("p", "s", VIDEO, b"clip", "video/mp4")

    assert await scenes.existing("p", "s", VIDEO) == stored


async def test_a_replay_learns_what_the_document_knows(scenes: SceneStore) -> None:
    asset = await deliver(scenes, "job-1")

    assert await scenes.existing("p", "s", VIDEO) == replace(asset, job_id="job-1")


async def test_a_file_that_is_not_what_the_document_names_is_not_adopted(storage: Storage, scenes: SceneStore) -> None:
    await deliver(scenes, "job-1")
    await storage.put(f"projects/p/s/{VIDEO}", b"edited")

    with pytest.raises(AssetConflict):
        await scenes.existing("p", "s", VIDEO)


async def test_a_discarded_asset_is_gone_from_the_document_and_the_disk(storage: Storage, scenes: SceneStore) -> None:
    await deliver(scenes, "job-1")
    await deliver(scenes, "job-2")

    await scenes.discard("p", "s", VIDEO)
    await scenes.discard("p", "s", VIDEO)

    assert [asset.job_id for asset in (await scenes.get("p", "s")).videos] == ["job-2"]
    assert await storage.stat(f"projects/p/s/{VIDEO}") is None


async def test_discarding_makes_no_scene(storage: Storage, scenes: SceneStore) -> None:
    await scenes.add("p", "s", "images/a.png", b"picture", "image/png")

    await scenes.discard("p", "s", "images/a.png")

    assert await snapshot(storage) == {}


async def test_hostile_ids_and_paths_are_refused_and_leave_nothing(storage: Storage, scenes: SceneStore) -> None:
    for hostile in HOSTILE:
        for project, scene in ((hostile, "s"), ("p", hostile)):
            with pytest.raises(InvalidKey):
                await scenes.create(project, scene)
            with pytest.raises(InvalidKey):
                await scenes.get(project, scene)
            with pytest.raises(InvalidKey):
                await scenes.add(project, scene, VIDEO, b"", "video/mp4")
            with pytest.raises(InvalidKey):
                await scenes.publish(project, scene, job_id="job-1", assets=[], sidecar={})
            with pytest.raises(InvalidKey):
                scenes.open(project, scene, VIDEO)
        for path in (hostile, f"videos/{hostile}", f"{hostile}/clip.mp4"):
            with pytest.raises(InvalidKey):
                await scenes.add("p", "s", path, b"", "video/mp4")
            with pytest.raises(InvalidKey):
                await scenes.discard("p", "s", path)
        with pytest.raises(InvalidKey):
            await scenes.record_request("p", "s", hostile)
        with pytest.raises(InvalidKey):
            await scenes.list(hostile, limit=1)

    assert await snapshot(storage) == {}


async def test_the_metadata_folder_can_be_read_and_not_written(scenes: SceneStore) -> None:
    await scenes.create("p", "s")

    for path in ("metadata/scene.json", "metadata/job-1.json"):
        with pytest.raises(InvalidKey):
            await scenes.add("p", "s", path, b"{}", "application/json")
        with pytest.raises(InvalidKey):
            await scenes.discard("p", "s", path)
    assert b"".join([block async for block in scenes.open("p", "s", "metadata/scene.json")]).startswith(b"{")
    with pytest.raises(InvalidKey):
        await scenes.publish("p", "s", job_id="scene", assets=[], sidecar={})


async def test_a_missing_asset_is_not_found(scenes: SceneStore) -> None:
    await scenes.create("p", "s")

    with pytest.raises(NotFound):
        await anext(scenes.open("p", "s", VIDEO))


async def test_scenes_are_listed_in_pages_and_foreign_folders_are_not(storage: Storage, scenes: SceneStore) -> None:
    for scene in ("a", "a-b", "b", "c"):
        await scenes.create("p", scene)
    await scenes.create("other", "x")
    await storage.put("projects/p/foreign/videos/x.mp4", b"x")
    await storage.put("projects/p/file", b"x")

    assert [scene.id for scene in await scenes.list("p", limit=3)] == ["a-b", "a", "b"]
    assert [scene.id for scene in await scenes.list("p", limit=3, after="b")] == ["c"]
    assert [scene.id for scene in await scenes.list("p", limit=3, after="a-b")] == ["a", "b", "c"]
    assert await scenes.list("p", limit=3, after="c") == []
    assert await scenes.list("none", limit=3) == []
    assert await scenes.list("p", limit=0) == []


# Not on the usual S3 server of these tests, which takes a minute for it, nor Azure's; their engine is that of gs.
@pytest.mark.parametrize("storage", ["file", "memory", "gs"], indirect=True)
async def test_ten_thousand_scenes_are_listed_in_pages(storage: Storage, clock: Clock) -> None:
    scenes = SceneStore(storage, clock=clock)
    await scenes.create("p", "template")
    template, _ = await storage.get("projects/p/template/metadata/scene.json", max_bytes=10_000)
    expected = [f"scene-{number:05}" for number in range(10_000)]
    numbers = iter(expected)

    async def fill() -> None:
        for scene in numbers:
            data = template.replace(b'"template"', f'"{scene}"'.encode())
            await storage.put(f"projects/p/{scene}/metadata/scene.json", data)

    async with asyncio.TaskGroup() as group:
        for _ in range(32):
            group.create_task(fill())

    listed: list[str] = []
    while page := await scenes.list("p", limit=500, after=listed[-1] if listed else ""):
        assert len(page) <= 500
        listed += [scene.id for scene in page]

    assert listed == [*expected, "template"]


async def test_a_repeated_publication_keeps_the_first_time_and_forgets_nothing(scenes: SceneStore) -> None:
    await deliver(scenes, "job-1")
    before = await scenes.get("p", "s")
    (asset,) = before.videos
    bare = replace(asset, width=None, height=None, duration_seconds=None, created_at=before.updated_at)

    await scenes.publish("p", "s", job_id="job-1", assets=[bare], sidecar={})

    assert await scenes.get("p", "s") == before
