"""What decodes callers' files is ended, replaced and shared; named pipes stand for files that take for ever."""

import asyncio
import io
import os
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from evergreen_server.media.limits import MediaLimits
from evergreen_server.media.tools import Media
from evergreen_server.ports.catalog import PictureRule
from evergreen_server.ports.media import MediaRefused, MediaUnreachable
from tests.media.test_clips import video
from tests.started import started

ANY = PictureRule()


@asynccontextmanager
async def media_in(folder: Path, **changed: float) -> AsyncIterator[Media]:
    limits = replace(MediaLimits(), **changed)  # type: ignore[arg-type]  # only numbers are changed
    async with Media(private_hosts=(), limits=limits, temp_dir=folder) as media:
        yield media


def endless(folder: Path, name: str = "endless.png") -> Path:
    os.mkfifo(folder / name)
    return folder / name


def decoders() -> list[int]:
    """Returns the decoders that this process has started."""
    return started(b"media.decoder")


async def begun(pipe: Path) -> int:
    """Waits until a decoder reads the pipe; it does so as long as what is returned is open."""
    return await asyncio.to_thread(os.open, pipe, os.O_WRONLY)


async def test_what_takes_too_long_is_ended_and_the_next_file_decoded(samples: Path, tmp_path: Path) -> None:
    async with media_in(tmp_path, work_seconds=1.0) as media:
        with pytest.raises(MediaRefused, match="longer than 1 s") as caught:
            await media.picture(endless(tmp_path), ANY, owner="p")
        assert decoders() == []

        assert (await media.picture(samples / "rocket.jpg", ANY, owner="p")).width == 640
        assert len(decoders()) == 1

    assert caught.value.reason == "PICTURE_INVALID"
    assert decoders() == []


@pytest.mark.parametrize("by", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS])
async def test_a_decoder_that_crashes_refuses_its_file_and_nothing_else(
    samples: Path, tmp_path: Path, by: signal.Signals
) -> None:
    pipe = endless(tmp_path)
    async with media_in(tmp_path) as media:
        task = asyncio.create_task(media.poster(pipe, owner="p"))
        held = await begun(pipe)
        os.kill(decoders()[0], by)
        with pytest.raises(MediaRefused, match="its decoder crashed"):
            await task
        os.close(held)

        assert (await media.picture(samples / "rocket.jpg", ANY, owner="p")).width == 640


async def test_a_decoder_that_is_ended_from_outside_is_no_fault_of_the_file(tmp_path: Path) -> None:
    pipe = endless(tmp_path)
    async with media_in(tmp_path) as media:
        task = asyncio.create_task(media.picture(pipe, ANY, owner="p"))
        for _ in range(2):
            held = await begun(pipe)
            decoder = os.pidfd_open(decoders()[0])
            signal.pidfd_send_signal(decoder, signal.SIGKILL)
            # Until then it still reads the pipe.
            await asyncio.to_thread(select.select, [decoder], [], [], 30)
            os.close(decoder)
            os.close(held)

        with pytest.raises(MediaUnreachable, match="ended from outside"):
            await task


async def test_a_decoder_keeps_nothing_of_the_files_before(tmp_path: Path) -> None:
    clip = video(tmp_path / "a.mp4", size=(1920, 1080), rate=4, seconds=1)
    async with media_in(tmp_path, decoders_at_once=1) as media:
        for _ in range(8):
            await media.poster(clip, owner="p")
        (decoder,) = decoders()
        # It frees what it held after its answer, and before the next file.
        await media.probe(clip, owner="p")

        assert len(os.listdir(f"/proc/{decoder}/task")) <= 3


@pytest.mark.parametrize("pauses", [1, 2])
async def test_a_pause_of_the_service_is_no_fault_of_the_file(samples: Path, tmp_path: Path, pauses: int) -> None:
    pipe = endless(tmp_path)
    async with media_in(tmp_path, work_seconds=1.0) as media:
        task = asyncio.create_task(media.picture(pipe, ANY, owner="p"))
        for _ in range(pauses):
            held = await begun(pipe)
            decoder = os.pidfd_open(decoders()[0])
            time.sleep(2.5)  # noqa: ASYNC251  # nothing of this process may go on meanwhile
            await asyncio.to_thread(select.select, [decoder], [], [], 30)
            os.close(decoder)
            os.close(held)
        if pauses == 1:
            with os.fdopen(await begun(pipe), "wb") as held_again:
                await asyncio.to_thread(held_again.write, (samples / "rocket.jpg").read_bytes())
            assert (await task).width == 640
        else:
            with pytest.raises(MediaUnreachable, match="was paused"):
                await task


async def test_who_finds_no_decoder_free_in_time_is_told_so_and_may_try_again(samples: Path, tmp_path: Path) -> None:
    pipe = endless(tmp_path)
    async with media_in(tmp_path, decoders_at_once=1, wait_seconds=0.2) as media:
        task = asyncio.create_task(media.picture(pipe, ANY, owner="greedy"))
        held = await begun(pipe)

        with pytest.raises(MediaUnreachable, match="too many files are being decoded"):
            await media.picture(samples / "rocket.jpg", ANY, owner="honest")

        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        os.close(held)
        assert (await media.picture(samples / "rocket.jpg", ANY, owner="honest")).width == 640


