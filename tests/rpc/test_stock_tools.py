"""Stock gRPC tools work: `buf curl` through reflection for each call, and the standard health check."""

import asyncio
import base64
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from evergreen.v1 import film_pb2, scene_pb2, video_pb2
from tests.rpc.films import SHORT, film_until
from tests.rpc.scenes import upload
from tests.serving import SAMPLES, Api, Control, request, serving

BUF = Path(__file__).parents[2] / "node_modules" / ".bin" / "buf"
FAILED_PRECONDITION, NOT_FOUND = 9 * 8, 5 * 8
"""buf curl exits with eight times the gRPC code."""


GRPC = ("--protocol", "grpc", "--http2-prior-knowledge")


async def buf_curl(
    address: str, method: str, *bodies: dict[str, object], options: Sequence[str] = GRPC
) -> tuple[int, list[dict]]:
    """Calls a method as a user would, knowing nothing but the address; gives the exit code and the answers."""
    process = await asyncio.create_subprocess_exec(
        *(BUF, "curl", *options, "--data", "@-", f"http://{address}/evergreen.v1.{method}"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    body = "".join(json.dumps(body) for body in bodies)
    out, err = await asyncio.wait_for(process.communicate(body.encode()), 60)
    code = process.returncode
    assert code is not None
    answers, text = [], out.decode().strip()
    while text:
        answer, end = json.JSONDecoder().raw_decode(text)
        answers.append(answer)
        text = text[end:].lstrip()
    if code and not answers:
        answers = [{"stderr": err.decode()}]
    return code, answers


def generate_body(**fields: object) -> dict[str, object]:
    message = request(**fields)
    return {field.name: getattr(message, field.name) for field, _ in message.ListFields()}


@pytest.mark.parametrize("protocol", ["connect", "grpcweb"])
async def test_buf_curl_speaks_with_the_gateway(tmp_path: Path, sandbox: Control, protocol: str) -> None:
    # Reflection needs both directions at once, which HTTP/1.1 has not.
    options = ("--protocol", protocol, "--schema", str(BUF.parents[2] / "protos"))
    async with serving(tmp_path / "data", sandbox.url, EVERGREEN_HTTP_LISTEN="127.0.0.1:0") as api:
        address = api.http.removeprefix("http://")

        code, [made] = await buf_curl(address, "VideoService/GenerateVideo", generate_body(), options=options)
        job = {"job_ids": [made["job"]["jobId"]]}
        watched, told = await buf_curl(address, "VideoService/WatchProgress", job, options=options)
        refused, _ = await buf_curl(address, "VideoService/GetStatus", {"job_id": "unknown"}, options=options)

    assert (code, watched) == (0, 0), told
    assert any(each.get("event", {}).get("kind") == "EVENT_KIND_SUCCEEDED" for each in told)
    assert refused == NOT_FOUND


async def test_buf_curl_generates_watches_and_reads_a_job(api: Api, sandbox: Control) -> None:
    address = api.address

    code, [made] = await buf_curl(address, "VideoService/GenerateVideo", generate_body())
    assert code == 0
    job_id = made["job"]["jobId"]
    code, told = await buf_curl(address, "VideoService/WatchProgress", {"job_ids": [job_id]})
    assert code == 0
    assert told[-1]["event"]["kind"] == "EVENT_KIND_SUCCEEDED" or told[-1]["event"]["job"]["state"].endswith(
        "SUCCEEDED"
    )
    for method, body in (
        ("GetStatus", {"job_id": job_id}),
        ("CancelVideo", {"job_id": job_id}),
        ("ListVideos", {"project_id": "film"}),
        ("ListModels", {}),
        ("GetAccount", {}),
        ("GetCaller", {}),
        ("ListProjects", {}),
    ):
        code, answers = await buf_curl(address, f"VideoService/{method}", body)
        assert code == 0, answers
        assert answers[0], method


async def test_buf_curl_is_told_what_is_wrong(api: Api) -> None:
    code, [answer] = await buf_curl(
        api.address, "VideoService/ResolveSubmission", {"job_id": "none", "resolution": "SUBMISSION_RESOLUTION_ABANDON"}
    )

    assert code == 5 * 8
    error = json.loads(answer["stderr"])
    assert error["message"] == "there is no job none"
    info = error_details_pb2.ErrorInfo.FromString(base64.b64decode(error["details"][0]["value"] + "=="))
    assert (info.reason, info.metadata["job_id"]) == ("JOB_NOT_FOUND", "none")


@pytest.mark.parametrize(
    "method", [method.name for method in scene_pb2.DESCRIPTOR.services_by_name["SceneService"].methods]
)
async def test_buf_curl_calls_every_scene_method(api: Api, method: str) -> None:
    scene = {"project_id": "film", "scene_id": "one"}
    asset = {**scene, "path": "images/a.png"}
    data = base64.b64encode((SAMPLES / "coffee.png").read_bytes()).decode()
    bodies: dict[str, Sequence[dict[str, object]]] = {
        "ListScenes": [{"project_id": "film"}],
        "UploadAsset": [{"info": {**scene, "path": "images/b.png"}}, {"chunk": data}],
        **{name: [asset] for name in ("DownloadAsset", "DeleteAsset", "GetAssetUrl")},
    }
    await upload(api, (SAMPLES / "coffee.png").read_bytes(), **asset)

    code, answers = await buf_curl(api.address, f"SceneService/{method}", *bodies.get(method, [scene]))

    # A local disk cannot sign a URL.
    assert code == (FAILED_PRECONDITION if method == "GetAssetUrl" else 0), answers


async def test_buf_curl_plans_makes_and_deletes_a_film(api: Api) -> None:
    film = {"project_id": "film", "film_id": "movie"}
    edit = {"settings": {"style": "ink on paper"}}
    plan = {**film, "plan_revision": 2, "max_credits": 500}
    bodies: dict[str, dict[str, object]] = {
        "PlanFilm": {**film, "request_id": "one", "script": SHORT},
        "EditFilm": {**film, "plan_revision": 1, "edits": [edit]},
        "GetFilm": film,
        "ListFilms": {"project_id": "film"},
        "StartFilm": {
            **plan,
            "request_id": "two",
            "gates": ["FILM_GATE_STORYBOARD"],
            "stop_after": "FILM_STAGE_CLIPS",
        },
        "ApproveFilm": {**plan, "run": 1},
        "ExportFilm": {**film, "request_id": "three", "plan_revision": 2, "profiles": [{"name": "tall"}]},
        "CancelFilm": {**film, "run": 2},
        "DeleteFilm": film,
    }

    assert list(bodies) == [method.name for method in film_pb2.DESCRIPTOR.services_by_name["FilmService"].methods]
    for method, body in bodies.items():
        if method == "ApproveFilm":
            waiting = await film_until(api, "film", video_pb2.FILM_STATE_AWAITING_APPROVAL)
            body["revision"] = waiting.status.revision
        if method == "ExportFilm":
            await film_until(api, "film", video_pb2.FILM_STATE_SUCCEEDED)
        if method == "DeleteFilm":
            await film_until(api, "film", video_pb2.FILM_STATE_CANCELLED, video_pb2.FILM_STATE_SUCCEEDED)
        code, answers = await buf_curl(api.address, f"FilmService/{method}", body)
        assert code == 0, answers


@pytest.mark.parametrize(
    "service", ["", "evergreen.v1.VideoService", "evergreen.v1.SceneService", "evergreen.v1.FilmService"]
)
async def test_the_standard_health_check_says_serving(api: Api, service: str) -> None:
    stub = health_pb2_grpc.HealthStub(api.channel)

    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))

    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_every_method_of_the_contract_is_tried_above() -> None:
    methods = {method.name for method in video_pb2.DESCRIPTOR.services_by_name["VideoService"].methods}

    assert methods == {
        *("GenerateVideo", "GetStatus", "WatchProgress", "CancelVideo", "ListVideos"),
        *("ResolveSubmission", "ListModels", "GetAccount", "GetCaller", "ListProjects", "Generate"),
    }
