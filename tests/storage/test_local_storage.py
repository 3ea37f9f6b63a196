"""What only real files can get wrong."""

import asyncio
import fcntl
import os
import stat
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evergreen_storage import AlreadyExists, InvalidKey, LocalStorage, NameTaken, NotFound, Unavailable
from evergreen_storage.engines.descriptors import LOCK
from evergreen_storage.engines.disk import Disk, Traits
from evergreen_storage.threads import Threads
from tests.storage.bodies import keys

Child = Callable[..., AbstractAsyncContextManager[Process]]

KEY = "projects/p/s/videos/clip.mp4"


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


async def one(data: bytes) -> AsyncIterator[bytes]:
    yield data


def later(days: int) -> Callable[[], datetime]:
    return lambda: datetime.now(UTC) + timedelta(days=days)


async def test_an_object_is_a_plain_file_that_others_may_read(local: LocalStorage, tmp_path: Path) -> None:
    await local.put_stream(KEY, one(b"clip"), size=4, if_absent=True)

    file = tmp_path / "root" / KEY
    assert file.read_bytes() == b"clip"
    assert stat.S_IMODE(file.stat().st_mode) & 0o044 == 0o044
    assert file.stat().st_nlink == 1
    assert files(tmp_path / "root") == [KEY]


async def test_a_file_is_streamed_alike_from_memory_and_from_the_disk(local: LocalStorage, tmp_path: Path) -> None:
    body = os.urandom(5 << 20)
    await local.put_stream(KEY, one(body), size=len(body))
    # Its end and its middle are given up by the system, as far as that listens; its beginning is still in memory.
    with (tmp_path / "root" / KEY).open("rb") as file:
        file.read(1 << 20)
        os.posix_fadvise(file.fileno(), 2 << 20, 0, os.POSIX_FADV_DONTNEED)

    for start, end in ((0, None), (1, 5 << 20), (3 << 20, (4 << 20) + 7), (len(body) - 1, None)):
        assert b"".join([block async for block in local.stream(KEY, start=start, end=end)]) == body[start:end]


async def test_whoever_reads_a_long_file_from_memory_lets_others_run_between_its_blocks(local: LocalStorage) -> None:
    await local.put_stream(KEY, one(bytes(8 << 20)), size=8 << 20)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    running = asyncio.create_task(others())
    seen = [turns async for _ in local.stream(KEY)]
    running.cancel()
    await asyncio.wait({running})

    assert len(seen) >= 8
    assert seen == sorted(set(seen)), "after each block somebody else had a turn"


async def test_a_local_path_is_the_file_itself(local: LocalStorage, tmp_path: Path) -> None:
    await local.put(KEY, b"clip")

    async with local.local_path(KEY) as path:
        assert path == tmp_path / "root" / KEY


async def test_a_killed_writer_leaves_only_what_the_sweep_removes(tmp_path: Path, child: Child) -> None:
    root = tmp_path / "root"
    async with child("hang", root.as_uri()) as process:
        assert process.stdout is not None
        await process.stdout.readline()
        process.kill()
        await process.wait()

    assert len(files(root)) == 1
    young = await LocalStorage.open(root, clock=later(days=0))
    assert await keys(young) == []
    assert await young.stat(KEY) is None
    assert len(files(root)) == 1
    await young.put(KEY, b"whole")
    await young.close()
    old = await LocalStorage.open(root, clock=later(days=2))
    assert [name for name in files(root) if name.endswith(".part")] == []
    assert await keys(old) == [KEY]
    await old.close()


async def test_a_full_disk_is_unavailable_and_leaves_nothing(tmp_path: Path, child: Child) -> None:
    async with child("starve", (tmp_path / "root").as_uri()) as process:
        output, _ = await process.communicate()

    lines = output.decode().splitlines()
    assert len(lines) == 2
    assert all(KEY in line and "(EFBIG)" in line and str(tmp_path) not in line for line in lines)
    assert files(tmp_path / "root") == []


async def test_a_large_body_takes_little_memory(tmp_path: Path, child: Child) -> None:
    async with child("carry", (tmp_path / "root").as_uri(), "{}", "256") as process:
        output, _ = await process.communicate()

    read, grown = map(int, output.split())
    assert read == 256
    assert grown < 32


