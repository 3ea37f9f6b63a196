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
    script.write_text(program.replace("127.0.0.1:50051", api.address))

    process = await asyncio.create_subprocess_exec(
        sys.executable, script, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)

    assert process.returncode == 0, err.decode()
    *progress, asset = out.decode().split()
    assert progress[-1] == "100%"
    assert (tmp_path / "data" / "projects" / "film" / "scene-1" / asset).stat().st_size > 0


async def test_the_shortest_command_makes_a_clip_and_prints_where_it_lies(api: Api, tmp_path: Path) -> None:
    [command] = re.findall(r"^evergreen (video generate .*--watch)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    words = [
        word.replace("picture.jpg", str(ROOT / "tests" / "samples" / "rocket.jpg")) for word in shlex.split(command)
    ]

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "evergreen.cli", "--endpoint", api.address, *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)

    assert process.returncode == 0, err.decode()
    assert b"SUCCEEDED" in err
    assert (tmp_path / "data" / out.decode().strip()).stat().st_size > 0
