"""Methods by Connect and gRPC-Web, as raw bytes over real sockets: the same answers as over gRPC."""

import asyncio
import base64
import json
import struct
from collections.abc import AsyncIterator

import aiohttp
import grpc
import pytest
import pytest_asyncio
from google.protobuf.json_format import MessageToDict, Parse
from google.rpc import error_details_pb2, status_pb2

from evergreen.v1 import video_pb2
from evergreen_server.gateway.bridge import methods
from evergreen_server.gateway.problems import HTTP
from tests.gateway.gateways import VIDEO, gateway
from tests.serving import Api, free_address, open_sandbox, request

pytestmark = pytest.mark.asyncio(loop_scope="module")

STREAMING = {f"{VIDEO}/WatchProgress", "/evergreen.v1.SceneService/DownloadAsset"}
FOR_GRPC_ALONE = {"/evergreen.v1.SceneService/UploadAsset": "streams its request, which no browser can"}
UNKNOWN = video_pb2.GetStatusRequest(job_id="0190b0a0-0000-7000-8000-000000000000")


METRICS = free_address()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    folder = tmp_path_factory.mktemp("bridge") / "data"
    async with open_sandbox() as sandbox, gateway(folder, sandbox, EVERGREEN_METRICS_LISTEN=METRICS) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(api: Api) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(api.http) as session:
        yield session


def framed(data: bytes, flags: int = 0) -> bytes:
    return struct.pack(">BI", flags, len(data)) + data


def frames(data: bytes) -> list[tuple[int, bytes]]:
    """The envelopes of a body, which is nothing else."""
    found = []
    while data:
        flags, length = struct.unpack(">BI", data[:5])
        assert len(data) >= 5 + length
        found.append((flags, data[5 : 5 + length]))
        data = data[5 + length :]
    return found


async def sent(http: aiohttp.ClientSession, path: str, body: bytes, kind: str, **headers: str) -> tuple[int, bytes]:
    async with http.post(path, data=body, headers={"Content-Type": kind, **headers}) as answer:
        return answer.status, await answer.read()


async def test_every_method_of_every_service_has_a_route_or_a_reason(http: aiohttp.ClientSession) -> None:
    described = methods()

    assert len(described) >= 23
    assert {path for path, method in described.items() if method.streaming} == STREAMING
    assert {path for path, method in described.items() if method.uploading} == set(FOR_GRPC_ALONE)
    for path, method in described.items():
        _, body = await sent(
            http, path, b"\0", "application/connect+proto" if method.streaming else "application/proto"
        )
        if path in FOR_GRPC_ALONE:
            assert json.loads(body)["reason"] == "STREAM_UNSUPPORTED"
        else:
            # One byte is neither a message nor an envelope: it came as far as what parses those.
            assert b'"invalid_argument"' in body


async def test_answers_are_counted_by_route_and_status(http: aiohttp.ClientSession) -> None:
    await sent(http, f"{VIDEO}/GetStatus", b'{"jobId": "unheard-of"}', "application/json")
    await sent(http, "/unheard-of/nowhere", b"", "application/json")

    # What is served is a second old at most.
    async with asyncio.timeout(30):
        while f'evergreen_http_requests_total{{route="{VIDEO}/GetStatus",status="404"}}' not in (
            text := await metrics()
        ):
            pass
    assert 'evergreen_http_requests_total{route="none",status="404"}' in text
    assert "unheard-of" not in text


async def test_every_status_of_grpc_has_its_http() -> None:
    assert set(HTTP) == set(grpc.StatusCode)


@pytest.mark.parametrize("kind", ["application/proto", "application/grpc-web", "application/grpc-web+proto"])
async def test_bytes_are_passed_through(api: Api, http: aiohttp.ClientSession, kind: str) -> None:
    wanted = await api.video.ListModels(video_pb2.ListModelsRequest())
    web = "grpc-web" in kind

    status, body = await sent(http, f"{VIDEO}/ListModels", framed(b"") if web else b"", kind)

    assert status == 200
    if web:
        (flags, body), last = frames(body)
        assert (flags, last) == (0, (0x80, b"grpc-status: 0\r\n"))
    assert video_pb2.ListModelsResponse.FromString(body) == wanted


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON; charset=utf-8", 'application/json;charset="UTF-8"']
)
async def test_json_is_proto3s_with_every_field_without_presence(
    api: Api, http: aiohttp.ClientSession, kind: str
) -> None:
    made = await api.generate()

    for name in ("jobId", "job_id"):
        status, body = await sent(http, f"{VIDEO}/GetStatus", json.dumps({name: made.job_id}).encode(), kind)
        job = json.loads(body)["job"]

        assert status == 200
        assert job["jobId"] == made.job_id
        assert isinstance(job["revision"], str)
        assert job["state"].startswith("JOB_STATE_")
        assert job["warnings"] == []
        Parse(body, video_pb2.GetStatusResponse())


