"""The one POST: what is sent, when, and how each outcome is judged."""

import asyncio
import json
import logging
import socket

import pytest

from evergreen_server.ports.provider import (
    DailyLimitReached,
    InsufficientCredits,
    NotSent,
    ProviderError,
    Refused,
    Submission,
    SubmissionUnknown,
    Unauthorized,
)
from evergreen_server.ports.specs import FieldError, GenerationSpec, Json, Media, Operation, PreparedMedia, Role
from evergreen_server.providers.runway.http.client import Timeouts
from tests.loopback import listening
from tests.providers.runway.scripted import KEY, TASK_ID, Act, Partial, answer, client_for, scripted

PICTURE = "data:image/png;base64,AAAA"
SPEC = GenerationSpec(
    model="gen4.5",
    prompt_text="a secret wish",
    media=(Media(role=Role.FIRST_FRAME, uri="https://example.org/a.png"),),
    ratio="1280:720",
    duration_seconds=5,
    seed=7,
)
MEDIA = (PreparedMedia(role=Role.FIRST_FRAME, uri=PICTURE),)
MADE: Json = {"id": TASK_ID, "estimatedCost": {"credits": 60.5}, "new": {"member": 1}}


async def create(url: str, *, timeouts: Timeouts | None = None) -> Submission:
    async with client_for(url, timeouts=timeouts) as client:
        return await client.create(SPEC, MEDIA, before_send=lambda: None)


async def test_a_create_is_one_post_with_the_headers_and_the_body_of_the_api() -> None:
    async with scripted(answer(200, MADE)) as script:
        submission = await create(script.url)

    assert submission == Submission(task_id=TASK_ID, estimated_millicredits=60_500)
    [request] = script.requests
    assert (request.method, request.target) == ("POST", "/v1/image_to_video")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["x-runway-version"] == "2024-11-06"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["connection"] == "close"
    assert json.loads(request.body) == {
        "model": "gen4.5",
        "promptText": "a secret wish",
        "promptImage": PICTURE,
        "ratio": "1280:720",
        "duration": 5,
        "seed": 7,
    }


@pytest.mark.parametrize(
    ("spec", "path", "made"),
    [
        (
            GenerationSpec(operation=Operation.TEXT_TO_IMAGE, model="gen4_image", prompt_text="x", ratio="720:720"),
            "/v1/text_to_image",
            Submission(task_id=TASK_ID, estimated_millicredits=60_500),
        ),
        (
            GenerationSpec(operation=Operation.MULTI_SHOT_VIDEO, model="multi_shot_video", prompt_text="x"),
            "/v1/recipes/multi_shot_video",
            Submission(task_id=TASK_ID, estimated_millicredits=60_500),
        ),
        (
            GenerationSpec(operation=Operation.AVATAR_VIDEOS, model="gwm1_avatars", prompt_text="x"),
            "/v1/avatar_videos",
            Submission(task_id=TASK_ID, estimated_millicredits=None),
        ),
    ],
)
async def test_every_operation_is_posted_to_its_own_path(spec: GenerationSpec, path: str, made: Submission) -> None:
    said: Json = MADE if made.estimated_millicredits else {"id": TASK_ID}
    async with scripted(answer(200, said)) as script, client_for(script.url) as client:
        submission = await client.create(spec, (), before_send=lambda: None)

    assert submission == made
    [request] = script.requests
    assert (request.method, request.target) == ("POST", path)
    assert ("model" in json.loads(request.body)) is (spec.operation is not Operation.MULTI_SHOT_VIDEO)


async def test_the_issues_of_a_refusal_are_told_at_the_fields_of_the_operation() -> None:
    """What the provider finds and the table does not know is traced back like all else."""
    spec = GenerationSpec(
        operation=Operation.TEXT_TO_IMAGE,
        model="gpt_image_2",
        prompt_text="x",
        ratio="auto",
        media=(Media(role=Role.REFERENCE, uri="x"),),
        parameters={"output_count": 2},
    )
    media = (PreparedMedia(role=Role.REFERENCE, uri=PICTURE, tag="hero"),)
    paths: list[Json] = [["referenceImages", 0, "tag"], ["referenceImages", 0, "uri"], ["outputCount"], ["promptText"]]
    issues: list[Json] = [{"message": "No.", "path": path} for path in paths]
    said: Json = {"error": "Validation of body failed", "issues": issues}
    async with scripted(answer(400, said)) as script, client_for(script.url) as client:
        with pytest.raises(Refused) as refused:
            await client.create(spec, media, before_send=lambda: None)

    fields = [error.field for error in refused.value.field_errors]
    assert fields == ["media[0].tag", "media[0]", "parameters.output_count", "prompt_text"]


