"""What an account owns in the sandbox, asked for and sent in odd ways: each is refused or taken, none is a crash."""

import json
import logging
import struct
import zlib
from collections.abc import AsyncIterator, Callable
from io import BytesIO
from typing import Any

import pytest
import pytest_asyncio

from tests.providers.runway.sandbox.driver import HEADERS, Caller, data_uri, opened, picture, raw
from tests.providers.runway.sandbox.resources.samples import AVATAR, DOCUMENT, SESSION, VOICE, made

pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON = {"Content-Type": "application/json"}
DEEP = "[" * 100_000
DIGITS = "9" * 400


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def runway() -> AsyncIterator[Caller]:
    async with opened() as caller:
        await made(caller, "routers", {"slug": "any"})
        yield caller


@pytest.fixture(autouse=True)
def no_tracebacks(caplog: pytest.LogCaptureFixture) -> Callable[[], None]:
    """No test of this page may leave a traceback in the log."""
    caplog.set_level(logging.INFO)

    def check() -> None:
        assert [record.getMessage() for record in caplog.records if record.exc_info] == []

    return check


QUERIES = [
    "documents?sort=%00&order=%FF",
    "documents?limit=1&limit=x&cursor=",
    "voices?cursor=W05hTiwgMV0%3D",
    "voices?cursor=" + "W1tbW1tb" * 100,
    "avatar_conversations?avatar=x' OR 1=1",
    "avatar_conversations?startDate=0001-01-01T00:00:00%2B14:00",
    "avatar_conversations?endDate=9999-12-31T23:59:59-14:00",
    "avatar_usage?startDate=2026-02-30&endDate=2026-03-01",
    "avatar_usage?startDate=2026-01-01&endDate=2026-01-01",
    "avatar_usage?startDate=2026-01-01T00:00:00%2B99:99&endDate=%F0%9F%98%80",
    "avatar_usage?startDate=2026-W01-1&endDate=2999-12-31",
    "organization/webapp/usage?from=1969-12-31&to=1970-01-01",
    "organization/webapp/usage?from=-1&to=1e9",
    "organization/webapp/audit_logs?actions=" + "x," * 1000,
    "organization/webapp/audit_logs?organizationId=" + "%00" * 100,
    "organization/webapp/audit_logs/x?organizationId=" + "0" * 3000,
]


@pytest.mark.parametrize("query", QUERIES)
async def test_an_odd_parameter_is_a_400_or_no_match(
    runway: Caller, no_tracebacks: Callable[[], None], query: str
) -> None:
    reply = await runway.call("GET", f"/v1/{query}")

    assert reply.status == 400 or (reply.status == 200 and reply.json["data"] == [])
    no_tracebacks()


BODIES = [
    # (method, path, body)
    ("POST", "voices", {**VOICE, "from": []}),
    ("POST", "voices", {**VOICE, "from": {"type": ["text"]}}),
    ("POST", "voices", {**VOICE, "from": {"type": "audio", "audio": "runway://" + "x" * 20}}),
    ("POST", "voices", {**VOICE, "from": {"type": "audio", "audio": "data:audio/mp3;base64,AAAA"}}),
    ("POST", "avatars", {**AVATAR, "documentIds": {}}),
    ("POST", "avatars", {**AVATAR, "documentIds": [[]]}),
    ("POST", "avatars", {**AVATAR, "voice": {"type": "custom", "id": ["x"]}}),
    ("POST", "avatars", {**AVATAR, "referenceImage": "data:image/png;base64,AAAA"}),
    ("POST", "realtime_sessions", {**SESSION, "avatar": {"type": "custom", "avatarId": {}}}),
    ("POST", "realtime_sessions", {**SESSION, "maxDuration": 10**400}),
    ("POST", "realtime_sessions", {**SESSION, "tools": [{"type": "client_event", "parameters": 1}]}),
    ("POST", "realtime_sessions", {**SESSION, "integration": {"type": "livekit", "url": 1}}),
    ("POST", "routers", {"slug": "x\n"}),
    ("POST", "routers", {"slug": "y", "settings": {"models": [], "maxCreditsPerGeneration": []}}),
    ("POST", "routers", {"slug": "y", "settings": {"maxCreditsPerGeneration": {"video": 1.5}}}),
    ("POST", "generate/video", {"configId": "any", "input": []}),
    ("POST", "generate/video", {"configId": ["any"], "input": {}}),
    ("POST", "generate/video", {"configId": "any", "input": {"referenceVideos": [{"role": "source"}] * 2}}),
    ("POST", "generate/video", {"configId": "any", "input": {"keyframes": [{"uri": "data:,", "at": 1e308}]}}),
    ("POST", "generate/image", {"configId": "any", "input": {"promptText": "x", "outputCount": 1e308}}),
    ("POST", "generate/audio", {"configId": "any", "input": {"type": [], "promptText": {}, "voice": "x"}}),
    ("PATCH", "documents/x", {"name": 1}),
    ("PATCH", "routers/x", []),
]


