"""Connections and calls that begin and do not go on, as raw HTTP/2: each ends in time, quietly, and nobody waits."""

import asyncio
import resource
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from types import SimpleNamespace

import grpc
import pytest
import pytest_asyncio

from evergreen.v1 import audit_pb2, film_pb2, scene_pb2, video_pb2, video_pb2_grpc, webhook_pb2
from evergreen_server.gateway.connections import Connections as GatewayConnections
from evergreen_server.gateway.places import gateways_files, most_connections
from evergreen_server.gateway.server import serve as serve_http
from evergreen_server.ports.metrics import NullCalls
from evergreen_server.rpc.access.policy import Access, Caller, Right
from evergreen_server.rpc.arrivals import Arrivals
from evergreen_server.rpc.connections import KEPT_FILES, Connections, connections_of, raise_file_limit
from evergreen_server.rpc.server import serve
from evergreen_server.rpc.status import status_of
from evergreen_server.rpc.streams import MOST_HEALTH_WATCHES, Streams, TooManyStreams
from tests.http2 import ACK, HEADERS, PING, PREFACE, SETTINGS, Connection, connect, envelope, frame
from tests.rpc.refusals import refusal
from tests.serving import WAIT_SECONDS, reason_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

STATUS = "/evergreen.v1.VideoService/GetStatus"
WATCH = "/evergreen.v1.VideoService/WatchProgress"
OK, INVALID, LATE, EXHAUSTED, UNAVAILABLE, UNAUTHENTICATED = 0, 3, 4, 8, 14, 16
HELLO = frame(SETTINGS, 0, 0, b"")
MOST = 12
NOBODY = Caller(name="nobody", projects=frozenset(), rights=frozenset({Right.READ}), digest=bytes(32))


class Service:
    """Has every method: one answers with nothing, a watch writes for ever."""

    async def answers(self, _message: object, _context: object) -> bytes:
        return b""

    async def WatchProgress(self, _message: object, context: object) -> None:
        while True:
            await context.call.write(bytes(1000))  # type: ignore[attr-defined]


for described in (module.DESCRIPTOR for module in (audit_pb2, film_pb2, scene_pb2, video_pb2, webhook_pb2)):
    for service in described.services_by_name.values():
        for method in service.methods:
            if not hasattr(Service, method.name):
                setattr(Service, method.name, Service.answers)


@asynccontextmanager
async def bare_server(
    access: Access,
    *,
    age_seconds: float = 0.0,
    wait_seconds: float = 0.4,
    crowd: int = 20,
    handshake_seconds: float = 0.5,
) -> AsyncIterator[str]:
    """The gRPC server with short bounds and nothing behind it."""

    async def left() -> None:
        pass

    async with serve(
        listen="127.0.0.1:0",
        video=Service(),
        scene=Service(),
        film=Service(),
        audit=Service(),
        webhook=Service(),
        access=access,
        certificates=None,
        drain=lambda: None,
        leave=left,
        healthy=lambda: True,
        grace_seconds=1,
        connections=Connections(
            most=MOST, age_seconds=age_seconds, grace_seconds=0.5, idle_seconds=1, handshake_seconds=handshake_seconds
        ),
        arrivals=Arrivals(wait_seconds=wait_seconds, crowd=crowd, crowded_seconds=0.2, poll_seconds=0.05),
        calls=NullCalls(),
        tracer=None,
    ) as address:
        yield address


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address() -> AsyncIterator[str]:
    async with bare_server(Access(None)) as opened:
        yield opened


@asynccontextmanager
async def few_connections() -> AsyncIterator[str]:
    """A gateway that has as few connections as one may, before no server."""
    nothing = SimpleNamespace()
    async with serve_http(
        listen="127.0.0.1:0",
        target="127.0.0.1:1",
        tls=None,
        hosts=(),
        origins=(),
        proxies=(),
        models={},
        files=0,
        grace_seconds=0.0,
        answered=lambda _route, _status: None,
        opened=lambda _numbers: None,
        thumbnailer=nothing,
    ) as url:
        yield url


class Calls:
    """Raw calls over one connection, and how each ended."""

    def __init__(self) -> None:
        self.connection: Connection
        self.ends: dict[int, int] = {}
        self._news = asyncio.Event()

    def ended(self, stream: int, status: int) -> None:
        self.ends[stream] = status
        self._news.set()

    async def all(self, count: int) -> dict[int, int]:
        """Waits until so many calls have ended."""
        async with asyncio.timeout(WAIT_SECONDS):
            while len(self.ends) < count:
                self._news.clear()
                await self._news.wait()
        return self.ends