async def test_a_request_with_a_part_that_has_no_place_is_never_sent() -> None:
    spec = GenerationSpec(
        operation=Operation.TEXT_TO_SPEECH,
        model="eleven_multilingual_v2",
        prompt_text="x",
        parameters={"language": "en"},
    )
    async with scripted() as script, client_for(script.url) as client:
        with pytest.raises(Refused) as refused:
            await client.create(spec, (PreparedMedia(role=Role.REFERENCE, uri=PICTURE),), before_send=lambda: None)

    assert [error.field for error in refused.value.field_errors] == ["media[0].role", "parameters.language"]
    assert script.requests == []


async def test_creates_never_share_a_connection() -> None:
    async with scripted(answer(200, MADE), answer(200, MADE)) as script, client_for(script.url) as client:
        for _ in range(2):
            await client.create(SPEC, MEDIA, before_send=lambda: None)

    assert script.connections == 2


async def test_a_large_body_arrives_whole() -> None:
    large = (PreparedMedia(role=Role.FIRST_FRAME, uri="data:image/png;base64," + "A" * 5_000_000),)
    async with scripted(answer(200, MADE)) as script, client_for(script.url) as client:
        await client.create(SPEC, large, before_send=lambda: None)

    assert json.loads(script.requests[0].body)["promptImage"] == large[0].uri


@pytest.fixture
def listener() -> "socket.socket":
    found = socket.create_server(("127.0.0.1", 0))
    found.settimeout(60)
    return found


def url_of(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


async def test_before_send_sees_an_open_connection_that_has_carried_no_byte(listener: socket.socket) -> None:
    """The listener is read from inside the call itself, so nothing can have slipped in between."""
    seen: list[str] = []
    accepted: list[socket.socket] = []
    opened = asyncio.Event()

    def before_send() -> None:
        connection, _ = listener.accept()
        connection.setblocking(False)
        with pytest.raises(BlockingIOError):
            connection.recv(1)
        accepted.append(connection)
        opened.set()
        seen.append("open, and silent")

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        await opened.wait()
        received = b""
        while not received.endswith(b"}"):
            received += await loop.sock_recv(accepted[0], 65536)
        seen.append(received[:4].decode())
        await loop.sock_sendall(accepted[0], answer(200, MADE))

    with listener:
        async with asyncio.timeout(60), client_for(url_of(listener)) as client, asyncio.TaskGroup() as tasks:
            tasks.create_task(serve(), name="serve")
            await client.create(SPEC, MEDIA, before_send=before_send)
        accepted[0].close()

    assert seen == ["open, and silent", "POST"]


@pytest.mark.parametrize("stop", [RuntimeError("the lease is old"), OSError(5, "the clock"), NotSent("no")])
async def test_nothing_is_ever_sent_when_before_send_raises(listener: socket.socket, stop: Exception) -> None:
    def before_send() -> None:
        raise stop

    with listener:
        async with asyncio.timeout(60), client_for(url_of(listener)) as client:
            with pytest.raises(type(stop)) as raised:
                await client.create(SPEC, MEDIA, before_send=before_send)
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(60)
            received = connection.recv(65536)

    assert raised.value is stop
    assert received == b""


async def test_a_refused_connection_is_not_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = url_of(gone)

    with pytest.raises(NotSent, match="connection failed"):
        await create(url)


async def test_a_failed_tls_handshake_is_not_sent() -> None:
    async def answer_in_plain_text(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with listening(answer_in_plain_text) as port:
        with pytest.raises(NotSent, match="TLS failed"):
            await create(f"https://127.0.0.1:{port}")


async def test_a_tls_handshake_that_never_ends_is_not_sent(listener: socket.socket) -> None:
    with listener, pytest.raises(NotSent, match="timeout"):
        await create(url_of(listener).replace("http:", "https:"), timeouts=Timeouts(connect=0.1))


DOC = "https://docs.dev.runwayml.com/api"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"error": "Validation of body failed", "issues": [], "docUrl": DOC}, Refused),
        (400, {"error": "You do not have enough credits to run this task.", "docUrl": DOC}, InsufficientCredits),
        (402, {"error": "Pay"}, InsufficientCredits),
        (404, {"error": "Not found"}, Refused),
        (405, b"<html>no</html>", Refused),
        (409, {"error": "busy"}, Refused),
        (413, b"<html>too large</html>", Refused),
        (422, {"error": "no"}, Refused),
        (401, {"error": "No API key was provided."}, Unauthorized),
        (403, b"<html>forbidden</html>", Unauthorized),
        (429, {"error": "Your daily task limit has been reached."}, DailyLimitReached),
        (408, {"error": "late"}, SubmissionUnknown),
        (500, {"error": "oops"}, SubmissionUnknown),
        (502, b"<html>bad gateway</html>", SubmissionUnknown),
        (503, b"", SubmissionUnknown),
        (504, {"error": "You do not have enough credits to run this task."}, SubmissionUnknown),
        (302, b"", SubmissionUnknown),
        (200, b"<html>fine</html>", SubmissionUnknown),
        (200, {"name": "no id"}, SubmissionUnknown),
        (200, {"id": ""}, SubmissionUnknown),
        (200, b"[" * 100_000, SubmissionUnknown),
        (200, b'{"id": "' + b"x" * 2_000_000 + b'"}', SubmissionUnknown),
    ],
)
async def test_each_answer_has_its_meaning_and_none_is_followed_by_a_second_post(
    status: int, body: object, kind: type[ProviderError]
) -> None:
    async with scripted(answer(status, body, {"Location": "/v1/elsewhere"})) as script:
        with pytest.raises(ProviderError) as raised:
            await create(script.url)

    assert type(raised.value) is kind
    assert len(script.requests) == 1


