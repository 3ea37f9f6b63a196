"""What a hostile client sends over HTTP: each is refused by name, costs little, and leaves the gateway whole."""

import asyncio
import gzip
import json
import struct
from collections.abc import AsyncIterator
from http.cookies import SimpleCookie

import pytest
import pytest_asyncio

from evergreen.v1 import video_pb2
from evergreen_server.gateway.messages import MOST_VALUES, read_json
from evergreen_server.gateway.places import CALLS, Places
from evergreen_server.gateway.problems import Refused
from tests.gateway.gateways import VIDEO, Answer, gateway, head, raw
from tests.serving import Api, open_sandbox

pytestmark = pytest.mark.asyncio(loop_scope="module")

STATUS = f"{VIDEO}/GetStatus"
WATCH = f"{VIDEO}/WatchProgress"
TOKEN = "evg_" + "b" * 43


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    async with open_sandbox() as sandbox, gateway(tmp_path_factory.mktemp("hostile") / "data", sandbox) as opened:
        yield opened


async def sent(api: Api, path: str, body: bytes, *fields: str, kind: str = "application/json") -> Answer:
    lines = (f"Content-Type: {kind}", f"Content-Length: {len(body)}", *fields)
    answer = await raw(api.http, head("POST", path, *lines) + body)
    assert (await raw(api.http, head("GET", "/readyz"))).status == 200
    return answer


def reason(answer: Answer) -> str:
    """The reason of a problem, or the code that Connect has for it."""
    body = json.loads(answer.body)
    return str(body.get("reason") or body["code"])


@pytest.mark.parametrize(
    ("fields", "status", "wanted"),
    [
        (["Host: evil.example"], 400, "MALFORMED_REQUEST"),
        (["Authorization: Bearer a", "Authorization: Bearer b"], 401, "TOKEN_INVALID"),
        (["Authorization: "], 401, "TOKEN_INVALID"),
        (["Authorization: Bearer \xe4"], 401, "TOKEN_INVALID"),
        (["Authorization: Bearer a b c"], 401, "TOKEN_INVALID"),
        (["Authorization: Bearer " + "a" * 5000], 401, "TOKEN_INVALID"),
        (["Content-Type: application/json", "Content-Type: application/proto"], 400, "MALFORMED_REQUEST"),
        (["Content-Encoding: gzip"], 415, "unimplemented"),
        (["Content-Encoding: identity", "Content-Encoding: gzip"], 400, "invalid_argument"),
        (["Connect-Protocol-Version: 2"], 400, "invalid_argument"),
        (["Connect-Timeout-Ms: 10000000000"], 400, "invalid_argument"),
        (["Connect-Timeout-Ms: -1"], 400, "invalid_argument"),
        (["Connect-Timeout-Ms: \xb2"], 400, "invalid_argument"),
        (["X: " + "a" * 9000], 431, "HEAD_TOO_LARGE"),
        ([f"X-{number}: {'a' * 150}" for number in range(60)], 431, "HEAD_TOO_LARGE"),
        (["X: " + "a" * 70_000], 400, "MALFORMED_REQUEST"),
        ([f"X-{number}: a" for number in range(200)], 400, "MALFORMED_REQUEST"),
        (["Transfer-Encoding: chunked"], 400, "MALFORMED_REQUEST"),
        (["Content-Length: 3"], 400, "MALFORMED_REQUEST"),
        (["X\x00: a"], 400, "MALFORMED_REQUEST"),
        (["Transfer-Encoding : chunked"], 400, "MALFORMED_REQUEST"),
    ],
)
async def test_a_head_that_lies_or_says_too_much(api: Api, fields: list[str], status: int, wanted: str) -> None:
    kind = [] if any(field.startswith("Content-Type") for field in fields) else ["Content-Type: application/json"]
    answer = await raw(api.http, head("POST", STATUS, *kind, "Content-Length: 2", *fields) + b"{}")

    assert (answer.status, reason(answer)) == (status, wanted)


