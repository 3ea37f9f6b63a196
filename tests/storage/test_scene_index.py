"""`scene.json` among other writers, broken disks and killed processes."""

import asyncio
import json
import logging
from asyncio.subprocess import Process
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from evergreen_storage import (
    Conflict,
    LocalStorage,
    SceneStore,
    Storage,
    TooLarge,
    Unavailable,
    UnsupportedSchema,
    open_storage,
)
from tests.storage.conftest import Clock

Child = Callable[..., AbstractAsyncContextManager[Process]]

INDEX = "projects/p/s/metadata/scene.json"


async def deliver(scenes: SceneStore, job_id: str) -> None:
    asset = await scenes.add("p", "s", f"videos/{job_id}-1-1.mp4", job_id.encode(), "video/mp4")
    asset = replace(asset, width=1280, height=720, duration_seconds=5)
    await scenes.publish("p", "s", job_id=job_id, assets=[asset], sidecar={"prompt": "a fox", "jobId": "forged"})


async def edit(storage: Storage, change: Callable[[dict[str, object]], None]) -> bytes:
    data, meta = await storage.get(INDEX, max_bytes=1 << 20)
    document = json.loads(data)
    change(document)
    edited = json.dumps(document).encode()
    await storage.put(INDEX, edited, if_token=meta.token)
    return edited


async def read(storage: Storage, key: str = INDEX) -> bytes:
    return (await storage.get(key, max_bytes=1 << 20))[0]


async def test_sixteen_writers_lose_nothing(storage: Storage, clock: Clock) -> None:
    await SceneStore(storage, clock=clock).create("p", "s")
    writers = [SceneStore(storage, clock=clock) for _ in range(16)]

    await asyncio.gather(*(deliver(writer, f"job-{number}") for number, writer in enumerate(writers)))

    scene = await writers[0].get("p", "s")
    expected = {f"job-{number}" for number in range(16)}
    assert set(scene.completed_videos) == set(scene.video_requests) == expected
    assert {asset.job_id for asset in scene.videos} == expected


async def test_sixteen_openings_of_one_folder_lose_nothing(tmp_path: Path, clock: Clock) -> None:
    async def write(number: int) -> None:
        async with open_storage(tmp_path.as_uri(), clock=clock) as storage:
            scenes = SceneStore(storage, clock=clock)
            await scenes.create("p", "s")
            await deliver(scenes, f"job-{number}")

    await asyncio.gather(*map(write, range(16)))

    async with open_storage(tmp_path.as_uri(), clock=clock) as storage:
        scene = await SceneStore(storage, clock=clock).get("p", "s")
    assert len(scene.completed_videos) == len(scene.videos) == 16


async def test_what_others_added_is_kept(storage: Storage, scenes: SceneStore) -> None:
    await scenes.create("p", "s")
    await deliver(scenes, "job-1")

    def change(document: dict[str, object]) -> None:
        document["mood"] = {"colour": "grün", "weights": [1, 1.5, None, True, 10**30, "\ud83d\ude00", "\ud800"]}
        document["status"] = "ARCHIVED"
        document["assets"]["videos"][0]["rating"] = 5  # type: ignore[index]  # JSON
        document["assets"]["storyboards"] = ["a"]  # type: ignore[index]  # JSON
        document["generation"]["style"] = "noir"  # type: ignore[index]  # JSON

    edited = json.loads(await edit(storage, change))
    await deliver(scenes, "job-1")
    await deliver(scenes, "job-2")

    made = json.loads(await read(storage))
    assert made["mood"] == edited["mood"]
    assert made["status"] == (await scenes.get("p", "s")).status == "ARCHIVED"
    assert made["assets"]["videos"][0] == edited["assets"]["videos"][0]
    assert made["assets"]["storyboards"] == ["a"]
    assert made["generation"] == {
        "videoRequests": ["job-1", "job-2"],
        "completedVideos": ["job-1", "job-2"],
        "style": "noir",
    }


async def test_a_newer_document_is_refused_and_left_as_it_is(storage: Storage, scenes: SceneStore) -> None:
    await scenes.create("p", "s")
    await scenes.create("p", "t")
    newer = await edit(storage, lambda document: document.update(schemaVersion=2, assets="elsewhere"))

    with pytest.raises(UnsupportedSchema, match="schemaVersion 2"):
        await scenes.get("p", "s")
    with pytest.raises(UnsupportedSchema):
        await scenes.create("p", "s")
    with pytest.raises(UnsupportedSchema):
        await deliver(scenes, "job-1")

    assert await read(storage) == newer
    assert [(scene.id, scene.status) for scene in await scenes.list("p", limit=9)] == [
        ("s", "UNSUPPORTED"),
        ("t", "ACTIVE"),
    ]


