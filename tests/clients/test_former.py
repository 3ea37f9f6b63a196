"""The clients of the release before, in a project with jobs of all kinds and films: unharmed, and shown videos only."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from evergreen import WireClient
from evergreen.v1 import video_pb2
from evergreen.v1.video_pb2 import Job
from tests.rpc.films import film_until, outputs_of, planned, started
from tests.serving import WAIT_SECONDS, Api

ROOT = Path(__file__).parents[2]
FORMER = Path(__file__).parent / "former"
WHEEL = FORMER / "evergreen_video-0.1.0-py3-none-any.whl"
WHERE = {"project_id": "mixed", "scene_id": "s"}


def python(folder: Path) -> Sequence[str]:
    return (sys.executable, "-P", str(FORMER / "look.py"))


def node(folder: Path) -> Sequence[str]:
    """Puts the tarball, and beside it what it depends on, where the program finds it."""
    modules = folder / "node_modules"
    # Python's own way to say that a tarball is to be trusted differs between the patches of 3.11.
    subprocess.run(["tar", "-xzf", FORMER / "evergreen-video-0.1.0.tgz", "-C", folder], check=True)
    (modules / "@evergreen").mkdir(parents=True)
    (folder / "package").rename(modules / "@evergreen" / "video")
    for scope in ("@bufbuild", "@connectrpc"):
        (modules / scope).symlink_to(ROOT / "node_modules" / scope)
    program = folder / "look.mjs"
    program.write_bytes((FORMER / "look.mjs").read_bytes())
    return ("node", str(program))


async def others(client: WireClient) -> list[Job]:
    """Makes a picture, speech and a sound, and waits for them."""
    made = [
        await client.generate_image(**WHERE, model="gen4_image", prompt_text="a fox", ratio="1280:720"),
        await client.generate_speech(**WHERE, model="eleven_v3", text="hello", voice="Maya"),
        await client.generate_sound(**WHERE, model="eleven_text_to_sound_v2", prompt_text="rain", duration_seconds=1),
    ]
    return [await client.wait(job.job_id) for job in made]


async def storyboard(api: Api, client: WireClient) -> list[Job]:
    """Makes the pictures and the speech of a film in the project, while its watchers may be there; returns its jobs."""
    await planned(api, project_id="mixed")
    await started(api, "mixed", stop_after=video_pb2.FILM_STAGE_STORYBOARD)
    film = await film_until(api, "mixed", video_pb2.FILM_STATE_SUCCEEDED)
    jobs = [output.job_id for output in outputs_of(film).values() if output.job_id]
    return [await client.wait(job_id) for job_id in sorted(jobs)]


@pytest.mark.parametrize("former", [python, node])
async def test_a_client_of_the_release_before_is_shown_videos_only(api: Api, tmp_path: Path, former) -> None:
    async with WireClient(api.address) as client, asyncio.timeout(WAIT_SECONDS):
        before = await others(client)
        process = await asyncio.create_subprocess_exec(
            *former(tmp_path),
            api.address,
            env={**os.environ, "PYTHONPATH": str(WHEEL)},
            cwd=tmp_path,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            ready = await process.stdout.readline()
            after = await others(client) if ready else []
            of_film = await storyboard(api, client) if ready else []
            clip = await client.generate(
                **WHERE, model="gen4.5", ratio="1280:720", duration_seconds=2, prompt_text="a rocket"
            )
            clip = await client.wait(clip.job_id)
            strangers = [*before, *after]
            asked = [job.job_id for job in (*strangers, *of_film)]
            out, err = await process.communicate(" ".join(asked).encode() + b"\n")
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        everything = {job.job_id async for job in client.list(project_id="mixed")}

    assert process.returncode == 0, err.decode()
    seen = json.loads(out.splitlines()[-1])
    assert seen["watched"] == seen["listed"] == [clip.job_id]
    assert everything == {clip.job_id, *asked}
    assert (len(strangers), len(of_film)) == (6, 3)
    assert "gen4_turbo" in seen["models"]
    assert not {"gen4_image", "eleven_v3", "eleven_text_to_sound_v2"} & {*seen["models"]}
    # A job that it is told of by name is shown as it is, whatever it makes.
    assert seen["succeeded"] == [True] * 18
    assert seen["assets"] == [output.asset for job in (*strangers, *of_film) for output in job.outputs]
    assert {output.asset for job in strangers for output in job.outputs} < {*seen["files"]}
    assert str(WHEEL if former is python else tmp_path) in seen["from"]


async def test_the_command_of_the_release_before_is_unharmed(api: Api, tmp_path: Path) -> None:
    async def command(*words: str) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "evergreen.cli", "--endpoint", api.address, *words),
            env={**os.environ, "PYTHONPATH": str(WHEEL)},
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), WAIT_SECONDS)
        return process.returncode, out.decode() + err.decode()

    async with WireClient(api.address) as client, asyncio.timeout(WAIT_SECONDS):
        picture, *_ = await others(client)

        listed = await command("video", "list", "--project", "mixed")
        shown = await command("video", "status", picture.job_id)
        watched = await command("video", "watch", picture.job_id)
        unknown = await command("job", "list")

    assert listed == (0, "")
    assert shown[0] == 0
    assert picture.outputs[0].asset in shown[1]
    assert watched[0] == 0
    assert picture.outputs[0].asset in watched[1]
    assert unknown[0] == 2, "this is the former command, not ours"