@pytest.mark.parametrize(
    "target",
    [
        f"/session?token={TOKEN}",
        f"{STATUS}?access_token=a",
        f"{STATUS}?x=1&Authorization=Bearer%20a",
        f"/healthz?q={TOKEN}",
        f"/{TOKEN}",
    ],
)
async def test_a_token_in_a_url_is_refused_and_not_repeated(api: Api, target: str) -> None:
    answer = await raw(api.http, head("POST", target, "Content-Length: 0", "Content-Type: application/json"))

    assert (answer.status, reason(answer)) == (400, "TOKEN_IN_URL")
    assert TOKEN not in answer.body.decode()


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("//evergreen.v1.VideoService/GetStatus", 404),
        ("/evergreen.v1.VideoService/../evergreen.v1.VideoService/Nothing", 404),
        ("/evergreen.v1.VideoService%2fGetStatus", 404),
        ("/evergreen.v1.VideoService/GetStatus/", 404),
        ("/evergreen.v1.VideoService/getStatus", 404),
        ("/grpc.health.v1.Health/Check", 404),
        ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", 404),
        ("/static/../../etc/passwd", 404),
        ("/%00", 404),
        ("/%ff%fe", 404),
        ("http://evil.example/session", 400),
        ("*", 400),
        ("/" + "a" * 9000, 414),
        ("/" + "a" * 70_000, 400),
    ],
)
async def test_a_path_leads_nowhere_else(api: Api, target: str, status: int) -> None:
    answer = await raw(api.http, head("POST", target, "Content-Length: 0", "Content-Type: application/proto"))

    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "TRACE"])
async def test_only_post_calls(api: Api, method: str) -> None:
    path = f"{STATUS}?connect=v1&encoding=json&message=%7B%7D"
    reader, writer = await asyncio.open_connection(*api.http.removeprefix("http://").split(":"))
    writer.write(head(method, path, "Connection: close"))
    answer = await reader.read()
    writer.close()

    assert answer.startswith(b"HTTP/1.1 405 ")
    assert b"\r\nAllow: POST\r\n" in answer


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"null",
        b"7",
        b"\xff",
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        "{}".encode("utf-32-le"),
        b'{"jobId": 1}',
        b'{"jobId": null, "jobId": "a"}',
        b'{"jobid": "a"}',
        b'{"jobId": "\\ud800"}',
        b'{"jobId": NaN}',
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"jobId": [' + b"[]," * 50_000 + b"[]]}",
        b"[" + b"{}," * 50_000 + b"{}]",
        b'{"jobId": ' + b"9" * 5000 + b"}",
    ],
)
async def test_what_is_no_message_in_json_is_said_to_be_none(api: Api, body: bytes) -> None:
    answer = await sent(api, STATUS, body)

    assert (answer.status, reason(answer)) == (400, "invalid_argument")
    assert len(answer.body) < 4000


@pytest.mark.parametrize(
    "body",
    [
        {"projectId": "film", "pageSize": "many"},
        {"projectId": "film", "states": ["NO_STATE"]},
        {"projectId": "film", "states": 7.5},
        {"projectId": "film", "labels": []},
        {"projectId": {}, "pageSize": {}},
        {"projectId": "film", "createdFrom": "yesterday"},
        {"projectId": "film", "createdFrom": 7},
        {"projectId": "film", "labels": {"a": {}}},
        {"projectId": "film", "pageSize": 1e30},
    ],
)
async def test_values_of_the_wrong_kind_are_named(api: Api, body: object) -> None:
    answer = await sent(api, f"{VIDEO}/ListVideos", json.dumps(body).encode())

    assert (answer.status, reason(answer)) == (400, "invalid_argument")


