"""The official SDKs for Python and Node, unchanged but for the base URL.

They look at a task no sooner than after 4.5 s, so everything here runs at once, against one sandbox.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import runwayml
from runwayml import AsyncRunwayML, RunwayML

from evergreen_server.providers.runway.sandbox import SANDBOX_KEY, Settings
from tests.providers.runway.sandbox.driver import SAMPLES, Caller, data_uri, opened, picture

QUICK = Settings(task_mean_seconds=10, render_scale=0.1)
IMAGE = data_uri(picture())
NODE = Path(__file__).with_name("node")
ROCKET = SAMPLES / "rocket.jpg"


@pytest.fixture
async def running() -> AsyncIterator[Caller]:
    """A sandbox in which a 2 s clip is done long before an SDK's first look."""
    async with opened(speed=20.0, settings=QUICK) as caller:
        await caller.fault("failure", rule={"match": {"promptText": "doomed"}, "count": None}, failureCode="INTERNAL")
        await caller.control("PATCH", "account", {"models": {"veo3.1": {"maxDailyGenerations": 0}}})
        yield caller


def use_it(url: str) -> None:
    """Goes through a task's ends and the typed errors with the synchronous client."""
    with RunwayML(api_key=SANDBOX_KEY, base_url=url) as client:
        uploaded = client.uploads.create_ephemeral(file=Path(ROCKET))
        made = client.image_to_video.create(
            model="gen4.5", prompt_image=uploaded.uri, prompt_text="liftoff", ratio="1280:720", duration=2
        )
        done = made.wait_for_task_output(timeout=60)
        assert done.status == "SUCCEEDED"
        assert done.output[0].startswith(url)
        client.tasks.delete(done.id)
        with pytest.raises(runwayml.NotFoundError, match="Could not find Task"):
            client.tasks.retrieve(done.id)
        account = client.organization.retrieve()
        assert account.usage.models["gen4.5"].daily_generations >= 1
        assert client.organization.retrieve_usage().models == []


def see_it_fail(url: str) -> None:
    with RunwayML(api_key=SANDBOX_KEY, base_url=url) as client:
        made = client.text_to_video.create(model="gen4.5", prompt_text="doomed", ratio="1280:720", duration=2)
        with pytest.raises(runwayml.TaskFailedError) as failed:
            made.wait_for_task_output(timeout=60)
    details = failed.value.task_details
    assert details.status == "FAILED"
    assert (details.failure_code, details.cost.credits) == ("INTERNAL", 0)


async def meet_every_error(url: str) -> None:
    async with AsyncRunwayML(api_key=SANDBOX_KEY, base_url=url) as client:
        with pytest.raises(runwayml.BadRequestError, match="Validation of body failed"):
            await client.image_to_video.create(
                model="gen4.5", prompt_image=IMAGE, prompt_text="x", ratio="1280:720", duration=99
            )
        with pytest.raises(runwayml.RateLimitError, match="daily task limit"):
            await client.text_to_video.create(model="veo3.1", prompt_text="x", ratio="1280:720", duration=4)
    async with AsyncRunwayML(api_key="key_wrong", base_url=url) as client:
        with pytest.raises(runwayml.AuthenticationError):
            await client.organization.retrieve()


async def use_it_async(url: str) -> None:
    async with AsyncRunwayML(api_key=SANDBOX_KEY, base_url=url) as client:
        made = await client.image_to_video.create(
            model="gen4_turbo", prompt_image=IMAGE, prompt_text="x", ratio="720:1280", duration=2
        )
        done = await made.wait_for_task_output(timeout=60)
        assert done.status == "SUCCEEDED"
        assert done.cost.credits == 10
        async with aiohttp.ClientSession() as session, session.get(done.output[0]) as answer:
            source = await answer.read()
        again = await client.video_to_video.create(
            model="aleph2", video_uri=data_uri(source, "video/mp4"), prompt_text="in the rain"
        )
        assert (await client.tasks.retrieve(again.id)).status in {"PENDING", "RUNNING"}
        await client.tasks.delete(again.id)


async def make_other_kinds(url: str) -> None:
    async with AsyncRunwayML(api_key=SANDBOX_KEY, base_url=url) as client, aiohttp.ClientSession() as session:
        made = [
            await client.text_to_image.create(
                model="gpt_image_2", prompt_text="x", ratio="1920:1088", quality="low", output_count=2
            ),
            await client.text_to_speech.create(
                model="eleven_v3", prompt_text="Good evening.", voice={"type": "runway-preset", "preset_id": "Maya"}
            ),
            await client.sound_effect.create(model="eleven_text_to_sound_v2", prompt_text="rain", duration=1.5),
        ]
        kinds = []
        for one in made:
            for output in (await one.wait_for_task_output(timeout=60)).output:
                async with session.get(output) as answer:
                    kinds.append(answer.content_type)
    assert kinds == ["image/png", "image/png", "audio/mpeg", "audio/mpeg"]


async def use_node(running: Caller) -> None:
    """Does the same through `node/check.mjs`."""
    command = ("node", "check.mjs", running.url, SANDBOX_KEY, IMAGE)
    pipe = asyncio.subprocess.PIPE
    node = await asyncio.create_subprocess_exec(*command, cwd=NODE, stdout=pipe, stderr=pipe)
    out, err = await node.communicate()
    assert node.returncode == 0, f"{err.decode()}\nIf a package is missing, run `make setup`."
    told = json.loads(out)
    assert told["bytes"] > 1000
    assert told["failureCode"] == "INTERNAL"
    assert (await running.booked(told["cancelled"]))["deleted"] is True


async def test_the_official_sdks_create_wait_delete_fail_and_raise_their_own_errors(running: Caller) -> None:
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(use_it, running.url))
        group.create_task(asyncio.to_thread(see_it_fail, running.url))
        group.create_task(use_it_async(running.url))
        group.create_task(meet_every_error(running.url))
        group.create_task(make_other_kinds(running.url))
        group.create_task(use_node(running))

    deleted = [task for task in (await running.control("GET", "tasks"))["tasks"] if task["deleted"]]
    assert len(deleted) == 4
