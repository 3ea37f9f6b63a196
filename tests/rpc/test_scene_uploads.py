"""An upload appears whole or not at all, however it ends; and transfers are bounded in number and patience."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from evergreen.v1 import scene_pb2
from evergreen_server.rpc.services.transfers import AT_ONCE, Transfers
from tests.rpc.refusals import invalid, refusal, retry_seconds
from tests.rpc.scene_server import scene_serving
from tests.rpc.scenes import CHUNK, body, crc32c, download, files_of, info, paths_of, scene_of, upload
from tests.serving import SAMPLES, Api, Control, ServerProcess, reason_of

DATA = bytes(range(251)) * 10_000
SCENE = "projects/film/one"


def chunk(data: bytes) -> scene_pb2.UploadAssetRequest:
    return scene_pb2.UploadAssetRequest(chunk=data)


async def messages(*items: scene_pb2.UploadAssetRequest) -> AsyncIterator[scene_pb2.UploadAssetRequest]:
    for item in items:
        yield item


async def begun(api: Api, **fields: object) -> grpc.aio.StreamUnaryCall:
    """An upload of which the first part was sent."""
    call = api.scene.UploadAsset()
    await call.write(info(**fields))
    await call.write(chunk(DATA[:CHUNK]))
    return call


async def quiet(api: Api) -> None:
    """Waits until no upload is under way, which is when the scene can be deleted, and makes it anew."""
    await api.scene.CreateScene(scene_pb2.CreateSceneRequest(project_id="film", scene_id="one"))
    await api.scene.DeleteScene(scene_pb2.DeleteSceneRequest(project_id="film", scene_id="one", force=True))


async def test_an_upload_that_is_cancelled_at_any_moment_leaves_nothing(api: Api, tmp_path: Path) -> None:
    moments = random.Random(3)
    for number in range(40):
        call = api.scene.UploadAsset()
        await call.write(info(path=f"images/{number}"))
        for _ in range(moments.randrange(5)):
            await call.write(chunk(DATA[: moments.choice([1, CHUNK])]))
        call.cancel()

    files = files_of(tmp_path / "data" / SCENE)
    await quiet(api)

    assert all(name.endswith(".part") for name in files)
    assert files_of(tmp_path / "data" / SCENE) == []
    assert (await refusal(download(api, "images/0"))).code() == grpc.StatusCode.NOT_FOUND


async def test_a_deadline_and_a_lost_connection_leave_nothing(api: Api, tmp_path: Path) -> None:
    late = api.scene.UploadAsset(timeout=0.2)
    await late.write(info(path="images/late"))
    await late.write(chunk(DATA[:CHUNK]))
    error = await refusal(late)
    async with grpc.aio.insecure_channel(api.address) as channel:
        await begun(Api(channel, api.address), path="images/lost")
    await quiet(api)

    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert files_of(tmp_path / "data" / SCENE) == []


@pytest.mark.parametrize(
    "announced",
    [{"size_bytes": len(DATA) - 1}, {"size_bytes": len(DATA) + 1}, {"size_bytes": 0}, {"crc32c": crc32c(DATA) ^ 1}],
)
async def test_a_body_that_is_not_the_announced_one_is_refused_and_leaves_nothing(
    api: Api, tmp_path: Path, announced: dict[str, int]
) -> None:
    faults = await invalid(upload(api, DATA, **announced))

    assert list(faults) == ["chunk"]
    assert "announced" in faults["chunk"]
    assert files_of(tmp_path / "data" / SCENE) == []
    assert (await upload(api, DATA, size_bytes=len(DATA), crc32c=crc32c(DATA))).size_bytes == len(DATA)


async def test_messages_out_of_order_are_refused_and_leave_nothing(api: Api, tmp_path: Path) -> None:
    for wrong, field in (
        ([], "info"),
        ([chunk(b"x")], "info"),
        ([scene_pb2.UploadAssetRequest()], "info"),
        ([info(), info()], "chunk"),
        ([info(), chunk(DATA[:CHUNK]), chunk(b"x"), info()], "chunk"),
        ([info(), chunk(bytes(1024 * 1024 + 1))], "chunk"),
    ):
        assert list(await invalid(api.scene.UploadAsset(messages(*wrong)))) == [field]
    raw = api.channel.stream_unary("/evergreen.v1.SceneService/UploadAsset")
    await invalid(raw(iter([info().SerializeToString(), b"\xff\xff"])))

    assert files_of(tmp_path / "data" / SCENE) == []


async def test_a_killed_server_leaves_no_asset_and_the_next_try_succeeds(sandbox: Control, tmp_path: Path) -> None:
    async with ServerProcess(tmp_path / "data", sandbox.url) as server:
        api = await server.start()
        await upload(api, b"first", path="images/first")
        for number in range(4):
            await begun(api, path=f"images/{number}")
        await server.end(signal.SIGKILL)
        api = await server.start()

        assert paths_of(await scene_of(api)) == ["images/first"]
        for number in range(4):
            assert (await refusal(download(api, f"images/{number}"))).code() == grpc.StatusCode.NOT_FOUND
            assert (await upload(api, DATA, path=f"images/{number}")).crc32c == crc32c(DATA)


async def test_an_upload_whose_caller_left_after_the_last_byte_is_complete(tmp_path: Path) -> None:
    async with scene_serving(tmp_path / "data", transfers=Transfers(at_once=1)) as api:
        api.script.may_answer = asyncio.Event()
        call = api.scene.UploadAsset(body(DATA))
        await api.script.stored.wait()
        call.cancel()
        api.script.may_answer.set()
        # Gets its turn when the first is done.
        await upload(api, b"another", path="images/b.bin")

        assert paths_of(await scene_of(api)) == ["images/a.bin", "images/b.bin"]


async def test_one_caller_has_no_more_than_half_of_all_transfers_at_once(api: Api) -> None:
    held = [await begun(api, path=f"images/{number}") for number in range(AT_ONCE // 2)]
    one_more = asyncio.create_task(upload(api, DATA, path="images/more"))

    done, _ = await asyncio.wait({one_more}, timeout=0.5)
    assert not done
    await held[0].done_writing()
    assert (await held[0]).asset.size_bytes == CHUNK

    assert (await asyncio.wait_for(one_more, 60)).size_bytes == len(DATA)
    for call in held[1:]:
        call.cancel()


async def test_who_gets_no_turn_in_time_is_told_to_come_again(tmp_path: Path) -> None:
    async with scene_serving(tmp_path / "data", transfers=Transfers(at_once=1, wait_seconds=0.1)) as api:
        api.script.may_answer = asyncio.Event()
        held = api.scene.UploadAsset(body(DATA))
        await api.script.stored.wait()

        error = await refusal(upload(api, DATA, path="images/b"))
        api.script.may_answer.set()
        await held

        assert (error.code(), reason_of(error)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_TRANSFERS")
        assert retry_seconds(error) > 0
        assert (await upload(api, DATA, path="images/b")).size_bytes == len(DATA)


async def test_a_client_that_stands_still_gives_up_its_turn(tmp_path: Path) -> None:
    transfers = Transfers(at_once=1, wait_seconds=5, stall_seconds=0.3)
    async with scene_serving(tmp_path / "data", transfers=transfers) as api:
        error = await refusal(await begun(api))
        await upload(api, bytes(64 * 1024 * 1024))
        reading = api.scene.DownloadAsset(
            scene_pb2.DownloadAssetRequest(project_id="film", scene_id="one", path="images/a.bin")
        )
        await reading.read()

        other = await upload(api, DATA, path="images/b")
        rest = await refusal(drained(reading))

        assert (error.code(), reason_of(error)) == (grpc.StatusCode.DEADLINE_EXCEEDED, "TRANSFER_STALLED")
        assert (rest.code(), reason_of(rest)) == (grpc.StatusCode.DEADLINE_EXCEEDED, "TRANSFER_STALLED")
        assert other.size_bytes == len(DATA)


async def drained(call: grpc.aio.UnaryStreamCall) -> None:
    while await call.read() is not grpc.aio.EOF:
        pass


async def test_a_refusal_reaches_a_client_that_is_still_sending(api: Api) -> None:
    await upload(api, DATA)
    large = bytes(10_000_000)

    reasons = [reason_of(await refusal(upload(api, large, size_bytes=7))) for _ in range(20)]

    assert set(reasons) == {"ASSET_EXISTS"}


async def test_uploads_are_measured_as_they_are_shown(api: Api) -> None:
    files = {
        "images/scan.tif": ("scan-16bit-big-endian.tif", (64, 48, 0)),
        "videos/phone.mp4": ("rotate-90.mp4", (180, 320, 2)),
        "videos/browser.webm": ("browser-webm-no-duration.webm", (320, 180, 2)),
    }

    for path, (name, (width, height, seconds)) in files.items():
        asset = await upload(api, (SAMPLES / name).read_bytes(), path=path)

        assert (asset.width, asset.height) == (width, height)
        assert asset.duration_seconds == pytest.approx(seconds, abs=0.05)