BROKEN = {
    "empty": b"",
    "torn": b'{"schemaVersion": 1, "id": "s"',
    "no object": b"[]",
    "no JSON": b"\xff\xfe\x00",
    "not a number": b'{"schemaVersion": NaN}',
    "too large a number": b'{"schemaVersion": 1e999}',
    "too deep": b'{"a":' + b"[" * 100_000,
    "another scene": b'{"schemaVersion":1,"id":"t","projectId":"p","createdAt":"2026-01-01T00:00:00Z",'
    b'"updatedAt":"2026-01-01T00:00:00Z","status":"ACTIVE","assets":{"images":[],"audio":[],"videos":[],"exports":[]},'
    b'"generation":{"videoRequests":[],"completedVideos":[]}}',
    "another shape": b'{"schemaVersion":1,"id":"s","projectId":"p","assets":{"videos":{}}}',
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
async def test_a_corrupt_document_is_set_aside_and_made_again(
    storage: Storage, scenes: SceneStore, caplog: pytest.LogCaptureFixture, broken: bytes
) -> None:
    await scenes.create("p", "s")
    picture = await scenes.add("p", "s", "images/fox.png", b"picture", "image/png")
    await scenes.record_request("p", "s", "job-1", [picture])
    await deliver(scenes, "job-1")
    await deliver(scenes, "job-2")
    await storage.put("projects/p/s/metadata/notes.json", b'{"foreign": true}')
    before = await scenes.get("p", "s")
    await storage.put(INDEX, broken)

    with caplog.at_level(logging.WARNING):
        after = await scenes.get("p", "s")

    assert after == replace(before, created_at=after.created_at, updated_at=after.updated_at)
    assert after.created_at == min(asset.created_at for asset in (*after.images, *after.videos))
    assert await scenes.get("p", "s") == after
    assert await read(storage, f"{INDEX}.corrupt-1") == broken
    assert "scene index corrupt, rebuilding it" in caplog.messages


async def test_each_corrupt_document_is_kept_once(storage: Storage, scenes: SceneStore) -> None:
    await scenes.create("p", "s")
    for broken in (b"one", b"two", b"two", b"one"):
        await storage.put(INDEX, broken)
        await scenes.get("p", "s")

    assert await read(storage, f"{INDEX}.corrupt-1") == b"one"
    assert await read(storage, f"{INDEX}.corrupt-2") == b"two"
    assert await storage.stat(f"{INDEX}.corrupt-3") is None


async def test_a_deleted_document_is_made_again_by_the_next_delivery(storage: Storage, scenes: SceneStore) -> None:
    await scenes.create("p", "s")
    await deliver(scenes, "job-1")
    await storage.delete(INDEX)
    await storage.delete("projects/p/s/videos/job-1-1-1.mp4")
    await storage.put("projects/p/s/videos/orphan.mp4", b"orphan")

    await deliver(scenes, "job-2")

    scene = await scenes.get("p", "s")
    assert scene.completed_videos == ("job-1", "job-2")
    assert [asset.path for asset in scene.videos] == ["videos/job-2-1-1.mp4", "videos/orphan.mp4"]
    assert (scene.videos[0].width, scene.videos[1].width, scene.videos[1].size_bytes) == (1280, None, 6)


async def test_an_edited_size_in_the_document_is_brought_up_to_date(storage: Storage, scenes: SceneStore) -> None:
    await deliver(scenes, "job-1")
    before = (await scenes.get("p", "s")).videos

    def change(document: dict[str, object]) -> None:
        document["assets"]["videos"][0]["sizeBytes"] = 1  # type: ignore[index]  # JSON

    await edit(storage, change)
    await deliver(scenes, "job-1")

    assert (await scenes.get("p", "s")).videos == before


async def test_when_others_are_always_quicker_the_update_gives_up_and_overwrites_nothing(
    storage: Storage, clock: Clock
) -> None:
    await SceneStore(storage, clock=clock).create("p", "s")

    class Contended:
        def __getattr__(self, name: str) -> object:
            return getattr(storage, name)

        async def put(self, key: str, data: bytes, **options: object) -> object:
            if key == INDEX:
                await edit(storage, lambda document: document.update(edits=int(str(document.get("edits", 0))) + 1))
            return await storage.put(key, data, **options)  # type: ignore[arg-type]  # passed on as it came

    contended = SceneStore(Contended(), clock=clock, jitter=lambda: 0.0)  # type: ignore[arg-type]  # by __getattr__
    with pytest.raises(Conflict):
        await contended.record_request("p", "s", "job-1")

    made = json.loads(await read(storage))
    assert made["edits"] == 10
    assert made["generation"]["videoRequests"] == []


async def test_a_disk_that_refuses_leaves_the_document_as_it_was(
    local: LocalStorage, clock: Clock, tmp_path: Path
) -> None:
    scenes = SceneStore(local, clock=clock)
    await scenes.create("p", "s")
    before = await read(local)
    (tmp_path / "root/projects/p/s/videos").rmdir()
    (tmp_path / "root/projects/p/s/videos").write_text("in the way")

    with pytest.raises(Unavailable, match="ENOTDIR"):
        await deliver(scenes, "job-1")
    (tmp_path / "root/projects/p/s/videos").unlink()
    assert await read(local) == before
    await deliver(scenes, "job-1")

    assert (await scenes.get("p", "s")).completed_videos == ("job-1",)


@pytest.mark.parametrize("deliveries", [1, 4, 9])
async def test_a_killed_deliverer_loses_no_clip_and_repeating_its_last_job_is_safe(
    tmp_path: Path, clock: Clock, child: Child, deliveries: int
) -> None:
    async with child("deliver", tmp_path.as_uri()) as process:
        assert process.stdout is not None
        said = [(await process.stdout.readline()).decode().strip() for _ in range(deliveries)]
        process.kill()
        said += (await process.stdout.read()).decode().split()
        await process.wait()

    async with open_storage(tmp_path.as_uri(), clock=clock) as storage:
        scenes = SceneStore(storage, clock=clock)
        scene = await scenes.get("p", "s")
        interrupted = f"job-{len(said)}"
        assert set(said) <= set(scene.completed_videos) <= {*said, interrupted}
        for asset in scene.videos:
            assert await scenes.existing("p", "s", asset.path) == asset
        await scenes.add("p", "s", f"videos/{interrupted}-1-1.mp4", interrupted.encode(), "video/mp4")
        found = await scenes.existing("p", "s", f"videos/{interrupted}-1-1.mp4")
        assert found is not None
        await scenes.publish("p", "s", job_id=interrupted, assets=[found], sidecar={})
        assert (await scenes.get("p", "s")).completed_videos == (*said, interrupted)
        assert await storage.stat(f"{INDEX}.corrupt-1") is None


async def test_a_full_scene_takes_no_new_request_and_still_what_was_asked_for(
    local: LocalStorage, clock: Clock
) -> None:
    scenes = SceneStore(local, clock=clock)
    await scenes.create("p", "s")
    await scenes.record_request("p", "s", "job-1")
    await edit(local, lambda document: document.update(notes="x" * ((16 << 20) - 1900)))

    with pytest.raises(TooLarge, match="holds too much"):
        await scenes.record_request("p", "s", "job-2")
    await deliver(scenes, "job-1")
    await scenes.record_request("p", "s", "job-1")

    scene = await scenes.get("p", "s")
    assert (scene.video_requests, scene.completed_videos) == (("job-1",), ("job-1",))


async def test_a_project_whose_scenes_are_long_does_not_hold_up_another(local: LocalStorage, clock: Clock) -> None:
    scenes = SceneStore(local, clock=clock)
    for project_id, count in (("greedy", 8), ("honest", 1)):
        for number in range(count):
            await scenes.create(project_id, f"s{number}")
            key = f"projects/{project_id}/s{number}/metadata/scene.json"
            document = json.loads(await read(local, key)) | {"notes": [{"number": note} for note in range(30_000)]}
            await local.put(key, json.dumps(document).encode())
    ended: list[str] = []

    async def look(project_id: str, number: int) -> None:
        await scenes.get(project_id, f"s{number}")
        ended.append(project_id)

    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(look("greedy", number))
        group.create_task(look("honest", 0))

    assert ended.index("honest") <= 4


async def test_a_long_document_that_many_ask_for_is_decoded_once_and_no_more_until_it_changes(
    local: LocalStorage, clock: Clock
) -> None:
    scenes = SceneStore(local, clock=clock)
    await scenes.create("p", "s")
    await edit(local, lambda document: document.update(notes="x" * 100_000))

    first = await asyncio.gather(*(scenes.get("p", "s") for _ in range(5)))
    await deliver(scenes, "job-1")
    second = await asyncio.gather(*(scenes.get("p", "s") for _ in range(5)))

    assert len({id(scene) for scene in first}) == len({id(scene) for scene in second}) == 1
    assert second[0].completed_videos == ("job-1",)