@pytest.mark.parametrize(("method", "path", "body"), BODIES)
async def test_an_odd_body_is_refused(
    runway: Caller, no_tracebacks: Callable[[], None], method: str, path: str, body: Any
) -> None:
    reply = await runway.call(method, f"/v1/{path}", json=body)

    assert reply.status in (400, 404)
    assert reply.json["error"]
    no_tracebacks()


@pytest.mark.parametrize("sent", ["", "null", DEEP, '{"name":', '{"name":NaN}', "\udcff"])
@pytest.mark.parametrize("path", ["voices", "avatars", "documents", "routers", "realtime_sessions", "generate/image"])
async def test_what_is_no_object_is_refused(
    runway: Caller, no_tracebacks: Callable[[], None], path: str, sent: str
) -> None:
    data = sent.encode("utf-8", "surrogateescape")
    reply = await runway.call("POST", f"/v1/{path}", data=data, headers={**HEADERS, **JSON})

    assert (reply.status, reply.json["error"]) == (400, "The body must be a JSON object.")
    no_tracebacks()


async def test_texts_that_no_encoding_can_write_are_kept_with_a_mark_in_their_place(
    runway: Caller, no_tracebacks: Callable[[], None]
) -> None:
    sent = b'{"name":"\\ud800","content":"a \\udfff b"}'
    reply = await runway.call("POST", "/v1/documents", data=sent, headers={**HEADERS, **JSON})

    assert (reply.status, reply.json["name"], reply.json["content"]) == (200, "\ufffd", "a \ufffd b")
    no_tracebacks()


async def test_a_list_of_a_million_mistakes_gets_a_short_answer(runway: Caller) -> None:
    ids = {"slug": "long", "settings": {"models": {"mode": "allowlist_only", "ids": ["x"] * 1_000_000}}}
    sent = BytesIO(json.dumps(ids).encode())
    reply = await runway.call("POST", "/v1/routers", data=sent, headers={**HEADERS, **JSON})

    assert reply.status == 400
    assert len(reply.data) < 1_000_000


async def test_a_text_is_measured_in_utf_16(runway: Caller) -> None:
    for smiles, status in ((100_000, 200), (100_001, 400)):
        sent = BytesIO(json.dumps({**DOCUMENT, "content": "\U0001f600" * smiles}).encode())
        reply = await runway.call("POST", "/v1/documents", data=sent, headers={**HEADERS, **JSON})
        assert reply.status == status


async def test_a_key_that_is_no_text_joins_no_session(runway: Caller, no_tracebacks: Callable[[], None]) -> None:
    session_id = (await made(runway, "realtime_sessions", SESSION))["id"]
    lines = {"Host": "localhost", "Connection": "close", "Content-Length": "2", "Content-Type": "application/json"}
    lines |= {"X-Runway-Version": "2024-11-06", "Authorization": "Bearer \xff\xfe"}
    head = f"POST /v1/realtime_sessions/{session_id}/consume HTTP/1.1\n"

    status, _ = await raw(runway, head + "".join(f"{name}: {value}\n" for name, value in lines.items()) + "\n", b"{}")

    assert status == 401
    no_tracebacks()


@pytest.mark.parametrize("key", ["", "\xff\xfe", "é", "x" * 5000, "Bearer"])
async def test_no_odd_key_joins_a_session(runway: Caller, no_tracebacks: Callable[[], None], key: str) -> None:
    session_id = (await made(runway, "realtime_sessions", SESSION))["id"]
    headers = {**HEADERS, "Authorization": f"Bearer {key}"}
    reply = await runway.call("POST", f"/v1/realtime_sessions/{session_id}/consume", json={}, headers=headers)

    assert reply.status == 401
    no_tracebacks()


@pytest.mark.parametrize(
    "path",
    [
        "voices/../../secret.mp3",
        "voices/" + "0" * 32 + ".mp3",
        "voices/" + "0" * 32 + ".mp3?_jwt=a.b.c",
        "voices/" + "0" * 32 + ".mp3?_jwt=%FF%00",
        "pictures/" + "0" * 64 + ".jpg?_jwt=" + "x" * 3000,
        "avatars/..%2f..%2fjournal.jpg",
        "else/" + "0" * 64 + ".jpg",
    ],
)
async def test_no_preview_is_had_without_its_url(runway: Caller, no_tracebacks: Callable[[], None], path: str) -> None:
    assert (await runway.call("GET", f"/previews/{path}", headers={})).status in (403, 404)
    no_tracebacks()


