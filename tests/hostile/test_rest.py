"""What a hostile client or page sends to REST, files and the compatible calls: refused, and nothing is done."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from evergreen.v1 import scene_pb2, video_pb2
from evergreen_server.gateway.places import FORMS, Places
from evergreen_server.gateway.rest.routes import BINDINGS, ROOT
from tests.gateway.gateways import Answer, gateway, head, raw
from tests.serving import Api, open_sandbox

pytestmark = pytest.mark.asyncio(loop_scope="module")

ASSETS = f"{ROOT}/projects/film/scenes/s/assets"
FILE = f"{ASSETS}/images/there.bin"
BODY = b'{"prompt": "p", "imageUrl": "images/there.bin"}'
CHANGES = [
    *(
        (binding.verb, ROOT + binding.path.replace("{folder}", "images").replace("{", "").replace("}", ""))
        for binding in BINDINGS
        if binding.verb != "GET"
    ),
    ("POST", "/api/videos/generate"),
    ("POST", "/api/projects/film/folders"),
    ("POST", "/v1/videos"),
    ("DELETE", "/v1/videos/video_x"),
]
"""All that changes something."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    async with open_sandbox() as sandbox, gateway(tmp_path_factory.mktemp("rest") / "data", sandbox) as opened:
        assert (await sent(opened, "PUT", FILE, b"0123456789")).status == 201
        yield opened


async def sent(api: Api, verb: str, path: str, body: bytes = b"", *fields: str) -> Answer:
    return await raw(api.http, head(verb, path, f"Content-Length: {len(body)}", *fields) + body)


def reason(answer: Answer) -> str:
    """The reason of a refusal, in whichever of the three shapes."""
    body = json.loads(answer.body)
    return str(body["error"]["code"] if isinstance(body.get("error"), dict) else body["reason"])


async def untouched(api: Api) -> bool:
    """Whether there is still the one file, and no job."""
    scenes = await api.scene.ListScenes(scene_pb2.ListScenesRequest(project_id="film"))
    jobs = await api.video.ListVideos(video_pb2.ListVideosRequest(project_id="film"))
    scene = (await api.scene.GetScene(scene_pb2.GetSceneRequest(project_id="film", scene_id="s"))).scene
    files = [asset.path for folder in scene.folders for asset in folder.assets if folder.name != "metadata"]
    return ([each.scene_id for each in scenes.scenes], len(jobs.jobs), files) == (["s"], 0, ["images/there.bin"])


@pytest.mark.parametrize(("verb", "path"), CHANGES)
async def test_a_page_of_another_origin_changes_nothing(api: Api, verb: str, path: str) -> None:
    for fields in (
        ("Sec-Fetch-Site: cross-site", "Content-Type: application/json"),
        ("Sec-Fetch-Site: same-site", "Content-Type: application/json", "Origin: http://127.0.0.1:1"),
        ("Origin: http://evil.example", "Content-Type: text/plain"),
        ("Origin: null", "Content-Type: application/x-www-form-urlencoded"),
        ("Sec-Fetch-Site: none", "Content-Type: multipart/form-data; boundary=x"),
    ):
        answer = await sent(api, verb, path, BODY, *fields)
        assert (answer.status, reason(answer)) == (403, "ORIGIN_DENIED"), fields
    answer = await raw(api.http, head(verb, path, "Content-Length: 0", host="evil.example"))
    assert (answer.status, reason(answer)) == (421, "HOST_UNKNOWN")


async def test_and_truly_nothing_was_changed(api: Api) -> None:
    assert await untouched(api)


@pytest.mark.parametrize(
    "path",
    [
        f"{ASSETS}/images/..%2f..%2f..%2fetc%2fpasswd",
        f"{ASSETS}/images/%2e%2e",
        f"{ASSETS}/images/../../../../etc/passwd",
        f"{ASSETS}/%2e%2e/there.bin",
        f"{ASSETS}/images/there.bin%00.png",
        f"{ASSETS}/images/there.bin/",
        f"{ASSETS}/images//there.bin",
        f"{ASSETS}/images/there.bin%20",
        f"{ASSETS}/images/.there.bin",
        f"{ASSETS}/images/NUL.png",
        f"{ASSETS}/images/there.bin:url",
        f"{ASSETS}/images/there.bin::$DATA",
        f"{ASSETS}/images/%ff%fe",
        f"{ASSETS}/images/\xff\xfe",
        "/api/videos/status/\xff",
        "/v1/videos/video_\xff",
        f"{ASSETS}/images/{'a' * 300}",
        f"{ASSETS}/Images/there.bin",
        f"{ROOT}/projects/film%2fscenes/scenes/s/assets/images/there.bin",
        f"{ROOT}/projects/%66ilm%00/scenes/s/assets/images/there.bin",
        f"{ROOT}/projects/{{projectId}}/scenes",
        f"{ROOT}/videos/..%2faccount",
        f"{ROOT}//videos",
        "/v1/videos/video_..%2f..%2faccount",
        "/v1/videos/video_x/content/../content",
        "/api/videos/status/..%2f..%2fhealthz",
        "/api/projects/..%2fother/folders",
        "/api/v1/openapi.json/..",
    ],
)
@pytest.mark.parametrize("verb", ["GET", "PUT", "DELETE"])
async def test_a_path_leads_to_no_other_file(api: Api, verb: str, path: str) -> None:
    answer = await sent(api, verb, path, *((b"x",) if verb == "PUT" else ()))

    assert answer.status in (400, 404, 405), answer.body
    assert b"0123456789" not in answer.body