async def test_a_created_201_counts_as_made() -> None:
    async with scripted(answer(201, {"id": TASK_ID})) as script:
        assert await create(script.url) == Submission(task_id=TASK_ID, estimated_millicredits=None)


@pytest.mark.parametrize(
    "act",
    [
        Act.CLOSE,
        b"\x00\x01garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{",
        b"HTTP/1.1 500 Oops\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{",
        Act.HANG,
        Partial(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
    ],
)
async def test_a_lost_answer_leaves_the_outcome_unknown(act: bytes | Act | Partial) -> None:
    async with scripted(act) as script:
        with pytest.raises(SubmissionUnknown):
            await create(script.url, timeouts=Timeouts(create=0.3))

    assert len(script.requests) == 1


async def test_a_refusal_stays_one_when_only_its_explanation_is_lost() -> None:
    async with scripted(b"HTTP/1.1 400 Bad\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{") as script:
        with pytest.raises(Refused, match="HTTP 400"):
            await create(script.url)


async def test_issues_of_a_refusal_name_the_callers_fields() -> None:
    issues: Json = [
        {"code": "too_big", "path": ["promptText"], "message": "Too big: expected string to have <=1000 characters"},
        {"code": "custom", "path": ["promptImage"], "message": "Asset size exceeds 16.0MB", "more": 1},
        {"code": "custom", "path": ["duration"], "message": "no"},
        {"code": "custom", "path": ["contentModeration", "publicFigureThreshold"], "message": "no"},
        {"path": "odd"},
        "odd",
    ]
    async with scripted(answer(400, {"error": "Validation of body failed", "issues": issues})) as script:
        with pytest.raises(Refused) as raised:
            await create(script.url)

    assert raised.value.field_errors == (
        FieldError(field="prompt_text", description="Too big: expected string to have <=1000 characters"),
        FieldError(field="media[0]", description="Asset size exceeds 16.0MB"),
        FieldError(field="duration_seconds", description="no"),
        FieldError(field="options.contentModeration", description="no"),
    )


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("Sun, 22 Nov 2026 12:01:00 GMT", 60.0), ("soon", None), ("9" * 400, 86_400.0), (None, None)],
)
async def test_a_daily_limit_tells_when_to_come_back(header: str | None, seconds: float | None) -> None:
    headers = {"Retry-After": header} if header else {}
    async with scripted(answer(429, {"error": "limit"}, headers)) as script:
        with pytest.raises(DailyLimitReached) as raised:
            await create(script.url)

    assert raised.value.retry_after_seconds == seconds


async def test_no_secret_is_raised_or_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    said = f"no {KEY} {PICTURE} https://cdn.example.org/v.mp4?_jwt=signed \x1b[31m"
    body: Json = {"error": said, "issues": [{"path": ["promptImage"], "message": said}]}
    async with scripted(answer(400, body)) as script:
        with pytest.raises(Refused) as raised:
            await create(script.url)

    shown = f"{raised.value} {raised.value.field_errors} {caplog.text}"
    assert "https://cdn.example.org/v.mp4" in shown
    for secret in (KEY, "base64", "signed", "a secret wish", "\x1b"):
        assert secret not in shown


async def test_media_without_a_place_is_refused_before_any_connection() -> None:
    extra = (*MEDIA, PreparedMedia(role=Role.REFERENCE_AUDIO, uri="runway://sound-of-silence"))
    async with scripted() as script, client_for(script.url) as client:
        with pytest.raises(Refused) as raised:
            await client.create(SPEC, extra, before_send=lambda: None)

    assert raised.value.field_errors[0].field == "media[1].role"
    assert script.connections == 0
