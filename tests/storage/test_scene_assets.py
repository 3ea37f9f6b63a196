"""Assets that callers put into a scene and take out again, and scenes that are deleted, over every engine."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from google_crc32c import value as crc32c_of

from evergreen_storage import (
    AssetConflict,
    AssetNotFound,
    BodyMismatch,
    InvalidKey,
    LocalStorage,
    NotFound,
    SceneNotFound,
    SceneStore,
    Storage,
    Unavailable,
)
from tests.storage.bodies import chunks_of, keys
from tests.storage.conftest import Clock

PATH = "images/fox.png"
KEY = f"projects/p/s/{PATH}"
INDEX = "projects/p/s/metadata/scene.json"


async def upload(scenes: SceneStore, path: str = PATH, data: bytes = b"picture") -> None:
    asset = await scenes.add_stream("p", "s", path, chunks_of(data), len(data), "image/png", crc32c_of(data))
    await scenes.attach("p", "s", [replace(asset, width=640, height=360)])


async def read(scenes: SceneStore, path: str = PATH, *, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([block async for block in scenes.open("p", "s", path, start=start, end=end)])


async def test_an_uploaded_asset_is_part_of_its_scene_with_all_that_is_known_of_it(scenes: SceneStore) -> None:
    asset = await scenes.add_stream(
        "p", "s", "audio/a.wav", chunks_of(b"so", b"und"), 5, "audio/wav", crc32c_of(b"sound")
    )
    attached = await scenes.attach("p", "s", [replace(asset, duration_seconds=1.5)])
    await upload(scenes)

    scene = await scenes.get("p", "s")

    assert scene.audio == attached.audio == (replace(asset, duration_seconds=1.5),)
    assert [(picture.path, picture.width, picture.height, picture.job_id) for picture in scene.images] == [
        (PATH, 640, 360, None)
    ]
    assert scene.video_requests == ()
    assert await scenes.existing("p", "s", PATH) == scene.images[0]
    assert await scenes.stat_asset("p", "s", PATH) == scene.images[0]
    assert await read(scenes, start=3, end=5) == b"tu"


async def test_an_upload_that_is_not_the_announced_one_changes_nothing(storage: Storage, scenes: SceneStore) -> None:
    for size, crc32c in ((7, 1), (6, None), (8, None)):
        with pytest.raises(BodyMismatch):
            await scenes.add_stream("p", "s", PATH, chunks_of(b"picture"), size, "image/png", crc32c)
    assert await keys(storage) == []

    await upload(scenes)
    for size, crc32c in ((7, 1), (6, None), (8, None)):
        with pytest.raises(BodyMismatch):
            await scenes.add_stream("p", "s", PATH, chunks_of(b"picture"), size, "image/png", crc32c)
    assert await read(scenes) == b"picture"


async def test_an_asset_is_replaced_only_when_that_is_asked_for(scenes: SceneStore) -> None:
    await upload(scenes)

    with pytest.raises(AssetConflict):
        await upload(scenes, data=b"another")
    other = await scenes.add_stream("p", "s", PATH, chunks_of(b"another picture"), 15, "image/png", overwrite=True)
    assert (await scenes.stat_asset("p", "s", PATH)).size_bytes == 15
    await scenes.attach("p", "s", [other])

    (named,) = (await scenes.get("p", "s")).images
    assert (named.size_bytes, named.crc32c, named.width) == (15, crc32c_of(b"another picture"), None)
    assert await read(scenes) == b"another picture"


async def test_a_file_that_was_deleted_before_it_was_named_is_named_nowhere(scenes: SceneStore) -> None:
    await upload(scenes, "images/other.png")
    asset = await scenes.add("p", "s", PATH, b"picture", "image/png")
    await scenes.discard("p", "s", PATH)

    with pytest.raises(AssetNotFound):
        await scenes.attach("p", "s", [asset])

    assert [picture.path for picture in (await scenes.get("p", "s")).images] == ["images/other.png"]


async def test_a_file_is_named_or_gone_however_its_upload_and_deletion_meet(scenes: SceneStore) -> None:
    await upload(scenes, "images/other.png")

    async def stored() -> None:
        with suppress(NotFound, AssetConflict):
            await upload(scenes)

    for _ in range(10):
        await asyncio.gather(stored(), scenes.discard("p", "s", PATH), stored(), scenes.discard("p", "s", PATH))

        named = (await scenes.get("p", "s")).asset(PATH) is not None
        assert not named or await scenes.holds("p", "s", PATH)


async def test_the_services_own_folder_takes_no_uploads(scenes: SceneStore) -> None:
    asset = await scenes.add("p", "s", PATH, b"picture", "image/png")

    with pytest.raises(InvalidKey):
        await scenes.add_stream("p", "s", "metadata/x.json", chunks_of(b"{}"), 2, "application/json")
    with pytest.raises(InvalidKey):
        await scenes.attach("p", "s", [replace(asset, path="metadata/x.json")])
    with pytest.raises(InvalidKey):
        await scenes.delete_asset("p", "s", "metadata/scene.json")


async def test_a_deleted_asset_is_gone_and_deleting_it_again_says_so(storage: Storage, scenes: SceneStore) -> None:
    with pytest.raises(SceneNotFound):
        await scenes.delete_asset("p", "s", PATH)
    await upload(scenes)
    await upload(scenes, "images/other.png")

    await scenes.delete_asset("p", "s", PATH)

    assert [asset.path for asset in (await scenes.get("p", "s")).images] == ["images/other.png"]
    assert await storage.stat(KEY) is None
    for call in (scenes.delete_asset, scenes.stat_asset):
        with pytest.raises(AssetNotFound):
            await call("p", "s", PATH)


async def test_a_file_that_others_put_there_can_be_described_read_and_deleted(
    storage: Storage, scenes: SceneStore
) -> None:
    await scenes.create("p", "s")
    await storage.put(KEY, b"theirs")

    found = await scenes.stat_asset("p", "s", PATH)
    await scenes.delete_asset("p", "s", PATH)

    assert (found.size_bytes, found.crc32c, found.content_type) == (6, crc32c_of(b"theirs"), "image/png")
    assert await storage.stat(KEY) is None


async def test_a_signed_url_comes_from_where_there_are_such(scenes: SceneStore, signs: bool) -> None:
    await upload(scenes)

    url = await scenes.sign("p", "s", PATH, ttl=timedelta(minutes=5))

    assert (url is not None) == signs
    with pytest.raises(InvalidKey):
        await scenes.sign("p", "s", "../x", ttl=timedelta(minutes=5))


async def test_a_deleted_scene_leaves_nothing_and_takes_no_other_with_it(storage: Storage, scenes: SceneStore) -> None:
    for scene in ("s", "s-b", "s2"):
        await scenes.create("p", scene)
    await upload(scenes)
    await upload(scenes, "exports/cut.mp4")
    asset = await scenes.add("p", "s", "videos/job-1.mp4", b"clip", "video/mp4")
    await scenes.publish("p", "s", job_id="job-1", assets=[asset], sidecar={})

    await scenes.delete("p", "s")

    assert await keys(storage) == ["projects/p/s-b/metadata/scene.json", "projects/p/s2/metadata/scene.json"]
    assert [scene.id for scene in await scenes.list("p", limit=9)] == ["s-b", "s2"]
    for call in (scenes.get, scenes.delete):
        with pytest.raises(SceneNotFound):
            await call("p", "s")
    assert (await scenes.create("p", "s")).images == ()


async def test_a_deletion_that_was_broken_off_is_repeated(storage: Storage, clock: Clock) -> None:
    scenes = SceneStore(storage, clock=clock)
    for number in range(5):
        await upload(scenes, f"images/{number}.png")
    left = 3

    class Failing:
        def __getattr__(self, name: str) -> object:
            return getattr(storage, name)

        async def delete(self, key: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Unavailable("the disk went away")
            await storage.delete(key)

    failing = SceneStore(Failing(), clock=clock)  # type: ignore[arg-type]  # by __getattr__
    with pytest.raises(Unavailable):
        await failing.delete("p", "s")
    assert await storage.stat(INDEX) is not None
    assert len(await keys(storage)) > 1

    await scenes.delete("p", "s")

    assert await keys(storage) == []


async def test_a_deleted_scene_leaves_nothing_on_disk_whoever_put_it_there(
    local: LocalStorage, clock: Clock, tmp_path: Path
) -> None:
    scenes = SceneStore(local, clock=clock)
    await scenes.create("p", "s")
    await scenes.create("p", "t")
    await upload(scenes)
    folder = tmp_path / "root/projects/p"
    (folder / "t/videos/my clip.mp4").write_bytes(b"theirs")

    left = [*await scenes.delete("p", "s"), *await scenes.delete("p", "t")]

    assert (left, list(folder.iterdir())) == ([], [])
    assert await scenes.list("p", limit=9) == []


async def test_the_scenes_of_a_page_are_read_at_once(storage: Storage, scenes: SceneStore, clock: Clock) -> None:
    for number in range(8):
        await scenes.create("p", f"scene-{number}")
    together = asyncio.Barrier(8)

    class Gated:
        def __getattr__(self, name: str) -> object:
            return getattr(storage, name)

        async def get(self, key: str, *, max_bytes: int) -> object:
            await together.wait()
            return await storage.get(key, max_bytes=max_bytes)

    gated = SceneStore(Gated(), clock=clock)  # type: ignore[arg-type]  # by __getattr__
    async with asyncio.timeout(60):
        found = await gated.list("p", limit=8)

    assert [scene.id for scene in found] == [f"scene-{number}" for number in range(8)]
