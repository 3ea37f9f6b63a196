"""What hostile pages and readers do to sockets and streams of events: each is refused by name, and costs little."""

import asyncio
import json
import logging
import os
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from tempfile import TemporaryDirectory

import aiohttp
import pytest
import pytest_asyncio

from evergreen.v1 import video_pb2
from evergreen_server.gateway.live.frames import FRAME_BYTES
from evergreen_server.gateway.live.hub import Hub
from evergreen_server.gateway.live.speech import MOST_PROJECTS
from evergreen_server.gateway.live.sweeping import Sweep
from evergreen_server.gateway.problems import Refused
from evergreen_server.gateway.upstream import Upstream
from evergreen_server.gateway.visitors import Visitor
from evergreen_server.rpc.connections import raise_file_limit
from tests.benchmarks.machine import resident_kib
from tests.gateway.gateways import gateway_to, head, raw
from tests.gateway.live.pages import page, seen
from tests.gateway.live.scripted import Scripted, event, scripted_at

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOCKET = "/api/v1/socket"
UPGRADE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


@pytest.fixture(scope="module")
def path() -> Iterator[str]:
    with TemporaryDirectory(dir="/tmp") as folder:
        yield f"{folder}/grpc"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def upstream(path: str) -> AsyncIterator[Scripted]:
    async with scripted_at(path) as scripted:
        yield scripted


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url(path: str, upstream: Scripted) -> AsyncIterator[str]:
    async with gateway_to(path, files=10_000) as opened:
        yield opened


