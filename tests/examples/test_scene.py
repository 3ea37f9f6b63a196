"""The parts of a scene, made by the examples in Python, TypeScript and shell, before a real server."""

import asyncio
import os
import sys
from collections import Counter
from pathlib import Path

import av
import pytest
from PIL import Image

from evergreen import JobState, WireClient
from tests.clients.node import run_example
from tests.serving import SAMPLES, WAIT_SECONDS, Api

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "scene"


async def run(*command: str | Path, **environ: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def python(address: str, *words: str) -> str:
    return await run(sys.executable, EXAMPLES / "scene.py", *words, EVERGREEN_ENDPOINT=address)


async def typescript(address: str, *words: str) -> str:
    return await run_example("scene", *words, EVERGREEN_ENDPOINT=address)


async def shell(address: str, *words: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return await run(EXAMPLES / "scene.sh", *words, str(SAMPLES / "rocket.jpg"), EVERGREEN_ENDPOINT=address, PATH=path)


@pytest.mark.parametrize(
    ("example", "made"),
    [
        (python, {"image": 1, "speech": 2, "sound": 1, "video": 1}),
        (typescript, {"image": 1, "speech": 2, "sound": 1, "video": 1}),
        (shell, {"image": 1, "speech": 1, "sound": 1, "video": 1}),
    ],
)
async def test_a_scene_of_all_kinds_is_made_and_every_file_is_whole(
    api: Api, tmp_path: Path, example, made: dict[str, int]
) -> None:
    folder = tmp_path / "copies"
    folder.mkdir()

    async with WireClient(api.address) as client, asyncio.timeout(WAIT_SECONDS):
        out = await example(api.address, "film", "scene-1", str(folder))
        jobs = [job async for job in client.list(project_id="film")]

    kinds = {1: "video", 2: "image", 3: "speech", 4: "sound"}
    assert Counter(kinds[job.kind] for job in jobs) == made
    assert all(job.state == JobState.JOB_STATE_SUCCEEDED for job in jobs)
    scene = tmp_path / "data" / "projects" / "film" / "scene-1"
    for job in jobs:
        for output in job.outputs:
            copy = folder / Path(output.asset).name
            assert copy.read_bytes() == (scene / output.asset).read_bytes()
            assert copy.name in out
            whole(copy)


def whole(file: Path) -> None:
    """Decodes a picture or every frame of a sound or a clip."""
    if file.suffix == ".png":
        with Image.open(file) as picture:
            picture.load()
        return
    with av.open(str(file)) as container:
        assert sum(1 for _ in container.decode(container.streams[0])) > 0
