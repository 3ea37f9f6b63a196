"""Transfers that hardly move: each gives up its turn, and whoever moves bytes has one at once."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import pytest

from evergreen.v1 import scene_pb2
from evergreen_server.rpc.services.transfers import Transfers
from tests.rpc.refusals import refusal
from tests.rpc.scene_server import SceneApi, scene_serving
from tests.rpc.scenes import CHUNK, files_of, info, upload
from tests.serving import reason_of

AT_ONCE = 8
STALL_SECONDS = 0.5
HONEST = bytes(range(256)) * 8192
PAUSE_SECONDS = 0.05

Messages = AsyncIterator[scene_pb2.UploadAssetRequest]


def chunk(data: bytes) -> scene_pb2.UploadAssetRequest:
    return scene_pb2.UploadAssetRequest(chunk=data)


def trickle(size: int, *, first: int = 0, pause: float = PAUSE_SECONDS) -> Callable[[int], Messages]:
    """An upload that has begun, and then goes on by so little for as long as it may."""

    async def messages(number: int) -> Messages:
        yield info(project_id="greedy", path=f"images/{number}")
        if first:
            yield chunk(bytes(first))
        while True:
            yield chunk(bytes(size))
            await asyncio.sleep(pause)

    return messages


async def silent(number: int) -> Messages:
    yield info(project_id="greedy", path=f"images/{number}")
    await asyncio.Event().wait()


async def nothing(_number: int) -> Messages:
    await asyncio.Event().wait()
    yield info()


async def announced(number: int) -> Messages:
    """As large as a storage takes, and then a byte now and then."""
    yield info(project_id="greedy", path=f"images/{number}", size_bytes=2**40)
    while True:
        yield chunk(b"x")
        await asyncio.sleep(PAUSE_SECONDS)


async def waves(number: int) -> Messages:
    """Much at once, and then a byte now and then."""
    yield info(project_id="greedy", path=f"images/{number}")
    for _ in range(4):
        yield chunk(bytes(CHUNK))
    while True:
        yield chunk(b"x")
        await asyncio.sleep(PAUSE_SECONDS)


SLOW: list[tuple[str, Callable[[int], Messages]]] = [
    ("a byte now and then", trickle(1)),
    ("no byte now and then", trickle(0)),
    ("a hundred bytes", trickle(100)),
    ("a byte after a good beginning", trickle(1, first=CHUNK)),
    ("a byte, often", trickle(1, pause=0.005)),
    ("a byte, seldom", trickle(1, pause=STALL_SECONDS * 0.8)),
    ("nothing after the announcement", silent),
    ("nothing at all", nothing),
    ("a terabyte that never comes", announced),
    ("waves", waves),
]


def block_loop(seconds: float) -> None:
    """Lets a bound be reached and nobody look until it has passed."""
    time.sleep(seconds)


async def test_what_has_come_whole_at_last_is_stored_and_not_broken_off() -> None:
    async with Transfers(stall_seconds=STALL_SECONDS).watched() as waiting:
        with waiting:
            block_loop(STALL_SECONDS * 1.2)
        # The server stores it and gives it its name.
        await asyncio.sleep(STALL_SECONDS / 2)


@pytest.mark.parametrize(("what", "messages"), SLOW, ids=[what for what, _ in SLOW])
async def test_an_upload_that_hardly_moves_is_ended_and_holds_up_nobody(
    tmp_path: Path, what: str, messages: Callable[[int], Messages]
) -> None:
    transfers = Transfers(at_once=AT_ONCE, wait_seconds=20, stall_seconds=STALL_SECONDS, least_bytes=64 * 1024)
    async with scene_serving(tmp_path / "data", transfers=transfers) as api:
        greedy = [api.scene.UploadAsset(messages(number)) for number in range(AT_ONCE // 2)]

        asset = await upload(api, HONEST)

        assert asset.size_bytes == len(HONEST)
        for call in greedy:
            error = await asyncio.wait_for(refusal(call), 60)
            # A client of grpc.aio that is just sending when its call ends does not show the status.
            assert error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED or reason_of(error) == "TRANSFER_STALLED"
        assert files_of(tmp_path / "data" / "projects" / "greedy" / "one") == []


async def test_a_greedy_project_with_more_uploads_than_turns_leaves_turns_to_an_honest_one(tmp_path: Path) -> None:
    """Nobody is stalled here: the turns alone let the honest uploads through, one after the other, at once."""
    transfers = Transfers(at_once=AT_ONCE, wait_seconds=60, stall_seconds=60)
    async with scene_serving(tmp_path / "data", transfers=transfers) as api:
        greedy = [api.scene.UploadAsset(trickle(1)(number)) for number in range(4 * AT_ONCE)]
        for call in greedy:
            await call.wait_for_connection()

        done = [await upload(api, HONEST, path=f"images/{number}") for number in range(4)]

        assert [asset.size_bytes for asset in done] == [len(HONEST)] * 4
        assert not any(call.done() for call in greedy)
        for call in greedy:
            call.cancel()


@pytest.mark.parametrize("taken", [1, 2, 5])
async def test_a_reader_that_stops_reading_gives_up_its_turn(tmp_path: Path, taken: int) -> None:
    transfers = Transfers(at_once=2, wait_seconds=20, stall_seconds=STALL_SECONDS)
    async with scene_serving(tmp_path / "data", transfers=transfers) as api:
        await upload(api, bytes(64 * 1024 * 1024), project_id="greedy")
        held = await reading(api, taken)

        assert (await upload(api, HONEST)).size_bytes == len(HONEST)
        # Its own next one gets the turn that the first has given up.
        await upload(api, HONEST, project_id="greedy", path="images/b")
        error = await asyncio.wait_for(refusal(drained(held)), 60)

        assert (error.code(), reason_of(error)) == (grpc.StatusCode.DEADLINE_EXCEEDED, "TRANSFER_STALLED")


async def test_a_slow_and_steady_client_is_served_to_the_end(tmp_path: Path) -> None:
    # Longer than a busy machine makes anybody pause, and shorter than the whole takes.
    transfers = Transfers(at_once=1, stall_seconds=2, least_bytes=1024)

    async def steady() -> Messages:
        yield info()
        for _ in range(30):
            yield chunk(bytes(1024))
            await asyncio.sleep(2 * PAUSE_SECONDS)

    async with scene_serving(tmp_path / "data", transfers=transfers) as api:
        assert (await api.scene.UploadAsset(steady())).asset.size_bytes == 30 * 1024


async def reading(api: SceneApi, taken: int) -> grpc.aio.UnaryStreamCall:
    """A download of which some messages were read."""
    call = api.scene.DownloadAsset(
        scene_pb2.DownloadAssetRequest(project_id="greedy", scene_id="one", path="images/a.bin")
    )
    for _ in range(taken):
        await call.read()
    return call


async def drained(call: grpc.aio.UnaryStreamCall) -> None:
    while await call.read() is not grpc.aio.EOF:
        pass