@asynccontextmanager
async def calling(address: str, path: str = STATUS, **more: int) -> AsyncIterator[Calls]:
    calls = Calls()
    calls.connection = await connect(address, path, received=lambda *_: None, ended=calls.ended, **more)
    try:
        yield calls
    finally:
        calls.connection.transport.abort()


async def answers(address: str) -> None:
    """Checks that somebody else is answered soon, as far as a busy machine can tell.

    By a client of gRPC on a connection of its own: on a busy machine a connection may be closed as idle, which here is
    a second, before its first call is read. Such a client then calls again by itself.
    """
    begun = time.monotonic()
    async with grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        assert await channel.unary_unary(STATUS)(b"", timeout=WAIT_SECONDS) == b""
    assert time.monotonic() - begun < 30


BODIES: list[tuple[str, bytes | None, bool, set[int]]] = [
    ("no body", None, True, {INVALID}),
    ("an empty body", b"", True, {INVALID}),
    ("one byte of a prefix", b"\0", True, {INVALID}),
    ("half a prefix", b"\0\0\0", True, {INVALID}),
    ("a prefix alone", b"\0\0\0\0\x05", True, {INVALID}),
    ("less than the prefix says", b"\0\0\0\0\x05ab", True, {INVALID}),
    ("a prefix of 4 GiB", b"\0\xff\xff\xff\xff", True, {8}),
    ("no bytes that are compressed", b"\1\0\0\0\0", True, {13, OK}),
    ("bytes that are not compressed", b"\1\0\0\0\x04abcd", True, {12, 13}),
    ("no message at all", None, False, {LATE}),
    ("nothing after the head", b"", False, {LATE}),
    ("half a prefix, held", b"\0\0\0", False, {LATE}),
    ("a prefix, held", b"\0\0\0\0\x05", False, {LATE}),
    ("a part, held", b"\0\0\0\0\x05ab", False, {LATE}),
    ("a prefix of 4 MiB, held", b"\0\0\x3f\xff\xff", False, {LATE}),
    ("a message, held open", envelope(b""), False, {OK}),
    ("two messages", envelope(b"") * 2, True, {OK}),
    ("no message", envelope(b"\xff"), True, {INVALID}),
]


@pytest.mark.parametrize(("what", "body", "end", "statuses"), BODIES, ids=[what for what, *_ in BODIES])
async def test_a_call_without_its_message_gets_a_status_in_time(
    address: str, what: str, body: bytes | None, end: bool, statuses: set[int], caplog: pytest.LogCaptureFixture
) -> None:
    async with calling(address) as unary, calling(address, "/evergreen.v1.SceneService/DownloadAsset") as stream:
        for calls in (unary, stream):
            calls.connection.begin(body, end=end)
        for calls in (unary, stream):
            assert set((await calls.all(1)).values()) <= statuses
    assert caplog.records == []


async def test_reflection_does_not_wait_for_ever(address: str) -> None:
    for path in ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "/grpc.health.v1.Health/Check"):
        async with calling(address, path) as calls:
            calls.connection.begin()
            calls.connection.begin(b"\0\0")

            assert await calls.all(2) == {1: LATE, 3: LATE}


