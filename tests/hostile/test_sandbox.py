"""The sandbox among pages, scripts and mistakes: nothing is a crash, and nobody but a program on purpose moves it."""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Callable
from random import Random

import aiohttp
import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from evergreen_server.media.guard import guarded_connector
from evergreen_server.metrics.exposition import Exposition, serve_metrics
from tests.loopback import listening
from tests.providers.runway.sandbox.driver import HEADERS, Caller, body, data_uri, opened, picture, raw

pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON = {"Content-Type": "application/json"}
DEEP = "[" * 100_000
DIGITS = "9" * 400


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def runway() -> AsyncIterator[Caller]:
    async with opened() as caller:
        yield caller


@pytest.fixture(autouse=True)
def no_tracebacks(caplog: pytest.LogCaptureFixture) -> Callable[[], None]:
    """No test of this page may leave a traceback in the log."""
    caplog.set_level(logging.INFO)

    def check() -> None:
        assert [record.getMessage() for record in caplog.records if record.exc_info] == []

    return check


# --- Pages and rebinding

FOREIGN = [
    # (method, path, headers, status)
    ("GET", "/sandbox/tasks", {"Host": "evil.example"}, 403),
    ("GET", "/sandbox/calls", {"Host": "evil.example:80"}, 403),
    ("GET", "/sandbox/faults", {"Host": "127.0.0.1.evil.example"}, 403),
    ("GET", "/sandbox/clock", {"Host": "localhost.evil.example"}, 403),
    ("GET", "/sandbox/clock", {"Host": "169.254.169.254"}, 403),
    ("GET", "/sandbox/clock", {"Host": "0.0.0.0"}, 403),
    ("GET", "/sandbox/clock", {"Host": ""}, 403),
    ("GET", "/v1/organization", {"Host": "evil.example"}, 403),
    ("POST", "/uploads/x", {"Host": "evil.example"}, 403),
    ("GET", "/outputs/x/0.mp4", {"Host": "evil.example"}, 403),
    ("POST", "/sandbox/clock", {"Content-Type": "text/plain"}, 415),
    ("POST", "/sandbox/clock", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ("POST", "/sandbox/faults", {"Content-Type": "multipart/form-data; boundary=x"}, 415),
    ("PATCH", "/sandbox/account", {"Content-Type": "text/plain;application/json"}, 415),
    ("POST", "/sandbox/clock", {}, 415),
    ("POST", "/sandbox/clock", {**JSON, "Origin": "https://evil.example"}, 403),
    ("POST", "/sandbox/clock", {**JSON, "Origin": "null"}, 403),
    ("POST", "/sandbox/clock", {**JSON, "Origin": "http://evil.example"}, 403),
    ("POST", "/sandbox/clock", {**JSON, "Origin": "https://127.0.0.1"}, 403),
    ("DELETE", "/sandbox/faults", {"Origin": "http://evil.example"}, 403),
    ("GET", "/sandbox/tasks", {"Origin": "http://evil.example"}, 403),
    ("GET", "/sandbox/tasks", {"Sec-Fetch-Site": "cross-site"}, 403),
    ("GET", "/sandbox/tasks", {"Sec-Fetch-Site": "same-site"}, 403),
    ("GET", "/sandbox/clock", {"Host": "LOCALHOST:1"}, 200),
    ("GET", "/sandbox/clock", {"Host": "[::1]:80"}, 200),
    ("GET", "/sandbox/clock", {"Host": "127.8.8.8"}, 200),
    ("POST", "/sandbox/clock", {"Content-Type": "application/json; charset=utf-8"}, 200),
    ("POST", "/sandbox/clock", {**JSON, "Origin": "http://localhost:5173", "Sec-Fetch-Site": "same-origin"}, 200),
]


@pytest.mark.parametrize(("method", "path", "headers", "status"), FOREIGN)
async def test_a_page_moves_and_reads_nothing(
    runway: Caller, no_tracebacks: Callable[[], None], method: str, path: str, headers: dict[str, str], status: int
) -> None:
    lines = {"Host": "127.0.0.1", "Connection": "close", "Content-Length": "2", **headers}
    head = f"{method} {path} HTTP/1.1\n" + "".join(f"{name}: {value}\n" for name, value in lines.items()) + "\n"

    assert (await raw(runway, head, b"{}"))[0] == status
    no_tracebacks()


async def test_a_call_without_a_host_is_refused(runway: Caller) -> None:
    assert (await raw(runway, "GET /sandbox/clock HTTP/1.0\n\n"))[0] == 403


# --- Numbers and nesting in the control API

CONTROL = [
    # (method, path, body)
    ("POST", "clock", '{"advance":NaN}'),
    ("POST", "clock", '{"advance":Infinity}'),
    ("POST", "clock", '{"advance":-Infinity}'),
    ("POST", "clock", '{"advance":1e999}'),
    ("POST", "clock", '{"advance":1e300}'),
    ("POST", "clock", '{"advance":1000000000000}'),
    ("POST", "clock", '{"advance":' + DIGITS + "}"),
    ("POST", "clock", '{"advance":%s}' % ("9" * 5000)),
    ("POST", "clock", '{"advance":true}'),
    ("POST", "clock", '{"advance":"1"}'),
    ("POST", "clock", '{"speed":NaN}'),
    ("POST", "clock", '{"speed":1e300}'),
    ("POST", "clock", '{"speed":' + DIGITS + "}"),
    ("POST", "clock", '{"advance":5,"speed":-1}'),
    ("POST", "clock", "[]"),
    ("POST", "clock", ""),
    ("POST", "clock", DEEP),
    ("POST", "clock", '{"advance":' * 50_000),
    *(
        ("PATCH", "settings", '{"%s":%s}' % (name, value))  # noqa: UP031 # the values hold braces' like
        for name in ("task_mean_seconds", "task_sigma", "pending_seconds", "url_life_seconds", "body_max_bytes")
        for value in ("NaN", "Infinity", "1e300", DIGITS, "-1")
    ),
    ("PATCH", "settings", '{"render_scale":NaN}'),
    ("PATCH", "settings", '{"asset_timeout_seconds":1e999}'),
    ("PATCH", "settings", '{"asset_hosts":[1]}'),
    ("PATCH", "settings", '{"\\ud800":1}'),
    ("PATCH", "settings", DEEP),
    ("PATCH", "account", '{"creditBalance":NaN}'),
    ("PATCH", "account", '{"creditBalance":1e300}'),
    ("PATCH", "account", '{"creditBalance":' + DIGITS + "}"),
    ("PATCH", "account", '{"tier":1e300}'),
    ("PATCH", "account", '{"\\ud800":1}'),
    ("POST", "faults", DEEP),
    ("POST", "faults", '{"fault":{"kind":"status","status":500,"body":%s}}' % (DEEP + "]" * 100_000)),
    ("POST", "faults", '{"fault":{"kind":"status","status":NaN}}'),
    ("POST", "faults", '{"fault":{"kind":"status","status":500,"headers":{"a b":"c"}}}'),
    ("POST", "faults", '{"fault":{"kind":"status","status":500,"headers":{"a":"b\\r\\nc: d"}}}'),
    ("POST", "faults", '{"fault":{"kind":"status","status":500,"headers":{"a":"\\ud800"}}}'),
    ("POST", "faults", '{"fault":{"kind":"status","status":500,"contentType":"\\n"}}'),
    ("POST", "faults", '{"fault":{"kind":"status","status":500,"retryAfter":1e999}}'),
    ("POST", "faults", '{"fault":{"kind":"hang","seconds":' + DIGITS + "}}"),
    ("POST", "faults", '{"fault":{"kind":"truncate","at":NaN}}'),
    ("POST", "faults", '{"fault":{"kind":"large_output","bytes":' + DIGITS + "}}"),
    ("POST", "faults", '{"fault":{"kind":"\\ud800"}}'),
]


@pytest.mark.parametrize(("method", "path", "sent"), CONTROL)
async def test_an_odd_wish_is_a_400_and_changes_nothing(
    runway: Caller, no_tracebacks: Callable[[], None], method: str, path: str, sent: str
) -> None:
    before = await runway.control("GET", "clock")

    async with runway.session.request(method, f"{runway.url}/sandbox/{path}", data=sent, headers=JSON) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]

    assert await runway.control("GET", "clock") == before
    no_tracebacks()