async def test_a_file_in_place_of_a_folder_is_unavailable(local: LocalStorage, tmp_path: Path) -> None:
    (tmp_path / "root/projects").write_text("in the way")

    with pytest.raises(Unavailable, match="ENOTDIR") as fault:
        await local.put(KEY, b"x")
    with pytest.raises(Unavailable, match="ENOTDIR"):
        await local.put_stream(KEY, one(b"x"), size=1)
    with pytest.raises(Unavailable, match="ENOTDIR"):
        await local.make_folders(["projects/p/"])

    assert fault.value.errno is not None
    assert str(tmp_path) not in str(fault.value)
    assert await local.stat(KEY) is None
    assert await keys(local, "projects/p/") == []


async def test_a_folder_in_place_of_a_file_is_unavailable_and_not_an_object(
    local: LocalStorage, tmp_path: Path
) -> None:
    (tmp_path / "root" / KEY).mkdir(parents=True)

    with pytest.raises(Unavailable, match="EISDIR"):
        await local.put(KEY, b"x")
    with pytest.raises(AlreadyExists):
        await local.put(KEY, b"x", if_absent=True)
    with pytest.raises(NotFound):
        await local.get(KEY, max_bytes=1)
    assert files(tmp_path / "root") == ["projects/p/s/videos/.lock"]


async def test_a_root_that_vanished_is_unavailable(local: LocalStorage, tmp_path: Path) -> None:
    (tmp_path / "root").rename(tmp_path / "gone")

    with pytest.raises(Unavailable):
        await local.put(KEY, b"x")
    with pytest.raises(Unavailable):
        await local.stat(KEY)
    with pytest.raises(Unavailable):
        await keys(local)


async def test_a_root_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(Unavailable, match="ENOTDIR"):
        await LocalStorage.open(tmp_path / "file/root", clock=later(days=0))
    with pytest.raises(Unavailable, match="EEXIST"):
        await LocalStorage.open(tmp_path / "file", clock=later(days=0))


async def test_a_root_where_nobody_may_write_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await LocalStorage.open(Path("/proc/self"), clock=later(days=0))


async def test_no_link_leads_out_of_the_root(local: LocalStorage, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.mp4").write_bytes(b"secret")
    root = tmp_path / "root"
    (root / "projects/p/s/videos").mkdir(parents=True)
    (root / "projects/linked").symlink_to(outside)
    (root / "projects/p/s/videos/linked.mp4").symlink_to(outside / "secret.mp4")

    for key in ("projects/linked/secret.mp4", "projects/p/s/videos/linked.mp4"):
        with pytest.raises(InvalidKey):
            await local.get(key, max_bytes=10)
        with pytest.raises(InvalidKey):
            async with aclosing(local.stream(key)) as blocks:
                await anext(blocks)
        with pytest.raises(InvalidKey):
            async with local.local_path(key):
                raise AssertionError("a path through a link")
    with pytest.raises(InvalidKey):
        await local.put("projects/linked/new.mp4", b"x")
    with pytest.raises(InvalidKey):
        await local.delete("projects/linked/secret.mp4")
    await local.put("projects/p/s/videos/linked.mp4", b"ours now")

    assert await keys(local) == ["projects/p/s/videos/linked.mp4"]
    assert files(outside) == ["secret.mp4"]
    assert (outside / "secret.mp4").read_bytes() == b"secret"


async def test_foreign_files_are_left_out_and_left_alone(local: LocalStorage, tmp_path: Path) -> None:
    await local.put(KEY, b"x", if_absent=True)
    videos = tmp_path / "root/projects/p/s/videos"
    for name in (".DS_Store", "my clip.mp4", "é.mp4", ".clip.mp4.0123456789abcdef.part", "CON.mp4"):
        (videos / name).write_bytes(b"foreign")
    os.mkfifo(videos / "pipe.mp4")

    assert await keys(local) == [KEY]
    assert await local.stat("projects/p/s/videos/pipe.mp4") is None
    assert len(list(videos.iterdir())) == 7


async def test_made_folders_are_real(local: LocalStorage, tmp_path: Path) -> None:
    await local.make_folders(["projects/p/s/images/", "projects/p/s/videos/"])
    await local.make_folders(["projects/p/s/images/"])

    assert (tmp_path / "root/projects/p/s/images").is_dir()
    assert (tmp_path / "root/projects/p/s/videos").is_dir()


async def test_where_case_does_not_tell_a_second_spelling_is_refused(tmp_path: Path) -> None:
    traits = Traits(case_sensitive=False, hard_links=True)
    local = await LocalStorage.open(tmp_path, clock=later(days=0), traits=traits)
    await local.put("projects/Demo/s/videos/Clip.mp4", b"x")

    for key in ("projects/demo/s/videos/Clip.mp4", "projects/Demo/s/videos/clip.mp4"):
        with pytest.raises(NameTaken, match="differs only by case"):
            await local.put(key, b"y")
        with pytest.raises(InvalidKey, match="differs only by case"):
            await local.stat(key)
    with pytest.raises(InvalidKey, match="differs only by case"):
        await local.make_folders(["projects/DEMO/"])
    await local.put("projects/Demo/s/videos/Clip.mp4", b"again")

    assert files(tmp_path) == ["projects/Demo/s/videos/.lock", "projects/Demo/s/videos/Clip.mp4"]
    await local.close()


async def test_where_files_have_one_name_only_creating_still_excludes(tmp_path: Path) -> None:
    traits = Traits(case_sensitive=True, hard_links=False)
    local = await LocalStorage.open(tmp_path, clock=later(days=0), traits=traits)
    await local.put(KEY, b"first", if_absent=True)

    with pytest.raises(AlreadyExists):
        await local.put_stream(KEY, one(b"second"), size=6, if_absent=True)

    assert (tmp_path / KEY).read_bytes() == b"first"
    assert [name for name in files(tmp_path) if name.endswith(".part")] == []
    await local.close()


async def test_a_stream_cancelled_at_any_moment_is_whole_or_gone(local: LocalStorage, tmp_path: Path) -> None:
    body = bytes(range(256)) * 4096 * 4

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1 << 20):
            yield body[start : start + (1 << 20)]

    for turns in range(30):
        key = f"clips/{turns}.mp4"
        task = asyncio.create_task(local.put_stream(key, chunks(), size=len(body), if_absent=True))
        # Each turn of the loop ends with whatever a thread has finished meanwhile.
        for _ in range(turns):
            await local.stat(key)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            assert (await task).size == len(body)
        for name in files(tmp_path / "root"):
            assert name == key
            assert (tmp_path / "root" / name).read_bytes() == body
        await local.delete(key)
        (tmp_path / "root/clips/.lock").unlink(missing_ok=True)


