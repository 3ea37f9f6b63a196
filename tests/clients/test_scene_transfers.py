"""The client and its command against the real server: files up, down, listed, handed out and removed."""

import asyncio
import json
import os
import pty
import re
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import evergreen
from evergreen import Reconnect, WireClient
from tests.clients.command_line import CommandLine, read_all
from tests.loopback import listening
from tests.rpc.scenes import crc32c
from tests.serving import SAMPLES, Api, Control, ServerProcess, free_address

DATA = bytes(range(251)) * 40_000
SCENE = ("--project", "film", "--scene", "one")
PICTURE = SAMPLES / "rocket.jpg"


@pytest.fixture
async def client(api: Api) -> AsyncIterator[WireClient]:
    async with WireClient(api.address) as client:
        yield client


@pytest.fixture
def command(api: Api) -> CommandLine:
    return CommandLine(api.address)


@pytest.fixture
def big(tmp_path: Path) -> Path:
    file = tmp_path / "big.bin"
    file.write_bytes(DATA)
    return file


async def test_a_file_goes_up_and_comes_back_and_its_progress_is_told(
    client: WireClient, big: Path, tmp_path: Path
) -> None:
    up: list[tuple[int, int]] = []
    down: list[tuple[int, int]] = []

    sent = await client.scenes.upload(
        "film", "one", "exports/big", big, moved=lambda moved, size: up.append((moved, size))
    )
    got = await client.scenes.download(
        "film", "one", "exports/big", tmp_path / "back", moved=lambda moved, size: down.append((moved, size))
    )

    assert got == sent
    assert (sent.size_bytes, sent.crc32c) == (len(DATA), crc32c(DATA))
    assert (tmp_path / "back").read_bytes() == DATA
    for told in (up, down):
        assert told == sorted(told)
        assert (told[0], told[-1]) == ((0, len(DATA)), (len(DATA), len(DATA)))


async def test_bytes_can_be_sent_and_a_part_be_read(client: WireClient) -> None:
    await client.scenes.upload("film", "one", "exports/a", DATA)

    part = [chunk async for chunk in client.scenes.read("film", "one", "exports/a", offset=7, limit=9)]

    assert b"".join(part) == DATA[7:16]


async def test_a_stream_is_stored_as_it_comes(client: WireClient) -> None:
    async def source() -> AsyncIterator[bytes]:
        for start in range(0, len(DATA), 700_001):
            yield DATA[start : start + 700_001]

    told: list[tuple[int, int]] = []
    sent = await client.scenes.upload(
        "film", "one", "exports/stream", source(), moved=lambda moved, size: told.append((moved, size))
    )

    assert (sent.size_bytes, sent.crc32c, told[-1]) == (len(DATA), crc32c(DATA), (len(DATA), 0))
    assert b"".join([chunk async for chunk in client.scenes.read("film", "one", "exports/stream")]) == DATA


async def test_a_stream_that_fails_leaves_no_file(client: WireClient) -> None:
    async def source() -> AsyncIterator[bytes]:
        yield DATA[:1000]
        raise RuntimeError("the camera is off")

    with pytest.raises(RuntimeError, match="the camera is off"):
        await client.scenes.upload("film", "one", "exports/half", source())
    with pytest.raises(evergreen.NotFound):
        await anext(client.scenes.read("film", "one", "exports/half"))


async def test_refusals_are_typed_and_leave_no_file(client: WireClient, tmp_path: Path) -> None:
    await client.scenes.upload("film", "one", "exports/a", DATA)

    with pytest.raises(evergreen.AssetExists):
        await client.scenes.upload("film", "one", "exports/a", b"other")
    with pytest.raises(evergreen.AssetNotFound):
        await client.scenes.download("film", "one", "exports/none", tmp_path / "none")
    with pytest.raises(evergreen.SceneNotFound):
        await client.scenes.delete_asset("film", "none", "exports/none")
    with pytest.raises(evergreen.UrlUnsupported):
        await client.scenes.asset_url("film", "one", "exports/a")
    with pytest.raises(evergreen.InvalidRequest) as caught:
        await client.scenes.upload("film", "one", "metadata/a", b"x")

    assert [violation.field for violation in caught.value.violations] == ["info.path"]
    assert [name for name in os.listdir(tmp_path) if "none" in name] == []


