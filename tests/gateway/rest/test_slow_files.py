"""Files whose readers pause and whose senders stand still, and servers that fail in the middle; faked at the wire."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from tempfile import TemporaryDirectory

import aiohttp
import grpc
import pytest

from evergreen.v1 import scene_pb2
from evergreen_server.gateway.places import SLICES
from evergreen_server.gateway.rest.assets import SLICE_BYTES, STREAM_BYTES
from tests.gateway.gateways import gateway_to, head, raw

ASSET = "/api/v1/projects/film/scenes/s/assets/videos/long.mp4"
SIZE = 64 * SLICE_BYTES


class Files(grpc.GenericRpcHandler):
    """A server of one long file, which may fail or be replaced at an offset, and of uploads that it counts."""

    def __init__(self) -> None:
        self.open = 0
        self.idle = asyncio.Event()
        self.reads: list[int] = []
        self.fails_at = SIZE
        self.crc32c: int | None = 7
        self.received = 0
        self.began = asyncio.Event()
        self.ended = asyncio.Event()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        match details.method.rpartition("/")[2]:
            case "DownloadAsset":
                return grpc.unary_stream_rpc_method_handler(self.download)
            case "UploadAsset":
                return grpc.stream_unary_rpc_method_handler(self.upload)
        return None

    async def download(self, data: bytes, call: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        asked = scene_pb2.DownloadAssetRequest.FromString(data)
        self.open += 1
        self.idle.clear()
        try:
            self.reads.append(asked.offset)
            if asked.offset >= self.fails_at:
                await call.abort(grpc.StatusCode.UNAVAILABLE, "broken")
            info = scene_pb2.Asset(
                path="videos/long.mp4", content_type="video/mp4", size_bytes=SIZE, crc32c=self.crc32c
            )
            await call.write(scene_pb2.DownloadAssetResponse(info=info).SerializeToString())
            left = min(asked.limit or SIZE, SIZE - asked.offset)
            while left:
                piece = min(left, 512 << 10)
                await call.write(scene_pb2.DownloadAssetResponse(chunk=bytes(piece)).SerializeToString())
                left -= piece
        finally:
            self.open -= 1
            if not self.open:
                self.idle.set()

    async def upload(self, messages: AsyncIterator[bytes], _call: object) -> bytes:
        try:
            async for data in messages:
                self.received += len(scene_pb2.UploadAssetRequest.FromString(data).chunk)
                if self.received:
                    self.began.set()
            return scene_pb2.UploadAssetResponse().SerializeToString()
        finally:
            self.ended.set()


@pytest.fixture
def path() -> Iterator[str]:
    with TemporaryDirectory(dir="/tmp") as folder:
        yield f"{folder}/grpc"


@asynccontextmanager
async def files_at(
    path: str, answered: Callable[[str, int], None] = lambda _route, _status: None, stall_seconds: float = 60.0
) -> AsyncIterator[tuple[Files, str]]:
    files, server = Files(), grpc.aio.server()
    server.add_generic_rpc_handlers((files,))
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    try:
        async with gateway_to(path, answered=answered, stall_seconds=stall_seconds) as url:
            yield files, url
    finally:
        await server.stop(0)


async def open_paused(url: str, *fields: str) -> asyncio.StreamWriter:
    """A reader that takes the head of its answer and then nothing."""
    reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"), limit=1 << 10)
    writer.write(head("GET", ASSET, *fields))
    await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    return writer


async def test_readers_that_pause_hold_none_of_the_servers_transfers(path: str) -> None:
    async with files_at(path) as (files, url):
        paused = [await open_paused(url, "Range: bytes=0-", "Sec-Fetch-Dest: video") for _ in range(10)]
        paused += [await open_paused(url) for _ in range(10)]

        await asyncio.wait_for(files.idle.wait(), 30)
        # Each has had one slice read, or a few more that sockets took; nobody the whole file.
        assert max(files.reads) <= 16 * SLICE_BYTES
        for writer in paused:
            writer.transport.abort()


async def test_readers_of_one_token_that_pause_leave_memory_to_another(path: str) -> None:
    async with files_at(path) as (files, url):
        connections = [
            await asyncio.open_connection(*url.removeprefix("http://").split(":")) for _ in range(2 * SLICES)
        ]
        for _, writer in connections:
            writer.write(head("GET", ASSET, "Authorization: Bearer greedy"))
        for reader, _ in connections[:4]:
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)

        wanted = f"Range: bytes=0-{10 * SLICE_BYTES - 1}"
        answer = await raw(url, head("GET", ASSET, "Authorization: Bearer honest", wanted))

        assert (answer.status, len(answer.body)) == (206, 10 * SLICE_BYTES)
        assert len(set(files.reads)) > 1
        for _, writer in connections:
            writer.transport.abort()


async def test_a_reader_that_takes_nothing_is_cut_off(path: str) -> None:
    cut = asyncio.Event()

    def answered(_: str, status: int) -> None:
        if status == 499:
            cut.set()

    async with files_at(path, answered, stall_seconds=0.5) as (_, url):
        reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"), limit=1 << 10)
        writer.write(head("GET", ASSET))

        await asyncio.wait_for(cut.wait(), 30)

        received = 0
        async with asyncio.timeout(30):
            with suppress(ConnectionError):
                while data := await reader.read(1 << 20):
                    received += len(data)
        writer.close()
    assert received < SIZE


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_file_that_fails_in_the_middle_comes_short_and_never_mixed(path: str, replaced: bool) -> None:
    async with files_at(path) as (files, url), aiohttp.ClientSession() as session:
        if not replaced:
            files.fails_at = 4 * SLICE_BYTES
        async with session.get(url + ASSET) as answer:
            await answer.content.readexactly(SLICE_BYTES)
            if replaced:
                files.crc32c = 8
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.content.read()


@pytest.mark.parametrize("given", ["{}", '"x", {}', "{}, *"])
async def test_a_file_without_a_checksum_is_not_sent_to_whoever_has_it(path: str, given: str) -> None:
    async with files_at(path) as (files, url), aiohttp.ClientSession(url) as session:
        files.crc32c = None
        async with session.head(ASSET) as answer:
            tag = answer.headers["ETag"]
        async with session.head(ASSET, headers={"If-None-Match": given.format(tag)}) as again:
            assert again.status == 304
        async with session.head(ASSET, headers={"If-None-Match": f'"x", {tag[:-1]}0"'}) as other:
            assert other.status == 200

    assert tag.startswith("W/")


async def test_a_file_that_cannot_be_read_at_all_is_a_problem(path: str) -> None:
    async with files_at(path) as (files, url):
        files.fails_at = 0

        answer = await raw(url, head("GET", ASSET))

    assert (answer.status, json.loads(answer.body)["reason"]) == (503, "UPSTREAM_UNAVAILABLE")


async def test_a_sender_that_stands_still_is_refused_and_its_call_ended(path: str) -> None:
    async with files_at(path, stall_seconds=0.5) as (files, url):
        answer = await raw(url, head("PUT", ASSET, "Content-Length: 1000") + b"a")
        await asyncio.wait_for(files.ended.wait(), 30)

    assert (answer.status, json.loads(answer.body)["reason"]) == (408, "TRANSFER_STALLED")


async def test_a_sender_that_leaves_ends_its_call(path: str) -> None:
    async with files_at(path) as (files, url):
        _, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
        writer.write(head("PUT", ASSET, "Content-Length: 100000000") + bytes(2 << 20))
        await asyncio.wait_for(files.began.wait(), 30)
        writer.transport.abort()

        await asyncio.wait_for(files.ended.wait(), 30)

    assert files.received < 100_000_000


async def test_a_reader_that_keeps_up_is_served_by_one_call_for_many_parts(path: str) -> None:
    async with files_at(path) as (files, url):
        whole = await raw(url, head("GET", ASSET, f"Range: bytes=0-{STREAM_BYTES - 1}"))

    assert (whole.status, len(whole.body)) == (206, STREAM_BYTES)
    # One to learn what it is; a machine that is slow may take a pause for more.
    assert len(files.reads) < STREAM_BYTES // SLICE_BYTES