async def test_a_job_is_made_by_json(api: Api, http: aiohttp.ClientSession) -> None:
    body = json.dumps(MessageToDict(request(prompt_text="über – 雪"))).encode()

    status, answer = await sent(http, f"{VIDEO}/GenerateVideo", body, "application/json")
    job = Parse(answer, video_pb2.GenerateVideoResponse()).job

    assert status == 200
    assert (await api.status(job.job_id)).request.prompt_text == "über – 雪"


async def test_an_error_is_the_same_by_every_protocol(api: Api, http: aiohttp.ClientSession) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.video.GetStatus(UNKNOWN)
    data, text = UNKNOWN.SerializeToString(), json.dumps({"jobId": UNKNOWN.job_id}).encode()

    for kind, body in (("application/proto", data), ("application/json", text)):
        status, answer = await sent(http, f"{VIDEO}/GetStatus", body, kind)
        error = json.loads(answer)

        assert (status, error["code"], error["message"]) == (404, "not_found", caught.value.details())
        (detail,) = error["details"]
        assert "=" not in detail["value"]
        info = error_details_pb2.ErrorInfo.FromString(base64.b64decode(detail["value"] + "=="))
        assert (detail["type"], info.reason) == ("google.rpc.ErrorInfo", "JOB_NOT_FOUND")

    status, answer = await sent(http, f"{VIDEO}/GetStatus", framed(data), "application/grpc-web+proto")
    ((flags, trailers),) = frames(answer)
    found = dict(line.split(": ", 1) for line in trailers.decode().splitlines())
    rich = status_pb2.Status.FromString(base64.b64decode(found["grpc-status-details-bin"] + "=="))
    assert (status, flags, found["grpc-status"], rich.code) == (200, 0x80, "5", 5)
    assert rich.message == caught.value.details()

    watch = video_pb2.WatchProgressRequest(job_ids=[UNKNOWN.job_id]).SerializeToString()
    status, answer = await sent(http, f"{VIDEO}/WatchProgress", framed(watch), "application/connect+proto")
    ((flags, end),) = frames(answer)
    assert (status, flags, json.loads(end)["error"]["code"]) == (200, 2, "not_found")


@pytest.mark.parametrize("kind", ["application/connect+proto", "application/connect+json", "application/grpc-web"])
async def test_a_watch_is_passed_on_until_its_end(api: Api, http: aiohttp.ClientSession, kind: str) -> None:
    job = await api.generate()
    asked = {"job_ids": [job.job_id], "after_revision": 0}
    message = video_pb2.WatchProgressRequest(**asked)
    text = json.dumps(MessageToDict(message)).encode() if "json" in kind else message.SerializeToString()

    status, body = await sent(http, f"{VIDEO}/WatchProgress", framed(text), kind)
    wanted = [each async for each in api.events(**asked)]

    assert status == 200
    *found, (flags, end) = frames(body)
    assert {flags for flags, _ in found} == {0}
    assert (flags, end) == ((0x80, b"grpc-status: 0\r\n") if "web" in kind else (2, b"{}"))
    read = [
        Parse(data, video_pb2.WatchProgressResponse())
        if "json" in kind
        else video_pb2.WatchProgressResponse.FromString(data)
        for _, data in found
    ]
    told = [each for each in read if each.HasField("event") and each.event.kind != video_pb2.EVENT_KIND_PROGRESS]
    assert told == [
        each for each in wanted if each.HasField("event") and each.event.kind != video_pb2.EVENT_KIND_PROGRESS
    ]


@pytest.mark.parametrize(
    ("kind", "header"),
    [("application/proto", {"Connect-Timeout-Ms": "0"}), ("application/grpc-web", {"Grpc-Timeout": "0n"})],
)
async def test_a_deadline_is_kept(http: aiohttp.ClientSession, kind: str, header: dict[str, str]) -> None:
    web = "web" in kind
    status, body = await sent(http, f"{VIDEO}/ListModels", framed(b"") if web else b"", kind, **header)

    assert (status, b"grpc-status: 4\r\n" in body if web else json.loads(body)["code"]) == (
        (200, True) if web else (504, "deadline_exceeded")
    )


async def test_a_watch_that_its_client_leaves_ends_upstream_and_not_the_job(
    api: Api, http: aiohttp.ClientSession
) -> None:
    job = await api.generate()
    message = framed(video_pb2.WatchProgressRequest(project_id="film").SerializeToString())
    async with asyncio.timeout(30):
        while await watchers():
            pass

    answer = await http.post(
        f"{VIDEO}/WatchProgress", data=message, headers={"Content-Type": "application/connect+proto"}
    )
    await answer.content.readexactly(5)
    async with asyncio.timeout(30):
        while await watchers() != 1:
            pass
    answer.close()
    async with asyncio.timeout(30):
        while await watchers():
            pass

    assert (await api.finished(job.job_id)).state == video_pb2.JOB_STATE_SUCCEEDED


async def watchers() -> float:
    [line] = [line for line in (await metrics()).splitlines() if line.startswith("evergreen_watchers ")]
    return float(line.split()[1])


async def metrics() -> str:
    async with aiohttp.ClientSession() as session, session.get(f"http://{METRICS}/metrics") as answer:
        return await answer.text()