async def test_scenes_and_files_are_deleted(client: WireClient) -> None:
    await client.scenes.upload("film", "one", "exports/a", b"a")
    await client.scenes.delete_asset("film", "one", "exports/a")
    with pytest.raises(evergreen.AssetNotFound):
        await client.scenes.delete_asset("film", "one", "exports/a")

    await client.scenes.delete("film", "one")

    with pytest.raises(evergreen.SceneNotFound):
        await client.scenes.show("film", "one")


@dataclass
class Proxy:
    """Stands between client and server, and drops every connection after so many bytes, for so many times."""

    target: str
    after: int
    times: int
    drops: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self.target.rpartition(":")
        there, out = await asyncio.open_connection(host, int(port))
        passed = 0

        async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            nonlocal passed
            while data := await source.read(65536):
                target.write(data)
                await target.drain()
                passed += len(data)
                if passed > self.after and self.drops < self.times:
                    self.drops += 1
                    raise ConnectionAbortedError
            raise ConnectionAbortedError

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(pump(reader, out))
                group.create_task(pump(there, writer))
        except* OSError:
            pass
        finally:
            writer.transport.abort()
            out.transport.abort()


async def test_transfers_go_on_through_lost_connections(api: Api, big: Path, tmp_path: Path) -> None:
    proxy = Proxy(api.address, after=len(DATA) // 2, times=4)
    reconnect = Reconnect(first_delay=0.01, max_delay=0.05, patience=20)
    async with (
        listening(proxy.serve) as port,
        WireClient(f"127.0.0.1:{port}", reconnect=reconnect) as client,
    ):
        sent = await client.scenes.upload("film", "one", "exports/big", big)
        uploads = proxy.drops
        proxy.times += 4
        await client.scenes.download("film", "one", "exports/big", tmp_path / "back")

    assert sent.crc32c == crc32c(DATA)
    assert (tmp_path / "back").read_bytes() == DATA
    assert uploads >= 1
    assert proxy.drops > uploads


async def test_a_download_goes_on_when_the_server_was_killed(sandbox: Control, tmp_path: Path) -> None:
    data = bytes(48 * 1024 * 1024)
    address = free_address()
    async with ServerProcess(tmp_path / "data", sandbox.url, {"EVERGREEN_LISTEN": address}) as process:
        await process.start()
        async with WireClient(address) as client:
            await client.scenes.upload("film", "one", "exports/big", data)
            chunks = client.scenes.read("film", "one", "exports/big")
            received = len(await anext(chunks))
            await process.end(signal.SIGKILL)
            await process.start()
            async for chunk in chunks:
                received += len(chunk)

    assert received == len(data)


async def test_the_command_uploads_shows_downloads_and_removes(command: CommandLine, big: Path, tmp_path: Path) -> None:
    uploaded = await command("scene", "upload", str(PICTURE), str(big), *SCENE)
    placed = await command("scene", "upload", str(big), *SCENE, "--to", "audio/sound", "--output", "json")
    shown = await command("scene", "show", *SCENE)
    back = tmp_path / "back.jpg"
    downloaded = await command("scene", "download", "images/rocket.jpg", str(back), *SCENE)
    again = await command("scene", "download", "images/rocket.jpg", str(back), *SCENE)
    printed = await command("scene", "download", "metadata/scene.json", "-", *SCENE)
    removed = await command("scene", "rm-asset", "images/rocket.jpg", "audio/sound", *SCENE)
    signed = await command("scene", "url", "exports/big.bin", *SCENE)

    assert (uploaded.code, uploaded.stdout) == (0, "images/rocket.jpg\nexports/big.bin\n")
    assert "10,040,000 bytes" in uploaded.stderr
    assert placed.lines[0]["path"] == "audio/sound"
    assert placed.stderr == ""
    assert "640x427" in shown.stdout
    assert "\x1b" not in shown.stdout
    assert (downloaded.code, downloaded.stdout) == (0, f"{back}\n")
    assert back.read_bytes() == PICTURE.read_bytes()
    assert (again.code, "--force" in again.stderr) == (2, True)
    assert json.loads(printed.stdout)["id"] == "one"
    assert (removed.code, removed.stdout) == (0, "")
    assert (signed.code, "URL_UNSUPPORTED" in signed.stderr) == (1, True)


async def test_what_comes_by_a_pipe_is_uploaded_where_it_is_told_to_go(
    command: CommandLine, client: WireClient, big: Path
) -> None:
    with big.open("rb") as file:
        uploaded = await command.end(
            await command.start("scene", "upload", "-", *SCENE, "--to", "exports/cut.bin", stdin=file)
        )
    nowhere = await command("scene", "upload", "-", *SCENE)
    in_a_folder = await command("scene", "upload", "-", *SCENE, "--to", "exports")

    assert (uploaded.code, uploaded.stdout) == (0, "exports/cut.bin\n")
    (asset,) = (await client.scenes.show("film", "one")).folders[4].assets
    assert (asset.size_bytes, asset.crc32c) == (len(DATA), crc32c(DATA))
    (big.parent / "empty.jpg").touch()
    empty = await command("scene", "upload", str(big.parent / "empty.jpg"), *SCENE)
    assert (empty.code, "is empty, and so is no file for images" in empty.stderr) == (2, True)
    for refused in (nowhere, in_a_folder):
        assert (refused.code, refused.stdout) == (2, "")
        assert "stdin has no name: say where it goes, such as --to videos/cut.mp4" in refused.stderr


async def test_a_scene_is_deleted_only_when_it_is_meant(command: CommandLine) -> None:
    await command("scene", "create", *SCENE)

    asked = await command("scene", "delete", *SCENE)
    deleted = await command("scene", "delete", *SCENE, "--yes", "--force")
    gone = await command("scene", "delete", *SCENE, "--yes")

    assert (asked.code, asked.stdout) == (1, "")
    assert (deleted.code, deleted.stdout) == (0, "")
    assert (gone.code, "SCENE_NOT_FOUND" in gone.stderr) == (1, True)


async def test_a_terminal_shows_a_bar_and_a_coloured_tree(command: CommandLine, big: Path) -> None:
    await command("scene", "upload", str(PICTURE), *SCENE)

    bar = await on_terminal(command, "stderr", "scene", "upload", str(big), *SCENE)
    tree = await on_terminal(command, "stdout", "scene", "show", *SCENE)
    plain = await on_terminal(command, "stdout", "scene", "show", *SCENE, NO_COLOR="1")

    assert "exports/big.bin" in bar
    assert "━" in bar
    assert "/9.6 MiB" in bar
    assert "└── " in tree
    assert "\x1b[32mrocket.jpg" in tree
    assert "\x1b[3" not in plain
    assert "rocket.jpg  image/jpeg" in re.sub(r"\x1b\[[0-9;]*m", "", plain)


async def on_terminal(command: CommandLine, stream: str, *arguments: str, **environment: str) -> str:
    """Runs the command with one stream on a terminal and gives what is shown there."""
    terminal, end = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "evergreen.cli", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        **{"stdout": asyncio.subprocess.DEVNULL, "stderr": asyncio.subprocess.DEVNULL, stream: end},
        env={**os.environ, **command.environment, "TERM": "xterm", **environment},
    )
    os.close(end)
    shown = await asyncio.to_thread(read_all, terminal)
    os.close(terminal)
    assert await asyncio.wait_for(process.wait(), 60) == 0
    return shown
