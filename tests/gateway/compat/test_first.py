"""The first endpoints: the call that was first asked for makes a clip, and what they do not know is named."""

import base64
import io
import json
import random
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from evergreen.v1 import video_pb2
from tests.gateway.gateways import gateway
from tests.serving import SAMPLES, Api, Control, open_sandbox

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROCKET = (SAMPLES / "rocket.jpg").read_bytes()
DATA_URL = f"data:image/jpeg;base64,{base64.b64encode(ROCKET).decode()}"
FAILED = "the model failed"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pictures() -> AsyncIterator[str]:
    """A picture on the web."""

    async def picture(_: web.Request) -> web.Response:
        return web.Response(body=ROCKET, content_type="image/jpeg")

    app = web.Application()
    app.router.add_get("/rocket.jpg", picture)
    async with TestServer(app) as server:
        yield f"http://127.0.0.1:{server.port}/rocket.jpg"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox() -> AsyncIterator[Control]:
    async with open_sandbox() as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory, sandbox: Control, pictures: str) -> AsyncIterator[Api]:
    host = pictures.removeprefix("http://").partition("/")[0]
    folder = tmp_path_factory.mktemp("first") / "data"
    async with gateway(folder, sandbox, EVERGREEN_PICTURE_HOSTS=host) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(api: Api) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(api.http) as session:
        yield session


async def made(http: aiohttp.ClientSession, body: object, **headers: str) -> tuple[int, dict[str, object]]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with http.post("/api/videos/generate", json=body, headers=named) as answer:
        return answer.status, await answer.json()


async def made_of_bytes(http: aiohttp.ClientSession, body: bytes) -> tuple[int, dict[str, object]]:
    headers = {"Content-Type": "application/json"}
    async with http.post("/api/videos/generate", data=io.BytesIO(body), headers=headers) as answer:
        return answer.status, await answer.json()


async def status(http: aiohttp.ClientSession, job_id: object) -> dict[str, object]:
    async with http.get(f"/api/videos/status/{job_id}") as answer:
        assert answer.status == 200
        return await answer.json()


async def test_the_call_that_was_first_asked_for_makes_a_clip_that_can_be_seeked(
    api: Api, http: aiohttp.ClientSession, pictures: str
) -> None:
    body = {
        "imageUrl": pictures,
        "prompt": "The rocket rises slowly",
        "duration": 10,
        "projectId": "project-1",
        "sceneId": "scene-1",
    }

    code, answer = await made(http, body)
    assert (code, answer) == (
        200,
        {"videoUrl": "", "jobId": answer["jobId"], "taskId": answer["jobId"], "status": "processing", "duration": 10},
    )
    before = await status(http, answer["taskId"])
    await api.finished(str(answer["jobId"]))
    after = await status(http, answer["taskId"])

    assert (before["status"], before["videoUrl"], before["error"]) == ("processing", "", None)
    assert (after["status"], after["progress"], after["needsAttention"]) == ("completed", 100, False)
    async with http.get(str(after["videoUrl"]), headers={"Range": "bytes=4-7"}) as clip:
        assert (clip.status, await clip.read(), clip.content_type) == (206, b"ftyp", "video/mp4")
    job = await api.status(str(answer["jobId"]))
    assert (job.request.model, job.request.duration_seconds, job.request.ratio) == ("gen4_turbo", 10, "1280:720")


@pytest.mark.parametrize(("duration", "wanted"), [(1, 5), (5, 5), (5.5, 10), ("10", 10), (None, 5)])
async def test_a_duration_becomes_one_of_two(
    api: Api, http: aiohttp.ClientSession, duration: object, wanted: int
) -> None:
    code, answer = await made(http, {"imageUrl": DATA_URL, "prompt": "p", "duration": duration})

    assert (code, answer["duration"]) == (200, wanted)
    job = await api.status(str(answer["jobId"]))
    assert (job.project_id, job.scene_id, job.request.duration_seconds) == ("default", "scene-1", wanted)


