"""Scenes whose files change, cannot be read, or are too many while somebody looks at them."""

import errno
import os
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evergreen_storage import Conflict, Meta, NotFound, SceneStore, Storage, TooLarge, Unavailable, open_storage

Clock = Callable[[], datetime]

FOLDER = "projects/p/s/"
INDEX = f"{FOLDER}metadata/scene.json"
MIB = 1 << 20


class Bent:
    """A storage of which some calls are replaced by those of a subclass."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def __getattr__(self, name: str) -> object:
        return getattr(self._storage, name)


@pytest.fixture
async def memory(clock: Clock) -> AsyncIterator[Storage]:
    async with open_storage("memory://", clock=clock) as storage:
        yield storage


def over(storage: object, clock: Clock) -> SceneStore:
    return SceneStore(storage, clock=clock)  # type: ignore[arg-type]  # a Bent one has all calls


async def test_a_folder_that_may_not_be_looked_into_is_told_from_an_empty_one(memory: Storage, clock: Clock) -> None:
    class Denied(Bent):
        def list(self, prefix: str, **options: object) -> object:
            if prefix == f"{FOLDER}videos/":
                raise Unavailable("access was denied", errno=errno.EACCES)
            return memory.list(prefix, **options)  # type: ignore[arg-type]  # passed on as it came

    await over(memory, clock).create("p", "s")

    files = await over(Denied(memory), clock).files("p", "s")

    assert files["videos"] is None
    assert files["images"] == {}


@pytest.mark.parametrize("call", ["files", "list"])
async def test_a_storage_that_is_away_is_not_taken_for_one_bad_scene(memory: Storage, clock: Clock, call: str) -> None:
    class Away(Bent):
        def list(self, prefix: str, **options: object) -> object:
            if call == "files":
                raise Unavailable("the storage is away")
            return memory.list(prefix, **options)  # type: ignore[arg-type]  # passed on as it came

        async def get(self, key: str, **_: object) -> object:
            raise Unavailable("the storage is away")

    await over(memory, clock).create("p", "s")
    away = over(Away(memory), clock)

    with pytest.raises(Unavailable, match="is away"):
        await (away.files("p", "s") if call == "files" else away.list("p", limit=10))


async def test_of_very_many_files_no_list_is_made_and_a_document_of_the_first_alone(
    memory: Storage, clock: Clock
) -> None:
    class Full(Bent):
        async def list(self, prefix: str, **_: object) -> AsyncIterator[Meta]:
            for number in range(50_001 if prefix == f"{FOLDER}images/" else 0):
                key = f"{prefix}{number:05}.jpg"
                yield Meta(key=key, size=1, modified=datetime(2026, 1, 1, tzinfo=UTC), crc32c=7)

    full = over(Full(memory), clock)

    files = await full.files("p", "s")
    rebuilt = await full.record_request("p", "s", "job-1")

    assert files["images"] is None
    assert files["videos"] == {}
    assert len(rebuilt.images) == 40_000


async def test_what_was_deleted_since_it_was_listed_is_left_out_of_a_rebuilt_document(
    memory: Storage, clock: Clock
) -> None:
    sidecar = f"{FOLDER}metadata/job-1.json"

    class Deleted(Bent):
        async def get(self, key: str, *, max_bytes: int) -> object:
            if key == sidecar:
                raise NotFound("there is none any more")
            return await memory.get(key, max_bytes=max_bytes)

        async def stream(self, key: str, **_: object) -> AsyncIterator[bytes]:
            raise NotFound("there is none any more")
            yield b""

        async def list(self, prefix: str, **options: object) -> AsyncIterator[Meta]:
            async for meta in memory.list(prefix, **options):  # type: ignore[arg-type]  # passed on as it came
                yield Meta(key=meta.key, size=meta.size, modified=meta.modified)

    await memory.put(sidecar, b'{"jobId": "job-1", "assets": []}')
    await memory.put(f"{FOLDER}videos/job-1.mp4", b"a clip")

    rebuilt = await over(Deleted(memory), clock).record_request("p", "s", "job-2")

    assert rebuilt.videos == ()
    assert rebuilt.completed_videos == ()


async def test_what_would_take_long_to_read_is_left_out_of_a_rebuilt_document(tmp_path: Path, clock: Clock) -> None:
    images = tmp_path / FOLDER / "images"
    images.mkdir(parents=True)
    (images / "small.jpg").write_bytes(b"a picture")
    (images / "vast.jpg").touch()
    os.truncate(images / "vast.jpg", 300 * MIB)

    async with open_storage(tmp_path.as_uri()) as storage:
        rebuilt = await over(storage, clock).record_request("p", "s", "job-1")

    assert [asset.path for asset in rebuilt.images] == ["images/small.jpg"]


async def test_what_cannot_be_a_document_is_neither_read_nor_copied(tmp_path: Path, clock: Clock) -> None:
    index = tmp_path / INDEX
    index.parent.mkdir(parents=True)
    index.touch()
    os.truncate(index, (1 << 30) + 1)

    async with open_storage(tmp_path.as_uri()) as storage:
        with pytest.raises(Unavailable, match="move it away"):
            await over(storage, clock).record_request("p", "s", "job-1")

    assert [path.name for path in index.parent.iterdir()] == ["scene.json"]


@pytest.mark.parametrize("gone", [True, False], ids=["deleted", "replaced"])
async def test_a_document_too_long_to_read_that_changes_meanwhile_is_looked_at_again(
    local: Storage, clock: Clock, gone: bool
) -> None:
    looks = 0

    class Changing(Bent):
        async def get(self, key: str, *, max_bytes: int) -> object:
            if key == INDEX and not looks:
                raise TooLarge("it is too long to be read")
            return await local.get(key, max_bytes=max_bytes)

        async def stat(self, key: str) -> Meta | None:
            nonlocal looks
            if key != INDEX:
                return await local.stat(key)
            looks += 1
            if gone and looks == 1:
                await local.delete(INDEX)
            elif looks == 2:
                # By another writer, with whose document this one goes on.
                await local.delete(INDEX)
                await over(local, clock).record_request("p", "s", "job-of-another")
            return await local.stat(key)

    await local.put(INDEX, b"what stands here counts as too long")

    scene = await over(Changing(local), clock).record_request("p", "s", "job-1")

    assert scene.video_requests == (("job-1",) if gone else ("job-of-another", "job-1"))
    assert (await over(local, clock).get("p", "s")).video_requests == scene.video_requests


async def test_a_document_without_a_token_is_read_anew_each_time(memory: Storage, clock: Clock) -> None:
    class Tokenless(Bent):
        async def get(self, key: str, *, max_bytes: int) -> tuple[bytes, Meta]:
            data, meta = await memory.get(key, max_bytes=max_bytes)
            return data, Meta(key=key, size=meta.size, modified=meta.modified)

    tokenless = over(Tokenless(memory), clock)
    await over(memory, clock).record_request("p", "s", "job-1")
    before = await tokenless.get("p", "s")
    await over(memory, clock).record_request("p", "s", "job-2")

    after = await tokenless.get("p", "s")

    assert (before.video_requests, after.video_requests) == (("job-1",), ("job-1", "job-2"))


async def test_a_scene_of_more_files_than_are_held_at_once_is_deleted_whole(memory: Storage, clock: Clock) -> None:
    scenes = over(memory, clock)
    await scenes.create("p", "s")
    for number in range(1001):
        await memory.put(f"{FOLDER}images/{number}.jpg", b"")

    assert await scenes.delete("p", "s") == ()

    assert [meta.key async for meta in memory.list("")] == []


async def test_a_picture_that_its_job_gave_up_just_before_it_is_stored_is_not_stored(
    memory: Storage, clock: Clock
) -> None:
    async def sealed(size: int, crc32c: int) -> None:
        raise Conflict(f"the job is another's, which keeps no {size} bytes with {crc32c:08x}")

    scenes = over(memory, clock)
    await scenes.create("p", "s")

    with pytest.raises(Conflict, match="no 9 bytes"):
        await scenes.add("p", "s", "images/poster.jpg", b"a picture", "image/jpeg", sealed=sealed)

    assert await memory.stat(f"{FOLDER}images/poster.jpg") is None
