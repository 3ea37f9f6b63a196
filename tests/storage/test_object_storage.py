"""What only object stores can get wrong: uploads left behind, other people's keys, and a store that fails."""

import asyncio
import json
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta

import pytest
from aiohttp import ClientSession, web
from google_crc32c import value as crc32c_of
from yarl import URL

from evergreen_server.runtime.turns import Turns
from evergreen_storage import (
    AlreadyExists,
    BodyMismatch,
    Conflict,
    SceneStore,
    Unavailable,
    open_storage,
)
from evergreen_storage.engines.serialized import SerializedStorage
from tests.storage.bodies import MIB, blocks, keys
from tests.storage.conftest import Clock
from tests.storage.emulators import Bucket, Emulator
from tests.storage.proxy import Act, Proxy

Child = Callable[..., AbstractAsyncContextManager[Process]]

KEY = "projects/p/s/videos/clip.mp4"
FOLDER = "team/files/projects/p/s/"


async def test_a_long_body_is_stored_in_parts_and_none_is_left(bucket: Bucket) -> None:
    data = b"".join([block async for block in blocks(17)])
    async with open_storage(bucket.url, **bucket.options) as storage:
        put = await storage.put_stream(
            KEY, blocks(17), size=17 * MIB, crc32c=crc32c_of(data), content_type="video/x-long", if_absent=True
        )

        found, got = await storage.get(KEY, max_bytes=len(data))

    assert found == data
    assert (put.size, put.crc32c, put.modified) == (got.size, got.crc32c, got.modified)
    assert got.content_type == "video/x-long"
    assert bucket.listed() == [f"{FOLDER}videos/clip.mp4"]
    assert bucket.uploads() == []


async def test_a_long_body_that_fails_in_any_way_leaves_no_object_and_no_upload(bucket: Bucket) -> None:
    reached = asyncio.Event()

    async def torn() -> AsyncIterator[bytes]:
        async for block in blocks(12):
            yield block
        raise ConnectionResetError("the source broke")

    async def endless() -> AsyncIterator[bytes]:
        async for block in blocks(12):
            yield block
        reached.set()
        await asyncio.Event().wait()

    async with open_storage(bucket.url, **bucket.options) as storage:
        with pytest.raises(ConnectionResetError):
            await storage.put_stream(KEY, torn(), size=None)
        with pytest.raises(BodyMismatch):
            await storage.put_stream(KEY, blocks(12), size=12 * MIB + 1)
        with pytest.raises(BodyMismatch):
            await storage.put_stream(KEY, blocks(12), size=11 * MIB)
        with pytest.raises(BodyMismatch):
            await storage.put_stream(KEY, blocks(12), size=None, crc32c=1)
        task = asyncio.create_task(storage.put_stream(KEY, endless(), size=None))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert await storage.stat(KEY) is None
    assert bucket.listed() == []
    if not bucket.url.startswith("az"):  # blocks that no list names end by themselves there
        assert bucket.uploads() == []


async def test_of_sixteen_creators_of_a_long_body_one_wins(bucket: Bucket) -> None:
    async def body(number: int) -> AsyncIterator[bytes]:
        for _ in range(6):
            yield bytes([number]) * MIB

    async with open_storage(bucket.url, **bucket.options) as storage:

        async def create(number: int) -> int | None:
            try:
                await storage.put_stream(KEY, body(number), size=None, if_absent=True)
            except AlreadyExists:
                return None
            return number

        results = await asyncio.gather(*map(create, range(16)))
        winners = [number for number in results if number is not None]
        data, _ = await storage.get(KEY, max_bytes=6 * MIB)

    assert len(winners) == 1
    assert data == bytes(winners) * 6 * MIB
    if not bucket.url.startswith("az"):
        assert bucket.uploads() == []