async def test_movement_becomes_words_of_the_prompt(api: Api, http: aiohttp.ClientSession) -> None:
    body = {"imageUrl": DATA_URL, "prompt": "a hill ", "cameraMovement": "zoom-in", "motionIntensity": "high"}

    _, answer = await made(http, body)

    job = await api.status(str(answer["jobId"]))
    assert job.request.prompt_text == "a hill The camera zooms in. Fast, dynamic motion."


async def test_a_picture_may_be_a_file_of_the_project(api: Api, http: aiohttp.ClientSession) -> None:
    path = "/api/v1/projects/own/scenes/pictures/assets/images/rocket.jpg"
    async with http.put(path, data=ROCKET) as answer:
        assert answer.status == 201
    bodies = (
        {"imageUrl": path, "projectId": "own", "sceneId": "other"},
        {"imageUrl": "images/rocket.jpg", "projectId": "own", "sceneId": "pictures"},
    )

    for body in bodies:
        code, answer = await made(http, {"prompt": "p", **body})
        assert code == 200, answer
        media = (await api.status(str(answer["jobId"]))).request.media[0]
        assert media.asset == "images/rocket.jpg"
        assert (await api.finished(str(answer["jobId"]))).state == video_pb2.JOB_STATE_SUCCEEDED

    code, answer = await made(http, {"imageUrl": path, "prompt": "p", "projectId": "stranger"})
    assert (code, answer["errors"]) == (400, [{"field": "imageUrl", "detail": "must be a file of the same project"}])


async def test_a_picture_too_large_for_a_request_is_kept_in_the_scene(api: Api, http: aiohttp.ClientSession) -> None:
    # A JPEG is still one with much behind its end.
    large = ROCKET + random.Random(1).randbytes(3 << 20)
    body = {
        "imageUrl": f"data:image/jpeg;base64,{base64.b64encode(large).decode()}",
        "prompt": "p",
        "projectId": "large",
    }

    answers = [await made_of_bytes(http, json.dumps(body).encode()) for _ in range(2)]

    assert [code for code, _ in answers] == [200, 200], answers
    jobs = [await api.finished(str(answer["jobId"])) for _, answer in answers]
    assert {job.state for job in jobs} == {video_pb2.JOB_STATE_SUCCEEDED}
    assert len({(await api.status(job.job_id)).request.media[0].asset for job in jobs}) == 1


async def test_one_key_makes_one_job(http: aiohttp.ClientSession) -> None:
    body = {"imageUrl": DATA_URL, "prompt": "p"}

    answers = [await made(http, body, Idempotency_Key="take-1") for _ in range(2)]
    code, other = await made(http, {**body, "prompt": "q"}, Idempotency_Key="take-1")

    assert answers[0][1]["jobId"] == answers[1][1]["jobId"]
    assert (code, other["reason"]) == (409, "REQUEST_ID_REUSED")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"lipSync": True, "audioUrl": "http://a/b.mp3"}, "lipSync"),
        ({"audioUrl": "http://a/b.mp3"}, "audioUrl"),
        ({"seed": 1}, "seed"),
        ({"imageUrl": 7}, "imageUrl"),
        ({"imageUrl": "ftp://example.com/a.png"}, "imageUrl"),
        ({"imageUrl": "data:image/png;base64,!!"}, "imageUrl"),
        ({"imageUrl": "data:image/png;base64,abc"}, "imageUrl"),
        ({"imageUrl": "data:text/html;base64,YQ=="}, "imageUrl"),
        ({"imageUrl": None}, "imageUrl"),
        ({"duration": "long"}, "duration"),
        ({"duration": -1}, "duration"),
        ({"duration": True}, "duration"),
        ({"prompt": ["a"]}, "prompt"),
        ({"prompt": "p" * 5000}, "prompt"),
        ({"cameraMovement": "sideways"}, "cameraMovement"),
        ({"motionIntensity": "11"}, "motionIntensity"),
        ({"ratio": "1:1"}, "ratio"),
        ({"projectId": "../x"}, "projectId"),
        ({"model": "gen9"}, "model"),
    ],
)
async def test_what_is_not_supported_or_wrong_is_named(
    http: aiohttp.ClientSession, body: dict[str, object], field: str
) -> None:
    code, answer = await made(http, {"imageUrl": DATA_URL, "prompt": "p", **body})

    assert (code, answer["reason"]) == (400, "INVALID_REQUEST"), answer
    assert field in [error["field"] for error in answer["errors"]], answer
    assert isinstance(answer["error"], str)