async def test_a_document_may_have_so_many_values() -> None:
    request = video_pb2.WatchProgressRequest
    full = json.dumps({"jobIds": ["a,b[{"] * (MOST_VALUES - 1)}).encode()

    assert len(read_json(request, full).job_ids) == MOST_VALUES - 1
    with pytest.raises(Refused):
        read_json(request, full[:-2] + b',"a","b"]}')


@pytest.mark.parametrize("kind", ["application/connect+proto", "application/grpc-web+proto"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0",
        b"\0\0\0\0",
        b"\0\0\0\0\5ab",
        b"\0\xff\xff\xff\xff",
        b"\0\0\0\0\0\0\0\0\0\0",
        b"\0\0\0\0\0x",
        b"\2\0\0\0\2{}",
        b"\x80\0\0\0\0",
        b"\0\0\0\0\2\xff\xff",
    ],
)
async def test_a_frame_that_is_none(api: Api, body: bytes, kind: str) -> None:
    answer = await sent(api, WATCH, body, "Connection: close", kind=kind)

    assert answer.status == 200
    assert b'"invalid_argument"' in answer.body if "connect" in kind else b"grpc-status: 3\r\n" in answer.body


async def test_compressed_frames_and_bodies_are_not_opened(api: Api) -> None:
    bomb = gzip.compress(bytes(100 << 20), 9)
    framed = await sent(
        api, WATCH, struct.pack(">BI", 1, len(bomb)) + bomb, "Connection: close", kind="application/grpc-web"
    )
    whole = await sent(api, STATUS, bomb, "Content-Encoding: gzip", kind="application/proto")

    assert b"grpc-status: 12\r\n" in framed.body
    assert (whole.status, reason(whole)) == (415, "unimplemented")


async def test_a_body_that_is_too_long_is_refused_before_it_is_read(api: Api) -> None:
    for kind, most in (("application/json", 5_600_000), ("application/proto", (4 << 20) + (64 << 10))):
        fields = (f"Content-Type: {kind}", f"Content-Length: {most + 1}")
        announced = await raw(api.http, head("POST", STATUS, *fields))
        unannounced = await raw(
            api.http,
            head("POST", STATUS, fields[0], "Transfer-Encoding: chunked")
            + b"100000\r\n"
            + bytes(1 << 20)
            + b"\r\n"
            + (b"100000\r\n" + b" " * (1 << 20) + b"\r\n") * 6,
        )

        for answer in (announced, unannounced):
            assert (answer.status, json.loads(answer.body)["code"]) == (413, "resource_exhausted")


async def test_half_a_body_is_no_call(api: Api) -> None:
    job = await api.generate()
    host, port = api.http.removeprefix("http://").split(":")
    for lines in (["Content-Length: 90"], ["Transfer-Encoding: chunked"]):
        reader, writer = await asyncio.open_connection(host, port)
        body = json.dumps({"jobId": job.job_id}).encode()
        writer.write(head("POST", f"{VIDEO}/CancelVideo", "Content-Type: application/json", *lines))
        writer.write(body if len(lines[0]) < 20 else b"%x\r\n" % len(body) + body + b"\r\n")
        writer.write_eof()
        assert b" 200 " not in await reader.read()
        writer.close()

    assert (await api.finished(job.job_id)).state == video_pb2.JOB_STATE_SUCCEEDED


async def test_a_call_that_asks_for_another_protocol_is_a_call_of_this_one(api: Api) -> None:
    for upgrade in ("h2c", "websocket"):
        answer = await sent(api, f"{VIDEO}/GetCaller", b"{}", "Connection: Upgrade", f"Upgrade: {upgrade}")

        assert answer.status in (200, 400, 415), upgrade
    fields = ("Connection: Upgrade", "Upgrade: websocket", "Sec-Fetch-Site: same-site")
    refused = await raw(api.http, head("GET", "/session", *fields))
    assert (refused.status, reason(refused)) == (403, "ORIGIN_DENIED")
    odd = await sent(api, f"{VIDEO}/GetCaller", b"{}", "Expect: the-unexpected")
    assert (odd.status, reason(odd)) == (417, "MALFORMED_REQUEST")


