"""Copies of objects lie in the folder that the service has for such, and that its next start sweeps."""

import asyncio
import signal
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from evergreen.v1 import scene_pb2
from evergreen_storage import Json, open_storage
from tests.rpc.scenes import CHUNK, info
from tests.serving import Control, ServerProcess
from tests.storage.emulators import Emulator

KEY = "projects/p/s/videos/clip.mp4"


@pytest.mark.parametrize("kind", ["memory", "s3", "fsspec"])
async def test_a_copy_lies_in_the_given_folder_and_goes_with_its_reader(
    kind: str, tmp_path: Path, emulators: Callable[[str], Emulator], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "of the system, and not there"))
    temp_dir = tmp_path / "temp"
    temp_dir.mkdir()
    url, options = "memory://", dict[str, Json]()
    if kind == "s3":
        bucket = emulators("s3").bucket()
        url, options = bucket.url, dict(bucket.options)
    elif kind == "fsspec":
        url = f"fsspec+file://{tmp_path}/files"
    spooled: list[int] = []

    async def chunks() -> AsyncIterator[bytes]:
        yield b"a clip"
        spooled.append(len(list(temp_dir.iterdir())))

    async with open_storage(url, temp_dir=temp_dir, **options) as storage:
        await storage.put_stream(KEY, chunks(), size=6)
        async with storage.local_path(KEY) as path:
            assert path.is_relative_to(temp_dir)
            assert path.read_bytes() == b"a clip"
        assert list(temp_dir.iterdir()) == []
    assert spooled == [1 if kind == "fsspec" else 0]


async def test_what_a_killed_server_had_gathered_is_removed_by_the_next(sandbox: Control, tmp_path: Path) -> None:
    system, temp = tmp_path / "system", tmp_path / "data" / "state" / "temp"
    system.mkdir()
    changes = {"EVERGREEN_STORAGE_URL": f"fsspec+file://{tmp_path}/files", "TMPDIR": str(system)}
    async with ServerProcess(tmp_path / "data", sandbox.url, changes) as server:
        api = await server.start()
        call = api.scene.UploadAsset()
        await call.write(info(path="images/a.bin"))
        for _ in range(8):
            await call.write(scene_pb2.UploadAssetRequest(chunk=bytes(CHUNK)))
        async with asyncio.timeout(60):
            while not (left := await asyncio.to_thread(sizes, temp)) or not sum(left.values()):
                pass
        await server.end(signal.SIGKILL)
        assert sizes(temp)

        await server.start()

        assert sizes(temp) == {}
        assert list(system.iterdir()) == []


def sizes(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
