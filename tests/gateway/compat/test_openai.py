"""`/v1/videos` by the official SDKs, unchanged but for the base URL, and by requests that they would not send."""

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI

from evergreen.v1 import video_pb2
from evergreen_server.gateway.compat.forms import FORM_BYTES
from evergreen_server.gateway.compat.retries import LABEL
from tests.gateway.compat.lossy import Lossy, lossy_to
from tests.gateway.gateways import gateway
from tests.rpc.identities import Tokens, bearer
from tests.serving import SAMPLES, Api, Control, open_sandbox

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    # The vendor ends its own service; the SDKs say so at each call.
    pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning"),
]

ROCKET = SAMPLES / "rocket.jpg"
NODE = Path(__file__).with_name("node") / "openai.mjs"


@dataclass(frozen=True, kw_only=True)
class World:
    """A service with tokens, and a way to it that loses answers."""

    api: Api
    token: str
    reader: str
    lossy: Lossy

    def client(self, *, token: str | None = None, url: str = "", project: str = "film") -> AsyncOpenAI:
        return AsyncOpenAI(
            api_key=self.token if token is None else token, base_url=f"{url or self.api.http}/v1", project=project
        )

    async def job(self, video_id: str) -> video_pb2.Job:
        asked = video_pb2.GetStatusRequest(job_id=video_id.removeprefix("video_"))
        return (await self.api.video.GetStatus(asked, metadata=bearer(self.token))).job

    async def jobs(self, prompt: str) -> list[str]:
        asked = video_pb2.ListVideosRequest(project_id="film", page_size=1000)
        listed = await self.api.video.ListVideos(asked, metadata=bearer(self.token))
        return [job.job_id for job in listed.jobs if job.request.prompt_text == prompt]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox() -> AsyncIterator[Control]:
    async with open_sandbox() as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory, sandbox: Control) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("openai")
    tokens = Tokens(folder / "tokens")
    writer, reader = tokens.give("studio", projects=("film", "default")), tokens.give("viewer", rights="read")
    settings = {
        "EVERGREEN_TOKENS_FILE": str(tokens.path),
        "EVERGREEN_HTTP_MODELS": '{"sora-2": "gen4_turbo", "sora-2-pro": "gen4.5"}',
    }
    async with gateway(folder / "data", sandbox, **settings) as api, lossy_to(api.http) as lossy:
        yield World(api=api, token=writer, reader=reader, lossy=lossy)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(world: World) -> AsyncIterator[AsyncOpenAI]:
    async with world.client() as opened:
        yield opened


async def test_a_video_is_made_polled_downloaded_and_kept(world: World, client: AsyncOpenAI) -> None:
    made = await client.videos.create(
        prompt="it rises",
        model="sora-2",
        seconds="5",
        size="1280x720",
        input_reference=ROCKET,
    )
    done = await client.videos.poll(made.id)
    clip = await client.videos.download_content(made.id)
    poster = await client.videos.download_content(made.id, variant="thumbnail")
    deleted = await client.videos.delete(made.id)

    assert (made.object, made.status, made.seconds, made.size) == ("video", "queued", "5", "1280x720")
    assert (done.status, done.progress, done.prompt, done.model) == ("completed", 100, "it rises", "gen4_turbo")
    assert done.completed_at is not None
    assert done.completed_at >= done.created_at
    assert done.model_extra is not None
    assert done.model_extra["evergreen"]["projectId"] == "film"
    assert clip.read()[4:8] == b"ftyp"
    assert poster.read()[:2] == b"\xff\xd8"
    assert deleted.deleted is False
    assert (await client.videos.retrieve(made.id)).status == "completed"


async def test_a_request_in_json_names_a_picture_by_its_url_and_may_choose_its_scene(world: World) -> None:
    url = f"data:image/jpeg;base64,{base64.b64encode(ROCKET.read_bytes()).decode()}"
    body = {"prompt": "p", "model": "sora-2", "seconds": 5, "size": "1280x720", "scene_id": "harbour"}
    headers = {"Authorization": f"Bearer {world.token}", "OpenAI-Project": "film"}

    async with aiohttp.ClientSession(world.api.http) as http:
        for given, status in (({"image_url": url}, 200), ({"file_id": "f"}, 400), ("x", 400), ({"image_url": 1}, 400)):
            async with http.post("/v1/videos", json={**body, "input_reference": given}, headers=headers) as answer:
                made = await answer.json()
                assert answer.status == status
            if status == 200:
                job = await world.job(made["id"])
                assert (job.scene_id, len(job.request.media)) == ("harbour", 1)
            else:
                assert made["error"]["param"].startswith("input_reference")


