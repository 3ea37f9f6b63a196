"""Filesystems of third parties that fail, refuse, report little or report odd things."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import fsspec
import pytest

from evergreen_storage import InvalidKey, NotFound, SceneStore, Storage, StorageError, Unavailable, open_storage
from tests.storage.shelf import Shelf

KEY = "projects/p/s/videos/clip.mp4"

Open = Callable[[type[Shelf]], AbstractAsyncContextManager[Storage]]


@pytest.fixture
def opened(request: pytest.FixtureRequest) -> Open:
    """Opens a storage on a kind of filesystem, each test's on a shelf of its own."""

    @asynccontextmanager
    async def storage(kind: type[Shelf]) -> AsyncIterator[Storage]:
        fsspec.register_implementation("odd", kind, clobber=True)
        async with open_storage("odd://team/files", shelf=request.node.nodeid) as made:
            yield made

    return storage


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (PermissionError(13, "no"), "access was denied"),
        (OSError(5, "Input/output error"), "Input/output error"),
        (OSError(), "OSError"),
        (TimeoutError(), "TimeoutError"),
        (ValueError("https://host.test/x?signature=secret"), "ValueError"),
        (KeyError("secret"), "KeyError"),
    ],
    ids=["denied", "of the system", "bare", "late", "with a secret", "odd"],
)
async def test_whatever_a_filesystem_raises_is_unavailable_and_none_of_its_secrets_told(
    opened: Open, fault: Exception, said: str
) -> None:
    class Failing(Shelf):
        failing = False

        def cp_file(self, path1: str, path2: str, **options: Any) -> None:
            if self.failing:
                raise fault
            super().cp_file(path1, path2, **options)

    async with opened(Failing) as storage:
        await storage.put(KEY, b"old")
        Failing.failing = True

        with pytest.raises(Unavailable) as told:
            await storage.put(KEY, b"new")

        assert said in str(told.value)
        assert "secret" not in str(told.value)
        assert (await storage.get(KEY, max_bytes=3))[0] == b"old"
    # What was written for the new one is gone as well.
    assert [name for shelf in Shelf.shelves.values() for name in shelf if name.endswith(".part")] == []


async def test_where_files_appear_whole_no_other_name_is_written_first(opened: Open) -> None:
    written: list[str] = []

    class Whole(Shelf):
        async_impl = True

        def pipe_file(self, path: str, value: bytes, **options: Any) -> None:
            written.append(path)
            super().pipe_file(path, value, **options)

    async with opened(Whole) as storage:
        await storage.put(KEY, b"a clip")

        assert (await storage.get(KEY, max_bytes=6))[0] == b"a clip"
    assert {name.rpartition("/")[2] for name in written} == {"clip.mp4"}


async def test_a_folder_is_no_object(opened: Open) -> None:
    async with opened(Shelf) as storage:
        await storage.put(KEY, b"a clip")

        assert await storage.stat("projects/p/s") is None
        with pytest.raises(NotFound):
            await storage.get("projects/p/s", max_bytes=10)


async def test_what_no_key_can_name_is_left_out_of_a_listing(opened: Open) -> None:
    class Cluttered(Shelf):
        def ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:
            here = self._strip_protocol(path)
            odd = [(here, "directory"), (f"{here}/.hidden", "file"), (f"{here}/link", "other"), (f"{here}/x/", "file")]
            return [{"name": name, "size": 0, "type": kind} for name, kind in odd] + super().ls(path, True, **options)

    async with opened(Cluttered) as storage:
        await storage.put(KEY, b"a clip")

        assert [meta.key async for meta in storage.list("projects/p/s/videos/")] == [KEY]


async def test_a_listing_of_what_is_no_folder_by_now_is_empty(opened: Open) -> None:
    async with opened(Shelf) as storage:
        assert [meta async for meta in storage.list("projects/nobody/")] == []
        with pytest.raises(InvalidKey, match="must end in '/'"):
            assert [meta async for meta in storage.list("projects")] == []


async def test_a_file_that_becomes_shorter_while_it_is_read_is_not_taken_for_a_whole_one(opened: Open) -> None:
    class Boasting(Shelf):
        def _entry(self, path: str) -> dict[str, Any]:
            return {**super()._entry(path), "size": 100}

    async with opened(Boasting) as storage:
        await storage.put(KEY, b"a clip")

        with pytest.raises(Unavailable, match="became shorter"):
            assert [block async for block in storage.stream(KEY)]
        assert [block async for block in storage.stream(KEY, start=4, end=4)] == []
        with pytest.raises(StorageError):
            async with storage.local_path("projects/p/s/videos/none.mp4"):
                pass


async def test_what_may_not_be_removed_is_told_and_the_rest_is_removed(opened: Open) -> None:
    class Guarded(Shelf):
        def _rm(self, path: str) -> None:
            if path.endswith("/kept.bin"):
                raise PermissionError(13, "no")
            super()._rm(path)
            if path.endswith("/gone.bin"):
                # Another was quicker.
                raise FileNotFoundError(path)

    async with opened(Guarded) as storage:
        scenes = SceneStore(storage, clock=lambda: datetime.now(UTC))
        await scenes.create("p", "s")
        for name in ("kept.bin", "gone.bin", "other.bin"):
            await storage.put(f"projects/p/s/theirs/{name}", b"1")

        left = await scenes.delete("p", "s")

        assert left == ["theirs/kept.bin"]
        assert [meta.key async for meta in storage.list("")] == ["projects/p/s/theirs/kept.bin"]


@pytest.mark.parametrize(
    ("told", "modified"),
    [
        ({"mtime": 1.5}, datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)),
        ({"mtime": datetime(2026, 1, 2)}, datetime(2026, 1, 2, tzinfo=UTC)),
        ({"created": "2026-01-02T00:00:00+00:00"}, datetime(2026, 1, 2, tzinfo=UTC)),
        ({"mtime": ["odd"], "size": None}, datetime(1970, 1, 1, tzinfo=UTC)),
        ({}, datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
async def test_a_time_is_read_in_whatever_form_it_is_told(
    opened: Open, told: dict[str, object], modified: datetime
) -> None:
    class Telling(Shelf):
        def _entry(self, path: str) -> dict[str, Any]:
            return {**super()._entry(path), **told}

    async with opened(Telling) as storage:
        await storage.put(KEY, b"a clip")

        meta = await storage.stat(KEY)

    assert meta is not None
    assert meta.modified == modified
    assert meta.size == (0 if "size" in told else 6)
