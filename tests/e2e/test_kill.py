"""SIGKILL of the server at every step of a job, then a start on the same data: nothing is lost, nothing paid twice."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import cycle
from pathlib import Path

import pytest

from evergreen.v1 import video_pb2 as v1
from tests.e2e.pictures import PictureHost
from tests.e2e.rig import Rig, check_books, visible
from tests.serving import ALL_KINDS, WAIT_SECONDS, Control, first_frame

ENDED = {v1.JOB_STATE_SUCCEEDED}
ASKING = {v1.JOB_STATE_NEEDS_ATTENTION}
CANCELLED = {v1.JOB_STATE_CANCELLED}
MEBIBYTE = 1 << 20
SLOW_SECONDS = 5.0
"""What is held up for so long is still held up when a kill comes late."""


@pytest.fixture
async def pictures() -> AsyncIterator[PictureHost]:
    async with PictureHost().open() as host:
        yield host


BACKENDS = {"sqlite": 1, "postgres-3": 3}
"""The databases, and how many servers share each."""


@pytest.fixture(params=BACKENDS)
async def rig(
    request: pytest.FixtureRequest, tmp_path: Path, sandbox: Control, pictures: PictureHost
) -> AsyncIterator[Rig]:
    name: str = request.param
    url = request.getfixturevalue("postgres").create() if name.startswith("postgres") else ""
    hosts = {"EVERGREEN_PICTURE_HOSTS": pictures.address}
    async with Rig(tmp_path, sandbox, database_url=url, replicas=BACKENDS[name], **hosts) as opened:
        yield opened


VIDEO = "video"
CREATES = {VIDEO: "text_to_video", "image": "text_to_image", "speech": "text_to_speech", "sound": "sound_effect"}
"""What jobs make here, and the provider's call for it."""
SCARCE = {VIDEO: "veo3.1_fast", "image": "muse_image", "speech": "eleven_v3", "sound": "seed_audio"}
"""Models that have no slot for a while."""


async def asked(rig: Rig, makes: str, prompt: str, **fields: object) -> str:
    """Sends a request; one for something else than a clip has the prompt for its text."""
    if makes == VIDEO:
        return (await rig.api.generate(prompt_text=prompt, **fields)).job_id
    return (await rig.api.generate_other(makes, prompt, **fields)).job_id


async def accepted(rig: Rig, makes: str, prompt: str) -> str:
    # Of such a model, for else its submission could begin before the kill.
    fields: dict[str, object] = {"model": SCARCE[makes]}
    if makes == VIDEO:
        fields["duration_seconds"] = 4
    if makes == "image":
        fields["image"] = v1.ImageSpec(ratio="1600:1600")
    return await asked(rig, makes, prompt, **fields)


async def picture_asked_for(rig: Rig, prompt: str, pictures: PictureHost) -> str:
    media = v1.Media(uri=f"http://{pictures.address}/picture.jpg", role=v1.MEDIA_ROLE_FIRST_FRAME)
    job = await rig.api.generate(prompt_text=prompt, media=[media])
    await asyncio.wait_for(pictures.asked.wait(), 60)
    return job.job_id


async def waiting_for_a_slot(rig: Rig, makes: str, prompt: str) -> str:
    job_id = await accepted(rig, makes, prompt)
    await rig.api.until(job_id, v1.JOB_STATE_QUEUED, stage=v1.JOB_STAGE_WAITING)
    return job_id


async def create_under_way(rig: Rig, makes: str, prompt: str) -> str:
    await rig.sandbox.fault("slow", operation="create", prompt=prompt, seconds=SLOW_SECONDS)
    job_id = await asked(rig, makes, prompt)
    await rig.sandbox.called(CREATES[makes], promptText=prompt)
    return job_id


async def tasks_made(rig: Rig, prompt: str, number: int) -> None:
    """Waits until slow creates have made their tasks, although nobody is there any more to hear of them."""
    async with asyncio.timeout(WAIT_SECONDS):
        while len(await rig.sandbox.tasks(prompt)) < number:
            pass