async def test_without_a_project_it_is_the_default_one(world: World) -> None:
    async with world.client(project="") as other:
        made = await other.videos.create(prompt="p", model="gen4.5", seconds="2", size="1280x720")

    assert (await world.job(made.id)).project_id == "default"


async def test_videos_are_listed_page_by_page_in_both_orders(client: AsyncOpenAI) -> None:
    made = [
        (await client.videos.create(prompt=f"page {number}", model="gen4.5", seconds="2", size="1280x720")).id
        for number in range(5)
    ]

    newest = [video.id async for video in client.videos.list(limit=2)]
    oldest = [video.id async for video in client.videos.list(limit=2, order="asc")]
    first = await client.videos.list(limit=3)

    assert newest == oldest[::-1]
    assert len(set(newest)) == len(newest)
    assert newest[:5] == made[::-1]
    assert (first.has_more, first.last_id) == (True, made[2])


async def test_an_unfinished_video_is_cancelled_by_deleting_it(world: World, client: AsyncOpenAI) -> None:
    made = await client.videos.create(prompt="never mind", model="gen4.5", seconds="10", size="1280x720")
    deleted = await client.videos.delete(made.id)
    ended = await client.videos.poll(made.id)

    assert deleted.deleted is True
    assert ended.status == "failed"
    assert ended.error is not None
    assert ended.error.code == "CANCELLED"


async def test_a_video_that_fails_says_why(client: AsyncOpenAI, sandbox: Control) -> None:
    await sandbox.fault("failure", prompt="doomed", failureCode="SAFETY.INPUT.TEXT", count=None)

    made = await client.videos.create(prompt="doomed", model="gen4.5", seconds="2", size="1280x720")
    ended = await client.videos.poll(made.id)

    assert (ended.status, ended.progress < 100) == ("failed", True)
    assert ended.error is not None
    assert ended.error.code
    with pytest.raises(openai.NotFoundError, match="no such file"):
        await client.videos.download_content(made.id)


async def test_each_error_is_the_sdks_own(world: World, client: AsyncOpenAI) -> None:
    good = {"prompt": "p", "model": "gen4.5", "seconds": "2", "size": "1280x720"}
    for changes, param in (
        ({"seconds": "99"}, "seconds"),
        ({"seconds": "a while"}, "seconds"),
        ({"seconds": "2.5"}, "seconds"),
        ({"size": "1x1"}, "size"),
        ({"model": "dall-e"}, "model"),
        ({"extra_body": {"n": 2}}, "n"),
        ({"extra_body": {"scene_id": "../x"}}, "scene_id"),
    ):
        with pytest.raises(openai.BadRequestError) as wrong:
            await client.videos.create(**{**good, **changes})
        assert wrong.value.param == param, changes
    for call in (client.videos.retrieve("video_none"), client.videos.retrieve("none"), client.videos.delete("video_x")):
        with pytest.raises(openai.NotFoundError):
            await call
    with pytest.raises(openai.APIStatusError) as refused:
        await client.videos.remix("video_x", prompt="again")
    assert (refused.value.status_code, refused.value.code) == (501, "OPERATION_NOT_OFFERED")
    async with world.client(token="evg_" + "x" * 43) as stranger:
        with pytest.raises(openai.AuthenticationError):
            await stranger.videos.list()
    async with world.client(token=world.reader) as viewer:
        assert await viewer.videos.list(limit=1)
        with pytest.raises(openai.PermissionDeniedError):
            await viewer.videos.create(**good)
    key = {"Idempotency-Key": "k"}
    await client.videos.create(**good, extra_headers=key)
    with pytest.raises(openai.ConflictError):
        await client.videos.create(**{**good, "prompt": "q"}, extra_headers=key)