def frame(opcode: int, data: bytes, *, first: int = 0x80, masked: bool = True, length: int | None = None) -> bytes:
    """A frame as bytes, which may lie about its `length`; with a mask of zeros."""
    size, mask = len(data) if length is None else length, 0x80 if masked else 0
    if size < 126:
        sized = bytes((mask | size,))
    elif size < 1 << 16:
        sized = bytes((mask | 126,)) + struct.pack(">H", size)
    else:
        sized = bytes((mask | 127,)) + struct.pack(">Q", size)
    return bytes((first | opcode,)) + sized + (bytes(4) if masked else b"") + data


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A socket as bytes, whose welcome was read."""
    reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
    try:
        writer.write(head("GET", SOCKET, *UPGRADE))
        async with asyncio.timeout(30):
            assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
            await reader.readuntil(b"}}")
        yield reader, writer
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"{", 4400),
        (b"", 4400),
        (b"[]", 4400),
        (b"null", 4400),
        (b'"subscribe"', 4400),
        (b"{}", 4400),
        (b'{"type": "event"}', 4400),
        (b'{"type": "Subscribe"}', 4400),
        (b'{"type": ["subscribe"]}', 4400),
        (b'{"type": {}}', 4400),
        (b'{"type": "ping", "type": "ping"}', 4400),
        (b'{"type": "subscribe", "afterRevision": NaN}', 4400),
        (b"[" * 60_000, 4400),
        (b'{"a":' * 10_000, 4400),
        (b'{"type": "subscribe", "jobIds": [' + b"[]," * 21_000 + b"[]]}", 4400),
        (b" " * (FRAME_BYTES + 1), 1009),
    ],
)
async def test_a_frame_that_is_none_ends_the_socket(url: str, sent: bytes, code: int) -> None:
    async with page(url) as one:
        await one.socket.send_frame(sent, aiohttp.WSMsgType.TEXT)
        assert await one.next() == {"type": "closed", "code": code}


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(2, b'{"type":"ping"}'), 4400),
        (frame(1, b"\xff\xfe"), 4400),
        (frame(1, "ä".encode("latin-1")), 4400),
        (frame(1, b"x", first=0xC0), 1002),
        (frame(1, b"x", first=0xF0), 1002),
        (frame(3, b"x"), 1002),
        (frame(11, b"x"), 1002),
        (frame(0, b"x"), 1002),
        (frame(9, b"x" * 126), 1002),
        (frame(9, b"x", first=0), 1002),
        (frame(8, b"\x03"), 1002),
        (frame(1, b"", length=1 << 62), 1009),
        (frame(1, b"", length=FRAME_BYTES + 1), 1009),
        (frame(1, b"x" * 40_000, first=0) + frame(0, b"x" * 40_000), 1009),
    ],
)
async def test_bytes_that_are_no_frame_end_the_socket(url: str, sent: bytes, code: int) -> None:
    async with opened(url) as (reader, writer):
        writer.write(sent)
        answer = b""
        async with asyncio.timeout(30):
            # What it left unread is answered by a reset, after its word.
            with suppress(ConnectionError):
                while data := await reader.read(4096):
                    answer += data
        assert answer[0] == 0x88
        assert int.from_bytes(answer[2:4], "big") == code


async def test_a_socket_that_opens_wrongly_is_refused_before(url: str) -> None:
    for fields, status in (
        ((), 400),
        (UPGRADE[:1], 400),
        (UPGRADE[:3], 400),
        ((*UPGRADE[:2], "Sec-WebSocket-Version: 99", UPGRADE[3]), 400),
        ((*UPGRADE, "Sec-Fetch-Site: same-site"), 403),
        ((*UPGRADE, "Sec-Fetch-Site: cross-site", "Origin: https://evil.example"), 403),
        ((*UPGRADE, "Origin: https://evil.example"), 403),
        ((*UPGRADE, "Origin: null"), 403),
        ((*UPGRADE, "Host: evil.example"), 400),
    ):
        answer = await raw(url, head("GET", SOCKET, *fields))
        assert (answer.status, json.loads(answer.body)["status"]) == (status, status), fields
    assert (await raw(url, head("GET", SOCKET, *UPGRADE, host="evil.example"))).status == 421
    assert (await raw(url, head("POST", SOCKET, *UPGRADE, "Content-Length: 0"))).status == 405
    query = await raw(url, head("GET", f"{SOCKET}?token=evg_{'a' * 43}", *UPGRADE))
    assert (query.status, json.loads(query.body)["reason"]) == (400, "TOKEN_IN_URL")


async def test_many_frames_are_read_slowly_and_hold_up_nobody(url: str) -> None:
    """Pings and pongs of the protocol count as well, and so do empty ones."""
    async with opened(url) as (_, writer), page(url) as other:
        writer.write((frame(9, b"") + frame(10, b"") + frame(1, b'{"type":"ping"}')) * 30_000)
        for _ in range(20):
            await other.say("ping")
            assert await other.next() == {"type": "pong"}


async def test_a_socket_may_follow_so_many_projects(url: str, upstream: Scripted) -> None:
    async with page(url) as one:
        for number in range(MOST_PROJECTS + 1):
            await one.say("subscribe", projectId=f"many-{number}")
        told = await one.until("error")
        assert told[-1]["about"]["projectId"] == f"many-{MOST_PROJECTS}"
        assert told[-1]["problem"]["reason"] == "QUEUE_FULL"
        await one.say("unsubscribe", projectId="many-0")
        await one.say("subscribe", projectId="once-more")
        await one.until("checkpoint", projectId="once-more")


async def test_jobs_by_id_are_bounded_over_all_frames(url: str) -> None:
    async with page(url) as one:
        await one.say("subscribe", projectId="film", jobIds=[f"a-{number}" for number in range(600)])
        await one.say("subscribe", projectId="film", jobIds=[f"b-{number}" for number in range(600)])
        [error] = await one.until("error")

    assert error["problem"]["errors"] == [{"field": "jobIds", "detail": "at most 1000 of a project on one socket"}]


def visitor(name: str) -> Visitor:
    return Visitor(host="", https=False, address="", request_id="1", authorization=f"Bearer {name}")


async def test_a_greedy_caller_leaves_topics_to_others(path: str) -> None:
    """And what nobody follows any more makes room."""
    async with Upstream(f"unix:{path}.none", streams=1) as upstream, Hub(upstream=upstream, most_topics=8) as hub:
        async with AsyncExitStack() as held:
            for number in range(4):
                await held.enter_async_context(hub.topic(visitor("greedy"), str(number)))
            with pytest.raises(Refused, match="too many projects"):
                await held.enter_async_context(hub.topic(visitor("greedy"), "one more"))
            for number in range(2):
                await held.enter_async_context(hub.topic(visitor("honest"), str(number)))
            assert hub.topics == 6
        for number in range(8):
            async with hub.topic(visitor("greedy"), f"new {number}"):
                assert hub.topics <= 8


async def test_a_greedy_caller_that_comes_from_old_cursors_holds_up_no_other(path: str) -> None:
    """Whoever waits for a place gets one when it is their turn, not when all who came before have had theirs."""
    order: list[str] = []

    async def catch_up(hub: Hub, name: str) -> None:
        async with hub.catching_up(visitor(name)):
            order.append(name)
            await asyncio.sleep(0)

    async with (
        Upstream(f"unix:{path}.none", streams=1) as upstream,
        Hub(upstream=upstream, most_catching_up=4) as hub,
        asyncio.TaskGroup() as tasks,
    ):
        for _ in range(40):
            tasks.create_task(catch_up(hub, "greedy"))
        await asyncio.sleep(0)
        tasks.create_task(catch_up(hub, "honest"))

    assert order.index("honest") <= 6


async def test_one_odd_connection_ends_no_sweep(caplog: pytest.LogCaptureFixture) -> None:
    looked = asyncio.Event()

    class Odd:
        def look(self, now: float) -> None:
            raise RuntimeError("odd")

    class Sound:
        def look(self, now: float) -> None:
            if "internal error" in caplog.text:
                looked.set()

    async with Sweep() as sweep:
        with sweep.of(Odd()), sweep.of(Sound()):
            await asyncio.wait_for(looked.wait(), 30)


class Ended(logging.Handler):
    """Waits for sockets that the gateway ends by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.codes: list[int] = []
        self.changed = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() == "socket ended":
            self.codes.append(vars(record)["code"])
            self.changed.set()

    async def until(self, number: int) -> None:
        async with asyncio.timeout(60):
            while len(self.codes) < number:
                self.changed.clear()
                await self.changed.wait()


