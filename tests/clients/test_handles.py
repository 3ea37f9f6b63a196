"""The clients for daily use: handles and values of jobs, inputs of all kinds, and downloads that go on."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from PIL import Image

import evergreen
from evergreen import (
    INLINE_LIMIT,
    AsyncClient,
    AsyncJobHandle,
    Job,
    JobCancelled,
    JobFailed,
    MediaKind,
    MediaRole,
    Reconnect,
    TransferBroken,
    Unavailable,
)
from evergreen.client.watching import settled
from evergreen.v1 import video_pb2
from evergreen.v1.video_pb2 import CancelVideoResponse, GenerateVideoResponse, GetStatusResponse
from tests.clients.scripted import Fault, Hold, ScriptedService, event, job
from tests.serving import SAMPLES, Api, open_sandbox, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")
CLIP = {"project_id": "film", "scene_id": "scene-1", "model": "gen4_turbo", "ratio": "1280:720", "duration_seconds": 5}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    """A server that all tests share."""
    async with open_sandbox() as sandbox, serving(tmp_path_factory.mktemp("server") / "data", sandbox.url) as api:
        yield api


@pytest_asyncio.fixture(loop_scope="module")
async def client(server: Api) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(server.address) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def scripted() -> AsyncIterator[ScriptedService]:
    async with ScriptedService() as service:
        yield service


@pytest_asyncio.fixture(loop_scope="module")
async def asked(scripted: ScriptedService) -> AsyncIterator[AsyncClient]:
    """A client of the scripted service."""
    reconnect = Reconnect(first_delay=0.01, max_delay=0.05, random=lambda: 1.0, patience=30.0)
    async with AsyncClient(scripted.target, reconnect=reconnect, timeout=60.0) as client:
        yield client


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


async def handle(scripted: ScriptedService, asked: AsyncClient, **fields: object) -> AsyncJobHandle:
    scripted.answers["GetStatus"].append(GetStatusResponse(job=job(**fields)))
    return await asked.job("job-1")


async def test_from_a_picture_to_a_clip_on_this_machine(client: AsyncClient, server: Api, tmp_path: Path) -> None:
    clip = await client.generate(**CLIP, prompt_text="The rocket climbs", image=SAMPLES / "rocket.jpg")
    async with aclosing(clip.watch()) as jobs:
        seen = [job async for job in jobs]
    done = await clip.wait(timeout=60)
    files = await clip.download(tmp_path / "clip.mp4")

    assert [seen[-1].state, done.state, clip.job.state] == ["succeeded"] * 3
    assert {job.state for job in seen} <= {"queued", "running", "succeeded"}
    assert all(job.model == "gen4_turbo" for job in seen)
    assert done.end_time is not None
    assert abs(done.end_time - datetime.now(UTC)) < timedelta(minutes=5)
    assert files == [tmp_path / "clip.mp4"]
    assert files[0].stat().st_size == done.outputs[0].size_bytes
    with pytest.raises(FileExistsError, match="it exists; name another file"):
        await clip.download(tmp_path / "clip.mp4")
    await clip.download(tmp_path / "clip.mp4", overwrite=True)
    assert names(tmp_path) == ["clip.mp4"]
    again = await client.job(clip.job_id)
    assert (again.job.prompt, again.job.is_final) == ("The rocket climbs", True)
    assert [each.job_id async for each in client.list(project_id="film", states=["succeeded"], kinds=["video"])]


def noise(path: Path, side: int) -> Path:
    """A picture that cannot be made smaller."""
    Image.frombytes("RGB", (side, side), os.urandom(3 * side * side)).save(path)
    return path


async def test_a_large_file_is_uploaded_once_whatever_asks_for_it(client: AsyncClient, tmp_path: Path) -> None:
    large = noise(tmp_path / "hero.PNG", 1100)
    assert large.stat().st_size > INLINE_LIMIT
    digest = sha256(large.read_bytes()).hexdigest()[:40]
    where = {"project_id": "film", "scene_id": "large", "prompt_text": "@hero at dawn"}

    clip = await client.generate(**{**CLIP, "scene_id": "large"}, image=large)
    drawn = await client.generate_image(**where, model="gen4_image", ratio="1280:720", references={"hero": large})
    bare = await client.quote(**{**CLIP, "scene_id": "large"}, image=large.read_bytes())

    assert clip.job.message.request.media[0].asset == f"images/{digest}.png"
    assert drawn.job.message.generate_request.image.references[0].asset == f"images/{digest}.png"
    assert bare is not None
    await client.wait_all([clip, drawn], timeout=60)
    scene = await client.scenes.show("film", "large")
    [images] = [folder.assets for folder in scene.folders if folder.name == "images"]
    assert [each.path for each in images if digest in each.path] == [f"images/{digest}", f"images/{digest}.png"]


async def test_inputs_that_are_too_large_together_go_by_the_largest(client: AsyncClient, tmp_path: Path) -> None:
    small, larger = noise(tmp_path / "small.png", 700), noise(tmp_path / "larger.png", 800)
    where = {"project_id": "film", "scene_id": "both", "prompt_text": "@one and @two"}

    drawn = await client.generate_image(
        **where, model="gen4_image", ratio="1280:720", references={"one": small, "two": larger}
    )

    one, two = drawn.job.message.generate_request.image.references
    assert (one.tag, two.tag, two.asset) == ("one", "two", f"images/{sha256(larger.read_bytes()).hexdigest()[:40]}")


async def test_an_input_is_a_file_bytes_a_url_or_an_asset(scripted: ScriptedService, asked: AsyncClient) -> None:
    scripted.answers["GenerateVideo"] = [GenerateVideoResponse(job=job())] * 5
    picture = SAMPLES / "rocket.jpg"

    for image in (str(picture), picture.read_bytes(), "HTTPS://example.com/a.png", "asset:images/a.png"):
        await asked.generate(project_id="p", scene_id="s", model="m", image=image)

    sent = [request.media[0] for request in scripted.requests["GenerateVideo"]]
    assert [each.WhichOneof("source") for each in sent] == ["data", "data", "uri", "asset"]
    assert (sent[0].data, sent[2].uri, sent[3].asset) == (
        picture.read_bytes(),
        "HTTPS://example.com/a.png",
        "images/a.png",
    )
    assert {each.role for each in sent} == {MediaRole.MEDIA_ROLE_FIRST_FRAME}
    for wrong, kind, told in [
        ("s3://bucket/a.png", ValueError, "an http\\(s\\) URL or asset:PATH, not 's3://bucket/a.png'"),
        ("file:///a.png", ValueError, "asset:PATH, not 'file:///a.png'"),
        (5, TypeError, "not int"),
        ("nowhere.png", FileNotFoundError, "nowhere.png"),
    ]:
        with pytest.raises(kind, match=told):
            await asked.generate(project_id="p", scene_id="s", model="m", image=wrong)
    assert len(scripted.requests["GenerateVideo"]) == 4


class Crash(BaseException):
    """The end of this process, as a test can raise it."""


async def test_a_download_goes_on_where_it_was_and_is_compared(client: AsyncClient, tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    await client.scenes.upload("film", "scene-1", "exports/a.bin", data)
    target = tmp_path / "a.bin"
    moved: list[int] = []

    def crash(received: int, size: int) -> None:
        if received > 1_000_000:
            raise Crash

    with pytest.raises(Crash):
        await client.scenes.download("film", "scene-1", "exports/a.bin", target, moved=crash)
    part = tmp_path / names(tmp_path)[0]
    assert 1_000_000 < part.stat().st_size < 3_000_000
    await client.scenes.download("film", "scene-1", "exports/a.bin", target, moved=lambda at, _: moved.append(at))

    assert moved[0] > 1_000_000
    assert target.read_bytes() == data
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("left", [b"other" * 9, b"x" * 4_000_000], ids=["other bytes", "more bytes"])
async def test_what_was_left_of_another_file_is_not_gone_on_with(
    client: AsyncClient, tmp_path: Path, left: bytes
) -> None:
    data = os.urandom(1_000_000)
    await client.scenes.upload("film", "scene-1", "exports/b.bin", data, overwrite=True)
    name = sha256(b"film/scene-1/exports/b.bin").hexdigest()[:8]
    (tmp_path / f".b.bin.{name}.part").write_bytes(left)

    await client.scenes.download("film", "scene-1", "exports/b.bin", tmp_path / "b.bin")

    assert (tmp_path / "b.bin").read_bytes() == data
    assert names(tmp_path) == ["b.bin"]


async def test_two_downloads_of_one_file_do_not_write_into_each_other(client: AsyncClient, tmp_path: Path) -> None:
    data = os.urandom(2_000_000)
    await client.scenes.upload("film", "scene-1", "exports/c.bin", data)
    one = client.scenes.download("film", "scene-1", "exports/c.bin", tmp_path / "c.bin", overwrite=True)
    two = client.scenes.download("film", "scene-1", "exports/c.bin", tmp_path / "c.bin", overwrite=True)

    await asyncio.gather(one, two)

    assert (tmp_path / "c.bin").read_bytes() == data
    assert names(tmp_path) == ["c.bin"]


async def test_bytes_that_arrive_wrong_leave_nothing(
    scripted: ScriptedService, asked: AsyncClient, tmp_path: Path
) -> None:
    scripted.files = {"exports/a.bin": b"some bytes"}
    scripted.checksums = {"exports/a.bin": 7}

    with pytest.raises(TransferBroken, match="another checksum"):
        await asked.scenes.download("p", "s", "exports/a.bin", tmp_path / "a.bin")

    assert names(tmp_path) == []


async def test_what_a_watch_tells_keeps_the_request_that_is_known(
    scripted: ScriptedService, asked: AsyncClient
) -> None:
    known = await handle(scripted, asked, request=video_pb2.GenerateVideoRequest(model="gen4.5", prompt_text="up"))
    scripted.streams = [[event(2), event(3, state="SUCCEEDED")]]

    done = await known.wait()

    assert (done.model, done.prompt, done.revision) == ("gen4.5", "up", 3)
    assert done.message.request.model == "gen4.5"


async def test_a_wait_ends_with_its_time_and_the_job_goes_on(scripted: ScriptedService, asked: AsyncClient) -> None:
    running = await handle(scripted, asked)
    scripted.streams = [[event(2), Hold()]]

    with pytest.raises(TimeoutError, match=r"after 0\.2 s, not all of 1 jobs are settled"):
        await running.wait(timeout=0.2)

    assert not scripted.requests["CancelVideo"]


async def test_a_job_that_was_cancelled_says_so(scripted: ScriptedService, asked: AsyncClient) -> None:
    running = await handle(scripted, asked)
    scripted.answers["CancelVideo"] = [CancelVideoResponse(job=job(state="CANCELLING"))]
    scripted.streams = [[event(2, state="CANCELLED")]]

    assert (await running.cancel()).state == "cancelling"
    with pytest.raises(JobCancelled, match="job job-1 was cancelled") as caught:
        await running.wait()
    assert isinstance(caught.value, JobFailed)
    assert caught.value.job.state == "cancelled"


async def test_jobs_are_told_as_they_end_with_those_that_need_attention(
    scripted: ScriptedService, asked: AsyncClient
) -> None:
    jobs = [Job.of(job(name)) for name in ("a", "b", "c")]
    told = [
        event(2, "b", "FAILED"),
        event(3, "a", "NEEDS_ATTENTION"),
        event(4, "a", "RUNNING"),
        event(5, "c", "SUCCEEDED"),
    ]
    scripted.streams = [told, told]

    ended = [(job.job_id, job.state) async for job in asked.as_completed(jobs)]
    all_of_them = await asked.wait_all([*jobs, jobs[0]])

    assert ended == [("b", "failed"), ("a", "needs_attention"), ("c", "succeeded")]
    assert [job.job_id for job in all_of_them] == ["a", "b", "c", "a"]


async def test_jobs_of_several_projects_and_many_are_watched_apart(
    scripted: ScriptedService, asked: AsyncClient
) -> None:
    projects = {f"a{number:04}": "a" for number in range(1001)} | {"b": "b"}
    scripted.streams = [[Hold()], [Hold()], [Hold()]]

    with pytest.raises(TimeoutError):
        async for _ in settled(asked.wire, projects, seconds=1.0):
            pass

    assert sorted(len(request.job_ids) for request in scripted.watches) == [1, 1, 1000]
    assert await asked.wait_all([]) == []


async def test_a_project_is_watched_by_its_jobs(scripted: ScriptedService, asked: AsyncClient) -> None:
    scripted.streams = [[event(7, progress=0.5), event(8, state="SUCCEEDED"), Hold()]]

    async with aclosing(asked.watch("p", after_revision=6, kinds=["video"])) as jobs:
        seen = [(await anext(jobs)).progress, (await anext(jobs)).revision]

    assert seen == [0.5, 8]
    assert (scripted.watches[0].after_revision, list(scripted.watches[0].kinds)) == (6, [MediaKind.MEDIA_KIND_VIDEO])


async def test_the_environment_says_where_the_service_is(
    scripted: ScriptedService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tokens = tmp_path / "token"
    tokens.write_text("first\nother")
    monkeypatch.setenv("EVERGREEN_ENDPOINT", scripted.target)
    monkeypatch.setenv("EVERGREEN_TOKEN_FILE", str(tokens))
    scripted.answers["GetStatus"] = [GetStatusResponse(job=job())] * 3

    async with AsyncClient() as client:
        await client.job("a")
        tokens.write_text("second")
        await client.job("a")
    monkeypatch.setenv("EVERGREEN_TOKEN", "of its own")
    async with AsyncClient(token="given") as client:
        await client.job("a")

    assert scripted.callers == ["Bearer first", "Bearer second", "Bearer given"]


async def test_a_service_that_is_not_there_is_told_in_a_sentence() -> None:
    async with AsyncClient("127.0.0.1:1", options=[("grpc.enable_retries", 0)]) as client:
        with pytest.raises(Unavailable) as caught:
            await client.account()

    assert str(caught.value) == "the service at 127.0.0.1:1 cannot be reached: nothing listens there (UNAVAILABLE)"
    assert caught.value.rpc_error.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_call_that_takes_too_long_is_told_in_a_sentence(scripted: ScriptedService) -> None:
    scripted.answers["GetStatus"] = [Fault(code=grpc.StatusCode.DEADLINE_EXCEEDED, message="Deadline Exceeded")]

    async with AsyncClient(scripted.target) as client:
        with pytest.raises(evergreen.DeadlineExceeded, match="no answer came in time; what was asked for may have"):
            await client.job("a")
