"""The release before is upgraded with jobs in every stage: jobs, watches and books hold, and none starts what it does
not know.
"""

import asyncio
import os
import signal
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import grpc
import pytest

from evergreen import WireClient
from evergreen.v1 import video_pb2 as v1
from tests.e2e.pictures import PictureHost
from tests.e2e.rig import PROJECT, Rig, Watcher, books_faults, history
from tests.e2e.test_restore import commands, run
from tests.postgres import Postgres
from tests.rpc.films import film_until, outputs_of, planned, started
from tests.rpc.test_webhooks import key_file
from tests.serving import WAIT_SECONDS, Control, ServerProcess
from tests.webhooks.office import Receiver, receiving

FORMER = Path(__file__).parents[1] / "clients" / "former" / "evergreen_video-0.1.0-py3-none-any.whl"
IMPORTED_FROM = "PYTHONPATH"
"""What makes a server one of the release before."""
LONG = 20_000
"""Seconds of the sandbox: for ever, until its time is moved forward by as much."""
SCARCE, PICTURES = "veo3.1_fast", "muse_image"
OF_FILMS = ("gen4_image", "eleven_v3")
"""Models that have no slot for a while."""
LARGE = v1.ImageSpec(ratio="1600:1600")
FILM = "movie"
ENDED = {v1.JOB_STATE_SUCCEEDED}
ASKING = {v1.JOB_STATE_NEEDS_ATTENTION}
CANCELLED = {v1.JOB_STATE_CANCELLED}


ENDINGS = {"one": (signal.SIGKILL, signal.SIGTERM), "two": (signal.SIGTERM, signal.SIGKILL)}
"""How servers of the release before end, of tests with one or two servers."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Has the first way of an end tried, and all of them by `make e2e`, which also waits for what takes minutes."""
    every = bool(metafunc.config.getoption("--every-moment", default=False))
    if "ending" in metafunc.fixturenames:
        endings = ENDINGS["one" if "one_server" in metafunc.function.__name__ else "two"]
        metafunc.parametrize("ending", endings if every else endings[:1])


@pytest.fixture
def patient(request: pytest.FixtureRequest) -> bool:
    """Whether to wait for what takes minutes."""
    return bool(request.config.getoption("--every-moment", default=False))


@pytest.fixture
async def pictures() -> AsyncIterator[PictureHost]:
    async with PictureHost().open() as host:
        yield host


