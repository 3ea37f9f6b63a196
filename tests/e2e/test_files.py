"""SIGKILL between any two files of a clip: the tree is whole afterwards, and nothing is fetched or paid for again."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from evergreen.v1 import video_pb2 as v1
from tests.e2e.holds import PROGRAM, Holds
from tests.e2e.rig import Rig, check_books, visible
from tests.serving import Control

FILES = {
    "videos/{}-1-1.mp4": 2,
    "videos/{}-1-1.jpg": 1,
    "metadata/{}.json": 1,
    "metadata/scene.json": 1,
}
"""In the order in which they appear; beside each how often the clip is fetched where the server dies just before it."""


@pytest.fixture
async def holds(tmp_path: Path) -> AsyncIterator[Holds]:
    async with Holds(tmp_path / "held").open() as opened:
        yield opened


@pytest.fixture
async def rig(tmp_path: Path, sandbox: Control) -> AsyncIterator[Rig]:
    async with Rig(tmp_path, sandbox, program=PROGRAM, HELD=str(tmp_path / "held")) as opened:
        yield opened


def there(scene: Path, job_id: str) -> set[str]:
    """The files of a job, and the index where it names the job's clip."""
    index = scene / "metadata" / "scene.json"
    found = {f"{folder}/{name}" for folder in ("videos", "metadata") for name in visible(scene / folder)}
    named = any(entry["jobId"] == job_id for entry in json.loads(index.read_text())["assets"]["videos"])
    return {path for path in found if job_id in path} | ({"metadata/scene.json"} if named else set())


async def test_a_server_killed_between_any_two_files_of_a_clip_finishes_what_it_began(rig: Rig, holds: Holds) -> None:
    ended: dict[str, v1.Job] = {}
    for number, (file, fetched) in enumerate(FILES.items()):
        await rig.sandbox.fault("slow", operation="get_task", prompt=file, seconds=1)
        job_id = (await rig.api.generate(prompt_text=file)).job_id
        # Only now: the index is also written when a job is accepted.
        await rig.sandbox.called("get_task", promptText=file)
        holds.at(f"publish {Path(file.format(job_id)).name}")
        await holds.reached()
        before = there(rig.scene, job_id)
        await rig.kill()
        await rig.start()

        ended[file] = await rig.steady(job_id)

        assert before == {name.format(job_id) for name in list(FILES)[:number]}
        assert there(rig.scene, job_id) == {name.format(job_id) for name in FILES}
        assert len(await rig.sandbox.calls(operation="output", promptText=file)) == fetched
    assert {job.state for job in ended.values()} == {v1.JOB_STATE_SUCCEEDED}
    await rig.check()
    await check_books(rig.sandbox, ended)