async def answer_under_way(rig: Rig, makes: str, prompt: str) -> str:
    await rig.sandbox.fault("hang", operation="create", prompt=prompt, seconds=30, accept=True)
    if makes == VIDEO:
        job_id = await asked(rig, makes, prompt, media=[first_frame()])
        await rig.sandbox.called("image_to_video", promptText=prompt)
    else:
        job_id = await asked(rig, makes, prompt)
        await rig.sandbox.called(CREATES[makes], promptText=prompt)
    return job_id


async def answer_given(rig: Rig, makes: str, prompt: str) -> str:
    job_id = await asked(rig, makes, prompt)
    await rig.sandbox.called(CREATES[makes], promptText=prompt)
    return job_id


async def task_recorded(rig: Rig, makes: str, prompt: str) -> str:
    job_id = await asked(rig, makes, prompt)
    async with asyncio.timeout(60):
        while not (await rig.api.status(job_id)).provider_task_id:
            pass
    return job_id


async def poll_under_way(rig: Rig, makes: str, prompt: str) -> str:
    await rig.sandbox.fault("slow", operation="get_task", prompt=prompt, seconds=30)
    job_id = await asked(rig, makes, prompt)
    await rig.sandbox.called("get_task", promptText=prompt)
    return job_id


async def download_begun(rig: Rig, makes: str, prompt: str) -> str:
    await rig.sandbox.fault("large_output", operation="create", prompt=prompt, bytes=48 * MEBIBYTE)
    job_id = await asked(rig, makes, prompt)
    await rig.sandbox.called("output", promptText=prompt)
    return job_id


async def queued_for_a_second_attempt(rig: Rig, makes: str, prompt: str) -> str:
    await rig.sandbox.fault("failure", operation="create", prompt=prompt, failureCode="INTERNAL", at=0.1)
    job_id = await asked(rig, makes, prompt, max_attempts=2)
    async with asyncio.timeout(60):
        async for message in rig.api.events(job_ids=[job_id]):
            if message.event.job.attempt == 2:
                break
    return job_id


async def delete_under_way(rig: Rig, makes: str, prompt: str) -> str:
    await rig.sandbox.fault("throttle", operation="create", prompt=prompt, seconds=10_000)
    await rig.sandbox.fault("slow", operation="delete_task", prompt=prompt, seconds=0.5)
    job_id = await asked(rig, makes, prompt)
    await rig.sandbox.called("get_task", promptText=prompt)
    await rig.api.video.CancelVideo(v1.CancelVideoRequest(job_id=job_id))
    await rig.sandbox.called("delete_task", promptText=prompt)
    return job_id


MOMENTS: dict[Callable[[Rig, str, str], Awaitable[str]], set[int]] = {
    accepted: ENDED,
    waiting_for_a_slot: ENDED,
    create_under_way: ASKING,
    answer_under_way: ASKING,
    answer_given: ENDED | ASKING,
    task_recorded: ENDED,
    poll_under_way: ENDED,
    download_begun: ENDED,
    # The second attempt may be asked for as soon as it is queued.
    queued_for_a_second_attempt: ENDED | ASKING,
    delete_under_way: CANCELLED,
}
"""Each brings a new job to a moment; beside it, what the job that is killed there may come to by itself."""
HELD = (accepted, waiting_for_a_slot)
"""What is killed at these goes on when all kills are over."""


async def killed_at(rig: Rig, *job_ids: str) -> None:
    """Kills the servers that run these jobs, and starts them again."""
    numbers = {await rig.owner(job_id) for job_id in job_ids}
    await asyncio.gather(*(rig.kill(number) for number in numbers))
    await asyncio.gather(*(rig.start(number) for number in numbers))


