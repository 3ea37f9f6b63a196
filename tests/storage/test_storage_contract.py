"""What every engine promises, run over all of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta

import pytest
from aiohttp import ClientSession
from google_crc32c import value as crc32c_of
from yarl import URL

from evergreen_storage import (
    AlreadyExists,
    BodyMismatch,
    Conflict,
    InvalidKey,
    NotFound,
    Storage,
    TooLarge,
)
from tests.storage.bodies import MIB, keys
from tests.storage.conftest import HOSTILE

KEY = "projects/p/s/videos/clip.mp4"
BODY = bytes(range(256)) * 4096 * 3


async def chunks_of(data: bytes, *, size: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def read(storage: Storage, key: str = KEY, *, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([block async for block in storage.stream(key, start=start, end=end)])


async def test_a_small_object_comes_back_as_it_was_put(storage: Storage) -> None:
    put = await storage.put(KEY, b"one", content_type="video/mp4")

    data, got = await storage.get(KEY, max_bytes=3)

    assert data == b"one"
    assert (put.key, put.size, put.crc32c, put.content_type) == (KEY, 3, crc32c_of(b"one"), "video/mp4")
    assert got == put


async def test_a_stream_comes_back_as_it_was_put(storage: Storage) -> None:
    put = await storage.put_stream(KEY, chunks_of(BODY), size=len(BODY), crc32c=crc32c_of(BODY))

    assert await read(storage) == BODY
    assert (put.size, put.crc32c, put.content_type) == (len(BODY), crc32c_of(BODY), "video/mp4")
    stat = await storage.stat(KEY)
    assert stat is not None
    assert (stat.key, stat.size, stat.modified, stat.content_type) == (KEY, len(BODY), put.modified, "video/mp4")


async def test_an_empty_stream_is_an_empty_object(storage: Storage) -> None:
    await storage.put_stream(KEY, chunks_of(b""), size=0)

    assert await storage.get(KEY, max_bytes=0) == (b"", (await storage.get(KEY, max_bytes=0))[1])
    assert await read(storage) == b""


@pytest.mark.parametrize(
    ("start", "end"), [(0, 10), (5, None), (MIB - 1, MIB + 1), (len(BODY), None), (len(BODY) + 5, None), (7, 10**9)]
)
async def test_a_part_of_an_object_is_read_by_its_bounds(storage: Storage, start: int, end: int | None) -> None:
    await storage.put_stream(KEY, chunks_of(BODY), size=None)

    assert await read(storage, start=start, end=end) == BODY[start:end]


async def test_a_reader_may_stop_early(storage: Storage) -> None:
    await storage.put_stream(KEY, chunks_of(BODY), size=None)
    async with aclosing(storage.stream(KEY)) as blocks:
        assert BODY.startswith(await anext(blocks))
    await storage.delete(KEY)


async def test_what_is_not_there_is_not_found(storage: Storage) -> None:
    assert await storage.stat(KEY) is None
    with pytest.raises(NotFound):
        await storage.get(KEY, max_bytes=1)
    with pytest.raises(NotFound):
        await read(storage)
    with pytest.raises(NotFound):
        async with storage.local_path(KEY):
            raise AssertionError("a path to nothing")
    assert await keys(storage, "projects/none/") == []


async def test_an_object_above_the_readers_bound_is_refused(storage: Storage) -> None:
    await storage.put(KEY, b"four")

    with pytest.raises(TooLarge):
        await storage.get(KEY, max_bytes=3)


async def test_a_torn_stream_leaves_nothing(storage: Storage) -> None:
    async def torn() -> AsyncIterator[bytes]:
        yield bytes(2 * MIB)
        raise ConnectionResetError("the source broke")

    with pytest.raises(ConnectionResetError):
        await storage.put_stream(KEY, torn(), size=None)

    assert await keys(storage) == []


@pytest.mark.parametrize("wrong", [{"size": 4}, {"size": 6}, {"size": 5, "crc32c": 1}, {"size": None, "crc32c": 1}])
async def test_a_body_that_is_not_the_announced_one_leaves_nothing(storage: Storage, wrong: dict[str, int]) -> None:
    with pytest.raises(BodyMismatch):
        await storage.put_stream(KEY, chunks_of(b"12345"), **wrong)  # type: ignore[arg-type]  # parametrised

    assert await keys(storage) == []


@pytest.mark.parametrize("if_absent", [False, True])
@pytest.mark.parametrize("data", [b"small", BODY * 3], ids=["small", "of several parts"])
async def test_a_body_is_told_of_before_its_name_appears(storage: Storage, data: bytes, if_absent: bool) -> None:
    told: list[tuple[int, int, object]] = []

    async def sealed(size: int, crc32c: int) -> None:
        told.append((size, crc32c, await storage.stat(KEY)))

    await storage.put_stream(KEY, chunks_of(data), size=None, if_absent=if_absent, sealed=sealed)

    assert told == [(len(data), crc32c_of(data), None)]
    assert await read(storage) == data


@pytest.mark.parametrize("if_absent", [False, True])
@pytest.mark.parametrize("data", [b"small", BODY * 3], ids=["small", "of several parts"])
async def test_what_may_not_have_its_name_leaves_nothing(storage: Storage, data: bytes, if_absent: bool) -> None:
    async def sealed(_size: int, _crc32c: int) -> None:
        raise PermissionError("not this one")

    with pytest.raises(PermissionError):
        await storage.put_stream(KEY, chunks_of(data), size=None, if_absent=if_absent, sealed=sealed)

    assert await keys(storage) == []


async def test_an_endless_body_is_refused_at_its_announced_length(storage: Storage) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(MIB)

    with pytest.raises(BodyMismatch):
        await storage.put_stream(KEY, endless(), size=3 * MIB)


async def test_a_failed_replacement_leaves_the_old_object(storage: Storage) -> None:
    await storage.put(KEY, b"old")

    with pytest.raises(BodyMismatch):
        await storage.put_stream(KEY, chunks_of(b"new"), size=9)

    assert await read(storage) == b"old"


async def test_a_cancelled_stream_leaves_nothing(storage: Storage) -> None:
    reached = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield bytes(2 * MIB)
        reached.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(storage.put_stream(KEY, slow(), size=None))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await keys(storage) == []


async def test_of_sixteen_creators_one_wins(storage: Storage) -> None:
    async def create(number: int) -> int | None:
        body = bytes([number]) * MIB
        try:
            if number % 2:
                await storage.put(KEY, body, if_absent=True)
            else:
                await storage.put_stream(KEY, chunks_of(body), size=MIB, if_absent=True)
        except AlreadyExists:
            return None
        return number

    winners = [number for number in await asyncio.gather(*map(create, range(16))) if number is not None]

    assert len(winners) == 1
    assert await read(storage) == bytes(winners) * MIB


async def test_of_sixteen_that_count_none_is_lost(storage: Storage) -> None:
    await storage.put(KEY, b"0")

    async def count() -> None:
        while True:
            data, meta = await storage.get(KEY, max_bytes=10)
            try:
                await storage.put(KEY, b"%d" % (int(data) + 1), if_token=meta.token)
                return
            except Conflict:
                continue

    await asyncio.gather(*(count() for _ in range(16)))

    assert await read(storage) == b"16"


async def test_a_stale_token_is_refused(storage: Storage) -> None:
    first = await storage.put(KEY, b"1")
    second = await storage.put(KEY, b"2", if_token=first.token)

    with pytest.raises(Conflict):
        await storage.put(KEY, b"3", if_token=first.token)
    await storage.delete(KEY)
    with pytest.raises(Conflict):
        await storage.put(KEY, b"3", if_token=second.token)


async def test_deleting_twice_is_deleting_once(storage: Storage) -> None:
    await storage.put(KEY, b"1")

    await storage.delete(KEY)
    await storage.delete(KEY)

    assert await storage.stat(KEY) is None


async def test_a_listing_is_sorted_by_key_through_all_folders(storage: Storage) -> None:
    names = ["a/b/c", "a/b.c", "a/b-c", "a/b0", "a/B", "b", "a/b/a", "a/bb/c"]
    for name in names:
        await storage.put(name, b"")

    assert await keys(storage) == sorted(names)
    assert await keys(storage, "a/b/") == ["a/b/a", "a/b/c"]
    for after in names:
        assert await keys(storage, after=after) == sorted(name for name in names if name > after)


async def test_a_delimited_listing_shows_one_level(storage: Storage) -> None:
    for name in ["p/a-b/x", "p/a/x", "p/a/y", "p/b", "p/c/d/e", "q/z"]:
        await storage.put(name, b"")

    assert await keys(storage, "p/", delimiter=True) == ["p/a-b/", "p/a/", "p/b", "p/c/"]
    assert await keys(storage, "p/", delimiter=True, after="p/a/") == ["p/b", "p/c/"]
    assert await keys(storage, "p/", delimiter=True, after="p/a-b/") == ["p/a/", "p/b", "p/c/"]
    assert await keys(storage, delimiter=True) == ["p/", "q/"]


async def test_a_sweep_leaves_what_is_whole(storage: Storage) -> None:
    await storage.put(KEY, b"whole")

    assert await storage.sweep() == 0
    assert await read(storage) == b"whole"


async def test_a_local_path_holds_the_object(storage: Storage) -> None:
    await storage.put(KEY, b"clip")

    async with storage.local_path(KEY) as path:
        assert path.name == "clip.mp4"
        assert path.read_bytes() == b"clip"


async def test_a_hostile_key_is_refused_everywhere(storage: Storage) -> None:
    plain = [name for name in HOSTILE if "/" not in name]
    for key in [*plain, *(f"projects/{name}/x" for name in plain), "projects/../x", "/x", "a/../b", "a//b"]:
        with pytest.raises(InvalidKey):
            await storage.put(key, b"x")
        with pytest.raises(InvalidKey):
            await storage.put_stream(key, chunks_of(b"x"), size=1)
        with pytest.raises(InvalidKey):
            await storage.get(key, max_bytes=1)
        with pytest.raises(InvalidKey):
            await read(storage, key)
        with pytest.raises(InvalidKey):
            await storage.stat(key)
        with pytest.raises(InvalidKey):
            await storage.delete(key)
        with pytest.raises(InvalidKey):
            await storage.sign(key, ttl=timedelta(minutes=1))
        with pytest.raises(InvalidKey):
            await storage.make_folders([f"{key}/"])
        with pytest.raises(InvalidKey):
            await keys(storage, f"{key}/")
        with pytest.raises(InvalidKey):
            async with storage.local_path(key):
                raise AssertionError("a path for a hostile key")


async def test_a_signed_url_reads_without_credentials_and_where_there_is_none_it_says_so(
    storage: Storage, signs: bool
) -> None:
    await storage.put(KEY, b"clip", content_type="video/x-test")

    url = await storage.sign(KEY, ttl=timedelta(minutes=1))

    assert (url is not None) == signs
    if url is not None:
        async with ClientSession() as session, session.get(URL(url, encoded=True)) as answer:
            assert (answer.status, await answer.read()) == (200, b"clip")
            assert answer.headers["Content-Type"] == "video/x-test"


async def test_clear_takes_all_below_a_folder_but_what_is_to_be_kept(storage: Storage) -> None:
    for key in ("a/x/1", "a/x/y/2", "a/keep", "a.b", "a-b/3", "b/4"):
        await storage.put(key, b"data")

    assert list(await storage.clear("a/", keep="a/keep")) == []
    kept = [meta.key async for meta in storage.list("")]
    assert list(await storage.clear("a/")) == []
    assert list(await storage.clear("a/")) == []

    assert kept == ["a-b/3", "a.b", "a/keep", "b/4"]
    assert [meta.key async for meta in storage.list("")] == ["a-b/3", "a.b", "b/4"]
