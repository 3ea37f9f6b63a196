"""The three integrations, in Python and in TypeScript, before one server: each is short, and does what it says."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import av
import pytest
import pytest_asyncio

from tests.clients.node import compiled_example
from tests.serving import SAMPLES, Api, open_sandbox, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")
EXAMPLES = Path(__file__).parents[2] / "examples" / "integrations"
LANGUAGES = ("py", "ts")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    """The server of all tests, with the programs of TypeScript compiled."""
    async with open_sandbox() as sandbox, serving(tmp_path_factory.mktemp("server") / "data", sandbox.url) as api:
        await compiled_example("integrations")
        yield api


async def begun(api: Api, language: str, name: str, *words: str | Path) -> Process:
    script = EXAMPLES / f"{name}.py"
    if language == "ts":
        script = EXAMPLES.parents[1] / ".make" / "typescript" / "integrations" / f"{name}.js"
    program = sys.executable if language == "py" else "node"
    environ = {**os.environ, "EVERGREEN_ENDPOINT": api.address}
    return await asyncio.create_subprocess_exec(program, script, *words, env=environ, stdout=PIPE, stderr=PIPE)


async def run(api: Api, language: str, name: str, *words: str | Path) -> list[list[str]]:
    """The lines that a program prints, as words."""
    process = await begun(api, language, name, *words)
    out, err = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode == 0, err.decode()
    return [line.split() for line in out.decode().splitlines()]


async def test_each_is_shorter_than_25_lines() -> None:
    programs = [path for language in LANGUAGES for path in EXAMPLES.glob(f"*.{language}")]

    assert len(programs) == 6
    assert {
        path.name: lines for path in programs if (lines := sum(map(bool, path.read_text().splitlines()))) >= 25
    } == {}


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_batch_that_was_killed_goes_on_where_it_was(server: Api, language: str, tmp_path: Path) -> None:
    cursor = tmp_path / "cursor"
    first = await begun(server, language, "batch", cursor)
    assert first.stdout is not None
    told = [(await asyncio.wait_for(first.stdout.readline(), 90)).decode().split() for _ in range(4)]
    first.kill()
    told += [line.split() for line in (await first.communicate())[0].decode().splitlines()]

    told += await run(server, language, "batch", cursor)
    again = await run(server, language, "batch", cursor)

    ends = dict(told)
    assert Counter(ends.values()) == {"succeeded": 18, "cancelled": 2}
    # A job that ended just before the crash may be told twice, and none is made twice.
    assert len(told) <= 21
    assert again == []


@pytest.mark.parametrize("language", LANGUAGES)
async def test_what_failed_since_yesterday_is_told_with_its_reason(server: Api, language: str) -> None:
    picture = {"data": (SAMPLES / "rocket.jpg").read_bytes()[:20], "role": "MEDIA_ROLE_FIRST_FRAME"}
    failed = await server.generate(project_id="failures", model="gen4_turbo", duration_seconds=5, media=[picture])
    await server.finished(failed.job_id)

    lines = await run(server, language, "failures")

    # The newest comes first.
    assert lines[0][1:3] == ["failures/scene-1", "gen4_turbo"]
    assert "broken or truncated" in " ".join(lines[0])


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_hero_picture_becomes_a_clip_on_this_machine(server: Api, language: str, tmp_path: Path) -> None:
    [[clip]] = await run(server, language, "hero", SAMPLES / "rocket.jpg", tmp_path / "clip.mp4")

    with av.open(clip) as video:
        assert video.streams.video[0].frames > 0