async def test_readers_that_take_nothing_are_closed_with_4408_and_cost_no_memory(path: str) -> None:
    """While the others get all of it; 20 MB for each."""
    number, slow = 200, 6
    ended, sockets = Ended(), logging.getLogger("evergreen_server.gateway.live.conversations")
    sockets.addHandler(ended)
    level = sockets.level
    sockets.setLevel(logging.INFO)
    try:
        async with (
            scripted_at(f"{path}.slow") as upstream,
            gateway_to(f"{path}.slow", event_stall_seconds=1) as url,
            AsyncExitStack() as stack,
        ):
            readers = []
            for _ in range(slow):
                reader, writer = await stack.enter_async_context(opened(url))
                writer.write(frame(1, b'{"type":"subscribe","projectId":"slow"}'))
                await reader.readuntil(b"checkpoint")
                readers.append(reader)
            quick = await stack.enter_async_context(page(url))
            await quick.follow(projectId="slow")
            before = resident_kib(os.getpid())
            for revision in range(1, number + 1):
                await upstream.tell(event(revision, "a", labels={"x": "y" * 100_000}))
                await quick.until("event", revision=str(revision))
            grown = resident_kib(os.getpid()) - before
            await ended.until(slow)
            rest = await readers[0].read()

        # 120 MB were told to them, of which sockets and the window hold a part, once.
        assert grown < 70_000
        assert ended.codes[:slow] == [4408] * slow
        assert struct.pack(">H", 4408) in rest[-100:]
    finally:
        sockets.removeHandler(ended)
        sockets.setLevel(level)


async def test_what_is_followed_no_more_takes_nothing_else_along_on_a_slow_socket(path: str) -> None:
    """Both wait for the reader when one of them is dropped."""
    number = 160
    async with (
        scripted_at(f"{path}.two") as upstream,
        gateway_to(f"{path}.two") as url,
        page(url) as quick,
        page(url) as one,
    ):
        await one.follow(projectId="left")
        await one.follow(projectId="kept")
        await quick.follow(projectId="kept")
        for revision in range(1, number + 1):
            project = ("kept", "left")[revision % 2]
            await upstream.tell(event(revision, "a", project_id=project, labels={"x": "y" * 100_000}))
        await quick.until("event", revision=str(number))
        await one.say("unsubscribe", projectId="left")
        told = await one.until("event", revision=str(number))

    states = [each["job"] for each in told if each["type"] == "event"]
    kept = [each for each in told if each["type"] == "event" and each["job"]["projectId"] == "kept"]
    assert len(states) > len(kept)
    assert [int(str(each["revision"])) for each in kept] == list(range(2, number + 1, 2))


async def test_a_thousand_sockets_are_all_told(url: str, upstream: Scripted) -> None:
    """They open at once, on one machine, and none is left out."""
    number = 1000
    # Both ends of each are in this process.
    assert raise_file_limit() > 2 * number + 100
    base = upstream.revision
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def follow() -> list[tuple[object, object]]:
            async with asyncio.timeout(120), session.ws_connect(f"{url}{SOCKET}") as socket:
                await socket.send_json({"type": "subscribe", "projectId": "crowd"})
                told = []
                async for message in socket:
                    told.append(json.loads(message.data))
                    if told[-1]["type"] == "checkpoint":
                        opened_all.append(socket)
                        if len(opened_all) == number:
                            everybody.set()
                    if told[-1].get("event") == "succeeded":
                        break
                return seen(told)

        opened_all: list[object] = []
        everybody = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            following = [tasks.create_task(follow()) for _ in range(number)]
            async with asyncio.timeout(120):
                await everybody.wait()
            await upstream.tell(
                *(event(base + each, "z") for each in range(1, 4)),
                event(base + 4, "z", video_pb2.EVENT_KIND_SUCCEEDED, state=video_pb2.JOB_STATE_SUCCEEDED),
            )
    wanted = [("stage_changed", str(base + each)) for each in range(1, 4)] + [("succeeded", str(base + 4))]
    assert all(task.result()[-4:] == wanted for task in following)