def with_size(width: int, height: int, rest: bytes | None = None) -> bytes:
    """A PNG whose header tells a size that its data has not."""
    small = picture(16, 16)
    header = b"IHDR" + struct.pack(">II", width, height) + small[24:29]
    head = small[:8] + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return head + (small[33:] if rest is None else rest)


PICTURES = [
    with_size(9_400, 9_400),
    with_size(64, 64),
    with_size(64, 64, b"\0\0\0\4IDATxxxxyyyy"),
    picture(64, 64)[:80],
    picture(64, 64, form="JPEG")[:-200],
]


@pytest.mark.parametrize("data", PICTURES)
async def test_a_picture_that_only_has_a_header_harms_nothing(
    runway: Caller, no_tracebacks: Callable[[], None], data: bytes
) -> None:
    reply = await runway.call("POST", "/v1/avatars", json={**AVATAR, "referenceImage": data_uri(data)})
    assert reply.status in (200, 400)

    if reply.status == 200:
        shown = await runway.call("GET", reply.json["referenceImageUri"], headers={})
        assert shown.status in (200, 404)
    no_tracebacks()


async def test_a_picture_that_is_too_large_has_no_preview(runway: Caller) -> None:
    """Its header alone would make the sandbox take hundreds of megabytes."""
    small = picture(64, 64, form="JPEG")
    frame = small.index(b"\xff\xc0") + 5
    large = small[:frame] + struct.pack(">HH", 9_400, 9_400) + small[frame + 4 :]
    avatar = await made(runway, "avatars", {**AVATAR, "referenceImage": data_uri(large, "image/jpeg")})

    assert (await runway.call("GET", avatar["referenceImageUri"], headers={})).status == 404


SEEDS = [
    ("workflows", {"name": "x", "graph": {"nodes": [1]}}),
    ("workflows", {"name": "x", "graph": {"nodes": [{}] * 201}}),
    ("workflows", {"name": "x", "graph": []}),
    ("conversations", {"avatar": {}}),
    ("conversations", {"avatar": {"type": "custom"}}),
    ("conversations", {"avatar": {"type": "runway-preset", "presetId": "influencer"}, "tools": [{}]}),
    ("conversations", {"avatar": {"type": "runway-preset", "presetId": "influencer"}, "transcript": [1]}),
    ("webapp_usage", {"credits": "1", "email": 1, "tool": None, "workspaceId": -1, "workspaceName": []}),
    ("audit_logs", {"action": ["UserLogin"], "workspaceId": 1.5, "workspaceName": "x"}),
    ("audit_logs", {"action": "UserLogin", "workspaceId": 1, "workspaceName": "x", "timestamp": "0001-01-01"}),
]


@pytest.mark.parametrize(("name", "body"), SEEDS)
async def test_an_odd_seed_is_a_400(runway: Caller, no_tracebacks: Callable[[], None], name: str, body: Any) -> None:
    reply = await runway.call("POST", f"/sandbox/{name}", json=body, headers={})

    assert reply.status == 400
    assert reply.json["error"]
    no_tracebacks()


GRAPHS: list[list[dict[str, Any]]] = [
    [],
    [{}],
    [{"id": 1, "run": {"operation": "text_to_video", "body": {}}}],
    [{"id": "a", "run": {"operation": "get_task", "body": {}}}],
    [{"id": "a", "run": {"operation": ["x"], "body": []}}],
    [{"id": "a", "outputs": [1], "run": {"operation": "text_to_image", "body": {"model": {"node": "b", "key": "c"}}}}],
    [
        {
            "id": "a",
            "outputs": {"k": {"value": {"node": "a", "key": "k"}}},
            "run": {"operation": "text_to_image", "body": {"model": {"node": "a", "key": "k"}}},
        }
    ],
    [{"id": "a"}, {"id": "a", "name": 5, "run": None}],
]


@pytest.mark.parametrize("nodes", GRAPHS)
async def test_an_odd_graph_is_run_to_an_end(
    runway: Caller, no_tracebacks: Callable[[], None], nodes: list[dict[str, Any]]
) -> None:
    workflow = await runway.control("POST", "workflows", {"name": "odd", "graph": {"nodes": nodes}})
    run = await made(runway, f"workflows/{workflow['id']}", {})

    ended = await runway.call("GET", f"/v1/workflow_invocations/{run['id']}")

    assert ended.json["status"] in ("SUCCEEDED", "FAILED")
    assert json.dumps((await runway.call("GET", "/v1/workflows")).json)
    no_tracebacks()