async def test_a_job_that_failed_and_one_that_is_not_there(
    api: Api, http: aiohttp.ClientSession, sandbox: Control
) -> None:
    await sandbox.fault("failure", prompt=FAILED, failureCode="SAFETY.INPUT.TEXT", count=None)
    _, answer = await made(http, {"imageUrl": DATA_URL, "prompt": FAILED})
    await api.finished(str(answer["jobId"]))

    failed = await status(http, answer["jobId"])
    async with http.get("/api/videos/status/none") as missing:
        body = await missing.json()

    assert (failed["status"], failed["videoUrl"]) == ("failed", "")
    assert failed["error"]
    assert (missing.status, set(body)) == (404, {"error", "reason", "errors"})


async def test_scenes_and_files_are_one_tree_page_by_page(http: aiohttp.ClientSession) -> None:
    folders = "/api/projects/tree/folders"
    for number in range(52):
        async with http.post(folders, json={"sceneId": f"s-{number:02}"}) as answer:
            assert answer.status == 201
            assert (await answer.json())["path"] == f"tree/s-{number:02}"
    async with http.post(folders, json={"sceneName": "  The Lamp, lit! "}) as answer:
        assert (await answer.json())["sceneId"] == "the-lamp-lit"
    async with http.post(folders, json={"sceneId": "s-00", "sceneName": "The Lamp"}) as answer:
        named = await answer.json()
    async with http.put("/api/v1/projects/tree/scenes/s-00/assets/images/a.jpg", data=ROCKET) as answer:
        assert answer.status == 201

    async with http.get(folders) as answer:
        first = await answer.json()
    async with http.get(folders, params={"pageToken": first["nextPageToken"]}) as answer:
        rest = await answer.json()
    async with http.get(folders, params={"sceneId": "s-00"}) as answer:
        one = await answer.json()

    assert (named["sceneId"], "keeps no name" in named["message"]) == ("s-00", True)
    names = [scene["name"] for tree in (first, rest) for scene in tree["children"]]
    assert names == [*(f"s-{number:02}" for number in range(52)), "the-lamp-lit"]
    assert "nextPageToken" not in rest
    assert one["children"] == first["children"][:1]
    scene = one["children"][0]
    assert [folder["name"] for folder in scene["children"]] == ["images", "audio", "videos", "metadata", "exports"]
    (file,) = scene["children"][0]["children"]
    assert (file["name"], file["type"], file["path"]) == ("a.jpg", "file", "tree/s-00/images/a.jpg")
    assert file["metadata"]["size"] == len(ROCKET)
    async with http.get(file["url"]) as answer:
        assert await answer.read() == ROCKET


@pytest.mark.parametrize(
    ("verb", "path", "body", "field"),
    [
        ("POST", "tree/folders", {}, "sceneId"),
        ("POST", "tree/folders", {"sceneName": "???"}, "sceneName"),
        ("POST", "tree/folders", {"sceneId": "a", "colour": "red"}, "colour"),
        ("POST", "tree/folders", {"sceneId": "../a"}, "scene_id"),
        ("GET", "tree/folders?depth=2", None, "depth"),
    ],
)
async def test_folders_refuse_by_name(
    http: aiohttp.ClientSession, verb: str, path: str, body: object, field: str
) -> None:
    async with http.request(verb, f"/api/projects/{path}", json=body) as answer:
        found = await answer.json()

    assert (answer.status, [error["field"] for error in found["errors"]]) in [(400, [field]), (400, ["sceneId"])]


async def test_a_form_post_is_refused(http: aiohttp.ClientSession) -> None:
    async with http.post("/api/videos/generate", data={"prompt": "p"}) as answer:
        assert (answer.status, (await answer.json())["reason"]) == (415, "CONTENT_TYPE_UNSUPPORTED")
