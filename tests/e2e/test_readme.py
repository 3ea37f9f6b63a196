"""The README's examples run as they stand, but for the address."""

import asyncio
import re
import shlex
import sys
from pathlib import Path

from tests.serving import Api

ROOT = Path(__file__).parents[2]


async def test_the_ten_lines_of_python_make_a_clip(api: Api, tmp_path: Path) -> None:
    [program] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    script = tmp_path / "readme.py"
    picture = str(ROOT / "tests" / "samples" / "rocket.jpg")
    script.write_text(program.replace("127.0.0.1:50051", api.address).replace("tests/samples/rocket.jpg", picture))

    process = await asyncio.create_subprocess_exec(
        sys.executable, script, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)

    assert process.returncode == 0, err.decode()
    *told, clip = out.decode().split()
    assert told[-2:] == ["succeeded", "100%"]
    assert (tmp_path / clip).stat().st_size > 0


async def test_the_shortest_command_makes_a_clip_and_prints_where_it_lies(api: Api, tmp_path: Path) -> None:
    [command] = commands(r"video generate .*--watch")

    out, err = await run(command, api, tmp_path)

    assert "SUCCEEDED" in err
    assert (tmp_path / "data" / out.strip()).stat().st_size > 0


async def test_the_commands_for_pictures_speech_and_sounds_make_them(api: Api, tmp_path: Path) -> None:
    picture, speech, sound = commands(r"(?:image|speech|sound) generate .*")
    [models] = commands(r"models --kind speech")

    for command in (picture, speech):
        out, _ = await run(command, api, tmp_path)
        assert (tmp_path / "data" / out.strip()).stat().st_size > 0
    copy, _ = await run(sound, api, tmp_path)
    listed, _ = await run(models, api, tmp_path)

    assert (tmp_path / copy.strip()).stat().st_size > 0
    assert "eleven_v3" in listed
    assert "gen4_image" not in listed


def commands(pattern: str) -> list[str]:
    """The commands of the README, without `evergreen` and what is said of them."""
    return re.findall(rf"^evergreen ({pattern}?)(?: +#.*)?$", (ROOT / "README.md").read_text(), re.MULTILINE)


async def run(command: str, api: Api, folder: Path) -> tuple[str, str]:
    """Runs a command with a picture that exists, and gives its stdout and stderr."""
    picture = str(ROOT / "tests" / "samples" / "rocket.jpg")
    words = [word.replace("picture.jpg", picture) for word in shlex.split(command)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "evergreen.cli", "--endpoint", api.address, *words),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    return out.decode(), err.decode()
