"""The look at the files that a request names: what it refuses, and that it never holds a request up for long."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from evergreen_server.jobs.assets import AT_ONCE, AssetCheck, AssetsMissing
from evergreen_server.media.signatures import misfit
from evergreen_server.ports.specs import InvalidRequest, Kind, Media, Role
from evergreen_server.runtime.shield import ProtectedTasks
from evergreen_storage import MemoryStorage, SceneStore, Unavailable

LONG = 60.0
JPEG = b"\xff\xd8\xff\xe0 and so on"


class Heads:
    """Knows files as the media tools do."""

    def misfit(self, head: bytes, kind: Kind) -> str:
        return misfit(head, kind)


class Held(MemoryStorage):
    """Answers no read in the projects that are held before they are let go; counts the reads that have begun."""

    def __init__(self) -> None:
        super().__init__(clock=now)
        self.held: dict[str, asyncio.Event] = {}
        self.begun = 0
        self.broken = False

    async def stream(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        self.begun += 1
        if self.broken:
            raise Unavailable("the storage cannot be reached")
        if (gate := self.held.get(key.split("/")[1])) is not None:
            await gate.wait()
        async for block in super().stream(key, start=start, end=end):
            yield block


def now() -> datetime:
    return datetime(2026, 6, 1, tzinfo=UTC)


def asset(path: str, role: Role = Role.FIRST_FRAME, scene_id: str = "") -> Media:
    return Media(role=role, asset=path, scene_id=scene_id)


@asynccontextmanager
async def checking(storage: Held, *, seconds: float = LONG) -> AsyncIterator[AssetCheck]:
    async with ProtectedTasks(grace_seconds=LONG) as shield:
        yield AssetCheck(scenes=SceneStore(storage, clock=now), heads=Heads(), shield=shield, seconds=seconds)


async def kept(storage: Held, path: str, data: bytes, *, scene_id: str = "one") -> None:
    await SceneStore(storage, clock=now).add("film", scene_id, path, data, None)


async def test_what_a_scene_has_not_and_what_is_surely_of_another_kind_is_named() -> None:
    storage = Held()
    await kept(storage, "images/hero.jpg", JPEG)
    await kept(storage, "images/page.png", b"<html>no picture</html>")
    await kept(storage, "images/empty.png", b"")
    await kept(storage, "images/strange.png", bytes(range(1, 200)))
    await kept(storage, "images/other.jpg", JPEG, scene_id="two")
    media = [
        Media(role=Role.REFERENCE, uri="https://example.com/a.png"),
        asset("images/hero.jpg"),
        asset("images/page.png"),
        asset("images/empty.png"),
        asset("images/strange.png"),
        asset("images/hero.jpg", Role.SOURCE_VIDEO),
        asset("images/other.jpg"),
        asset("images/other.jpg", scene_id="two"),
    ]

    async with checking(storage) as check:
        with pytest.raises(InvalidRequest) as caught:
            await check.check("film", "one", media)

    assert not isinstance(caught.value, AssetsMissing)
    assert {error.field: error.description.partition(";")[0] for error in caught.value.field_errors} == {
        "media[2].asset": "the file is text/html, not a picture",
        "media[3].asset": "the picture is empty",
        "media[4].asset": "the picture's format is not one that can be read",
        "media[5].asset": "the file is image/jpeg, not a video or sound that can be read",
        "media[6].asset": "the scene film/one has no images/other.jpg",
    }


async def test_where_files_are_missing_and_all_else_is_well_they_are_not_found() -> None:
    async with checking(Held()) as check:
        with pytest.raises(AssetsMissing) as caught:
            await check.check("film", "one", [asset("images/a.png"), asset("images/b.png")])

    assert [error.field for error in caught.value.field_errors] == ["media[0].asset", "media[1].asset"]


async def test_a_storage_that_fails_or_hangs_holds_no_request_up() -> None:
    storage = Held()
    storage.broken = True
    async with checking(storage) as check:
        await check.check("film", "one", [asset("images/hero.jpg")])
    storage.broken, storage.held["film"] = False, asyncio.Event()

    async with checking(storage, seconds=0.02) as check, asyncio.timeout(LONG):
        for _ in range(AT_ONCE):
            await check.check("film", "one", [asset("images/hero.jpg")])
        begun, storage.begun = storage.begun - 1, 0
        storage.held["film"].set()

    # A read that hangs keeps its place, so that half of all places is all that one project can take.
    assert begun == AT_ONCE // 2


async def test_a_project_whose_reads_hang_leaves_places_for_another() -> None:
    storage = Held()
    storage.held["greedy"] = asyncio.Event()
    await kept(storage, "images/hero.jpg", JPEG)

    async with checking(storage) as check, asyncio.timeout(LONG), asyncio.TaskGroup() as group:
        many = [asset(f"images/{number}.jpg") for number in range(4 * AT_ONCE)]
        greedy = group.create_task(check.check("greedy", "one", many))
        with pytest.raises(AssetsMissing):
            await check.check("film", "one", [asset("images/hero.jpg"), asset("images/none.jpg")])
        assert not greedy.done()
        greedy.cancel()
        storage.held["greedy"].set()