async def test_a_job_killed_at_any_step_ends_or_asks_and_is_paid_once(rig: Rig, pictures: PictureHost) -> None:
    await rig.sandbox.account(models={model: {"maxConcurrentGenerations": 0} for model in SCARCE.values()})
    job_ids = {"picture asked for": await picture_asked_for(rig, "picture asked for", pictures)}
    await killed_at(rig, job_ids["picture asked for"])
    assert (await rig.steady(job_ids["picture asked for"])).state in ENDED
    brought: dict[str, set[int]] = {}
    for (bring, allowed), other in zip(MOMENTS.items(), cycle(("image", "speech", "sound"))):
        # A clip, and beside it something else.
        names = {makes: f"{bring.__name__} {makes}" for makes in (VIDEO, other)}
        found = await asyncio.gather(*(bring(rig, makes, name) for makes, name in names.items()))
        job_ids |= dict(zip(names.values(), found, strict=True))
        brought |= dict.fromkeys(names.values(), allowed)
        await killed_at(rig, *found)
        if allowed == ENDED and bring not in HELD:
            # The next kill must not catch them in their submission, and then make its outcome unknown.
            for job_id in found:
                await rig.steady(job_id)
    await rig.sandbox.account(models={model: {"maxConcurrentGenerations": None} for model in SCARCE.values()})
    await tasks_made(rig, create_under_way.__name__, 2)

    jobs = {name: await rig.steady(job_ids[name]) for name in brought}

    for name, allowed in brought.items():
        job = jobs[name]
        assert job.state in allowed, f"{name}: {job}"
        if job.state in ASKING:
            await rig.resolve(job, name)
    ended = {name: await rig.steady(job_id) for name, job_id in job_ids.items()}
    assert {job.state for job in ended.values()} == ENDED | CANCELLED
    assert {job.kind for job in ended.values()} == set(ALL_KINDS)
    await rig.check()
    await check_books(rig.sandbox, ended)


@pytest.mark.parametrize("rig", ["sqlite", "postgres-3"], indirect=True)
async def test_a_clip_that_is_there_when_the_server_dies_is_adopted(rig: Rig) -> None:
    await rig.api.finished((await rig.api.generate(prompt_text="first")).job_id)
    index = rig.scene / "metadata" / "scene.json"
    await rig.sandbox.fault("slow", operation="get_task", prompt="second", seconds=2)
    job_id = (await rig.api.generate(prompt_text="second")).job_id
    await rig.sandbox.called("get_task", promptText="second")
    whole = index.read_bytes()
    # An index that must not be touched stops the job where all its files are there, and nothing names them.
    index.write_bytes(b'{"schemaVersion": 99}')
    warned = await rig.api.warned(job_id, "STORAGE_UNAVAILABLE")

    assert warned.stage == v1.JOB_STAGE_DELIVERING
    assert {f"{job_id}-1-1.mp4", f"{job_id}-1-1.jpg"} <= visible(rig.scene / "videos")
    number = await rig.owner(job_id)
    await rig.kill(number)
    index.write_bytes(whole)
    await rig.start(number)
    done = await rig.steady(job_id)

    assert done.state in ENDED
    assert len(await rig.sandbox.calls(operation="output", promptText="second")) == 1
    await rig.check()


@pytest.mark.parametrize("rig", ["sqlite", "postgres-3"], indirect=True)
async def test_a_job_that_may_be_resubmitted_is_submitted_once_more_after_a_kill(rig: Rig) -> None:
    await rig.sandbox.fault("hang", operation="create", prompt="again", seconds=30, accept=True)
    job = await rig.api.generate(prompt_text="again", on_unknown_submission=v1.ON_UNKNOWN_SUBMISSION_RESUBMIT)
    await rig.sandbox.called("text_to_video", promptText="again")

    await killed_at(rig, job.job_id)
    done = await rig.steady(job.job_id)

    assert (done.state, done.attempt, done.cost_basis) == (v1.JOB_STATE_SUCCEEDED, 2, v1.COST_BASIS_UPPER_BOUND)
    assert [warning.code for warning in done.warnings] == ["SUBMISSION_UNKNOWN"]
    assert len(await rig.sandbox.calls(operation="text_to_video", promptText="again")) == 2
    await rig.check()