async def test_and_still_nothing_was_changed(api: Api) -> None:
    assert await untouched(api)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (["Range: bytes=0-1", "Range: bytes=5-6"], 200),
        (["Range: bytes=0-" + "9" * 5000], 200),
        (["Range: bytes=" + ",".join("0-0" for _ in range(1000))], 200),
        (["Range: bytes=-" + "9" * 4000], 200),
        (["Range: bytes=\xb2-"], 200),
        (["Range: bytes=0-0 ,"], 200),
        (["If-Range: \xff", "Range: bytes=0-0"], 200),
        (["If-None-Match: " + ",".join('"a"' for _ in range(1000))], 200),
        (["If-None-Match: W/", "If-None-Match: *", "Connection: close"], 304),
        (["Sec-Fetch-Dest: video", "Range: bytes=99-"], 416),
        (["Content-Length: 1"], 400),
        (["Transfer-Encoding: chunked"], 400),
    ],
)
async def test_ranges_and_conditions_of_every_kind(api: Api, fields: list[str], status: int) -> None:
    body = b"0" if "Content-Length: 1" in fields else b"1\r\n0\r\n0\r\n\r\n" if "Transfer" in fields[0] else b""

    answer = await raw(api.http, head("GET", FILE, *fields) + body)

    assert answer.status == status
    assert status != 200 or answer.body == b"0123456789"


@pytest.mark.parametrize(
    ("fields", "body", "status"),
    [
        (["Content-Length: 5", "Content-Length: 6"], b"12345", 400),
        (["Content-Length: -1"], b"", 400),
        (["Content-Length: 5", "Transfer-Encoding: chunked"], b"5\r\n12345\r\n0\r\n\r\n", 400),
        (["Transfer-Encoding: chunked"], b"zz\r\n12345\r\n0\r\n\r\n", 400),
        (["Transfer-Encoding: gzip, chunked"], b"5\r\n12345\r\n0\r\n\r\n", 400),
        (["Content-Length: 5", "X-Evergreen-Crc32c: 1", "X-Evergreen-Crc32c: 2"], b"12345", 400),
        (["Content-Length: 5", "Content-Type: image/png\xff"], b"12345", 400),
        (["Content-Length: 5", "Content-Type: " + "a" * 200 + "/b"], b"12345", 400),
        (["Content-Length: 5", "Content-Encoding: br"], b"12345", 415),
        (["Content-Length: 5", "Expect: 200-ok"], b"12345", 417),
        (["Content-Length: 9999999999999999999999"], b"12345", 400),
    ],
)
async def test_an_upload_that_says_two_things_or_nonsense(
    api: Api, fields: list[str], body: bytes, status: int
) -> None:
    path = f"{ASSETS}/images/lies.bin"

    answer = await raw(api.http, head("PUT", path, *fields) + body)

    assert answer.status == status, answer.body
    assert (await sent(api, "GET", path)).status == 404


@pytest.mark.parametrize("project", ["\xff", "../x", "a b", "a" * 100, "%2e%2e"])
async def test_a_project_in_the_head_is_an_id(api: Api, project: str) -> None:
    body, kind = b'{"prompt": "p", "model": "gen4.5", "seconds": 2}', "Content-Type: application/json"

    for verb, sent_body in (("POST", body), ("GET", b"")):
        answer = await sent(api, verb, "/v1/videos", sent_body, kind, f"OpenAI-Project: {project}")
        assert answer.status == 400, answer.body


async def test_a_key_that_comes_twice_or_is_none(api: Api) -> None:
    body = b'{"sceneId": "s", "model": "gen4.5", "promptText": "p"}'
    path, kind = f"{ROOT}/projects/film/videos", "Content-Type: application/json"

    for fields in (
        ("Idempotency-Key: a", "Idempotency-Key: b"),
        ("Idempotency-Key: a b",),
        ("Idempotency-Key: \xff",),
        ("Idempotency-Key: " + "k" * 129,),
    ):
        answer = await sent(api, "POST", path, body, kind, *fields)
        assert answer.status == 400, fields
    assert await untouched(api)


@pytest.mark.parametrize("path", [f"{ROOT}/projects/film/videos", "/api/videos/generate", "/v1/videos"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b'{"a": 1, "a": 2}',
        b'{"prompt": "\\ud800"}',
        b'{"\\ud800": 1}',
        b'{"promptText": {"a": []}, "prompt": {}}',
        b'{"prompt": NaN}',
        b"[" * 100_000,
        b'{"labels": {' + b",".join(b'"%d": "x"' % number for number in range(30_000)) + b"}}",
        b"\xff\xfe",
        b'{"prompt": null, "promptText": null}',
    ],
    ids=lambda body: repr(body[:20]) if isinstance(body, bytes) else None,
)
async def test_a_body_that_is_no_request(api: Api, path: str, body: bytes) -> None:
    answer = await sent(api, "POST", path, body, "Content-Type: application/json")

    assert answer.status == 400, answer.body
    assert await untouched(api)


async def test_many_large_forms_of_one_address_leave_room_for_another() -> None:
    places = Places(files=100_000)
    held = [asyncio.create_task(_hold(places, "greedy")) for _ in range(3 * FORMS)]
    await asyncio.sleep(0)

    async with asyncio.timeout(5), places.form("honest"):
        assert sum(not task.done() for task in held) == 3 * FORMS
    for task in held:
        task.cancel()
    await asyncio.wait(held)


async def _hold(places: Places, address: str) -> None:
    async with places.form(address):
        await asyncio.Event().wait()