async def test_time_stops_in_the_year_3000() -> None:
    async with opened() as runway:
        seconds = float((await runway.control("GET", "clock"))["seconds"])
        told = await runway.control("POST", "clock", {"advance": 32_503_680_000.0 - seconds})
        task_id = await runway.create()
        refused = await runway.call("POST", "/sandbox/clock", json={"advance": 1}, headers={})

        assert told["now"].startswith("3000-01-01")
        assert refused.status == 400
        assert await runway.status(task_id) == "PENDING"


async def test_odd_texts_are_kept_and_told(runway: Caller, no_tracebacks: Callable[[], None]) -> None:
    """Names that no encoding can write, wherever the sandbox repeats them."""
    lone = '{"models":{"\\ud800":{"maxDailyGenerations":1}},"apiKeys":null}'
    async with runway.session.patch(f"{runway.url}/sandbox/account", data=lone, headers=JSON) as answer:
        assert answer.status == 200
    await raw(runway, "GET /v1/tasks/\xff\xfe%ED%A0%80 HTTP/1.1\nHost: localhost\nConnection: close\n\n")

    assert (await runway.call("GET", "/v1/organization")).status == 200
    assert (await runway.control("GET", "calls"))["calls"]
    no_tracebacks()


# --- The provider's API

BODIES = [
    '{"model":"kling_4","promptText":"x","duration":0}',
    '{"model":"kling_4","promptText":"x","duration":-5}',
    '{"model":"kling_4","promptText":"x","duration":1e9}',
    '{"model":"grok_imagine_1_5_lite","promptText":"x","duration":0}',
    '{"model":"kling3.0_pro","promptText":"xy","ratio":"1920:1080","duration":1000}',
    '{"model":"klingO3_4k","promptText":"xy","ratio":"3840:2160","duration":-1}',
    '{"model":"gen4.5","promptText":"x","ratio":"1280:720","duration":NaN}',
    '{"model":"gen4.5","promptText":"x","ratio":"1280:720","duration":1e999}',
    '{"model":"gen4.5","promptText":"x","ratio":"1280:720","duration":' + DIGITS + "}",
    '{"model":"gen4.5","promptText":"x","ratio":"1280:720","duration":5,"\\ud800":1}',
    '{"model":"\\ud800"}',
    '{"model":["gen4.5"]}',
    '{"model":"gen4.5"',
    "\udcff\udcfe",
    DEEP,
    "",
    "null",
]