async def test_bodies_that_never_end_hold_up_only_their_own_projects_files(
    emulators: Callable[[str], Emulator],
) -> None:
    bucket, end, begun = emulators("s3").bucket(), asyncio.Event(), 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal begun
        begun += 1
        yield b"a first byte"
        await end.wait()

    async with open_storage(bucket.url, upload_turn=Turns(16).of, **bucket.options) as storage:
        async with asyncio.TaskGroup() as group:
            for number in range(40):
                greedy = f"projects/greedy/s/videos/{number}.mp4"
                group.create_task(storage.put_stream(greedy, endless(), size=None))
            async with asyncio.timeout(60):
                for number in range(3):
                    await storage.put_stream(KEY.replace("clip", f"{number}"), blocks(7), size=None, if_absent=True)
            assert begun == 8, "alone it has half of the places"
            end.set()

        assert len(await keys(storage)) == 43


async def test_a_large_body_takes_little_memory(bucket: Bucket, child: Child) -> None:
    async with child("carry", bucket.url, json.dumps(dict(bucket.options)), "64") as process:
        output, _ = await process.communicate()

    read, grown = map(int, output.split())
    assert read == 64
    assert grown < 32


async def test_a_killed_writer_leaves_no_object(bucket: Bucket, child: Child) -> None:
    async with child("hang", bucket.url, json.dumps(dict(bucket.options)), "12") as process:
        assert process.stdout is not None
        await process.stdout.readline()
        process.kill()
        await process.wait()

    assert [key for key in bucket.listed() if "clip" in key] == []


FOREIGN = [
    "team/files/projects/p/s/",
    "team/files/projects/p/s/images/",
    "team/files/projects/p/s/videos/",
    "team/files/projects/p/s/videos/my clip (1).mp4",
    "team/files/projects/p/s/videos/é.mp4",
    "team/files/projects/p/s/videos/.keep",
    "team/files/notes.txt",
    "team/other",
    "../x",
]


@pytest.mark.parametrize(
    "bad",
    [
        "team/files/projects/p/s/videos/../x",
        "team/files/projects/p/s/videos//x",
        "team/files/projects/p/s/./x",
        "team/files/projects/p/../x",
        "team/files//x",
    ],
)
async def test_foreign_keys_break_no_listing_and_go_with_their_scene_or_are_told_of(
    bucket: Bucket, clock: Clock, bad: str
) -> None:
    foreign = [bad, *FOREIGN]
    for key in foreign:
        bucket.put(key, b"" if key.endswith("/") else b"foreign")
    put = bucket.listed()
    async with open_storage(bucket.url, clock=clock, **bucket.options) as storage:
        scenes = SceneStore(storage, clock=clock)
        made = await scenes.add("p", "s", "videos/clip.mp4", b"clip", "video/mp4")
        await scenes.add("p", "s", "videos/0", b"zero", "video/mp4")
        await scenes.record_request("p", "s", "job-1", [made])
        await scenes.create("p", "t")

        assert await keys(storage) == [
            "notes.txt",
            "projects/p/s/metadata/scene.json",
            "projects/p/s/videos/0",
            "projects/p/s/videos/clip.mp4",
            "projects/p/t/metadata/scene.json",
        ]
        assert await keys(storage, "projects/p/s/videos/") == ["projects/p/s/videos/0", "projects/p/s/videos/clip.mp4"]
        assert await keys(storage, "projects/p/s/videos/", after="projects/p/s/videos/0") == [
            "projects/p/s/videos/clip.mp4"
        ]
        assert await keys(storage, "projects/p/", delimiter=True) == ["projects/p/s/", "projects/p/t/"]
        assert await keys(storage, "projects/p/", delimiter=True, after="projects/p/s/") == ["projects/p/t/"]
        assert [scene.id for scene in await scenes.list("p", limit=9)] == ["s", "t"]
        await storage.put("projects/p/s/metadata/scene.json", b"broken")
        rebuilt = await scenes.get("p", "s")
        assert [asset.path for asset in rebuilt.videos] == ["videos/0", "videos/clip.mp4"]
        left = [f"team/files/projects/p/s/{path}" for path in await scenes.delete("p", "s")]
        assert list(await scenes.delete("p", "t")) == []

    after = bucket.listed()
    assert [key for key in put if not key.startswith(FOLDER)] == [key for key in after if not key.startswith(FOLDER)]
    # What is left is returned, or is beside a key that is.
    untold = [key for key in after if key.startswith(FOLDER) and key not in left]
    assert all("//" in bad or "/." in bad for _ in untold)
    assert set(left) <= {*after, f"{FOLDER}/"}