async def test_a_late_request_is_told_so(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.stream_unary(STATUS)()

        error = await refusal(call)

    assert (error.code(), reason_of(error)) == (grpc.StatusCode.DEADLINE_EXCEEDED, "REQUEST_STALLED")


async def test_thousands_of_calls_that_send_nothing_are_ended_and_others_answered() -> None:
    """A crowd on one connection waits less long than a few; who sends a message is served beside it."""
    async with (
        bare_server(Access(None), wait_seconds=3600, handshake_seconds=60) as address,
        calling(address) as greedy,
        calling(address) as few,
    ):
        few.connection.begin()
        for number in range(1900):
            greedy.connection.begin(b"\0\0\0\0\x05a" if number % 2 else None)
        greedy.connection.call(b"")
        await answers(address)
        # The last twenty are no crowd any more.
        while len(greedy.ends) < 1881:
            await answers(address)
        ends = greedy.ends

        assert few.ends == {}
        assert sorted(set(ends.values())) == [OK, LATE]
        assert ends[1 + 2 * 1900] == OK


HANDS: list[tuple[str, bytes]] = [
    ("nothing", b""),
    ("half a preface", PREFACE[:10]),
    ("a preface", PREFACE),
    ("a preface of HTTP/1.1", b"GET / HTTP/1.1\r\nHost: x\r\n"),
    ("a TLS hello", b"\x16\x03\x01\x02\x00\x01"),
    ("settings without an end", PREFACE + b"\0\0\x10\x04\0\0\0\0\0"),
    ("half a frame's head", PREFACE + HELLO + b"\0\0"),
    ("half a head", PREFACE + HELLO + frame(HEADERS, 0, 1, b"\x83\x86")),
    ("pings alone", PREFACE + HELLO + frame(PING, ACK, 0, bytes(8))),
    ("no call", PREFACE + HELLO),
]


@pytest.mark.parametrize(("what", "sent"), HANDS, ids=[what for what, _ in HANDS])
async def test_a_connection_that_begins_and_makes_no_call_is_closed(address: str, what: str, sent: bytes) -> None:
    reader, writer = await asyncio.open_connection(*address.rsplit(":", 1))
    writer.write(sent)

    async with asyncio.timeout(60):
        try:
            while await reader.read(1 << 16):
                pass
        except ConnectionError:
            pass
    writer.close()
    await answers(address)


async def test_a_connection_that_comes_a_byte_at_a_time_is_closed(address: str) -> None:
    reader, writer = await asyncio.open_connection(*address.rsplit(":", 1))
    closed = asyncio.ensure_future(reader.read())

    async with asyncio.timeout(60):
        for byte in PREFACE + HELLO + bytes(100_000):
            if closed.done():
                break
            writer.write(bytes([byte]))
            await asyncio.wait({closed}, timeout=0.05)

    assert closed.done()
    writer.close()
    await asyncio.wait({closed})
    closed.exception()


async def test_no_more_connections_are_taken_than_there_may_be(address: str) -> None:
    held = [await asyncio.open_connection(*address.rsplit(":", 1)) for _ in range(MOST + 8)]
    for _, writer in held:
        writer.write(PREFACE + HELLO)
    greetings = []
    for reader, _ in held:
        try:
            greetings.append(await asyncio.wait_for(reader.read(9), 60))
        except ConnectionError:
            greetings.append(b"")
    for _, writer in held:
        writer.close()

    taken = sum(bool(greeting) for greeting in greetings)
    assert MOST - 2 <= taken <= MOST
    # Those that were closed leave their places to others.
    async with asyncio.timeout(60):
        while True:
            async with calling(address) as other:
                other.connection.call(b"")
                if await other.all(1) == {1: OK}:
                    return


@pytest.mark.parametrize(("files", "connections"), [(256, 128), (1024, 624), (4096, 3696), (1_000_000, 20_000)])
async def test_files_are_kept_back_for_the_services_own_work(files: int, connections: int) -> None:
    assert connections_of(files) == connections
    assert files - connections >= min(KEPT_FILES, files // 2)


@pytest.mark.parametrize("files", [600, 1024, 4096, 20_000, 65_536, 1_000_000])
async def test_the_gateway_in_the_same_process_takes_no_file_that_is_kept_back(files: int) -> None:
    beside = most_connections(gateways_files(files))
    both = connections_of(files, beside=beside) + beside

    assert connections_of(files, beside=beside) > 100
    assert files - both >= min(KEPT_FILES, (files - beside) // 2)


async def test_one_address_takes_half_of_the_gateways_connections_and_another_is_answered() -> None:
    async def opened(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))

    async def alive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        try:
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            async with asyncio.timeout(WAIT_SECONDS):
                return (await reader.read(1 << 12)).startswith(b"HTTP/1.1 200")
        except ConnectionError:
            return False

    most = most_connections(0)
    async with few_connections() as url:
        port = int(url.rpartition(":")[2])
        held = [await opened("127.0.0.1") for _ in range(most)]
        kept = [number for number, each in enumerate(held) if await alive(*each)]
        other = await opened("127.0.0.2")
        assert await alive(*other)
        for _, writer in held:
            writer.close()
        assert kept == list(range(most // 2))

        # Those that were closed leave their places to others.
        async with asyncio.timeout(WAIT_SECONDS):
            while not await alive(*(again := await opened("127.0.0.1"))):
                again[1].close()
        for _, writer in (other, again):
            writer.close()


async def test_a_proxy_that_is_trusted_takes_all_connections_and_an_ipv6_network_counts_as_one_address() -> None:
    places = GatewayConnections(most=8, proxy=lambda address: address == "fd00::1")

    assert [places.take(f"2001:db8::{number:x}") for number in range(6)] == [True] * 4 + [False] * 2
    assert [places.take("fd00::1") for _ in range(5)] == [True] * 4 + [False]
    assert not places.take("192.0.2.1")
    places.give_back("2001:db8::0")
    assert places.take("192.0.2.1")


async def test_as_many_files_may_be_open_as_the_system_allows() -> None:
    assert raise_file_limit() > 0
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == hard


@pytest.mark.parametrize("window", [0, 1, 100, 65_535])
async def test_a_client_that_reads_nothing_and_goes_leaves_no_trace(
    address: str, window: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with calling(address, WATCH, stream_window=window) as calls:
        stream = calls.connection.call(b"")
        cut = calls.connection.call(b"")
        await answers(address)
        calls.connection.cancel(stream)
        assert cut != stream
    async with calling(address, WATCH, stream_window=window) as calls:
        for _ in range(50):
            calls.connection.cancel(calls.connection.call(b""))
        calls.connection.call(b"")
        await answers(address)
    for _ in range(5):
        await answers(address)

    assert caplog.records == []


TOKEN = "evg_a-good-token"
TOKENS: list[bytes] = [
    b"Bearer \xff",
    b"Bearer " + TOKEN.encode() + b"\xfe",
    b"\x80" + TOKEN.encode(),
    b"Bearer \xc3\x28" + TOKEN.encode(),
    b"Bearer " + TOKEN.encode() + b"\xed\xa0\x80",
    b"Bearer",
    b"Bearer ",
    b"Basic " + TOKEN.encode(),
    b"\tBearer " + TOKEN.encode(),
    b"Bearer  " + TOKEN.encode(),
    b"Bearer " + b"x" * 100,
]


@pytest.mark.parametrize("value", TOKENS, ids=range(len(TOKENS)))
async def test_an_authorization_that_is_no_token_is_refused_and_never_logged(
    value: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with bare_server(Access({NOBODY.digest: NOBODY})) as address, calling(address) as calls:
        calls.connection.add_header("authorization", value)
        calls.connection.call(b"")

        assert await calls.all(1) == {1: UNAUTHENTICATED}
    assert caplog.records == []


async def test_reflection_without_a_token_is_shown_as_unauthenticated_by_stock_clients() -> None:
    async with (
        bare_server(Access({NOBODY.digest: NOBODY})) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        path = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

        error = await refusal(channel.stream_stream(path)(iter([b""])).read())

    assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_REQUIRED")


async def test_watches_of_health_that_need_no_token_leave_places_to_others() -> None:
    path = "/grpc.health.v1.Health/Watch"
    async with (
        # No call is late here, however long a busy machine takes to read a thousand messages.
        bare_server(Access(None), wait_seconds=3600, crowd=MOST_HEALTH_WATCHES) as address,
        calling(address, path) as greedy,
        calling(address, path) as honest,
    ):
        for _ in range(MOST_HEALTH_WATCHES):
            greedy.connection.call(b"")
        ends = await greedy.all(MOST_HEALTH_WATCHES // 2)
        honest.connection.call(b"")
        honest.connection.call(b"\x0a\x04none")
        await answers(address)

        assert set(ends.values()) == {EXHAUSTED}
        assert len(greedy.connection.open) == MOST_HEALTH_WATCHES // 2
        assert len(honest.connection.open) == 2


async def test_one_caller_has_no_more_than_half_of_all_watches() -> None:
    streams = Streams(10)
    with ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(streams.of("greedy"))
        with pytest.raises(TooManyStreams), streams.of("greedy"):
            pytest.fail("a sixth watch was let in")
        for _ in range(2):
            stack.enter_context(streams.of("honest"))
    with streams.of("greedy"):
        pass
    status = status_of(TooManyStreams("too many"))

    assert (status.code, status.reason, status.retry) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", True)


async def test_a_connection_that_is_old_is_closed_and_its_client_goes_on() -> None:
    async with bare_server(Access(None), age_seconds=0.3, wait_seconds=3600) as address, calling(address) as calls:
        calls.connection.call(b"")
        await calls.all(1)
        calls.connection.begin()
        # Is cut off when the grace has passed, long before its request is late.
        assert (await calls.all(2))[3] == UNAVAILABLE

        async with grpc.aio.insecure_channel(address) as channel:
            stub = video_pb2_grpc.VideoServiceStub(channel)
            until = time.monotonic() + 1.5
            while time.monotonic() < until:
                await stub.GetStatus(video_pb2.GetStatusRequest(job_id="a"))