class KeepsOpenFiles(Disk):
    """A disk as NFS and FUSE have it: while a file is open somewhere, removing it only gives it another name."""

    open = True

    def unlink(self, name: str, folder: int) -> None:
        if self.open and name == LOCK:
            os.rename(name, ".fuse_hidden0000000100000001", src_dir_fd=folder, dst_dir_fd=folder)
        elif not self.open or not name.startswith(".fuse_hidden"):
            os.unlink(name, dir_fd=folder)


async def test_a_folder_with_a_file_that_is_open_somewhere_goes_with_the_next_sweep(tmp_path: Path) -> None:
    disk = KeepsOpenFiles(tmp_path, traits=Traits(case_sensitive=True, hard_links=True))
    storage = LocalStorage(disk=disk, threads=Threads(size=1), clock=lambda: datetime.now(UTC))
    await storage.put("projects/p/s/a", b"data")
    await storage.delete("projects/p/s/a")

    left = await storage.clear("projects/p/s/")
    [hidden] = (tmp_path / "projects/p").iterdir()
    disk.open = False
    swept = await storage.sweep()
    await storage.close()

    assert list(left) == []
    assert hidden.name.endswith(".gone")
    assert (swept, list((tmp_path / "projects/p").iterdir())) == (1, [])


async def test_a_file_that_becomes_shorter_while_it_is_read_is_not_taken_for_a_whole_one(
    tmp_path: Path, local: LocalStorage
) -> None:
    await local.put(KEY, bytes(3 << 20))

    async def read() -> None:
        async for _ in local.stream(KEY):
            os.truncate(tmp_path / "root" / KEY, 1)

    with pytest.raises(Unavailable, match="became shorter"):
        await read()


async def test_a_writer_that_waited_for_a_lock_that_is_removed_by_then_takes_the_new_one(
    tmp_path: Path, local: LocalStorage
) -> None:
    token = (await local.put(KEY, b"old")).token
    path = (tmp_path / "root" / KEY).with_name(LOCK)

    def wait_until_opened_twice() -> None:
        links: list[str] = []
        while links.count(str(path)) < 2:
            links = [os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]

    with path.open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        writing = asyncio.create_task(local.put(KEY, b"new", if_token=token))
        await asyncio.to_thread(wait_until_opened_twice)
        path.unlink()
    await writing

    assert (await local.get(KEY, max_bytes=3))[0] == b"new"
    assert path.exists()