async def test_a_cancelled_caller_leaves_no_decoder_at_work(tmp_path: Path) -> None:
    pipe = endless(tmp_path)
    async with media_in(tmp_path) as media:
        task = asyncio.create_task(media.picture(pipe, ANY, owner="p"))
        held = await begun(pipe)

        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

        assert decoders() == []
        os.close(held)


async def test_a_picture_that_takes_too_much_memory_is_refused(tmp_path: Path) -> None:
    large = io.BytesIO()
    Image.new("RGB", (4000, 3000)).save(large, "PNG")
    async with media_in(tmp_path, decoder_bytes=30_000_000) as media:
        with pytest.raises(MediaRefused, match="30000000 bytes of memory") as caught:
            await media.picture(large.getvalue(), ANY, owner="p")

    assert caught.value.reason == "PICTURE_INVALID"


async def test_files_of_one_project_that_take_for_ever_leave_a_decoder_for_another(
    samples: Path, tmp_path: Path
) -> None:
    pipes = [endless(tmp_path, f"{number}.png") for number in range(8)]
    async with media_in(tmp_path) as media:
        # Open for writing too, so that a reader waits for what never comes.
        held = [os.open(pipe, os.O_RDWR) for pipe in pipes]
        greedy = [asyncio.create_task(media.picture(pipe, ANY, owner="greedy")) for pipe in pipes]

        for _ in range(3):
            assert (await media.picture(samples / "rocket.jpg", ANY, owner="honest")).width == 640

        assert len(decoders()) == 3
        assert not any(task.done() for task in greedy)
        for task in greedy:
            task.cancel()
        await asyncio.gather(*greedy, return_exceptions=True)
        for handle in held:
            os.close(handle)


async def test_a_decoder_sees_no_secret_of_the_environment(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNWAYML_API_SECRET", "key_secret")
    async with media_in(tmp_path) as media:
        await media.picture(samples / "rocket.jpg", ANY, owner="p")

        seen = await asyncio.to_thread(Path(f"/proc/{decoders()[0]}/environ").read_bytes)

    assert b"PATH=" in seen
    assert b"key_secret" not in seen


def test_a_decoder_ends_with_a_service_that_is_killed(samples: Path, tmp_path: Path) -> None:
    serve = """
import asyncio, os, sys
from pathlib import Path
from evergreen_server.ports.catalog import PictureRule
from evergreen_server.media.limits import MediaLimits
from evergreen_server.media.tools import Media
from tests.media.test_clips import video

async def main():
    async with Media(private_hosts=(), limits=MediaLimits(), temp_dir=Path(sys.argv[2])) as media:
        await media.picture(Path(sys.argv[1]), PictureRule(), owner="p")
        tasks = Path(f"/proc/{os.getpid()}/task").iterdir()
        print(*(child for task in tasks for child in (task / "children").read_text().split()), flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""
    with subprocess.Popen(
        [sys.executable, "-c", serve, str(samples / "rocket.jpg"), str(tmp_path)],
        env={"PYTHONPATH": ":".join(sys.path)},
        stdout=subprocess.PIPE,
    ) as service:
        assert service.stdout is not None
        decoder = os.pidfd_open(int(service.stdout.readline().split()[-1]))
        service.kill()

        ended, _, _ = select.select([decoder], [], [], 30)
        os.close(decoder)

    assert ended == [decoder]


async def test_what_a_library_says_of_a_file_reaches_nobody(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """This TIFF makes libtiff write lines to the standard error by itself."""
    entries = ((256, 2), (257, 1), (258, 8), (259, 5), (262, 1), (273, 110), (278, 1), (279, 2))
    head = b"II*\0" + struct.pack("<IH", 8, len(entries))
    talkative = head + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries) + bytes(6)
    with pytest.raises(OSError, match="decoder error"), Image.open(io.BytesIO(talkative)) as image:
        image.load()
    assert capfd.readouterr().err != ""

    async with media_in(tmp_path) as media:
        with pytest.raises(MediaRefused, match="broken or truncated"):
            await media.picture(talkative, ANY, owner="p")

    assert capfd.readouterr() == ("", "")


def png_of(mode: str, side: int) -> bytes:
    target = io.BytesIO()
    Image.new(mode, (side, side)).save(target, "PNG", compress_level=1)
    return target.getvalue()


@pytest.mark.parametrize(("mode", "side"), [("RGBA", 4000), ("LA", 4000), ("I;16", 4000), ("RGB", 4000), ("P", 4000)])
async def test_a_picture_takes_at_most_eight_bytes_of_memory_for_each_pixel(
    tmp_path: Path, mode: str, side: int
) -> None:
    def most() -> int:
        status = Path(f"/proc/{decoders()[0]}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024

    async with media_in(tmp_path) as media:
        await media.picture(png_of(mode, 10), ANY, owner="p")
        before = await asyncio.to_thread(most)

        await media.picture(png_of(mode, side), ANY, owner="p")

        assert await asyncio.to_thread(most) - before < 8 * side * side + 48 * 2**20