@pytest.mark.parametrize("with_picture", [False, True])
async def test_a_lost_answer_makes_no_second_video(world: World, with_picture: bool) -> None:
    prompt = f"lost {with_picture}"
    more = {"input_reference": ROCKET} if with_picture else {}
    world.lossy.left = 2
    async with world.client(url=world.lossy.url) as client:
        made = await client.videos.create(prompt=prompt, model="gen4.5", seconds="2", size="1280x720", **more)

    assert world.lossy.left == 0
    assert await world.jobs(prompt) == [made.id.removeprefix("video_")]


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_retries_of_equal_requests_find_all_of_them_and_make_none(
    world: World, client: AsyncOpenAI, elsewhere: bool
) -> None:
    fields = {"prompt": f"twice {elsewhere}", "model": "gen4.5", "seconds": "2", "size": "1280x720"}
    made = set()
    for number in range(3):
        key = {"Idempotency-Key": f"twice-{number}"} if elsewhere else {}
        made.add((await client.videos.create(**fields, extra_headers=key)).id)

    for count in ("1", "2"):
        retry = {"x-stainless-retry-count": count}
        again = [(await client.videos.create(**fields, extra_headers=retry)).id for _ in range(3)]
        assert (set(again), len(made)) == (made, 3)
        # The same retry once more, as proxies repeat it.
        assert (await client.videos.create(**fields, extra_headers=retry)).id in made
    assert len(await world.jobs(fields["prompt"])) == 3


async def test_another_replica_finds_the_job_of_a_lost_answer(
    world: World, sandbox: Control, client: AsyncOpenAI
) -> None:
    """A repeated request whose first came elsewhere is known by its label."""
    fields = {"prompt": "elsewhere", "model": "gen4.5", "seconds": "2", "size": "1280x720"}
    made = await client.videos.create(**fields, extra_headers={"Idempotency-Key": "first-elsewhere"})

    again = await client.videos.create(**fields, extra_headers={"x-stainless-retry-count": "1"})
    other = await client.videos.create(**fields)

    assert again.id == made.id
    assert other.id != made.id
    assert (await world.job(made.id)).labels[LABEL] == (await world.job(other.id)).labels[LABEL]


async def test_the_node_sdk_does_the_same(world: World) -> None:
    world.lossy.left = 1
    process = await asyncio.create_subprocess_exec(
        *("node", str(NODE), f"{world.api.http}/v1", f"{world.lossy.url}/v1", world.token, str(ROCKET)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(90):
        output, errors = await process.communicate()

    assert process.returncode == 0, errors.decode()
    told = json.loads(output)
    assert (told["bytes"] > 1000, told["listed"], told["found"], world.lossy.left) == (True, 3, "named", 0)
    assert await world.jobs("node lost") == [told["lost"].removeprefix("video_")]


async def test_a_body_that_is_no_form_or_too_large_is_refused(world: World) -> None:
    bearing = {"Authorization": f"Bearer {world.token}"}
    boundary = {**bearing, "Content-Type": "multipart/form-data; boundary=x"}
    part = b'--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n'
    async with aiohttp.ClientSession(world.api.http) as http:
        for data, status, param in (
            (b"", 400, None),
            (b"no form", 400, None),
            (part + b"never ends", 400, None),
            (part + b"a\r\n" + part + b"b\r\n--x--\r\n", 400, "prompt"),
            (part + b"\xff\r\n--x--\r\n", 400, None),
            (part.replace(b'; name="prompt"', b"") + b"a\r\n--x--\r\n", 400, None),
            (part + b"a" * (65 << 10) + b"\r\n--x--\r\n", 413, None),
            (b"".join(part.replace(b"prompt", b"p%d" % n) + b"a\r\n" for n in range(30)) + b"--x--\r\n", 400, "p20"),
        ):
            async with http.post("/v1/videos", data=data, headers=boundary) as answer:
                body = await answer.json()
                assert (answer.status, body["error"]["param"]) == (status, param), data[:80]
        async with http.post("/v1/videos", data=io.BytesIO(bytes(FORM_BYTES + 1)), headers=boundary) as answer:
            assert (answer.status, (await answer.json())["error"]["code"]) == (413, "BODY_TOO_LARGE")
        async with http.post("/v1/videos", data={"prompt": "a form"}, headers=bearing) as answer:
            assert answer.status == 415
        async with http.post("/v1/videos", json={"prompt": 7}, headers=bearing) as answer:
            assert (answer.status, (await answer.json())["error"]["param"]) == (400, "prompt")
        for query in ("limit=0", "limit=101", "limit=x", "order=up", "after=video_none", "page=2"):
            async with http.get(f"/v1/videos?{query}", headers=bearing) as answer:
                assert answer.status in (400, 404), query