@pytest.mark.parametrize("sent", BODIES)
async def test_an_odd_create_is_a_400(runway: Caller, no_tracebacks: Callable[[], None], sent: str) -> None:
    data = sent.encode("utf-8", "surrogateescape")
    reply = await runway.call("POST", "/v1/text_to_video", data=data, headers={**HEADERS, **JSON})

    assert reply.status == 400
    no_tracebacks()


ASSETS = [
    "data:image/png;base64,é",
    "data:image/png;base64,=",
    "data:image/png;base64,AAAA",
    data_uri(b"\x89PNG\r\n\x1a\n" + bytes(64)),
    data_uri(picture()[:60]),
    data_uri(b"GIF89a" + bytes(20), "image/jpeg"),
    data_uri(b"8BPS\0\1" + bytes(40), "image/png"),
    "https://example.org:99999/a.png",
    "https://[::1/a.png",
    "https://a.invalid/\\ud800",
    "https://" + "a" * 300 + ".invalid/a.png",
    "runway://\\ud800\\ud800\\ud800",
]


@pytest.mark.parametrize("uri", ASSETS)
async def test_an_odd_picture_is_a_400(runway: Caller, no_tracebacks: Callable[[], None], uri: str) -> None:
    sent = json.dumps(body(promptImage="URI")).replace("URI", uri).encode()
    reply = await runway.call("POST", "/v1/image_to_video", data=sent, headers={**HEADERS, **JSON})

    assert reply.status == 400
    assert reply.json["issues"][0]["path"][0] == "promptImage"
    no_tracebacks()


async def test_half_a_surrogate_in_a_prompt_is_taken_on_every_row(
    runway: Caller, no_tracebacks: Callable[[], None]
) -> None:
    sent = '{"model":"gen4.5","promptText":"\\ud800 a wish \\ud83d\\ude00","ratio":"1280:720","duration":5}'
    reply = await runway.call("POST", "/v1/text_to_video", data=sent.encode(), headers={**HEADERS, **JSON})
    booked = await runway.booked(reply.json["id"])

    assert booked["promptText"] == "\ufffd a wish \U0001f600"
    no_tracebacks()


async def test_random_bodies_never_crash_it(runway: Caller, no_tracebacks: Callable[[], None]) -> None:
    source = Random(7)
    odd = [
        "0",
        "-1",
        "1e999",
        DIGITS,
        "NaN",
        '"\\ud800"',
        '"\\u0000"',
        "[]",
        "{}",
        "null",
        "true",
        '"auto"',
        '"x"',
        "[{}]",
    ]
    names = ["promptText", "promptImage", "ratio", "duration", "resolution", "references", "referenceVideos", "audio"]
    names += [
        "seed",
        "providerSettings",
        "videoUri",
        "promptVideo",
        "mode",
        "draft",
        "draftTaskId",
        "keyframes",
        "extra",
    ]
    models = [
        "kling_4",
        "seedance2_5",
        "gen4.5",
        "veo3.1",
        "wan3",
        "hailuo3",
        "klingO3_pro",
        "aleph2",
        "h3_max",
        "nothing",
    ]
    for _ in range(300):
        members = [f'"model":"{source.choice(models)}"']
        members += [f'"{source.choice(names)}":{source.choice(odd)}' for _ in range(source.randrange(7))]
        operation = source.choice(["text", "image", "video"])
        sent = "{" + ",".join(members) + "}"
        reply = await runway.call("POST", f"/v1/{operation}_to_video", data=sent.encode(), headers={**HEADERS, **JSON})
        assert reply.status in (200, 400), sent
    no_tracebacks()