async def test_a_delimited_listing_jumps_over_a_long_folder(emulators: Callable[[str], Emulator], proxy: Proxy) -> None:
    bucket = emulators("gs").bucket()
    for number in range(2100):
        bucket.put(f"team/files/projects/p/a/videos/{number:04}", b"x")
    bucket.put("team/files/projects/p/b/videos/0", b"x")
    url, options = proxy.before(bucket)
    async with open_storage(url, **options) as storage:
        proxy.seen.clear()

        assert await keys(storage, "projects/p/", delimiter=True) == ["projects/p/a/", "projects/p/b/"]
        assert len(proxy.seen) == 2


# Azure's conditions are part of what is signed, so that nobody on the way can take them out.
@pytest.mark.parametrize("kind", ["s3", "gs"])
async def test_a_store_that_ignores_conditions_is_found_out_and_made_up_for(
    kind: str,
    emulators: Callable[[str], Emulator],
    proxy: Proxy,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    url, options = proxy.before(emulators(kind).bucket())
    proxy.act = lambda _: "unconditional"
    async with open_storage(url, clock=clock, **options) as storage:
        assert isinstance(storage, SerializedStorage)
        assert "storage does not honour compare-and-swap, so only one process may write to it" in caplog.messages
        first = await storage.put(KEY, b"1", if_absent=True)
        await storage.put(KEY, b"2", if_token=first.token)
        with pytest.raises(Conflict):
            await storage.put(KEY, b"3", if_token=first.token)
        with pytest.raises(AlreadyExists):
            await storage.put(KEY, b"3", if_absent=True)
        writers = [SceneStore(storage, clock=clock) for _ in range(8)]
        await asyncio.gather(*(writer.record_request("p", "s", f"job-{n}") for n, writer in enumerate(writers)))

        assert len((await writers[0].get("p", "s")).video_requests) == 8


async def test_a_store_that_takes_no_token_for_the_right_one_is_made_up_for(
    emulators: Callable[[str], Emulator], proxy: Proxy, clock: Clock
) -> None:
    url, options = proxy.before(emulators("s3").bucket())
    proxy.act = lambda request: 412 if "If-Match" in request.headers else "pass"

    async with open_storage(url, clock=clock, **options) as storage:
        scenes = SceneStore(storage, clock=clock)
        await scenes.record_request("p", "s", "job-1")
        await scenes.record_request("p", "s", "job-2")

        assert (await scenes.get("p", "s")).video_requests == ("job-1", "job-2")


async def test_the_probe_leaves_nothing_behind(bucket: Bucket) -> None:
    async with open_storage(bucket.url, **bucket.options):
        pass

    assert bucket.listed() == []


async def test_a_signed_url_ends_when_it_was_said_to(expiring: str, emulators: Callable[[str], Emulator]) -> None:
    bucket = emulators(expiring).bucket()
    async with open_storage(bucket.url, **bucket.options) as storage, ClientSession() as session:
        await storage.put(KEY, b"clip")
        url = URL(str(await storage.sign(KEY, ttl=timedelta(seconds=2))), encoded=True)
        statuses = []
        async with asyncio.timeout(60):
            while not statuses or statuses[-1] == 200:
                async with session.get(url) as answer:
                    statuses.append(answer.status)

    assert statuses[0] == 200
    assert statuses[-1] in (400, 403)


@pytest.mark.parametrize("kind", ["s3", "gs"])
async def test_a_lock_is_held_from_the_look_to_the_end_of_a_long_new_object(
    kind: str, emulators: Callable[[str], Emulator], proxy: Proxy
) -> None:
    url, options = proxy.before(emulators(kind).bucket())
    held: list[str] = []
    done: list[tuple[str, bool]] = []
    lost = False

    def act(request: web.Request) -> Act:
        if request.method == "HEAD" or (request.method == "POST" and "uploadId" in request.query):
            done.append((request.method, bool(held)))
        return "pass"

    @asynccontextmanager
    async def lock(key: str) -> AsyncIterator[Callable[[], None]]:
        def check() -> None:
            if lost:
                raise Unavailable("the lock was lost")

        held.append(key)
        try:
            yield check
        finally:
            held.remove(key)

    async with open_storage(url, lock=lock, **options) as storage:
        proxy.act = act
        await storage.put_stream(KEY, blocks(6), size=None, if_absent=True)
        with pytest.raises(AlreadyExists):
            await storage.put_stream(KEY, blocks(6), size=None, if_absent=True)
        lost = True
        with pytest.raises(Unavailable, match="lost"):
            await storage.put_stream(f"{KEY}-2", blocks(6), size=None, if_absent=True)

    assert ("HEAD", True) in done
    assert [entry for entry in done if entry[0] == "POST"] == [("POST", True)]
    assert held == []


async def test_the_first_file_of_a_scene_is_not_read_again(
    emulators: Callable[[str], Emulator], proxy: Proxy, clock: Clock
) -> None:
    url, options = proxy.before(emulators("s3").bucket())
    async with open_storage(url, clock=clock, **options) as storage:
        scenes = SceneStore(storage, clock=clock)
        await scenes.add("p", "s", "exports/unknown.bin", b"x", "application/octet-stream")
        asset = await scenes.add_stream("p", "s", "exports/known.bin", blocks(6), None, "application/octet-stream")
        proxy.seen.clear()

        scene = await scenes.attach("p", "s", [asset])

    assert [found.path for found in scene.exports] == ["exports/known.bin", "exports/unknown.bin"]
    assert scene.asset("exports/known.bin") == asset
    read = [target.rpartition("/")[2] for method, target in proxy.seen if method == "GET" and ".bin" in target]
    assert read == ["unknown.bin"]


async def test_clear_takes_foreign_keys_and_tells_of_those_that_cannot_be_named(bucket: Bucket) -> None:
    foreign = ["a b", "a+b", "a%2Fb", "%41", "é", "日本/x y", "q'\"", "[x]*?", "sub/in ner/+", ".hidden", "images/é"]
    for key in [*foreign, "images/1.png"]:
        bucket.put(f"team/files/s/{key}", b"theirs")
    bucket.put("team/files/s2/a b", b"theirs")
    unnamed = ["d//b", "deep/e//f"]
    for key in unnamed:
        bucket.put(f"team/files/s/{key}", b"theirs")
    async with open_storage(bucket.url, **bucket.options) as storage:
        left = await storage.clear("s/", keep="s/images/1.png")
        again = await storage.clear("s/")

    assert bucket.listed() == ["team/files/s/d//b", "team/files/s/deep/e//f", "team/files/s2/a b"]
    assert list(left) == list(again) == unnamed


async def test_clear_tells_of_the_markers_of_folders(bucket: Bucket) -> None:
    for key in ("s/images/", "s/images/1.png", "s/"):
        bucket.put(f"team/files/{key}", b"")
    async with open_storage(bucket.url, **bucket.options) as storage:
        left = await storage.clear("s/")

    assert bucket.listed() == ["team/files/s/", "team/files/s/images/"]
    # Azure's own is not even listed.
    assert set(left) - {"/"} == {"images/"}


@pytest.mark.parametrize(
    ("content_type", "kept", "disposition"),
    [
        ("video/mp4", "video/mp4", None),
        ("image/png", "image/png", None),
        ("text/plain", "text/plain", "attachment"),
        ("text/HTML; charset=utf-8", "application/octet-stream", "attachment"),
        ("image/svg+xml", "application/octet-stream", "attachment"),
        ("application/pdf", "application/pdf", "attachment"),
    ],
)
@pytest.mark.parametrize("count", [1, 6])
async def test_a_signed_url_shows_nothing_that_a_browser_would_run(
    emulators: Callable[[str], Emulator], content_type: str, kept: str, disposition: str | None, count: int
) -> None:
    bucket = emulators("s3").bucket()
    async with open_storage(bucket.url, **bucket.options) as storage, ClientSession() as session:
        await storage.put_stream(KEY, blocks(count), size=None, content_type=content_type)
        url = await storage.sign(KEY, ttl=timedelta(minutes=1))
        assert url is not None
        async with session.get(URL(url, encoded=True)) as answer:
            headers = answer.headers

    assert (headers["Content-Type"], headers.get("Content-Disposition")) == (kept, disposition)
