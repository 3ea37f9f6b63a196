"""SIGKILL between any two files of a clip: the tree is whole afterwards, and nothing is fetched or paid for again."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from evergreen.v1 import video_pb2 as v1
from tests.e2e.holds import PROGRAM, Holds
from tests.e2e.rig import Rig, check_books, visible
from tests.serving import Control, first_frame

CLIP, POSTER = "videos/{}-1-1.mp4", "videos/{}-1-1.jpg"
FILES = (CLIP, POSTER, "metadata/{}.json", "metadata/scene.json")
"""In the order in which they appear."""
MOMENTS = {
    "clip whole": (0, 2),
    "clip committed": (0, 2),
    f"publish {CLIP}": (0, 2),
    "poster committed": (1, 1),
    f"publish {POSTER}": (1, 1),
    "publish metadata/{}.json": (2, 1),
    "publish metadata/scene.json": (3, 1),
}
"""Where the server dies: as a file is recorded, or just before it gets its name. Beside each, how many of the files are
there by then, and how often the clip is fetched in all."""


@pytest.fixture
async def holds(tmp_path: Path) -> AsyncIterator[Holds]:
    async with Holds(tmp_path / "held").open() as opened:
        yield opened


@pytest.fixture
async def rig(tmp_path: Path, sandbox: Control) -> AsyncIterator[Rig]:
    async with Rig(tmp_path, sandbox, program=PROGRAM, PYTEST_HELD=str(tmp_path / "held")) as opened:
        yield opened


def there(scene: Path, job_id: str) -> set[str]:
    """The files of a job, and the index where it names the job's clip."""
    index = scene / "metadata" / "scene.json"
    found = {f"{folder}/{name}" for folder in ("videos", "metadata") for name in visible(scene / folder)}
    named = any(entry["jobId"] == job_id for entry in json.loads(index.read_text())["assets"]["videos"])
    return {path for path in found if job_id in path} | ({"metadata/scene.json"} if named else set())


async def killed_at(rig: Rig, holds: Holds, moment: str, prompt: str) -> str:
    """Has a job's server die at a moment of its delivery."""
    await rig.sandbox.fault("slow", operation="get_task", prompt=prompt, seconds=1)
    job_id = (await rig.api.generate(prompt_text=prompt)).job_id
    # Only now: the index is also written when a job is accepted.
    await rig.sandbox.called("get_task", promptText=prompt)
    verb, _, path = moment.partition(" ")
    holds.at(f"{verb} {Path(path.format(job_id)).name}")
    await holds.reached()
    await rig.kill()
    return job_id


async def test_a_server_killed_between_any_two_files_of_a_clip_finishes_what_it_began(rig: Rig, holds: Holds) -> None:
    ended: dict[str, v1.Job] = {}
    for moment, (number, fetched) in MOMENTS.items():
        job_id = await killed_at(rig, holds, moment, moment)
        before = there(rig.scene, job_id)
        await rig.start()

        ended[moment] = await rig.steady(job_id)

        assert before == {name.format(job_id) for name in FILES[:number]}
        assert there(rig.scene, job_id) == {name.format(job_id) for name in FILES}
        assert len(await rig.sandbox.calls(operation="output", promptText=moment)) == fetched
        assert list(ended[moment].warnings) == []
    assert {job.state for job in ended.values()} == {v1.JOB_STATE_SUCCEEDED}
    await rig.check()
    await check_books(rig.sandbox, ended)


async def test_a_file_that_took_the_name_while_the_server_was_dead_is_left_alone(rig: Rig, holds: Holds) -> None:
    ended: dict[str, v1.Job] = {}
    for file in (CLIP, POSTER):
        job_id = await killed_at(rig, holds, f"publish {file}", file)
        forged = rig.scene / file.format(job_id)
        forged.write_bytes(b"put there by somebody")
        await rig.start()

        ended[file] = await rig.steady(job_id)

        assert forged.read_bytes() == b"put there by somebody"
        assert [warning.code for warning in ended[file].warnings] == ["NAME_TAKEN"]
        assert file.format(job_id) in ended[file].warnings[0].message
    assert {job.state for job in ended.values()} == {v1.JOB_STATE_SUCCEEDED}
    assert ended[CLIP].outputs[0].asset.endswith("-1-1a.mp4")
    assert ended[POSTER].outputs[0].poster.endswith("-1-1a.jpg")
    await check_books(rig.sandbox, ended)


async def test_an_input_that_was_forged_while_the_server_was_dead_is_not_sent(rig: Rig, holds: Holds) -> None:
    holds.at("publish -1.jpg")
    job_id = (await rig.api.generate(model="gen4_turbo", duration_seconds=3, media=[first_frame()])).job_id
    await holds.reached()
    await rig.kill()
    forged = rig.scene / f"images/{job_id}-1.jpg"
    forged.write_bytes(b"put there by somebody")
    await rig.start()

    done = await rig.steady(job_id)

    assert done.state == v1.JOB_STATE_SUCCEEDED, done.error
    assert [warning.code for warning in done.warnings] == ["NAME_TAKEN"]
    assert forged.read_bytes() == b"put there by somebody"
    assert (rig.scene / f"images/{job_id}-1a.jpg").read_bytes().startswith(b"\xff\xd8")
    sidecar = json.loads((rig.scene / f"metadata/{job_id}.json").read_text())
    assert f"images/{job_id}-1a.jpg" in json.dumps(sidecar)