FORMS = [
    ("multipart/form-data", b"x"),
    ("multipart/form-data; boundary=x", b"no boundary"),
    ("multipart/form-data; boundary=" + "b" * 200, b"--b\r\n"),
    ("multipart/form-data; boundary=x", b"--x\r\n\r\n--x--\r\n"),
    ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="key"\r\n\r\nv\r\n--x--\r\n'),
    ("multipart/mixed; boundary=x", b"--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y--\r\n--x--\r\n"),
    ("text/plain", b"x"),
]


@pytest.mark.parametrize(("content_type", "sent"), FORMS)
async def test_an_odd_form_is_refused_as_the_storage_does(
    runway: Caller, no_tracebacks: Callable[[], None], content_type: str, sent: bytes
) -> None:
    place = await runway.call("POST", "/v1/uploads", json={"filename": "a.png", "type": "ephemeral"})
    reply = await runway.call("POST", str(place.json["uploadUrl"]), data=sent, headers={"Content-Type": content_type})

    assert reply.status in (400, 403)
    assert b"<Code>" in reply.data
    no_tracebacks()


@pytest.mark.parametrize(
    "span", ["bytes=" + "9" * 5000 + "-", "bytes=\u0663-", "bytes=5-1", "bytes=-0", "items=0-1", "bytes"]
)
async def test_an_odd_range_is_no_crash(runway: Caller, no_tracebacks: Callable[[], None], span: str) -> None:
    reply = await runway.call("GET", await runway.done(), headers={"Range": span})

    assert reply.status in (200, 416)
    no_tracebacks()


# --- Long heads

HEADS = [
    ("GET /sandbox/clock HTTP/1.1\nHost: localhost\nX: " + "x" * 100_000 + "\n\n", 431),
    ("GET /sandbox/clock HTTP/1.1\nHost: localhost\n" + "".join(f"X-{n}: y\n" for n in range(5000)) + "\n", 400),
    ("GET /v1/organization HTTP/1.1\nHost: localhost\nAuthorization: Bearer " + "k" * 100_000 + "\n\n", 431),
    ("GET /" + "x" * 100_000 + " HTTP/1.1\nHost: localhost\n\n", 414),
    ("\x16\x03\x01\x02 nonsense\n\n", 400),
]


@pytest.mark.parametrize(("head", "status"), HEADS)
async def test_a_long_head_is_refused_in_one_line(
    runway: Caller, caplog: pytest.LogCaptureFixture, no_tracebacks: Callable[[], None], head: str, status: int
) -> None:
    caplog.clear()

    assert (await raw(runway, head))[0] == status
    no_tracebacks()
    assert len([record for record in caplog.records if record.name.startswith("evergreen_server")]) <= 1


async def test_a_long_head_to_the_metrics_is_refused_in_one_line(
    caplog: pytest.LogCaptureFixture, no_tracebacks: Callable[[], None]
) -> None:
    metrics = Exposition(CollectorRegistry())
    async with serve_metrics("localhost:0", metrics) as address, aiohttp.ClientSession() as session:
        caller = Caller(f"http://{address.replace('localhost', '127.0.0.1')}", session)
        status, _ = await raw(caller, "GET /metrics HTTP/1.1\nHost: localhost\nX: " + "x" * 100_000 + "\n\n")

    assert status == 431
    assert [record.getMessage() for record in caplog.records] == ["metrics served", "request refused"]
    no_tracebacks()


# --- What it fetches itself


class Names(aiohttp.abc.AbstractResolver):
    """Resolves every name to this machine, as a hostile name server would."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[aiohttp.abc.ResolveResult]:
        return [
            aiohttp.abc.ResolveResult(
                hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        """Holds nothing."""


async def test_a_guarded_sandbox_connects_to_no_private_address() -> None:
    reached = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.set()

    async with listening(serve) as port, opened(connector=lambda: guarded_connector(Names())) as runway:
        reply = await runway.call(
            "POST", "/v1/image_to_video", json=body(promptImage=f"https://pictures.example.org:{port}/a.png")
        )

    assert reply.status == 400
    assert "Failed to fetch asset" in reply.json["issues"][0]["message"]
    assert not reached.is_set()
