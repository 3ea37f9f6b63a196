"""A server behind the gateway that breaks off, comes back, or is read slowly; faked at the wire."""

import asyncio
import json
import logging
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp
import grpc
import pytest
from grpc_health.v1 import health_pb2

from evergreen.v1 import scene_pb2, video_pb2
from evergreen_server.gateway.places import CALLS
from tests.gateway.gateways import VIDEO, gateway_to, head, raw

SCENE = "/evergreen.v1.SceneService"
STREAM = {"Content-Type": "application/connect+proto"}
EMPTY = struct.pack(">BI", 0, 0)
CHUNK = bytes(64 << 10)


class Fake(grpc.GenericRpcHandler):
    """A server of one watch, one download, states that are no messages, and nothing else."""

    def __init__(self) -> None:
        self.written = 0
        self.stalled = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.name = "fake"
        self.hangs = False
        self.metadata: dict[str, str] = {}

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        match details.method.rpartition("/")[2]:
            case "Check":
                return grpc.unary_unary_rpc_method_handler(self.check)
            case "GetCaller":
                return grpc.unary_unary_rpc_method_handler(self.caller)
            case "GetStatus":
                return grpc.unary_unary_rpc_method_handler(self.nonsense)
            case "WatchProgress":
                return grpc.unary_stream_rpc_method_handler(self.watch)
            case "DownloadAsset":
                return grpc.unary_stream_rpc_method_handler(self.download)
        return None

    async def check(self, _: bytes, _call: object) -> bytes:
        status = health_pb2.HealthCheckResponse.SERVING
        return health_pb2.HealthCheckResponse(status=status).SerializeToString()

    async def caller(self, _: bytes, call: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        self.metadata = {str(name): str(value) for name, value in call.invocation_metadata() or ()}
        if self.hangs:
            await asyncio.Event().wait()
        return video_pb2.GetCallerResponse(name=self.name).SerializeToString()

    async def nonsense(self, _: bytes, _call: object) -> bytes:
        return b"\xff no message"

    async def watch(self, _: bytes, call: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        await call.write(video_pb2.WatchProgressResponse(revision=7, checkpoint={}).SerializeToString())
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()

    async def download(self, _: bytes, call: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        data = scene_pb2.DownloadAssetResponse(chunk=CHUNK).SerializeToString()
        while True:
            try:
                async with asyncio.timeout(2):
                    await call.write(data)
            except TimeoutError:
                self.stalled.set()
                return
            self.written += len(data)


@asynccontextmanager
async def fake_at(path: str) -> AsyncIterator[Fake]:
    fake = Fake()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((fake,))
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    try:
        yield fake
    finally:
        await server.stop(0)


async def test_a_server_that_breaks_off_and_comes_back(path: str) -> None:
    async with gateway_to(path) as url, aiohttp.ClientSession(url) as session:
        async with fake_at(path):
            assert (await raw(url, head("GET", "/readyz"))).status == 200
            watch = await session.post(f"{VIDEO}/WatchProgress", data=EMPTY, headers=STREAM)
            first = await watch.content.readexactly(5)
            await watch.content.readexactly(int.from_bytes(first[1:], "big"))
        rest = await watch.content.read()
        down = await raw(url, head("GET", "/readyz"))
        async with session.post(f"{VIDEO}/GetCaller", json={}) as answer:
            status, retry, text = answer.status, answer.headers["Retry-After"], await answer.text()
        async with fake_at(path):
            async with asyncio.timeout(30):
                while (await raw(url, head("GET", "/readyz"))).status != 200:
                    pass
            async with session.post(f"{VIDEO}/GetCaller", json={}) as answer:
                again = await answer.json()

    assert rest[0] == 2
    error = json.loads(rest[5:])["error"]
    assert error["code"] == json.loads(text)["code"] == "unavailable"
    assert error["details"][0]["type"] == "google.rpc.ErrorInfo"
    assert path not in rest.decode() + text
    assert (down.status, status, retry) == (503, 503, "1")
    assert again["name"] == "fake"


async def test_a_reader_that_stands_still_holds_its_server_up_and_no_memory(path: str) -> None:
    async with fake_at(path) as fake, gateway_to(path) as url:
        reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"), limit=1)
        fields = ("Content-Type: application/connect+proto", "Content-Length: 5")
        writer.write(head("POST", f"{SCENE}/DownloadAsset", *fields) + EMPTY)

        await asyncio.wait_for(fake.stalled.wait(), 60)

        # What sockets, windows of HTTP/2 and the gateway itself hold, whatever there is to read.
        assert fake.written < 16 << 20
        writer.transport.abort()
        assert not reader.at_eof()


@pytest.mark.parametrize(
    ("method", "kind", "number"),
    [
        # More than what sockets hold in all: some large answers to requests sent at once, and a stream.
        (f"{VIDEO}/GetCaller", "application/proto", 8),
        (f"{VIDEO}/GetCaller", "application/grpc-web+proto", 8),
        (f"{SCENE}/DownloadAsset", "application/connect+proto", 1),
    ],
)
async def test_an_answer_that_nobody_takes_is_cut_off(
    path: str, method: str, kind: str, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "evergreen_server.gateway")
    body = EMPTY if "+" in kind else b""
    cut = asyncio.Event()

    def answered(_: str, status: int) -> None:
        if status == 499:
            cut.set()

    async with fake_at(path) as fake, gateway_to(path, answered=answered, stall_seconds=1) as url:
        fake.name = "n" * (4 << 20)
        reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"), limit=1)
        request = head("POST", method, f"Content-Type: {kind}", f"Content-Length: {len(body)}") + body
        writer.write(request * number)

        await asyncio.wait_for(cut.wait(), 30)

        async with asyncio.timeout(30):
            with suppress(ConnectionError):
                while await reader.read(1 << 20):
                    pass
        writer.close()
    ours = {record.message for record in caplog.records if record.name.startswith("evergreen_server")}
    assert ours == {"http served", "http request"}


async def test_a_deadline_passes_also_while_a_call_waits_for_a_place(path: str) -> None:
    async with fake_at(path) as fake, gateway_to(path) as url:
        fake.hangs = True
        sent = head("POST", f"{VIDEO}/GetCaller", "Content-Type: application/proto", "Content-Length: 0")
        writers = []
        for _ in range(CALLS):
            _, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
            writer.write(sent)
            writers.append(writer)

        bounded = sent.replace(b"Content-Length", b"Connect-Timeout-Ms: 200\r\nContent-Length")
        answer = await raw(url, bounded, seconds=15)

        for writer in writers:
            writer.close()
    assert answer.status == 429


async def test_a_caller_that_leaves_ends_its_call(path: str) -> None:
    async with fake_at(path) as fake, gateway_to(path) as url, aiohttp.ClientSession(url) as session:
        watch = await session.post(f"{VIDEO}/WatchProgress", data=EMPTY, headers=STREAM)
        await watch.content.readexactly(5)
        watch.close()

        await asyncio.wait_for(fake.cancelled.wait(), 30)


async def test_only_token_id_and_trace_go_on(path: str) -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    sent = {
        "Authorization": "Bearer evg_x",
        "X-Request-Id": "known",
        "Traceparent": trace,
        "Cookie": "evergreen=other",
        "X-Secret": "sesame",
        "Grpc-Metadata-X": "sesame",
        "X-Data-Bin": "c2VzYW1l",
    }
    async with fake_at(path) as fake, gateway_to(path) as url, aiohttp.ClientSession(url) as session:
        async with session.post(f"{VIDEO}/GetCaller", json={}, headers=sent) as answer:
            assert answer.status == 200
        passed = {name: value for name, value in fake.metadata.items() if name != "user-agent"}
        async with session.post(f"{VIDEO}/GetCaller", json={}, headers={"Traceparent": "nonsense"}) as answer:
            assert answer.status == 200
        bare = set(fake.metadata) - {"user-agent"}

    own = {"x-request-id": "known", "x-forwarded-for": "127.0.0.1"}
    assert passed == {"authorization": "Bearer evg_x", "traceparent": trace, **own}
    assert bare == own.keys()


@pytest.mark.parametrize(
    ("asked", "shape"),
    [
        ("/api/v1/videos/1", {"title", "type", "status", "detail", "code", "reason", "metadata", "requestId"}),
        ("/api/videos/status/1", {"error", "reason", "errors"}),
        ("/v1/videos/video_1", {"error"}),
    ],
)
async def test_an_answer_that_is_no_message_is_told_in_the_shape_of_the_call(
    path: str, asked: str, shape: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    async with fake_at(path), gateway_to(path) as url:
        answer = await raw(url, head("GET", asked))

    assert (answer.status, set(json.loads(answer.body))) == (500, shape)
    assert b"no message" not in answer.body
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == ["internal error"]


async def test_a_port_in_use_says_what_to_do(path: str) -> None:
    async with gateway_to(path) as url:
        with pytest.raises(OSError, match="--http"):
            async with gateway_to(path, listen=url.removeprefix("http://")):
                raise AssertionError("both listen")