@pytest.fixture(scope="session")
def former(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the packages of the release before are."""
    site = tmp_path_factory.mktemp("former")
    with zipfile.ZipFile(FORMER) as wheel:
        wheel.extractall(site)
    return str(site)


async def finished(rig: Rig, prompt: str) -> str:
    job = await rig.api.finished((await rig.api.generate(prompt_text=prompt)).job_id)
    assert job.state in ENDED
    return job.job_id


async def failed(rig: Rig, prompt: str) -> str:
    await rig.sandbox.fault("failure", operation="create", prompt=prompt, failureCode="SAFETY.INPUT.TEXT", at=0.1)
    job = await rig.api.finished((await rig.api.generate(prompt_text=prompt)).job_id)
    assert job.state == v1.JOB_STATE_FAILED
    return job.job_id


async def preparing(rig: Rig, prompt: str, pictures: PictureHost) -> str:
    media = v1.Media(uri=f"http://{pictures.address}/picture.jpg", role=v1.MEDIA_ROLE_FIRST_FRAME)
    job = await rig.api.generate(prompt_text=prompt, media=[media])
    await asyncio.wait_for(pictures.asked.wait(), 60)
    return job.job_id


async def waiting(rig: Rig, prompt: str) -> str:
    job = await rig.api.generate(prompt_text=prompt, model=SCARCE, duration_seconds=4)
    await rig.api.until(job.job_id, v1.JOB_STATE_QUEUED, stage=v1.JOB_STAGE_WAITING)
    return job.job_id


async def submitting(rig: Rig, prompt: str) -> str:
    """The intent is recorded, and the task made; its id is never told."""
    await rig.sandbox.fault("hang", operation="create", prompt=prompt, seconds=LONG, accept=True)
    job = await rig.api.generate(prompt_text=prompt)
    await rig.sandbox.called("text_to_video", promptText=prompt)
    return job.job_id


async def asking(rig: Rig, prompt: str) -> str:
    await rig.sandbox.fault("lost_answer", operation="create", prompt=prompt)
    job = await rig.api.generate(prompt_text=prompt)
    await rig.api.until(job.job_id, v1.JOB_STATE_NEEDS_ATTENTION)
    return job.job_id


async def throttled(rig: Rig, prompt: str) -> str:
    await rig.sandbox.fault("throttle", operation="create", prompt=prompt, seconds=LONG)
    job = await rig.api.generate(prompt_text=prompt)
    await rig.api.until(job.job_id, v1.JOB_STATE_RUNNING, stage=v1.JOB_STAGE_THROTTLED)
    return job.job_id


async def generating(rig: Rig, prompt: str) -> str:
    await rig.sandbox.settings(task_mean_seconds=LONG)
    job = await rig.api.generate(prompt_text=prompt)
    await rig.api.until(job.job_id, v1.JOB_STATE_RUNNING, stage=v1.JOB_STAGE_GENERATING)
    await rig.sandbox.settings(task_mean_seconds=15)
    return job.job_id


async def delivering(rig: Rig, prompt: str) -> str:
    await rig.sandbox.fault("slow", operation="output", prompt=prompt, seconds=LONG)
    job = await rig.api.generate(prompt_text=prompt)
    await rig.api.until(job.job_id, v1.JOB_STATE_RUNNING, stage=v1.JOB_STAGE_DELIVERING)
    await rig.sandbox.called("output", promptText=prompt)
    return job.job_id


async def trying_again(rig: Rig, prompt: str) -> str:
    """The first attempt has failed, and the task of the second does not begin."""
    await rig.sandbox.fault("failure", operation="create", prompt=prompt, failureCode="INTERNAL", at=0.1)
    await rig.sandbox.fault("throttle", operation="create", prompt=prompt, nth=2, seconds=LONG)
    job = await rig.api.generate(prompt_text=prompt, max_attempts=2)
    await rig.sandbox.called("text_to_video", times=2, promptText=prompt)
    # Before its answer is recorded, nobody would know what became of the second.
    await rig.api.until(job.job_id, v1.JOB_STATE_RUNNING, stage=v1.JOB_STAGE_THROTTLED)
    return job.job_id


async def cancelling(rig: Rig, prompt: str) -> str:
    await rig.sandbox.fault("throttle", operation="create", prompt=prompt, seconds=LONG)
    await rig.sandbox.fault("slow", operation="delete_task", prompt=prompt, seconds=LONG)
    job = await rig.api.generate(prompt_text=prompt)
    await rig.sandbox.called("get_task", promptText=prompt)
    await rig.api.video.CancelVideo(v1.CancelVideoRequest(job_id=job.job_id))
    await rig.sandbox.called("delete_task", promptText=prompt)
    return job.job_id


STAGES: Mapping[Callable[[Rig, str], Awaitable[str]], set[int]] = {
    trying_again: ENDED,
    finished: ENDED,
    failed: {v1.JOB_STATE_FAILED},
    asking: ASKING,
    waiting: ENDED,
    throttled: ENDED,
    generating: ENDED,
    delivering: ENDED,
    cancelling: CANCELLED,
    submitting: ASKING,
}
"""Each brings a new job to a stage and holds it there; beside it, what it comes to by itself after the upgrade."""


async def limit(sandbox: Control, most: int | None) -> None:
    await sandbox.account(models={model: {"maxConcurrentGenerations": most} for model in (SCARCE, PICTURES, *OF_FILMS)})


async def hold_all(rig: Rig, pictures: PictureHost) -> dict[str, str]:
    """Brings a job to each stage; returns their ids by prompt."""
    # Alone, since it has all tasks that are made meanwhile go on for long.
    alone = await generating(rig, generating.__name__)
    others = [bring for bring in STAGES if bring is not generating]
    found = await asyncio.gather(
        preparing(rig, preparing.__name__, pictures), *(bring(rig, bring.__name__) for bring in others)
    )
    names = [preparing.__name__, *(bring.__name__ for bring in others)]
    return {generating.__name__: alone, **dict(zip(names, found, strict=True))}


async def let_go(rig: Rig, job_ids: Mapping[str, str]) -> None:
    """Lets all go on that `hold_all` holds."""
    # Before its task can end, for else it were too late.
    await rig.steady(job_ids[cancelling.__name__])
    await limit(rig.sandbox, None)
    await rig.sandbox.advance(4 * LONG)


async def check_all(rig: Rig, job_ids: Mapping[str, str]) -> None:
    """Waits for the end of all; checks them, what watchers saw, the files and the books."""
    jobs = {name: await rig.steady(job_id) for name, job_id in job_ids.items()}
    allowed = {bring.__name__: states for bring, states in STAGES.items()}
    for name, job in jobs.items():
        assert job.state in allowed.get(name, ENDED), f"{name}: {job}"
        if job.state in ASKING:
            await rig.resolve(job, name)
    ended = {name: await rig.steady(job_id) for name, job_id in job_ids.items()}
    assert not ASKING & {job.state for job in ended.values()}
    await rig.check()
    of_films = {job.provider_task_id: job for job in await rig.jobs(FILM)}
    tasks = await rig.sandbox.tasks()
    assert {task["id"]: task["chargedCredits"] for task in tasks if task["id"] in of_films} == {
        task_id: job.charged_credits for task_id, job in of_films.items()
    }
    assert books_faults([task for task in tasks if task["id"] not in of_films], ended) == []


async def refused_by_the_former(folder: Path, sandbox: Control, former: str) -> str:
    """Starts a server of the release before on the data as it is now; returns what it says and does not start for."""
    log = folder / "refused.log"
    with log.open("ab") as file:
        async with ServerProcess(folder / "data", sandbox.url, {IMPORTED_FROM: former}, log=file) as process:
            await process.launch()
            assert await process.ended() == 1
    return log.read_text()


async def check_is_former(rig: Rig, number: int) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await rig.live[number].video.GetCaller(v1.GetCallerRequest())
    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_one_server_is_upgraded_with_jobs_in_every_stage(
    tmp_path: Path, sandbox: Control, former: str, pictures: PictureHost, ending: signal.Signals, patient: bool
) -> None:
    places = {"/var/lib/evergreen": str(tmp_path / "data"), "/backup": str(tmp_path)}
    await limit(sandbox, 0)
    own = {0: {IMPORTED_FROM: former}}
    async with Rig(tmp_path, sandbox, own=own, EVERGREEN_PICTURE_HOSTS=pictures.address) as rig:
        await check_is_former(rig, 0)
        job_ids = await hold_all(rig, pictures)
        if patient:
            await run(commands("### Backup of SQLite", places), os.environ)

        await rig.stop(ending)
        await rig.start_without(IMPORTED_FROM)

        await let_go(rig, job_ids)
        picture = await rig.api.generate_other("image", "a picture")
        await check_all(rig, {**job_ids, "a picture": picture.job_id})
        await rig.stop(signal.SIGTERM)

    assert "schema version" in await refused_by_the_former(tmp_path, sandbox, former)
    if patient:
        # The way back is the backup.
        await run(commands("### Restoring SQLite", places), os.environ)
        async with ServerProcess(tmp_path / "data", sandbox.url, {IMPORTED_FROM: former}) as server:
            api = await server.start()
            assert (await api.status(job_ids[finished.__name__])).state in ENDED


async def handed_over(rig: Rig) -> tuple[str, str]:
    """Returns a clip that waits on server 0, and its prompt; its model has no slot."""
    for number in range(20):
        prompt = f"handed over {number}"
        job = await rig.api.generate(prompt_text=prompt, model=SCARCE, duration_seconds=4)
        await rig.api.until(job.job_id, v1.JOB_STATE_QUEUED, stage=v1.JOB_STAGE_WAITING)
        if await rig.owner(job.job_id) == 0:
            return prompt, job.job_id
        await rig.api.video.CancelVideo(v1.CancelVideoRequest(job_id=job.job_id))
    raise AssertionError("the other server takes everything")


def told(receiver: Receiver, job_id: str) -> bool:
    return any(job_id.encode() in got.body for got in receiver.got)


async def left_to_the_former(rig: Rig, receiver: Receiver) -> dict[str, str]:
    """Has the new server, 0, accept what 1 does not know, and die: 1 takes over what it knows and leaves all else.

    What 1 does meanwhile is told to the receiver of a webhook once 0 is back.

    Returns those jobs by prompt, with those that 1 has ended.
    """
    async with WireClient(rig.live[0].address) as client:
        await client.webhooks.create(url=receiver.url, project_ids=[PROJECT], types=["video.succeeded"])
    on_former = await rig.live[1].generate(prompt_text="asked of the former")
    await rig.live[1].finished(on_former.job_id)
    picture = await rig.live[0].generate_other("image", "a picture", model=PICTURES, image=LARGE)
    await rig.api.until(picture.job_id, v1.JOB_STATE_QUEUED, stage=v1.JOB_STAGE_WAITING)
    await planned(rig.live[0], project_id=FILM)
    await started(rig.live[0], FILM, stop_after=v1.FILM_STAGE_STORYBOARD)
    prompt, clip = await handed_over(rig)

    await rig.kill(0)
    await limit(rig.sandbox, None)
    assert (await rig.live[1].finished(clip)).state in ENDED
    after = await rig.live[1].status(picture.job_id)
    assert not told(receiver, clip)
    await rig.start(0)
    async with asyncio.timeout(WAIT_SECONDS):
        while not told(receiver, clip):
            await receiver.until(len(receiver.got) + 1)

    assert (after.state, after.stage, after.attempt) == (v1.JOB_STATE_QUEUED, v1.JOB_STAGE_WAITING, 1)
    return {"a picture": picture.job_id, "asked of the former": on_former.job_id, prompt: clip}


@asynccontextmanager
async def watching(rig: Rig, watcher: Watcher, number: int) -> AsyncIterator[Watcher]:
    """Has a watcher beside those of the rig, at a server as long as it runs."""
    task = asyncio.create_task(watcher.run(partial(rig.another, number)), name="watcher of films")
    try:
        yield watcher
    finally:
        if task.done():
            task.result()
        task.cancel()
        await asyncio.wait([task])


async def test_two_servers_are_upgraded_one_by_one_with_jobs_in_every_stage(
    tmp_path: Path,
    sandbox: Control,
    former: str,
    pictures: PictureHost,
    postgres: Postgres,
    ending: signal.Signals,
    patient: bool,
) -> None:
    await limit(sandbox, 0)
    url = postgres.create()
    own = {number: {IMPORTED_FROM: former} for number in range(2)}
    common = {
        "EVERGREEN_PICTURE_HOSTS": pictures.address,
        "EVERGREEN_GRACE_SECONDS": "1",
        "EVERGREEN_WEBHOOK_KEY_FILE": str(key_file(tmp_path)),
        "EVERGREEN_WEBHOOK_HOSTS": "127.0.0.1",
    }
    async with (
        receiving() as receiver,
        Rig(tmp_path, sandbox, database_url=url, replicas=2, own=own, **common) as rig,
        watching(rig, Watcher(FILM, films=True), 1) as watcher,
    ):
        job_ids = await hold_all(rig, pictures)

        await rig.stop(ending)
        await rig.start_without(IMPORTED_FROM)
        await check_is_former(rig, 1)
        job_ids |= await left_to_the_former(rig, receiver)
        if patient:
            # The sweeps begin again what the former has taken out of the queue, while it goes on.
            await rig.live[0].finished(job_ids["a picture"], seconds=300)
            await film_until(rig.live[0], FILM, v1.FILM_STATE_SUCCEEDED)
            await check_is_former(rig, 1)
        await rig.kill(1)
        await rig.start_without(IMPORTED_FROM, 1)

        await let_go(rig, job_ids)
        film = await film_until(rig.api, FILM, v1.FILM_STATE_SUCCEEDED)
        await check_all(rig, job_ids)
        assert await watcher.missed(*await history(rig.api, FILM, films=True)) == []
    assert len(outputs_of(film)) > 1