async def test_a_body_is_asked_for_only_when_all_else_is_in_order(api: Api) -> None:
    fields = ("Content-Length: 2", "Expect: 100-continue")
    asked = await raw(api.http, head("POST", f"{VIDEO}/GetCaller", "Content-Type: application/json", *fields))
    for more, status in (
        (["Content-Type: text/html"], 415),
        (["Content-Type: application/json", "Origin: http://evil.example"], 403),
        (["Content-Type: application/json", "Content-Encoding: br"], 415),
    ):
        refused = await raw(api.http, head("POST", f"{VIDEO}/GetCaller", *fields, *more))
        assert refused.status == status
    unrouted = await raw(api.http, head("POST", "/nowhere", "Expect: the-unexpected", "Content-Length: 0"))

    assert asked.status == 100
    assert (unrouted.status, "server" in unrouted.headers) == (417, False)


async def test_broken_chunks_are_refused(api: Api) -> None:
    fields = ("Content-Type: application/json", "Transfer-Encoding: chunked")
    for body in (b"zz\r\n{}\r\n0\r\n\r\n", b"-1\r\n{}\r\n0\r\n\r\n", b"2\r\n{}{}\r\n0\r\n\r\n"):
        answer = await raw(api.http, head("POST", STATUS, *fields) + body)

        assert answer.status == 400


async def test_a_cookie_that_is_no_token_is_none(api: Api) -> None:
    for cookie in ("evergreen=a%20b", "evergreen=\xe4", "evergreen", "=", "evergreen=a\tb; ;;", "x=" + "y" * 4000):
        answer = await sent(api, f"{VIDEO}/GetCaller", b"{}", f"Cookie: {cookie}")

        assert answer.status == 200, cookie
        assert not SimpleCookie(answer.headers.get("set-cookie", ""))


async def test_a_greedy_caller_leaves_places_to_others() -> None:
    places = Places(files=100_000)
    held = [asyncio.create_task(hold(places, "greedy")) for _ in range(3 * CALLS)]
    await asyncio.sleep(0)

    async with asyncio.timeout(1), places.call("honest", 60):
        for task in held:
            task.cancel()
        await asyncio.wait(held)


async def test_a_call_that_waits_for_a_place_waits_no_longer_than_its_caller() -> None:
    places = Places(files=100_000)
    held = [asyncio.create_task(hold(places, "greedy")) for _ in range(CALLS)]
    await asyncio.sleep(0)

    async with asyncio.timeout(10):
        for seconds in (0.0, 0.05):
            with pytest.raises(Refused):
                await hold(places, "greedy", seconds)
        waiting = asyncio.create_task(left_after_waiting(places, "greedy"))
        await asyncio.sleep(0)
        for task in held:
            task.cancel()
        await asyncio.wait(held)

        assert 0 < await waiting < 60


async def left_after_waiting(places: Places, owner: str) -> float:
    async with places.call(owner, 60) as left:
        return left


async def hold(places: Places, owner: str, seconds: float = 60) -> None:
    async with places.call(owner, seconds):
        await asyncio.Event().wait()


async def test_streams_are_bounded_by_caller_and_in_all() -> None:
    places = Places(files=512 + 3000)
    open_ones = [places.stream("greedy") for _ in range(2000)]
    for each in open_ones:
        each.__enter__()
    with pytest.raises(Refused), places.stream("greedy"):
        raise AssertionError("it got one more")
    others = [places.stream(f"other {number}") for number in range(1000)]
    for each in others:
        each.__enter__()
    with pytest.raises(Refused), places.stream("late"):
        raise AssertionError("it got one more")
    for each in (*open_ones, *others):
        each.__exit__(None, None, None)
    with places.stream("late"):
        assert len(places._streams) == 1
